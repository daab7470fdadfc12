//! The server as a Unix process: one image file, one TCP port, one thread.
#![forbid(unsafe_code)]

use log::{error, info};
use server::{Limits, Now, Options, Random, Ready, Server, Turn};
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use unix::{Image, Progress, Sockets, block_on, keygen, logger};
use zeroize::Zeroize;

const HELP: &str = "\
Serves the FAT volume in an image file over SSH/SFTP.

Usage: mirage-sshfs [OPTION]...
       mirage-sshfs keygen FILE    make an ed25519 key pair, FILE and FILE.pub

      --disk FILE          the image [disk.img]; `fat create disk.img` makes one
      --partition N        serve partition N of the disk; `whole` serves the disk as a whole.
                           [the volume that is found; where that is in doubt, read-only]
      --port N             the TCP port; 0 takes a free one [18022]
      --listen ADDR        the address to listen on, as ::1; :: is all of IPv4 and IPv6 [0.0.0.0]
      --user NAME          the user of --key, named in messages [mirage]
      --key 'ssh-ed25519 AAAA...'
                           a public key for that user, besides those on the volume:
                           NAME.pub and authorized_keys in its root
      --seed TEXT          derive the host key from TEXT instead of keeping one on the volume
      --read-only          change nothing on the volume
      --uid N, --gid N     the owner that every file shows [1000]
      --umask OCTAL        permission bits that no file and no directory shows [022]
      --fmask OCTAL, --dmask OCTAL
                           in its place for files, for directories
      --time-offset MINUTES
                           how far the volume's time stamps are ahead of UTC, as 120 [0]
      --rekey-limit 'SIZE [TIME]'
                           new keys after so many bytes or so long, as in '1G 1h'
      --strict-algorithms  only post-quantum key exchange, no encrypt-and-MAC
      --nist-algorithms    also ecdh-sha2-nistp256 and an ecdsa-sha2-nistp256 host key
      --login-grace-time N seconds until a client must have logged in [120]
      --max-auth-tries N   failed attempts that end a connection [10]
      --max-startups N, --max-startups START:RATE:FULL
                           clients that have not logged in before one of them goes [128]
      --max-sessions N     SFTP channels of one connection [10]
      --per-source-max-startups N
                           clients of one source that have not logged in [none]
      --per-source-net-block-size N:N
                           bits of IPv4 and IPv6 addresses that make a source [32:128]
      --per-source-penalties 'WORDS'
                           seconds that a source waits after failures, or no
                           [authfail:5 noauth:1 grace-exceeded:10 max:600 min:15]
      --client-alive-interval TIME
                           how long a client may be silent before it is asked whether it is
                           there, and asked again; 0 is for ever [180]
      --client-alive-count-max N
                           unanswered questions that end a connection; 0 is no number [3]
      --reserve SIZE|N%    the last part of the volume, that only keys without restrictions may fill [0]
      --format-if-blank[=exfat|fat]
                           format the image if it holds nothing but zeros [exfat, which keeps
                           modes, owners and links then]
      --grow               grow the volume if its disk or partition has become larger
  -l, --logs LEVELS        what to log: quiet, error, warning, info, debug, trace, or for one
                           source as in 'sftp:debug,*:info' [info]; also from MIRAGE_LOGS
      --help               this text
      --version            the version
";

/// A Unix process has more room than a guest of 32 MiB.
const LIMITS: Limits =
    Limits { connections: 128, operations: 256, operation_bytes: 32 << 20, handle_bytes: 32 << 20 };

fn main() -> ExitCode {
    let mut given: Vec<String> =
        match std::env::args_os().skip(1).map(|w| w.into_string()).collect() {
            Ok(words) => words,
            Err(word) => return usage(&format!("{word:?} is not UTF-8")),
        };
    let words: Vec<&str> = given.iter().map(String::as_str).collect();
    if words.contains(&"--help") || words.contains(&"-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    if words.contains(&"--version") {
        println!("mirage-sshfs {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    if let ["keygen", rest @ ..] = words.as_slice() {
        return match rest {
            [file] => done(make_key(Path::new(file))),
            _ => usage("keygen takes one file name"),
        };
    }
    let env = std::env::var("MIRAGE_LOGS").ok();
    let from_env = env.iter().flat_map(|levels| ["--logs", levels]);
    let (options, problems) = Options::parse(from_env.chain(words));
    // What others can see of a command line is the system's.
    given.zeroize();
    if !problems.is_empty() {
        return usage(&problems.join("; "));
    }
    let v4 = options.ipv4.is_some() || options.ipv4_gateway.is_some();
    if v4 || options.ipv6.is_some() || options.ipv6_gateway.is_some() {
        let name = if v4 { "--ipv4" } else { "--ipv6" };
        return usage(&format!("{name} and {name}-gateway are for guests; use --listen"));
    }
    if options.mtu.is_some() {
        return usage("--mtu is for guests; here the system has it");
    }
    if options.watchdog.is_some() {
        return usage("--watchdog is for guests");
    }
    logger::start(options.levels.clone());
    done(serve(options))
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("mirage-sshfs: {problem}; see mirage-sshfs --help");
    ExitCode::from(2)
}

fn done(result: Result<(), Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("mirage-sshfs: {e}");
            ExitCode::FAILURE
        }
    }
}

