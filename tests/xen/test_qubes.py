"""The guest as a qube, with the tests' own dom0: see qube.py."""
import itertools

import case
from qube import GATEWAY, QubeCase


class Routed(QubeCase):
    serve = False

    def test_a_route_and_options(self):
        """The network as Qubes has it, the address from the command line: one address, and a gateway outside of it."""
        self.image = self.make_image("disk.img")
        address = next(case.hosts)
        case.hosts = itertools.chain([address], case.hosts)
        self.server = self.start(self.image, f"--ipv4 10.0.2.{address}/32 --ipv4-gateway {GATEWAY}")
        self.write("up", "x")
        self.sftp("put up file")
        self.expected["file"] = b"x"
