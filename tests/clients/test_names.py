"""Names that FAT itself cannot hold, or only just, through sshfs and rclone and back."""

import os

from mounted import Mounted
from tools import content, tool

NAMES = [f"a{c}b" for c in '"*:<>?|\\'] + ['"*:<>?|\\', "*", "?", "..."] + [
    "dot.", "dots...", "space ", "spaces   ", "dot and space. ", "space and dot .", ".hidden", " leading", "a.b.c.d",
    "rocket🚀", "🚀🚀", "👩‍👩‍👧‍👦", "日本語", "Ünïcödé", "it's", "#;&$(x)", "-dash", "~tilde", "%41", "CON", "nul.txt",
    "x" * 255, "y" * 251 + ".txt", "z" * 254 + ".", "é" * 127]

# rclone shows control characters as pictures of them, whatever the server.
CONTROL = ["tab\there", "line\nhere", "bell\a"]

# More than 255 bytes: the volume takes 255 UTF-16 units, the local file system under rclone 255 bytes.
LONG = ["é" * 255, "日" * 255, "🚀" * 127 + "x"]


class Names(Mounted):
    def setUp(self):
        super().setUp()
        for number, name in enumerate(NAMES):
            self.write(f"names/{name}", content(100, number))

    def remote_names(self, folder):
        """As the server tells them to a client that changes nothing in them."""
        return set(self.paramiko_sftp().listdir(folder))

    def rclone(self, *args, **kwargs):
        return self.run_program(
            tool("rclone"), "--config", self.write("config.rclone", ""), "--sftp-host", "127.0.0.1", "--sftp-port",
            str(self.server.port), "--sftp-user", "mirage", "--sftp-key-file", self.key, "--sftp-shell-type", "none",
            "--retries", "1", "--low-level-retries", "1", *args, **kwargs)

    def test_sshfs(self):
        for name in CONTROL:
            self.write(f"names/{name}", name)
        self.sh('cp -r "$2/names" there; cp -r there "$2/back"; diff -r "$2/names" "$2/back"')
        self.assertEqual(self.remote_names("there"), {*NAMES, *CONTROL})
        self.assertEqual(set(os.listdir(self.path("back"))), {*NAMES, *CONTROL})
        # The character that Windows and Linux' cifs use too, here as mtools reads it of the image.
        self.expected["there/a\uf03ab"] = content(100, NAMES.index("a:b"))

    def test_each_is_removed_and_moved_by_its_name(self):
        self.sh('cp -r "$2/names" there; mkdir other; for f in there/* there/.[!.]* there/...; do mv "$f" other/; done;'
                'test -z "$(ls -A there)"; diff -r "$2/names" other; rm -r other; test ! -e other')

    def test_rclone(self):
        self.rclone("copy", self.path("names"), ":sftp:there")
        self.assertEqual(self.remote_names("there"), set(NAMES))
        self.rclone("check", "--download", self.path("names"), ":sftp:there")
        self.rclone("copy", ":sftp:there", self.path("back"))
        self.shell('diff -r "$1" "$2"', self.path("names"), self.path("back"))

    def test_sshfs_and_rclone_see_the_same(self):
        self.sh('cp -r "$2/names" there')
        self.rclone("check", "--download", self.path("names"), ":sftp:there")

    def test_255_characters_of_several_bytes(self):
        for name in LONG:
            self.rclone("rcat", f":sftp:{name}", stdin=name)
            self.assertEqual(self.sh('cat "$3"', name).out, name)
            self.sh('mv "$3" x; mv x "$3"', name)
            self.assertEqual(self.rclone("cat", f":sftp:{name}").out, name)
        self.assertLessEqual(set(LONG), self.remote_names("/"))

    def test_latin1_by_sshfs_own_module(self):
        point = self.mount("-o", "modules=iconv,from_code=UTF-8,to_code=ISO-8859-1", name="latin1")
        self.shell(r"""cd "$1"; echo x > "$(printf 'caf\351')"; test "$(ls caf*)" = "$(printf 'caf\351')" """, point)
        self.assertEqual(self.remote_names("/"), {"mirage.pub", "café"})

    def test_too_long_is_refused(self):
        for name in ["x" * 256, "é" * 256, "🚀" * 128]:
            self.assertIn("Bad message", self.sh(': > "$3"', name, ok=False).err)
            self.assertIn("the name is too long", self.rclone("rcat", f":sftp:{name}", stdin="x", ok=False).err)
        self.assertEqual(self.remote_names("/"), {"mirage.pub"})
