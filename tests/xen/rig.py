"""A real Xen with a Linux dom0, emulated by QEMU, and guests in it.

The first start boots Xen and saves the machine's state (about 10 s); later ones go on from there
(about 2 s). Nothing here needs root or virtualisation. All times out, and all ends with the process.
"""
import fcntl
import hashlib
import os
import re
import shlex
import shutil
import socket
import tempfile
import time
from multiprocessing.util import Finalize

import setup
from guest import Guest
from qemu import Qemu, QemuError

# Each of these was found by a failure: Xen 4.17 cannot run on MONITOR, nor a PV dom0 on SMAP, as
# QEMU emulates them; RDTSCP exits as RDTSC; XSAVEC and XSAVES confuse a Linux guest's sizes.
CPU = "EPYC,-monitor,-smap,-rdtscp,-xsavec,-xsaves"
# One CPU for dom0, one for all guests. `eager-fpu`, because QEMU misses the exceptions by which Xen
# would put off switching SSE registers: guests on one CPU corrupted each other's (seen as ssh's
# "incorrect signature"). Grant tables as Qubes OS configures them.
XEN = ("console=com1 com1=115200,8n1 dom0_mem={dom0}M,max:{dom0}M dom0_max_vcpus=1 dom0_vcpus_pin noreboot "
       "cpuidle=0 spec-ctrl=no,eager-fpu=yes gnttab=max-ver:1 loglvl=warning guest_loglvl=all")
LINUX = "console=hvc0 quiet panic=-1 mitigations=off apparmor=0 audit=0 random.trust_cpu=on"
# A PV dom0 reaches devices through Xen's idea of addresses.
VIRTIO = "iommu_platform=on,disable-legacy=on"
AGENT = "10.0.2.15", 9


