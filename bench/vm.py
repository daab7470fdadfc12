#!/usr/bin/python3
"""Measures the virtual machine: how long QEMU takes from its start to SSH's banner, beside a Debian
kernel that gets as far as its first process, and what an idle guest costs. bench/README.md says how
to read it.

    bench/vm.py [--rounds N] [--idle SECONDS]
"""
import argparse
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [os.path.join(HERE, "..", "tests", "vm"), os.path.join(HERE, "..", "tests", "xen"),
             os.path.join(HERE, "..", "tests", "clients")]
import machine  # noqa: E402
import setup  # noqa: E402
from tools import ROOT, program  # noqa: E402

KERNEL = os.environ.get("MIRAGE_KERNEL", os.path.join(ROOT, "target", "mirage-sshfs.elf"))
SECONDS = 120


def until(found, vm, what):
    """The seconds from the machine's start until `found` gives something."""
    end = time.monotonic() + SECONDS
    while not found():
        if vm.process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"no {what}:\n{vm.console()[-3000:]}")
        time.sleep(0.002)
    return time.monotonic() - vm.started


def banner(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
            return plain.recv(8).startswith(b"SSH-2.0-")
    except OSError:
        return False


class Ours:
    def __init__(self, image, accelerator):
        self.image, self.accelerator = image, accelerator

    def start(self, kind):
        self.port = machine.free_port()
        return machine.Machine(KERNEL, kind, machine.NETWORK, [self.image], self.port,
                               accelerator=self.accelerator)

    def boot(self, kind):
        vm = self.start(kind)
        try:
            until(lambda: "listening on" in vm.console(), vm, "line that it listens")
            return until(lambda: banner(self.port), vm, "banner")
        finally:
            vm.forget()


def debian(folder, kind, accelerator):
    """Until Debian's kernel wants its first process, of which an empty initramfs has none."""
    initramfs = f"{folder}/empty.cpio"
    with open(initramfs, "wb") as file:
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], input=b"", stdout=file, check=True)
    vm = machine.Machine(setup.prepare() + "/vmlinuz", kind, "console=ttyS0 panic=-1", memory=256,
                         accelerator=accelerator, more=("-initrd", initramfs))
    try:
        return until(lambda: re.search("Unable to mount root fs|No working init", vm.console()), vm,
                     "end of Debian's start")
    finally:
        vm.forget()


def processor_seconds(process):
    with open(f"/proc/{process.pid}/stat") as stat:
        user, system = stat.read().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def idle(ours, kind, seconds):
    """The share of a core that QEMU takes while nobody is connected."""
    vm = ours.start(kind)
    try:
        until(lambda: banner(ours.port), vm, "banner")
        time.sleep(2)
        before, start = processor_seconds(vm.process), time.monotonic()
        time.sleep(seconds)
        return (processor_seconds(vm.process) - before) / (time.monotonic() - start)
    finally:
        vm.forget()


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--rounds", type=int, default=50, help="boots on each machine [50]")
    parse.add_argument("--idle", type=int, default=60, help="seconds to look at an idle guest [60]")
    parse.add_argument("--no-debian", action="store_true", help="leave Debian's kernel out")
    options = parse.parse_args()
    folder = tempfile.mkdtemp(prefix="bench-vm-")
    try:
        image = f"{folder}/disk.img"
        subprocess.run([program("fat"), "create", image, "64M"], check=True, capture_output=True)
        how = machine.accelerator(KERNEL)
        ours = Ours(image, how)
        print(f"{os.cpu_count()} cores, QEMU with {how}, kernel of {os.path.getsize(KERNEL):,} bytes, 32 MiB")
        for kind in ("q35", "microvm"):
            rows = [("to SSH's banner", lambda k=kind: ours.boot(k), options.rounds)]
            if not options.no_debian:
                rows.append(("Debian's kernel", lambda k=kind: debian(folder, k, how), min(options.rounds, 5)))
            for name, boot, rounds in rows:
                took = [boot() for _ in range(rounds)]
                print(f"{kind:8} {name:16} {statistics.median(took):7.3f} s, median of {rounds}"
                      f"   ({min(took):.3f}-{max(took):.3f})", flush=True)
            share = idle(ours, kind, options.idle)
            print(f"{kind:8} idle             {share:7.2%} of a core over {options.idle} s", flush=True)
            if share > 0.02:
                raise SystemExit("an idle guest must take less than 2 % of a core")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
