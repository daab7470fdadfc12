#!/usr/bin/env python3
"""Fails when a crate of this project imports one that its room must not know.

The table is that of docs/ARCHITECTURE.md. A crate that is not in it fails too.
"""
import json
import subprocess
import sys

PURE = {"fat", "sftp", "net", "qubes", "sunset-widened", "server", "client", "xen-sys"}

# Who may know whom. Dependencies for tests and build scripts do not count.
MAY_KNOW = {
    "fat": set(),
    "sftp": set(),
    "sunset-widened": set(),
    "net": {"sunset-widened"},
    "qubes": set(),
    "server": {"fat", "sftp", "net", "qubes"},
    "client": {"fat", "net", "sunset-widened"},
    "xen-sys": set(),
    "drivers": {"fat", "net", "qubes", "xen-sys"},
    "unix": {"fat", "net", "server"},
    "kernel": {"drivers", "fat", "net", "qubes", "server", "sftp", "sunset-widened", "xen-sys"},
}

# Crates of the registry that need an operating system: no pure crate may name one.
NEED_AN_OS = {"rustix", "libc", "signal-hook", "mio", "tokio", "lexopt"}


def main():
    metadata = json.loads(
        subprocess.check_output(["cargo", "metadata", "--format-version=1", "--no-deps", "--locked"])
    )
    packages = {p["name"]: p for p in metadata["packages"]}
    wrong = []
    for name, package in sorted(packages.items()):
        if name not in MAY_KNOW:
            wrong.append(f"{name}: not in the table of tests/layers.py")
            continue
        known = {d["name"] for d in package["dependencies"] if d["kind"] is None}
        for other in sorted((known & packages.keys()) - MAY_KNOW[name]):
            wrong.append(f"{name} must not know {other}")
        if name in PURE:
            wrong += [f"{name} is pure and must not need {d}" for d in sorted(known & NEED_AN_OS)]
            root = next(t["src_path"] for t in package["targets"] if "lib" in t["kind"])
            text = open(root, encoding="utf-8").read()
            for attribute in ("#![no_std]", "#![forbid(unsafe_code)]"):
                if attribute not in text:
                    wrong.append(f"{name} is pure and its root lacks {attribute}")
    for line in wrong:
        print(f"layers: {line}")
    print(f"layers: {len(packages)} crates, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
