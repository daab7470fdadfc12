"""`curl`, whose SFTP is libssh2's."""

from harness import Case
from tools import content, tool


class Curl(Case):
    def curl(self, *args, path="", **kwargs):
        # "mirage:" is a user and no password; the key of the server is checked by its SHA-256.
        return self.run_program(
            tool("curl"), "--silent", "--show-error", "--user", "mirage:", "--key", self.key, "--pubkey", self.key + ".pub",
            "--hostpubsha256", self.fingerprint(), *args, f"sftp://127.0.0.1:{self.server.port}/{path}", **kwargs)

    def fingerprint(self):
        return self.server.wait_log(r"host key SHA256:(\S+)").group(1)

    def test_there_and_back(self):
        up = self.write("up", content(3_000_000))
        self.curl("-T", up, path="file")
        self.curl("-o", self.path("down"), path="file")
        self.assertEqual(self.read("down"), content(3_000_000))
        self.expected["file"] = content(3_000_000)

    def test_another_host_key_is_noticed(self):
        """So the right one is accepted for what it is, not because nobody looks."""
        self.fingerprint = lambda: "A" * 43
        self.assertIn("Denied establishing ssh session", self.curl(ok=False).err)

    def test_upload_from_a_pipe_of_unknown_length(self):
        self.curl("-T", "-", path="file", stdin="from a pipe\n" * 1000)
        self.expected["file"] = b"from a pipe\n" * 1000

    def test_ranges(self):
        data = content(200_000)
        self.curl("-T", self.write("up", data), path="file")
        for words, want in [("0-0", data[:1]), ("1000-1999", data[1000:2000]), ("199000-", data[199_000:]),
                            ("-500", data[-500:]), ("150000-900000", data[150_000:])]:
            self.curl("-r", words, "-o", self.path("part"), path="file")
            self.assertEqual(self.read("part"), want, words)

    def test_resume(self):
        data = content(2_000_000)
        up, part, down = self.write("up", data), self.write("part", data[:777_777]), self.write("down", data[:777_777])
        self.curl("-T", part, path="file")
        self.curl("-C", "-", "-T", up, path="file")
        self.curl("-C", "-", "-o", down, path="file")
        self.assertEqual(self.read("down"), data)
        self.expected["file"] = data

    def test_append(self):
        self.curl("-T", self.write("one", content(100_001, 1)), path="file")
        self.curl("--append", "-T", self.write("two", content(50_000, 2)), path="file")
        self.expected["file"] = content(100_001, 1) + content(50_000, 2)

    def test_quote(self):
        """curl's words for what a user would type at a prompt, before (-Q) and after (-Q -) the transfer."""
        up = self.write("up", b"x")
        self.curl("-T", up, "-Q", "mkdir /d", "-Q", "-rename /d/file /d/moved", path="d/file")
        self.curl("-Q", "chmod 444 /d/moved", "-Q", "mtime 20200304 /d/moved", "-Q", "chown 5 /d/moved", "-Q", "pwd",
                  "-Q", "statvfs /", "-Q", "*rm /absent", "-Q", "mkdir /e", "-Q", "rmdir /e")
        listed = self.curl(path="d/").out
        self.assertRegex(listed, r"-r-xr-xr-x.* 1 Mar  4  2020 moved\n")
        self.expected.update({"d/moved": b"x", "d/file": None})

    def test_folders_that_are_missing_are_made(self):
        self.curl("--ftp-create-dirs", "-T", self.write("up", b"x"), path="a/b/c%20d/file")
        self.curl("-o", self.path("down"), path="~/a/b/c%20d/file")
        self.assertEqual(self.read("down"), b"x")
        self.assertIn("file", self.curl("--list-only", path="a/b/c%20d/").out.split())
        self.expected["a/b/c d/file"] = b"x"

    def test_many_files_on_one_connection(self):
        self.write("tree/up", b"x")
        self.curl("-T", "{" + ",".join(self.write(f"up{n}", content(20_000, n)) for n in range(20)) + "}")
        self.expected.update({f"up{n}": content(20_000, n) for n in range(20)})
        self.assertEqual(self.server.log().count("logged in"), 1)
