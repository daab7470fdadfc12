"""paramiko: requests of one's own, in any order, with the exact answers."""

import errno
import random
import stat

from harness import Case
from tools import content, paramiko


def int64(value):
    """How paramiko marks a number of 64 bits; the name depends on its version."""
    module = paramiko()
    kind = module.sftp.int64 if hasattr(module.sftp, "int64") else module.py3compat.long
    return kind(value)


class Files(Case):
    def setUp(self):
        super().setUp()
        self.remote = self.paramiko_sftp()

    def put(self, name, data):
        with self.remote.open(name, "wb") as file:
            file.set_pipelined(True)
            file.write(data)
        self.expected[name] = data

    def get(self, name):
        with self.remote.open(name, "rb") as file:
            return file.read()

    def test_put_confirm_and_get(self):
        up = self.write("up", content(2_500_000))
        self.assertEqual(self.remote.put(up, "file", confirm=True).st_size, 2_500_000)
        self.remote.get("file", self.path("down"))
        self.assertEqual(self.read("down"), content(2_500_000))
        self.expected["file"] = content(2_500_000)

    def test_random_access(self):
        data = bytearray(content(1_000_000))
        self.put("file", bytes(data))
        dice = random.Random(7)
        with self.remote.open("file", "r+b") as file:
            for number in range(150):
                offset, length = dice.randrange(len(data)), dice.choice([1, 100, 512, 4096, 70_000])
                if number % 2:
                    piece = content(length, number)
                    file.seek(offset)
                    file.write(piece)
                    data[offset:offset + length] = piece
                else:
                    file.seek(offset)
                    self.assertEqual(file.read(length), bytes(data[offset:offset + length]))
        self.expected["file"] = bytes(data)

    def test_64_reads_at_once(self):
        data = content(64 * 4096)
        self.put("file", data)
        order = list(range(64))
        random.Random(3).shuffle(order)
        with self.remote.open("file", "rb") as file:
            pieces = list(file.readv([(number * 4096, 4096) for number in order]))
        self.assertEqual(pieces, [data[n * 4096:(n + 1) * 4096] for n in order])

    def test_prefetch(self):
        data = content(4_000_000)
        self.put("file", data)
        with self.remote.open("file", "rb") as file:
            file.prefetch(len(data))
            self.assertEqual(file.read(), data)

    def test_read_at_and_past_the_end(self):
        self.put("file", b"12345")
        with self.remote.open("file", "rb") as file:
            file.seek(3)
            self.assertEqual(file.read(100), b"45")
            self.assertEqual(file.read(100), b"")
            file.seek(5000)
            self.assertEqual(file.read(1), b"")

    def test_write_past_the_end_fills_with_zeros(self):
        self.put("old", content(600_000))
        self.remote.remove("old")
        with self.remote.open("file", "wb") as file:
            file.seek(400_000)
            file.write(b"end")
        self.assertEqual(self.get("file"), bytes(400_000) + b"end")
        self.expected = {"old": None, "file": bytes(400_000) + b"end"}

    def test_open_modes(self):
        self.put("file", b"old")
        with self.remote.open("file", "ab") as file:
            file.write(b" more")
        self.assertEqual(self.get("file"), b"old more")
        with self.remote.open("file", "r+b") as file:
            file.write(b"new")
        self.assertEqual(self.get("file"), b"new more")
        with self.assertRaises(OSError):
            self.remote.open("file", "wx")
        with self.remote.open("fresh", "wx") as file:
            file.write(b"x")
        with self.assertRaises(FileNotFoundError):
            self.remote.open("missing", "r+b")
        with self.remote.open("file", "wb"):
            pass
        self.assertEqual(self.remote.stat("file").st_size, 0)
        self.expected.update({"file": b"", "fresh": b"x"})

    def test_truncate(self):
        data = content(200_000)
        self.put("a", data)
        self.put("b", data)
        self.remote.truncate("a", 77_777)
        with self.remote.open("b", "r+b") as file:
            file.truncate(250_000)
            self.assertEqual(file.stat().st_size, 250_000)
        self.expected.update({"a": data[:77_777], "b": data + bytes(50_000)})

    def test_one_file_open_twice(self):
        self.put("file", b"0" * 1000)
        with self.remote.open("file", "r+b") as one, self.remote.open("file", "rb") as two:
            one.write(b"changed")
            self.assertEqual(two.read(7), b"changed")
            one.truncate(3)
            self.assertEqual(two.stat().st_size, 3)
        self.expected["file"] = b"cha"

    def test_rename(self):
        self.put("a", b"a")
        self.put("b", b"b")
        with self.assertRaises(OSError):
            self.remote.rename("a", "b")        # version 3's own RENAME keeps what is there
        self.assertEqual(self.get("b"), b"b")
        self.remote.posix_rename("a", "b")
        self.expected.update({"a": None, "b": b"a"})


