"""packaging/qube in another qube: the real systemd of its user, sshfs and mirage-mount in a Linux guest, with the tests'
dom0 in qrexec's place."""
import shlex
import socket
import threading

from qube import Caller
from test_qrexec import Services

POINT = "/home/user/mirage-sshfs"
UNIT = "mirage-mount@mirage-sshfs"
# From the start of the share, or from its end, to what is promised, in seconds of the qube.
BACK = 10


class Mount(Services):
    seconds = 400

    def setUp(self):
        super().setUp()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.listener.close)
        self.addCleanup(self.listener.shutdown, socket.SHUT_RDWR)
        threading.Thread(target=self.take_calls, daemon=True).start()
        self.write("linux.img", bytes(1 << 20))
        self.qube = Caller(self, self.path("linux.img"), memory=256, files="mounting.cpio",
                           line=f"calls={self.listener.getsockname()[1]}").start("the user may log in")

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
            # dom0 refuses a call of a qube that is off, where the policy says autostart=no.
            if daemon := self.daemon:
                call = daemon.call(service)
                plain.sendall(b"+")
                call.attach(plain)
                call.done.wait()
                call.close()

    def details(self):
        said = self.qube.call("cat /home/user/log")[1].decode(errors="replace")
        return f"{self.qube.guest.console()[-2000:]}\n{said[-3000:]}\n{self.server.log()[-3000:]}"

    def user(self, script, data=b"", seconds=60, ok=True):
        """Runs a script as the user of the qube; its output."""
        line = f"export XDG_RUNTIME_DIR=/run/user/1000; cd; exec su user -c {shlex.quote(script)}"
        status, said = self.qube.call(line, data, seconds)
        if (status == 0) != ok:
            self.fail(f"{script}: exit {status}\n{said.decode(errors='replace')}\n{self.details()}")
        return said.decode().strip()

    def wait_for(self, condition, seconds=60):
        """Until a condition of the shell is true in the qube; the seconds that it took there."""
        begin, end = map(float, self.user(
            f"read begin _ < /proc/uptime; until {condition}; do usleep 100000; done 2>/dev/null; "
            f"read end _ < /proc/uptime; echo $begin $end", seconds=seconds).split())
        return end - begin

    def wait_mounted(self):
        return self.wait_for(f"grep -q ' {POINT} fuse.sshfs ' /proc/mounts")

    def boot_share(self):
        self.server = self.boot_qube(self.image, network=False)
        self.daemon = self.server.connect()

    def test_the_unit(self):
        """Mounted from the start; back when the share is, after its restart and after its sudden death, which who has
        a file open is told of; and unmounted for good by `systemctl stop`."""
        self.wait_mounted()
        self.user(f"echo kept > {POINT}/file; sync {POINT}/file")

        daemon, self.daemon = self.daemon, None
        self.server.stop()
        daemon.close()
        self.boot_share()
        self.assertLess(self.wait_for(f"grep -q kept {POINT}/file"), BACK, self.details())

        # What it was told is written may still be taken by sshfs; fsync says.
        holds = self.qube.connect(f"su user -c 'dd of={POINT}/held conv=fsync'", 120)
        self.addCleanup(holds.close)
        self.wait_for(f"[ -e {POINT}/held ]")
        daemon, self.daemon = self.daemon, None
        self.server.kill()
        # Qubes' side of a vchan looks each second whether the other domain is there.
        daemon.close()
        holds.sendall(b"x")
        holds.shutdown(socket.SHUT_WR)
        said = holds.makefile("rb").read()
        self.assertNotEqual(said.rpartition(b"\n")[2], b"0", said)
        self.user(f"grep kept {POINT}/file", ok=False)
        self.boot_share()
        self.assertLess(self.wait_for(f"grep -q kept {POINT}/file"), BACK, self.details())
        self.user(f"echo back > {POINT}/again")

        self.assertEqual(self.user(f"systemctl --user is-active {UNIT}"), "active")
        self.user(f"systemctl --user stop {UNIT}")
        self.user(f"grep {POINT} /proc/mounts", ok=False)
        self.user(f"systemctl --user is-active {UNIT}", ok=False)
        self.expected.update({"file": b"kept\n", "again": b"back\n"})
