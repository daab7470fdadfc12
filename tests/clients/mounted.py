"""A test that begins with the volume mounted by sshfs."""

from harness import Case


class Mounted(Case):
    mount_options = ()

    def setUp(self):
        super().setUp()
        self.mnt = self.mount(*self.mount_options)

    def sh(self, script, *args, **kwargs):
        """Runs in the mount point; $1 is that, $2 the scratch folder, $3 and so on are `args`."""
        return self.shell("cd \"$1\"; " + script, self.mnt, self.scratch, *args, **kwargs)
