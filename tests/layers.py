#!/usr/bin/env python3
"""Fails when a crate or a file of this project imports what its room must not know.

The two tables of docs/ARCHITECTURE.md are the law: which crate knows which, and which room of a crate
knows which other. A crate or a room that is not in them fails too, and so does a circle of files.
What a crate's root exports is known to all of its rooms.
"""
import json
import os
import re
import subprocess
import sys
from collections import defaultdict

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MAX_LINES, MAX_FILES = 450, 16

# Crates of the registry that need an operating system: no pure crate may name one.
NEED_AN_OS = {"rustix", "libc", "signal-hook", "mio", "tokio", "lexopt"}


def table(text, title):
    """The rows of the first table below a heading, as lists of cells."""
    rows = re.search(rf"^#+ {title}\n(.*?)(?=^#|\Z)", text, re.M | re.S).group(1)
    rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in rows.splitlines() if line[:1] == "|"]
    return rows[2:]


def names(cell):
    return set(re.findall(r"`([^`]+)`", cell))


# Crates.

def crates(metadata, rows):
    """What is wrong with what crates depend on. Dependencies of tests and build scripts do not count."""
    folders = {os.path.relpath(os.path.dirname(p["manifest_path"]), ROOT): p for p in metadata["packages"]}
    law = {folder.rstrip("/"): names(knows) for cell, _, knows in rows for folder in names(cell)}
    known_names = {p["name"]: folder for folder, p in folders.items()}
    for folder, package in sorted(folders.items()):
        if folder not in law:
            yield f"{folder}: not in the table of docs/ARCHITECTURE.md"
            continue
        known = {d["name"] for d in package["dependencies"] if d["kind"] is None}
        for other in sorted(known_names[name] for name in known & known_names.keys()):
            if other not in {name.rstrip("/") for name in law[folder]}:
                yield f"{folder} must not know {other}"
        library = next((t["src_path"] for t in package["targets"] if "lib" in t["kind"]), None)
        text = open(library, encoding="utf-8").read() if library else ""
        if "#![forbid(unsafe_code)]" in text and "#![no_std]" in text:
            for name in sorted(known & NEED_AN_OS):
                yield f"{folder} is pure and must not need {name}"
        elif folder in PURE:
            yield f"{folder} is pure and its root lacks #![no_std] or #![forbid(unsafe_code)]"


# Files.

def code_of(path):
    """A file without comments, strings and what only its own unit tests are."""
    text = open(path, encoding="utf-8").read()
    text = re.sub(r"^#\[cfg\(test\)\]\nmod \w+ \{\n.*?^\}\n", "", text, flags=re.M | re.S)
    text = re.sub(r'b?"(?:\\.|[^"\\])*"', '""', text)
    return re.sub(r"//[^\n]*", "", text)


def split_group(tree):
    """The paths of what a `use` line names: a::{b, c::{d}} gives a::b and a::c::d."""
    tree = re.sub(r"\s+as\s+\w+", "", tree)
    tree = re.sub(r"\s+", "", tree)
    if "{" not in tree:
        return [tree]
    head, rest = tree.split("{", 1)
    body, depth, start, paths = rest[: rest.rindex("}")], 0, 0, []
    for at, letter in enumerate(body + ","):
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            if body[start:at]:
                paths += [head + path for path in split_group(body[start:at])]
            start = at + 1
    return paths


class Crate:
    """The files of a crate's src by their module, and what they import of each other."""

    def __init__(self, src):
        self.modules = {}
        for folder, _, files in os.walk(src):
            for file in sorted(files):
                path = os.path.relpath(os.path.join(folder, file), src)
                if not file.endswith(".rs") or self.is_test(path) or path.startswith("bin/"):
                    continue
                module = tuple(path[:-3].split("/"))
                self.modules[() if module in (("lib",), ("main",)) else module] = os.path.join(src, path)
        self.code = {module: code_of(path) for module, path in self.modules.items()}
        self.exports = {module: dict(self.reexports(module)) for module in self.modules}

    @staticmethod
    def is_test(path):
        return any(part in ("tests", "tests.rs", "fake", "fake.rs") for part in path.split("/"))

    def reexports(self, module):
        for tree in re.findall(r"pub(?:\(\w+\))? use ([^;]+);", self.code[module]):
            for path in split_group(tree):
                yield path.split("::")[-1], path

    def absolute(self, module, path):
        """A path as it stands in a module, from the crate's root; None for another crate's."""
        parts = path.split("::")
        if parts[0] == "crate":
            return tuple(parts[1:])
        if parts[0] in ("super", "self"):
            here = module
            while parts[0] in ("super", "self"):
                here = here[:-1] if parts.pop(0) == "super" else here
                if not parts:
                    return here
            return here + tuple(parts)
        return module + tuple(parts) if module + (parts[0],) in self.modules else None

    def owner(self, path, depth=0):
        """The module in whose file a path's item is, seen through re-exports."""
        for length in range(len(path), -1, -1):
            module = path[:length]
            if module in self.modules:
                item = path[length] if length < len(path) else None
                if item in self.exports[module] and depth < 8:
                    inner = self.absolute(module, self.exports[module][item])
                    if inner is not None:
                        return self.owner(inner + path[length + 1 :], depth + 1)
                return module
        return None

    def imports(self, module):
        code = self.code[module]
        without = re.sub(r"pub(?:\(\w+\))? use [^;]+;", "", code)
        paths = [p for tree in re.findall(r"\buse ([^;]+);", without) for p in split_group(tree)]
        inline = re.sub(r"\buse [^;]+;", "", without)
        paths += re.findall(r"\b(?:crate|super|self)(?:::\w+)+", inline)
        paths += re.findall(r"(?<![:\w])[a-z_]\w*(?:::\w+)+", inline)
        for path in paths:
            absolute = self.absolute(module, path)
            # What the root exports is everybody's.
            if absolute is None or (len(absolute) == 1 and absolute not in self.modules):
                continue
            owner = self.owner(absolute)
            if owner not in (None, (), module):
                yield owner

    def arrows(self):
        return {module: set(self.imports(module)) for module in self.modules}


