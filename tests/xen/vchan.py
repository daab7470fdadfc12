"""One end of a vchan: dom0's `vchan` program (Xen's own libxenvchan) with its bytes brought here."""
import shlex
import socket


class VchanError(AssertionError):
    """The channel was not there, or ended too early."""


class Vchan:
    """Bytes both ways. `close` ends dom0's end; an end of the other side is b"" from `receive`."""

    def __init__(self, rig, *words, before="", seconds=86400):
        """`before`: a shell command of dom0 to run first."""
        self.rig, self.words, self.closed = rig, words, False
        self.socket = rig.connect(f"{before}exec vchan {shlex.join(map(str, words))}", seconds)
        said = b""
        while not said.endswith(b"\n"):
            piece = self.socket.recv(1)
            if not piece:
                break
            said += piece
        if not said.startswith(b"ready "):
            self.socket.close()
            raise VchanError(f"vchan {words}: {said.decode(errors='replace')}")
        self.process = int(said.split()[1])

    @classmethod
    def server(cls, rig, domain, path, read=4096, write=4096, patience=None):
        """`patience`: the seconds after which it is closed when no client came."""
        return cls(rig, "server", domain, path, read, write, *([] if patience is None else [patience]))

    @classmethod
    def client(cls, rig, domain, path, seconds=120):
        """Waits until there is a server."""
        wait = (f"n=0; until xenstore-exists {path}/event-channel 2>/dev/null; do [ $n -lt {seconds * 50} ] || "
                f"{{ echo no {path}; exit 1; }}; n=$((n+1)); usleep 20000; done; ")
        return cls(rig, "client", domain, path, before=wait)

    def send(self, data):
        self.socket.sendall(data)

    def receive(self, size, seconds=120):
        """Exactly `size` bytes, or b"" when the channel ended before the first."""
        data = bytearray()
        try:
            self.socket.settimeout(seconds)
            while len(data) < size and (piece := self.socket.recv(size - len(data))):
                data += piece
        except OSError:
            if not self.closed:
                raise
        if data and len(data) < size:
            raise VchanError(f"vchan {self.words} ended within {size} bytes: {bytes(data)!r}")
        return bytes(data)

    def lie(self):
        """From now on this end's ring claims to hold more than it can."""
        self.rig.run(f"kill -USR1 {self.process}")

    def close(self):
        self.closed = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
