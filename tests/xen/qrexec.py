"""dom0's qrexec daemon and client for one guest: Qubes' qubes-core-qrexec, libqrexec/qrexec.h. The guest
is the server of the control channel; of each call's data channel the caller, dom0, is the server."""
import socket
import struct
import threading

from vchan import Vchan

PORT, FIRST_DATA_PORT = 512, 513
EXEC_CMDLINE, JUST_EXEC, SERVICE_CONNECT, SERVICE_REFUSED = 0x200, 0x201, 0x202, 0x203
TRIGGER_SERVICE, CONNECTION_TERMINATED, TRIGGER_SERVICE3, TRIGGER_SERVICE4, HELLO = 0x210, 0x211, 0x212, 0x213, 0x300
STDIN, STDOUT, STDERR, EXIT_CODE = 0x190, 0x191, 0x192, 0x193
HEADER = struct.Struct("<II")   # type, length of what follows
CHUNK = 65536
SERVICE_NOT_FOUND, REFUSED, PROBLEM = 127, 126, 125
# Seconds after which a call that nobody answers is given up. Qubes' qrexec-client has 5, in which a machine that is
# emulated, beside others, may not come so far; a qube's qrexec-client-vm has as many as here.
PATIENCE, PATIENCE_OF_QUBE = 60, 120


def message(kind, data=b""):
    return HEADER.pack(kind, len(data)) + data


def hello(version):
    return message(HELLO, struct.pack("<I", version))


def receive(channel, seconds=86400):
    """A message's type and data, or None at the channel's end."""
    header = channel.receive(HEADER.size, seconds)
    if not header:
        return None
    kind, size = HEADER.unpack(header)
    return kind, channel.receive(size, seconds) if size else b""


class Daemon:
    """`version` is the protocol that it offers: Qubes 4.2 has 3, 4.3 has 4."""

    def __init__(self, rig, domain, version=3):
        self.rig, self.domain, self.version = rig, domain, version
        self.ports = {}     # those in use
        self.calls, self.wrong = [], []
        self.changed = threading.Condition()
        self.connect()

    def connect(self):
        self.channel = Vchan.client(self.rig, self.domain, f"/local/domain/{self.domain}/data/vchan/0/{PORT}", 120)
        kind, data = receive(self.channel, 120)
        (self.agent,) = struct.unpack("<I", data)
        if kind != HELLO or self.agent < 2:
            raise AssertionError(f"the agent's first message is {kind:#x} {data!r}")
        self.channel.send(hello(self.version))
        threading.Thread(target=self.listen, args=(self.channel,), daemon=True).start()

    def restart(self):
        """As a daemon that died and was started again."""
        self.channel.close()
        self.connect()

    def listen(self, channel):
        try:
            while got := receive(channel):
                kind, data = got
                with self.changed:
                    if kind == CONNECTION_TERMINATED and struct.unpack("<II", data)[1] in self.ports:
                        del self.ports[struct.unpack("<II", data)[1]]
                    else:
                        self.wrong.append(got)
                    self.changed.notify_all()
        except (OSError, AssertionError) as error:
            if channel is self.channel:
                self.wrong.append(error)

    def call(self, service, source="work", user="user", kind=EXEC_CMDLINE, line=None, connect=True, caller=None,
             patience=None):
        """Calls a service (`name` or `name+argument`) as the qube `source`, as policy allows it. `line`: another
        command line than Qubes' own. `caller`: the qube that has the other end, when that is not dom0. `patience`:
        seconds after which it gives up."""
        domain = int(caller.guest.domid) if caller else 0
        # qrexec-client makes the channel when the agent has already been told of it.
        port, held = self.ask(kind, domain, line or f"{user}:QUBESRPC {service} {source}")
        call = Call(self, port, held, connect, caller, patience)
        self.calls.append(call)
        return call

    def ask(self, kind, domain, line):
        """Tells the agent of a call: its port, and what stands for it."""
        with self.changed:
            # The lowest that is free, at once: as the daemon does it.
            port = next(port for port in range(FIRST_DATA_PORT, 1 << 16) if port not in self.ports)
            held = self.ports[port] = [line]
            self.channel.send(message(kind, struct.pack("<II", domain, port) + line.encode() + b"\0"))
        return port, held

    def forget(self, count):
        """So many calls whose callers are killed before their channels are there; what stands for each."""
        return [self.ask(EXEC_CMDLINE, 0, "user:QUBESRPC qubes.WaitForSession dom0") for _ in range(count)]

    def wait_terminated(self, call, seconds=120):
        """Until the agent has given the call's port back, as it must after each."""
        self.wait_free((call.port, call.held), seconds)

    def wait_free(self, call, seconds=120):
        port, held = call
        with self.changed:
            if not self.changed.wait_for(lambda: self.ports.get(port) is not held, seconds):
                raise AssertionError(f"no CONNECTION_TERMINATED of {held}; wrong: {self.wrong}")

    def close(self):
        for call in self.calls:
            call.close()
        self.channel.close()


