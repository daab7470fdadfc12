"""How a guest ends, and what it was in the middle of."""
import subprocess
import time

from case import CRASHED, LONG, Case     # first: it says where tests/clients is
import test_kill
from tools import big_file, content, tool


class Shutdown(Case):
    size = "160M"
    options = ("--watchdog", "6")      # less than what `test_pause` takes

    def test_announced(self):
        """Xen's tools ask politely only a guest that says it listens."""
        self.assertEqual(self.server.guest.store("control/feature-poweroff"), "1")

    def test_during_an_upload(self):
        big_file(self.path("big"), 60 << 20)
        self.write("small", content(100_000))
        self.sftp("put small small")
        batch = self.write("batch", "put big big\n")
        client = self.spawn([tool("sftp"), "-F", self.path("config"), "-b", batch, "server"], cwd=self.scratch,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        remote = self.paramiko_sftp()
        self.until(lambda: "big" in remote.listdir() and remote.stat("big").st_size > 100_000, 30, "upload started")
        self.server.stop()
        client.communicate(timeout=30)
        self.assertNotEqual(client.returncode, 0)
        self.expected["small"] = content(100_000)

    def test_with_a_mount(self):
        """What sshfs was told is written is written, though nobody synced."""
        point = self.mount()
        self.shell('echo x > "$1/file"; mkdir "$1/dir"', point)
        self.server.stop()
        self.unmount(point)
        self.expected["file"] = b"x\n"

    def test_pause(self):
        """A paused guest goes on where it was: the connection, and the clock."""
        remote = self.paramiko_sftp()
        with remote.open("before", "wb") as file:
            file.write(b"x")
        self.server.guest.xl("pause")
        time.sleep(60 if LONG else 8)
        self.server.guest.xl("unpause")
        with remote.open("after", "wb") as file:
            file.write(b"y")
        self.assertLess(abs(remote.stat("after").st_mtime - time.time()), 60)
        self.expected.update(before=b"x", after=b"y")


class Stands(Case):
    serve = False

    def test_a_loop_that_stands_ends_the_guest(self):
        """As after a crash, and it says where it was."""
        server = self.boot("--watchdog", "3", "stand-still", disks=[(self.make_image("disk.img", check=False), {})])
        server.wait_log("watchdog: the loop stands still")
        self.assertEqual(server.wait(), CRASHED)
        for said in ("\nrip ", "\nfrom "):
            self.assertIn(said, server.log().replace("\r", ""))


class Destroy(Case, test_kill.Kill):
    """`xl destroy` in the middle of writes, with the work and the checks of tests/clients' SIGKILL."""

    seconds = 200
    test_mounted_sync_survives_sigkill = test_synced_files_survive_sigkill = None

    def test_synced_files_survive_destroy(self):
        self.kill_in_the_middle(5 if LONG else 2)

    def paramiko_sftp(self, **kwargs):
        """No one answers for a destroyed guest, not even with a reset."""
        remote = super().paramiko_sftp(**kwargs)
        remote.get_channel().settimeout(8)
        return remote


class Several(Case):
    """Two guests at once, each with its own volume."""

    def test_two_guests(self):
        first, one = self.server, self.image
        second = self.start(self.make_image("two.img"))     # and clients now mean the second
        self.write("up", "second")
        self.sftp("put up file")
        self.configure(first)
        # The first has no such file.
        said = self.sftp("get file down", options=("-o", "StrictHostKeyChecking=no"), ok=False)
        self.assertIn('File "/file" not found', said.text)
        second.stop()
        self.write("up", "first")
        self.sftp("put up file", options=("-o", "StrictHostKeyChecking=no"))
        self.image = one
        self.expected["file"] = b"first"