class Attributes(Case):
    def setUp(self):
        super().setUp()
        self.remote = self.paramiko_sftp()

    def test_stat_of_what_is_missing(self):
        for path in ["missing", "missing/deeper", "mirage.pub/below"]:
            for call in (self.remote.stat, self.remote.lstat, self.remote.listdir, self.remote.remove,
                         self.remote.rmdir):
                with self.assertRaises(OSError) as caught:
                    call(path)
                self.assertEqual(caught.exception.errno, errno.ENOENT, (call.__name__, path))

    def test_kinds_are_not_mixed_up(self):
        self.remote.mkdir("d")
        for call in (lambda: self.remote.remove("d"), lambda: self.remote.rmdir("mirage.pub"),
                     lambda: self.remote.listdir("mirage.pub"), lambda: self.remote.open("d", "wb"),
                     lambda: self.remote.mkdir("d"), lambda: self.remote.rmdir("/")):
            with self.assertRaises(OSError):
                call()
        self.assertTrue(stat.S_ISDIR(self.remote.stat("d").st_mode))
        self.assertTrue(stat.S_ISREG(self.remote.stat("mirage.pub").st_mode))

    def test_listing_carries_attributes(self):
        self.remote.mkdir("many")
        self.remote.chdir("many")
        for number in range(250):
            with self.remote.open(f"a long name with the number {number}", "wb") as file:
                file.write(b"x" * number)
        listed = {entry.filename: entry for entry in self.remote.listdir_attr()}
        for number in range(250):
            entry = listed[f"a long name with the number {number}"]
            self.assertEqual(entry.st_size, number)
            self.assertTrue(stat.S_ISREG(entry.st_mode))
        self.assertEqual(len([name for name in listed if name not in (".", "..")]), 250)

    def test_times(self):
        self.remote.mkdir("d")
        for path in ["mirage.pub", "d"]:
            self.remote.utime(path, (1_400_000_000, 1_300_000_000))
            self.assertEqual(self.remote.stat(path).st_mtime, 1_300_000_000)
        # FAT counts from 1980: what lies before, or after 2107, is an error or the nearest it has.
        for outside in [0, 4_294_967_295]:
            try:
                self.remote.utime("mirage.pub", (outside, outside))
            except OSError:
                continue
            self.assertTrue(315_532_800 <= self.remote.stat("mirage.pub").st_mtime <= 4_354_819_198)

    def test_normalize(self):
        self.assertEqual(self.remote.normalize("."), "/")
        self.remote.mkdir("d")
        self.assertEqual(self.remote.normalize("d/../d/."), "/d")
        self.assertEqual(self.remote.normalize("../../.."), "/")
        self.assertEqual(self.remote.normalize("/d/not-yet"), "/d/not-yet")
        for path in ["/not/there", "not/", "not/../d", "mirage.pub/../d"]:
            with self.assertRaises(FileNotFoundError):
                self.remote.normalize(path)

    def test_odd_paths(self):
        for path in ["", "/", "//", "/./", "."]:
            self.assertTrue(stat.S_ISDIR(self.remote.stat(path).st_mode), path)
        for path in ["a\0b", "x" * 256, "x" * 5000, "y/" * 2000, "con\ntrol\x01"]:
            with self.assertRaises(OSError):
                self.remote.stat(path)


class Handles(Case):
    def setUp(self):
        super().setUp()
        self.remote = self.paramiko_sftp()

    def test_forged_handle_is_an_error(self):
        wire = paramiko().sftp
        for handle in [b"", b"0", b"\0\0\0\0", b"\xff" * 4, b"/mirage.pub", b"h" * 300]:
            with self.assertRaises(OSError):
                self.remote._request(wire.CMD_READ, handle, int64(0), 10)
            with self.assertRaises(OSError):
                self.remote._request(wire.CMD_CLOSE, handle)
        self.assertIn("mirage.pub", self.remote.listdir())

    def test_closed_handle_is_an_error(self):
        wire = paramiko().sftp
        file = self.remote.open("mirage.pub", "rb")
        handle = file.handle
        file.close()
        with self.assertRaises(OSError):
            self.remote._request(wire.CMD_READ, handle, int64(0), 10)

    def test_handles_have_a_limit_that_others_do_not_feel(self):
        opened = []
        with self.assertRaises(OSError):
            for _ in range(5000):
                opened.append(self.remote.open("mirage.pub", "rb"))
        other = self.paramiko_sftp()
        with other.open("mirage.pub", "rb") as file:
            self.assertTrue(file.read())
        for file in opened:
            file.close()
        self.assertIn("mirage.pub", self.remote.listdir())

    def test_unknown_request_and_extension(self):
        wire = paramiko().sftp
        with self.assertRaises(OSError):
            self.remote._request(wire.CMD_EXTENDED, "no-such@example.org", "x")
        with self.assertRaises(OSError):
            self.remote._request(99, "x")
        self.assertIn("mirage.pub", self.remote.listdir())
