"""A guest behind a path whose MTU is smaller than its own, as through a VPN or a tunnel."""
import time

from routed import Routed
from routers import CLIENTS
from tools import content

MIB = 1 << 20


class Narrow(Routed):
    """With segmentation by the device."""
    offload = "with"

    def setUp(self):
        super().setUp()
        self.assertIn(f"{self.offload} segmentation offload", self.server.log())

    def get(self, client, size):
        """Uploads and downloads again; how many seconds the download took."""
        name = f"{client}-{size}"
        self.write(name, content(size))
        self.expected[name] = content(size)
        self.routers.forget_paths()
        batch = f"put {name}\nget {name} came\n"
        start = time.monotonic()
        self.from_client(client, "sftp", "-b", "-", "server", stdin=batch, seconds=60)
        self.assertEqual(self.read("came"), content(size))
        return time.monotonic() - start

    def test_downloads(self):
        clients = iter(CLIENTS)
        for mtu in (1420, 1280):
            for icmp in (True, False):
                with self.subTest(mtu=mtu, icmp=icmp):
                    self.routers.narrow(mtu, icmp)
                    client = next(clients)
                    first = self.get(client, 3 * MIB)
                    # What was learnt is known to the next connection.
                    second = self.get(client, 3 * MIB + 1)
                    print(f"path MTU {mtu}, {'with' if icmp else 'without'} ICMP: {first:.1f} s, then {second:.1f} s")
                    # One time-out, or two, after 1 and 2 seconds, and what a busy machine needs.
                    self.assertLess(first, 20)
                    self.assertLess(second, 10)
        for client, mtu in zip(CLIENTS, (1420, 1280, 1280, 1280)):
            self.assertIn(f"path MTU to {client}: {mtu}\n", self.server.log())


class NarrowWithoutOffload(Narrow):
    machine, cpu, offload, netdev = "microvm", "qemu64,+rdrand", "without", ",vnet_hdr=off"
