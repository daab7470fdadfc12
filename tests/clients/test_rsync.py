"""`rsync` into and out of a mount: to it a local folder, since there is no rsync on the other side."""

import os

from mounted import Mounted
from tools import content, tool


class Rsync(Mounted):
    def rsync(self, *args, **kwargs):
        return self.run_program(tool("rsync"), *args, **kwargs)

    def tree(self):
        for number in range(40):
            name = f"tree/dir {number % 4}/file-{number}"
            self.write(name, content(number * 2000, number))
            self.expected[name] = content(number * 2000, number)
        return self.path("tree") + "/", os.path.join(self.mnt, "tree") + "/"

    def changes(self, *args):
        """What a run would do, as --itemize-changes tells it, folders' times aside."""
        lines = self.rsync("-n", "-i", *args).out.splitlines()
        return [line for line in lines if not line.startswith(".d..t")]

    def test_archive(self):
        here, there = self.tree()
        self.rsync("-a", here, there)
        # FAT keeps every second second. Owners and modes are accepted and not kept, which is no error,
        # but rsync sees that they differ unless it is told not to look.
        self.assertEqual(self.changes("-rt", "--modify-window=1", here, there), [])
        self.rsync("-a", there, self.path("back"))
        self.shell('diff -r "$1" "$2"', here, self.path("back"))

    def test_delete(self):
        here, there = self.tree()
        self.rsync("-a", here, there)
        self.shell('rm "$1/dir 0/file-4"; rm -r "$1/dir 1"; echo new > "$1/new"; echo changed > "$1/dir 2/file-6"', here)
        self.rsync("-a", "--delete", "--modify-window=1", here, there)
        self.shell('diff -r "$1" "$2"', here, there)
        self.expected.update({"tree/dir 0/file-4": None, "tree/new": b"new\n", "tree/dir 2/file-6": b"changed\n"})
        for number in range(1, 40, 4):
            self.expected[f"tree/dir 1/file-{number}"] = None

    def test_in_place_with_differences_only(self):
        data = bytearray(content(2_000_000))
        here, there = self.write("file", bytes(data)), os.path.join(self.mnt, "file")
        self.rsync("-a", here, there)
        data[1_000_000:1_000_010] = b"0123456789"
        data += b"and more"
        self.write("file", bytes(data))
        said = self.rsync("-a", "--inplace", "--no-whole-file", "--ignore-times", "--stats", here, there).out
        self.assertNotRegex(said, r"Matched data: 0 bytes")
        self.expected["file"] = bytes(data)

    def test_append(self):
        data = content(1_500_000)
        there = os.path.join(self.mnt, "file")
        self.rsync("-a", self.write("part", data[:600_000]), there)
        said = self.rsync("-a", "--append-verify", "--stats", self.write("file", data), there).out
        self.assertIn("Literal data: 900,000 bytes", said)
        self.expected["file"] = data

    def test_links_are_named_and_the_rest_goes_on(self):
        here, there = self.tree()
        os.symlink("file-4", self.path("tree/dir 0/link"))
        result = self.rsync("-a", here, there, ok=False)
        self.assertEqual(result.code, 23)
        self.assertRegex(result.err, r'symlink .*link" -> "file-4" failed: Operation not supported')
        self.rsync("-a", "--copy-links", "--modify-window=1", here, there)
        self.expected["tree/dir 0/link"] = content(8000, 4)
