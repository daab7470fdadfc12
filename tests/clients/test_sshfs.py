"""`sshfs`: the volume as a mounted file system, used by ordinary programs."""

import os

from harness import Case
from mounted import Mounted
from tools import big_file, content, sha256, tool


class Files(Mounted):
    def test_scripts_and_programs_run(self):
        self.sh(r"""printf '#!/bin/sh\necho from a script\n' > script; cp "$(readlink -f /bin/echo)" program""")
        self.assertEqual(self.sh("./script; ./program from a program").out, "from a script\nfrom a program\n")
        self.assertEqual(self.sh("chmod a-w script; stat -c %a script program .").out, "555\n755\n755\n")

    def test_copy_and_read(self):
        self.write("up", content(2_000_000))
        self.sh('cp "$2/up" file; cat file > "$2/down"')
        self.assertEqual(self.read("down"), content(2_000_000))
        self.expected["file"] = content(2_000_000)

    def test_append(self):
        self.sh('echo one > file; echo two >> file; printf "three\n" | dd of=file oflag=append conv=notrunc status=none')
        self.expected["file"] = b"one\ntwo\nthree\n"

    def test_write_in_the_middle(self):
        self.sh('head -c 100000 /dev/zero > file; printf X | dd of=file bs=1 seek=70000 conv=notrunc status=none')
        self.expected["file"] = b"\0" * 70000 + b"X" + b"\0" * 29999

    def test_hole_reads_as_zeros(self):
        """FAT has no holes: what lies between must not be what was on the disk before."""
        self.write("up", content(4_000_000))
        self.sh('cp "$2/up" gone; sync; rm gone; printf X | dd of=file bs=1 seek=3000000 status=none')
        self.expected["file"] = b"\0" * 3_000_000 + b"X"

    def test_move_over(self):
        self.sh("echo new > a; echo old > b; mv a b; cat b; test ! -e a")
        self.expected.update({"a": None, "b": b"new\n"})

    def test_truncate(self):
        self.write("up", content(500_000))
        self.sh('cp "$2/up" short; truncate -s 1234 short; cp "$2/up" long; truncate -s 700000 long;'
                'cp "$2/up" none; truncate -s 0 none; : > new; truncate -s 40000 new')
        data = content(500_000)
        self.expected.update({"short": data[:1234], "long": data + bytes(200_000), "none": b"",
                              "new": bytes(40_000)})

    def test_times(self):
        out = self.sh("echo x > a; mkdir d; touch -d '2019-03-04 05:06:08 UTC' a d; stat -c %Y a d").out
        self.assertEqual(out.split(), ["1551675968", "1551675968"])

    def test_times_that_fat_has_not(self):
        """Access times are days, 1980 is the first year, and seconds are even."""
        out = self.sh("touch -m -d '1975-05-05 UTC' a; touch -d '2019-03-04 05:06:09 UTC' b;"
                      "stat -c %Y a; stat -c '%X %Y' b").out
        self.assertEqual(out.split(), ["315532800", "1551657600", "1551675968"])

    def test_time_of_a_write_is_now(self):
        self.sh('echo x > a; now=$(date +%s); then=$(stat -c %Y a); test $((now - then)) -le 5; test $((then - now)) -le 5')

    def test_fsync(self):
        self.write("up", content(1_000_000))
        self.sh('dd if="$2/up" of=file bs=64k conv=fsync status=none; sync file; sync -f file')
        self.expected["file"] = content(1_000_000)

    def test_names(self):
        names = ["two words", "Ünïcödé", "rocket🚀", 'q"', "s*", "c:", "l<", "g>", "w?", "p|", "dot.", "it's"]
        for name in names:
            self.write(f"names/{name}", name)
        out = self.sh('cp -r "$2/names" names; diff -r "$2/names" names; ls names').out
        self.assertEqual(set(out.splitlines()), set(names))

    def test_open_file_survives_its_removal_or_is_kept(self):
        """sshfs does not rename on removal of an open file: reading on may fail, hanging may not."""
        self.sh("echo x > a; exec 3< a; rm a; timeout 10 cat <&3 || true; exec 3<&-; test ! -e a; echo y > a")
        self.expected["a"] = b"y\n"

    def test_links_are_refused(self):
        self.sh("echo x > a; if ln -s a b; then exit 1; fi; if ln a c; then exit 1; fi; test $(ls | wc -l) = 2")


class Folders(Mounted):
    def test_tree(self):
        self.sh("mkdir -p a/b/c d; echo x > a/b/c/f; mv a/b d/e; cat d/e/c/f; rmdir a; rm -r d; test -z \"$(ls | grep -v mirage.pub)\"")

    def test_full_folder_stays(self):
        result = self.sh("mkdir d; echo x > d/f; rmdir d", ok=False)
        self.assertIn("not empty", result.err)
        self.expected["d/f"] = b"x\n"

    def test_mkdir_that_exists(self):
        self.assertIn("exists", self.sh("mkdir d; mkdir d", ok=False).err)

    def test_df(self):
        size, free = map(int, self.sh("df -B1 --output=size,avail . | tail -1").out.split())
        self.assertTrue(40 << 20 < size <= 48 << 20, size)
        self.assertTrue(0 < free <= size)
        self.sh("head -c 4194304 /dev/zero > file; sync file")
        after = int(self.sh("df -B1 --output=avail . | tail -1").out)
        self.assertAlmostEqual(free - after, 4 << 20, delta=64 << 10)

    def test_tar_of_a_tree(self):
        for number in range(300):
            self.write(f"tree/dir {number % 7}/f{number}", content(number * 37, number))
        self.expected["tree/dir 5/f299"] = content(299 * 37, 299)
        self.shell('cd "$1"; tar cf tree.tar tree', self.scratch)
        self.sh('tar xf "$2/tree.tar"; diff -r tree "$2/tree"; tar cf "$2/back.tar" tree; tar df "$2/back.tar"')


