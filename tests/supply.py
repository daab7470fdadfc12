#!/usr/bin/env python3
"""Fails when a package of Cargo.lock is not what deny.toml lets in: its licence, where it comes from, another version
of one that is there already, and, where the list of advisories can be had, what is known against it.

This is the part of `cargo deny check` that the project relies on; building cargo-deny itself would take longer than
all of this project. Where it is installed it runs too, on the same file.
"""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOCKS = ("Cargo.lock", "fuzz/Cargo.lock")
# cargo's own registry, as it names it in Cargo.lock.
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"
ADVISORIES = "https://github.com/rustsec/advisory-db"
# Seconds after which the list of advisories is not to be had.
PATIENCE = 60


def spdx(expression):
    """A licence as SPDX writes it: cargo took `/` for OR once."""
    return expression.replace("/", " OR ")


def satisfied(expression, allowed):
    """Whether an SPDX expression can be met with these licences."""
    words = re.findall(r"[()]|[^\s()]+(?:\s+WITH\s+[^\s()]+)?", spdx(expression))

    def either():
        met = both()
        while words and words[0] == "OR":
            words.pop(0)
            met = both() or met
        return met

    def both():
        met = one()
        while words and words[0] == "AND":
            words.pop(0)
            met = one() and met
        return met

    def one():
        word = words.pop(0)
        if word != "(":
            return " ".join(word.split()) in allowed
        met = either()
        words.pop(0)
        return met

    return either()


def licences(packages, law):
    for package in packages:
        if not package["license"]:
            yield f"{package['name']} {package['version']} names no licence"
        elif not satisfied(package["license"], law["licenses"]["allow"]):
            yield f"{package['name']} {package['version']} is under {package['license']}"


def sources(locked):
    for package in locked:
        source = package.get("source")
        if source is None:
            continue        # ours: it lies here
        if source != REGISTRY:
            yield f"{package['name']} {package['version']} comes from {source}"
        elif not re.fullmatch("[0-9a-f]{64}", package.get("checksum", "")):
            yield f"{package['name']} {package['version']} has no checksum"


def duplicates(locked, law):
    versions, skipped = defaultdict(set), {entry["crate"] for entry in law["bans"]["skip"]}
    for package in locked:
        versions[package["name"]].add(package["version"])
    for name, several in sorted(versions.items()):
        counted = {version for version in several if f"{name}@{version}" not in skipped}
        if len(counted) > 1:
            yield f"{name} is there as {' and '.join(sorted(counted))}"
    for crate in sorted(skipped):
        name, version = crate.split("@")
        if version not in versions[name] or len(versions[name]) == 1:
            yield f"deny.toml skips {crate}, which is no second version any more"


def wildcards(packages):
    for package in packages:
        for need in package["dependencies"]:
            if package["source"] is None and need["source"] and need["req"] == "*":
                yield f"{package['name']} takes any version of {need['name']}"


def number(version):
    """The three numbers of a version; a prerelease counts as what it comes before."""
    numbers = [int(n) for n in re.split(r"[-+]", version)[0].split(".")]
    return tuple(numbers + [0] * (3 - len(numbers)))


def within(version, requirement):
    """Whether a version meets a requirement as in `>= 1.2, < 1.3` or `^1.2`."""
    have = number(version)
    for part in requirement.split(","):
        operator, wanted = re.fullmatch(r"\s*(>=|<=|>|<|=|\^|~|)\s*([^\s]+)\s*", part).groups()
        least = number(wanted)
        given = len(re.split(r"[-+]", wanted)[0].split("."))
        # What ^ and ~ hold fixed: up to the first number that is not 0, or all but the last.
        fixed = next((n for n, value in enumerate(least[:given]) if value), given - 1) + 1
        if operator == "~":
            fixed = max(1, given - 1) if given < 3 else 2
        met = {">=": have >= least, "<=": have <= least, ">": have > least, "<": have < least, "=": have == least}
        if not met.get(operator, have >= least and have[:fixed] == least[:fixed]):
            return False
    return True


def advisories(locked, folder, law):
    """What a checkout of the list says of these packages: what is wrong, and what only is to be told."""
    ignored = {entry if isinstance(entry, str) else entry["id"] for entry in law["advisories"].get("ignore", [])}
    seen = 0
    for package in locked:
        for path in sorted(glob.glob(os.path.join(folder, "crates", package["name"], "*.md"))):
            with open(path, encoding="utf-8") as file:
                said = tomllib.loads(file.read().split("```toml\n", 1)[1].split("\n```", 1)[0])
            seen += 1
            about, versions = said["advisory"], said.get("versions", {})
            safe = versions.get("patched", []) + versions.get("unaffected", [])
            if about["id"] in ignored or "withdrawn" in about:
                continue
            if not any(within(package["version"], requirement) for requirement in safe):
                what = about.get("informational", "a fault")
                yield f"{package['name']} {package['version']}: {about['id']}, {what}"
    print(f"advisories: {seen} are of packages that are here")


def fetched(folder):
    """Gets the list of advisories; false where it cannot be had."""
    command = ["git", "clone", "--quiet", "--depth", "1", os.environ.get("ADVISORIES", ADVISORIES), folder]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE,
                              env={**os.environ, "GIT_TERMINAL_PROMPT": "0"})
    except (OSError, subprocess.TimeoutExpired) as problem:
        why = str(problem)
    else:
        if done.returncode == 0:
            return True
        why = (done.stderr.strip().splitlines() or ["git failed"])[-1]
    print(f"advisories: NOT LOOKED AT, the list cannot be had: {why}")
    return False


def locked_of(path):
    with open(os.path.join(ROOT, path), "rb") as file:
        return tomllib.load(file)["package"]


def main():
    with open(os.path.join(ROOT, "deny.toml"), "rb") as file:
        law = tomllib.load(file)
    metadata = subprocess.check_output(["cargo", "metadata", "--format-version", "1", "--locked"], cwd=ROOT)
    packages = json.loads(metadata)["packages"]
    problems = [*licences(packages, law), *wildcards(packages), *duplicates(locked_of(LOCKS[0]), law)]
    everywhere = {(p["name"], p["version"]): p for lock in LOCKS for p in locked_of(lock)}.values()
    problems += sources(everywhere)
    with tempfile.TemporaryDirectory() as folder:
        if fetched(folder):
            problems += advisories(everywhere, folder, law)
    if shutil.which("cargo-deny"):
        own = subprocess.run(["cargo", "deny", "check", "licenses", "bans", "sources"], cwd=ROOT, capture_output=True, text=True)
        if own.returncode != 0:
            problems.append(f"cargo deny:\n{own.stderr[-3000:]}")
    for problem in problems:
        print(problem)
    print(f"{len(packages)} packages, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
