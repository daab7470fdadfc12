"""What every test of the guest stands on: tests/clients' `Case`, with the server in a Xen guest.

One rig serves all tests of a run. `start` boots a guest in the place of a process, and after each
test the guest must end by `xl shutdown`, and its image be clean.
"""
import itertools
import os
import sys

from rig import Rig

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "clients"))
import harness  # noqa: E402
from tools import ROOT  # noqa: E402

KERNEL = os.environ.get("MIRAGE_KERNEL", os.path.join(ROOT, "target", "mirage-sshfs.elf"))
PORT = 18022
POWERED_OFF, CRASHED = 0, 3
# For the long form of the tests that have one.
LONG = bool(os.environ.get("XEN_LONG"))
# Never one twice in a row: QEMU's network remembers who had an address.
hosts = itertools.cycle(range(20, 200))
shared = None


def rig():
    """The one rig of this run; a broken one is replaced."""
    global shared
    if shared is None or not shared.answers():
        if shared:
            shared.close()
        shared = Rig().start()
    return shared
# All of a test come from one address, and some only for the banner.
PATIENT = "--per-source-penalties no"


class Server(harness.Booted):
    """A guest as tests/clients' `Server` is a process: the same methods."""

    def __init__(self, case, disks, options, port, **guest):
        self.case, self.ended, self.rig = case, False, rig()
        self.address, self.port = f"10.0.2.{next(hosts)}", None
        words = f"--ipv4 {self.address}/24 --ipv4-gateway 10.0.2.2 --port {port or PORT} {PATIENT}".split()
        line = " ".join(f'"{word}"' if " " in word else word for word in [*words, *options])
        self.guest = self.rig.guest(KERNEL, command_line=line, disks=disks, **guest)
        self.inside = port or PORT
        case.servers.append(self)
        case.addCleanup(self.end)

    def log(self):
        return f"{self.guest.console()}\n{self.rig.xen_log()[-1000:]}"

    def wait_log(self, pattern, seconds=30):
        return self.guest.wait_console(f"(?i){pattern}", seconds)

    def wait_listening(self, seconds=60):
        """As a user would wait: for the line on the console, then for SSH's banner."""
        self.guest.wait_console(rf"listening on {self.address}:{self.inside}\b", seconds)
        self.port = self.rig.forward(self.address, self.inside)
        self.rig.until(self.answers, 60, "a banner", lambda: f"{self.log()}\n{self.rig.rings()}")
        return self

    def answers(self):
        """Whether there is a banner within three seconds. QEMU's network repeats a lost SYN after 6 s, but
        a new connection sends one at once."""
        try:
            return self.banner(3)
        except OSError:
            return False

    def stop(self, seconds=40):
        """`xl shutdown` must end it, with the power off."""
        self.ended = True
        reason = self.guest.shutdown(seconds)
        if reason != POWERED_OFF:
            raise AssertionError(f"Xen's reason for the guest's end is {reason}\n{self.log()}")

    def kill(self):
        """`xl destroy`: a power cut."""
        self.ended = True
        self.guest.destroy()

    def wait(self, seconds=30):
        """Waits for a guest that ends by itself; Xen's reason."""
        self.ended = True
        return self.guest.wait(seconds)

    def end(self):
        """After the test, whatever became of it."""
        if self.rig.alive():
            self.guest.destroy()
            if self.port:
                self.rig.stop_forward(self.port)
        self.guest.forget()


class Case(harness.Case):
    """`memory` in MiB and `disk`, options for `Rig.plug`, are of the guest that `setUp` starts."""

    seconds = 120
    memory = 32
    disk = {}

    @classmethod
    def setUpClass(cls):
        rig()   # outside of the time of the first test

    def start(self, image, *options, port=0, more_disks=(), **guest):
        disks = [(image, self.disk), *more_disks] if image else list(more_disks)
        server = self.boot(*options, disks=disks, port=port, **guest).wait_listening()
        self.configure(server)
        return server

    def boot(self, *options, disks=(), port=0, interfaces=1, memory=None):
        """A guest that need not come to serve."""
        return Server(self, disks, [*self.options, *options], port, interfaces=interfaces, memory=memory or self.memory)
