"""Editors on a mount: a swap file, a backup, a new file in the place of the old one."""

from mounted import Mounted
from tools import tool


class Vim(Mounted):
    def edit(self, *settings):
        self.sh("seq 1 20000 > text")
        commands = [word for setting in ["nocompatible", "directory=.", "swapfile", "backupskip=", *settings] for word in ("--cmd", f"set {setting}")]
        self.run_program(tool("vim.tiny"), "-N", "-u", "NONE", "-i", "NONE", "-es", *commands, "-c", "%s/1/one/g", "-c", r"$s/$/\rthe end/",
                         "-c", "write", "-c", "1delete", "-c", "wq", "text", cwd=self.mnt, stdin="")
        want = "".join(f"{n}\n" for n in range(1, 20001)).replace("1", "one").split("\n", 1)[1] + "the end\n"
        self.expected["text"] = want.encode()
        return self.sh("ls -A").out.split()

    def test_new_file_in_the_place_of_the_old_one(self):
        self.assertEqual(self.edit("backupcopy=no", "writebackup", "fsync"), ["mirage.pub", "text"])

    def test_written_over(self):
        self.assertEqual(self.edit("backupcopy=yes", "writebackup"), ["mirage.pub", "text"])

    def test_backup_is_kept(self):
        self.assertEqual(self.edit("backup", "backupcopy=auto"), ["mirage.pub", "text", "text~"])
        self.assertEqual(self.sh("wc -l text~").out, "20001 text~\n")

    def test_stream_editor(self):
        """sed -i: a new file beside the old one with its mode, then a rename over it."""
        self.sh("seq 1 1000 > text; chmod 600 text; sed -i s/1/one/ text; sed -i.old s/2/two/ text; test $(ls | wc -l) = 3")
        self.expected["text"] = "".join(f"{n}\n".replace("1", "one", 1).replace("2", "two", 1) for n in range(1, 1001)).encode()
