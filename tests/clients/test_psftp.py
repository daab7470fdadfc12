"""`psftp` of PuTTY, whose SFTP is also that of FileZilla."""

from harness import Case
from tools import content, tool


class Psftp(Case):
    def setUp(self):
        super().setUp()
        self.run_program(tool("puttygen"), self.key, "-O", "private", "-o", self.path("id.ppk"))

    def psftp(self, *lines, **kwargs):
        """The first line that fails ends it with exit code 2."""
        batch = self.write("batch", "\n".join(lines) + "\n")
        host_key = self.server.wait_log(r"host key (SHA256:\S+)").group(1)
        return self.run_program(tool("psftp"), "-batch", "-b", batch, "-P", str(self.server.port), "-i", self.path("id.ppk"),
                                "-hostkey", host_key, "mirage@127.0.0.1", cwd=self.scratch, **kwargs)

    def test_there_and_back(self):
        for size in [0, 1, 100_001, 5_000_000]:
            self.write(f"up{size}", content(size))
            self.psftp(f"put up{size} file{size}", f"get file{size} down{size}")
            self.assertEqual(self.read(f"down{size}"), content(size))
            self.expected[f"file{size}"] = content(size)

    def test_resume(self):
        data = content(2_000_000)
        self.write("part", data[:777_777])
        self.write("down", data[:555_555])
        self.write("whole", data)
        self.psftp("put part file", "reput whole file", "reget file down")
        self.assertEqual(self.read("down"), data)
        self.expected["file"] = data

    def test_tree(self):
        for number in range(30):
            self.write(f"tree/d{number % 3}/f {number}", content(number * 1000, number))
            self.expected[f"tree/d{number % 3}/f {number}"] = content(number * 1000, number)
        self.psftp("put -r tree", "get -r tree back", "cd tree/d1", "pwd", "ls")
        self.shell('diff -r "$1" "$2"', self.path("tree"), self.path("back"))

    def test_words(self):
        self.write("up", b"x")
        out = self.psftp("mkdir a", "put up a/one", "mv a/one a/two", "chmod 444 a/two", "ls a", "mkdir b", "rmdir b",
                         "put up c", "rm c", "mput up*").out
        self.assertRegex(out, r"-r-xr-xr-x.*\b1 .* two")
        self.expected.update({"a/two": b"x", "a/one": None, "c": None, "up": b"x"})
