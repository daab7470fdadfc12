"""What every test on Solo5's tender stands on: tests/clients' `Case`, with the server on the tests' own tender.

`start` runs the kernel on a Linux host in QEMU, the same one for all starts of a test. After each test the guest
must end when a client asks it to, and the image be clean.
"""
import os
import re
import socket
import sys
import time

import host
from host import INSIDE, NETWORK, Host

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "clients"))
import harness  # noqa: E402
from tools import ROOT, tool  # noqa: E402

KERNEL = os.environ.get("MIRAGE_KERNEL", os.path.join(ROOT, "target", "mirage-sshfs.elf"))
# For the long form of the tests that have one.
LONG = bool(os.environ.get("HVT_LONG"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server(harness.Booted):
    """A guest as tests/clients' `Server` is a process: the same methods."""

    def __init__(self, case, line, **options):
        self.case, self.ended = case, False
        self.host, self.port = case.host, case.port
        self.since = len(self.host.console())
        self.host.start(line, **options)
        case.servers.append(self)

    def log(self):
        return self.host.console()[self.since:]

    def wait_log(self, pattern, seconds=30):
        return self.host.wait_for(f"(?i){pattern}", seconds, self.since)

    def wait_listening(self, seconds=60):
        self.wait_log(rf"listening on {host.ADDRESS}:{INSIDE}\b", seconds)
        self.banner()
        return self

    def stop(self, seconds=40):
        """A client asks for the end: the volume must be clean, and the tender exit with 0."""
        if self.ended:
            return
        self.case.ssh_poweroff()
        self.wait(0, seconds)
        for said in ("ends the machine", "the volume is flushed and clean", "the machine ends"):
            self.case.assertIn(said, self.log())
        self.host.end()

    def wait(self, status, seconds=30):
        """Waits for a guest that ends by itself."""
        self.ended = True
        found = self.wait_log(r"tender exited with (\d+)", seconds)
        self.case.assertEqual(int(found[1]), status, self.log()[-4000:])

    def kill(self):
        """SIGKILL for the tender."""
        self.ended = True
        self.host.kill()


class Case(harness.Case):
    seconds = 200
    memory = 32

    def setUp(self):
        self.port, self.host = free_port(), None
        super().setUp()

    def tearDown(self):
        try:
            super().tearDown()
        finally:
            if self.host:
                self.host.forget()

    def start(self, image, *options, **more):
        server = self.boot(image, *options, **more).wait_listening()
        self.configure(server)
        return server

    def boot(self, image, *options, line=NETWORK, **more):
        """A guest that need not come to serve."""
        if not self.host:
            self.host = Host(KERNEL, image, self.port)
        line = " ".join([line, *(f"'\"{word}\"'" if " " in word else word for word in [*self.options, *options])])
        return Server(self, line, memory=more.pop("memory", self.memory), **more)

    def ssh_poweroff(self, ok=True):
        done = self.run_program(tool("ssh"), "-F", self.path("config"), "server", "poweroff", ok=None)
        return done
