"""OpenSSH's `sftp`: what a user types at its prompt."""

import os

from harness import Case
from tools import big_file, content, program, sha256

# Each of FAT's forbidden characters, a space, accents, an emoji beyond UTF-16's first plane.
NAMES = ["two words", "Ünïcödé", "日本語.txt", "rocket🚀.txt", 'quote"d', "star*", "co:lon", "less<",
         "more>", "what?", "pi|pe", "back\\slash", "trailing.", "trailing ", "it's", "#hash;and&",
         "a" * 200, ".hidden", "many.dots.in.name", "MiXeD CaSe.TxT"]


def quoted(name):
    """As sftp's prompt takes a name literally: no splitting, no globbing."""
    return "".join("\\" + c if c in ' "\'\\*?[]#|<>:' else c for c in name)


class Transfer(Case):
    def test_put_and_get(self):
        for size in [0, 1, 511, 512, 4096, 32768, 100_001, 5_000_000]:
            self.write(f"up{size}", content(size))
            self.sftp(f"put up{size} file{size}", f"get file{size} down{size}")
            self.assertEqual(self.read(f"down{size}"), content(size))
            self.expected[f"file{size}"] = content(size)

    def test_put_over_a_longer_file_leaves_nothing_of_it(self):
        self.write("long", content(300_000, 1))
        self.write("short", content(1000, 2))
        self.sftp("put long file", "put short file", "get file down")
        self.assertEqual(self.read("down"), content(1000, 2))
        self.expected["file"] = content(1000, 2)

    def test_resume_upload(self):
        data = content(3_000_000)
        self.write("part", data[:1_234_567])
        self.sftp("put part file")
        self.write("whole", data)
        self.sftp("reput whole file")
        self.expected["file"] = data

    def test_resume_download(self):
        data = content(3_000_000)
        self.write("whole", data)
        self.write("down", data[:1_234_567])
        self.sftp("put whole file", "reget file down")
        self.assertEqual(self.read("down"), data)
        self.expected["file"] = data

    def test_put_keeps_times(self):
        path = self.write("old", b"old")
        os.utime(path, (1_600_000_000, 1_600_000_000))
        self.sftp("put -p old file", "get -p file down")
        self.assertEqual(os.stat(self.path("down")).st_mtime, 1_600_000_000)
        self.expected["file"] = b"old"

    def test_recursive(self):
        for number in range(30):
            self.write(f"tree/d{number % 3}/f{number}", content(number * 1000, number))
            self.expected[f"tree/d{number % 3}/f{number}"] = content(number * 1000, number)
        self.sftp("put -R tree", "get -R tree back")
        self.shell('diff -r "$1" "$2"', self.path("tree"), self.path("back"))

    def test_read_of_a_missing_file(self):
        result = self.sftp("get nothing down", ok=False)
        self.assertIn("not found", result.text)


class Big(Case):
    """256 MiB there and back."""

    seconds = 120
    size = "400M"

    def there_and_back(self):
        digest = big_file(self.path("big"), 256 << 20)
        self.sftp("put big big", "get big back")
        self.shell('cmp "$1" "$2"', self.path("big"), self.path("back"))
        self.expected["big"] = digest

    def test_fat16(self):
        self.there_and_back()

    def test_many_downloads(self):
        """A stall that comes once in a few hundred MiB, and that no keep-alive ends, would show."""
        digest = big_file(self.path("up"), 64 << 20)
        self.sftp("put up file", *["get file down"] * 12)
        self.assertEqual(sha256(self.path("down")), digest)


class Big32(Big):
    fat = "32"
    test_fat16 = test_many_downloads = None

    def test_fat32(self):
        self.there_and_back()


class Small12(Case):
    """A floppy's worth of FAT12."""

    fat = "12"
    size = "4M"

    def test_fat12(self):
        self.write("up", content(1_500_000))
        self.sftp("mkdir d", "put up d/file", "get d/file down")
        self.assertEqual(self.read("down"), content(1_500_000))
        self.expected["d/file"] = content(1_500_000)


