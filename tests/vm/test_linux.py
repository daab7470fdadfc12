"""Linux' own exFAT driver judges what is written here, and what it writes is read here, both ways."""
import hashlib
import os

import case  # noqa: F401  (the folder of the clients' tests)
import judge
from harness import Case
from test_names import CONTROL, NAMES
from tools import content, program

OTHERS = ["a\u0308 decomposed", "\u05e9\u05dc\u05d5\u05dd", "line\u2028separator", "ǆ ß ſ ﬁ İ ı", "ᲀ ꙋ ẞ", "\U00010428 Deseret",
          "\U0001f1e9\U0001f1ea flag", "private \ue000"]
# What Linux makes itself: it refuses the characters that are forbidden, and takes dots off the end.
ITS_OWN = [name for name in [*NAMES, *OTHERS] if not set(name) & set('"*:<>?|\\') and name[-1] != "."]
MANY = 60
LARGE = 5 << 30
# Of a volume that keeps modes.
RUN = {"whole", "one", *(f"many/file {number}" for number in range(0, MANY, 3))}


def digest(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def small(number):
    """What the file `number` has, in no, one or some clusters."""
    return content(number * 977 % 40_000, number)


# $1 is the disk. Reads all; writes, appends, renames, removes; and reads all again, from the disk.
SCRIPT = """
all() { (cd /mnt; find . -path ./large -prune -o -type f -exec md5sum {} +) >"/out/$1"; }
judge() {
    mount -t exfat -o iocharset=utf8 "$1" /mnt
    all "$2.read"
    [ ! -e /mnt/large ] || { stat -c %s /mnt/large; head -c 7 /mnt/large; dd if=/mnt/large bs=64k skip=70000 count=4 | md5sum; } >"/out/$2.large"
    cp -r own /mnt/own
    mkdir /mnt/own/deep
    n=0
    while [ $n -lt 20 ]; do
        echo appended >>"/mnt/many/file $n"
        mv "/mnt/many/file $((n + 20))" "/mnt/own/deep/moved $n"
        rm "/mnt/many/file $((n + 40))"
        n=$((n + 1))
    done
    for name in one two; do cat own/big >>"/mnt/$name"; done
    mv "/mnt/many/file 3" /mnt/one; truncate -s 5000 /mnt/whole
    sync
    umount /mnt
    mount -t exfat -o iocharset=utf8 "$1" /mnt
    all "$2.left"
    umount /mnt
}
"""


class Linux(Case):
    serve = False
    seconds = 240
    follows_links = True
    options = ("--uid", str(os.getuid()), "--gid", str(os.getgid()))

    @classmethod
    def setUpClass(cls):
        # They may have to be fetched first, which takes longer than the tests.
        for debian in ("12", "13"):
            judge.built(debian)

    def volume(self, kind, large):
        """Writes what there is of kinds of files and names to a new volume; the image, and all files' content."""
        image = self.path(f"{kind}.img")
        posix = kind == "posix"
        self.run_program(program("fat"), "create", image, "6G", "--type", "exfat", *(["--posix"] if posix else []))
        self.write("mirage.pub", self.public(self.key) + "\n")
        self.run_program(program("fat"), "add", image, self.path("mirage.pub"))
        server = self.start(image)
        point = self.mount()
        files = {"mirage.pub": self.read("mirage.pub")}

        def put(name, data):
            files[name] = data
            with open(f"{point}/{name}", "wb") as file:
                file.write(data)
        for folder in ("names", "many"):
            os.mkdir(f"{point}/{folder}")
        for number, name in enumerate([*NAMES, *CONTROL, *OTHERS]):
            put(f"names/{name}", content(number, number))
        for number in range(MANY):
            put(f"many/file {number}", small(number))
        put("whole", content(3_000_000))
        # In turns, so that neither lies in one piece.
        files["one"] = files["two"] = b""
        with open(f"{point}/one", "wb", 0) as one, open(f"{point}/two", "wb", 0) as two:
            for number in range(8):
                for name, file in (("one", one), ("two", two)):
                    data = content(70_000, number)
                    files[name] += data
                    file.write(data)
                    os.fsync(file.fileno())
        if large:
            with open(f"{point}/large", "wb") as file:
                file.write(b"begins\n")
                file.truncate(LARGE)
        if posix:
            for name in RUN:
                os.chmod(f"{point}/{name}", 0o755)
            os.chmod(f"{point}/two", 0o400)
            for name, target in (("link", "whole"), ("names/up", "../many/file 1"), ("dangling", "nowhere/é")):
                os.symlink(target, f"{point}/{name}")
                files[name] = target.encode()
        self.unmount(point)
        server.stop()
        return image, files

    @staticmethod
    def moved(files):
        """What of each file there was is told, where the script leaves the file."""
        files = dict(files)
        for number in range(20):
            files[f"own/deep/moved {number}"] = files.pop(f"many/file {number + 20}")
            del files[f"many/file {number + 40}"]
        files["one"] = files.pop("many/file 3")
        return files

    def changed(self, files, own):
        """The files as the script leaves them."""
        files = files | {f"own/{name}": data for name, data in own.items()}
        for number in range(20):
            files[f"many/file {number}"] += b"appended\n"
        for name in ("one", "two"):
            files[name] += own["big"]
        return self.moved(files | {"whole": files["whole"][:5000]})

    def compare(self, what, got, files):
        want = {name: digest(data) for name, data in files.items()}
        wrong = sorted(name for name in {*got, *want} if got.get(name, "absent") != want.get(name, "absent"))
        self.assertEqual(wrong, [], f"{what}: {len(wrong)} of {len(want)} differ, {len({*want} - {*got})} are absent")

    def exchange(self, debian, kinds, large):
        own = {name: content(200, number) for number, name in enumerate(ITS_OWN)}
        own["big"] = content(200_000, 7)
        for name, data in own.items():
            self.write(f"given/own/{name}", data)
        volumes = [self.volume(kind, large) for kind in kinds]
        calls = "".join(f"judge /dev/vd{'cd'[number]} {kind}\n" for number, kind in enumerate(kinds))
        self.write("given/script", SCRIPT + calls)
        version, left = judge.run(debian, self.path("given"), [image for image, _ in volumes], self.scratch)
        for kind, (image, files) in zip(kinds, volumes):
            with self.subTest(f"Linux {version}, {kind}"):
                self.compare("it reads", names_and_sums(left[f"{kind}.read"]), files)
                before, files = files, self.changed(files, own)
                self.compare("it wrote", names_and_sums(left[f"{kind}.left"]), files)
                sums, runs = self.read_here(image)
                self.compare("read here", sums, files)
                if kind == "posix":
                    # What Linux knows nothing of stays with its file wherever that goes.
                    self.assertEqual(runs, {name for name, may in self.moved({name: name in RUN for name in before}).items() if may})
                self.fat = kind
                self.check_image(image)
        return left

    def read_here(self, image):
        """The sums of all files on the volume, as our server tells them, but of the large one, and which may be run."""
        server = self.start(image)
        point, sums, runs = self.mount(), {}, set()
        for folder, _, names in os.walk(point):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.islink(path):
                    data = os.readlink(path).encode()
                elif name == "large":
                    self.assertEqual(os.stat(path).st_size, LARGE)
                    continue
                else:
                    with open(path, "rb") as file:
                        data = file.read()
                    if os.stat(path).st_mode & 0o100:
                        runs.add(os.path.relpath(path, point))
                sums[os.path.relpath(path, point)] = digest(data)
        self.unmount(point)
        server.stop()
        return sums, runs

    def test_debian_13(self):
        left = self.exchange("13", ["exfat", "posix"], large=True)
        for kind in ("exfat", "posix"):
            zeros = digest(bytes(4 << 16))
            self.assertEqual(left[f"{kind}.large"].decode().split(), [str(LARGE), "begins", zeros, "-"])

    def test_debian_12(self):
        # Which shows files up to a hole alone, and cuts off what is behind when they are read.
        self.exchange("12", ["exfat"], large=False)


def names_and_sums(listed):
    """What md5sum said; Linux tells names as they are on the disk."""
    sums = {}
    for line in listed.decode().removesuffix("\n").split("\n"):
        name = "".join(chr(ord(c) - 0xF000) if 0xF000 < ord(c) < 0xF080 else c for c in line[36:])
        if not name.startswith(".mirage-sshfs/"):
            sums[name] = line[:32]
    return sums
