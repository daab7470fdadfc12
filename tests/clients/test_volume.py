"""What other systems left on the volume or make of it: free space, time stamps."""

import os
import shutil
import struct

from harness import Case
from tools import tool


class Volume(Case):
    serve = False

    def test_free_space_is_counted(self):
        """Whatever the FSInfo sector says: who wrote the volume last need not have kept it."""
        image = self.make_image("disk.img", fat="32", size="64M")
        other = self.path("other.img")
        # The first start puts the host key and the journal there.
        self.server = self.start(image)
        self.server.stop()
        for said in (0, 7, 100_000):
            shutil.copyfile(image, other)
            with open(other, "r+b") as file:
                file.seek(512 + 488)
                right, = struct.unpack("<I", file.read(4))
                file.seek(512 + 488)
                file.write(struct.pack("<I", said))
            self.server = self.start(other)
            point = self.mount()
            shown = os.statvfs(point)
            self.assertEqual(shown.f_bfree * shown.f_frsize, right * self.cluster(other), said)
            self.unmount(point)
            self.server.stop()

    def cluster(self, image):
        with open(image, "rb") as file:
            boot = file.read(512)
        return struct.unpack_from("<H", boot, 11)[0] * boot[13]

    def test_time_stamps_of_a_camera(self):
        """mtools writes and shows local time, as cameras and Windows do: here two hours ahead of UTC."""
        image = self.make_image("disk.img")
        mcopy = ["/usr/bin/env", "TZ=UTC-2", tool("mcopy"), "-m", "-i", image]
        photo = self.write("photo.jpg", b"photo")
        os.utime(photo, (1_700_000_000, 1_700_000_000))
        self.run_program(*mcopy, photo, "::")
        self.server = self.start(image, "--time-offset", "120")
        point = self.mount()
        self.assertEqual(os.stat(os.path.join(point, "photo.jpg")).st_mtime, 1_700_000_000)
        made = os.path.join(point, "made.txt")
        with open(made, "wb") as file:
            file.write(b"made")
        os.utime(made, (1_600_000_000, 1_600_000_000))
        self.unmount(point)
        self.server.stop()
        self.run_program(*mcopy, "::made.txt", self.path("back"))
        self.assertEqual(os.stat(self.path("back")).st_mtime, 1_600_000_000)
        # Without the option, and in old images, they are UTC.
        self.server = self.start(image)
        point = self.mount()
        self.assertEqual(os.stat(os.path.join(point, "made.txt")).st_mtime, 1_600_000_000 + 7200)