class Names(Case):
    def test_each_name_there_and_back(self):
        lines = []
        for number, name in enumerate(NAMES):
            self.write(f"n{number}", content(100, number))
            lines += [f"put n{number} {quoted(name)}", f"get {quoted(name)} back{number}"]
        self.sftp(*lines)
        for number, _ in enumerate(NAMES):
            self.assertEqual(self.read(f"back{number}"), content(100, number))
        listed = {entry.filename for entry in self.paramiko_sftp().listdir_attr()}
        self.assertLessEqual(set(NAMES), listed)
        self.server.stop()
        # What other systems show for such a character: the one that Windows and Samba use too.
        listing = self.run_program(program("fat"), "list", self.image).out
        self.assertIn("two words", listing)
        self.expected["two words"] = content(100, 0)
        self.expected["Ünïcödé"] = content(100, 1)
        self.expected["what\uf03f"] = content(100, NAMES.index("what?"))

    def test_case_is_kept_and_ignored(self):
        self.write("up", b"x")
        self.sftp("put up ReadMe", "get README down", "rename ReadMe README")
        self.assertIn("README", self.sftp("ls -1").out.splitlines())
        self.expected["README"] = b"x"


class Directories(Case):
    def test_make_and_remove(self):
        self.write("up", b"x")
        self.sftp("mkdir a", "mkdir a/b", "put up a/b/c", "rm a/b/c", "rmdir a/b", "rmdir a")
        self.assertNotIn("a", self.sftp("ls -1").out.splitlines())
        self.expected["a/b/c"] = None

    def test_full_directory_stays(self):
        self.write("up", b"precious")
        self.sftp("mkdir a", "put up a/c")
        self.sftp("rmdir a", ok=False)
        self.sftp("rm a", ok=False)
        self.expected["a/c"] = b"precious"

    def test_mkdir_twice_fails(self):
        self.sftp("mkdir a")
        self.sftp("mkdir a", ok=False)

    def test_removed_space_comes_back(self):
        self.write("up", content(30_000_000))
        for _ in range(4):
            self.sftp("put up file", "rm file")

    def test_a_thousand_files(self):
        for number in range(1000):
            self.write(f"many/file number {number:04}.txt", f"{number}")
        self.sftp("put -R many")
        names = self.sftp("ls -1 many").out.splitlines()
        listed = sorted(line.strip() for line in names if line.startswith("many/"))
        self.assertEqual(listed, [f"many/file number {n:04}.txt" for n in range(1000)])
        self.expected["many/file number 0777.txt"] = b"777"
        self.sftp("rm many/*", "rmdir many")
        self.expected = {"many/file number 0777.txt": None}

    def test_long_listing(self):
        path = self.write("up", content(12345))
        os.utime(path, (1_600_000_000, 1_600_000_000))
        self.sftp("put -p up sized", "mkdir folder")
        lines = self.sftp("ls -l").out.splitlines()
        file = next(line for line in lines if line.endswith("sized"))
        folder = next(line for line in lines if line.endswith("folder"))
        self.assertRegex(file, r"^-rw.*\b12345\b.*2020")
        self.assertRegex(folder, r"^d")

    def test_free_space(self):
        before = self.free()
        self.write("up", content(8 << 20))
        self.sftp("put up file")
        self.assertAlmostEqual(before - self.free(), 8192, delta=64)

    def free(self):
        """KiB available, from `df`."""
        return int(self.sftp("df").out.splitlines()[-1].split()[2])


