#!/usr/bin/python3
"""OpenSSH's and sshfs' clients and exFAT's judge of Debian 13, beside the installed ones: unpacked into a cache folder
with their own libraries and loader, not installed. `make tools` fetches them from the mirror that apt uses here.

    tests/clients/newer.py      prints the folder of the programs
"""
import fcntl
import glob
import os
import shutil
import sys
import tempfile

from debian import Apt, Problem, closure, output

SUITE = "trixie"
PACKAGES = ["openssh-client", "sshfs", "exfatprogs"]
PROGRAMS = ["ssh", "sftp", "scp", "sshfs", "fsck.exfat"]
# What `bench/cost.py --openssh 13` runs besides: a daemon that starts two other programs.
SERVER = ["sshd", "sshd-session", "sshd-auth"]
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "mirage-sshfs", "clients")


def build(work, packages):
    apt = Apt(f"{work}/apt", SUITE)
    os.makedirs(f"{work}/debs")
    apt("apt-get", "download", "-qq", *closure(apt, packages), cwd=f"{work}/debs")
    for deb in sorted(glob.glob(f"{work}/debs/*.deb")):
        output("dpkg", "-x", deb, f"{work}/root")
    shutil.rmtree(f"{work}/apt")
    shutil.rmtree(f"{work}/debs")


def wrap(folder, programs):
    """Scripts that run each program with its own loader, and `ssh` of the same suite below it."""
    root, bin, new = f"{folder}/root/usr", f"{folder}/bin", f"{folder}/bin.new"
    os.makedirs(new, exist_ok=True)
    extra = {"sftp": f"-S {bin}/ssh", "scp": f"-S {bin}/ssh", "sshfs": f"-o ssh_command={bin}/ssh"}
    for program in programs:
        (path,) = glob.glob(f"{root}/*bin/{program}") or glob.glob(f"{root}/lib/openssh/{program}")
        with open(f"{new}/{program}", "w") as file:
            file.write(f"#!/bin/sh\nexec {root}/lib64/ld-linux-x86-64.so.2 --library-path {root}/lib/x86_64-linux-gnu "
                       f'{path} {extra.get(program, "")} "$@"\n')
        os.chmod(f"{new}/{program}", 0o755)
    output(f"{new}/ssh", "-V")
    os.rename(new, bin)


def prepare(server=False):
    """The folder with the programs, and with OpenSSH's server if that is asked for; made once."""
    packages, programs = (PACKAGES + ["openssh-server"], PROGRAMS + SERVER) if server else (PACKAGES, PROGRAMS)
    folder = os.path.join(CACHE, "-".join([SUITE, *packages]))
    os.makedirs(CACHE, exist_ok=True)
    with open(f"{CACHE}/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(f"{folder}/bin"):
            print(f"fetching Debian 13's ssh, sshfs and fsck.exfat into {folder}", file=sys.stderr, flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            work = tempfile.mkdtemp(dir=CACHE, prefix="new-")
            try:
                build(work, packages)
                os.rename(work, folder)
            finally:
                shutil.rmtree(work, ignore_errors=True)
            wrap(folder, programs)
    return f"{folder}/bin"


if __name__ == "__main__":
    try:
        print(prepare())
    except Problem as problem:
        sys.exit(f"newer.py: {problem}")
