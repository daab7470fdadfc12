"""exFAT volumes: what goes otherwise than on FAT, and the rest as there."""

import os
import time

import test_fsx
import test_sftp
from harness import Case
from tools import content

GIB = 1 << 30


class Transfer(test_sftp.Transfer):
    fat = "exfat"


class Changes(test_sftp.Changes):
    fat = "exfat"


class Names(test_sftp.Names):
    fat = "exfat"


class Directories(test_sftp.Directories):
    fat = "exfat"


class Fsx(test_fsx.Default):
    """One seed; the other ways to mount differ on the client's side."""

    fat = "exfat"
    test_seed_2 = test_seed_3 = None


class Mounted(Case):
    fat = "exfat"
    size = "8G"

    def test_a_file_beyond_4_gib(self):
        """Of which the most is a hole."""
        point = self.mount()
        file = os.path.join(point, "large")
        free = os.statvfs(point).f_bfree
        self.shell("""
            cd "$1"; echo begins > large; truncate -s 5G large; mv large moved
            test "$(head -c 6 moved)" = begins; test "$(tail -c 5 moved | tr -d '\\0' | wc -c)" = 0
            df -B1 . > /dev/null; mv moved large
        """, point)
        self.assertEqual(os.stat(file).st_size, 5 * GIB)
        used = (free - os.statvfs(point).f_bfree) * os.statvfs(point).f_frsize
        self.assertTrue(5 * GIB <= used < 5 * GIB + (1 << 20), used)
        self.assertLess(os.stat(self.image).st_blocks * 512, 64 << 20, "zeros were written")
        self.shell('truncate -s 100000 "$1"; echo ends >> "$1"', file)
        self.expected["large"] = b"begins\n".ljust(100_000, b"\0") + b"ends\n"

    def test_times_to_the_second(self):
        point = self.mount()
        file = os.path.join(point, "file")
        with open(file, "wb") as new:
            new.write(content(1000))
        for time in (1_700_000_001, 315_532_800, 4_000_000_001):
            os.utime(file, (time, time))
            self.assertEqual(os.stat(file).st_mtime, time)
        self.expected["file"] = content(1000)

    def test_a_kept_image_is_served_again(self):
        self.write("up", content(300_000))
        self.sftp("mkdir dir", "put up dir/file", "rename dir other")
        self.server.stop()
        self.server = self.start(self.image)
        self.sftp("get other/file down", "put up other/file2", "rm other/file")
        self.assertEqual(self.read("down"), content(300_000))
        self.expected["other/file2"] = content(300_000)
        self.expected["other/file"] = None


class Holes(Case):
    fat = "exfat"
    size = "300G"

    def test_100_gib_of_zeros_take_no_time(self):
        """By SFTP itself and on a mount, with what makes it last on the disk."""
        point, sftp = self.mount(), self.paramiko_sftp()
        sftp.open("/asked", "w").close()
        for name, grow in (("asked", lambda: sftp.truncate("/asked", 100 * GIB)),
                           ("mounted", lambda: self.shell('truncate -s 100G "$1/mounted"; sync -f "$1"', point))):
            start = time.monotonic()
            grow()
            with open(os.path.join(point, name), "rb+") as file:
                os.fsync(file)
            self.assertLess(time.monotonic() - start, 1, name)
            with open(os.path.join(point, name), "rb") as file:
                self.assertEqual(os.fstat(file.fileno()).st_size, 100 * GIB)
                file.seek(99 * GIB)
                self.assertEqual(file.read(100_000), bytes(100_000))
        self.assertLess(os.stat(self.image).st_blocks * 512, 64 << 20, "zeros were written")
