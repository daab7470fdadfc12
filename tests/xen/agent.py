"""A qrexec agent and a QubesDB client that are not the guest's: the tests of the peers need an other side."""
import struct
import threading

import qrexec
import qubesdb
from vchan import Vchan


class Agent:
    """Echoes the input of each call and says its command line on the standard error; one call at a time."""

    def __init__(self, rig, domain=0):
        self.rig, self.domain = rig, domain
        self.control = Vchan.server(rig, 0, f"/local/domain/{domain}/data/vchan/0/{qrexec.PORT}")
        self.control.send(qrexec.hello(3))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        kind, _ = qrexec.receive(self.control)
        while kind == qrexec.HELLO and (got := qrexec.receive(self.control)):
            domain, port = struct.unpack_from("<II", got[1])
            self.echo(domain, port, got[1][8:])
            self.control.send(qrexec.message(qrexec.CONNECTION_TERMINATED, struct.pack("<II", domain, port)))

    def echo(self, domain, port, line):
        channel = Vchan.client(self.rig, domain, f"/local/domain/{domain}/data/vchan/{self.domain}/{port}")
        channel.send(qrexec.hello(3))
        assert qrexec.receive(channel)[0] == qrexec.HELLO
        channel.send(qrexec.message(qrexec.STDERR, line))
        while data := qrexec.receive(channel)[1]:
            channel.send(qrexec.message(qrexec.STDOUT, data))
        for kind in (qrexec.STDOUT, qrexec.STDERR):
            channel.send(qrexec.message(kind))
        channel.send(qrexec.message(qrexec.EXIT_CODE, struct.pack("<i", 7)))
        channel.close()

    def close(self):
        self.control.close()


class Reader:
    """Reads all of QubesDB, and then acknowledges each change and keeps it."""

    def __init__(self, rig, domain=0):
        self.channel = Vchan.client(rig, domain, f"/local/domain/0/data/vchan/{domain}/{qubesdb.PORT}")
        self.channel.send(qubesdb.message(qubesdb.MULTIREAD))
        self.keys, self.changes = {}, []
        while (got := qubesdb.receive(self.channel))[1]:
            self.keys[got[1]] = got[2].decode()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while got := qubesdb.receive(self.channel):
            self.changes.append(got)
            self.channel.send(qubesdb.message(qubesdb.OK, got[1]))

    def close(self):
        self.channel.close()