def circles(arrows):
    """Groups of files of which each reaches each other."""
    reach = {}
    for start in arrows:
        seen, todo = set(), [start]
        while todo:
            for other in arrows.get(todo.pop(), ()):
                if other not in seen:
                    seen.add(other)
                    todo.append(other)
        reach[start] = seen
    groups = {frozenset(b for b in reach[a] if a in reach.get(b, ())) for a in arrows if a in reach[a]}
    return sorted(sorted(group) for group in groups)


def files(folder, law):
    src = os.path.join(ROOT, folder, "src")
    crate = Crate(src)
    arrows = crate.arrows()
    show = lambda module: os.path.relpath(crate.modules[module], ROOT)
    for group in circles({m: a for m, a in arrows.items() if m}):
        yield "a circle of files: " + ", ".join(show(module) for module in group)
    rooms = law.get(folder, {})
    listed = {module[0] for module in arrows if module} if rooms else {m[0] for m in arrows if len(m) > 1}
    for room in sorted(listed - rooms.keys()):
        yield f"{folder}/src/{room}: not in the table of rooms of docs/ARCHITECTURE.md"
    for room in sorted(rooms.keys() - listed):
        yield f"{folder}/src/{room}: in the table of rooms of docs/ARCHITECTURE.md, and not there"
    for module, known in sorted(arrows.items()):
        if module and module[0] in rooms:
            for other in sorted({o[0] for o in known if o} - {module[0]} - rooms[module[0]]):
                yield f"{show(module)} must not know {folder}/src/{other}"


def sizes():
    listed = subprocess.check_output(["git", "ls-files", "*.rs"], cwd=ROOT, text=True).split()
    beside = defaultdict(int)
    for path in listed:
        full = os.path.join(ROOT, path)
        if os.path.exists(full):
            beside[os.path.dirname(path)] += 1
            lines = sum(1 for _ in open(full, encoding="utf-8"))
            if "/src/" in path and lines > MAX_LINES:
                yield f"{path} has {lines} lines, more than {MAX_LINES}"
    for folder, count in sorted(beside.items()):
        if "/src" in folder and count > MAX_FILES:
            yield f"{folder} has {count} files side by side, more than {MAX_FILES}"


PURE = {"fat", "sftp", "net", "qubes", "net/cipher", "net/sunset", "server", "tests/client", "drivers/xen-sys"}


def main():
    text = open(os.path.join(ROOT, "docs/ARCHITECTURE.md"), encoding="utf-8").read()
    law, wrong = defaultdict(dict), []
    for cell, _, knows in table(text, "Rooms inside the crates"):
        for path in names(cell):
            folder, room = path.split("/src/")
            for other in sorted(names(knows) - law[folder].keys()):
                wrong.append(f"docs/ARCHITECTURE.md: {path} knows {other}, which is not above it")
            law[folder][room] = names(knows)
    command = ["cargo", "metadata", "--format-version=1", "--no-deps", "--locked"]
    metadata = json.loads(subprocess.check_output(command, cwd=ROOT))
    wrong += list(crates(metadata, table(text, "Rooms")))
    for package in metadata["packages"]:
        folder = os.path.relpath(os.path.dirname(package["manifest_path"]), ROOT)
        if os.path.isdir(os.path.join(ROOT, folder, "src")):
            wrong += files(folder, law)
    wrong += sizes()
    for line in wrong:
        print(f"layers: {line}")
    print(f"layers: {len(metadata['packages'])} crates, {sum(map(len, law.values()))} rooms, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
