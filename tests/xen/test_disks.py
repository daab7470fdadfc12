"""The guest's disks: large ones, several, read-only, none."""
from case import POWERED_OFF, Case
from tools import content, program, tool


class Disks(Case):
    serve = False

    def test_2_gib(self):
        self.image = self.make_image("disk.img", "32", "2G")
        self.server = self.start(self.image)
        self.write("up", content(2_000_000))
        self.sftp("put up file", "get file down")
        self.assertEqual(self.read("down"), content(2_000_000))
        free = self.paramiko().open_sftp()._request(200, "statvfs@openssh.com", "/")[1]
        sizes = [free.get_int64() for _ in range(4)]
        self.assertGreater(sizes[1] * sizes[2], 2_000_000_000, "f_frsize * f_blocks")
        self.expected["file"] = content(2_000_000)

    def test_4096_byte_sectors(self):
        """A disk that takes whole 4 KiB only, and a volume made for it."""
        self.image = self.path("disk.img")
        self.run_program(tool("mkfs.fat"), "-S", "4096", "-C", self.image, str(256 << 10))
        self.images.append(self.image)
        self.server = self.start(None, "--key", self.public(self.key), more_disks=[(self.image, {"sector": 4096})])
        self.write("up", content(100_001))
        self.sftp("put up file", "get file down", "mkdir d", "rename file d/file")
        self.assertEqual(self.read("down"), content(100_001))
        self.expected["d/file"] = content(100_001)

    def test_512_byte_sectors_on_such_a_disk(self):
        """No FAT engine can write single sectors of it: the log says so, and nothing is changed."""
        image = self.make_image("disk.img")
        before = self.digest(image)
        server = self.boot(disks=[(image, {"sector": 4096})])
        server.wait_log(r"sectors are smaller than the disk's", 30)
        self.assertEqual(server.wait(30), POWERED_OFF, server.log())
        self.assertEqual(self.digest(image), before)

    def test_private_volume_comes_first(self):
        """With xvda and xvdb, xvdb is served: a qube's private volume."""
        other, self.image = self.make_image("root.img"), self.make_image("private.img")
        before = self.digest(other)
        self.server = self.start(None, more_disks=[other, self.image])
        self.write("up", "x")
        self.sftp("put up file")
        self.server.stop()
        self.expected["file"] = b"x"
        self.assertEqual(self.digest(other), before, "xvda was written to")

    def test_disk_option(self):
        self.image, other = self.make_image("root.img"), self.make_image("private.img")
        before = self.digest(other)
        self.server = self.start(None, "--disk", "xvda", more_disks=[self.image, other])
        self.write("up", "x")
        self.sftp("put up file")
        self.server.stop()
        self.expected["file"] = b"x"
        self.assertEqual(self.digest(other), before, "xvdb was written to")

    def test_read_only_disk(self):
        self.image = self.make_image("disk.img")
        text = self.write("text", "on the disk\n")
        self.run_program(program("fat"), "add", self.image, text)
        before = self.digest(self.image)
        self.server = self.start(None, more_disks=[(self.image, {"read_only": True})])
        self.sftp("get text down")
        self.assertEqual(self.read("down"), b"on the disk\n")
        refused = self.sftp("put text other", ok=False)
        self.assertRegex(refused.text, "(?i)permission denied|read-only|failure")
        self.sftp("ls")
        self.server.stop()
        self.assertEqual(self.digest(self.image), before)

    def test_format_if_blank(self):
        self.image = self.path("blank.img")
        with open(self.image, "wb") as file:
            file.truncate(64 << 20)
        self.images.append(self.image)
        self.server = self.start(self.image, "--format-if-blank", "--key", self.public(self.key))
        self.write("up", "x")
        self.sftp("put up file")
        self.expected["file"] = b"x"

    def test_no_disk(self):
        """It waits a little for one, says so, and ends."""
        server = self.boot(disks=[])
        server.wait_log("no disk yet", 30)
        server.wait_log("no disk came: attach one", 60)
        self.assertEqual(server.wait(30), POWERED_OFF, server.log())

    def test_disk_that_comes_late(self):
        server = self.boot(disks=[])
        server.wait_log("no disk yet", 30)
        server.guest.attach_disk(self.make_image("late.img"), "xvdb")
        server.wait_listening()
        server.stop()

    def test_shutdown_without_a_disk(self):
        server = self.boot(disks=[])
        server.wait_log("no disk yet", 30)
        server.stop()

    def test_not_a_volume(self):
        self.image = self.write("noise.img", content(16 << 20))
        server = self.boot(disks=[self.image])
        server.wait_log(r"cannot run|not a FAT|no FAT", 30)
        self.assertEqual(server.wait(30), POWERED_OFF, server.log())
        self.assertEqual(self.read("noise.img"), content(16 << 20))

    def digest(self, path):
        return self.run_program("sha256sum", path).out.split()[0]
