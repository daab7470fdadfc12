#!/usr/bin/python3
"""Measures the guest beside two Debian guests that serve the same image with OpenSSH, in turns on one
real Xen in QEMU. bench/README.md says how to read the table. As root, because Debian is installed into
a folder.

    bench/xen.py [--rounds N] [--size MIB]
"""
import argparse
import bisect
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [os.path.join(HERE, "..", "tests", "xen"), os.path.join(HERE, "..", "tests", "clients")]
import setup  # noqa: E402
from case import KERNEL  # noqa: E402
from rig import Rig, RigError  # noqa: E402
from tools import big_file, program, sha256, tool  # noqa: E402

MODULES = ["xen-blkfront", "xen-netfront", "vfat", "nls_cp437", "nls_utf8"]
GATEWAY = "10.0.2.2"
SSHD_CONFIG = """AuthorizedKeysFile /volume/mirage.pub
StrictModes no
UseDNS no
ChrootDirectory /volume
ForceCommand internal-sftp
"""
# Waits for SSH's first bytes from inside dom0, so that no forwarding is part of the time. ARP is
# asked every 20 ms, not every second.
START = """
echo 20 > /proc/sys/net/ipv4/neigh/xenbr0/retrans_time_ms
from=${{EPOCHREALTIME/./}}
xl create {config} >/dev/null 2>&1
created=${{EPOCHREALTIME/./}}
until [ "$(nc -w 1 {address} {port} </dev/null 2>/dev/null | head -c 4)" = SSH- ]; do
    [ $(( ${{EPOCHREALTIME/./}} - from )) -lt {seconds}000000 ] || exit 1
    usleep 5000
done
echo $(( created - from )) $(( ${{EPOCHREALTIME/./}} - from ))
"""


class Ours:
    name, port, user, memory, patience = "mirage-sshfs", 22, "mirage", 32, 25
    sizes = [8, 9, 10, 11, 12, 16, 20, 24, 32]

    def __init__(self, folder):
        self.kernel, self.ramdisk, self.image_size = KERNEL, None, os.path.getsize(KERNEL)

    def command_line(self, address):
        return f"--ipv4 {address}/24 --ipv4-gateway {GATEWAY} --port {self.port}"

    @staticmethod
    def disks(image):
        return [image]


class Debian:
    """Debian 12 as it is installed: its kernel and initramfs, systemd, udev and sshd on a disk of its own."""

    name, port, user, memory, patience = "Debian", 22, "root", 512, 240
    sizes = [96, 128, 160, 192, 224, 256, 320, 384, 512]

    def __init__(self, folder):
        root, self.disk = f"{folder}/debian", f"{folder}/debian.img"
        packages = "linux-image-amd64,initramfs-tools,systemd-sysv,udev,dbus,ifupdown,openssh-server"
        setup.output("mmdebstrap", "--variant=minbase", "--mode=root", f"--include={packages}", "bookworm", root)
        with open(f"{HERE}/debian/interfaces") as file:
            self.add(root, "etc/network/interfaces", file.read())
        self.add(root, "etc/fstab", "/dev/xvda / ext4 errors=remount-ro 0 1\n"
                 "/dev/xvdb /volume vfat iocharset=utf8,umask=022 0 0\n")
        self.add(root, "etc/ssh/sshd_config.d/volume.conf", SSHD_CONFIG + "PermitRootLogin yes\n")
        os.mkdir(f"{root}/volume")
        self.kernel, self.ramdisk = f"{folder}/debian-vmlinuz", f"{folder}/debian-initrd"
        shutil.copy(f"{root}/vmlinuz", self.kernel)
        shutil.copy(f"{root}/initrd.img", self.ramdisk)
        setup.output("mke2fs", "-q", "-t", "ext4", "-d", root, self.disk, "2G")
        shutil.rmtree(root)
        # What is allocated of the file.
        self.image_size = os.stat(self.disk).st_blocks * 512

    @staticmethod
    def add(root, path, text):
        with open(f"{root}/{path}", "w") as file:
            file.write(text)

    @staticmethod
    def command_line(address):
        return f"root=/dev/xvda ro quiet console=hvc0 net.ifnames=0 address={address}/24"

    def disks(self, image):
        return [self.disk, image]