class RigError(AssertionError):
    """dom0 or QEMU did not do what was asked."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Rig:
    """`with Rig() as rig:` or `start` and `close`. Its files are in `folder`. Memory is in MiB, dom0's files
    included."""

    def __init__(self, memory=1088, dom0=448):
        self.memory, self.dom0 = memory, dom0
        self.folder = tempfile.mkdtemp(prefix="xen-")
        self.qemu = None
        self.guests = []
        self.disks = 0
        self.copied = set()
        # Also in a process of a pool, in which nothing of `atexit` is run.
        self.at_exit = Finalize(None, self.close, exitpriority=0)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    # The machine

    def start(self):
        try:
            files = setup.prepare()
            command = self.command(files)
            state = f"{files}/state-{hashlib.sha256(shlex.join(command).encode()).hexdigest()[:16]}"
            with open(f"{files}/lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)    # one is enough
                if not os.path.exists(state):
                    self.boot(command, state)
            self.agent = free_port()
            self.log = f"{self.folder}/log"
            self.qemu = Qemu([*command, "-serial", f"file:{self.log}", "-incoming", f"exec:cat {state}"], self.folder)
            self.forward(*AGENT, self.agent)
            self.files = files
            self.until(lambda: self.qemu.ask("query-status")["running"], 60, "the saved state to be loaded")
            self.until(self.answers, 180, "dom0 to answer")
            # Xen's clock went on where the state was saved.
            self.run(f"date -s @{time.time():.0f}")
        except BaseException:
            self.close()
            raise
        return self

    def command(self, files):
        return [*setup.qemu(), "-accel", "tcg", "-machine", "q35", "-cpu", CPU, "-smp", "2", "-m", str(self.memory),
                "-nodefaults", "-display", "none", "-no-reboot",
                "-netdev", "user,id=net,ipv6=off", "-device", f"virtio-net-pci,netdev=net,romfile=,{VIRTIO}",
                "-device", f"virtio-scsi-pci,id=scsi,{VIRTIO}",
                "-kernel", f"{files}/xen", "-append", XEN.format(dom0=self.dom0),
                "-initrd", f"{files}/vmlinux {LINUX},{files}/dom0.cpio"]

    def boot(self, command, state):
        """Boots from cold and saves the state."""
        log = f"{self.folder}/boot.log"
        qemu = Qemu([*command, "-serial", f"file:{log}"], self.folder)
        try:
            self.until(lambda: "DOM0-READY" in self.text(log), 300, "dom0 to boot", lambda: self.text(log)[-3000:])
            time.sleep(0.5)     # let it come to rest
            qemu.save(f"{state}.{os.getpid()}")
        finally:
            qemu.close()
        os.rename(f"{state}.{os.getpid()}", state)

    def close(self):
        self.at_exit.cancel()
        for guest in self.guests:
            guest.forget()
        if self.qemu:
            self.qemu.close()
            self.qemu = None
        if os.environ.get("KEEP_SCRATCH"):
            print(f"Xen's log is in {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def alive(self):
        return self.qemu is not None and self.qemu.process.poll() is None

    @staticmethod
    def text(path):
        try:
            with open(path, errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    @staticmethod
    def until(condition, seconds, what, details=lambda: ""):
        end = time.monotonic() + seconds
        while not (value := condition()):
            if time.monotonic() > end:
                raise RigError(f"waited {seconds} s for {what}\n{details()}")
            time.sleep(0.05)
        return value

    def xen_log(self):
        """What Xen and dom0 said on the serial line since the start, without what `xl create` logs."""
        return re.sub(r"\(XEN\) HVM ?\w* (save|restore): .*\n", "", self.text(self.log))

    def rings(self):
        """What dom0's network backend says of the rings that it shares with guests."""
        return self.call("mkdir -p /debug; mount -t debugfs debug /debug 2>/dev/null; tail -n +1 /debug/xen-netback/*/io_ring_q*; "
                         "grep vif /proc/interrupts; dmesg | tail -n 5")[1].decode(errors="replace")

    # Commands and files

    def connect(self, script, seconds, agent=None):
        """A bash script of dom0, or of what else takes commands at a port of the host, with the connection as its
        input and output."""
        connection = socket.create_connection(("127.0.0.1", agent or self.agent), timeout=seconds + 5)
        connection.sendall(f"{seconds}\0{script}\0".encode())
        return connection

    def answers(self, agent=None):
        """Whether dom0, or what else takes commands at a port of the host, does. QEMU's network repeats a lost SYN after 6 s: this gives up
        before, and the next attempt sends another."""
        if not self.alive():
            return False
        try:
            with self.connect("true", 5, agent) as connection:
                connection.settimeout(3)
                return connection.makefile("rb").read() == b"\n0"
        except OSError:
            return False

    def call(self, script, data=b"", seconds=30, agent=None):
        """Runs a bash script in dom0, or in what else takes commands at a port of the host, with `data` as its input:
        exit status and output, in bytes."""
        received = bytearray()
        try:
            with self.connect(script, seconds, agent) as connection:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                while piece := connection.recv(1 << 16):
                    received += piece
        except OSError as error:
            raise RigError(f"dom0: {script}\n{error}\n{self.xen_log()[-2000:]}") from None
        said, _, status = bytes(received).rpartition(b"\n")
        if not status.isdigit():
            raise RigError(f"dom0 broke off: {script}\n{received[-2000:]!r}")
        return int(status), said

    def run(self, script, seconds=30):
        """Runs a bash script in dom0; its output. Fails when the script does."""
        status, said = self.call(script, seconds=seconds)
        text = said.decode(errors="replace")
        if status:
            raise RigError(f"dom0: {script}\nexit {status}\n{text}")
        return text

    def put(self, source):
        """Copies a file of the host into dom0, once; dom0's path."""
        with open(source, "rb") as file:
            data = file.read()
        path = f"/guests/{hashlib.sha256(data).hexdigest()[:16]}"
        if path not in self.copied:
            status, said = self.call(f"cat > {path}; stat -c %s {path}", data, 180)
            if status or int(said) != len(data):
                raise RigError(f"copying {source} to dom0: {said!r}")
            self.copied.add(path)
        return path

    def get(self, path):
        """A file of dom0, in bytes."""
        status, said = self.call(f"cat {shlex.quote(path)}", seconds=60)
        if status:
            raise RigError(f"reading dom0's {path}: {said!r}")
        return said

    # Devices

    def forward(self, address, port, host_port=None):
        """Forwards a port of the host's loopback to a guest's; the host's port."""
        host_port = host_port or free_port()
        self.qemu.monitor(f"hostfwd_add net tcp:127.0.0.1:{host_port}-{address}:{port}")
        return host_port

    def stop_forward(self, host_port):
        self.qemu.ask("human-monitor-command", command_line=f"hostfwd_remove net tcp:127.0.0.1:{host_port}")

    def plug(self, image, read_only=False, sector=512):
        """Plugs an image file of the host into dom0; the number and the path of dom0's device.
        What a guest writes is in the file at once."""
        self.disks += 1
        number = self.disks
        try:
            self.qemu.ask("blockdev-add", driver="raw", node_name=f"image{number}", read_only=read_only,
                          file={"driver": "file", "filename": os.path.abspath(image), "read-only": read_only})
            self.qemu.ask_exactly("device_add", {
                "driver": "scsi-hd", "id": f"disk{number}", "drive": f"image{number}", "bus": "scsi.0",
                "scsi-id": number % 256, "logical_block_size": sector, "physical_block_size": sector})
        except QemuError as problem:
            raise RigError(f"{image}: {problem}") from None
        folder = f"/sys/bus/scsi/devices/*:0:{number % 256}:0/block"
        name = self.run(f"until [ -e {folder}/* ]; do usleep 20000; done; cd {folder}; echo *", seconds=20)
        return number, f"/dev/{name.strip()}"

    def unplug(self, number):
        self.qemu.ask("device_del", id=f"disk{number}")
        self.run(f"while [ -e /sys/bus/scsi/devices/*:0:{number % 256}:0 ]; do usleep 20000; done", seconds=20)
        self.until(lambda: self.deleted(number), 10, "QEMU to let go of an image")

    def deleted(self, number):
        try:
            self.qemu.ask("blockdev-del", node_name=f"image{number}")
            return True
        except Exception as error:
            if "in use" not in str(error):
                raise
            return False

    def add_guest(self, kernel, **options):
        """A guest that does not run yet; see `Guest`."""
        guest = Guest(self, f"g{len(self.guests) + 1}", kernel, **options)
        self.guests.append(guest)
        return guest

    def guest(self, kernel, **options):
        """A guest that runs."""
        guest = self.add_guest(kernel, **options)
        guest.create()
        return guest
