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

# The MAC is that of ciphers that have none of their own; the kernels that lack the -etm form have the other.
CIPHERS = ("chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes256-ctr")
MACS = "hmac-sha2-256-etm@openssh.com,hmac-sha2-256"


def sftp(folder, port, cipher, line):
    """False when the guest has no such cipher."""
    options = ["-oUserKnownHostsFile=/dev/null", "-oStrictHostKeyChecking=no", f"-oIdentityFile={folder}/mirage",
               "-oIdentitiesOnly=yes", f"-oCiphers={cipher}", f"-oMACs={MACS}", f"-oPort={port}"]
    done = subprocess.run([tool("sftp"), "-F", "none", *options, "-b", "-", "mirage@127.0.0.1"], input=line.encode(),
                          capture_output=True, cwd=folder)
    if b"no matching cipher found" in done.stderr:
        return False
    if done.returncode:
        raise SystemExit(done.stderr.decode(errors="replace"))
    return True


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
                if not sftp(folder, port, cipher, line):
                    break
                spent = (processor_seconds(vm.process) - before) * 1000 / size
                took.setdefault((what, cipher.split("@")[0]), {}).setdefault(kernel, []).append(spent)
            else:
                if not filecmp.cmp(f"{folder}/data", f"{folder}/back", shallow=False):
                    raise SystemExit(f"{kernel} gives back other bytes")
    finally:
        vm.forget()


def show(kernels, took):
    """Each way and cipher; then the cheapest AES of each kernel, which is what its clients would take."""
    middles = {}
    for row, costs in took.items():
        for kernel in (kernel for kernel in kernels if kernel in costs):
            middles[row, kernel] = middle = statistics.median(costs[kernel])
            first = middles.get((row, kernels[0]))
            ratio = f"{middle / first:5.2f}" if first else "    -"
            print(f"{' '.join(row):24} {middle:7.2f} ms/MiB ({min(costs[kernel]):.2f}-{max(costs[kernel]):.2f})"
                  f"  {ratio}  {kernel}")
    for way in ("put", "get"):
        best = {kernel: min((middles[(way, cipher), kernel], cipher) for what, cipher in took
                            if what == way and cipher.startswith("aes") and ((way, cipher), kernel) in middles)
                for kernel in kernels}
        for kernel, (middle, cipher) in best.items():
            print(f"{way + ' best AES':24} {middle:7.2f} ms/MiB  {middle / best[kernels[0]][0]:5.2f}  {cipher}  {kernel}")


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
        show(kernels, took)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
