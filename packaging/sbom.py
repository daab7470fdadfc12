#!/usr/bin/env python3
"""Prints the kernel's software bill of materials: CycloneDX 1.6, as JSON.

    packaging/sbom.py KERNEL > mirage-sshfs.cdx.json

The packages are those that `cargo tree` names for the kernel with its flags; their hashes are Cargo.lock's. What only
runs during the build, as macros do, has the scope "excluded". The same sources and the same kernel give the same bytes:
there is no time in it, and its serial number comes from what it says.
"""
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TARGET = "x86_64-unknown-linux-gnu"
# net/sunset compiles a copy of its source: what cargo builds of the package itself only finds that source.
COPIED = "sunset"


def cargo_tree(*edges):
    """The lines of the kernel's tree: depth, name, version, folder of what is ours, licence."""
    environment = {**os.environ, "CARGO_ENCODED_RUSTFLAGS":
                   subprocess.check_output([os.path.join(ROOT, "kernel", "rustflags.sh")], text=True)}
    lines = subprocess.check_output(
        ["cargo", "tree", "--locked", "--package", "kernel", "--target", TARGET, "--edges", ",".join(edges),
         "--prefix", "depth", "--no-dedupe", "--format", "\t{p}\t{l}"], cwd=ROOT, env=environment, text=True).splitlines()
    for line in lines:
        depth, package, licence = line.split("\t")
        name, version, ours = re.fullmatch(r"(\S+) v(\S+)(?: \(proc-macro\))?( \(.*\))?", package).groups()
        yield int(depth), name, version, bool(ours), licence.replace("/", " OR ")


def locked():
    """Cargo.lock's checksums by name and version."""
    with open(os.path.join(ROOT, "Cargo.lock"), "rb") as file:
        return {(p["name"], p["version"]): p.get("checksum") for p in tomllib.load(file)["package"]}


def reference(name, version, ours):
    """Ours have no purl: a package of the registry may have the same name."""
    return f"mirage-sshfs/{name}@{version}" if ours else f"pkg:cargo/{name}@{version}"


def component(name, version, ours, licence, checksum, scope):
    found = {"type": "library", "bom-ref": reference(name, version, ours), "name": name, "version": version,
             "scope": scope, "licenses": [{"expression": licence}]}
    if ours:
        return {**found, "group": "mirage-sshfs"}
    return {**found, "purl": reference(name, version, ours), "hashes": [{"alg": "SHA-256", "content": checksum}]}


def toolchain():
    with open(os.path.join(ROOT, "rust-toolchain.toml"), "rb") as file:
        version = tomllib.load(file)["toolchain"]["channel"]
    return {"type": "library", "bom-ref": f"rust@{version}", "name": "rust", "version": version, "scope": "required",
            "description": "core, alloc and compiler_builtins, as rustup has them",
            "licenses": [{"expression": "MIT OR Apache-2.0"}], "purl": f"pkg:generic/rust@{version}"}


def bill(kernel, everything, in_kernel, checksums):
    """`everything` and `in_kernel`: lines of the tree, with and without what only the build runs."""
    required = {line[1:3] for line in in_kernel}
    components, needs, above = {}, {}, []
    for depth, name, version, ours, licence in everything:
        key = (name, version)
        scope = "required" if key in required or name == COPIED else "excluded"
        components.setdefault(key, component(name, version, ours, licence, checksums[key], scope))
        del above[depth:]
        needs.setdefault(reference(name, version, ours), set())
        if above:
            needs[above[-1]].add(reference(name, version, ours))
        above.append(reference(name, version, ours))
    rust = toolchain()
    main = components.pop(("kernel", everything[0][2]))
    needs[main["bom-ref"]].add(rust["bom-ref"])
    needs[rust["bom-ref"]] = set()
    with open(kernel, "rb") as file:
        kernel_hash = hashlib.file_digest(file, "sha256").hexdigest()
    said = {
        "metadata": {"component": {
            "type": "operating-system", "bom-ref": main["bom-ref"], "name": "mirage-sshfs", "version": main["version"],
            "licenses": main["licenses"], "hashes": [{"alg": "SHA-256", "content": kernel_hash}]}},
        "components": [*(components[key] for key in sorted(components)), rust],
        "dependencies": [{"ref": ref, "dependsOn": sorted(needs[ref])} for ref in sorted(needs)],
    }
    serial = uuid.UUID(bytes=hashlib.sha256(json.dumps(said).encode()).digest()[:16], version=4)
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{serial}", "version": 1, **said}


def of(kernel):
    return bill(kernel, list(cargo_tree("no-dev")), list(cargo_tree("no-dev", "no-build", "no-proc-macro")), locked())


if __name__ == "__main__":
    print(json.dumps(of(sys.argv[1]), indent=2))