class LeastDebian:
    """Debian 12's kernel, already unpacked, and an initramfs of busybox, sshd and five modules."""

    name, port, user, memory, patience = "the least Debian", 22, "root", 256, 25
    sizes = [80, 96, 112, 128, 160, 192, 256]
    disks = staticmethod(Ours.disks)

    def __init__(self, folder):
        self.kernel = f"{folder}/vmlinux"
        self.ramdisk = f"{folder}/debian.cpio"
        self.build(folder)
        # What a user would install: the compressed kernel and the initramfs.
        self.image_size = os.path.getsize(f"{folder}/vmlinuz") + os.path.getsize(self.ramdisk)

    @staticmethod
    def command_line(address):
        return f"console=hvc0 quiet panic=-1 mitigations=off random.trust_cpu=on address={address}/24"

    def build(self, folder):
        root = f"{folder}/root"
        kernel = setup.kernel_package()
        versions = setup.ask_apt([kernel, "openssh-server", "busybox-static"])
        setup.unpack([f"{name}={version}" for name, version in versions.items()], root)
        (version,) = os.listdir(f"{root}/lib/modules")
        setup.output(f"{root}/bin/busybox", "depmod", "-b", root, version)
        shutil.copy(f"{root}/boot/vmlinuz-{version}", f"{folder}/vmlinuz")
        with open(f"{folder}/vmlinuz", "rb") as packed, open(self.kernel, "wb") as elf:
            elf.write(setup.vmlinux(packed.read()))
        tree = setup.Initramfs(root, f"{folder}/tree")
        tree.add(f"{root}/bin/busybox", "/bin/busybox")
        tree.add(f"{HERE}/debian/init", "/init")
        tree.add_program("/usr/sbin/sshd")
        tree.add_modules(version, MODULES)
        etc = f"{tree.folder}/etc"
        os.makedirs(f"{etc}/ssh")
        subprocess.run([tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", f"{etc}/ssh/key"], check=True)
        for path, text in (("passwd", "root:x:0:0::/:/bin/sh\nsshd:x:1:1::/run/sshd:/bin/false\n"),
                           ("group", "root:x:0:\n"), ("shells", "/bin/sh\n"),
                           ("ssh/sshd_config", SSHD_CONFIG + "HostKey /etc/ssh/key\nUsePAM no\n"
                            "Subsystem sftp internal-sftp\n")):
            with open(f"{etc}/{path}", "w") as file:
                file.write(text)
        tree.write(self.ramdisk)


class Bench:
    def __init__(self, rig, folder, size):
        self.rig, self.folder, self.size = rig, folder, size
        self.addresses = iter(range(20, 250))
        self.sha256 = big_file(f"{folder}/big", size << 20)
        self.key = f"{folder}/mirage"
        subprocess.run([program("mirage-sshfs"), "keygen", self.key], check=True, capture_output=True)

    @contextlib.contextmanager
    def booted(self, kind, memory, seconds=120):
        """A guest that serves, and the seconds to the end of `xl create` and to the banner; None
        instead when it does not come to serve."""
        image = f"{self.folder}/image"
        for command in (["create", "--size", f"{self.size * 2 + 64}M", "--type", "32", image],
                        ["add", image, f"{self.key}.pub"]):
            subprocess.run([program("fat"), *command], check=True, capture_output=True)
        address = f"10.0.2.{next(self.addresses)}"
        guest = self.rig.add_guest(kind.kernel, memory=memory, command_line=kind.command_line(address),
                                   disks=kind.disks(image), ramdisk=kind.ramdisk)
        config = guest.configure()
        script = START.format(config=config, address=address, port=kind.port, seconds=seconds)
        status, said = self.rig.call(script, seconds=seconds + 60)
        try:
            yield None if status else (address, *(int(word) / 1e6 for word in said.split()))
        finally:
            guest.destroy()
            guest.forget()
            os.unlink(image)

    def round(self, kind):
        """Everything that is measured of one boot, by name."""
        with self.booted(kind, kind.memory) as booted:
            if booted is None:
                raise RigError(f"{kind.name} does not serve\n{self.rig.guests[-1].details()}")
            address, created, banner = booted
            port = self.rig.forward(address, kind.port)
            values = {"xl create to banner": banner, "of that xl create": created}
            batch = [tool("sftp"), "-q", "-F", "/dev/null", "-P", str(port), "-i", self.key, "-b", "-",
                     *(word for option in ("StrictHostKeyChecking=no", f"UserKnownHostsFile={self.folder}/known",
                                           "IdentitiesOnly=yes", "KexAlgorithms=curve25519-sha256", "LogLevel=ERROR",
                                           "Ciphers=chacha20-poly1305@openssh.com")
                       for word in ("-o", option)), f"{kind.user}@127.0.0.1"]

            def sftp(line):
                begin = time.monotonic()
                done = subprocess.run(batch, input=line.encode(), capture_output=True, cwd=self.folder, timeout=900)
                if done.returncode:
                    raise RigError(f"{kind.name}: {line}: {done.stderr.decode()}\n{self.rig.guests[-1].details()}")
                return time.monotonic() - begin

            sftp("ls\n")    # the way there is learnt
            values["put"] = self.size / sftp("put big big\n")
            values["get"] = self.size / sftp("get big back\n")
            if sha256(f"{self.folder}/back") != self.sha256:
                raise RigError(f"{kind.name}: what came back is not what was sent")
            self.rig.stop_forward(port)
        os.unlink(f"{self.folder}/known")
        return values

    def least_memory(self, kind):
        """The least of `kind.sizes` MiB with which it comes to serve; it does with the last."""
        def serves(memory):
            with self.booted(kind, memory, kind.patience) as booted:
                print(f"{kind.name}, {memory} MiB: {booted is not None}", file=sys.stderr, flush=True)
                return booted is not None
        return kind.sizes[bisect.bisect_left(kind.sizes[:-1], True, key=serves)]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--size", type=int, default=32, help="of the file, in MiB (32)")
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, Rig(2048, 768) as rig:
        kinds = [Ours(folder), LeastDebian(folder), Debian(folder)]
        bench = Bench(rig, folder, asked.size)
        measured = {kind.name: [] for kind in kinds}
        for number in range(asked.rounds):
            for kind in kinds[::1 if number % 2 == 0 else -1]:
                measured[kind.name].append(bench.round(kind))
                print(f"round {number + 1}, {kind.name}: {measured[kind.name][-1]}", file=sys.stderr, flush=True)
        show(kinds, measured, {kind.name: bench.least_memory(kind) for kind in kinds}, asked)


def show(kinds, measured, least, asked):
    ours, *others = kinds
    print(f"{asked.rounds} rounds in turns, one Xen in QEMU; files of {asked.size} MiB; chacha20-poly1305\n"
          f"{'median':26}{'unit':6}{ours.name:>14}" + "".join(f"{kind.name:>18}  ratio" for kind in others))

    def row(what, unit, value, less_is_better):
        one = value(ours)
        cells = [(two, two / one if less_is_better else one / two) for two in map(value, others)]
        print(f"{what:26}{unit:6}{one:14.2f}" + "".join(f"{two:18.2f}{ratio:7.2f}" for two, ratio in cells))
    for what, unit, less in (("xl create to banner", "s", True), ("of that xl create", "s", True),
                             ("put", "MiB/s", False), ("get", "MiB/s", False)):
        row(what, unit, lambda kind, w=what: statistics.median(values[w] for values in measured[kind.name]), less)
    row("least memory that serves", "MiB", lambda kind: least[kind.name], True)
    row("image", "MiB", lambda kind: kind.image_size / (1 << 20), True)


if __name__ == "__main__":
    sys.exit(main())
