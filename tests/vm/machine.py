"""A virtual machine of QEMU's with virtio devices, for the tests, the bench and `make vm`."""
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "xen"))
from qemu import Qemu, QemuError  # noqa: E402, F401

QEMU = "qemu-system-x86_64"
# What QEMU's user network gives a guest, and where it is itself.
ADDRESS, GATEWAY, INSIDE = "10.0.2.15", "10.0.2.2", 18022
# The suffix of a device's name: on PCI, or with registers in memory.
BUSES = {"q35": "pci", "microvm": "device", "microvm-acpi": "device"}
# Without ACPI QEMU tells a kernel of a microvm's devices on the command line.
MACHINES = {"q35": "q35", "microvm": "microvm,acpi=off", "microvm-acpi": "microvm,acpi=on"}
# All of a test come from one address, and some only for the banner.
NETWORK = f"--ipv4 {ADDRESS}/24 --ipv4-gateway {GATEWAY} --per-source-penalties no"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command(kernel, machine="q35", accelerator="tcg", cpu=None, memory=32, command_line="", more=()):
    """QEMU's command without devices."""
    cpu = cpu or ("host" if accelerator == "kvm" else "max")
    return [QEMU, "-machine", MACHINES[machine], "-accel", accelerator, "-cpu", cpu, "-m", str(memory),
            "-nodefaults", "-display", "none", "-no-reboot", "-kernel", kernel, "-append", command_line, *more]


def devices(machine, disks=(), port=None):
    """The options for disks, paths or tuples of a path and options for -drive, and for a network whose
    `port` of the host leads to the guest's."""
    options = []
    for number, disk in enumerate(disks):
        path, drive = (disk, "") if isinstance(disk, str) else disk
        options += ["-drive", f"if=none,id=d{number},format=raw,file={path}{drive}",
                    "-device", f"virtio-blk-{BUSES[machine]},drive=d{number}"]
    if port:
        forward = f"hostfwd=tcp:127.0.0.1:{port}-{ADDRESS}:{INSIDE}"
        options += ["-netdev", f"user,id=n,{forward}", "-device", f"virtio-net-{BUSES[machine]},netdev=n"]
    return options


def accelerator(kernel):
    """"kvm" where it runs this kernel, else "tcg": a device that exists need not work."""
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        try:
            done = subprocess.run(command(kernel, accelerator="kvm", more=("-serial", "stdio")),
                                  stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
            if b"no disk" in done.stdout:
                return "kvm"
        except subprocess.TimeoutExpired:
            pass
    return "tcg"


class Machine:
    """A running one. Its console is in the file `console_path`."""

    def __init__(self, kernel, machine="q35", command_line="", disks=(), port=None, within=(), **options):
        """`within`: what starts QEMU in a namespace."""
        self.machine = machine
        self.folder = tempfile.mkdtemp(prefix="vm-")
        self.console_path, keys = f"{self.folder}/console", f"{self.folder}/keys"
        serial = ["-chardev", f"socket,id=c,path={keys},server=on,wait=off,logfile={self.console_path}",
                  "-serial", "chardev:c"]
        self.started = time.monotonic()
        self.qemu = Qemu([*within, *command(kernel, machine, command_line=command_line, **options),
                          *devices(machine, disks, port), *serial], self.folder)
        self.process = self.qemu.process

    def console(self):
        try:
            with open(self.console_path, errors="replace", newline="") as file:
                return file.read().replace("\r\n", "\n")
        except FileNotFoundError:
            return ""

    def press_power_button(self):
        self.qemu.ask("system_powerdown")

    def press_ctrl_alt_del(self):
        self.qemu.ask("human-monitor-command", command_line="sendkey ctrl-alt-delete")

    def press_ctrl_c(self):
        """Returns when the machine has ended, or has said nothing for a while."""
        with socket.socket(socket.AF_UNIX) as keys, contextlib.suppress(OSError):
            keys.connect(f"{self.folder}/keys")
            keys.sendall(b"\3")
            # What the guest prints comes here, too: unread, some hundred bytes make it wait, and a close loses some.
            keys.settimeout(10)
            while keys.recv(4096):
                pass

    def ask_to_end(self):
        """As a host would: only QEMU's machines with ACPI have a power button."""
        if self.machine == "microvm":
            self.press_ctrl_c()
        else:
            self.press_power_button()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)

    def forget(self):
        self.kill()
        self.qemu.lines.close()
        self.qemu.socket.close()
        shutil.rmtree(self.folder, ignore_errors=True)
