//! What a key lets its user do, once logged in: `command="internal-sftp …"` of sshd(8).
use crate::shown::mask;
use crate::words::words;
use alloc::format;
use alloc::string::String;
use core::fmt;
use sftp::Requests;

/// The part of the volume that a user has. By default it is all of it, to read and to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    pub read_only: bool,
    /// Each session changes nothing but what it made itself and nobody else has touched since.
    pub add_only: bool,
    /// With `add_only`: it reads and sees nothing else either.
    pub write_only: bool,
    /// The path of the folder that is the user's root; empty for the volume's.
    pub root: String,
    /// What it may ask for by SFTP.
    pub requests: Requests,
    /// The permission bits that its sessions are not shown, in the place of the server's `--umask`.
    pub umask: Option<u32>,
}

impl Access {
    /// Reads a forced command, with the options of sftp-server(8). Its words may be quoted, so that a
    /// folder's name can have spaces. Where OpenSSH only starts in the folder of `-d`, it confines here.
    ///
    /// # Errors
    ///
    /// Whatever is more or other than an SFTP server that can do this.
    pub(crate) fn of_command(command: &str) -> Result<Self, String> {
        let words = words(command);
        let mut words = words.iter().map(String::as_str);
        if words.next() != Some("internal-sftp") {
            return Err(format!("command={command:?}: only internal-sftp can be run"));
        }
        let mut access = Self::default();
        let (mut allowed, mut denied) = (None, None);
        while let Some(word) = words.next() {
            match word {
                "--add-only" => access.add_only = true,
                "--write-only" => (access.add_only, access.write_only) = (true, true),
                _ => (),
            }
            if matches!(word, "--add-only" | "--write-only") {
                continue;
            }
            let Some(mut rest) = word.strip_prefix('-') else {
                return Err(format!("internal-sftp takes no {word:?}"));
            };
            while let Some(option) = rest.chars().next() {
                rest = rest.get(option.len_utf8()..).unwrap_or_default();
                let mut value = || match core::mem::take(&mut rest) {
                    "" => words.next().ok_or(format!("internal-sftp -{option} needs a value")),
                    joined => Ok(joined),
                };
                match option {
                    'R' => access.read_only = true,
                    'd' => access.root = folder(value()?)?,
                    'p' if allowed.is_some() => return Err("internal-sftp -p stands twice".into()),
                    'p' => allowed = Some(requests('p', value()?)?),
                    'P' if denied.is_some() => return Err("internal-sftp -P stands twice".into()),
                    'P' => denied = Some(requests('P', value()?)?),
                    'u' => access.umask = Some(mask("internal-sftp -u", value()?)?),
                    // Where and how much it logs is not the key's to say.
                    'f' | 'l' => drop(value()?),
                    'e' => (),
                    _ => return Err(format!("internal-sftp -{option} is not supported")),
                }
            }
        }
        if let Some(allowed) = allowed {
            access.requests = allowed;
        }
        if let Some(denied) = denied {
            access.requests = access.requests.without(denied);
        }
        if access.read_only && access.add_only {
            return Err("internal-sftp -R changes nothing, so it cannot add".into());
        }
        Ok(access)
    }

    /// Whether anything at this path of the volume may be changed or made; else why not. Whether what is
    /// there is the session's own is for the volume to say, in the same moment as the change.
    pub(crate) fn may_change(&self, path: &str) -> Result<(), &'static str> {
        match self {
            Self { read_only: true, .. } => Err("this key may only read"),
            // Else it could add a key that may do everything.
            Self { add_only: true, .. } if holds_keys(path) => {
                Err("this key may only add, and no keys")
            }
            _ => Ok(()),
        }
    }

    /// Whether it is everything.
    pub(crate) fn is_unrestricted(&self) -> bool {
        *self == Self { umask: self.umask, ..Self::default() }
    }
}

/// Whether users' keys, or those that are revoked, are read from there, under whatever spelling of the name.
fn holds_keys(path: &str) -> bool {
    let name = path.trim_matches('/').to_uppercase();
    let listed = matches!(name.as_str(), "AUTHORIZED_KEYS" | "REVOKED_KEYS");
    !name.contains('/') && (listed || name.ends_with(".PUB"))
}

/// A list of requests, by sftp-server(8)'s names.
fn requests(option: char, list: &str) -> Result<Requests, String> {
    Requests::named(list).map_err(|name| {
        let shown: String = name.chars().take(40).collect();
        format!("internal-sftp -{option}: no request is called {shown:?}")
    })
}

