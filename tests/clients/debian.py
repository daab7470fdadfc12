"""Packages of another suite of Debian than the installed one, by apt with lists of its own. They are unpacked and
not installed."""

import os
import re
import subprocess


class Problem(Exception):
    """What is missing, and what to type."""


def output(*command, **options):
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout
    except FileNotFoundError:
        raise Problem(f"{command[0]} is missing: apt-get install {command[0]}") from None
    except subprocess.CalledProcessError as error:
        raise Problem(f"{' '.join(command)}\n{error.stdout}{error.stderr}") from None


class Apt:
    """apt with a suite alone, and lists of its own in `folder`."""

    def __init__(self, folder, suite):
        self.folder = folder
        mirrors = output("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Component: main",
                         "Origin: Debian").split()
        mirrors = [mirror for mirror in mirrors if "security" not in mirror]
        if not mirrors:
            raise Problem("apt knows no mirror of Debian: `apt-get update` as root first")
        os.makedirs(f"{folder}/lists/partial")
        os.makedirs(f"{folder}/cache/archives/partial")
        with open(f"{folder}/list", "w") as file:
            file.write(f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirrors[0]} {suite} main\n")
        with open(f"{folder}/status", "w"):
            pass    # nothing is installed, as far as this goes
        self("apt-get", "update", "-qq")

    def __call__(self, program, *args, **options):
        settings = {"Dir::Etc::SourceList": f"{self.folder}/list", "Dir::Etc::SourceParts": "/dev/null",
                    "Dir::State::Lists": f"{self.folder}/lists", "Dir::State::Status": f"{self.folder}/status",
                    "Dir::Cache": f"{self.folder}/cache", "Acquire::Languages": "none", "APT::Sandbox::User": ""}
        return output(program, *(word for pair in settings.items() for word in ("-o", "=".join(pair))), *args, **options)


def closure(apt, roots):
    """The versions of packages and of all libraries that they need, as an apt knows them."""
    leave = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
    said = apt("apt-cache", "depends", "--recurse", *leave, *roots)
    names = sorted({name for name in re.findall(r"^([a-z0-9]\S*)", said, re.M)
                    if name in roots or re.match("lib|zlib", name)})
    # Virtual ones have no candidate.
    return dict(re.findall(r"^(\S+):\n  Installed: .*\n  Candidate: (\d\S*)", apt("apt-cache", "policy", *names), re.M))
