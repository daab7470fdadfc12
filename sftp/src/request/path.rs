//! Paths as clients write them.
use crate::status::{Status, StatusCode};
use alloc::borrow::ToOwned;
use alloc::string::String;

/// The longest path, in bytes (Linux's PATH_MAX).
const MAX_PATH: usize = 4096;

/// The longest component, in units of UTF-16: what a long name of FAT can hold.
const MAX_COMPONENT: usize = 255;

/// Every user's home.
pub(crate) const HOME: &[u8] = b"/";

const NOT_UTF8: Status = Status::new(StatusCode::BadMessage, "the name is not UTF-8");
const HAS_NUL: Status = Status::new(StatusCode::BadMessage, "the path has a NUL in it");
const TOO_LONG: Status = Status::new(StatusCode::BadMessage, "the path is too long");
const NAME_TOO_LONG: Status = Status::new(StatusCode::BadMessage, "the name is too long");

/// A path whose names may be: UTF-8, without NUL, none too long. Where it leads only
/// [a walk](crate::walk) can tell.
#[derive(Debug)]
pub(crate) struct Path(String);

/// What a path ends with. All but a name ask for a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Name,
    /// A name with a slash behind it; the root is one too.
    Slash,
    Dot,
    DotDot,
}

impl Path {
    pub(crate) fn parse(path: &[u8]) -> Result<Self, Status> {
        if path.len() > MAX_PATH {
            return Err(TOO_LONG);
        }
        if path.contains(&0) {
            return Err(HAS_NUL);
        }
        let path = core::str::from_utf8(path).map_err(|_| NOT_UTF8)?;
        if path.split('/').any(|name| name.encode_utf16().count() > MAX_COMPONENT) {
            return Err(NAME_TOO_LONG);
        }
        Ok(Self(path.to_owned()))
    }

    /// As `parse`, once `~` or `~user` in front has become the home: the root.
    pub(crate) fn expand(path: &[u8]) -> Result<Self, Status> {
        Self::parse(match path {
            [b'~', rest @ ..] => {
                let user = rest.iter().take_while(|&&byte| byte != b'/').count();
                rest.get(user..).unwrap_or_default()
            }
            _ => path,
        })
    }

    /// What stands between the slashes; an empty path is the root (section 6.2).
    pub(crate) fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|component| !component.is_empty())
    }

    pub(crate) fn ending(&self) -> Ending {
        match self.components().next_back() {
            Some(".") => Ending::Dot,
            Some("..") => Ending::DotDot,
            Some(_) if !self.0.ends_with('/') => Ending::Name,
            _ => Ending::Slash,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
