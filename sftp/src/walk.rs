//! Where paths lead. They are walked, not edited as text: `..` goes up from a folder that is there, and a
//! slash, `.` or `..` at the end asks for a folder, as POSIX has it (XBD section 4.16). Symbolic links are
//! followed here and nowhere below, so that what comes out is a plain path from the user's root: `..` ends
//! there, and an absolute target begins there.
use crate::files::{Files, Link, OpenFlags};
use crate::give_way::give_way;
use crate::request::Operation;
use crate::request::path::{Ending, MAX_PATH, Path, TOO_LONG};
use crate::server::Server;
use crate::status::{Status, StatusCode};
use alloc::string::String;

/// Of the hundreds of folders that a long path may make us look at, how many before others go on.
const LOOKS_AT_ONCE: usize = 16;
/// The most links that one path leads through: as in Linux.
const MOST_LINKS: usize = 40;

const NOT_A_FOLDER: Status = Status::new(StatusCode::NoSuchFile, "not a directory");
const A_FOLDERS_NAME: Status = Status::new(StatusCode::Failure, "it is a directory's name");
const DOT: Status = Status::new(StatusCode::BadMessage, "a directory is not removed as its \".\"");
const NOT_EMPTY: Status = Status::new(StatusCode::Failure, "the directory is not empty");
const DOTS: Status = Status::new(StatusCode::Failure, "\".\" and \"..\" cannot be renamed");
/// The code that OpenSSH has for ELOOP.
const TOO_MANY_LINKS: Status =
    Status::new(StatusCode::NoSuchFile, "too many levels of symbolic links");

/// What the path of a request is of. But for REALPATH's it may be missing when it ends with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    /// Of what is there, behind a link that it ends with.
    There,
    /// Of a link itself, unless what stands behind its name asks for a folder.
    Itself,
    /// Of a name in its folder, also when that is a link's.
    Entry,
    /// Of a file that is made when it is missing; it must be if this is true.
    NewFile(bool),
    /// Of a link to be made: with a slash behind its name it must be there already, which is an error, too.
    NewLink,
    /// Of a folder to be made: a slash behind its name is right before it is there.
    NewFolder,
    /// Of a folder to be removed.
    Removed,
    /// Of what may be missing itself, but not what it is in.
    Real,
}

/// What came of walking a path.
struct Walked {
    /// The plain path.
    at: String,
    /// Whether it is known to be a folder's.
    is_folder: bool,
    /// Whether what it ends with asks for a folder.
    wants_folder: bool,
}

impl<F: Files> Server<F> {
    /// The plain path. What it ends with is not looked at, but for whether it is a link that is to be
    /// followed.
    async fn walk(&self, path: &Path, follow: bool) -> Result<Walked, Status> {
        let (mut at, mut is_folder) = (String::with_capacity(path.len()), true);
        let mut wants_folder = path.ending() != Ending::Name;
        let (mut links, mut looks) = (0usize, 0usize);
        let (mut position, mut rest): (usize, Option<Path>) = (0, None);
        loop {
            let now = rest.as_ref().unwrap_or(path);
            let Some((component, end)) = now.component(position) else {
                let Some(link) = self.link_on(&at, is_folder, follow).await? else {
                    break;
                };
                rest = Some(follow_link(&mut at, &link, "", &mut links)?);
                (position, is_folder) = (0, true);
                wants_folder |= rest.as_ref().is_some_and(|rest| rest.ending() != Ending::Name);
                continue;
            };
            match component {
                "." => {}
                ".." => {
                    if let Some(link) = self.link_on(&at, is_folder, true).await? {
                        rest = Some(follow_link(&mut at, &link, now.rest(position), &mut links)?);
                        (position, is_folder) = (0, true);
                        continue;
                    }
                    if !is_folder {
                        self.folder(&at).await?;
                        looks = looks.saturating_add(1);
                        if looks.is_multiple_of(LOOKS_AT_ONCE) {
                            give_way().await;
                        }
                    }
                    at.truncate(at.rfind('/').unwrap_or_default());
                    is_folder = true;
                }
                name => {
                    if at.len().saturating_add(name.len()) >= MAX_PATH {
                        return Err(TOO_LONG);
                    }
                    at.push('/');
                    at.push_str(name);
                    is_folder = false;
                }
            }
            position = end;
        }
        if at.is_empty() {
            at.push('/');
        }
        Ok(Walked { at, is_folder, wants_folder })
    }

    /// The first link on the way along a plain path of which nothing is known but when it is a folder's.
    async fn link_on(&self, at: &str, is_folder: bool, last: bool) -> Result<Option<Link>, Status> {
        if is_folder { Ok(None) } else { self.files.first_link(at, last).await }
    }

