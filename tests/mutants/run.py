#!/usr/bin/python3
"""Which changes of a crate does no test notice?

    tests/mutants/run.py [-j N] [--only TEXT] [--seconds N] PACKAGE...

cargo-mutants says what would be changed; all of it is built into one program for each file of tests, where a variable of
the environment chooses the one that is done. Every test runs alone once, and says which functions it comes through; a
mutant is given to those that come through its function, quickest first, until one fails, aborts, or takes ten times as
long. What cannot be built beside the rest is told, too. The table goes to target/mutants/PACKAGE.json.
"""
import argparse
import concurrent.futures
import json
import os
import resource
import shutil
import subprocess
import sys
import time

from rewrite import Source, rewrite

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
TARGET = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "mutants")
TREE = os.path.join(TARGET, "tree")
# Whose tests notice what is broken in a crate, besides its own.
USERS = {"fat": ("server", "unix"), "sftp": ("server",), "net": ("server",), "qubes": ("server", "drivers"),
         "server": ("unix",), "user-keys": ("net", "server"), "packet-cipher": ("net", "server"),
         "packet-mac": ("packet-cipher", "net", "server")}
SWITCH = """
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

const UNKNOWN: u32 = u32::MAX;
const NOTED: u32 = u32::MAX - 1;
static CHOSEN: AtomicU32 = AtomicU32::new(UNKNOWN);
static SEEN: [AtomicBool; 8192] = [const { AtomicBool::new(false) }; 8192];

/// The mutant that runs, 0 for none, asked in the function with a number.
#[inline]
pub fn at(function: u16) -> u32 {
    match CHOSEN.load(Relaxed) {
        UNKNOWN | NOTED => look(function),
        chosen => chosen,
    }
}

#[cold]
fn look(function: u16) -> u32 {
    if let Ok(path) = std::env::var("MUTANT_NOTES") {
        CHOSEN.store(NOTED, Relaxed);
        if !SEEN[usize::from(function)].swap(true, Relaxed) {
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
            file.write_all(format!("{function}\\n").as_bytes()).unwrap();
        }
        return 0;
    }
    let chosen = std::env::var("MUTANT").ok().map_or(0, |number| number.parse().unwrap());
    CHOSEN.store(chosen, Relaxed);
    chosen
}
"""