class Git(Mounted):
    seconds = 120

    def test_git(self):
        tool("git")
        self.sh("""
            export GIT_CONFIG_GLOBAL="$2/gitconfig" GIT_CONFIG_NOSYSTEM=1
            git config --global user.name Test; git config --global user.email test@example.org
            git config --global safe.directory '*'; git config --global init.defaultBranch main
            mkdir repo; cd repo; git init -q
            for n in 1 2 3; do
                for f in a b c d e; do echo "$n $f" > "$f"; done
                mkdir -p sub; echo "$n" > "sub/file $n"
                git add -A; git commit -q -m "commit $n"
            done
            git mv a renamed; git commit -q -m "rename"
            cd ..; git clone -q --no-hardlinks repo copy; git -C copy fsck --strict
            git clone -q repo "$2/outside"; git -C "$2/outside" fsck --strict; git -C repo gc -q; git -C repo fsck --strict
            test "$(git -C copy log --oneline | wc -l)" = 4; test -z "$(git -C repo status --porcelain)"
            # git finds out by itself what FAT lacks.
            test "$(git -C repo config core.filemode)" = false; test "$(git -C repo config core.symlinks)" = false
            test "$(git -C repo config core.ignorecase)" = true
            ln -s "sub/file 1" "$2/outside/link"; git -C "$2/outside" add link; git -C "$2/outside" commit -q -m link
            git clone -q "$2/outside" linked; test "$(cat linked/link)" = "sub/file 1"; test -z "$(git -C linked status --porcelain)"
        """, seconds=110)
        self.expected["copy/renamed"] = b"3 a\n"


class Big(Mounted):
    seconds = 90
    size = "160M"
    fat = "32"

    def test_100_mib(self):
        digest = big_file(self.path("big"), 100 << 20)
        out = self.sh('cp "$2/big" big; echo 3 > /proc/sys/vm/drop_caches 2>/dev/null || true; sha256sum < big').out
        self.assertEqual(out.split()[0], digest)
        self.assertEqual(sha256(self.path("big")), digest)
        self.expected["big"] = digest


class Options(Case):
    def test_large_requests_without_the_page_cache(self):
        point = self.mount("-o", "direct_io,max_read=65536,max_write=65536")
        self.write("up", content(3_000_000))
        self.shell('dd if="$2/up" of="$1/file" bs=1M status=none; dd if="$1/file" bs=100k status=none | cmp - "$2/up"',
                   point, self.scratch)
        self.expected["file"] = content(3_000_000)

    def test_two_mounts_see_each_other(self):
        one, two = self.mount("-o", "cache=no"), self.mount("-o", "cache=no", name="two")
        self.shell('echo x > "$1/a"; cat "$2/a"; mv "$2/a" "$2/b"; cat "$1/b"; test ! -e "$1/a"; rm "$1/b"; test ! -e "$2/b"', one, two)

    def test_unmount_and_mount_again(self):
        for number in range(5):
            point = self.mount()
            self.shell('echo "$2" > "$1/file$2"', point, str(number))
            self.unmount(point)
            self.expected[f"file{number}"] = f"{number}\n".encode()

    def test_reconnects_when_told_to(self):
        """With `reconnect` a mount outlives its server; without it, it ends with an error."""
        point = self.mount("-o", "reconnect,ServerAliveInterval=5,dir_cache=no")
        self.shell('echo before > "$1/a"', point)
        port = self.server.port
        self.server.stop()
        self.server = self.start(self.image, port=port)
        # What is asked for while the connection is gone fails; what is asked for later finds a new one.
        self.until(lambda: self.shell('echo after > "$1/b"', point, ok=None).code == 0, 30, "reconnected")
        self.assertEqual(self.shell('cat "$1/a" "$1/b"', point).out, "before\nafter\n")
        self.expected.update({"a": b"before\n", "b": b"after\n"})


class IgnoredCase(Mounted):
    """sshfs and the kernel remember names by their letters: not with these."""

    mount_options = ("-o", "dir_cache=no,entry_timeout=0")

    def test_a_name_in_other_letters(self):
        out = self.sh("echo one > readme; cat README; rm README; ! test -e readme; echo two > readme; cat ReadMe; mv readme README; ls").out
        self.assertEqual(out, "one\ntwo\nREADME\nmirage.pub\n")


class Programs(Mounted):
    """What docs/clients.md says that programs need here."""

    size = "200M"

    def test_venv(self):
        self.sh("mkdir -p venv/lib64; python3 -m venv --copies --without-pip venv; venv/bin/python -c 'import sys; print(sys.prefix)'")

    def test_cargo(self):
        said = self.sh('export HOME="$3"; unset CARGO_TARGET_DIR; cargo init -q --vcs none --name hello hello; cd hello;'
                       "cargo run -q --offline", os.path.expanduser("~"), seconds=50).out
        self.assertEqual(said, "Hello, world!\n")
