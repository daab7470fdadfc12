//! Programs that a client asks for by name. There are none here, but a path that ends in `sftp-server` is
//! another name of the subsystem "sftp": `sftp -s /usr/lib/openssh/sftp-server`, `sshfs -o sftp_server=…`.
use alloc::format;
use alloc::string::String;

/// The line to refuse them with.
pub const NO_PROGRAMS: &str = "This server runs no programs: use sftp, sshfs, or scp without -O.";

/// What a shell would do something with: a command that has any of it is not a plain one.
const SHELLS: [char; 21] = [
    '|', '&', ';', '<', '>', '(', ')', '$', '`', '\\', '"', '\'', '*', '?', '[', ']', '{', '}',
    '~', '#', '\n',
];

/// Whether the program is sftp-server, and may only read.
///
/// # Errors
///
/// The line to refuse it with.
pub fn sftp_server(command: &str) -> Result<bool, String> {
    let mut words = command.split_ascii_whitespace();
    let program = words.next().and_then(|path| path.rsplit('/').next());
    if program != Some("sftp-server") || command.contains(SHELLS) {
        return Err(NO_PROGRAMS.into());
    }
    let mut read_only = false;
    while let Some(word) = words.next() {
        let not_here = |what: &str| Err(format!("This server's sftp-server takes no {what}."));
        let Some(mut options) = word.strip_prefix('-').filter(|options| !options.is_empty()) else {
            return not_here("names of files or folders");
        };
        while let Some(option) = options.chars().next() {
            options = options.get(option.len_utf8()..).unwrap_or_default();
            match option {
                'R' => read_only = true,
                // Where and how much it logs is not the client's to say.
                'e' => (),
                'f' | 'l' => {
                    if core::mem::take(&mut options).is_empty() && words.next().is_none() {
                        return Err(format!("sftp-server: -{option} needs a value."));
                    }
                }
                _ => return not_here(&format!("-{option}")),
            }
        }
    }
    Ok(read_only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_ends_in_sftp_server_is_the_subsystem() {
        for (command, read_only) in [
            ("/usr/lib/openssh/sftp-server", false),
            ("/usr/libexec/sftp-server -e", false),
            ("sftp-server", false),
            (" sftp-server  -l INFO -f AUTH ", false),
            ("/usr/lib/sftp-server -R", true),
            ("/usr/lib/sftp-server -elVERBOSE -eR", true),
        ] {
            assert_eq!(sftp_server(command), Ok(read_only), "{command}");
        }
    }

    #[test]
    fn what_it_cannot_do_here_is_named() {
        for (command, named) in [
            ("/usr/lib/sftp-server -d /photos", "no -d."),
            ("/usr/lib/sftp-server -u 077", "no -u."),
            ("/usr/lib/sftp-server -RP remove", "no -P."),
            ("/usr/lib/sftp-server -p stat", "no -p."),
            ("/usr/lib/sftp-server -Q requests", "no -Q."),
            ("/usr/lib/sftp-server -h", "no -h."),
            ("/usr/lib/sftp-server --", "no --."),
            ("/usr/lib/sftp-server -é", "no -é."),
            ("/usr/lib/sftp-server -", "of files or folders."),
            ("/usr/lib/sftp-server /photos", "of files or folders."),
            ("/usr/lib/sftp-server -l", "-l needs a value."),
        ] {
            let line = sftp_server(command).unwrap_err();
            assert!(line.ends_with(named), "{command}: {line}");
        }
    }

    #[test]
    fn other_programs_are_none() {
        for command in [
            "",
            "sh",
            "scp -t .",
            "/usr/lib/sftp-server2",
            "/usr/lib/sftp-server/",
            "sudo /usr/lib/sftp-server",
            "/usr/lib/sftp-server; id",
            "/usr/lib/sftp-server -l $(id)",
            "/usr/lib/sftp-server\nid",
            "test -x /usr/lib/sftp-server && exec /usr/lib/sftp-server",
        ] {
            assert_eq!(sftp_server(command), Err(NO_PROGRAMS.into()), "{command}");
        }
    }
}
