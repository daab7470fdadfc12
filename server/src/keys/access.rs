//! What a key lets its user do, once logged in: `command="internal-sftp …"` of sshd(8).
use crate::words::words;
use alloc::format;
use alloc::string::String;
use core::fmt;

/// The part of the volume that a user has. By default it is all of it, to read and to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    pub read_only: bool,
    /// The path of the folder that is the user's root; empty for the volume's.
    pub root: String,
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
        while let Some(word) = words.next() {
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
                    // Where and how much it logs is not the key's to say.
                    'f' | 'l' => drop(value()?),
                    'e' => (),
                    _ => return Err(format!("internal-sftp -{option} is not supported")),
                }
            }
        }
        Ok(access)
    }
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
        f.write_str(if self.read_only { ", read-only" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(read_only: bool, root: &str) -> Result<Access, String> {
        Ok(Access { read_only, root: root.into() })
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
            "internal-sftp -P remove",
            "internal-sftp -u 022",
            "internal-sftp --",
            "internal-sftp -é",
        ] {
            assert!(Access::of_command(command).is_err(), "{command}");
        }
    }
}