fn make_key(path: &Path) -> Result<(), Box<dyn Error>> {
    let comment = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let check = u32::from_ne_bytes(random()?);
    Ok(keygen::keygen(path, random()?, check, &comment)?)
}

fn serve(options: Options) -> Result<(), Box<dyn Error>> {
    // Before anything is touched: a port in use or a bad address is a mistake of the command line.
    let sockets = listen(&options)?;
    let address = sockets.address()?;

    let disk = options.disk.clone().unwrap_or_else(|| "disk.img".into());
    let image = Image::open(&disk, options.read_only).map_err(|e| format!("{disk}: {e}"))?;
    let mut bytes = Random { volume_id: random()?, state: random()?, ..Random::default() };
    for secret in [&mut bytes.host_key, &mut bytes.ecdsa_key] {
        getrandom::fill(&mut **secret)?;
    }
    let mut progress = Progress::new("formatting");
    let mut show = |done, all| progress.show(done, all);
    let told = server::ToldKeys::new();
    let memory = server::MountOptions::default();
    let ready = server::prepare(image, &options, &memory, &told, &bytes, unix_time(), &mut show);
    let Ready { volume, host_key, users } = block_on(ready).map_err(|e| format!("{disk}: {e}"))?;

    let (mut wake, signal) = UnixStream::pair()?;
    wake.set_nonblocking(true)?;
    for number in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::low_level::pipe::register(number, signal.try_clone()?)?;
    }
    let user = users.iter().find(|u| **u == options.user).or(users.first());
    let user = user.unwrap_or(&options.user).clone();
    info!("listening on {address}");
    say_how_to_mount(&user, address);

    let mut server = Server::new(sockets, volume, host_key, options, LIMITS);
    run(&mut server, &mut wake)
}

fn listen(options: &Options) -> Result<Sockets, Box<dyn Error>> {
    let address = match &options.listen {
        Some(text) => {
            let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
            let bare = bare.filter(|bare| bare.contains(':')).unwrap_or(text);
            bare.parse().map_err(|_| format!("--listen {text}: not an IP address"))?
        }
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    let address = SocketAddr::new(address, options.port);
    Ok(Sockets::listen(address).map_err(|e| {
        format!("cannot listen on {address}: {e}; is another server running? Try --port")
    })?)
}

/// Prints the command that mounts this server, with the key file when it lies here.
fn say_how_to_mount(user: &str, address: SocketAddr) {
    let key = std::env::current_dir().unwrap_or_default().join(user);
    let option = key.to_str().filter(|_| key.is_file()).and_then(identity_option);
    let option =
        option.unwrap_or_else(|| format!("IdentityFile=/path/to/the/private/key/of/{user}"));
    let host = match address.ip() {
        ip if ip.is_unspecified() => "127.0.0.1".into(),
        IpAddr::V6(ip) => format!("[{ip}]"),
        ip => ip.to_string(),
    };
    let port = address.port();
    // With idmap=user the files belong to whoever mounts them.
    info!(
        "mount it with: mkdir -p mnt && sshfs -p {port} -o idmap=user -o {option} \
         {user}@{host}:/ mnt"
    );
}

/// The loop: turns until nothing moves, then waits for the network, a signal or a deadline.
fn run(server: &mut Server<Sockets, Image>, wake: &mut UnixStream) -> Result<(), Box<dyn Error>> {
    /// While turn follows turn without a wait, every so many of them look for signals.
    const LOOK_EVERY: u32 = 16;
    let start = Instant::now();
    let mut turns = 0u32;
    loop {
        if turns.is_multiple_of(LOOK_EVERY)
            && std::io::Read::read(wake, &mut [0; 16]).is_ok_and(|n| n > 0)
        {
            info!("stopping");
            server.stop();
        }
        turns = turns.wrapping_add(1);
        let monotonic = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        match server.turn(Now { monotonic, unix: unix_time() }) {
            Turn::Moved => (),
            Turn::Idle(wait) => {
                let wait = wait.map(|ms| Duration::from_millis(ms.max(1)));
                if let Err(e) = server.listener().wait(wake, wait) {
                    error!("cannot wait for the network: {e}");
                    return Err(e.into());
                }
                turns = 0;
            }
            Turn::Stopped => return Ok(()),
        }
    }
}

fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn random<const N: usize>() -> Result<[u8; N], Box<dyn Error>> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| format!("no randomness from the system: {e}"))?;
    Ok(bytes)
}

/// The option that names a key file, as a shell must be told it. ssh takes what is between double quotes as
/// one word; the characters that the shell, sshfs or ssh would read another way still are not said.
fn identity_option(path: &str) -> Option<String> {
    let plain = |c: char| c.is_alphanumeric() || "/._-+@:".contains(c);
    if path.chars().all(plain) {
        Some(format!("IdentityFile={path}"))
    } else if path.chars().any(|c| c.is_control() || "\"'\\,%$".contains(c)) {
        None
    } else {
        Some(format!("'IdentityFile=\"{path}\"'"))
    }
}
