#!/usr/bin/env python3
"""The kernel's software bill of materials: whole, true and the same each time. Needs `make qubes-files`."""
import copy
import json
import os
import re
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.append(os.path.join(ROOT, "packaging"))
import sbom  # noqa: E402

KERNEL = os.environ.get("MIRAGE_KERNEL", os.path.join(ROOT, "target", "mirage-sshfs.elf"))
SHIPPED = os.path.join(ROOT, "target", "qubes", "mirage-sshfs.cdx.json")


def built():
    """What cargo compiles for the kernel: names and versions in it, and those that only the build runs."""
    environment = {**os.environ, "CARGO_PROFILE_RELEASE_DEBUG": "line-tables-only", "CARGO_ENCODED_RUSTFLAGS":
                   subprocess.check_output([os.path.join(ROOT, "kernel", "rustflags.sh")], text=True)}
    out = subprocess.check_output(["cargo", "build", "--locked", "--release", "--package", "kernel", "--target", sbom.TARGET,
                                   "--message-format", "json", "--quiet"], cwd=ROOT, env=environment, text=True)
    inside, beside = set(), set()
    for message in map(json.loads, out.splitlines()):
        if message["reason"] == "compiler-artifact":
            package = re.search(r"#(?:([^@]+)@)?(\S+)$", message["package_id"])
            name = package.group(1) or message["package_id"].split("#")[0].rsplit("/", 1)[1]
            files = " ".join(message["filenames"])
            (inside if f"/{sbom.TARGET}/" in files else beside).add((name, package.group(2)))
    return inside, beside


def faults(bill, inside, beside, checksums):
    """What is wrong with a bill of a kernel that is built so."""
    for field, want in [("bomFormat", "CycloneDX"), ("specVersion", "1.6"), ("version", 1)]:
        if bill.get(field) != want:
            yield f"{field}: {bill.get(field)!r}"
    if not re.fullmatch("urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", bill["serialNumber"]):
        yield "serialNumber: no UUID of version 4"
    components = [bill["metadata"]["component"], *bill["components"]]
    references = [c["bom-ref"] for c in components]
    if len(set(references)) != len(references) or sorted(references) != [d["ref"] for d in bill["dependencies"]]:
        yield "references are not one for each component and dependency"
    if not {ref for d in bill["dependencies"] for ref in d["dependsOn"]} <= set(references):
        yield "a dependency without a component"
    listed = {"required": set(), "excluded": set()}
    for part in bill["components"]:
        key = (part["name"], part["version"])
        if part["type"] != "library" or not part["licenses"][0]["expression"] or "/" in part["licenses"][0]["expression"]:
            yield f"{key}: type or licence"
        if part["name"] == "rust":
            continue
        listed[part["scope"]].add(key)
        hashes = [{"alg": "SHA-256", "content": checksums[key]}] if checksums[key] else None
        if part.get("hashes") != hashes or ("purl" in part) != bool(hashes):
            yield f"{key}: not Cargo.lock's checksum"
        elif hashes and part["purl"] != f"pkg:cargo/{key[0]}@{key[1]}":
            yield f"{key}: not its purl"
    copied = {key for key in beside if key[0] == sbom.COPIED}
    main = {("kernel", bill["metadata"]["component"]["version"])}
    if listed["required"] != (inside | copied) - main:
        yield f"in the kernel but not listed so, or listed but not in it: {listed['required'] ^ ((inside | copied) - main)}"
    if not beside - inside - copied <= listed["excluded"]:
        yield f"run by the build and not listed: {beside - inside - copied - listed['excluded']}"


class Bill(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.inside, cls.beside = built()
        cls.checksums = sbom.locked()
        with open(SHIPPED, encoding="utf-8") as file:
            cls.text = file.read()

    def faults(self, change=None, inside=None, checksums=None):
        bill = json.loads(self.text)
        if change:
            change(bill)
        return list(faults(bill, inside or self.inside, self.beside, checksums or self.checksums))

    def test_it_is_what_was_built(self):
        self.assertEqual(self.faults(), [])
        self.assertIn(("sunset", "0.6.0"), self.beside)
        self.assertGreater(len(self.inside), 50)

    def test_it_is_of_this_kernel(self):
        with open(KERNEL, "rb") as file:
            want = sbom.hashlib.file_digest(file, "sha256").hexdigest()
        self.assertEqual(json.loads(self.text)["metadata"]["component"]["hashes"], [{"alg": "SHA-256", "content": want}])

    def test_it_is_the_same_each_time(self):
        self.assertEqual(json.dumps(sbom.of(KERNEL), indent=2) + "\n", self.text)

    def test_what_is_planted_is_noticed(self):
        def planted(bill):
            bill["components"].insert(0, {**copy.deepcopy(bill["components"][0]), "name": "planted"})
        planted_key = {**self.checksums, ("planted", json.loads(self.text)["components"][0]["version"]): "0" * 64}
        self.assertTrue(self.faults(planted, checksums=planted_key))
        self.assertIn("planted", str(self.faults(inside=self.inside | {("planted", "1.0.0")})))
        self.assertTrue(self.faults(lambda bill: bill["components"].pop(0)))
        self.assertTrue(self.faults(lambda bill: bill["components"][0]["hashes"][0].update(content="0" * 64)))
        self.assertTrue(self.faults(lambda bill: bill["components"][0].update(scope="excluded")))
        self.assertTrue(self.faults(lambda bill: bill["dependencies"][0]["dependsOn"].append("pkg:cargo/planted@1.0.0")))

    def test_a_new_dependency_appears(self):
        """In the tree below one of ours, as if Cargo.toml had it."""
        with_planted = list(sbom.cargo_tree("no-dev"))
        with_planted.insert(1, (1, "planted", "1.2.3", False, "MIT"))
        bill = sbom.bill(KERNEL, with_planted, with_planted, {**self.checksums, ("planted", "1.2.3"): "ab" * 32})
        part = next(c for c in bill["components"] if c["name"] == "planted")
        self.assertEqual((part["purl"], part["hashes"][0]["content"]), ("pkg:cargo/planted@1.2.3", "ab" * 32))
        self.assertNotEqual(bill["serialNumber"], json.loads(self.text)["serialNumber"])


if __name__ == "__main__":
    unittest.main()
