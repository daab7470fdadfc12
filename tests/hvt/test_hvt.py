"""The kernel as a guest of Solo5's hvt, on the tests' own tender."""
import subprocess
import time
import unittest

from case import KERNEL, LONG, Case
import test_kill  # which `case` finds
from host import NETWORK, Host
from tools import big_file, content, tool

MIB = 1 << 20


class Serve(Case):
    def test_put_and_get(self):
        """Files, space, the time of day and the end, with a key that may and with one that may not."""
        self.write("up", content(MIB + 3))
        self.sftp("put up file", "get file down", "rename file kept", "df")
        self.expected["kept"] = content(MIB + 3)
        self.assertEqual(self.read("down"), content(MIB + 3))
        remote = self.paramiko_sftp()
        self.assertLess(abs(remote.stat("kept").st_mtime - time.time()), 60)
        self.assertIn("no flush", self.server.log())


class Restricted(Case):
    def test_a_key_that_may_not(self):
        other = self.make_key("other")
        key = " ".join(self.public(other).split()[:2])
        self.write("authorized_keys", f'command="internal-sftp -R" {key} reader\n')
        self.sftp("put authorized_keys")
        self.configure(self.server, user="reader", key=other, name="reader")
        done = self.run_program(tool("ssh"), "-F", self.path("reader"), "server", "poweroff", ok=False)
        self.assertIn("runs no programs", done.err)
        self.sftp("ls")
        # One that may says nothing and has worked.
        done = self.ssh_poweroff()
        self.assertEqual((done.code, done.out), (0, ""))
        self.server.wait(0)
        self.host.end()


class Killed(Case, test_kill.Kill):
    """SIGKILL for the tender in the middle of writes: what it wrote is the host's."""
    seconds = 300
    test_synced_files_survive_sigkill = test_mounted_sync_survives_sigkill = None

    def test_synced_files_survive_a_kill(self):
        self.kill_in_the_middle(5 if LONG else 1)


class Missing(Case):
    serve = False

    def test_what_is_missing_is_named(self):
        image = self.make_image("disk.img")
        for devices, wanted in (((), "service is declared, but not attached"),
                                (("--net:service=tap100",), "storage is declared, but not attached"),
                                (("--block:storage=/dev/vda",), "service is declared, but not attached")):
            server = self.boot(image, devices=devices)
            server.wait(1)
            self.assertIn(wanted, server.log())
        server = self.boot(image, memory=8)
        server.wait(1)
        self.assertIn("mirage-sshfs cannot run: too little memory", server.log())
        server = self.boot(image, line=f"{NETWORK} --disk other")
        server.wait(1)
        self.assertIn("no disk other: there is storage", server.log())
        self.host.end()


class Full(Case):
    serve = False

    def test_a_hosts_disk_that_is_full(self):
        """An image with holes that cannot grow ends the tender, as a power cut does: what was synced stays."""
        image = self.make_image("disk.img")
        self.host = Host(KERNEL, image, self.port)
        self.host.say("small 6m")
        options = ("--format-if-blank", "--key", self.public(self.key))
        devices = {"devices": ("--net:service=tap100", "--block:storage=/small/disk.img")}
        server = self.start(image, *options, **devices)
        self.write("kept", content(100_000))
        self.write("large", content(12 * MIB))
        self.sftp("put -f kept")
        batch = self.write("batch", "put large\n")
        client = self.spawn([tool("sftp"), "-F", self.path("config"), "-b", batch, "server"], cwd=self.scratch,
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server.wait(1)
        client.kill()
        self.assertRegex(server.log(), "tender: the disk: (No space left on device|less than asked for)")
        self.host.say("small 40m")
        self.server = self.start(image, *options, **devices)
        self.sftp("get kept again", "put large")
        self.assertEqual(self.read("again"), content(100_000))
        self.server.stop()


class Mounted(Case):
    memory = 24
    seconds = 300

    def test_git(self):
        self.use_git(self.mount())


@unittest.skipUnless(LONG, "a long test")
class MountedWithMore(Mounted):
    memory = 32
    seconds = 600


@unittest.skipUnless(LONG, "a long test")
class LittleMemory(Case):
    memory = 24
    seconds = 600

    def test_big_file(self):
        digest = big_file(self.path("big"), 20 * MIB)
        self.sftp("put big")
        self.expected["big"] = digest
