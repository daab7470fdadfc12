"""packaging/qube over the service itself: mirage-mount of this system, with the tests' dom0 in qrexec's place."""
import os
import re
import shutil
import socket
import subprocess
import sys
import threading

from test_qrexec import Services    # first: it says where tests/clients is
from tools import ROOT

QUBE = os.path.join(ROOT, "packaging", "qube")
# A call by the words of Qubes' own program, which looks for the local one in no PATH.
CLIENT = """#!/usr/bin/python3
import socket, subprocess, sys
call = socket.socket(socket.AF_UNIX)
call.connect({path!r})
call.sendall(sys.argv[2].encode() + b"\\n")
if call.recv(1) != b"+":
    sys.exit("Request refused")
program = subprocess.Popen(sys.argv[3:], executable=sys.argv[3], stdin=call, stdout=call)
call.close()
sys.exit(program.wait())
"""

# A write may still be taken by sshfs; what it was told by then, fsync says.
HOLDER = """
import os, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
print("open", flush=True)
sys.stdin.readline()
os.write(file, b"x")
os.fsync(file)
"""


class Mount(Services):
    seconds = 300

    def setUp(self):
        super().setUp()
        folder, self.point = self.path("bin"), self.path("mirage-sshfs")
        os.makedirs(folder)
        shutil.copy(os.path.join(QUBE, "mirage-mount"), folder)
        os.chmod(self.write("bin/qrexec-client-vm", CLIENT.format(path=self.path("calls"))), 0o755)
        self.environment = dict(os.environ, HOME=self.scratch, PATH=f"{folder}:{os.environ['PATH']}")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path("calls"))
        self.listener.listen()
        self.addCleanup(self.listener.close)
        self.addCleanup(self.listener.shutdown, socket.SHUT_RDWR)
        threading.Thread(target=self.take_calls, daemon=True).start()
        with open(os.path.join(QUBE, "mirage-mount@.service"), encoding="utf-8") as unit:
            self.rest = int(re.search(r"Restart=always\nRestartSec=(\d+)", unit.read())[1])
        self.over = threading.Event()
        self.addCleanup(self.over.set)
        self.mounts.append(self.point)

    def take_calls(self):
        try:
            while True:
                plain, _ = self.listener.accept()
                threading.Thread(target=self.serve_call, args=(plain,), daemon=True).start()
        except OSError:
            pass

    def serve_call(self, plain):
        with plain:
            service = plain.makefile("rb", buffering=0).readline().decode().strip()
            # dom0 refuses a call of a qube that is off.
            if daemon := self.daemon:
                call = daemon.call(service)
                plain.sendall(b"+")
                call.attach(plain)
                call.done.wait()
                call.close()

    def follow_unit(self):
        """What systemd does by the unit."""
        while not self.over.is_set():
            with open(self.path("mount.log"), "ab") as log:
                self.spawn(["mirage-mount", "mirage-sshfs"], env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                           stderr=log).wait()
            self.over.wait(self.rest)

    def reads(self, name):
        return self.run_program("cat", f"{self.point}/{name}", ok=None, seconds=15).code == 0

    def wait_for(self, name, seconds=60):
        try:
            self.until(lambda: self.reads(name), seconds, f"{name} in the mount")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.read('mount.log')[-2000:]}\n{self.server.log()[-3000:]}") from None

    def test_the_share_is_destroyed_and_started_again(self):
        """What is open gets an error, and the mount comes back by itself."""
        unit = threading.Thread(target=self.follow_unit, daemon=True)
        unit.start()
        self.until(lambda: f" {self.point} fuse.sshfs " in self.mount_table(), 60, "a mount")
        self.shell('echo kept > "$1/file"; sync "$1/file"', self.point)
        holds = self.spawn([sys.executable, "-c", HOLDER, f"{self.point}/held"],
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.assertEqual(holds.stdout.readline(), b"open\n")
        daemon, self.daemon = self.daemon, None
        self.server.kill()
        # Qubes' side of a vchan looks each second whether the other domain is there.
        daemon.close()
        holds.communicate(b"go\n", timeout=60)
        self.assertNotEqual(holds.returncode, 0)
        self.assertFalse(self.reads("file"))
        self.server = self.boot_qube(self.image, network=False)
        self.daemon = self.server.connect()
        self.wait_for("file")
        self.shell('echo back > "$1/again"', self.point)
        # `systemctl stop`.
        self.over.set()
        self.run_program(self.path("bin/mirage-mount"), "--unmount", "mirage-sshfs")
        unit.join(30)
        self.assertFalse(unit.is_alive())
        self.assertNotIn(f" {self.point} ", self.mount_table())
        self.mounts.remove(self.point)
        self.expected.update({"file": b"kept\n", "again": b"back\n"})
