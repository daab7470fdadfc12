"""The rig itself, with a Linux guest: what it says of a guest must be true before the server's
tests can mean anything."""
import hashlib
import os
import tempfile
import unittest
import urllib.request

import setup
from case import rig

SERVED = 128 << 10     # what linux/init serves and copies, in bytes


class Xen(unittest.TestCase):
    def test_it_is_the_one_that_was_asked_for(self):
        status, said = rig().call("xl info xen_version; uname -r")
        xen, linux = said.decode().split()
        self.assertEqual((status, xen.rpartition(".")[0]), (0, setup.XEN))
        self.assertTrue(linux.startswith(setup.LINUX), linux)


class LinuxGuest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rig = rig()
        cls.scratch = cls.enterClassContext(tempfile.TemporaryDirectory())

    def image(self, name, size=4 << 20):
        path = os.path.join(self.scratch, name)
        with open(path, "wb") as file:
            file.write(self.content(name, size))
        return path

    @staticmethod
    def content(name, size=4 << 20):
        return hashlib.shake_128(name.encode()).digest(size)

    @staticmethod
    def read(path):
        with open(path, "rb") as file:
            return file.read()

    def guest(self, number, *disks):
        """`number` is above those of case.py: QEMU's network remembers who had an address."""
        address = f"10.0.2.{number}"
        guest = self.rig.guest(f"{self.rig.files}/vmlinuz", memory=160, ramdisk=f"{self.rig.files}/linux.cpio",
                               command_line=f"console=hvc0 quiet panic=-1 address={address}/24", disks=disks)
        guest.wait_console("guest ready", 180)
        return guest, f"http://127.0.0.1:{self.rig.forward(address, 80)}/start"

    def fetch(self, url, seconds=30):
        return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=seconds).read()

    def test_two_guests(self):
        """Disks, networks and ends; what is done to one guest is not done to the other."""
        one, two = self.image("one"), self.image("two")
        first, first_url = self.guest(201, one)
        second, second_url = self.guest(202, (two, {"read_only": True}))

        content = self.content("one")
        self.assertEqual(self.fetch(first_url), content[:SERVED])
        self.assertIn("disk written", first.console())
        self.assertEqual(self.read(one), content[:SERVED] * 2 + content[2 * SERVED:], "the host's file after fsync")
        self.assertEqual(self.fetch(second_url), self.content("two")[:SERVED])
        self.assertIn("disk not written", second.console())
        self.assertEqual(self.read(two), self.content("two"))

        first.xl("pause")
        with self.assertRaises(OSError):
            self.fetch(first_url, 1)
        first.xl("unpause")
        self.assertEqual(len(self.fetch(first_url)), SERVED)

        second.detach_network()
        with self.assertRaises(OSError):
            self.fetch(second_url, 1)
        self.assertIsNone(second.destroy(), "a destroyed guest has no reason")
        self.assertFalse(second.running())
        self.assertEqual(first.shutdown(60), 3, first.console())
        self.assertFalse(first.running())

    def test_files_and_failures(self):
        data = os.urandom(100_000) + b"\n7"
        path = os.path.join(self.scratch, "data")
        with open(path, "wb") as file:
            file.write(data)
        self.assertEqual(self.rig.get(self.rig.put(path)), data)
        self.assertEqual(self.rig.call("echo no; exit 7"), (7, b"no\n"))
        self.assertEqual(self.rig.call("sleep 60", seconds=1)[0], 128 + 15)


if __name__ == "__main__":
    unittest.main()
