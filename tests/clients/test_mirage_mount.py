"""packaging/qube: what mounts a share in another qube. SSH is in the place of qrexec here, by a program of the
name and the words of Qubes' own; tests/xen has the service itself."""

import os
import shutil
import subprocess
import time

from harness import Case
from tools import ROOT, tool

QUBE = os.path.join(ROOT, "packaging", "qube")
# As the real one does it looks for its program in no PATH, and returns 126 for a call that is refused.
CLIENT = """#!/usr/bin/python3
import os, subprocess, sys
with open({calls!r}, "a") as calls:
    print(*sys.argv[1:], file=calls)
if os.path.exists({refuse!r}):
    print("Request refused", file=sys.stderr)
    sys.exit(126)
call = subprocess.Popen([{ssh!r}, "-F", {config!r}, "-s", "server", "sftp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
program = subprocess.Popen(sys.argv[3:], executable=sys.argv[3], stdin=call.stdout, stdout=call.stdin)
call.stdin.close()
call.stdout.close()
program.wait()
sys.exit(call.wait())
"""


class MirageMount(Case):
    seconds = 90

    def setUp(self):
        super().setUp()
        self.bin = self.path("bin")
        os.makedirs(self.bin)
        shutil.copy(os.path.join(QUBE, "mirage-mount"), self.bin)
        client = self.write("bin/qrexec-client-vm", CLIENT.format(
            calls=self.path("calls"), refuse=self.path("refuse"), ssh=tool("ssh"), config=self.path("config")))
        os.chmod(client, 0o755)
        self.environment = dict(os.environ, HOME=self.scratch, PATH=f"{self.bin}:{os.environ['PATH']}")
        self.point = self.path("share")
        self.mounts.append(self.point)

    def begin(self, *words, **variables):
        log = open(self.path("mount.log"), "ab")
        client = self.spawn(["mirage-mount", *words], env=dict(self.environment, **variables), stdin=subprocess.DEVNULL,
                            stdout=log, stderr=log)
        log.close()
        return client

    def wait_mounted(self, client, point=None, seconds=15):
        end = time.monotonic() + seconds
        while f" {point or self.point} fuse.sshfs " not in self.mount_table():
            if client.poll() is not None or time.monotonic() > end:
                self.fail(f"not mounted: {client.poll()} {self.said()}")
            time.sleep(0.05)

    def said(self):
        return self.read("mount.log").decode()

    def unmount_by_it(self, *words):
        done = subprocess.run(["mirage-mount", "--unmount", *words], env=self.environment, capture_output=True, timeout=20)
        self.assertEqual(done.returncode, 0, done.stderr)

    def calls(self):
        return self.read("calls").decode().splitlines()

    def test_all_of_the_volume(self):
        client = self.begin("share")
        self.wait_mounted(client)
        with open(os.path.join(self.point, "new"), "w") as file:
            file.write("new")
        self.assertEqual(self.calls(), [f"share mirage.Sftp {tool('sshfs')} -f -o passive :/ {self.point}"])
        self.unmount_by_it("share")
        self.assertEqual(client.wait(15), 0)
        self.assertEqual(os.listdir(self.point), [])

    def test_a_folder_elsewhere_with_options(self):
        point = self.path("my photos")
        self.mounts.append(point)
        client = self.begin("share", "photos", point, SERVICE="mirage.SftpReadOnly", OPTIONS="ro")
        # The table writes a space so.
        self.wait_mounted(client, point.replace(" ", "\\040"))
        self.assertEqual(self.calls(), [f"share mirage.SftpReadOnly+photos {tool('sshfs')} -f -o passive,ro :/ {point}"])
        with self.assertRaisesRegex(OSError, "Read-only"):
            open(os.path.join(point, "new"), "w")
        again = self.begin("share", "photos", point)
        self.assertEqual(again.wait(15), 2)
        self.assertIn("something is mounted there", self.said())
        self.unmount_by_it("share", "photos", point)
        self.assertEqual(client.wait(15), 0)

    def test_the_share_ends_with_a_file_open_and_comes_back(self):
        """What is open gets an error, and not for ever; what the unit does then mounts it again."""
        client = self.begin("share")
        self.wait_mounted(client)
        file = open(os.path.join(self.point, "open"), "w")
        file.write("x")
        file.flush()
        port = self.server.port
        self.server.kill()
        client.wait(10)
        self.assertNotIn("mirage.pub", os.listdir(self.point))
        with self.assertRaises(OSError):
            file.write("y" * 100_000)
            file.flush()
        try:
            file.close()
        except OSError:
            pass
        # While it is away each try ends, too.
        self.assertNotEqual(self.begin("share").wait(15), 0)
        # As after any power cut: the server repairs what the last one left.
        self.server = self.start(self.image, port=port)
        client = self.begin("share")
        self.wait_mounted(client, seconds=10)
        self.assertIn("mirage.pub", os.listdir(self.point))
        self.unmount_by_it("share")
        self.assertEqual(client.wait(15), 0)

    def test_what_is_refused(self):
        self.write("refuse", "")
        self.assertEqual(self.begin("share").wait(15), 126)
        for words in [(), ("a", "b", "c", "d"), ("",), ("-x",), ("a b",), ("share", "a/b"), ("share", "Дом")]:
            self.assertEqual(self.begin(*words).wait(15), 2, words)
        self.assertEqual(len(self.calls()), 1)
        self.assertIn("qrexec takes letters", self.said())


class Files(Case):
    serve = False

    def test_what_others_say_of_them(self):
        self.run_program(tool("shellcheck"), os.path.join(QUBE, "mirage-mount"))
        with open(os.path.join(QUBE, "mirage-mount@.service")) as unit:
            text = unit.read()
        self.assertIn("=/usr/bin/mirage-mount ", text)
        unit = self.write("mirage-mount@mirage-sshfs.service",
                          text.replace("/usr/bin/mirage-mount", os.path.join(QUBE, "mirage-mount")))
        os.makedirs(self.path("run"), mode=0o700)
        said = self.run_program("/usr/bin/env", f"XDG_RUNTIME_DIR={self.path('run')}", tool("systemd-analyze"), "verify", "--user",
                                "--man=no", unit)
        self.assertEqual(said.text, "")