/// A folder of the volume, from its root wherever it starts, without `.` and empty components.
fn folder(path: &str) -> Result<String, String> {
    let mut folder = String::new();
    for component in path.split('/').filter(|component| !matches!(*component, "" | ".")) {
        if component == ".." || component.contains(['%', '\0']) {
            return Err(format!("internal-sftp -d {path:?}: no plain path of a folder"));
        }
        folder.push('/');
        folder.push_str(component);
    }
    Ok(folder)
}

impl fmt::Display for Access {
    /// What is less than everything, for the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.root.is_empty() {
            write!(f, " to {}", self.root)?;
        }
        f.write_str(match self {
            Self { read_only: true, .. } => ", read-only",
            Self { write_only: true, .. } => ", write-only",
            Self { add_only: true, .. } => ", add-only",
            _ => "",
        })?;
        if self.requests != Requests::default() {
            f.write_str(", not all requests")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(read_only: bool, root: &str) -> Result<Access, String> {
        Ok(Access { read_only, root: root.into(), ..Access::default() })
    }

    #[test]
    fn options_of_internal_sftp() {
        for (command, expected) in [
            ("internal-sftp", access(false, "")),
            ("internal-sftp -R", access(true, "")),
            ("internal-sftp -d /photos", access(false, "/photos")),
            (" internal-sftp  -R\t-d photos/2026/ ", access(true, "/photos/2026")),
            ("internal-sftp -Rd/photos", access(true, "/photos")),
            ("internal-sftp -eRl INFO -fAUTH -d //./a//b/.", access(true, "/a/b")),
            ("internal-sftp -d \"/my photos\" -R", access(true, "/my photos")),
            ("internal-sftp -d /", access(false, "")),
        ] {
            assert_eq!(Access::of_command(command), expected, "{command}");
        }
    }

    #[test]
    fn lists_of_requests() {
        let access = |command| Access::of_command(command).unwrap();
        let named = |list| Requests::named(list).unwrap();
        let read = access("internal-sftp -p stat,open,read -P read,write");
        assert_eq!(read.requests, named("open,stat"));
        assert_eq!(format!("{read}"), ", not all requests");
        let most = access("internal-sftp -RPremove,posix-rename");
        assert_eq!(most.requests, Requests::default().without(named("remove,posix-rename")));
        assert!(!access("internal-sftp -P users-groups-by-id").is_unrestricted());
    }

    #[test]
    fn a_umask_restricts_nothing() {
        let access = Access::of_command("internal-sftp -u 077").unwrap();
        assert_eq!((access.umask, access.is_unrestricted()), (Some(0o077), true));
    }

    #[test]
    fn who_may_only_add() {
        let add = Access { add_only: true, root: "/backup".into(), ..Access::default() };
        assert_eq!(Access::of_command("internal-sftp --add-only -d /backup"), Ok(add.clone()));
        let drop_box = Access { write_only: true, ..add };
        for command in ["-d /backup --write-only", "--add-only --write-only -d backup"] {
            let command = format!("internal-sftp {command}");
            assert_eq!(Access::of_command(&command), Ok(drop_box.clone()));
        }
        assert_eq!(format!("{drop_box}"), " to /backup, write-only");
    }

    #[test]
    fn who_may_only_add_adds_no_keys() {
        let add = Access { add_only: true, ..Access::default() };
        let keys = ["/bob.pub", "/Bob.PUB", "/authorized_keys", "/AUTHORIZED_key\u{17f}", "/.pub"];
        for path in keys.into_iter().chain(["/revoked_keys", "/Revoked_Keys"]) {
            assert!(add.may_change(path).is_err(), "{path}");
            assert_eq!(Access::default().may_change(path), Ok(()));
        }
        for path in ["/bob.pub.txt", "/d/bob.pub", "/d/authorized_keys", "/", "/pub"] {
            assert_eq!(add.may_change(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn other_commands_are_refused() {
        for command in [
            "",
            "sh",
            "internal-sftp-R",
            "/usr/lib/openssh/sftp-server",
            "internal-sftp /photos",
            "internal-sftp -d",
            "internal-sftp -R -d /photos/../keys",
            "internal-sftp -d /home/%u",
            "internal-sftp -P",
            "internal-sftp -P remov",
            "internal-sftp -p stat,LSTAT",
            "internal-sftp -p \"stat, lstat\"",
            "internal-sftp -p \"\"",
            "internal-sftp -p stat -p lstat",
            "internal-sftp -P stat -P lstat",
            "internal-sftp -u",
            "internal-sftp -u 1000",
            "internal-sftp -u 9",
            "internal-sftp --",
            "internal-sftp --add-only -R",
            "internal-sftp --add-onl",
            "internal-sftp --add-only=yes",
            "internal-sftp -é",
        ] {
            assert!(Access::of_command(command).is_err(), "{command}");
        }
    }
}
