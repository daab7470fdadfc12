#!/usr/bin/env python3
"""Plants wrong arrows in a copy of the sources: tests/layers.py must say each."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Planted(unittest.TestCase):
    def setUp(self):
        self.copy = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.copy)
        listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True)
        for path in listed.splitlines():
            if os.path.exists(os.path.join(ROOT, path)) and path.endswith((".rs", ".toml", ".lock", ".py", ".md")):
                os.makedirs(os.path.dirname(os.path.join(self.copy, path)), exist_ok=True)
                shutil.copy(os.path.join(ROOT, path), os.path.join(self.copy, path))
        subprocess.check_call(["git", "init", "--quiet"], cwd=self.copy)
        subprocess.check_call(["git", "add", "."], cwd=self.copy)

    def plant(self, path, line):
        with open(os.path.join(self.copy, path), "a", encoding="utf-8") as file:
            file.write(line + "\n")

    def change(self, path, old, new):
        path = pathlib.Path(self.copy, path)
        text = path.read_text(encoding="utf-8")
        self.assertEqual(text.count(old), 1)
        path.write_text(text.replace(old, new), encoding="utf-8")

    def layers(self):
        run = subprocess.run([sys.executable, "tests/layers.py"], cwd=self.copy, capture_output=True, text=True)
        return run.returncode, run.stdout

    def says(self, text):
        status, said = self.layers()
        self.assertIn(text, said)
        self.assertEqual(status, 1)

    def test_nothing_planted(self):
        status, said = self.layers()
        self.assertEqual((status, said.splitlines()[:-1]), (0, []))

    def test_an_arrow_up(self):
        self.plant("fat/src/disk/join.rs", "use crate::tree::lookup::Found;")
        self.says("fat/src/disk/join.rs must not know fat/src/tree")

    def test_an_arrow_without_a_use_line(self):
        self.plant("fat/src/layout/entry.rs", "fn planted() { crate::space::table::planted() }")
        self.says("fat/src/layout/entry.rs must not know fat/src/space")

    def test_a_circle_of_two_files(self):
        self.plant("fat/src/space/extents.rs", "use super::table::Planted;")
        self.says("a circle of files: fat/src/space/extents.rs, fat/src/space/table.rs")

    def test_an_unlisted_room(self):
        os.mkdir(os.path.join(self.copy, "fat/src/planted"))
        self.plant("fat/src/planted/one.rs", "")
        self.says("fat/src/planted: not in the table of rooms")

    def test_a_crate(self):
        self.change("fat/Cargo.toml", "[dependencies]", "[dependencies]\nnet.workspace = true")
        self.says("fat must not know net")

    def test_a_table_that_runs_back_up(self):
        self.change("docs/ARCHITECTURE.md", "blank disk is | `bytes`", "blank disk is | `whole`, `bytes`")
        self.says("fat/src/disk knows whole, which is not above it")


if __name__ == "__main__":
    unittest.main()
