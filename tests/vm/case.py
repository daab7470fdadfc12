"""What every test of the virtual machine stands on: tests/clients' `Case`, with the server in QEMU.

`start` boots a machine in the place of a process, and after each test the machine must end when its
host asks it to, and its image be clean.
"""
import os
import re
import subprocess
import sys
import time

import machine
from machine import INSIDE, NETWORK, Machine

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "clients"))
import harness  # noqa: E402
from tools import ROOT  # noqa: E402

KERNEL = os.environ.get("MIRAGE_KERNEL", os.path.join(ROOT, "target", "mirage-sshfs.elf"))
# For the long form of the tests that have one.
LONG = bool(os.environ.get("VM_LONG"))


class Server(harness.Booted):
    """A machine as tests/clients' `Server` is a process: the same methods."""

    def __init__(self, case, disks, command_line, network=True, **options):
        self.case, self.ended = case, False
        self.port = machine.free_port() if network else None
        self.vm = Machine(KERNEL, disks=disks, port=self.port, command_line=command_line, **options)
        case.servers.append(self)
        case.addCleanup(self.vm.forget)

    def log(self):
        return self.vm.console()

    def wait_log(self, pattern, seconds=30):
        end = time.monotonic() + seconds
        while True:
            running = self.vm.process.poll() is None
            if found := re.search(f"(?i){pattern}", self.log()):
                return found
            if not running or time.monotonic() > end:
                how = f"after {seconds} s" if running else f"and QEMU exited with {self.vm.process.returncode}"
                raise AssertionError(f"no {pattern!r} on the console {how}:\n{self.log()[-4000:]}")
            time.sleep(0.02)

    def wait_listening(self, seconds=60):
        self.wait_log(rf"listening on {machine.ADDRESS}:{INSIDE}\b", seconds)
        self.banner()
        return self

    def stop(self, seconds=40):
        """Asked to, it must end with the volume clean."""
        self.ended = True
        self.vm.ask_to_end()
        self.wait(seconds)
        for said in ("asked to end", "the volume is flushed and clean", "the machine ends"):
            self.case.assertIn(said, self.log())

    def wait(self, seconds=30):
        """Waits for a machine that ends by itself, as it must: QEMU exits with 0."""
        self.ended = True
        try:
            code = self.vm.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s:\n{self.log()[-4000:]}") from None
        self.case.assertEqual(code, 0, self.log()[-4000:])

    def kill(self):
        """SIGKILL for QEMU: a power cut."""
        self.ended = True
        self.vm.kill()


class Case(harness.Case):
    """The class attributes are those of the machine that `setUp` starts. CPU max has AVX and the like,
    microvm's here has not."""

    seconds = 120
    machine, memory, cpu = "q35", 32, "max"

    def start(self, image, *options, **machine):
        server = self.boot(*options, disks=[image], **machine).wait_listening()
        self.configure(server)
        return server

    def boot(self, *options, disks=(), line=NETWORK, **machine):
        """A machine that need not come to serve."""
        line = " ".join([line, *(f'"{word}"' if " " in word else word for word in [*self.options, *options])])
        wanted = {"machine": self.machine, "memory": self.memory, "cpu": self.cpu, **machine}
        return Server(self, disks, line, **wanted)
