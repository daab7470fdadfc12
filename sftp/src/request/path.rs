//! Paths as clients write them.
use crate::status::{Status, StatusCode};
use alloc::borrow::ToOwned;
use alloc::string::String;

/// The longest path, in bytes (Linux's PATH_MAX).
pub(crate) const MAX_PATH: usize = 4096;

/// The longest component, in units of UTF-16: what a long name of FAT can hold.
const MAX_COMPONENT: usize = 255;

/// Every user's home.
pub(crate) const HOME: &[u8] = b"/";

/// The longest target of a symbolic link, in bytes.
const MAX_TARGET: usize = MAX_PATH - 1;

const NOT_UTF8: Status = Status::new(StatusCode::BadMessage, "the name is not UTF-8");
const HAS_NUL: Status = Status::new(StatusCode::BadMessage, "the path has a NUL in it");
pub(crate) const TOO_LONG: Status = Status::new(StatusCode::BadMessage, "the path is too long");
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

    /// Where a symbolic link leads: any text without NUL.
    pub(crate) fn target(target: &[u8]) -> Result<String, Status> {
        if target.len() > MAX_TARGET {
            return Err(TOO_LONG);
        }
        if target.contains(&0) {
            return Err(HAS_NUL);
        }
        core::str::from_utf8(target).map(ToOwned::to_owned).map_err(|_| NOT_UTF8)
    }

    /// The path that is left to walk behind a symbolic link: its target, and what followed it.
    ///
    /// # Errors
    ///
    /// It is longer than any path.
    pub(crate) fn behind_link(target: &str, rest: &[&str]) -> Result<Self, Status> {
        let mut path = target.to_owned();
        for part in rest.iter().filter(|part| !part.is_empty()) {
            if path.len().saturating_add(part.len()) >= MAX_PATH {
                return Err(TOO_LONG);
            }
            path.push('/');
            path.push_str(part);
        }
        Self::parse(path.as_bytes())
    }

    pub(crate) fn is_absolute(&self) -> bool {
        self.0.starts_with('/')
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

    /// The first component from byte `at` on, and where what follows it begins.
    pub(crate) fn component(&self, at: usize) -> Option<(&str, usize)> {
        let rest = self.0.get(at..)?;
        let name = rest.trim_start_matches('/');
        let start = at.saturating_add(rest.len().saturating_sub(name.len()));
        let len = name.find('/').unwrap_or(name.len());
        let end = start.saturating_add(len);
        name.get(..len).filter(|name| !name.is_empty()).map(|name| (name, end))
    }

    /// What stands from byte `at` on.
    pub(crate) fn rest(&self, at: usize) -> &str {
        self.0.get(at..).unwrap_or_default()
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