    /// Fails when a plain path is not a folder's.
    async fn folder(&self, path: &str) -> Result<(), Status> {
        if self.files.stat(path).await?.is_folder() { Ok(()) } else { Err(NOT_A_FOLDER) }
    }

    /// The plain paths of a request; empty when it has none.
    pub(crate) async fn places(&self, operation: &Operation) -> Result<(String, String), Status> {
        let (path, what) = match operation {
            Operation::Open { path, flags, .. } if flags.contains(OpenFlags::CREAT) => {
                (path, For::NewFile(flags.contains(OpenFlags::EXCL)))
            }
            Operation::Open { path, .. }
            | Operation::Opendir(path)
            | Operation::Stat(path)
            | Operation::Statvfs(path) => (path, For::There),
            Operation::Setstat(path, attributes) => match attributes.are_a_links() {
                true => (path, For::Itself),
                false => (path, For::There),
            },
            Operation::Lstat(path) | Operation::Lsetstat(path, _) => (path, For::Itself),
            Operation::Readlink(path) => {
                self.files.has_links()?;
                (path, For::Itself)
            }
            Operation::Symlink { path, .. } => {
                self.files.has_links()?;
                (path, For::NewLink)
            }
            Operation::Remove(path) => (path, For::Entry),
            Operation::Mkdir(path, _) => (path, For::NewFolder),
            Operation::Rmdir(path) => (path, For::Removed),
            Operation::Realpath(path) => (path, For::Real),
            Operation::Rename { from, to, .. } => return self.places_to_rename(from, to).await,
            _ => return Ok((String::new(), String::new())),
        };
        Ok((self.place(path, what).await?, String::new()))
    }

    /// Where a path leads, when that is what `what` asks for.
    async fn place(&self, path: &Path, what: For) -> Result<String, Status> {
        let (ending, dots) = (path.ending(), has_dots(path));
        let follow = match what {
            For::There | For::Real => true,
            For::Itself => ending != Ending::Name,
            For::NewFile(new) => dots || !new && ending == Ending::Name,
            For::Entry | For::NewLink | For::NewFolder | For::Removed => dots,
        };
        let Walked { at, is_folder, wants_folder } = self.walk(path, follow).await?;
        let wants_folder = wants_folder && !is_folder;
        let above = at.rsplit_once('/').map_or("", |(above, _)| above);
        let names_folder = matches!(what, For::NewFile(_)) && wants_folder && !dots;
        // What must be a folder.
        let folder = match what {
            For::NewFile(_) if names_folder => above,
            For::NewFolder if !dots => "",
            _ if wants_folder => at.as_str(),
            For::Real if ending == Ending::Name => above,
            _ => "",
        };
        if !folder.is_empty() {
            match self.folder(folder).await {
                // It is there, and no link is made.
                Err(NOT_A_FOLDER) if what == For::NewLink && ending == Ending::Slash => {
                    return Err(A_FOLDERS_NAME);
                }
                found => found?,
            }
        }
        match (what, ending) {
            _ if names_folder => Err(A_FOLDERS_NAME),
            (For::Removed, Ending::Dot) => Err(DOT),
            (For::Removed, Ending::DotDot) => Err(NOT_EMPTY),
            _ => Ok(at),
        }
    }

    /// Of both ends of a RENAME.
    async fn places_to_rename(&self, from: &Path, to: &Path) -> Result<(String, String), Status> {
        let old = self.place(from, For::Entry).await?;
        if has_dots(to) {
            self.place(to, For::There).await?;
        }
        if has_dots(from) || has_dots(to) {
            return Err(DOTS);
        }
        let Walked { at: new, is_folder, .. } = self.walk(to, false).await?;
        if !is_folder && to.ending() == Ending::Slash {
            // What comes there must be a folder, and what is there now, too.
            self.folder(&old).await?;
            if self.folder(&new).await == Err(NOT_A_FOLDER) {
                return Err(NOT_A_FOLDER);
            }
        }
        Ok((old, new))
    }
}

fn has_dots(path: &Path) -> bool {
    matches!(path.ending(), Ending::Dot | Ending::DotDot)
}

/// Goes back to what a link is in, or to the root. What is left to walk from there: its target, what follows
/// the link in the plain path, and `rest`, which follows that.
fn follow_link(
    at: &mut String,
    link: &Link,
    rest: &str,
    links: &mut usize,
) -> Result<Path, Status> {
    *links = links.saturating_add(1);
    if *links > MOST_LINKS {
        return Err(TOO_MANY_LINKS);
    }
    let behind = at.get(link.end..).unwrap_or_default().trim_start_matches('/');
    let path = Path::behind_link(&link.target, &[behind, rest])?;
    at.truncate(link.end);
    at.truncate(if path.is_absolute() { 0 } else { at.rfind('/').unwrap_or_default() });
    Ok(path)
}
