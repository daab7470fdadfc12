"""The kernel's ELF as Solo5's tenders read it: the one that is right, and what they refuse. Needs no KVM."""
import hashlib
import os
import re
import shutil
import struct
import subprocess
import tempfile
import unittest

import setup
from case import KERNEL
from tools import ROOT  # which `case` finds

LOAD, NOTE, INTERP = 1, 4, 3
ABI, MANIFEST = 0x31494241, 0x3154464D


class Elf:
    """An ELF whose headers can be changed: dictionaries of their fields."""

    NAMES = ("type", "flags", "offset", "vaddr", "paddr", "filesz", "memsz", "align")

    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = bytearray(file.read())
        (self.start,), (count,) = struct.unpack_from("<Q", self.bytes, 32), struct.unpack_from("<H", self.bytes, 56)
        self.headers = [dict(zip(self.NAMES, struct.unpack_from("<IIQQQQQQ", self.bytes, self.start + 56 * i)))
                        for i in range(count)]

    def of_type(self, kind):
        return [header for header in self.headers if header["type"] == kind]

    def note(self, kind):
        """The program header of a note of Solo5's."""
        return next(header for header in self.of_type(NOTE)
                    if struct.unpack_from("<I", self.bytes, header["offset"] + 8)[0] == kind)

    def put(self, at, form, value):
        struct.pack_into(form, self.bytes, at, value)

    def second(self, kind):
        """Puts another note before this one."""
        header = self.note(kind)
        note = self.bytes[header["offset"]:header["offset"] + header["filesz"]]
        other = struct.pack("<III", 4, 4, 1) + b"GNU\0" + bytes(4)
        header.update(offset=len(self.bytes), filesz=len(other + note), memsz=len(other + note))
        self.bytes += other + note

    def write(self, path):
        for number, header in enumerate(self.headers):
            struct.pack_into("<IIQQQQQQ", self.bytes, self.start + 56 * number, *(header[n] for n in self.NAMES))
        with open(path, "wb") as file:
            file.write(self.bytes)


def each_load(**fields):
    return lambda elf: [header.update(fields) for header in elf.of_type(LOAD)]


def unsorted(elf):
    first, second = [i for i, header in enumerate(elf.headers) if header["type"] == LOAD][:2]
    elf.headers[first], elf.headers[second] = elf.headers[second], elf.headers[first]


REFUSED = {
    "relocatable": lambda elf: elf.put(16, "<H", 3),
    "writable and executable": lambda elf: elf.of_type(LOAD)[0].update(flags=7),
    "unsorted segments": unsorted,
    "segments of no alignment": each_load(align=1),
    "2 MiB alignment at 1 MiB": each_load(align=2 << 20),
    "an entry below memory": lambda elf: elf.put(24, "<Q", 0x1000),
    "version 1 of the ABI": lambda elf: elf.put(elf.note(ABI)["offset"] + 24, "<I", 1),
    "the target spt": lambda elf: elf.put(elf.note(ABI)["offset"] + 20, "<I", 2),
    "the ABI as second note": lambda elf: elf.second(ABI),
    "the manifest as second note": lambda elf: elf.second(MANIFEST),
    "version 2 of the manifest": lambda elf: elf.put(elf.note(MANIFEST)["offset"] + 24, "<I", 2),
}


class Headers(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="elf-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.tender = os.environ.get("HVT_TENDER")
        if not self.tender:
            self.tender = f"{self.folder}/tender"
            setup.tender(self.tender)

    def takes(self, change=lambda elf: None):
        elf = Elf(KERNEL)
        change(elf)
        path = f"{self.folder}/elf"
        elf.write(path)
        done = subprocess.run([self.tender, "--check", "--mem=32", path], capture_output=True, text=True, timeout=20)
        return done.returncode == 0, done.stderr

    def test_taken(self):
        for what, change in {
                "as it is": lambda elf: None,
                "another OSABI": lambda elf: elf.put(7, "<B", 3)}.items():
            with self.subTest(what):
                self.assertEqual(self.takes(change), (True, ""))

    def test_refused(self):
        for what, change in REFUSED.items():
            with self.subTest(what):
                taken, why = self.takes(change)
                self.assertFalse(taken)
                self.assertTrue(why.startswith("tender: "), why)

    def test_the_last_note_is_xens(self):
        """Loaders of the crate linux-loader forget Xen's entry at each note that comes after it."""
        elf = Elf(KERNEL)
        last = elf.of_type(NOTE)[-1]
        self.assertGreater(last["offset"], 0)
        self.assertEqual(elf.bytes[last["offset"] + 12:last["offset"] + 16], b"Xen\0")
        self.assertEqual(elf.of_type(INTERP), [])


class OneFile(unittest.TestCase):
    def test_make_boots_the_same_bytes_everywhere(self):
        """What `make xen`, `make vm` and `make hvt` give to their programs, in whose place one tells the sum."""
        folder = tempfile.mkdtemp(prefix="make-")
        self.addCleanup(shutil.rmtree, folder)
        tell = f"{folder}/tell"
        with open(tell, "w") as file:
            file.write('#!/bin/sh\nfor word; do case $word in *.elf) sha256sum <"$word" ;; esac; done\n')
        os.chmod(tell, 0o755)
        variables = [f"PYTHON={tell}", f"HVT={tell}", "SERVER=true", "DISK=/dev/null"]
        # Not those of a make that runs this test.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        told = {}
        for target in ("xen", "vm", "hvt"):
            done = subprocess.run(["make", "-C", ROOT, target, *variables], capture_output=True, text=True,
                                  timeout=600, env=environment)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            told[target] = re.findall(r"^([0-9a-f]{64})  -$", done.stdout, re.M)
        with open(f"{ROOT}/target/mirage-sshfs.elf", "rb") as file:
            wanted = [hashlib.sha256(file.read()).hexdigest()]
        self.assertEqual(told, dict.fromkeys(told, wanted))


if __name__ == "__main__":
    unittest.main()
