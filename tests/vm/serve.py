#!/usr/bin/env python3
"""`make vm`: serves a disk image from a virtual machine, and says how to reach it.

    tests/vm/serve.py KERNEL DISK KEY [PORT] [MACHINE] [OPTION…]

MACHINE is q35, microvm or microvm-acpi; the options are the guest's. Control-C ends the machine.
"""
import os
import signal
import sys
import time

from machine import INSIDE, MACHINES, NETWORK, Machine, QemuError, accelerator


def serve(kernel, disk, key, port, machine, options):
    if os.path.exists("/dev/kvm"):
        print("looking whether KVM runs the kernel here, for 10 s at most", flush=True)
    how = accelerator(kernel)
    print("with KVM" if how == "kvm" else "with QEMU's own emulation", flush=True)
    vm = Machine(kernel, machine, " ".join([NETWORK, *options]), [disk], port, accelerator=how)
    try:
        done = 0
        told = False
        asked = False
        while True:
            running = vm.process.poll() is None
            text = vm.console()
            print(text[done:], end="", flush=True)
            done = len(text)
            if not running:
                return 0 if vm.process.returncode == 0 else f"QEMU exited with {vm.process.returncode}"
            if "listening on" in text and not told:
                told = True
                print(usage(vm, disk, os.path.abspath(key), port, how), flush=True)
            try:
                time.sleep(0.1)
            except KeyboardInterrupt:
                if asked:
                    return 130
                asked = True
                print("\nasking the machine to end", flush=True)
                vm.ask_to_end()
    finally:
        vm.forget()


def usage(vm, disk, key, port, how):
    return f"""
A virtual machine ({vm.machine}, {how}) of 32 MiB serves {disk}. In another shell:

    sftp -P {port} -i {key} mirage@127.0.0.1
    mkdir -p mnt && sshfs -p {port} -o idmap=user -o IdentityFile={key} mirage@127.0.0.1:/ mnt

Control-C ends it.
"""


def main():
    kernel, disk, key, *rest = sys.argv[1:]
    port = int(rest.pop(0)) if rest else INSIDE
    machine = rest.pop(0) if rest and rest[0] in MACHINES else "q35"
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return serve(kernel, disk, key, port, machine, rest)
    except QemuError as problem:
        return str(problem)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
