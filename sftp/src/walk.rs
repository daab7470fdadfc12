//! Where paths lead. They are walked, not edited as text: `..` goes up from a folder that is there, and a
//! slash, `.` or `..` at the end asks for a folder, as POSIX has it (XBD section 4.16). There are no
//! symbolic links, so what `..` leaves need only be looked at.
use crate::files::Files;
use crate::give_way::give_way;
use crate::request::path::{Ending, Path};
use crate::server::Server;
use crate::status::{Status, StatusCode};
use alloc::string::String;

/// Of the hundreds of folders that a long path may make us look at, how many before others go on.
const LOOKS_AT_ONCE: usize = 16;

const NOT_A_FOLDER: Status = Status::new(StatusCode::NoSuchFile, "not a directory");
const A_FOLDERS_NAME: Status = Status::new(StatusCode::Failure, "it is a directory's name");
const DOT: Status = Status::new(StatusCode::BadMessage, "a directory is not removed as its \".\"");
const NOT_EMPTY: Status = Status::new(StatusCode::Failure, "the directory is not empty");
const DOTS: Status = Status::new(StatusCode::Failure, "\".\" and \"..\" cannot be renamed");

impl<F: Files> Server<F> {
    /// The plain path, and whether it is known to be a folder's. What it ends with is not looked at.
    async fn walk(&self, path: &Path) -> Result<(String, bool), Status> {
        let (mut at, mut is_folder) = (String::with_capacity(path.len()), true);
        let mut looks: usize = 0;
        for component in path.components() {
            match component {
                "." => {}
                ".." => {
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
                    at.push('/');
                    at.push_str(name);
                    is_folder = false;
                }
            }
        }
        if at.is_empty() {
            at.push('/');
        }
        Ok((at, is_folder))
    }

    /// Fails when a plain path is not a folder's.
    async fn folder(&self, path: &str) -> Result<(), Status> {
        if self.files.stat(path).await?.is_folder() { Ok(()) } else { Err(NOT_A_FOLDER) }
    }

    /// Of what is there; when it ends with a name, also of what is missing.
    pub(crate) async fn place(&self, path: &Path) -> Result<String, Status> {
        let (at, is_folder) = self.walk(path).await?;
        if !is_folder && path.ending() != Ending::Name {
            self.folder(&at).await?;
        }
        Ok(at)
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

    /// Of a file that is made when it is missing.
    pub(crate) async fn place_of_new_file(&self, path: &Path) -> Result<String, Status> {
        if path.ending() != Ending::Slash {
            return self.place(path).await;
        }
        self.above(&self.walk(path).await?.0).await?;
        Err(A_FOLDERS_NAME)
    }

    /// Of a folder to be made: a slash behind its name is right before it is there.
    pub(crate) async fn place_of_new_folder(&self, path: &Path) -> Result<String, Status> {
        match path.ending() {
            Ending::Name | Ending::Slash => Ok(self.walk(path).await?.0),
            Ending::Dot | Ending::DotDot => self.place(path).await,
        }
    }

    /// Of a folder to be removed.
    pub(crate) async fn place_to_remove(&self, path: &Path) -> Result<String, Status> {
        let at = self.place(path).await?;
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
        let old = self.place(from).await?;
        let has_dots = |path: &Path| matches!(path.ending(), Ending::Dot | Ending::DotDot);
        if has_dots(to) {
            self.place(to).await?;
        }
        if has_dots(from) || has_dots(to) {
            return Err(DOTS);
        }
        let (new, is_folder) = self.walk(to).await?;
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
