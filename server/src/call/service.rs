//! Which services there are, and what each does.
use super::host::Host;
use super::line::{SharedLine, write};
use super::{filecopy, shell};
use crate::keys::access::Access;
use crate::time::iso_date;
use alloc::format;
use alloc::string::String;
use fat::BlockDevice;
use log::warn;
use qubes::qrexec::{Command, exit};

/// What a call asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Service {
    /// `qubes.ConnectTCP+PORT` with our port.
    Ssh,
    /// `mirage.Sftp`, `mirage.SftpReadOnly`, `mirage.SftpAdd`: SFTP itself, as `sshfs -o passive` speaks it.
    Sftp(Access),
    /// `qubes.Filecopy`.
    Filecopy,
    /// `qubes.VMShell`, whose commands come as input, or commands from dom0.
    Shell(Option<String>),
    /// `qubes.GetDate`.
    Date,
    /// `qubes.SuspendPre` and the like: what was written is put on the disk.
    Sync,
    /// `qubes.ResizeDisk`, after `qvm-volume resize` of a qube that runs.
    Resize,
    /// What dom0 calls of every qube and what needs nothing done here.
    Nothing,
    /// The exit code, and why.
    Refused(i32, &'static str),
}

impl Service {
    /// The service that a command asks for, and the qube that calls. `port` is that of SSH.
    pub fn of(command: &Command, port: u16) -> (Self, String) {
        let (name, argument, source) = match command {
            Command::Service { name, argument, source } => (name, argument, source.clone()),
            Command::Shell(text) => return (Self::Shell(Some(text.clone())), "dom0".into()),
            Command::Malformed => {
                return (Self::Refused(exit::PROBLEM, "malformed"), "dom0".into());
            }
        };
        let service = match name.as_str() {
            "qubes.ConnectTCP" if argument.parse() == Ok(port) => Self::Ssh,
            "qubes.ConnectTCP" => Self::Refused(exit::REFUSED, "only the port of SSH is served"),
            "mirage.Sftp" | "mirage.SftpReadOnly" | "mirage.SftpAdd" => match folder(argument) {
                Some(root) => Self::Sftp(Access {
                    read_only: name == "mirage.SftpReadOnly",
                    add_only: name == "mirage.SftpAdd",
                    root,
                    ..Access::default()
                }),
                None => Self::Refused(exit::REFUSED, "the argument is no folder of the root"),
            },
            "qubes.Filecopy" => Self::Filecopy,
            "qubes.VMShell" => Self::Shell(None),
            "qubes.GetDate" => Self::Date,
            "qubes.ResizeDisk" => Self::Resize,
            "qubes.SuspendPre" | "qubes.SuspendPreAll" => Self::Sync,
            "qubes.SuspendPost"
            | "qubes.SuspendPostAll"
            | "qubes.SetDateTime"
            | "qubes.WaitForSession"
            | "qubes.WaitForNetworkUplink"
            | "qubes.WaitForRunningSystem"
            | "qubes.PostInstall" => Self::Nothing,
            _ => Self::Refused(exit::NOT_FOUND, "no such service"),
        };
        (service, source)
    }
}

/// The argument as the path of a folder; none means the root. dom0 lets no `/` through.
fn folder(argument: &str) -> Option<String> {
    match argument {
        "" => Some(String::new()),
        "." | ".." => None,
        name if name.contains(['/', '\\', '\0']) => None,
        name => Some(format!("/{name}")),
    }
}

/// What a user of `qvm-volume resize` is to do.
const NOT_RESIZED: &str = "the volume grows at its next start with --grow in kernelopts: add it, then \
                           qvm-shutdown and qvm-start this qube";

/// Runs a service to its exit code.
pub async fn run<D: BlockDevice>(
    service: Service,
    line: SharedLine,
    source: String,
    host: Host<D>,
) -> i32 {
    match service {
        Service::Filecopy => {
            let actor = host.options.reserve.actor(&host.volume, true);
            let plain = host.options.shown.plain();
            filecopy::receive(&line, &host.volume, &source, &actor, plain).await
        }
        Service::Shell(text) => shell::run(&line, text, &host).await,
        Service::Date => {
            write(&line, iso_date(host.volume.now()).as_bytes()).await;
            exit::OK
        }
        Service::Sync => match host.volume.sync().await {
            Ok(()) => exit::OK,
            Err(e) => {
                warn!("{source} asked for a sync: {e}");
                exit::FAILURE
            }
        },
        Service::Resize => {
            // The disk has grown, the volume on it has not: to say yes would be a lie.
            line.borrow_mut().end_with(exit::FAILURE, NOT_RESIZED);
            exit::FAILURE
        }
        Service::Nothing | Service::Ssh | Service::Sftp(_) => exit::OK,
        Service::Refused(code, _) => code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, argument: &str) -> Service {
        let (name, argument) = (name.into(), argument.into());
        Service::of(&Command::Service { name, argument, source: "work".into() }, 18022).0
    }

    #[test]
    fn ports_and_folders_of_arguments() {
        assert_eq!(of("qubes.ConnectTCP", "18022"), Service::Ssh);
        for port in ["", "22", "018022x", "-1"] {
            assert!(matches!(of("qubes.ConnectTCP", port), Service::Refused(126, _)));
        }
        let access =
            |read_only, root: &str| Access { read_only, root: root.into(), ..Access::default() };
        let add = Access { add_only: true, ..access(false, "/backup") };
        assert_eq!(of("mirage.SftpAdd", "backup"), Service::Sftp(add));
        assert_eq!(of("mirage.Sftp", ""), Service::Sftp(access(false, "")));
        assert_eq!(of("mirage.SftpReadOnly", "photos"), Service::Sftp(access(true, "/photos")));
        for folder in ["..", ".", "a/b", "/"] {
            assert!(matches!(of("mirage.Sftp", folder), Service::Refused(126, _)));
        }
        assert!(matches!(of("qubes.OpenURL", ""), Service::Refused(127, _)));
        assert_eq!(Service::of(&Command::Malformed, 1).0, Service::Refused(125, "malformed"));
    }
}
