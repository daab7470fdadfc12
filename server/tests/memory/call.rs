//! Calls of qrexec: what each service does, what it refuses, and what a call can make the server hold.
use crate::rig::*;
use client::{Client, End, Reply, init, pair, request};
use net::{Closed, Stream};
use qubes::qrexec::{Command, Data, kind};
use server::{Asked, Call, Levels, ToldKeys, Turn};

/// The other side of a call, as qrexec has it.
struct Caller {
    end: End,
    data: Data,
    out: Vec<u8>,
    error: String,
    code: Option<i32>,
    left: Vec<u8>,
}

fn service(name: &str, argument: &str, source: &str) -> Command {
    let (name, argument) = (name.into(), argument.into());
    Command::Service { name, argument, source: source.into() }
}

impl Caller {
    fn new(rig: &mut Rig, command: Command) -> Self {
        let mut caller = Self::silent(rig, command);
        caller.step();
        caller
    }

    /// One that has not said HELLO.
    fn silent(rig: &mut Rig, command: Command) -> Self {
        let (ours, theirs) = pair();
        rig.server.call(Call { command, detached: false, stream: Box::new(theirs) });
        let (out, left, error) = Default::default();
        Self { end: ours, data: Data::new(false), out, error, code: None, left }
    }

    /// Whether the server has its end still, as qrexec-client asks before its HELLO.
    fn is_open(&mut self) -> bool {
        self.end.write(&[]).is_ok()
    }

    fn message(&mut self, kind: u32, body: &[u8]) {
        let header = [kind, body.len() as u32];
        self.left.extend(header.iter().flat_map(|word| word.to_le_bytes()));
        self.left.extend(body);
    }

    fn input(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(60_000) {
            self.message(kind::DATA_STDIN, chunk);
        }
    }

    /// Sends and receives what it can; true when anything moved.
    fn step(&mut self) -> bool {
        let mut moved = false;
        loop {
            let greeting = self.data.output().to_vec();
            let sent = self.end.write(&greeting).unwrap_or(0);
            self.data.sent(sent);
            let more = self.end.write(&self.left).unwrap_or(0);
            self.left.drain(..more);
            let received = self.receive();
            if sent + more == 0 && !received {
                return moved;
            }
            moved = true;
        }
    }

    /// Takes messages as they come: the server never leaves one unfinished.
    fn receive(&mut self) -> bool {
        let Ok(bytes) = self.end.fill().map(<[u8]>::to_vec) else { return false };
        let mut rest = bytes.as_slice();
        while rest.len() >= 8 {
            let word = |n: usize| u32::from_le_bytes(rest[4 * n..4 * n + 4].try_into().unwrap());
            let (kind, length) = (word(0), word(1) as usize);
            let Some(body) = rest.get(8..8 + length) else { break };
            match kind {
                kind::HELLO => assert_eq!(body, [3, 0, 0, 0]),
                kind::DATA_STDOUT => self.out.extend(body),
                kind::DATA_STDERR => self.error.push_str(std::str::from_utf8(body).unwrap()),
                kind::DATA_EXIT_CODE => {
                    self.code = Some(i32::from_le_bytes(body.try_into().unwrap()));
                }
                other => panic!("a message of type {other:#x}"),
            }
            rest = &rest[8 + length..];
        }
        let taken = bytes.len() - rest.len();
        self.end.consume(taken);
        taken > 0
    }

    /// Turns both until nothing moves.
    fn run(&mut self, rig: &mut Rig) {
        while (rig.turn() == Turn::Moved) | self.step() {}
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    fn reply(&mut self, rig: &mut Rig, packet: &[u8]) -> Reply {
        self.input(packet);
        self.run(rig);
        Reply::take(&mut self.out).expect("an answer")
    }
}

/// As a stream, for a client of SSH.
impl Stream for Caller {
    fn fill(&mut self) -> Result<&[u8], Closed> {
        self.step();
        if self.out.is_empty() && self.code.is_some() { Err(Closed) } else { Ok(&self.out) }
    }