class Call:
    """One call: `send`, `end`, then `wait` for all that it says; or `socket` for a program to talk to."""

    def __init__(self, daemon, port, held, connect=True, caller=None, patience=None):
        self.daemon, self.port, self.held = daemon, port, held
        self.out, self.err, self.code = bytearray(), bytearray(), None
        self.ended, self.done = set(), threading.Event()
        self.problem = None
        self.sink = None
        self.lock = threading.Lock()
        domain = caller.guest.domid if caller else 0
        self.channel = Vchan.server(caller or daemon.rig, daemon.domain,
                                    f"/local/domain/{domain}/data/vchan/{daemon.domain}/{port}", CHUNK, CHUNK,
                                    patience or (PATIENCE_OF_QUBE if caller else PATIENCE))
        if connect:
            self.channel.send(hello(daemon.version))
            threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        try:
            kind, data = receive(self.channel) or (None, b"")
            if kind != HELLO:
                raise AssertionError(f"the agent's first message of a call is {kind} {data!r}")
            while got := receive(self.channel):
                self.take(*got)
        except (OSError, AssertionError) as error:
            self.problem = error
        finally:
            with self.lock:
                if self.sink:
                    self.shut(self.sink, socket.SHUT_WR)
            self.done.set()

    def take(self, kind, data):
        if self.code is not None or kind in self.ended:
            raise AssertionError(f"message {kind:#x} after the end of its stream")
        if kind == EXIT_CODE:
            (self.code,) = struct.unpack("<i", data)
        elif kind not in (STDOUT, STDERR) or len(data) > CHUNK:
            raise AssertionError(f"message {kind:#x} of {len(data)} bytes")
        elif not data:
            self.ended.add(kind)
        elif kind == STDERR:
            self.err += data
        else:
            with self.lock:
                if self.sink:
                    try:
                        self.sink.sendall(data)
                    except BrokenPipeError:
                        pass    # the program has ended without its last answers, as sshfs may
                else:
                    self.out += data

    @staticmethod
    def shut(plain, how):
        try:
            plain.shutdown(how)
        except OSError:
            pass

    def send(self, data):
        for start in range(0, len(data), CHUNK):
            piece = data[start:start + CHUNK]
            # As libqrexec does, in two writes.
            self.channel.send(HEADER.pack(STDIN, len(piece)))
            self.channel.send(piece)
        return self

    def end(self):
        """No more input."""
        self.channel.send(message(STDIN))
        return self

    def socket(self):
        """The call's input and output as a socket for a program."""
        ours, theirs = socket.socketpair()
        self.attach(ours)
        return theirs

    def attach(self, plain):
        """Joins the call with a socket."""
        with self.lock:
            self.sink = plain
            if self.out:
                plain.sendall(self.out)
        threading.Thread(target=self.feed, args=(plain,), daemon=True).start()

    def feed(self, plain):
        try:
            while piece := plain.recv(CHUNK):
                self.send(piece)
            self.end()
        except OSError:
            pass

    def wait(self, seconds=240):
        """Until it is over and its port given back: exit code, output, errors."""
        if not self.done.wait(seconds):
            raise AssertionError(f"the call goes on after {seconds} s: {bytes(self.out)!r} {bytes(self.err)!r}")
        if self.problem:
            raise self.problem
        self.daemon.wait_terminated(self)
        self.channel.close()
        return self.code, bytes(self.out), bytes(self.err)

    def close(self):
        self.channel.close()


class Forward:
    """A TCP port of the host's loopback, each connection to which is one call, as `qvm-connect-tcp` of a
    qube does it."""

    def __init__(self, daemon, service, **options):
        self.daemon, self.service, self.options = daemon, service, options
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.calls = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        try:
            while True:
                plain, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(plain,), daemon=True).start()
        except OSError:
            pass

    def serve(self, plain):
        with plain:
            call = self.daemon.call(self.service, **self.options)
            self.calls.append(call)
            call.attach(plain)
            call.done.wait()
            call.channel.close()

    def close(self):
        # Linux wakes who waits in accept by a shutdown only.
        Call.shut(self.listener, socket.SHUT_RDWR)
        self.listener.close()
