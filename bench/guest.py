#!/usr/bin/python3
"""What transfers cost a virtual machine: processor milliseconds of QEMU for a MiB, of one kernel beside others, in turns.
bench/README.md says how to read it.

    bench/guest.py [--rounds N] [--size MIB] [--machine KIND] [KERNEL]...     # else the one that was built
"""
import argparse
import filecmp
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [HERE, os.path.join(HERE, "..", "tests", "vm"), os.path.join(HERE, "..", "tests", "clients")]
import machine  # noqa: E402
from tools import program, tool  # noqa: E402
from vm import KERNEL, banner, processor_seconds, until  # noqa: E402

CIPHERS = ("chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com")


def sftp(folder, port, cipher, line):
    options = ["-oUserKnownHostsFile=/dev/null", "-oStrictHostKeyChecking=no", f"-oIdentityFile={folder}/mirage",
               "-oIdentitiesOnly=yes", f"-oCiphers={cipher}", "-oLogLevel=ERROR", f"-oPort={port}"]
    subprocess.run([tool("sftp"), "-F", "none", *options, "-b", "-", "mirage@127.0.0.1"], input=line.encode(), check=True,
                   capture_output=True, cwd=folder)


def transfer(kernel, kind, accelerator, folder, size, took):
    """A guest of its own for one put and one get with each cipher; what they took is added to `took`."""
    shutil.copyfile(f"{folder}/blank.img", f"{folder}/disk.img")
    port = machine.free_port()
    vm = machine.Machine(kernel, kind, machine.NETWORK, [f"{folder}/disk.img"], port, accelerator=accelerator)
    try:
        until(lambda: banner(port), vm, "banner")
        for cipher in CIPHERS:
            for what, line in (("put", "put data data"), ("get", "get data back")):
                before = processor_seconds(vm.process)
                sftp(folder, port, cipher, line)
                spent = (processor_seconds(vm.process) - before) * 1000 / size
                took.setdefault((what, cipher.split("@")[0]), {}).setdefault(kernel, []).append(spent)
            if not filecmp.cmp(f"{folder}/data", f"{folder}/back", shallow=False):
                raise SystemExit(f"{kernel} gives back other bytes")
    finally:
        vm.forget()


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--rounds", type=int, default=7, help="guests of each kernel [7]")
    parse.add_argument("--size", type=int, default=64, help="MiB of the file [64]")
    parse.add_argument("--machine", choices=tuple(machine.MACHINES), default="q35")
    parse.add_argument("kernels", nargs="*", metavar="KERNEL", help="the others are compared with the first")
    options = parse.parse_args()
    kernels = [os.path.abspath(kernel) for kernel in options.kernels or [KERNEL]]
    folder, took = tempfile.mkdtemp(prefix="bench-guest-"), {}
    try:
        subprocess.run([program("fat"), "create", f"{folder}/blank.img", f"{options.size * 2 + 64}M"], check=True,
                       capture_output=True)
        subprocess.run([program("mirage-sshfs"), "keygen", f"{folder}/mirage"], check=True, capture_output=True)
        subprocess.run([program("fat"), "add", f"{folder}/blank.img", f"{folder}/mirage.pub"], check=True,
                       capture_output=True)
        with open(f"{folder}/data", "wb") as file:
            file.write(os.urandom(options.size << 20))
        accelerator = machine.accelerator(kernels[0])
        for turn in range(options.rounds):
            for kernel in kernels[::-1] if turn % 2 else kernels:
                transfer(kernel, options.machine, accelerator, folder, options.size, took)
        print(f"{os.cpu_count()} cores, QEMU with {accelerator}, {options.machine}, 32 MiB, "
              f"files of {options.size} MiB, medians of {options.rounds}")
        for row, costs in took.items():
            first = statistics.median(costs[kernels[0]])
            for kernel in kernels:
                middle = statistics.median(costs[kernel])
                print(f"{' '.join(row):24} {middle:7.2f} ms/MiB ({min(costs[kernel]):.2f}-{max(costs[kernel]):.2f})"
                      f"  {middle / first:5.2f}  {kernel}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
