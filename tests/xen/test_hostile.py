"""What another domain must not be able to do: malformed messages of QubesDB and qrexec, and vchans whose
rings lie. dom0 is trusted in Qubes, but a qube that calls a service is the other end of its data channel."""
import struct

import qrexec
import qubesdb
from qube import QubeCase
from vchan import Vchan

FIRST = qrexec.FIRST_DATA_PORT


def parameters(line, domain=0, port=FIRST + 100):
    return struct.pack("<II", domain, port) + line


class Hostile(QubeCase):
    seconds = 600

    def start(self, image, *options, **qube):
        server = super().start(image, *options, **qube)
        self.daemon = server.connect()
        return server

    def assert_well(self):
        """A call works, and so does the connection of a client that was there all the time."""
        self.assertEqual(self.daemon.call("qubes.SuspendPreAll").end().wait()[0], 0)
        self.assertEqual(self.remote.listdir(), ["mirage.pub"])

    def test_control_messages(self):
        """Whether the agent ends the link or the message alone: a daemon that connects again finds it well."""
        self.remote = self.paramiko_sftp()
        line = b"user:QUBESRPC qubes.SuspendPreAll dom0\0"
        for what, data in {
            "an unknown type": qrexec.message(0x999),
            "an unknown type with data": qrexec.message(0x999, b"x" * 100),
            "a length beyond all bounds": qrexec.HEADER.pack(qrexec.EXEC_CMDLINE, 0xFFFFFFFF) + b"x" * 5000,
            "a command without parameters": qrexec.message(qrexec.EXEC_CMDLINE),
            "half of the parameters": qrexec.message(qrexec.EXEC_CMDLINE, b"\0\0\0"),
            "no command": qrexec.message(qrexec.EXEC_CMDLINE, parameters(b"")),
            "a command without an end": qrexec.message(qrexec.EXEC_CMDLINE, parameters(line[:-1])),
            "a command of NULs": qrexec.message(qrexec.EXEC_CMDLINE, parameters(bytes(3000))),
            "a command that is not text": qrexec.message(qrexec.EXEC_CMDLINE, parameters(b"user:QUBESRPC \xff\xfe\x80 w\0")),
            "a long command": qrexec.message(qrexec.EXEC_CMDLINE, parameters(b"user:QUBESRPC x " + b"y" * 60_000 + b"\0")),
            "no service": qrexec.message(qrexec.EXEC_CMDLINE, parameters(b"user:QUBESRPC \0")),
            "no source": qrexec.message(qrexec.EXEC_CMDLINE, parameters(b"user:QUBESRPC mirage.Sftp\0")),
            "no user": qrexec.message(qrexec.EXEC_CMDLINE, parameters(b":\0")),
            "a domain that is not there": qrexec.message(qrexec.EXEC_CMDLINE, parameters(line, domain=4000)),
            "a domain that cannot be": qrexec.message(qrexec.EXEC_CMDLINE, parameters(line, domain=0xFFFFFFFF)),
            "a port that is not there": qrexec.message(qrexec.EXEC_CMDLINE, parameters(line, port=0xFFFFFFFF)),
            "a service nobody asked for": qrexec.message(qrexec.SERVICE_CONNECT, parameters(b"ident" + bytes(27))),
            "a refusal nobody asked for": qrexec.message(qrexec.SERVICE_REFUSED, bytes(32)),
            "a second hello": qrexec.hello(3),
            "the agent's own message": qrexec.message(qrexec.CONNECTION_TERMINATED, parameters(b"")),
            "half of a header": qrexec.HEADER.pack(qrexec.EXEC_CMDLINE, 50)[:5],
        }.items():
            with self.subTest(what):
                self.daemon.channel.send(data)
                self.daemon.restart()
                self.assert_well()
        self.assertRegex(self.server.log(), r"type 0x999 .*given up")
        self.daemon.wrong.clear()

    def test_hello(self):
        """A daemon that cannot be spoken with is left, and the next one served."""
        self.remote = self.paramiko_sftp()
        path = f"/local/domain/{self.server.guest.domid}/data/vchan/0/{qrexec.PORT}"
        for data in (qrexec.hello(1), qrexec.message(qrexec.HELLO), qrexec.message(qrexec.HELLO, bytes(100)),
                     qrexec.message(qrexec.EXEC_CMDLINE, parameters(b"user:x\0"))):
            self.daemon.channel.close()
            channel = Vchan.client(self.server.rig, self.server.guest.domid, path)
            self.addCleanup(channel.close)
            self.assertEqual(qrexec.receive(channel)[0], qrexec.HELLO)
            channel.send(data)
            # The guest ends it by itself.
            self.until(lambda channel=channel: not channel.receive(1), 60, "the end of the channel")
            self.daemon.connect()
            self.assert_well()

    def test_data_messages(self):
        """Each ends its own call, gives the port back, and no other."""
        self.remote = self.paramiko_sftp()
        good = qrexec.hello(3)
        for what, data in {
            "no hello": qrexec.message(qrexec.STDIN, b"x"),
            "a hello that is too long": qrexec.message(qrexec.HELLO, bytes(9)),
            "an old hello": qrexec.hello(0),
            "a length beyond all bounds": good + qrexec.HEADER.pack(qrexec.STDIN, 0xFFFFFFFF) + b"x" * 70_000,
            "an unknown type": good + qrexec.message(0x777, b"x"),
            "input after its end": good + qrexec.message(qrexec.STDIN) + qrexec.message(qrexec.STDIN, b"x" * 100),
            "half of a message": good + qrexec.HEADER.pack(qrexec.STDIN, 100) + b"x",
            "SFTP of a length beyond all bounds": good + qrexec.message(qrexec.STDIN, b"\xff" * 100),
        }.items():
            with self.subTest(what):
                call = self.daemon.call("mirage.Sftp", connect=False)
                call.channel.send(data)
                call.channel.close()
                self.daemon.wait_terminated(call)
                self.assert_well()

    def test_lying_rings(self):
        """Rings that claim to hold more than they can: of a call, of the control channel, of QubesDB."""
        self.remote = self.paramiko_sftp()
        call = self.daemon.call("mirage.Sftp")
        call.channel.lie()
        self.daemon.wait_terminated(call)
        call.close()
        self.assert_well()
        self.daemon.channel.lie()
        self.server.wait_log("qrexec daemon is gone")
        self.daemon.restart()
        self.assert_well()
        self.server.database.channel.lie()
        self.server.wait_log("QubesDB is gone")
        self.server.database.restart()
        self.server.database.wait_asked(2)
        self.assert_well()
        self.daemon.wrong.clear()

    def test_database_messages(self):
        """The link is restarted; the server keeps what it knew, and its clients."""
        self.remote = self.paramiko_sftp()
        database = self.server.database
        for count, (what, data) in enumerate({
            "an unknown type": qubesdb.message(99, "/x"),
            "a request that only a guest makes": qubesdb.message(qubesdb.MULTIREAD),
            "a length beyond all bounds": qubesdb.HEADER.pack(qubesdb.WRITE, b"/x", 0xFFFFFFFF),
            "a path without an end": qubesdb.HEADER.pack(qubesdb.WRITE, b"/" * 64, 1) + b"x",
            "a path that is not text": qubesdb.HEADER.pack(qubesdb.WRITE, b"\xff\xfe", 1) + b"x",
            "an entry nobody asked for": qubesdb.message(qubesdb.RESP_MULTIREAD, "/x", b"x"),
            "half of a header": qubesdb.message(qubesdb.WRITE, "/x")[:30],
        }.items(), 2):
            with self.subTest(what):
                database.channel.send(data)
                database.restart()
                database.wait_asked(count)
                self.assert_well()
        # Addresses that cannot be used change nothing.
        for path, value in (("/qubes-ip", "x"), ("/qubes-ip", ""), ("/qubes-gateway", "1.2.3.4.5"), ("/qubes-netmask", "255.0.255.0")):
            database.write(path, value)
            self.assert_well()

    def test_a_flood_of_calls(self):
        """More calls of one qube than may run: the excess waits and is then refused, and their ports come back."""
        self.remote = self.paramiko_sftp()
        calls = [self.daemon.call("mirage.Sftp", patience=60) for _ in range(26)]
        self.until(lambda: sum(call.code == qrexec.PROBLEM for call in calls) == 18, 60, "the excess to be refused")
        # Others are served meanwhile.
        self.assertEqual(self.daemon.call("qubes.SuspendPreAll", source="dom0").end().wait()[0], 0)
        for call in calls:
            if call.code is None:
                call.end()
        for call in calls:
            self.daemon.wait_terminated(call)
        self.assertEqual(sorted(call.code for call in calls), [0] * 8 + [qrexec.PROBLEM] * 18)
        self.assert_well()
