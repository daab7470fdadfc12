//! The shell of `qvm-run`: a few commands, one a line or with `;` between them.
use super::host::{Asked, Host};
use super::line::{SharedLine, read, write};
use crate::levels::Levels;
use crate::login::users;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use fat::BlockDevice;
use qubes::qrexec::exit;
use sftp::give_way;

/// The longest line.
const LONGEST: usize = 4096;

const HELP: &str = "\
status       the volume, and who is connected
users        who can log in
df           how much room there is
sync         put what was written on the disk
fingerprint  the host key's
log LEVELS   what is logged, as -l says it: debug, *:debug, sftp:debug,*:info
poweroff     end the qube
";

/// Runs the commands of `text`, or of the input up to its end or `exit`: the last one's exit code.
pub async fn run<D: BlockDevice>(line: &SharedLine, text: Option<String>, host: &Host<D>) -> i32 {
    let mut code = exit::OK;
    if let Some(text) = text {
        run_line(line, &text, host, &mut code).await;
        return code;
    }
    let mut waiting = Vec::new();
    while let Some(piece) = read(line).await {
        waiting.extend(piece);
        while let Some(end) = waiting.iter().position(|&b| b == b'\n') {
            let rest = waiting.split_off(end.saturating_add(1));
            let text = String::from_utf8_lossy(&waiting).into_owned();
            waiting = rest;
            if run_line(line, &text, host, &mut code).await {
                return code;
            }
        }
        if waiting.len() > LONGEST {
            write(line, b"the line is too long\n").await;
            return exit::FAILURE;
        }
    }
    run_line(line, &String::from_utf8_lossy(&waiting), host, &mut code).await;
    code
}

/// True after `exit`.
async fn run_line<D: BlockDevice>(
    line: &SharedLine,
    text: &str,
    host: &Host<D>,
    code: &mut i32,
) -> bool {
    for command in text.split([';', '&']).map(str::trim).filter(|command| !command.is_empty()) {
        let (name, argument) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        if name == "exit" {
            // `exit $?` and `exit` mean the same here.
            *code = argument.trim().parse().unwrap_or(*code);
            return true;
        }
        let (said, ended) = run_command(name, argument.trim(), host).await;
        *code = ended;
        write(line, said.as_bytes()).await;
        give_way().await;
    }
    false
}

async fn run_command<D: BlockDevice>(name: &str, argument: &str, host: &Host<D>) -> (String, i32) {
    let said = match (name, argument) {
        ("help", "") => HELP.into(),
        ("status", "") => status(host),
        ("users", "") => {
            let told = host.told_keys.borrow().clone();
            let users = users::found(&host.volume, &host.options, &told).await;
            users.iter().map(|user| format!("{user}\n")).collect()
        }
        ("df", "") => match host.volume.space().await {
            Ok(space) => {
                let kib = |clusters: u32| {
                    u64::from(clusters).saturating_mul(space.cluster_size.into()) >> 10
                };
                let (all, free) = (kib(space.total_clusters), kib(space.free_clusters));
                let used = all.saturating_sub(free);
                format!("{all} KiB, {used} KiB used, {free} KiB free\n")
            }
            Err(e) => return (format!("{e}\n"), exit::FAILURE),
        },
        ("sync", "") => match host.volume.sync().await {
            Ok(()) => String::new(),
            Err(e) => return (format!("{e}\n"), exit::FAILURE),
        },
        ("fingerprint", "") => format!("{}\n", host.fingerprint),
        ("log", levels) => match Levels::parse(levels) {
            Ok(levels) => {
                host.asked.borrow_mut().push(Asked::Levels(levels));
                String::new()
            }
            Err(e) => return (format!("{e}\n"), exit::FAILURE),
        },
        ("poweroff", "") => {
            host.asked.borrow_mut().push(Asked::PowerOff);
            String::new()
        }
        _ => {
            let name: String = name.chars().take(32).flat_map(char::escape_debug).collect();
            return (format!("{name}: no such command; help lists them\n"), exit::NOT_FOUND);
        }
    };
    (said, exit::OK)
}

fn status<D: BlockDevice>(host: &Host<D>) -> String {
    let geometry = host.volume.geometry();
    let mut text = format!(
        "mirage-sshfs {}\n{} volume of {} MiB",
        env!("CARGO_PKG_VERSION"),
        geometry.kind,
        geometry.size >> 20
    );
    if let Some(reason) = host.volume.read_only() {
        text.push_str(&format!(", read-only: {reason}"));
    }
    let clients = host.clients.borrow();
    text.push_str(&format!("\n{} clients\n", clients.len()));
    for client in clients.iter() {
        text.push_str(client);
        text.push('\n');
    }
    text.push_str(&host.limits.borrow());
    text
}
