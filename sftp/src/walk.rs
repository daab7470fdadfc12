//! Where paths lead. They are walked, not edited as text: `..` goes up from a folder that is there, and a
//! slash, `.` or `..` at the end asks for a folder, as POSIX has it (XBD section 4.16). Symbolic links are
//! followed here and nowhere below, so that what comes out is a plain path from the user's root: `..` ends
//! there, and an absolute target begins there.
use crate::attributes::Attributes;
use crate::files::{Files, Link};
use crate::give_way::give_way;
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

    async fn place_as(&self, path: &Path, follow: bool) -> Result<String, Status> {
        let walked = self.walk(path, follow).await?;
        if walked.wants_folder && !walked.is_folder {
            self.folder(&walked.at).await?;
        }
        Ok(walked.at)
    }

    /// Of what is there, behind a link that it ends with; when it ends with a name, also of what is missing.
    pub(crate) async fn place(&self, path: &Path) -> Result<String, Status> {
        self.place_as(path, true).await
    }

    /// As `place`, of a link itself, unless what stands behind its name asks for a folder.
    pub(crate) async fn own_place(&self, path: &Path) -> Result<String, Status> {
        self.place_as(path, path.ending() != Ending::Name).await
    }

    /// Of what SETSTAT changes. Times and owners alone are a link's own, unlike in OpenSSH's server: sshfs asks
    /// so, and tar and rsync through it would set those of what the link leads to.
    pub(crate) async fn place_to_set(
        &self,
        path: &Path,
        attributes: &Attributes,
    ) -> Result<String, Status> {
        let Attributes { size, owner, permissions, times } = attributes;
        match size.is_none() && permissions.is_none() && (owner.is_some() || times.is_some()) {
            true => self.own_place(path).await,
            false => self.place(path).await,
        }
    }

    /// As `place`, of a link itself, which is no folder.
    pub(crate) async fn place_of_entry(&self, path: &Path) -> Result<String, Status> {
        self.place_as(path, has_dots(path)).await
    }

    /// Of what may be missing itself, but not what it is in (REALPATH).
    pub(crate) async fn real_place(&self, path: &Path) -> Result<String, Status> {
        let at = self.place(path).await?;
        if path.ending() == Ending::Name {
            self.above(&at).await?;
        }
        Ok(at)
    }

    /// Fails when what holds a plain path's last name is no folder.
    async fn above(&self, path: &str) -> Result<(), Status> {
        match path.rsplit_once('/') {
            Some(("", _)) | None => Ok(()),
            Some((folder, _)) => self.folder(folder).await,
        }
    }

    /// Of a file that is made when it is missing; with `new` it must be.
    pub(crate) async fn place_of_new_file(&self, path: &Path, new: bool) -> Result<String, Status> {
        let follow = has_dots(path) || !new && path.ending() == Ending::Name;
        let walked = self.walk(path, follow).await?;
        let wants_folder = walked.wants_folder && !walked.is_folder;
        if path.ending() == Ending::Slash || wants_folder && path.ending() == Ending::Name {
            self.above(&walked.at).await?;
            return Err(A_FOLDERS_NAME);
        }
        if wants_folder {
            self.folder(&walked.at).await?;
        }
        Ok(walked.at)
    }

    /// Of a link to be made: with a slash behind its name it must be there already, which is an error, too.
    pub(crate) async fn place_of_new_link(&self, path: &Path) -> Result<String, Status> {
        if path.ending() != Ending::Slash {
            return self.place_of_entry(path).await;
        }
        let at = self.walk(path, false).await?.at;
        self.files.stat(&at).await.map(|_| at)
    }

    /// Of a folder to be made: a slash behind its name is right before it is there.
    pub(crate) async fn place_of_new_folder(&self, path: &Path) -> Result<String, Status> {
        match path.ending() {
            Ending::Name | Ending::Slash => Ok(self.walk(path, false).await?.at),
            Ending::Dot | Ending::DotDot => self.place(path).await,
        }
    }

    /// Of a folder to be removed.
    pub(crate) async fn place_to_remove(&self, path: &Path) -> Result<String, Status> {
        let at = self.place_of_entry(path).await?;
        match path.ending() {
            Ending::Dot => Err(DOT),
            Ending::DotDot => Err(NOT_EMPTY),
            Ending::Name | Ending::Slash => Ok(at),
        }
    }

    /// Of both ends of a RENAME.
    pub(crate) async fn places_to_rename(
        &self,
        from: &Path,
        to: &Path,
    ) -> Result<(String, String), Status> {
        let old = self.place_of_entry(from).await?;
        if has_dots(to) {
            self.place(to).await?;
        }
        if has_dots(from) || has_dots(to) {
            return Err(DOTS);
        }
        let Walked { at: new, is_folder, .. } = self.walk(to, false).await?;
        if !is_folder && to.ending() == Ending::Slash {
            // What comes there must be a folder, and what is there now, too.
            self.folder(&old).await?;
            if self.files.stat(&new).await.is_ok_and(|there| !there.is_folder()) {
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