    fn consume(&mut self, n: usize) {
        self.out.drain(..n);
    }

    fn write(&mut self, data: &[u8]) -> Result<usize, Closed> {
        self.input(data);
        self.step();
        Ok(data.len())
    }
}

fn rig(files: &[(&str, &str)]) -> Rig {
    Rig::new(files, Vec::new(), LIMITS, &[])
}

/// The error, the exit code and the output of a call without input.
fn refused(command: Command) -> (String, Option<i32>, String) {
    let mut rig = rig(&[]);
    let mut caller = Caller::new(&mut rig, command);
    caller.run(&mut rig);
    rig.stop();
    (caller.error.clone(), caller.code, caller.text().into())
}

#[test]
fn what_is_no_service_is_refused_with_words() {
    for (command, code) in [
        (service("qubes.OpenURL", "", "work"), 127),
        (service("qubes.ConnectTCP", "22", "work"), 126),
        (service("mirage.Sftp", "..", "work"), 126),
        (service("mirage.Sftp", "absent", "work"), 1),
        (service("mirage.Sftp", ".mirage-sshfs", "work"), 1),
        (Command::Malformed, 125),
    ] {
        let (error, exit, out) = refused(command);
        assert!(error.starts_with("mirage-sshfs: ") && error.ends_with('\n'), "{error:?}");
        assert_eq!((exit, out.as_str()), (Some(code), ""));
    }
}

#[test]
fn what_dom0_calls_of_every_qube_is_answered() {
    for name in ["SuspendPre", "SuspendPostAll", "SetDateTime", "WaitForSession", "PostInstall"] {
        let (error, code, _) = refused(service(&format!("qubes.{name}"), "", "dom0"));
        assert_eq!((error.as_str(), code), ("", Some(0)), "{name}");
    }
    // A volume does not grow while it is served, and nobody is told that it did.
    let (error, code, _) = refused(service("qubes.ResizeDisk", "", "dom0"));
    assert!(error.contains("--grow in kernelopts") && code == Some(1), "{error}");
    let (_, code, out) = refused(service("qubes.GetDate", "", "work"));
    assert_eq!((code, out.as_str()), (Some(0), "2023-11-10T07:06:40+00:00\n"));
}

#[test]
fn nothing_is_closed_before_the_caller_said_hello_and_read_the_end() {
    for name in ["qubes.WaitForSession", "qubes.OpenURL", "qubes.VMShell", "qubes.Filecopy"] {
        let mut rig = rig(&[]);
        let mut caller = Caller::silent(&mut rig, service(name, "", "work"));
        while rig.turn() == Turn::Moved {}
        assert!(caller.is_open(), "{name}");
        // It has nothing but HELLO so far.
        assert_eq!(caller.end.fill().unwrap().len(), 12, "{name}");
        let hello = caller.data.output().to_vec();
        caller.end.write(&hello).unwrap();
        caller.data.sent(hello.len());
        caller.message(kind::DATA_STDIN, b"");
        let end = std::mem::take(&mut caller.left);
        caller.end.write(&end).unwrap();
        for _ in 0..100 {
            rig.turn();
        }
        assert!(caller.is_open(), "{name}");
        caller.run(&mut rig);
        assert!(caller.code.is_some(), "{name}");
        assert!(!caller.is_open(), "{name}");
    }
}

#[test]
fn callers_that_say_or_read_nothing_keep_their_place_for_a_time_only() {
    let mut rig = rig(&[]);
    let mut silent = Caller::silent(&mut rig, service("qubes.VMShell", "", "work"));
    let mut deaf = Caller::new(&mut rig, service("qubes.WaitForSession", "", "work"));
    while rig.turn() == Turn::Moved {}
    assert!(matches!(rig.turn(), Turn::Idle(Some(1..=5000))));
    assert!(silent.is_open() && deaf.is_open());
    // One of many callers in a slow dom0 says HELLO late.
    rig.monotonic += 30_000;
    rig.turn();
    assert!(silent.is_open() && !deaf.is_open());
    rig.monotonic += 90_000;
    while rig.turn() == Turn::Moved {}
    assert!(!silent.is_open());
    assert_eq!(rig.turn(), Turn::Idle(None));
}

#[test]
fn a_burst_of_calls_waits_for_places() {
    let mut rig = rig(&[]);
    let mut burst: Vec<_> = (0..60)
        .map(|_| Caller::new(&mut rig, service("qubes.WaitForSession", "", "dom0")))
        .collect();
    while (rig.turn() == Turn::Moved) | burst.iter_mut().any(Caller::step) {}
    let codes: Vec<_> = burst.iter().filter_map(|caller| caller.code).collect();
    assert_eq!(codes, [0; 60]);
}

#[test]
fn who_asks_for_the_end_is_told_that_it_was_heard() {
    let mut rig = rig(&[]);
    let mut caller = Caller::new(&mut rig, Command::Shell("poweroff".into()));
    while rig.turn() == Turn::Moved {}
    assert_eq!(rig.server.asked(), [Asked::PowerOff]);
    let mut endless = Caller::new(&mut rig, service("mirage.Sftp", "", "work"));
    while rig.turn() == Turn::Moved {}
    rig.server.stop();
    rig.turn();
    caller.step();
    endless.step();
    assert_eq!((caller.code, endless.code), (Some(0), Some(1)));
    // Nobody is called any more, and who does not listen is not waited for.
    let mut late = Caller::new(&mut rig, Command::Shell("df".into()));
    assert!(!late.is_open());
    rig.stop();
}

#[test]
fn the_shell_runs_its_commands_and_ends_with_the_last_ones_code() {
    let mut rig = rig(&[("/authorized_keys", &key_line(1, "ann"))]);
    let mut caller = Caller::new(&mut rig, service("qubes.VMShell", "", "dom0"));
    caller.run(&mut rig);
    assert_eq!(caller.code, None);
    caller.input(b"users; df\nfing");
    caller.run(&mut rig);
    assert!(caller.text().starts_with("ann\n8") && caller.text().ends_with(" free\n"));
    caller.input(b"erprint\nlog *:debug; poweroff; nonsense; exit\nstatus\n");
    caller.run(&mut rig);
    assert!(caller.text().contains("\nSHA256:"));
    assert!(caller.text().ends_with("nonsense: no such command; help lists them\n"));
    assert_eq!(caller.code, Some(127));
    let levels = Levels::parse("*:debug").unwrap();
    assert_eq!(rig.server.asked(), [Asked::Levels(levels), Asked::PowerOff]);
    let mut command = Caller::new(&mut rig, Command::Shell("status; sync; log x:loud".into()));
    command.run(&mut rig);
    assert!(
        command.text().contains(" MiB\n0 clients\nRekeyLimit default none, LoginGraceTime 120, "),
        "{}",
        command.text()
    );
    assert_eq!(command.code, Some(1));
    let mut endless = Caller::new(&mut rig, service("qubes.VMShell", "", "work"));
    endless.input(&[b'x'; 5000]);
    endless.run(&mut rig);
    assert_eq!((endless.text(), endless.code), ("the line is too long\n", Some(1)));
    rig.stop();
}

#[test]
fn ssh_over_a_call_is_ssh() {
    let mut rig = rig(&[("/ann.pub", &key_line(1, "ann"))]);
    let mut caller = Caller::new(&mut rig, service("qubes.ConnectTCP", "18022", "work"));
    let mut client = Client::new("ann", &[1; 32]);
    client.send(&init());
    let version = loop {
        let moved = (rig.turn() == Turn::Moved) | client.step(&mut caller).unwrap();
        if let Some(reply) = Reply::take(client.received()) {
            break reply;
        }
        assert!(moved, "an answer");
    };
    assert_eq!((version.kind, version.id), (2, 3));
    rig.server.stop();
    rig.turn();
    rig.turn();
    assert!(caller.is_open(), "its end was not read");
    caller.step();
    assert_eq!(caller.code, Some(0));
}

#[test]
fn raw_sftp_needs_no_keys_and_keeps_to_its_folder() {
    let mut rig = rig(&[("/photos/cat", "miau"), ("/secret", "x")]);
    let mut caller = Caller::new(&mut rig, service("mirage.Sftp", "photos", "work"));
    assert_eq!(caller.reply(&mut rig, &init()).kind, 2);
    let open = |name: &[u8], flags: u32| {
        request(OPEN, 7, &[name], &[flags.to_be_bytes(), [0; 4]].concat())
    };
    assert_eq!(caller.reply(&mut rig, &open(b"/cat", TO_READ)).kind, HANDLE);
    assert_eq!(status(&caller.reply(&mut rig, &open(b"/../secret", TO_READ))), NO_SUCH_FILE);
    assert_eq!(caller.reply(&mut rig, &open(b"/dog", TO_WRITE)).kind, HANDLE);
    let mut reader = Caller::new(&mut rig, service("mirage.SftpReadOnly", "", "work"));
    assert_eq!(reader.reply(&mut rig, &init()).kind, 2);
    assert_eq!(reader.reply(&mut rig, &open(b"/photos/dog", TO_READ)).kind, HANDLE);
    assert_eq!(status(&reader.reply(&mut rig, &open(b"/x", TO_WRITE))), PERMISSION_DENIED);
    // The end of the input ends it.
    caller.message(kind::DATA_STDIN, b"");
    caller.run(&mut rig);
    assert_eq!(caller.code, Some(0));
    // What is no SFTP ends the call, and no other.
    let mut bad = Caller::new(&mut rig, service("mirage.Sftp", "", "other"));
    bad.input(&[0xff; 100]);
    bad.run(&mut rig);
    assert_eq!(bad.code, Some(1));
    assert_eq!(reader.reply(&mut rig, &open(b"/photos/cat", TO_READ)).kind, HANDLE);
    rig.stop();
}

fn status(reply: &Reply) -> u32 {
    assert_eq!(reply.kind, STATUS, "{reply:?}");
    u32::from_be_bytes(*reply.body.first_chunk().unwrap())
}

pub fn file_header(name: &str, mode: u32, length: u64) -> Vec<u8> {
    let mut bytes = Vec::from((name.len() as u32 + 1).to_le_bytes());
    bytes.extend(mode.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend([TIME as u32, 0, TIME as u32 - 100, 0].iter().flat_map(|n| n.to_le_bytes()));
    bytes.extend(name.as_bytes());
    bytes.push(0);
    bytes
}

fn folder_header(name: &str, modified: u32) -> Vec<u8> {
    let mut bytes = file_header(name, DIRECTORY, 0);
    bytes[24..28].copy_from_slice(&modified.to_le_bytes());
    bytes
}

pub const FILE: u32 = 0o100_644;
pub const DIRECTORY: u32 = 0o040_755;
const END: [u8; 32] = [0; 32];

/// The errno of a copy's result, its checksum and its last name, with the exit code.
fn copy(rig: &mut Rig, bytes: &[u8]) -> (u32, u64, String, Option<i32>) {
    let mut caller = Caller::new(rig, service("qubes.Filecopy", "", "work"));
    caller.input(bytes);
    caller.run(rig);
    // Who is told of an error is told at once, before its input ends.
    assert!(caller.code.is_some() && !caller.is_open());
    assert_eq!(caller.code == Some(0), caller.error.is_empty(), "{}", caller.error);
    let word = |at: usize| u32::from_le_bytes(caller.out[at..at + 4].try_into().unwrap());
    let crc = u64::from_le_bytes(caller.out[8..16].try_into().unwrap());
    let name = String::from_utf8(caller.out[20..].to_vec()).unwrap();
    assert_eq!(word(16) as usize, name.len());
    (word(0), crc, name, caller.code)
}

#[test]
fn copies_arrive_whole_or_not_at_all() {
    let mut rig = rig(&[]);
    let content: Vec<u8> = (0..300_000u32).map(|n| (n >> 3) as u8).collect();
    let tree = [
        file_header("d", DIRECTORY, 0),
        file_header("d/big", FILE, content.len() as u64),
        content.clone(),
        file_header("d/empty: file", FILE, 0),
        // Its times are those of now, after its files.
        folder_header("d", TIME as u32 - 5000),
        END.to_vec(),
    ]
    .concat();
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&tree);
    assert_eq!(copy(&mut rig, &tree), (0, crc.into(), "d".into(), Some(0)));
    for (bytes, errno, last) in [
        (file_header("d/big", FILE, 9), 17, "d/big"),
        (file_header("d", FILE, 9), 17, "d"),
        (file_header("d/big", DIRECTORY, 0), 17, "d/big"),
        (file_header("../x", FILE, 9), 84, ""),
        (file_header("none/x", FILE, 9), 2, "none/x"),
        (file_header("huge", FILE, 1 << 32), 27, "huge"),
        (file_header("large", FILE, 50 << 20), 28, "large"),
        (file_header("link", 0o120_777, 3), 1, "link"),
    ] {
        let (got, _, name, code) = copy(&mut rig, &[bytes, vec![7; 300_000]].concat());
        assert_eq!((got, name.as_str(), code), (errno, last, Some(1)));
    }
    // A sender that goes away leaves nothing of a file.
    let mut caller = Caller::new(&mut rig, service("qubes.Filecopy", "", "work"));
    caller.input(&[file_header("cut", FILE, 100_000), vec![1; 70_000]].concat());
    caller.run(&mut rig);
    drop(caller);
    assert!((0..100).any(|_| rig.turn() != Turn::Moved));
    let mut early = Caller::new(&mut rig, service("qubes.Filecopy", "", "work"));
    early.input(&file_header("cut", FILE, 100_000));
    early.message(kind::DATA_STDIN, b"");
    early.run(&mut rig);
    assert_eq!((early.out[0], early.code), (121, Some(1)));
    let volume = rig.stop();
    let entries = wait(async {
        let dir = volume.open_dir("/QubesIncoming/work").await.unwrap();
        volume.read_dir(&dir, 100).await.unwrap()
    });
    let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["d"]);
    let folder = wait(volume.metadata("/QubesIncoming/work/d")).unwrap();
    assert_eq!(folder.modified, TIME - 5000);
    let how = fat::OpenOptions { read: true, ..fat::OpenOptions::default() };
    let file = wait(volume.open("/QubesIncoming/work/d/big", &how)).unwrap();
    let mut read = vec![0; content.len()];
    assert_eq!(wait(volume.read(&file, 0, &mut read)), Ok(content.len()));
    assert!(read == content);
    assert_eq!(volume.file_metadata(&file).modified, TIME - 100);
}

