//! Names and targets of links, which another qube chose.
use super::refused::{Refused, errno};
use alloc::string::String;

/// Directories in one name.
pub(super) const MAX_DEPTH: usize = 64;

fn refused<T>(errno: u32, why: &'static str) -> Result<T, Refused> {
    Err(Refused { errno, why })
}

/// The path of a name.
pub(super) fn path(name: &[u8], is_directory: bool) -> Result<String, Refused> {
    let Some((0, name)) = name.split_last() else {
        return refused(errno::EINVAL, "its name has no end");
    };
    let Ok(name) = core::str::from_utf8(name) else {
        return refused(errno::EILSEQ, "its name is not UTF-8");
    };
    if name.chars().any(char::is_control) {
        return refused(errno::EILSEQ, "its name has control characters in it");
    }
    // As a shell completes the names of directories.
    let path = name.strip_suffix('/').filter(|_| is_directory).unwrap_or(name);
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return refused(errno::EILSEQ, "its name leads elsewhere");
    }
    if path.split('/').count() > MAX_DEPTH {
        return refused(errno::ENAMETOOLONG, "its name has too many directories");
    }
    Ok(path.into())
}

/// The target of the link at a path. As in Qubes' own unpacker a link stands in a folder that is copied, and
/// does not lead out of that: neither from the root nor by `..` behind other names or above the outermost
/// folder.
pub(super) fn target(path: &str, target: &[u8]) -> Result<String, Refused> {
    let Ok(target) = core::str::from_utf8(target) else {
        return refused(errno::EILSEQ, "where it leads is not UTF-8");
    };
    if target.chars().any(char::is_control) {
        return refused(errno::EILSEQ, "where it leads has control characters in it");
    }
    if target.is_empty() {
        return refused(errno::ENOENT, "it leads nowhere");
    }
    let folders = path.split('/').count().saturating_sub(1);
    if folders == 0 {
        return refused(errno::ENOLINK, "a link that is copied by itself would lead elsewhere");
    }
    // How often it may still go up.
    let mut ups = folders.saturating_sub(1);
    let leads_out = target.split('/').any(|part| match (part, ups.checked_sub(1)) {
        ("" | ".", _) => false,
        ("..", None) => true,
        ("..", Some(left)) => {
            ups = left;
            false
        }
        _ => {
            ups = 0;
            false
        }
    });
    if leads_out || target.starts_with('/') {
        return refused(errno::ENOLINK, "it may lead out of the folder that is copied");
    }
    Ok(target.into())
}
