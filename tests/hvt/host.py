"""A Linux host with KVM, in QEMU, on which tenders run: the tests' own, or another program."""
import os
import re
import shlex
import shutil
import socket
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(HERE)
import setup  # noqa: E402

sys.path.append(os.path.join(os.path.dirname(HERE), "xen"))
from qemu import Qemu  # noqa: E402

# AMD's virtualisation, emulated.
CPU = "EPYC,-monitor,-smap,-rdtscp,-xsavec,-xsaves"
LINUX = "console=ttyS0 quiet panic=-1 mitigations=off apparmor=0 audit=0 random.trust_cpu=on tsc=reliable"
# The guest's, in the network that QEMU gives.
ADDRESS, GATEWAY, INSIDE = "10.0.2.16", "10.0.2.2", 18022
# All of a test come from one address, and some only for the banner.
NETWORK = f"--ipv4 {ADDRESS}/24 --ipv4-gateway {GATEWAY} --per-source-penalties no"


class Host:
    """Boots at once. Its console is in the file `console_path`. With `outer` it reads this machine's files, so
    that this machine's programs run there."""

    def __init__(self, kernel, image, port, seconds=120, memory=256, outer=False):
        built = setup.prepare()
        self.folder = tempfile.mkdtemp(prefix="hvt-")
        self.console_path, path = f"{self.folder}/console", f"{self.folder}/console-socket"
        forward = f"hostfwd=tcp:127.0.0.1:{port}-{ADDRESS}:{INSIDE}"
        drives = []
        for name, file, more in (("image", image, ""), ("kernel", kernel, ",readonly=on")):
            drives += ["-drive", f"if=none,id={name},format=raw,file={file}{more}",
                       "-device", f"virtio-blk-pci,drive={name}"]
        files = ["-virtfs", "local,path=/,mount_tag=outer,security_model=none,readonly=on"] if outer else []
        command = [*setup.xen.qemu(), "-machine", "q35", "-accel", "tcg", "-cpu", CPU, "-m", str(memory), "-nodefaults",
                   "-display", "none", "-no-reboot", "-kernel", f"{built}/vmlinux", "-initrd", f"{built}/initramfs",
                   "-append", LINUX, "-chardev",
                   f"socket,id=c,path={path},server=on,wait=off,logfile={self.console_path}", "-serial", "chardev:c",
                   *drives, *files, "-netdev", f"user,id=n,{forward}", "-device", "virtio-net-pci,netdev=n,mac=52:54:00:00:00:02"]
        self.qemu = Qemu(command, self.folder)
        self.process = self.qemu.process
        self.commands = socket.socket(socket.AF_UNIX)
        self.commands.connect(path)
        # Unread, single bytes fill the socket soon.
        threading.Thread(target=self.drain, daemon=True).start()
        self.wait_for("host ready", seconds)

    def drain(self):
        try:
            while self.commands.recv(4096):
                pass
        except OSError:
            pass

    def console(self):
        with open(self.console_path, errors="replace", newline="") as file:
            return file.read().replace("\r", "")

    def wait_for(self, pattern, seconds, since=0):
        """The match of a pattern on the console after so many characters."""
        end = time.monotonic() + seconds
        while True:
            # It may have said so just before its end.
            running = self.process.poll() is None
            if found := re.search(pattern, self.console()[since:]):
                return found
            if not running or time.monotonic() > end:
                raise AssertionError(f"no {pattern!r} after {seconds} s:\n{self.console()[-4000:]}")
            time.sleep(0.05)

    def say(self, line):
        self.commands.sendall(line.encode() + b"\n")

    def start(self, line, memory=32, devices=("--net:service=tap100", "--block:storage=/dev/vda")):
        """Runs the kernel on the tests' tender. `line` is the guest's, as a shell has it."""
        words = [f"--mem={memory}", *devices, "/dev/vdb", *shlex.split(line)]
        self.say("start " + shlex.join(words))

    def start_outer(self, command):
        """Runs a command of this machine's there, as its shell has it; what is typed to it is `keys`."""
        self.say(f"outer {command}")

    def keys(self, text):
        """As printf has them."""
        self.say(f"type {text}")

    def kill(self, seconds=20):
        """SIGKILL for the tender: what it wrote is the host's."""
        since = len(self.console())
        self.say("kill")
        self.wait_for("tender exited with 137", seconds, since)

    def end(self, seconds=30):
        """Switches it off; what was written is in the image."""
        if self.process.poll() is None:
            self.say("off")
            self.process.wait(seconds)

    def forget(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self.commands.close()
        self.qemu.lines.close()
        self.qemu.socket.close()
        shutil.rmtree(self.folder, ignore_errors=True)
