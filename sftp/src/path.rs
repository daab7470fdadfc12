//! Paths as clients send them, made absolute and plain.
use crate::status::{Status, StatusCode};
use alloc::string::String;
use alloc::vec::Vec;

/// The longest path, in bytes (Linux's PATH_MAX).
const MAX_PATH: usize = 4096;

/// The longest component, in units of UTF-16: what a long name of FAT can hold.
const MAX_COMPONENT: usize = 255;

/// Every user's home.
pub(crate) const HOME: &str = "/";

const NOT_UTF8: Status = Status::new(StatusCode::NoSuchFile, "the path is not UTF-8");
const HAS_NUL: Status = Status::new(StatusCode::BadMessage, "the path has a NUL in it");
const TOO_LONG: Status = Status::new(StatusCode::BadMessage, "the path is too long");
const NAME_TOO_LONG: Status = Status::new(StatusCode::BadMessage, "the name is too long");

/// Resolves by component, against `/`: nothing on the volume can make `..` go elsewhere, because
/// there are no symbolic links. The empty path is the root (section 6.2), and `..` stops there.
pub(crate) fn resolve(path: &[u8]) -> Result<String, Status> {
    if path.len() > MAX_PATH {
        return Err(TOO_LONG);
    }
    if path.contains(&0) {
        return Err(HAS_NUL);
    }
    let path = core::str::from_utf8(path).map_err(|_| NOT_UTF8)?;
    let mut components = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            name if name.encode_utf16().count() > MAX_COMPONENT => return Err(NAME_TOO_LONG),
            name => components.push(name),
        }
    }
    let mut resolved = String::with_capacity(path.len().saturating_add(1));
    for component in &components {
        resolved.push('/');
        resolved.push_str(component);
    }
    if components.is_empty() {
        resolved.push('/');
    }
    Ok(resolved)
}

/// Resolves as `resolve` does, once `~` or `~user` in front has become the home: the root.
pub(crate) fn expand(path: &[u8]) -> Result<String, Status> {
    let inside_home = match path {
        [b'~', rest @ ..] => {
            let user = rest.iter().take_while(|&&byte| byte != b'/').count();
            rest.get(user..).unwrap_or_default()
        }
        _ => path,
    };
    resolve(inside_home)
}
