//! What clients can make the real process write into its log: every message of SSH, before and after the login.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
use client::{Client, init};
use net::{Closed, Stream};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A line of the log, and what one client writes in a minute.
const LINE: usize = 200;
const LINES: usize = 20;

/// How often each message is sent.
const OFTEN: usize = 30;

/// Connections of one process: the gate counts so many sources apart, each with its places.
const CLIENTS: u8 = 25;

const SEED: [u8; 32] = [1; 32];

struct Server {
    child: Child,
    folder: PathBuf,
    port: u16,
    clients: u8,
    seen: usize,
}

impl Server {
    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("log-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let image = folder.join("disk.img");
        if !image.exists() {
            let create = Command::new(env!("CARGO_BIN_EXE_fat"))
                .arg("create")
                .arg(&image)
                .arg("4M")
                .output();
            assert!(create.unwrap().status.success());
        }
        let pair = ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new(SEED));
        let blob = server::ed25519_blob(&pair.pk);
        let key = <base64ct::Base64 as base64ct::Encoding>::encode_string(&blob);
        let child = Command::new(env!("CARGO_BIN_EXE_mirage-sshfs"))
            .args(["--port", "0", "--listen", "127.0.0.1", "--seed", "log", "--read-only"])
            .args(["--key", &format!("ssh-ed25519 {key}"), "--disk"])
            .arg(&image)
            .stdin(Stdio::null())
            .stderr(File::create(folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut server = Self { child, folder, port: 0, clients: 0, seen: 0 };
        let line = server.wait_for("listening on 127.0.0.1:", 1);
        server.port = line[0].rsplit(':').next().unwrap().trim().parse().unwrap();
        server.wait_for("mount it with", 1);
        server.lines();
        server
    }

    fn log(&self) -> String {
        String::from_utf8(fs::read(self.folder.join("log")).unwrap()).expect("the log is UTF-8")
    }

    /// The lines that have these words, when there are so many.
    fn wait_for(&mut self, words: &str, count: usize) -> Vec<String> {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let log = self.log();
            let found = log.lines().filter(|line| line.contains(words)).map(String::from);
            let found: Vec<_> = found.collect();
            if found.len() >= count && log.ends_with('\n') {
                return found;
            }
            assert!(Instant::now() < end, "no {words:?}: {log}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The lines since the last time.
    fn lines(&mut self) -> Vec<String> {
        let log = self.log();
        let new = log[self.seen..].lines().map(String::from).collect();
        self.seen = log.len();
        new
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

struct Tcp(TcpStream, Vec<u8>);

impl Tcp {
    /// From an address of its own.
    fn connect(server: &mut Server) -> (Self, String) {
        server.clients += 1;
        let from = Ipv4Addr::new(127, 9, 0, server.clients);
        let fd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&fd, &SocketAddrV4::new(from, 0)).unwrap();
        connect(&fd, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, server.port)).unwrap();
        let stream = TcpStream::from(fd);
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
        let name = stream.local_addr().unwrap().to_string();
        (Self(stream, Vec::new()), name)
    }
}

impl Stream for Tcp {
    fn fill(&mut self) -> Result<&[u8], Closed> {
        if self.1.is_empty() {
            let mut bytes = [0; 4096];
            match self.0.read(&mut bytes) {
                Ok(0) => return Err(Closed),
                Ok(n) => self.1.extend_from_slice(&bytes[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => (),
                Err(_) => return Err(Closed),
            }
        }
        Ok(&self.1)
    }

    fn consume(&mut self, n: usize) {
        self.1.drain(..n);
    }

    fn write(&mut self, data: &[u8]) -> Result<usize, Closed> {
        match self.0.write(data) {
            Ok(n) => Ok(n),
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(_) => Err(Closed),
        }
    }
}

fn string(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u32).to_be_bytes(), text].concat()
}

/// What would forge lines and move the cursor, and is no text in part.
fn text(length: usize) -> Vec<u8> {
    let some = "x\n[     0.000] info  server: forged\r\u{1b}[2J\u{9b}1m\u{7f}\u{202e}".as_bytes();
    [some, b"\xff\xc3"].concat().into_iter().cycle().take(length).collect()
}

/// What a client sends, and its name.
type Said = (String, Vec<Vec<u8>>);

fn named(kind: &str, what: &[u8], messages: Vec<Vec<u8>>) -> Said {
    (format!("{kind} {}", String::from_utf8_lossy(&what[..what.len().min(40)])), messages)
}

/// Every message number; of those that have kinds, all that RFC 4252, RFC 4254 and OpenSSH's PROTOCOL know, and
/// some more.
fn messages() -> Vec<Said> {
    let (ascii, long) =
        (text(3000).into_iter().filter(u8::is_ascii).collect::<Vec<_>>(), text(3000));
    let all = |number: u8| {
        named(
            "number",
            number.to_string().as_bytes(),
            vec![[vec![number], string(&long), vec![0; 20]].concat()],
        )
    };
    let mut messages: Vec<_> = (0..=255).map(all).collect();
    for text in [&ascii, &long] {
        let (text, two) = (string(text), [string(text), string(text)].concat());
        for (kind, rest) in [
            (&b"tcpip-forward"[..], [&text[..], &[0; 4]].concat()),
            (b"cancel-tcpip-forward", [&text[..], &[0; 4]].concat()),
            (b"streamlocal-forward@openssh.com", text.clone()),
            (b"hostkeys-prove-00@openssh.com", text.clone()),
            (b"no-more-sessions@openssh.com", vec![]),
            (b"keepalive@openssh.com", vec![]),
            (&ascii, vec![]),
            (&long, text.clone()),
        ] {
            messages.push(named(
                "global request",
                kind,
                vec![[vec![80], string(kind), vec![1], rest].concat()],
            ));
        }
        let numbers = [[0, 0, 0, 9], [0, 1, 0, 0], [0, 0, 128, 0]].concat();
        let port = [0, 0, 0, 9];
        for (kind, rest) in [
            (&b"session"[..], vec![]),
            (b"x11", [&text[..], &port].concat()),
            (b"forwarded-tcpip", [&text[..], &port, &text, &port].concat()),
            (b"direct-tcpip", [&text[..], &port, &text, &port].concat()),
            (b"direct-streamlocal@openssh.com", [&two[..], &port].concat()),
            (b"auth-agent@openssh.com", vec![]),
            (b"tun@openssh.com", [port, port].concat()),
            (&ascii, vec![]),
            (&long, text.clone()),
        ] {
            messages.push(named(
                "channel",
                kind,
                vec![[vec![90], string(kind), numbers.clone(), rest].concat()],
            ));
        }
        let open = [vec![90], string(b"session"), numbers.clone()].concat();
        for (kind, rest) in [
            (&b"pty-req"[..], [&text[..], &[0; 16], &text].concat()),
            (b"x11-req", [&[0], &two[..], &port].concat()),
            (b"env", two.clone()),
            (b"shell", vec![]),
            (b"exec", text.clone()),
            (b"subsystem", text.clone()),
            (b"window-change", vec![0; 16]),
            (b"xon-xoff", vec![0]),
            (b"signal", text.clone()),
            (b"exit-status", vec![0; 4]),
            (b"exit-signal", [&text[..], &[0], &two].concat()),
            (b"auth-agent-req@openssh.com", vec![]),
            (b"eow@openssh.com", vec![]),
            (&ascii, vec![]),
            (&long, text.clone()),
        ] {
            // On a channel of its own, beside that of SFTP.
            let request = [vec![98, 0, 0, 0, 1], string(kind), vec![1], rest].concat();
            messages.push(named(
                "channel request",
                kind,
                vec![open.clone(), request, vec![97, 0, 0, 0, 1]],
            ));
        }
        for service in [&b"ssh-userauth"[..], b"ssh-connection", &ascii, &long] {
            messages.push(named("service", service, vec![[vec![5], string(service)].concat()]));
        }
        let (yes, no, key) = ([1], [0], [string(b"ssh-ed25519"), string(&ascii)].concat());
        for (method, rest) in [
            (&b"none"[..], vec![]),
            (b"password", [&no[..], &text].concat()),
            (b"password", [&yes[..], &two].concat()),
            (b"publickey", [&no[..], &key].concat()),
            (b"publickey", [&yes[..], &key, &text].concat()),
            (b"publickey", [&no[..], &two].concat()),
            (b"keyboard-interactive", two.clone()),
            (b"hostbased", [two.clone(), two.clone(), text.clone()].concat()),
            (&ascii, vec![]),
            (&long, text.clone()),
        ] {
            for user in [&b"nobody"[..], b"mirage", &ascii, &long] {
                let message = [
                    vec![50],
                    string(user),
                    string(b"ssh-connection"),
                    string(method),
                    rest.clone(),
                ];
                messages.push(named("login by", method, vec![message.concat()]));
            }
        }
    }
    messages
}

/// Sends messages so often on a connection of its own; what the log says of it all.
fn said_of(
    server: &mut Server,
    logged_in: bool,
    messages: &[Vec<u8>],
    often: usize,
) -> Vec<String> {
    if server.clients == CLIENTS {
        *server = Server::start();
    }
    let (mut tcp, name) = Tcp::connect(server);
    // Who is nobody stays before the login.
    let mut client = Client::new(if logged_in { "mirage" } else { "nobody" }, &SEED);
    client.send(&init());
    let end = Instant::now() + Duration::from_secs(20);
    while client.received().is_empty() {
        assert!(Instant::now() < end, "no login");
        match client.step(&mut tcp) {
            Ok(_) => std::thread::yield_now(),
            Err(client::Failed::Refused) if !logged_in => break,
            Err(e) => panic!("{e:?}"),
        }
    }
    for message in (0..often).flat_map(|_| messages) {
        let mut goes = true;
        while goes && !client.send_message(message).unwrap_or(true) {
            goes = client.flush(&mut tcp).is_ok();
        }
        if client.flush(&mut tcp).is_err() {
            break;
        }
        // What is answered is not looked at.
        while let Ok(more @ [_, ..]) = tcp.fill() {
            let n = more.len();
            tcp.consume(n);
        }
    }
    let _ = tcp.0.shutdown(std::net::Shutdown::Write);
    drop(client);
    while let Ok(more) = tcp.fill() {
        let n = more.len();
        tcp.consume(n);
        std::thread::yield_now();
    }
    // Its end is told when all that it sent was looked at.
    server.wait_for(&format!("from {name}: "), if logged_in { 1 } else { 2 });
    let lines = server.lines();
    for line in &lines {
        assert!(line.len() < LINE, "{} bytes: {line}", line.len());
        assert!(
            !line.chars().any(|c| c.is_control() || ('\u{80}'..='\u{9f}').contains(&c)),
            "{line:?}"
        );
        assert!(
            line.starts_with("[ ") && !line.starts_with("[     0.000] info  server: forged"),
            "{line}"
        );
    }
    lines
}

#[test]
fn no_message_writes_more_than_a_line_and_no_client_more_than_twenty() {
    let mut server = Server::start();
    let mut most = 0;
    for logged_in in [false, true] {
        let quiet = said_of(&mut server, logged_in, &[], 1);
        for (name, messages) in messages() {
            // A login or the lack of a key, and the end, are not the message's doing.
            let once = said_of(&mut server, logged_in, &messages, 1);
            assert!(once.len() <= quiet.len() + 1, "{name}: {once:#?} and not {quiet:#?}");
            let often = said_of(&mut server, logged_in, &messages, OFTEN);
            assert!(often.len() <= LINES, "{name}: {} lines {often:#?}", often.len());
            most = most.max(often.len());
        }
    }
    assert!(most > 8, "nothing that was sent is logged each time");
    let folder = server.folder.clone();
    drop(server);
    fs::remove_dir_all(folder).unwrap();
}
