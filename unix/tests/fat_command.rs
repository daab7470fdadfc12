//! The `fat` command as its users meet it, its images judged by fsck.fat and mtools.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Tests may panic.
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of its own for a test, in which its commands run.
struct Desk(PathBuf);

/// How a command ended, and what it said.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("fat-command-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), contents).unwrap();
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.0).stdin(Stdio::null());
        command
    }

    /// Runs `fat` with words that are separated by spaces; `_` in a word is a space.
    fn fat(&self, words: &str) -> Said {
        let words = words.split_whitespace().map(|word| word.replace('_', " "));
        said(self.command(env!("CARGO_BIN_EXE_fat")).args(words).output().unwrap())
    }

    /// The same, of which nothing may fail: its standard output.
    fn ok(&self, words: &str) -> String {
        let said = self.fat(words);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "fat {words}: {said:?}");
        said.out
    }

    /// The same, which must fail with one line and this code: the line.
    fn fails(&self, code: i32, words: &str) -> String {
        let said = self.fat(words);
        assert_eq!(said.code, code, "fat {words}: {said:?}");
        assert!(said.err.starts_with("fat: ") && said.err.lines().count() == 1, "{said:?}");
        said.err
    }

    /// What is neither fsck.fat's nor our own check's taste fails here.
    fn assert_sound(&self, image: &str) {
        let fsck = said(self.command("fsck.fat").args(["-n", image]).output().unwrap());
        assert_eq!(fsck.code, 0, "{fsck:?}");
        assert_eq!(fsck.out.lines().count(), 2, "{fsck:?}");
        let checked = self.ok(&format!("check {image}"));
        assert!(checked.contains(": clean: "), "{checked}");
    }

    fn mtools(&self, program: &str, words: &[&str]) -> String {
        let said =
            said(self.command(program).args(["-i", "disk.img"]).args(words).output().unwrap());
        assert_eq!(said.code, 0, "{program} {words:?}: {said:?}");
        said.out
    }

    /// The names that `fat list` shows.
    fn names(&self, words: &str) -> Vec<String> {
        let out = self.ok(words);
        out.lines().map(|line| line[line.find(':').unwrap() + 5..].to_string()).collect()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn said(output: Output) -> Said {
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn the_way_the_readme_begins() {
    let desk = Desk::new();
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK mirage_sshfs\n";
    desk.write("mirage.pub", key);
    assert_eq!(desk.ok("create disk.img"), "disk.img: FAT16, 64 MiB\n");
    assert_eq!(fs::metadata(desk.path("disk.img")).unwrap().len(), 64 << 20);
    desk.ok("add disk.img mirage.pub");
    assert_eq!(desk.ok("cat disk.img mirage.pub"), key);
    assert_eq!(desk.mtools("mtype", &["::mirage.pub"]), key);
    assert_eq!(desk.names("list disk.img"), ["mirage.pub"]);
    desk.assert_sound("disk.img");
}

#[test]
fn create_takes_sizes_and_types() {
    let desk = Desk::new();
    for (words, size, kind) in [
        ("create", 64 << 20, "FAT16"),
        ("create a 16M", 16 << 20, "FAT16"),
        ("create b --size 160K", 160 << 10, "FAT12"),
        ("create c --size=1G --label My_Disk", 1 << 30, "FAT32"),
        ("create d 65536KiB --type 32", 64 << 20, "FAT32"),
        ("create --type fat12 e 1474560", 1_474_560, "FAT12"),
        ("create f 40G --type 32", 40 << 30, "FAT32"),
    ] {
        let said = desk.ok(words);
        assert!(said.contains(kind), "{said}");
        let name = said.split(':').next().unwrap();
        assert_eq!(fs::metadata(desk.path(name)).unwrap().len(), size);
        desk.assert_sound(name);
    }
    let label = said(desk.command("mdir").args(["-i", "c", "::"]).output().unwrap());
    assert!(label.out.contains("Volume in drive : is MY DISK"), "{label:?}");
}

#[test]
fn create_refuses_what_cannot_be() {
    let desk = Desk::new();
    desk.write("disk.img", "precious");
    assert_eq!(
        desk.fails(1, "create"),
        "fat: disk.img: it exists already: choose another name or use --force\n"
    );
    desk.fails(1, "create disk.img --force --type 32 --size 16M");
    assert_eq!(fs::read(desk.path("disk.img")).unwrap(), b"precious");
    desk.ok("create --force disk.img 4M");
    desk.assert_sound("disk.img");

    assert!(desk.fails(1, "create a 16M --type 32").contains("too small for FAT32, which needs"));
    assert!(desk.fails(1, "create a 1G --type 12").contains("too large for FAT12"));
    assert!(desk.fails(1, "create none/a").contains("no such directory"));
    assert!(desk.fails(1, "create . --force").contains("directory"));
    assert!(desk.fails(2, "create a 16X").contains("16X: this is no size"));
    assert!(desk.fails(2, "create a 64MB").contains("64M or 64MiB"));
    assert!(desk.fails(2, "create a 1000").contains("1024 would be"));
    assert!(desk.fails(2, "create a 4M --size 8M").contains("more than one size"));
    assert!(desk.fails(2, "create a --type 8").contains("12, 16, 32, exfat or auto"));
    assert!(desk.fails(2, "create a --label waytoolongname").contains("at most 11"));
    assert!(desk.fails(2, "create a --sice 8M").contains("--sice"));
    assert!(!desk.path("a").exists());
}

#[test]
fn files_come_back_as_they_went_in() {
    let desk = Desk::new();
    desk.ok("create disk.img 32M");
    let large: Vec<u8> =
        (0..5_000_001u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    desk.write("large.bin", &large);
    desk.write("empty", "");
    desk.write("a name that is long.text", "long");
    desk.write("smörgås.txt", "ü");
    desk.write("what:is*this?", "forbidden to FAT");
    desk.ok("add disk.img large.bin empty a_name_that_is_long.text smörgås.txt what:is*this?");
    desk.assert_sound("disk.img");

    let names = ["a name that is long.text", "empty", "large.bin", "smörgås.txt", "what:is*this?"];
    assert_eq!(desk.names("list disk.img"), names);
    let cat = desk
        .command(env!("CARGO_BIN_EXE_fat"))
        .args(["cat", "disk.img", "/large.bin"])
        .output()
        .unwrap();
    assert!(cat.stdout == large);
    assert_eq!(desk.ok("cat disk.img EMPTY"), "");
    assert_eq!(desk.ok("cat disk.img smörgås.txt what:is*this?"), "üforbidden to FAT");
    assert_eq!(desk.mtools("mtype", &["::a name that is long.text"]), "long");
    desk.mtools("mcopy", &["::large.bin", "back.bin"]);
    assert!(fs::read(desk.path("back.bin")).unwrap() == large);
}

#[test]
fn what_mtools_writes_is_read() {
    let desk = Desk::new();
    desk.ok("create disk.img 32M");
    desk.write("some file.txt", "from mtools");
    desk.mtools("mmd", &["::Sub"]);
    desk.mtools("mcopy", &["some file.txt", "::Sub/some file.txt"]);
    assert_eq!(desk.ok("cat disk.img sub/SOME_FILE.TXT"), "from mtools");
    assert_eq!(desk.names("list disk.img -r"), ["Sub/", "Sub/some file.txt"]);
}

#[test]
fn directories_are_added_whole() {
    let desk = Desk::new();
    desk.ok("create disk.img");
    for n in 0..300 {
        desk.write(&format!("tree/inner/file number {n}.txt"), n.to_string());
    }
    desk.write("tree/top", "t");
    fs::create_dir(desk.path("tree/hollow")).unwrap();
    desk.ok("add disk.img tree/ --to /docs/new");
    desk.assert_sound("disk.img");
    assert_eq!(desk.names("list disk.img docs/new/tree"), ["hollow/", "inner/", "top"]);
    assert_eq!(desk.names("list disk.img docs/new/tree/inner").len(), 300);
    assert_eq!(desk.names("list disk.img -r").len(), 306);
    assert_eq!(desk.ok("cat disk.img /docs/new/tree/inner/file_number_299.txt"), "299");
    // Once more, with one file changed, the others stay.
    desk.write("tree/top", "changed");
    desk.ok("add disk.img tree --to docs/new");
    assert_eq!(desk.ok("cat disk.img docs/new/tree/top"), "changed");
    assert_eq!(desk.names("list disk.img -r").len(), 306);
    desk.assert_sound("disk.img");
}

#[test]
fn what_fat_cannot_hold_is_left_out_and_said() {
    let desk = Desk::new();
    desk.ok("create disk.img 4M");
    desk.write("tree/file", "x");
    symlink(desk.path("tree/file"), desk.path("tree/link")).unwrap();
    symlink("..", desk.path("tree/up")).unwrap();
    fs::hard_link(desk.path("disk.img"), desk.path("tree/itself")).unwrap();
    let said = desk.fat("add disk.img tree");
    assert_eq!((said.code, said.err.lines().count()), (1, 2), "{said:?}");
    assert!(said.err.contains("tree/up: left out") && said.err.contains("tree/itself: left out"));
    assert_eq!(desk.names("list disk.img tree"), ["file", "link"]);
    assert_eq!(desk.ok("cat disk.img tree/link"), "x");
}

#[test]
fn a_file_is_replaced_only_when_the_new_one_is_complete() {
    let desk = Desk::new();
    desk.ok("create disk.img 4M");
    desk.write("file", "old");
    desk.ok("add disk.img file");
    desk.write("file", vec![7; 8 << 20]);
    assert_eq!(
        desk.fails(1, "add disk.img file"),
        "fat: disk.img: /file: no space left on the volume\n"
    );
    assert_eq!(desk.ok("cat disk.img file"), "old");
    desk.write("other", vec![7; 8 << 20]);
    desk.fails(1, "add disk.img other");
    assert_eq!(desk.names("list disk.img"), ["file"]);
    desk.assert_sound("disk.img");

    desk.write("file", "new and longer");
    desk.ok("add disk.img file");
    assert_eq!(desk.ok("cat disk.img file"), "new and longer");
    desk.ok("mkdir disk.img other");
    assert!(desk.fails(1, "add disk.img other").contains("/other: is a directory"));
    desk.assert_sound("disk.img");
}

#[test]
fn times_are_kept() {
    let desk = Desk::new();
    desk.ok("create disk.img");
    desk.write("file", "x");
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(951_827_696);
    fs::File::options().write(true).open(desk.path("file")).unwrap().set_modified(time).unwrap();
    desk.ok("add disk.img file");
    assert_eq!(desk.ok("list disk.img"), "         1  2000-02-29 12:34  file\n");
    assert!(desk.mtools("mdir", &["::"]).contains("2000-02-29  12:34"));
    assert_eq!(desk.ok("list disk.img file"), desk.ok("list disk.img"));
}

#[test]
fn removed_files_give_their_room_back() {
    let desk = Desk::new();
    desk.ok("create disk.img 8M");
    desk.write("big", vec![1; 6 << 20]);
    for _ in 0..5 {
        desk.ok("add disk.img big");
        desk.ok("rm disk.img BIG");
    }
    let checked = desk.ok("check disk.img");
    assert!(checked.contains("clean: 0 files, 0 directories, 0 of"), "{checked}");
    desk.assert_sound("disk.img");
}

#[test]
fn directories_are_made_and_removed() {
    let desk = Desk::new();
    desk.ok("create disk.img");
    desk.write("file", "x");
    desk.ok("mkdir disk.img a b");
    desk.ok("mkdir disk.img -p a/b/c/d a");
    desk.ok("add disk.img file --to a/b/c");
    assert_eq!(
        desk.names("list disk.img -r"),
        ["a/", "a/b/", "a/b/c/", "a/b/c/d/", "a/b/c/file", "b/"]
    );
    assert!(desk.fails(1, "mkdir disk.img a").contains("/a: already exists"));
    assert!(desk.fails(1, "mkdir disk.img x/y").contains("/x/y: no such file"));
    assert!(desk.fails(1, "rm disk.img a").contains("/a: a directory: use -r"));
    assert!(desk.fails(1, "rm disk.img nothing").contains("/nothing: no such file"));
    assert!(desk.fails(2, "rm disk.img -r /").contains("root"));
    desk.ok("rm disk.img -r A b");
    assert_eq!(desk.names("list disk.img"), [""; 0]);
    desk.assert_sound("disk.img");
}

#[test]
fn check_tells_damage_by_its_exit_code() {
    let desk = Desk::new();
    desk.ok("create disk.img 16M");
    desk.write("file", vec![1; 100_000]);
    desk.ok("add disk.img file");
    let mut image = fs::read(desk.path("disk.img")).unwrap();
    let slot = image.windows(8).position(|bytes| bytes == b"FILE    ").unwrap();
    image[slot + 28] = 0xFF;
    image[slot + 30] = 0xFF;
    fs::write(desk.path("disk.img"), &image).unwrap();
    let said = desk.fat("check disk.img");
    assert_eq!(said.code, 1);
    assert!(said.out.starts_with("/file: has 98 clusters, but its size needs"), "{said:?}");
    assert!(said.out.contains("1 problem (to repair: fsck.fat -a disk.img)"), "{said:?}");

    assert!(desk.fails(2, "check none.img").contains("make it with `fat create`"));
    desk.write("text", vec![b'x'; 1024]);
    assert!(desk.fails(2, "check text").contains("not a FAT volume"));
}

#[test]
fn grow_keeps_everything() {
    let desk = Desk::new();
    desk.ok("create disk.img 8M");
    desk.write("file", vec![1; 100_000]);
    desk.ok("add disk.img file");
    assert!(desk.fails(1, "grow disk.img").contains("make the image larger first"));
    assert!(desk.fails(1, "grow disk.img 4M").contains("no smaller than the image"));
    assert_eq!(desk.ok("grow disk.img 24M"), "disk.img: from 8 MiB to 24 MiB\n");
    desk.assert_sound("disk.img");
    assert_eq!(desk.mtools("mtype", &["::/file"]), "\u{1}".repeat(100_000));
    assert!(desk.fails(1, "grow disk.img").contains("no room"));
}

#[test]
fn the_part_of_a_disk_that_was_asked_for() {
    let desk = Desk::new();
    desk.ok("create disk.img 8M");
    desk.write("old", "the whole disk's");
    desk.write("new", "the partition's");
    desk.ok("add disk.img old");
    // A partition from sector 4096 on, whose table lies over the volume's boot sector.
    let mut disk = fs::read(desk.path("disk.img")).unwrap();
    disk[450] = 0x83;
    disk[454..462].copy_from_slice(&[0, 16, 0, 0, 0, 48, 0, 0]);
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    desk.write("disk.img", &disk);
    assert!(desk.ok("list disk.img").contains("old"));
    let doubt = desk.fails(1, "add disk.img new");
    assert!(doubt.contains("--partition whole") && doubt.contains("--partition 1"), "{doubt}");
    assert!(
        desk.fails(1, "grow disk.img").contains("room")
            && fs::read(desk.path("disk.img")).unwrap() == disk
    );
    let checked = desk.fat("check disk.img");
    assert!(checked.code == 1 && checked.out.contains("can only be read"), "{checked:?}");
    assert!(desk.fails(1, "list disk.img --partition 1").contains("the partition is blank"));
    assert!(desk.fails(1, "list disk.img --partition 2").contains("no partition 2"));
    assert!(desk.fails(2, "list disk.img --partition 0").contains("nor `whole`"));
    // With a volume in it the partition is meant.
    desk.ok("create small.img 6M");
    let small = fs::read(desk.path("small.img")).unwrap();
    disk[4096 * 512..][..small.len().min(4 << 20)]
        .copy_from_slice(&small[..small.len().min(4 << 20)]);
    disk.resize((2 << 20) + small.len(), 0);
    desk.write("disk.img", &disk);
    desk.ok("add disk.img new");
    assert!(desk.ok("list disk.img").contains("new"));
    assert_eq!(desk.ok("cat disk.img --partition 1 new"), "the partition's");
    assert_eq!(desk.ok("cat --partition=whole disk.img old"), "the whole disk's");
    for command in ["mkdir disk.img d", "rm -r disk.img d", "check disk.img"] {
        desk.ok(&format!("{command} --partition 1"));
    }
}

#[test]
fn what_else_is_on_a_disk_is_named() {
    let desk = Desk::new();
    for (program, name) in [("mkfs.ext2", "ext2, ext3 or ext4"), ("mkswap", "Linux swap")] {
        desk.write("other", vec![0; 4 << 20]);
        let made = said(desk.command(program).arg("other").output().unwrap());
        assert_eq!(made.code, 0, "{made:?}");
        let why = desk.fails(1, "list other");
        assert!(why.contains("not a FAT volume") && why.contains(name), "{why}");
    }
}

#[test]
fn errors_say_what_to_do() {
    let desk = Desk::new();
    desk.ok("create disk.img 4M");
    assert_eq!(
        desk.fails(1, "list no.img"),
        "fat: no.img: there is no such file: make it with `fat create`\n"
    );
    assert!(desk.fails(1, "list .").contains("name an image file"));
    desk.write("odd", "odd");
    assert!(desk.fails(1, "list odd").contains("no whole number of 512-byte sectors"));
    desk.write("none", "");
    assert!(desk.fails(1, "list none").contains("it is empty"));
    desk.write("blank", vec![0; 4096]);
    assert!(desk.fails(1, "add blank odd").contains("the disk is blank"));
    assert!(desk.fails(1, "cat disk.img gone").contains("/gone: no such file"));
    assert!(desk.fails(1, "cat disk.img /").contains("/: is a directory"));
    assert!(desk.fails(1, "list disk.img a/b").contains("/a/b: no such file"));
    assert!(desk.fails(1, "add disk.img gone").contains("gone: "));
    assert!(desk.fails(1, "add disk.img /dev/null").contains("neither a file nor a directory"));
    for usage in [
        "",
        "frobnicate",
        "list",
        "cat disk.img",
        "add disk.img",
        "rm disk.img",
        "mkdir disk.img",
        "list -x",
    ] {
        assert!(desk.fails(2, usage).contains("--help"), "{usage}");
    }
}

#[test]
fn help_and_version() {
    let desk = Desk::new();
    assert!(desk.ok("--help").contains("create"));
    assert!(desk.ok("--version").starts_with("fat (mirage-sshfs) "));
    for command in ["create", "add", "list", "cat", "rm", "mkdir", "check"] {
        let help = desk.ok(&format!("{command} --help"));
        assert!(help.contains(&format!("Usage: fat {command} ")), "{help}");
    }
}

#[test]
fn one_at_a_time() {
    let desk = Desk::new();
    desk.ok("create disk.img 4M");
    let held = fs::File::open(desk.path("disk.img")).unwrap();
    held.lock_shared().unwrap();
    desk.ok("list disk.img");
    assert!(desk.fails(1, "mkdir disk.img a").contains("it is in use by another process"));
    held.unlock().unwrap();
    held.lock().unwrap();
    assert!(desk.fails(1, "list disk.img").contains("it is in use by another process"));
    assert!(desk.fails(1, "create --force disk.img").contains("it is in use by another process"));
    held.unlock().unwrap();
    desk.assert_sound("disk.img");
}

#[test]
fn an_image_that_may_not_be_written_is_read() {
    let desk = Desk::new();
    desk.ok("create disk.img 4M");
    desk.write("file", "x");
    desk.ok("add disk.img file");
    let before = fs::read(desk.path("disk.img")).unwrap();
    fs::set_permissions(desk.path("disk.img"), fs::Permissions::from_mode(0o444)).unwrap();
    assert_eq!(desk.ok("cat disk.img file"), "x");
    // Root may write everything: only others are refused.
    if fs::File::options().write(true).open(desk.path("disk.img")).is_err() {
        assert!(desk.fails(1, "rm disk.img file").contains("may not be written: check its owner"));
    }
    assert!(fs::read(desk.path("disk.img")).unwrap() == before);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let desk = Desk::new();
    desk.ok("create disk.img 16M");
    desk.write("big", vec![b'y'; 8 << 20]);
    desk.ok("add disk.img big");
    let mut cat = desk
        .command(env!("CARGO_BIN_EXE_fat"))
        .args(["cat", "disk.img", "big"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut few = [0; 10];
    cat.stdout.take().unwrap().read_exact(&mut few).unwrap(); // and closes it
    let ended = said(cat.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    desk.assert_sound("disk.img");
}

#[test]
fn names_cannot_write_to_the_terminal() {
    let desk = Desk::new();
    desk.ok("create disk.img 4M");
    desk.write("a\x1b[2Jb", "x");
    let added = desk
        .command(env!("CARGO_BIN_EXE_fat"))
        .args(["add", "disk.img", "a\x1b[2Jb"])
        .output()
        .unwrap();
    assert!(added.status.success(), "{added:?}");
    assert!(!desk.ok("list disk.img").contains('\x1b'));
}

#[test]
fn a_killed_command_harms_nothing_that_was_there() {
    let desk = Desk::new();
    desk.write("before", vec![b'b'; 300_000]);
    for n in 0..400 {
        desk.write(&format!("tree/a long enough name {n}"), vec![b't'; n * 100]);
    }
    for milliseconds in [1, 3, 5, 8, 13, 21, 34] {
        desk.ok("create --force disk.img 64M");
        desk.ok("add disk.img before");
        let mut add = desk
            .command(env!("CARGO_BIN_EXE_fat"))
            .args(["add", "disk.img", "tree"])
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        add.kill().unwrap();
        add.wait().unwrap();
        // What a cut may leave, and nothing else.
        let checked = desk.fat("check disk.img");
        let harmless = ["not unmounted", "in use by no file", "FSInfo says", "disk.img: "];
        for line in checked.out.lines() {
            assert!(harmless.iter().any(|words| line.contains(words)), "{checked:?}");
        }
        assert!(desk.fat("cat disk.img before").out == "b".repeat(300_000));
        let again = desk.fat("add disk.img tree");
        assert_eq!(again.code, 0, "{again:?}");
        assert_eq!(desk.names("list disk.img tree").len(), 400);
    }
}
