//! Requests by the names of sftp-server(8), which `sftp-server -Q requests` lists.
use crate::fxp;

/// The requests that a session may make: one bit for each name, SSH_FXP_* first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requests(u32);

const TYPES: [(&str, u8); 18] = [
    ("open", fxp::OPEN),
    ("close", fxp::CLOSE),
    ("read", fxp::READ),
    ("write", fxp::WRITE),
    ("lstat", fxp::LSTAT),
    ("fstat", fxp::FSTAT),
    ("setstat", fxp::SETSTAT),
    ("fsetstat", fxp::FSETSTAT),
    ("opendir", fxp::OPENDIR),
    ("readdir", fxp::READDIR),
    ("remove", fxp::REMOVE),
    ("mkdir", fxp::MKDIR),
    ("rmdir", fxp::RMDIR),
    ("realpath", fxp::REALPATH),
    ("stat", fxp::STAT),
    ("rename", fxp::RENAME),
    ("readlink", fxp::READLINK),
    ("symlink", fxp::SYMLINK),
];

/// What SSH_FXP_EXTENDED asks for, those included that FAT cannot do.
const EXTENSIONS: [(&str, &str); 11] = [
    ("posix-rename", "posix-rename@openssh.com"),
    ("statvfs", "statvfs@openssh.com"),
    ("fstatvfs", "fstatvfs@openssh.com"),
    ("hardlink", "hardlink@openssh.com"),
    ("fsync", "fsync@openssh.com"),
    ("lsetstat", "lsetstat@openssh.com"),
    ("limits", "limits@openssh.com"),
    ("expand-path", "expand-path@openssh.com"),
    ("copy-data", "copy-data"),
    ("home-directory", "home-directory"),
    ("users-groups-by-id", "users-groups-by-id@openssh.com"),
];

impl Default for Requests {
    /// All of them.
    fn default() -> Self {
        Self(u32::MAX)
    }
}

impl Requests {
    /// Those of a list of names with commas between them.
    ///
    /// # Errors
    ///
    /// The first that is no request's name.
    pub fn named(list: &str) -> Result<Self, &str> {
        let mut found = 0;
        for name in list.split(',') {
            let types = TYPES.iter().map(|(name, _)| name);
            let mut names = types.chain(EXTENSIONS.iter().map(|(name, _)| name));
            found |= bit(names.position(|one| *one == name).ok_or(name)?);
        }
        Ok(Self(found))
    }

    /// Without those of another set.
    #[must_use]
    pub fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    pub(crate) fn has_type(self, packet_type: u8) -> bool {
        let at = TYPES.iter().position(|(_, one)| *one == packet_type);
        at.is_none_or(|at| self.0 & bit(at) != 0)
    }

    pub(crate) fn has_extension(self, extension: &[u8]) -> bool {
        let at = EXTENSIONS.iter().position(|(_, one)| one.as_bytes() == extension);
        at.is_none_or(|at| self.0 & bit(at.saturating_add(TYPES.len())) != 0)
    }
}

fn bit(at: usize) -> u32 {
    u32::try_from(at).ok().and_then(|at| 1u32.checked_shl(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_one_request() {
        let mut all = 0;
        for name in TYPES.map(|(name, _)| name).into_iter().chain(EXTENSIONS.map(|(name, _)| name))
        {
            let one = Requests::named(name).unwrap();
            assert_eq!((one.0.count_ones(), all & one.0), (1, 0), "{name}");
            all |= one.0;
        }
        assert_eq!(all.count_ones(), 29);
    }

    #[test]
    fn what_is_in_a_list() {
        let list = Requests::named("stat,posix-rename,copy-data").unwrap();
        assert!(list.has_type(fxp::STAT) && !list.has_type(fxp::LSTAT));
        assert!(
            list.has_extension(b"posix-rename@openssh.com") && list.has_extension(b"copy-data")
        );
        assert!(!list.has_extension(b"home-directory"));
        let rest = Requests::default().without(list);
        assert!(!rest.has_type(fxp::STAT) && rest.has_type(fxp::LSTAT));
        // What has no name is in no list: it is refused as unknown.
        assert!(list.has_type(fxp::INIT) && list.has_type(99) && list.has_extension(b"x"));
    }

    #[test]
    fn other_names() {
        for list in ["", "Open", "stat,", "stat, lstat", "posix-rename@openssh.com", "init", "all"]
        {
            assert!(Requests::named(list).is_err(), "{list}");
        }
    }
}
