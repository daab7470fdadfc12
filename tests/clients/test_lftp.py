"""`lftp`: mirrors, and transfers in several pieces. It speaks SFTP itself, over ssh."""

import os

from harness import Case
from tools import content, tool

EVEN = 1_600_000_000    # a time that FAT can keep


class Lftp(Case):
    def lftp(self, *commands, **kwargs):
        settings = [f'set sftp:connect-program "ssh -a -x -F {self.path("config")}"', "set net:max-retries 1",
                    "set cmd:fail-exit yes", "open sftp://mirage:none@server"]
        return self.run_program(tool("lftp"), "--norc", "-c", "; ".join([*settings, *commands]), cwd=self.scratch, **kwargs)

    def tree(self):
        for number in range(40):
            name = f"tree/dir {number % 4}/file-{number}"
            os.utime(self.write(name, content(number * 2000, number)), (EVEN, EVEN))
            self.expected[name] = content(number * 2000, number)

    def test_mirror_both_ways(self):
        self.tree()
        self.lftp("mirror -R -P 3 tree")
        self.lftp("mirror -P 3 tree back")
        self.shell('diff -r "$1" "$2"', self.path("tree"), self.path("back"))
        self.assertEqual(os.stat(self.path("back/dir 3/file-7")).st_mtime, EVEN)

    def test_mirror_again_moves_only_what_changed(self):
        self.tree()
        self.lftp("mirror -R tree")
        self.assertEqual(self.lftp("mirror -R -v tree").text, "")
        os.utime(self.write("tree/dir 0/file-4", b"changed"), (EVEN + 60, EVEN + 60))
        os.unlink(self.path("tree/dir 1/file-5"))
        said = self.lftp("mirror -R -v -e tree").text
        self.assertEqual(set(said.splitlines()), {"Removing old file `dir 0/file-4'", "Transferring file `dir 0/file-4'",
                                                  "Removing old file `dir 1/file-5'"})
        self.expected.update({"tree/dir 0/file-4": b"changed", "tree/dir 1/file-5": None})

    def test_odd_seconds_are_rounded_and_ignored_when_asked(self):
        """FAT keeps every second second: without --ignore-time such a file is sent again each time."""
        os.utime(self.write("tree/file", b"x"), (EVEN + 1, EVEN + 1))
        self.lftp("mirror -R tree")
        self.assertIn("Transferring", self.lftp("mirror -R -v tree").text)
        self.assertEqual(self.lftp("mirror -R -v --ignore-time tree").text, "")
        self.expected["tree/file"] = b"x"

    def test_resume_and_pieces(self):
        data = content(3_000_000)
        self.write("part", data[:1_111_111])
        self.write("up", data)
        self.lftp("put part -o file", "put -c up -o file", "pget -n 4 file -o down")
        self.assertEqual(self.read("down"), data)
        self.write("down", data[:222_222])
        self.lftp("get -c file -o down")
        self.assertEqual(self.read("down"), data)
        self.expected["file"] = data

    def test_words(self):
        self.write("up", content(5000))
        self.lftp("mkdir -p a/b", "put up -o a/b/one", "mv a/b/one a/two", "chmod 444 a/two", "glob cat a/t* > down", "rmdir a/b")
        self.assertEqual(self.read("down"), content(5000))
        self.assertRegex(self.lftp("cls -l a").out, r"-r-xr-xr-x.* 5000 .*a/two")
        self.expected.update({"a/two": content(5000), "a/b/one": None})
        self.lftp("put up -o b", "rm b", "mkdir c", "put -O c up", "rm -r c")
        self.expected.update({"b": None, "c/up": None})
