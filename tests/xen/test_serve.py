"""The guest serves: transfers, a mounted volume, many clients."""
import os
import shutil
import subprocess
import time

from case import LONG, Case
from tools import big_file, content, sha256, tool

MIB = 1 << 20


class Serve(Case):
    seconds = 1200 if LONG else 240

    def test_put_and_get(self):
        sizes = [0, 1, 4095, 4096, 32768, 1_000_003, 8 * MIB]
        for size in sizes:
            self.write(f"up{size}", content(size))
            self.expected[f"f{size}"] = content(size)
        self.sftp(*(f"put up{size} f{size}" for size in sizes), *(f"get f{size} down{size}" for size in sizes))
        for size in sizes:
            self.assertEqual(self.read(f"down{size}"), content(size))

    def test_time_and_names(self):
        """The clock is Xen's, and names are what clients gave."""
        self.write("up", "x")
        self.sftp("mkdir Ünïcödé", "put up \"Ünïcödé/two words\"", "rename \"Ünïcödé/two words\" Ünïcödé/rocket🚀")
        remote = self.paramiko_sftp()
        (found,) = remote.listdir_attr("Ünïcödé")
        self.assertEqual((found.filename, found.st_size), ("rocket🚀", 1))
        self.assertLess(abs(found.st_mtime - time.time()), 60)

    def test_a_clone(self):
        """A copy of the volume of a guest that is off, as `qvm-clone` makes it, has its files, and its key: ssh would
        refuse another one, known_hosts has the first."""
        self.write("up", content(100_000))
        self.sftp("put up file")
        self.server.stop()
        clone = self.path("clone.img")
        shutil.copyfile(self.image, clone)
        self.image = clone
        self.images.append(clone)
        self.server = self.start(self.image)
        self.sftp("get file down")
        self.assertEqual(self.read("down"), content(100_000))
        self.expected["file"] = content(100_000)

    def test_reconnects(self):
        command = [tool("ssh"), "-F", self.path("config"), "-s", "server", "sftp"]
        for number in range(1000 if LONG else 40):
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
            self.assertNotEqual(done.returncode, 255, f"login {number}: {done.stderr}\n{self.server.log()[-3000:]}")
        # And those that never log in. Both are more than there are places.
        for number in range(100 if LONG else 40):
            self.server.banner()
        self.sftp("ls")


class Mounted(Case):
    seconds = 180
    size = "64M"

    def test_git(self):
        self.use_git(self.mount())

    def test_tar(self):
        for number in range(40):
            self.write(f"tree/dir {number % 7}/f{number}", content(number * 997, number))
        point = self.mount()
        self.shell('cd "$1"; tar cf tree.tar tree; cd "$2"; tar xf "$1/tree.tar"; diff -r tree "$1/tree"; '
                   'tar cf "$1/back.tar" tree; tar df "$1/back.tar"', self.scratch, point)
        self.expected["tree/dir 4/f39"] = content(39 * 997, 39)


class AtOnce(Case):
    seconds = 240
    size = "160M"

    def test_eight_clients(self):
        self.at_once(8, MIB)

    def test_sixteen_clients(self):
        self.at_once(16, 100_000)


class MuchMemory(AtOnce):
    memory = 64
    test_sixteen_clients = None


class LittleMemory(AtOnce):
    """What 32 MiB bear is less in 24, and still serves."""
    memory = 24
    test_eight_clients = test_sixteen_clients = None

    def test_four_clients(self):
        self.at_once(4, MIB)


class LeastMemory(AtOnce):
    """12 MiB: room for three."""
    memory = 12
    test_eight_clients = test_sixteen_clients = None

    def test_three_clients(self):
        self.at_once(3, 8 * MIB)

    def test_open_files(self):
        """One client cannot open so much that there is no memory left, and the others go on."""
        greedy, other = self.paramiko_sftp(), self.paramiko_sftp()
        opened = []
        with self.assertRaisesRegex(OSError, "too much open"):
            for number in range(256):
                opened.append(greedy.open(f"f{number}", "w"))
        self.assertEqual(len(opened), 64)
        self.assertEqual(len(other.listdir_attr("/")), len(opened) + 1)
        opened.pop().close()
        with other.open("other", "w") as file:
            file.write(b"x" * 100_000)
        self.expected["other"] = b"x" * 100_000


class Big(Case):
    """256 MiB written and read back, in the long form; 24 in the normal one."""
    seconds = 900 if LONG else 150
    size = "600M" if LONG else "100M"
    fat = "32"

    def test_big_file(self):
        self.expected["big"] = big_file(self.path("big"), (256 if LONG else 24) * MIB)
        self.sftp("put big big", "get big down")
        self.assertEqual(sha256(self.path("down")), self.expected["big"])
        os.unlink(self.path("down"))