#[test]
fn who_copies_a_link_learns_what_to_type() {
    for mut rig in [rig(&[]), Rig::exfat(false, &[])] {
        let mut caller = Caller::new(&mut rig, service("qubes.Filecopy", "", "work"));
        caller.input(&link("tree/link", "abc"));
        caller.run(&mut rig);
        let said = "mirage-sshfs: tree/link: the volume keeps no symbolic links; \
                    `qvm-copy --ignore-symlinks` copies the rest\n";
        assert_eq!((caller.error.as_str(), caller.code), (said, Some(1)));
    }
}

#[test]
fn a_large_file_that_is_refused_need_not_come() {
    // exFAT has files so large, and this volume no room for one.
    for (mut rig, errno) in [(rig(&[]), 27), (Rig::exfat(false, &[]), 28)] {
        let mut caller = Caller::new(&mut rig, service("qubes.Filecopy", "", "work"));
        caller.input(&file_header("huge", FILE, 5 << 30));
        caller.run(&mut rig);
        assert_eq!((caller.out[0], caller.code), (errno, Some(1)));
        assert!(!caller.is_open());
    }
}

const LINK: u32 = 0o120_777;

fn link(path: &str, target: &str) -> Vec<u8> {
    [&file_header(path, LINK, target.len() as u64), target.as_bytes()].concat()
}

