"""Backups with a key that may only add, and what the same key cannot do to them: docs/vault.md."""

import stat

from harness import Case
from tools import content, tool


class Vault(Case):
    seconds = 100
    size = "96M"

    def setUp(self):
        super().setUp()
        self.ann = self.make_key("ann-key", comment="ann")
        self.write("authorized_keys", f'restrict,command="internal-sftp --add-only -d /backup" {self.public(self.ann)}\n')
        self.sftp("mkdir backup", "mkdir backup/old", "put authorized_keys", "put ann-key.pub backup/old/file",
                  "put ann-key.pub backup/before")
        self.configure(self.server, "ann", self.ann, name="config-ann")
        for number in range(12):
            self.write(f"data/dir {number % 3}/file-{number}", content(number * 9000, number))

    def as_ann(self):
        return self.paramiko_sftp(user="ann", key=self.ann)

    def tree(self):
        """Everything below /backup as the owner sees it: mode, time and bytes."""
        sftp, found, folders = self.paramiko_sftp(), {}, ["/backup"]
        while folders:
            folder = folders.pop()
            for entry in sftp.listdir_attr(folder):
                path = f"{folder}/{entry.filename}"
                if stat.S_ISDIR(entry.st_mode):
                    folders.append(path)
                    found[path] = (entry.st_mode, entry.st_mtime)
                else:
                    with sftp.open(path) as file:
                        found[path] = (entry.st_mode, entry.st_mtime, file.read())
        return found

    def attack(self):
        """Every request of SFTP on everything that is there, by another session of the key."""
        before, sftp, done = self.tree(), self.as_ann(), []
        with sftp.open("/own", "w") as file:
            file.write(b"the attacker's")
        sftp.mkdir("/own folder")

        def attempt(what, call, *args):
            try:
                call(*args)
                done.append((what, *args))
            except OSError:
                pass

        def fill(path, mode):
            with sftp.open(path, mode) as file:
                file.write(b"x")

        def through_handle(path):
            with sftp.open(path) as file:
                for what, call in [("ftruncate", lambda: file.truncate(0)), ("fchmod", lambda: file.chmod(0o400)),
                                   ("futime", lambda: file.utime((1, 1))), ("write", lambda: file.write(b"x"))]:
                    attempt(what + " " + path, call)

        # restic makes 256 folders that are all the same.
        folders = [path for path in before if len(before[path]) == 2]
        tried = [path for path in before if len(before[path]) == 3] + folders[::max(1, len(folders) // 8)]
        for path in (path.removeprefix("/backup") for path in tried):
            for spelling in {path, path.upper(), f"/old/..{path}"}:
                for mode in "w", "a", "r+":
                    attempt("write " + mode, fill, spelling, mode)
                attempt("truncate", sftp.truncate, spelling, 0)
                attempt("chmod", sftp.chmod, spelling, 0o400)
                attempt("utime", sftp.utime, spelling, (1, 1))
                attempt("remove", sftp.remove, spelling)
                attempt("rmdir", sftp.rmdir, spelling)
                for mine in "/own", "/own folder":
                    attempt("rename", sftp.rename, spelling, "/stolen")
                    attempt("posix_rename", sftp.posix_rename, spelling, "/stolen")
                    attempt("rename over", sftp.rename, mine, spelling)
                    attempt("posix_rename over", sftp.posix_rename, mine, spelling)
                attempt("symlink", sftp.symlink, spelling, "/link")
            if len(before["/backup" + path]) == 3:
                through_handle(path)
        after = self.tree()
        self.assertEqual(done, [])
        self.assertEqual({path: after.get(path) for path in before}, before)
        sftp.remove("/own")
        sftp.rmdir("/own folder")
        self.assertEqual(self.tree(), before)

    def same(self, one, other):
        self.shell('diff -r "$1" "$2"', one, other)

    def test_restic(self):
        ssh = f"{tool('ssh')} -F {self.path('config-ann')} server -s sftp"
        self.write("password", "secret")

        def restic(*args, patience=60, **kwargs):
            return self.run_program("timeout", "--foreground", "-s", "INT", str(patience), tool("restic"), "-r", "sftp:server:/repository",
                                    "-o", f"sftp.command={ssh}", "-p", self.path("password"), "--no-cache", *args,
                                    cwd=self.scratch, **kwargs)
        restic("init")
        restic("backup", "data")
        self.write("data/new", "new")
        restic("backup", "data")
        restic("check")
        self.attack()
        # It tries again and again, for some 45 seconds.
        forget = restic("forget", "--keep-last", "1", "--prune", ok=False, patience=8)
        self.assertIn("permission denied", forget.text.lower())
        snapshots = [path for path in self.tree() if path.startswith("/backup/repository/snapshots/")]
        self.assertEqual(len(snapshots), 2)
        restic("restore", "latest", "--target", "back")
        self.same(self.path("data"), self.path("back/data"))

    def test_rclone(self):
        self.write("config.rclone", "")

        def rclone(*args, **kwargs):
            return self.run_program(
                tool("rclone"), "--config", self.path("config.rclone"), "--sftp-host", "127.0.0.1", "--sftp-port",
                str(self.server.port), "--sftp-user", "ann", "--sftp-key-file", self.ann, "--sftp-shell-type", "none",
                "--sftp-set-modtime=false", "--size-only", "--retries", "1", "--low-level-retries", "1", *args, **kwargs)
        rclone("copy", self.path("data"), ":sftp:there")
        self.write("data/new", "new")
        rclone("copy", self.path("data"), ":sftp:there")
        self.attack()
        self.write("data/new", "changed since")
        rclone("copy", self.path("data"), ":sftp:there", ok=False)
        rclone("purge", ":sftp:there", ok=False)
        self.write("data/new", "new")
        rclone("copy", ":sftp:there", self.path("back"))
        self.same(self.path("data"), self.path("back"))

    def test_rsync_over_sshfs(self):
        self.configure(self.server, "ann", self.ann)
        rsync = [tool("rsync"), "-rtO", "--modify-window=1"]
        there = self.mount(name="one")
        self.run_program(*rsync, self.path("data") + "/", there + "/there")
        self.unmount(there)
        self.write("data/new", "new")
        there = self.mount(name="two")
        self.run_program(*rsync, self.path("data") + "/", there + "/there")
        self.attack()
        self.write("data/dir 0/file-3", "changed since")
        refused = self.run_program(*rsync, self.path("data") + "/", there + "/there", ok=False)
        self.assertIn("Permission denied", refused.text)
        self.write("data/dir 0/file-3", content(27000, 3))
        self.same(self.path("data"), there + "/there")

    def test_git(self):
        """A bare repository on a mount: new names of branches, because one that is there is not written over."""
        self.configure(self.server, "ann", self.ann)
        git = """
            export GIT_CONFIG_GLOBAL="$1/gitconfig" GIT_CONFIG_NOSYSTEM=1
            git config --global user.name Test; git config --global user.email test@example.org
            git config --global safe.directory '*'; git config --global init.defaultBranch main
            git config --global receive.autogc false
        """
        there = self.mount(name="one")
        self.shell(git + """
            git init -q --bare "$2/repository"; cd "$1/data"; git init -q; git add -A; git commit -q -m first
            git push -q "$2/repository" HEAD:refs/heads/1
        """, self.scratch, there)
        self.unmount(there)
        there = self.mount(name="two")
        self.write("data/new", "new")
        self.shell(git + """
            cd "$1/data"; git add -A; git commit -q -m second; git push -q "$2/repository" HEAD:refs/heads/2
        """, self.scratch, there)
        self.attack()
        for name in "HEAD:refs/heads/1", ":refs/heads/1":
            self.shell(git + 'cd "$1/data"; git push -q "$2/repository" "$3"', self.scratch, there, name, ok=False)
        self.shell(git + """
            git -C "$2/repository" fsck --strict; git clone -q -b 2 "$2/repository" "$1/back"
            test "$(git -C "$1/back" rev-parse origin/1)" = "$(git -C "$1/data" rev-parse HEAD~)"
            rm -rf "$1/back/.git" "$1/data/.git"
        """, self.scratch, there)
        self.same(self.path("data"), self.path("back"))

    def test_drop_box(self):
        ben = self.make_key("ben-key", comment="ben")
        self.write("ben.pub", f'command="internal-sftp --write-only -d /backup" {self.public(ben)}\n')
        self.sftp("put ben.pub")
        self.configure(self.server, "ben", ben, name="config-ben")
        listed = self.sftp("put ben.pub mine", "ls", "get mine back", config="config-ben")
        self.assertIn("mine", listed.out.split())
        self.assertNotIn("before", listed.out)
        self.assertEqual(self.read("back"), self.read("ben.pub"))
        # sftp says "not found" of what it may not look at.
        for line in "get before", "get mine", "ls old", "rm mine", "put ben.pub before":
            self.assertRegex(self.sftp(line, config="config-ben", ok=False).text, "ermission denied|not found", line)
        self.server.wait_log(r"ben logged in from .* to /backup, write-only")


class OnExfat(Vault):
    """What asks most of a file system; the rest is above the formats."""
    fat = "exfat"
    test_restic = test_git = test_rclone = None
