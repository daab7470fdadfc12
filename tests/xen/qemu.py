"""A QEMU process that is talked to over QMP (its docs/interop/qmp-spec.txt)."""
import ctypes
import json
import os
import signal
import socket
import subprocess
import time


class QemuError(Exception):
    pass


def end_with_parent():
    """Run in the child before QEMU: it must not outlive a test run that is killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Qemu:
    """`seconds` bounds the wait for QEMU's monitor, and later for each answer."""

    def __init__(self, command, folder, seconds=30):
        path = f"{folder}/qmp"
        with open(f"{folder}/qemu.log", "ab") as log:
            self.process = subprocess.Popen([*command, "-qmp", f"unix:{path},server=on,wait=off"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, preexec_fn=end_with_parent)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(seconds)
        end = time.monotonic() + seconds
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    with open(f"{folder}/qemu.log", errors="replace") as log:
                        raise QemuError(f"QEMU does not start: {log.read()}") from None
                time.sleep(0.01)
        self.lines = self.socket.makefile("rb")
        self.lines.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        """One QMP command; names of arguments have `_` where QMP has `-`."""
        arguments = {name.replace("_", "-"): value for name, value in arguments.items()}
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        return self.answer(command)

    def ask_exactly(self, command, arguments):
        """As `ask`, with names that contain `_`."""
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        return self.answer(command)

    def answer(self, command):
        while True:
            line = self.lines.readline()
            if not line:
                raise QemuError(f"QEMU is gone during {command}")
            message = json.loads(line)
            if "error" in message:
                raise QemuError(f"{command}: {message['error']['desc']}")
            if "return" in message:
                return message["return"]

    def monitor(self, line):
        """A command of the human monitor, for what QMP has no command."""
        said = self.ask("human-monitor-command", command_line=line)
        if said.strip():
            raise QemuError(f"{line}: {said}")

    def save(self, path, seconds=60):
        """Writes the state of the machine to a file; the machine is stopped afterwards."""
        self.ask("migrate-set-parameters", max_bandwidth=0, downtime_limit=10000)
        self.ask("migrate", uri=f"exec:cat > {path}")
        end = time.monotonic() + seconds
        while (status := self.ask("query-migrate")["status"]) != "completed":
            if status == "failed" or time.monotonic() > end:
                raise QemuError(f"the state cannot be saved: {status}")
            time.sleep(0.05)

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.socket.close()
