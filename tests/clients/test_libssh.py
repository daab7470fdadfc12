"""libssh, with which KDE's file managers speak SFTP; here in `qemu-img`, which needs no desktop."""

from harness import Case
from tools import content, tool


class QemuImg(Case):
    seconds = 90

    def qemu_img(self, *args, **kwargs):
        """With an agent, because libssh looks for keys in the folder that the user's account names."""
        return self.shell('key=$1; shift; ssh-add -q "$key"; exec "$@"', self.key, tool("qemu-img"), *args, **kwargs)

    def shell(self, script, *args, **kwargs):
        return self.run_program(tool("ssh-agent"), "/bin/sh", "-euc", script, "sh", *args, **kwargs)

    def url(self, name):
        return f"ssh://mirage@127.0.0.1:{self.server.port}/{name}?host_key_check=no"

    def test_image_there_and_back(self):
        up = self.write("up", content(8 << 20))
        self.qemu_img("convert", "-f", "raw", "-O", "raw", up, self.url("image"))
        self.qemu_img("compare", "-f", "raw", "-F", "raw", up, self.url("image"))
        self.qemu_img("convert", "-f", "raw", "-O", "raw", self.url("image"), self.path("down"))
        self.assertEqual(self.read("down"), content(8 << 20))
        self.expected["image"] = content(8 << 20)

    def test_image_with_a_format(self):
        """Small reads and writes here and there, each metadata change flushed (fsync@openssh.com)."""
        up = self.write("up", content(3 << 20) + bytes(20 << 20) + content(1 << 20))
        self.qemu_img("convert", "-f", "raw", "-O", "qcow2", up, self.path("local.qcow2"))
        self.sftp("put local.qcow2 image.qcow2")
        self.qemu_img("snapshot", "-c", "one", self.url("image.qcow2"))
        self.assertIn("one", self.qemu_img("snapshot", "-l", self.url("image.qcow2")).out)
        self.qemu_img("check", "-f", "qcow2", self.url("image.qcow2"))
        self.qemu_img("compare", "-f", "raw", "-F", "qcow2", up, self.url("image.qcow2"))
