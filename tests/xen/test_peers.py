"""The tests' own peers against each other, within dom0: what they say of a guest must be true."""
import socket
import threading
import unittest

import qubesdb
from agent import Agent, Reader
from case import rig
from qrexec import Daemon, Forward
from qubesdb import QubesDb
from tools import content
from vchan import Vchan, VchanError

PATH = "/local/domain/0/data/vchan/0/9999"


class Channels(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rig = rig()

    def pair(self, read=4096, write=4096):
        server = Vchan.server(self.rig, 0, PATH, read, write)
        self.addCleanup(server.close)
        client = Vchan.client(self.rig, 0, PATH)
        self.addCleanup(client.close)
        return server, client

    def test_bytes_both_ways(self):
        """More than the rings hold, both ways at once."""
        for sizes in ((4096, 4096), (65536, 65536), (1024, 2048)):
            server, client = self.pair(*sizes)
            up, down = content(300_000, 1), content(300_000, 2)
            senders = [threading.Thread(target=end.send, args=(data,)) for end, data in ((client, up), (server, down))]
            for sender in senders:
                sender.start()
            self.assertEqual(server.receive(len(up)), up)
            self.assertEqual(client.receive(len(down)), down)
            for sender in senders:
                sender.join()
            # In use, it is not to be found; and what is underway arrives before the end.
            self.assertNotEqual(self.rig.call(f"xenstore-exists {PATH}/event-channel")[0], 0)
            client.send(b"last")
            client.close()
            self.assertEqual(server.receive(4), b"last")
            self.assertEqual(server.receive(1), b"")
            server.close()

    def test_ends(self):
        server, client = self.pair()
        server.close()
        self.assertEqual(client.receive(1), b"")
        with self.assertRaises(VchanError):
            Vchan.client(self.rig, 0, PATH, seconds=1)


class Daemons(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rig = rig()

    def test_qubesdb(self):
        keys = {f"/qubes-service/s{number}": "1" * number for number in range(100)}
        database = QubesDb(self.rig, 0, keys)
        self.addCleanup(database.close)
        reader = Reader(self.rig)
        self.addCleanup(reader.close)
        self.assertEqual(reader.keys, keys)
        database.wait_asked()
        database.write("/qubes-ip", "10.137.0.5")
        database.remove("/qubes-service/")
        self.assertEqual(reader.changes, [(qubesdb.WRITE, "/qubes-ip", b"10.137.0.5"), (qubesdb.RM, "/qubes-service/", b"")])
        self.assertEqual(database.keys, {"/qubes-ip": "10.137.0.5"})
        # What Qubes' daemon dies of.
        reader.channel.send(qubesdb.message(qubesdb.MULTIREAD))
        with self.assertRaises(AssertionError):
            database.wait_asked(2, 10)

    def test_qrexec(self):
        agent = Agent(self.rig)
        self.addCleanup(agent.close)
        daemon = Daemon(self.rig, 0)
        self.addCleanup(daemon.close)
        data = content(200_000)
        call = daemon.call("test.Echo+x", source="vault").send(data).end()
        self.assertEqual(call.wait(), (7, data, b"user:QUBESRPC test.Echo+x vault\0"))
        forward = Forward(daemon, "qubes.ConnectTCP+22")
        self.addCleanup(forward.close)
        with socket.create_connection(("127.0.0.1", forward.port), timeout=30) as plain:
            plain.sendall(b"hello")
            plain.shutdown(socket.SHUT_WR)
            self.assertEqual(plain.makefile("rb").read(), b"hello")
        daemon.wait_terminated(forward.calls[0])
        self.assertEqual(daemon.wrong, [])


if __name__ == "__main__":
    unittest.main()
