"""GNOME's and Xfce's file managers: gvfs, driven by `gio`. It runs ssh and speaks SFTP itself."""

import os

from harness import Case
from tools import content, tool


class Gvfs(Case):
    def setUp(self):
        super().setUp()
        # gvfs asks the user for what it needs to know: here an `ssh` before the real one knows it.
        self.write("bin/ssh", f'#!/bin/sh\nexec {tool("ssh")} -F {self.path("config")} "$@"\n')
        os.chmod(self.path("bin/ssh"), 0o755)
        os.mkdir(self.path("run"), 0o700)

    def gio(self, script, **kwargs):
        """Runs a shell script in a session of its own, with the volume mounted as $U and the scratch folder as $S."""
        tool("gio")
        return self.run_program(
            "/usr/bin/env", f"PATH={self.path('bin')}:{os.environ['PATH']}", f"XDG_RUNTIME_DIR={self.path('run')}",
            "GVFS_DISABLE_FUSE=1", "GIO_USE_VOLUME_MONITOR=unix", f"S={self.scratch}", "U=sftp://server",
            tool("dbus-run-session"), "--", "/bin/sh", "-euc", f'gio mount "$U/"; {script}; gio mount -u "$U/"', **kwargs)

    def test_there_and_back(self):
        for size in [0, 1, 100_001, 5_000_000]:
            self.write(f"up/{size}", content(size))
            self.expected[f"d/{size}"] = content(size)
        self.gio('gio mkdir "$U/d" "$S/back"; gio copy "$S"/up/* "$U/d/"; for f in "$S"/up/*; do gio copy "$U/d/${f##*/}" "$S/back/"; done')
        self.shell('diff -r "$1/up" "$1/back"', self.scratch)

    def test_save_replaces(self):
        """As an editor does: a new file beside the old one, then a rename over it."""
        self.write("new", content(70_000, 1))
        self.write("old", content(90_000, 2))
        self.gio('gio save "$U/file" < "$S/old"; gio save "$U/file" < "$S/new"; gio cat "$U/file" | cmp - "$S/new"; gio list "$U/"')
        self.expected["file"] = content(70_000, 1)

    def test_move_rename_list_and_remove(self):
        self.write("up", b"x")
        out = self.gio('gio mkdir -p "$U/a/b"; gio copy "$S/up" "$U/a/one"; gio move "$U/a/one" "$U/a/b/two";'
                       'gio rename "$U/a/b/two" "th:ree?"; gio list -l "$U/a/b"; gio copy "$S/up" "$U/gone"; gio remove "$U/gone";'
                       'gio mkdir "$U/c"; gio remove "$U/c"; gio info -f "$U/"').out
        self.assertIn("th:ree?\t1\t(regular)", out)
        self.assertRegex(out, r"filesystem::free: \d{8}\n")
        self.expected.update({"a/b/th\uf03aree\uf03f": b"x", "gone": None})

    def test_times_and_modes(self):
        out = self.gio('gio copy "$S/mirage.pub" "$U/f"; gio set "$U/f" unix::mode 33060 -t uint32; gio set "$U/f" time::modified 1600000000 -t uint64;'
                       'gio info -a unix::mode,time::modified "$U/f"').out
        self.assertIn("time::modified: 1600000000", out)
        self.assertIn("unix::mode: 33133", out)

    def test_what_users_read(self):
        said = self.gio('gio mkdir -p "$U/d/e"; ! gio mkdir "$U/d"; ! gio remove "$U/d"; ! gio cat "$U/no"; ! gio mkdir "$U/.mirage-sshfs"').err
        for words in ["server/d: Target file exists", "server/d: Directory not empty", "server/no: No such file or directory",
                      "server/.mirage-sshfs: Permission denied"]:
            self.assertIn(words, said)
