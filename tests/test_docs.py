#!/usr/bin/env python3
"""docs/security.md names a test beside each promise, and a file beside each limit: they are all there."""
import os
import re
import subprocess
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Security(unittest.TestCase):
    def setUp(self):
        with open(os.path.join(ROOT, "docs", "security.md"), encoding="utf-8") as file:
            self.lines = [line for line in file if line.startswith("|")]
        listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True).split()
        self.text = {}
        for path in listed:
            if path.endswith((".rs", ".py")) and os.path.exists(os.path.join(ROOT, path)):
                with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                    self.text[path] = file.read()

    def rows(self, title):
        """The last cells of the rows whose table has this title above them."""
        inside, found = False, []
        for line in self.lines:
            cells = [cell.strip() for cell in line.strip("|\n").split("|")]
            if cells[-1] in ("shown by", "where"):
                inside = cells[-1] == title
            elif len(cells) < 2 or cells[-1] in ("is trusted with", "with `--strict-algorithms`"):
                inside = False
            elif inside and set(cells[-1]) != set("-"):
                found.append(cells[-1])
        return found

    def is_there(self, name):
        """A file, a folder, an option, a fuzz target, or a test."""
        path = re.sub(r"^(clients|xen|vm|hvt)/", r"tests/\1/", name.rstrip("/"))
        if name.startswith("--"):
            return f'"{name}"' in self.text["server/src/options.rs"] + self.text["server/src/limits.rs"]
        if "/" in name:
            return os.path.exists(os.path.join(ROOT, path))
        return any(f"fn {name}()" in text for text in self.text.values()) or f"fuzz/targets/{name}.rs" in self.text

    def test_all_names_are_there(self):
        promises, limits = self.rows("shown by"), self.rows("where")
        self.assertGreater(len(promises), 15)
        self.assertGreater(len(limits), 20)
        for cell in promises + limits:
            names = re.findall(r"`([^`]+)`", cell)
            self.assertTrue(names or cell == "the same", cell)
            for name in names:
                self.assertTrue(self.is_there(name), f"docs/security.md names {name}, which is not there")
        for path, classes in re.findall(r"`((?:clients|xen|vm)/\S+\.py)` ((?:[A-Z]\w+(?: and |, )?)+)", " ".join(promises)):
            for name in re.findall(r"[A-Z]\w+", classes):
                self.assertIn(f"class {name}(", self.text[f"tests/{path}"])
        self.assertFalse(self.is_there("no_such_test") or self.is_there("clients/test_nothing.py"))


if __name__ == "__main__":
    unittest.main()
