#!/usr/bin/env python3
"""Plants packages that must not come in: tests/supply.py must name each."""
import contextlib
import io
import os
import pathlib
import subprocess
import tempfile
import unittest
from unittest import mock

import supply

LAW = {"licenses": {"allow": ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"]}, "bans": {"skip": []}, "advisories": {}}
SUM = "0" * 64


def package(name, version="1.0.0", license="MIT", source=supply.REGISTRY, **more):
    return {"name": name, "version": version, "license": license, "source": source, "checksum": SUM,
            "dependencies": [], **more}


class Rules(unittest.TestCase):
    def names(self, problems, *wanted):
        problems = list(problems)
        self.assertEqual(len(problems), len(wanted), problems)
        for problem, words in zip(problems, wanted):
            self.assertIn(words, problem)

    def test_licences(self):
        for good in ("MIT", "MIT/GPL-3.0", "GPL-3.0 OR MIT", "(MIT OR X) AND ISC", "X AND Y OR ISC",
                     "Apache-2.0 WITH LLVM-exception OR X"):
            self.names(supply.licences([package("a", license=good)], LAW))
        for bad in ("GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND X", "Apache-2.0", "X OR Y AND MIT", "MITX"):
            self.names(supply.licences([package("a", license=bad)], LAW), f"a 1.0.0 is under {bad}")
        self.names(supply.licences([package("a", license=None)], LAW), "names no licence")

    def test_sources(self):
        ours = {"name": "ours", "version": "0.1.0"}
        self.names(supply.sources([ours, package("a"), package("b", source="git+https://example.org/b#1"),
                                   package("c", source="registry+https://example.org/"), package("d", checksum="")]),
                   "b 1.0.0 comes from git", "c 1.0.0 comes from registry+https://example.org", "d 1.0.0 has no checksum")

    def test_duplicates(self):
        two = [package("a"), package("a", "2.0.0"), package("b")]
        self.names(supply.duplicates(two, LAW), "a is there as 1.0.0 and 2.0.0")
        skip = {**LAW, "bans": {"skip": [{"crate": "a@1.0.0"}]}}
        self.names(supply.duplicates(two, skip))
        self.names(supply.duplicates(two[1:], skip), "a@1.0.0, which is no second version")

    def test_wildcards(self):
        need = {"name": "b", "source": supply.REGISTRY, "req": "*"}
        self.names(supply.wildcards([package("a", source=None, dependencies=[need])]), "a takes any version of b")

    def test_requirements(self):
        for version, requirement, met in [
                ("1.2.3", ">= 1.2.3", True), ("1.2.2", ">=1.2.3", False), ("1.10.0", "> 1.9", True), ("1.2.3", "< 2, >= 1.3", False),
                ("1.3.0", "^1.2.3", True), ("2.0.0", "^1.2.3", False), ("0.2.9", "^0.2.3", True), ("0.3.0", "^0.2.3", False),
                ("0.0.4", "0.0.3", False), ("0.0.3", "0.0.3", True), ("1.2.9", "~1.2.3", True), ("1.3.0", "~1.2.3", False),
                ("1.9.0", "~1", True), ("1.0.0", "= 1.0.0", True), ("1.0.0-rc.1", ">= 1.0.0", True), ("1.2.3+x", "<= 1.2.3", True)]:
            self.assertEqual(supply.within(version, requirement), met, (version, requirement))


class Advisories(unittest.TestCase):
    """The whole program on this project, with a list of advisories of our own."""

    def run_with(self, *found):
        """Its exit code and words, where the list has faults of these packages; none: there is no list."""
        with tempfile.TemporaryDirectory() as folder:
            for name, versions in found:
                path = pathlib.Path(folder, "crates", name)
                path.mkdir(parents=True)
                path.joinpath("TEST-1.md").write_text(
                    f'```toml\n[advisory]\nid = "TEST-1"\npackage = "{name}"\n[versions]\n{versions}\n```\n# It\n')
            if found:
                git = ["git", "-C", folder, "-c", "user.name=t", "-c", "user.email=t@example.org"]
                subprocess.check_call([*git, "init", "-q"])
                subprocess.check_call([*git, "add", "."])
                subprocess.check_call([*git, "commit", "-qm", "list"])
            said = io.StringIO()
            with mock.patch.dict(os.environ, ADVISORIES=folder), contextlib.redirect_stdout(said):
                code = supply.main()
            return code, said.getvalue()

    def test_known_faults_end_the_run(self):
        code, said = self.run_with(("smoltcp", 'patched = [">= 99"]'), ("no-such-package", "patched = []"))
        self.assertIn("smoltcp 0.14.0: TEST-1, a fault", said)
        self.assertEqual(code, 1, said)

    def test_mended_ones_do_not(self):
        code, said = self.run_with(("smoltcp", 'patched = [">= 0.1"]'))
        self.assertEqual(code, 0, said)
        self.assertIn("advisories: 1 are of packages", said)

    def test_without_a_list_the_rest_still_counts(self):
        code, said = self.run_with()
        self.assertIn("NOT LOOKED AT", said)
        self.assertEqual(code, 0, said)
        with mock.patch.object(supply, "satisfied", lambda *_: False):
            code, said = self.run_with()
        self.assertIn("NOT LOOKED AT", said)
        self.assertEqual(code, 1, said)


if __name__ == "__main__":
    unittest.main()