#[test]
fn copies_keep_modes_and_links_where_the_volume_does() {
    let mut rig = Rig::exfat(true, &["--uid", "7", "--gid", "8", "--umask", "027"]);
    let file = |name, mode: u32| [file_header(name, 0o100_000 | mode, 1), b"x".to_vec()].concat();
    let tree = [
        file_header("d", DIRECTORY, 0),
        file("d/script", 0o4755),
        file("d/secret", 0o400),
        file("d/plain", 0o640),
        link("d/up", "./script"),
        file_header("d", DIRECTORY, 0),
    ]
    .concat();
    assert_eq!(copy(&mut rig, &[tree, END.to_vec()].concat()).0, 0);
    for (bytes, errno, last) in [
        (link("d/up", "x"), 17, "d/up"),
        (link("d/script", "x"), 17, "d/script"),
        (link("d/out", "../x"), 67, "d/out"),
        (link("d/root", "/authorized_keys"), 67, "d/root"),
        (link("alone", "d/script"), 67, "alone"),
        (link("none/x", "y"), 2, "none/x"),
        // No path leads through a link, and no folder is what one leads to.
        ([link("d/to", "."), file("d/to/new", 0o644)].concat(), 20, "d/to/new"),
        (file_header("d/to", DIRECTORY, 0), 17, "d/to"),
        (file("d/to", 0o644), 17, "d/to"),
    ] {
        let (got, _, name, code) = copy(&mut rig, &bytes);
        assert_eq!((got, name.as_str(), code), (errno, last, Some(1)));
    }
    let volume = rig.stop();
    let found = |name| wait(volume.metadata(&format!("/QubesIncoming/work/d/{name}"))).unwrap();
    let posix = |name| found(name).posix.map(|p| (p.permissions(), p.uid, p.gid));
    assert_eq!(posix("script"), Some((0o4755, 7, 8)));
    assert_eq!(posix("secret"), Some((0o400, 7, 8)));
    assert_eq!((posix("plain"), found("plain").read_only), (None, false));
    assert_eq!(found("script").modified, TIME - 100);
    let link = |name| wait(volume.read_link(&format!("/QubesIncoming/work/d/{name}"))).unwrap();
    assert_eq!((link("up").target.as_str(), link("to").target.as_str()), ("./script", "."));
    let names = wait(async {
        let dir = volume.open_dir("/QubesIncoming/work").await.unwrap();
        volume.read_dir(&dir, 100).await.unwrap().len()
    });
    assert_eq!(names, 1);
}

