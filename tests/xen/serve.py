#!/usr/bin/env python3
"""`make xen`: serves a disk image from a guest of a real Xen, and says how to reach it.

    tests/xen/serve.py KERNEL DISK KEY [PORT] [OPTION…]

The options are the guest's. Control-C shuts the guest down and ends all of it.
"""
import os
import signal
import sys
import threading

from guest import Guest
from qemu import QemuError
from rig import Rig, RigError
from setup import SetupError

ADDRESS, INSIDE = "10.0.2.20", 18022


def serve(kernel, disk, key, port, options):
    with Rig() as rig:
        guest = rig.guest(kernel, disks=[disk], command_line=" ".join(
            [f"--ipv4 {ADDRESS}/24 --ipv4-gateway 10.0.2.2 --port {INSIDE}", *options]))
        shown = show(guest)
        guest.wait_console(f"listening on {ADDRESS}:{INSIDE}", 60)
        shown()
        rig.forward(ADDRESS, INSIDE, port)
        key = os.path.abspath(key)
        print(f"""
A Xen guest of {guest.memory} MiB serves {disk}. In another shell:

    sftp -P {port} -i {key} mirage@127.0.0.1
    mkdir -p mnt && sshfs -p {port} -o idmap=user -o IdentityFile={key} mirage@127.0.0.1:/ mnt

Control-C shuts it down.
""", flush=True)
        try:
            while guest.running():
                shown()
                threading.Event().wait(1)
        except KeyboardInterrupt:
            print("\nshutting the guest down", flush=True)
        reason = guest.shutdown() if guest.running() else guest.wait()
        shown()
        return f"the guest ended with Xen's reason {reason}" if reason else 0


def show(guest: Guest):
    """A function that prints what the guest said since it was last called."""
    done = 0

    def more():
        nonlocal done
        text = guest.console()
        print(text[done:], end="", flush=True)
        done = len(text)
    return more


def main():
    kernel, disk, key, *rest = sys.argv[1:]
    port = int(rest.pop(0)) if rest else INSIDE
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return serve(kernel, disk, key, port, rest)
    except (QemuError, RigError, SetupError) as problem:
        return str(problem)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