class Changes(Case):
    def test_rename(self):
        self.write("up", b"x")
        self.sftp("mkdir d", "put up a", "rename a b", "rename b d/c")
        self.expected.update({"a": None, "b": None, "d/c": b"x"})

    def test_rename_replaces(self):
        self.write("new", content(70_000, 1))
        self.write("old", content(90_000, 2))
        self.sftp("put new a", "put old b", "rename a b")
        self.expected.update({"a": None, "b": content(70_000, 1)})

    def test_rename_of_a_folder(self):
        self.write("up", b"x")
        self.sftp("mkdir a", "mkdir to", "put up a/f", "rename a to/b")
        self.expected.update({"to/b/f": b"x", "a/f": None})

    def test_folder_cannot_go_into_itself(self):
        self.write("up", b"x")
        self.sftp("mkdir a", "mkdir a/b", "put up a/b/f")
        self.sftp("rename a a/b/c", ok=False)
        self.expected["a/b/f"] = b"x"

    def test_rename_over_a_folder_fails(self):
        self.write("up", b"x")
        self.sftp("mkdir d", "put up d/f", "put up a")
        self.sftp("rename a d", ok=False)
        self.expected.update({"a": b"x", "d/f": b"x"})

    def test_chmod_is_accepted(self):
        self.write("up", b"x")
        self.sftp("put up a", "chmod 600 a", "chmod 755 a", "mkdir d", "chmod 700 d")
        self.expected["a"] = b"x"

    def test_links_are_refused(self):
        self.write("up", b"x")
        self.sftp("put up a")
        self.sftp("symlink a b", ok=False)
        self.sftp("ln a c", ok=False)
        self.assertEqual({"a", "mirage.pub"}, set(self.sftp("ls -1").out.split()) - {"sftp>", "ls", "-1"})
        self.expected["a"] = b"x"

    def test_nothing_above_the_root(self):
        self.assertIn("mirage.pub", self.sftp("cd ../../..", "ls -1 ../..").out)
        self.sftp("ls /etc", ok=False)
        self.sftp("get ../../etc/passwd down", ok=False)


class System(Case):
    def test_system_folder_is_out_of_reach(self):
        self.write("up", b"x")
        for name in [".mirage-sshfs", ".MIRAGE-SSHFS", ".mirage-sshfs/", "./.mirage-sshfs", "MIRAGE~1"]:
            self.sftp(f"cd {name}", ok=False)
            self.sftp(f"rm {name}/*", ok=False)
            self.sftp(f"rename {name} mine", ok=False)
        self.assertNotIn("mirage-sshfs", self.sftp("ls -a1").out.lower())


class Batch(Case):
    def test_sftp_program_says_its_directory(self):
        self.assertIn("/", self.sftp("pwd").out)

    def test_ls_of_one_file_and_of_none(self):
        self.assertIn("mirage.pub", self.sftp("ls -l mirage.pub").out)
        self.assertIn("not found", self.sftp("ls -l nothing", ok=False).text)

    def test_large_requests(self):
        """Requests as large as the server's limits allow, and more of them than usual."""
        self.write("up", content(9_000_000))
        self.sftp("put up a", "get a down", options=("-B", "261120", "-R", "256"))
        self.assertEqual(self.read("down"), content(9_000_000))
        self.sftp("put up b", "get b down", options=("-B", "512", "-R", "512"))
        self.assertEqual(self.read("down"), content(9_000_000))
        self.expected.update({"a": content(9_000_000), "b": content(9_000_000)})



class Copy(Case):
    """`cp`, which asks the server to copy (copy-data)."""

    def test_copy_on_the_server(self):
        for size in [0, 1, 262_144, 262_145, 20_000_000]:
            self.write(f"up{size}", content(size))
            self.sftp(f"put up{size} a{size}", f"cp a{size} b{size}")
            self.expected.update({f"a{size}": content(size), f"b{size}": content(size)})

    def test_copy_over_a_longer_file_leaves_nothing_of_it(self):
        self.write("long", content(300_000, 1))
        self.write("short", content(1000, 2))
        self.sftp("mkdir d", "put long d/b", "put short a", "cp a d/b")
        self.expected["d/b"] = content(1000, 2)

    def test_copy_of_nothing_fails(self):
        self.sftp("cp nothing b", ok=False)

    def test_copy_that_does_not_fit_fails_and_the_server_goes_on(self):
        self.write("up", content(30_000_000))
        self.sftp("put up a")
        self.sftp("cp a b", ok=False)
        self.sftp("rm b", "mkdir d")
        self.expected.update({"a": content(30_000_000), "b": None})