#[test]
fn a_copy_that_runs_when_the_server_stops_leaves_nothing() {
    let mut rig = rig(&[]);
    let mut caller = Caller::new(&mut rig, service("qubes.Filecopy", "", "work"));
    caller.input(&[file_header("cut", FILE, 100_000), vec![1; 70_000]].concat());
    caller.run(&mut rig);
    assert_eq!(caller.code, None);
    let volume = rig.stop();
    let left = wait(volume.metadata("/QubesIncoming/work/cut"));
    assert_eq!(left.map(|found| found.len), Err(fat::Error::NotFound));
}

#[test]
fn keys_that_the_machine_is_told_of_come_and_go_and_hide_those_of_the_volume() {
    let ends: Vec<_> = (0..4).map(|_| pair()).collect();
    let (servers, clients): (Vec<_>, Vec<_>) = ends.into_iter().unzip();
    let mut rig = Rig::new(&[("/ann.pub", &key_line(1, "ann"))], servers, LIMITS, &[]);
    let mut clients = clients.into_iter().rev();
    let mut log_in = |rig: &mut Rig, seed| rig.log_in("ann", seed, clients.next().unwrap()).is_ok();
    assert!(log_in(&mut rig, 1));
    let told = ToldKeys::from([("ann".into(), key_line(2, "any comment"))]);
    rig.server.set_told_keys(told);
    assert!(log_in(&mut rig, 2));
    assert!(!log_in(&mut rig, 1));
    rig.server.set_told_keys(ToldKeys::new());
    assert!(log_in(&mut rig, 1));
}

