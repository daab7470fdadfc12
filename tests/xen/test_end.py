"""How a guest ends, and what it was in the middle of."""
import shutil
import subprocess
import time
import unittest

import setup
from case import CRASHED, LONG, Case     # first: it says where tests/clients is
import test_kill
from tools import big_file, content, tool


class Shutdown(Case):
    size = "160M"
    # All less than what `test_pause` takes.
    options = ("--watchdog", "6", "--client-alive-interval", "2", "--client-alive-count-max", "2")

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
        """A paused guest goes on where it was, the connection too; its clock is dom0's, which went on by an hour. A copy
        of its volume that is made meanwhile has what was synced."""
        remote = self.paramiko_sftp()
        with remote.open("before", "wb") as file:
            file.write(b"x")
            remote._request(200, "fsync@openssh.com", file.handle)
        rig, guest = self.server.rig, self.server.guest
        guest.xl("pause")
        copy = self.path("copy.img")
        shutil.copyfile(self.image, copy)
        self.check_bytes_of_exfat(copy, "before", b"x")
        rig.run(f"date -s @{time.time() + 3600:.0f}")
        self.addCleanup(lambda: rig.run(f"date -s @{time.time():.0f}"))
        time.sleep(60 if LONG else 8)
        guest.xl("unpause")
        with remote.open("after", "wb") as file:
            file.write(b"y")
        self.assertLess(abs(remote.stat("after").st_mtime - time.time() - 3600), 60)
        self.expected.update(before=b"x", after=b"y")


class Saved(Case):
    """`xl save` and `xl restore`: the guest goes on as another domain, with everything bound anew."""

    seconds = 300

    def test_save_and_restore(self):
        """What was fsynced is in the image, a mount comes back, and the clock is right at once."""
        point = self.mount("-o", "reconnect", "-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=2")
        self.write("up", content(300_000))
        self.shell('dd if="$2" of="$1/file" bs=64k conv=fsync status=none; echo x > "$1/unsynced"', point, self.path("up"))
        guest = self.server.guest
        for turn in range(2 if LONG else 1):
            before = guest.domid
            guest.save("/guests/saved")
            # By `fat cat`: mtools reads no FAT volume that is in use.
            copy = self.path("copy.img")
            shutil.copyfile(self.image, copy)
            self.check_bytes_of_exfat(copy, "file", content(300_000))
            self.check_bytes_of_exfat(copy, "unsynced", b"x\n")
            time.sleep(3)
            guest.restore("/guests/saved")
            self.assertNotEqual(guest.domid, before)
            guest.wait_console("the domain goes on, restored", 60, turn + 1)
            # sshfs answers what was underway with an error.
            self.until(lambda: self.run_program("cp", self.path("up"), f"{point}/after{turn}", ok=None).code == 0,
                       90, "a copy after the guest was restored")
            self.shell('cmp "$2" "$1/file"', point, self.path("up"))
            begun = self.date()
            self.sftp(f"put up now{turn}")
            ended = self.date()
            # FAT keeps even seconds.
            self.assertTrue(begun - 2 <= self.paramiko_sftp().stat(f"now{turn}").st_mtime <= ended + 1)
            self.expected[f"after{turn}"] = self.expected[f"now{turn}"] = content(300_000)
        self.expected.update(file=content(300_000), unsynced=b"x\n")

    @unittest.skipUnless(setup.DEBIAN == "13", "Xen 4.17 has no `xl suspend`")
    def test_suspend_and_resume(self):
        """To memory alone: the same domain goes on, with the clock of then."""
        remote, guest = self.paramiko_sftp(), self.server.guest
        guest.xl("suspend", seconds=150)
        guest.xl("resume")
        with remote.open("file", "wb") as file:
            file.write(content(100_000))
        self.assertLess(abs(remote.stat("file").st_mtime - self.date()), 60)
        self.expected["file"] = content(100_000)
        # As below.
        guest.xl("shutdown")
        self.server.wait_log("the machine ends", 60)
        self.server.kill()

    def date(self):
        """dom0's, in seconds since 1970."""
        return int(self.server.rig.run("date +%s"))

    def test_saved_and_going_on(self):
        """`xl save -c`: the same domain goes on, and its clients notice nothing."""
        remote = self.paramiko_sftp()
        for turn in range(2 if LONG else 1):
            self.server.guest.save("/guests/saved", "-c")
            self.server.rig.run("rm /guests/saved")
            with remote.open(f"file{turn}", "wb") as file:
                file.write(content(100_000))
            self.expected[f"file{turn}"] = content(100_000)
        # Nobody takes its remains away: the `xl` that was to has ended when it was suspended.
        self.server.guest.xl("shutdown")
        self.server.wait_log("the machine ends", 60)
        self.server.kill()


class Stands(Case):
    serve = False

    def test_a_loop_that_stands_ends_the_guest(self):
        """As after a crash, and it says where it was."""
        server = self.boot("--watchdog", "3", "stand-still", disks=[(self.make_image("disk.img", check=False), {})])
        server.wait_log("watchdog: the loop stands still")
        self.assertEqual(server.wait(), CRASHED)
        for said in ("\nrip ", "\nfrom "):
            self.assertIn(said, server.log().replace("\r", ""))

    def test_too_little_memory(self):
        """The last line says so, which is what a user of `qvm-start` looks for."""
        server = self.boot(disks=[(self.make_image("disk.img", check=False), {})], memory=8)
        server.wait_log("cannot run: too little memory")
        self.assertEqual(server.wait(), CRASHED)


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
