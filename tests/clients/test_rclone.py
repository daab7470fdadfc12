"""`rclone`: whole trees, in both directions."""

from harness import Case
from tools import content, tool


class Rclone(Case):
    seconds = 90

    def setUp(self):
        super().setUp()
        for number in range(60):
            self.write(f"tree/dir {number % 5}/file-{number}", content(number * 3000, number))
        self.write("config.rclone", "")

    def rclone(self, *args, **kwargs):
        return self.run_program(
            tool("rclone"), "--config", self.path("config.rclone"), "--sftp-host", "127.0.0.1",
            "--sftp-port", str(self.server.port), "--sftp-user", "mirage", "--sftp-key-file", self.key,
            "--sftp-shell-type", "none", "--sftp-md5sum-command", "none", "--sftp-sha1sum-command", "none",
            "--modify-window", "2s", "--retries", "1", "--low-level-retries", "1", *args, **kwargs)

    def expect_tree(self):
        for number in range(60):
            self.expected[f"there/dir {number % 5}/file-{number}"] = content(number * 3000, number)

    def test_copy_check_and_back(self):
        self.rclone("copy", self.path("tree"), ":sftp:there")
        self.rclone("check", "--download", self.path("tree"), ":sftp:there")
        self.rclone("copy", ":sftp:there", self.path("back"))
        self.shell('diff -r "$1" "$2"', self.path("tree"), self.path("back"))
        self.expect_tree()

    def test_sync_both_ways(self):
        self.rclone("sync", self.path("tree"), ":sftp:there")
        # Nothing changed, so nothing is copied: times and sizes were kept.
        self.assertRegex(self.rclone("sync", "-v", self.path("tree"), ":sftp:there").text,
                         r"(?i)nothing to transfer|Transferred:\s+0 B")
        self.shell('rm "$1/dir 0/file-5"; echo new > "$1/dir 0/new"; echo changed > "$1/dir 1/file-6"', self.path("tree"))
        self.rclone("sync", self.path("tree"), ":sftp:there")
        self.rclone("sync", ":sftp:there", self.path("back"))
        self.shell('diff -r "$1" "$2"', self.path("tree"), self.path("back"))
        self.expect_tree()
        self.expected.update({"there/dir 0/file-5": None, "there/dir 0/new": b"new\n",
                              "there/dir 1/file-6": b"changed\n"})

    def test_without_any_option_for_a_server_with_no_shell(self):
        """rclone then tries a shell for checksums, is refused, and copies all the same."""
        plain = [tool("rclone"), "--config", self.path("config.rclone"), "--sftp-host", "127.0.0.1", "--sftp-port",
                 str(self.server.port), "--sftp-user", "mirage", "--sftp-key-file", self.key]
        self.run_program(*plain, "copy", self.path("tree"), ":sftp:there")
        self.run_program(*plain, "check", "--size-only", self.path("tree"), ":sftp:there")
        self.expect_tree()

    def test_moves_and_purge(self):
        self.rclone("copy", self.path("tree"), ":sftp:there")
        self.rclone("moveto", ":sftp:there/dir 1", ":sftp:moved")
        self.rclone("purge", ":sftp:there/dir 2")
        self.assertIn('"total"', self.rclone("about", "--json", ":sftp:").out)
        self.expected.update({"moved/file-1": content(3000, 1), "there/dir 2/file-2": None})