def output(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


class Crate:
    def __init__(self, package, only):
        self.package = package
        listed = json.loads(output("cargo-mutants", "mutants", "--package", package, "--list", "--json", cwd=ROOT))
        self.mutants = dict(enumerate((mutant for mutant in listed if only in mutant["name"]), 1))
        self.apart = []     # Cannot be built beside others.
        self.unbuilt = []
        self.functions = {}     # The number of each, by file and start, and of each mutant's.
        self.of = {}

    def tree(self):
        """A copy of what git knows, with the crate's manifest asking for the switch."""
        os.makedirs(os.path.join(TARGET, "switch", "src"), exist_ok=True)
        with open(os.path.join(TARGET, "switch", "Cargo.toml"), "w") as file:
            file.write('[workspace]\n[package]\nname = "mutation_switch"\nversion = "0.0.0"\nedition = "2024"\n')
        with open(os.path.join(TARGET, "switch", "src", "lib.rs"), "w") as file:
            file.write(SWITCH)
        shutil.rmtree(TREE, ignore_errors=True)
        for path in output("git", "ls-files", cwd=ROOT).splitlines():
            os.makedirs(os.path.dirname(os.path.join(TREE, path)), exist_ok=True)
            shutil.copy2(os.path.join(ROOT, path), os.path.join(TREE, path))
        for manifest in {mutant["file"].split("/src/")[0] for mutant in self.mutants.values()}:
            path = os.path.join(TREE, manifest, "Cargo.toml")
            text = open(path).read()
            line = f'[dependencies]\nmutation_switch = {{ path = "{TARGET}/switch" }}\n'
            text = text.replace("[dependencies]\n", line) if "[dependencies]\n" in text else text + "\n" + line
            with open(path, "w") as file:
                file.write(text)

    def left(self):
        """The mutants that can be built beside others, as far as that is known."""
        out = {*self.unbuilt, *self.apart}
        return {number: mutant for number, mutant in self.mutants.items() if number not in out}

    def write(self):
        """All mutants that are left, and where each stands."""
        self.places = {}
        left = self.left()
        for path in sorted({mutant["file"] for mutant in self.mutants.values()}):
            inside = {number: mutant for number, mutant in left.items() if mutant["file"] == path}
            with open(os.path.join(ROOT, path)) as file:
                source = Source(file.read())
            text, misplaced, lines, asked = rewrite(
                source, inside, lambda start: self.functions.setdefault((path, start), len(self.functions) + 1))
            self.apart.extend(misplaced)
            self.places[path] = lines
            self.of.update(asked)
            with open(os.path.join(TREE, path), "w") as file:
                file.write(text)

    def cargo(self, *what):
        environment = {**os.environ, "CARGO_TARGET_DIR": os.path.join(TARGET, "build"), "RUSTFLAGS": "--cap-lints=allow",
                       "CARGO_INCREMENTAL": "0", "CARGO_PROFILE_DEV_DEBUG": "false"}
        done = subprocess.run(["cargo", *what, "--message-format=json"], cwd=TREE, env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return done, [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def check(self):
        """Leaves out what the compiler refuses, until it takes the rest."""
        for turn in range(12):
            self.write()
            done, messages = self.cargo("check", "--keep-going", "--package", self.package)
            if done.returncode == 0:
                return
            refused, unplaced = set(), []
            for message in (m["message"] for m in messages if m["reason"] == "compiler-message"):
                if message["level"] != "error":
                    continue
                spans = [span for span in message["spans"] if span["is_primary"]] or message["spans"]
                found = {number for span in spans for number in self.who(span)}
                refused |= found
                if not found and spans:
                    unplaced.append(message["rendered"])
            print(f"{self.package}: turn {turn}: the compiler refuses {len(refused)}", file=sys.stderr)
            if not refused:
                raise SystemExit("\n".join(unplaced[:5]) or done.stderr[-3000:])
            self.unbuilt.extend(refused)
        raise SystemExit(f"{self.package} cannot be built")

    def who(self, span):
        while span.get("expansion"):
            span = span["expansion"]["span"]
        return [number for first, last, number in self.places.get(os.path.normpath(span["file_name"]), ())
                if first <= span["line_start"] <= last]

    def programs(self):
        packages = (self.package, *USERS.get(self.package, ()))
        done, messages = self.cargo("test", "--no-run", *(word for name in packages for word in ("--package", name)))
        if done.returncode:
            raise SystemExit(done.stderr[-5000:])
        return [(m["executable"], os.path.dirname(m["manifest_path"])) for m in messages
                if m["reason"] == "compiler-artifact" and m["executable"] and m["profile"]["test"]]


class Test:
    def __init__(self, program, folder, name):
        self.program, self.folder, self.name = program, folder, name
        self.took, self.functions = 0.0, set()

    def run(self, seconds, **environment):
        """Whether it passes."""
        def bounds():
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 1))
            resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            return subprocess.run([self.program, "--exact", self.name, "--test-threads=1"], cwd=self.folder,
                                  env={**os.environ, "RUST_MIN_STACK": str(256 << 20), "CARGO_MANIFEST_DIR": self.folder, **environment},
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  preexec_fn=bounds, timeout=4 * seconds + 10).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def learn(self):
        notes = os.path.join(TARGET, f"notes.{os.getpid()}.{id(self)}")
        began = time.monotonic()
        passed = self.run(600, MUTANT_NOTES=notes)
        self.took = time.monotonic() - began
        if os.path.exists(notes):
            with open(notes) as file:
                self.functions = {int(line) for line in file}
            os.remove(notes)
        # Once more as mutants are judged.
        return passed and self.run(10 * self.took + 2, MUTANT="0")


def tests_of(programs):
    for program, folder in programs:
        for line in output(program, "--list", "--format", "terse", cwd=folder).splitlines():
            if line.endswith(": test"):
                yield Test(program, folder, line.removesuffix(": test"))


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("-j", type=int, default=os.cpu_count())
    parse.add_argument("--only", default="", help="mutants whose line has this text")
    parse.add_argument("--seconds", type=float, default=60, help="tests that take longer are left out [60]")
    parse.add_argument("packages", nargs="+", metavar="PACKAGE")
    options = parse.parse_args()
    for package in options.packages:
        one(package, options)


def one(package, options):
    began = time.monotonic()
    crate = Crate(package, options.only)
    crate.tree()
    crate.check()
    programs = crate.programs()
    built = time.monotonic() - began
    print(f"{package}: {len(crate.mutants)} mutants, {len(crate.unbuilt)} cannot be built, {len(crate.apart)} not beside "
          f"others; {len(programs)} programs in {built:.0f} s", file=sys.stderr)
    with concurrent.futures.ThreadPoolExecutor(options.j) as pool:
        tests = list(tests_of(programs))
        for test, passed in zip(tests, pool.map(Test.learn, tests)):
            if not passed:
                print(f"{test.name} of {test.program} fails without a mutant and is left out", file=sys.stderr)
                test.functions = set()
        print(f"{package}: {len(tests)} tests, {sum(test.took for test in tests):.0f} s; the longest "
              f"{[(test.name, round(test.took, 1)) for test in sorted(tests, key=lambda test: -test.took)[:5]]}", file=sys.stderr)
        reached = {}
        for test in sorted(tests, key=lambda test: test.took):
            if test.took <= options.seconds:
                for function in test.functions:
                    reached.setdefault(function, []).append(test)
        chosen = list(crate.left())
        results = {}

        def judge(number):
            candidates = reached.get(crate.of[number], [])
            # What noticed a neighbour comes first.
            for test in candidates:
                if not test.run(10 * test.took + 2, MUTANT=str(number)):
                    if candidates[0] is not test:
                        reached[crate.of[number]] = [test, *(other for other in candidates if other is not test)]
                    return test.name
            return None if candidates else ""

        for number, by in zip(chosen, pool.map(judge, chosen)):
            results[number] = by
            if not by:
                print(f"{'survives' if by is None else 'not reached'}: {crate.mutants[number]['name']}", flush=True)
    survive = sum(1 for by in results.values() if not by)
    print(f"{package}: {len(results)} run, {len(results) - survive} noticed, {survive} survive, {len(crate.unbuilt)} cannot be "
          f"built, {len(crate.apart)} are left to cargo-mutants; {time.monotonic() - began:.0f} s")
    for number in crate.apart:
        print(f"apart: {crate.mutants[number]['name']}")
    with open(os.path.join(TARGET, f"{package}.json"), "w") as file:
        json.dump({"survive": [crate.mutants[n]["name"] for n, by in results.items() if not by],
                   "apart": [crate.mutants[n]["name"] for n in crate.apart],
                   "noticed": {crate.mutants[n]["name"]: by for n, by in results.items() if by}}, file, indent=1)


if __name__ == "__main__":
    main()
