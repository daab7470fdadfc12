"""As much of GDB's remote protocol as the boot test needs to make a running kernel fail: break at
an address, set registers, go on. QEMU is started with -S and its gdbstub on a Unix socket."""
import socket
import time

# The order of QEMU's registers for x86-64.
REGISTERS = {"rdi": 5, "rdx": 3, "rsp": 7, "rip": 16}


class Gdb:
    def __init__(self, path, time_out):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(time_out)
        deadline = time.monotonic() + time_out
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        self.received = b""
        # QEMU lets registers be set only after it has told what they are.
        self.send("qXfer:features:read:target.xml:0,ffb")
        self.reply()

    def send(self, packet):
        data = packet.encode()
        self.socket.sendall(b"$%s#%02x" % (data, sum(data) % 256))

    def reply(self):
        """The next packet that the stub sends."""
        while True:
            start = self.received.find(b"$")
            end = self.received.find(b"#", start)
            if start >= 0 and 0 <= end <= len(self.received) - 3:
                packet = self.received[start + 1:end]
                self.received = self.received[end + 3:]
                self.socket.sendall(b"+")
                return packet.decode()
            more = self.socket.recv(4096)
            if not more:
                raise ConnectionError("QEMU closed the debugger's connection")
            self.received += more

    def ask(self, packet):
        self.send(packet)
        reply = self.reply()
        if reply != "OK":
            raise RuntimeError(f"{packet} was answered with {reply!r}")

    def run_until(self, address):
        self.ask(f"Z1,{address:x},1")
        self.send("c")
        stopped = self.reply()
        if not stopped.startswith("T05"):
            raise RuntimeError(f"stopped with {stopped!r} and not at {address:#x}")
        self.ask(f"z1,{address:x},1")

    def set(self, register, value):
        self.ask(f"P{REGISTERS[register]:x}={value.to_bytes(8, 'little').hex()}")

    def go_on(self):
        self.send("c")

    def close(self):
        self.socket.close()
