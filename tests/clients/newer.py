#!/usr/bin/python3
"""OpenSSH's and sshfs' clients of Debian 13, beside the installed ones: unpacked into a cache folder with their
own libraries and loader, not installed. `make tools` fetches them from the mirror that apt uses here.

    tests/clients/newer.py      prints the folder of the programs
"""
import fcntl
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

SUITE = "trixie"
PACKAGES = ["openssh-client", "sshfs"]
PROGRAMS = ["ssh", "sftp", "scp", "sshfs"]
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "mirage-sshfs", "clients")


def output(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        raise SystemExit(f"newer.py: {' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


class Apt:
    """apt with the suite alone, and lists of its own."""

    def __init__(self, folder):
        self.folder = folder
        mirrors = output("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Component: main",
                         "Origin: Debian").split()
        mirrors = [mirror for mirror in mirrors if "security" not in mirror]
        if not mirrors:
            raise SystemExit("newer.py: apt knows no mirror of Debian: `apt-get update` as root first")
        os.makedirs(f"{folder}/lists/partial")
        os.makedirs(f"{folder}/cache/archives/partial")
        with open(f"{folder}/list", "w") as file:
            file.write(f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirrors[0]} {SUITE} main\n")
        with open(f"{folder}/status", "w"):
            pass    # nothing is installed, as far as this goes

    def __call__(self, program, *args, **options):
        settings = {"Dir::Etc::SourceList": f"{self.folder}/list", "Dir::Etc::SourceParts": "/dev/null",
                    "Dir::State::Lists": f"{self.folder}/lists", "Dir::State::Status": f"{self.folder}/status",
                    "Dir::Cache": f"{self.folder}/cache", "Acquire::Languages": "none", "APT::Sandbox::User": ""}
        return output(program, *(word for pair in settings.items() for word in ("-o", "=".join(pair))), *args, **options)


def wanted(apt):
    """The packages and all libraries that they need."""
    leave = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
    closure = apt("apt-cache", "depends", "--recurse", *leave, *PACKAGES)
    return sorted({name for name in re.findall(r"^([a-z0-9]\S*)", closure, re.M)
                   if name in PACKAGES or re.match("lib|zlib", name)})


def build(work):
    apt = Apt(f"{work}/apt")
    apt("apt-get", "update", "-qq")
    names = wanted(apt)
    known = apt("apt-cache", "policy", *names)
    names = re.findall(r"^(\S+):\n  Installed: .*\n  Candidate: \d", known, re.M)     # not the virtual ones
    os.makedirs(f"{work}/debs")
    apt("apt-get", "download", "-qq", *names, cwd=f"{work}/debs")
    for deb in sorted(glob.glob(f"{work}/debs/*.deb")):
        output("dpkg", "-x", deb, f"{work}/root")
    shutil.rmtree(f"{work}/apt")
    shutil.rmtree(f"{work}/debs")


def wrap(folder):
    """Scripts that run each program with its own loader, and `ssh` of the same suite below it."""
    root, bin, new = f"{folder}/root/usr", f"{folder}/bin", f"{folder}/bin.new"
    os.makedirs(new, exist_ok=True)
    extra = {"sftp": f"-S {bin}/ssh", "scp": f"-S {bin}/ssh", "sshfs": f"-o ssh_command={bin}/ssh"}
    for program in PROGRAMS:
        with open(f"{new}/{program}", "w") as file:
            file.write(f"#!/bin/sh\nexec {root}/lib64/ld-linux-x86-64.so.2 --library-path {root}/lib/x86_64-linux-gnu "
                       f'{root}/bin/{program} {extra.get(program, "")} "$@"\n')
        os.chmod(f"{new}/{program}", 0o755)
    output(f"{new}/ssh", "-V")
    os.rename(new, bin)


def prepare():
    """The folder with the programs; made once."""
    folder = os.path.join(CACHE, SUITE)
    os.makedirs(CACHE, exist_ok=True)
    with open(f"{CACHE}/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(f"{folder}/bin"):
            print(f"fetching Debian 13's ssh and sshfs into {folder}", file=sys.stderr, flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            work = tempfile.mkdtemp(dir=CACHE, prefix="new-")
            try:
                build(work)
                os.rename(work, folder)
            finally:
                shutil.rmtree(work, ignore_errors=True)
            wrap(folder)
    return f"{folder}/bin"


if __name__ == "__main__":
    print(prepare())
