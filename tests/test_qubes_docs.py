#!/usr/bin/env python3
"""docs/qubes.md: every command line of Qubes' tools there is one that they take, and every policy line, option and
service is one that there is.

The tables are ours, written after the parsers of qubes-core-admin-client 4.4.0 and of the policy of qubes-core-qrexec
4.4.2, with which the lines were tried by hand.
"""
import os
import re
import shlex
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LABELS = "red orange yellow green gray blue purple black".split()
PROPERTIES = "virt_mode kernel kernelopts memory maxmem vcpus netvm".split()
QUBE = r"[a-z][a-z0-9-]*"
VOLUME = rf"{QUBE}:private"
# Of each command its flags, its options with what their values are, and what its other words are.
TABLE = {
    "qvm-create": ({}, {"--class": "StandaloneVM|AppVM", "--label": "|".join(LABELS),
                        "--property": rf"({'|'.join(PROPERTIES)})=.*"}, [QUBE]),
    "qvm-features": ({"--unset"}, {}, [QUBE, r"[a-z][a-z0-9.-]*", ".*"]),
    "qvm-prefs": ({}, {}, [QUBE, "|".join(PROPERTIES), ".+"]),
    "qvm-tags": ({}, {}, [QUBE, "add|del", r"[a-zA-Z][a-zA-Z0-9_-]*"]),
    "qvm-start": ({}, {}, [QUBE]),
    "qvm-shutdown": ({"--wait"}, {}, [QUBE]),
    "qvm-kill": ({}, {}, [QUBE]),
    "qvm-ls": ({"-n"}, {}, []),
    "qvm-run": ({"-p", "--pass-io"}, {}, [QUBE, ".+"]),
    "qvm-volume resize": ({}, {}, [VOLUME, r"\d+(KiB|MiB|GiB|TiB)?"]),
    "qvm-volume import": ({"--no-resize"}, {}, [VOLUME, r"\S+"]),
    "qvm-volume revert": ({}, {}, [VOLUME]),
    "qvm-connect-tcp": ({}, {}, [rf"\d+:({QUBE}|@default):\d+"]),
    "qvm-copy": ({"--ignore-symlinks"}, {}, ["[^-].*"]),
    # argparse takes the rest for the local program.
    "qrexec-client-vm": ({}, {}, [rf"{QUBE}|@default", r"mirage\.Sftp(ReadOnly|Add)?(\+\S*)?", "/usr/bin/sshfs", "-f", "-o",
                                  "passive", ":/", r"\S+"]),
}


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def shell_words(line):
    """The commands of a line, one list of words each; what a `$( )` gives is one word."""
    lexer = shlex.shlex(re.sub(r"\"\$\((.*?)\)\"", '"…"', line), posix=True, punctuation_chars="&|;<>")
    lexer.whitespace_split = True
    commands, words = [], []
    for word in lexer:
        if set(word) <= set("&|;<>"):
            commands.append(words)
            words = []
        else:
            words.append(word)
    return [*commands, words]


class Lines(unittest.TestCase):
    def setUp(self):
        self.text = read("docs", "qubes.md")
        typed = re.sub(r"\\\n\s+", "", self.text)
        lines = re.findall(r"^    \w+\$ (.*)$", typed, re.M) + re.findall(r"`([^`]+)`", typed)
        # Also what stands within another command.
        lines += [inner for line in lines for inner in re.findall(r"\$\((.*?)\)", line)]
        self.commands = [words for line in lines if "qvm-" in line or "qrexec-" in line for words in shell_words(line)
                         if words and words[0].startswith(("qvm-", "qrexec-"))]

    def check(self, words):
        name = words.pop(0)
        if f"{name} {words[0] if words else ''}" in TABLE:
            name += " " + words.pop(0)
        self.assertIn(name, TABLE)
        flags, options, kinds = TABLE[name]
        whole = name == "qrexec-client-vm"
        others = []
        while words:
            word = words.pop(0)
            if word in options:
                self.assertTrue(words, f"{name} {word} without a value")
                self.assertRegex(words.pop(0), rf"^({options[word]})$", f"{name} {word}")
            # argparse takes for no option what has a space in it.
            elif word.startswith("-") and " " not in word and not whole:
                self.assertIn(word, flags, name)
            else:
                others.append(word)
        unset = 1 if name == "qvm-features" and len(others) == 2 else 0
        self.assertEqual(len(others), len(kinds) - unset, f"{name}: {others}")
        for word, kind in zip(others, kinds):
            self.assertRegex(word, rf"^({kind})$", name)

    def test_commands_are_those_of_qubes(self):
        mentioned = {words[0] for words in self.commands}
        self.assertLessEqual({"qvm-create", "qvm-features", "qvm-volume", "qvm-start", "qvm-run", "qrexec-client-vm"}, mentioned)
        checked = 0
        for words in self.commands:
            # A name alone is no command line.
            if len(words) > 1 and words not in (["qvm-volume", "resize"], ["qvm-block", "attach"]):
                with self.subTest(words=words):
                    self.check(list(words))
                    checked += 1
        self.assertGreater(checked, 20)
        for wrong in ("qvm-create --label=pink x", "qvm-volume resize x 1", "qvm-prefs x colour red", "qvm-run -z x y", "qvm-stop x",
                      "qvm-prefs x kernelopts --grow"):
            with self.assertRaises(AssertionError):
                self.check(wrong.split())

    def test_options_services_and_commands_are_ours(self):
        """`kernelopts`, services and the words for `qvm-run` are those of the code."""
        options, shell = read("server", "src", "options.rs"), read("server", "src", "call", "shell.rs")
        services = read("server", "src", "call", "service.rs")
        kernelopts = re.findall(r"kernelopts[= ]'?(--[^'`\n\\]*)", self.text)
        self.assertTrue(kernelopts)
        for option in " ".join(kernelopts).split():
            self.assertIn(f'"{option}"', options)
        for service in set(re.findall(r"\b(?:mirage|qubes)\.[A-Z]\w+", self.text)):
            self.assertIn(f'"{service}"', services)
        for words in self.commands:
            if words[0] == "qvm-run" and "mirage-sshfs" in words:
                self.assertIn(f'("{words[-1].split()[0]}"', shell)

    def test_policy_lines(self):
        """A service, an argument, a source, a target and what to do, as the policy's parser wants them."""
        examples = read("packaging", "30-mirage-sshfs.policy")
        lines = re.findall(r"^ *((?:mirage|qubes)\.\w+ +[+*].*)$", self.text + "\n" + examples, re.M)
        lines += re.findall(r"`(qubes\.ConnectTCP \+.*?)`", self.text)
        self.assertGreater(len(lines), 12)
        for line in lines:
            with self.subTest(line=line):
                service, argument, source, target, *action = line.split()
                self.assertRegex(service, r"^(mirage\.Sftp(ReadOnly|Add)?|qubes\.(ConnectTCP|Filecopy))$")
                self.assertRegex(argument, r"^(\*|\+[A-Za-z0-9_.+-]*)$")
                self.assertRegex(source, rf"^({QUBE}|@anyvm|@tag:[A-Za-z][A-Za-z0-9_-]*)$")
                self.assertRegex(target, rf"^({QUBE}|@anyvm)$")
                self.assertIn(action, (["allow"], ["deny"], ["allow", "autostart=no"]))


if __name__ == "__main__":
    unittest.main()
