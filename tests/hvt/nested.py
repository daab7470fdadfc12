"""QEMU's own machines with KVM, on the same Linux: the command lines that docs/vm.md has, with the names that
things have here. Part of `make soak-vm`."""
import os
import re
import unittest

import host
from case import KERNEL, Case, Server
from host import INSIDE, Host
from tools import ROOT, content

NAMES = {"target/mirage-sshfs.elf": KERNEL, "disk.img": "/dev/vda", "10.0.0.2/24": f"{host.ADDRESS}/24",
         "10.0.0.1": host.GATEWAY, "22022": f"{INSIDE} --per-source-penalties no"}


def lines():
    """QEMU's machines and their commands."""
    with open(os.path.join(ROOT, "docs", "vm.md")) as file:
        (section,) = re.findall(r"^## QEMU$(.*?)^## ", file.read(), re.M | re.S)
    for line in re.findall(r"^    (qemu-system\S+ (?:.*\\\n)*.*)$", section, re.M):
        for name, here in NAMES.items():
            line = line.replace(name, here)
        line = re.sub(r"\\\n *", "", line)
        yield re.search(r"-M (\S+)", line)[1], line
        for other, this in (("-M pc ", "-M q35 "), ("-M microvm,acpi=off ", "-M microvm ")):
            if this in line:
                yield other.split()[1], line.replace(this, other)


class Machine(Server):
    def __init__(self, case, line):
        self.case, self.ended = case, False
        self.host, self.port = case.host, case.port
        self.since = len(self.host.console())
        self.host.start_outer(f"exec {line}")
        case.servers.append(self)

    def stop(self, seconds=40):
        """Ctrl-C on the serial port."""
        if self.ended:
            return
        self.ended = True
        self.host.keys(r"\003")
        found = self.wait_log(r"program exited with (\d+)", seconds)
        self.case.assertEqual(int(found[1]), 0, self.log())
        for said in ("asked to end by Ctrl-C", "the volume is flushed and clean", "the machine ends"):
            self.case.assertIn(said, self.log())


class Nested(Case):
    serve = False
    seconds = 400

    def test_the_lines_of_the_documentation(self):
        self.image = self.make_image("disk.img")
        self.host = Host(KERNEL, self.image, self.port, memory=768, outer=True)
        ran = []
        for machine, line in lines():
            with self.subTest(machine):
                self.server = Machine(self, line).wait_listening()
                self.configure(self.server)
                name = f"file{len(ran)}"
                self.write("up", content(3_000_001))
                self.sftp(f"put up {name}", f"get {name} down", "df")
                self.assertEqual(self.read("down"), content(3_000_001))
                self.expected[name] = content(3_000_001)
                self.server.stop()
                ran.append(machine)
        self.assertEqual(ran, ["q35", "pc", "microvm", "microvm,acpi=off"])
        self.host.end()


if __name__ == "__main__":
    unittest.main()