/// dom0's policy compares arguments as they are written, where the volume ignores case.
#[test]
fn the_folder_of_a_call_is_the_one_that_is_written_so() {
    let files = [("/Photos/a", "x"), ("/long name of a folder/b", "x"), ("/file", "x")];
    let code = |argument| {
        let mut rig = rig(&files);
        let mut caller = Caller::new(&mut rig, service("mirage.Sftp", argument, "work"));
        caller.run(&mut rig);
        caller.code
    };
    assert_eq!(code("Photos"), None);
    for other in ["photos", "PHOTOS", "PhotoS", "LONGNA~1", "file", "Photos.", "Photos ", "absent"]
    {
        assert_eq!(code(other), Some(1), "{other}");
    }
}

#[test]
fn calls_are_bounded_for_one_qube_and_for_all() {
    let mut rig = rig(&[]);
    let mut calls = Vec::new();
    for n in 0..17 {
        let source = format!("qube{}", n / 8);
        let mut caller = Caller::new(&mut rig, service("qubes.VMShell", "", &source));
        caller.run(&mut rig);
        calls.push(caller);
    }
    // The one that has no place waits for it, but not for ever.
    assert!(calls.iter().all(|call| call.code.is_none()));
    rig.monotonic += 10_000;
    calls[16].run(&mut rig);
    assert!(calls[..16].iter().all(|call| call.code.is_none()));
    assert_eq!(
        (calls[16].error.as_str(), calls[16].code),
        ("mirage-sshfs: too many calls\n", Some(125))
    );
    calls.truncate(9);
    assert!((0..100).any(|_| rig.turn() != Turn::Moved));
    let mut more = Caller::new(&mut rig, service("qubes.VMShell", "", "qube0"));
    more.input(b"exit 6\n");
    more.run(&mut rig);
    assert_eq!(more.code, None);
    let mut other = Caller::new(&mut rig, service("qubes.VMShell", "", "qube1"));
    other.input(b"exit 5\n");
    other.run(&mut rig);
    assert_eq!(other.code, Some(5));
    calls.remove(0);
    more.run(&mut rig);
    assert_eq!(more.code, Some(6));
    // SFTP takes a client's place.
    let sftp: Vec<_> = (0..5)
        .map(|n| {
            let mut caller = Caller::new(&mut rig, service("mirage.Sftp", "", &format!("sftp{n}")));
            caller.run(&mut rig);
            caller
        })
        .collect();
    let codes: Vec<_> = sftp.iter().map(|caller| caller.code).collect();
    assert_eq!(codes, [None, None, None, None, Some(125)]);
}

#[test]
fn a_call_that_talks_nonsense_ends_and_no_other() {
    let mut rig = rig(&[]);
    let mut good = Caller::new(&mut rig, service("qubes.VMShell", "", "work"));
    let mut bad = Caller::new(&mut rig, service("qubes.VMShell", "", "evil"));
    bad.message(0x777, b"");
    bad.run(&mut rig);
    assert_eq!(bad.end.fill(), Err(Closed));
    good.input(b"df\n");
    good.run(&mut rig);
    assert!(good.text().ends_with(" free\n"));
    rig.stop();
}
