//! Paths inside an image.
use super::failure::Failure;
use std::ffi::OsString;

/// The absolute path that a word on the command line names inside an image: `docs`, `/docs` and
/// `./docs/../docs/` are one, and `..` stops at the root.
pub(super) fn inside(word: OsString) -> Result<String, Failure> {
    Ok(normal(&word.into_string()?))
}

fn normal(text: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in text.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}

/// `name` in the directory `path`.
pub(super) fn join(path: &str, name: &str) -> String {
    format!("{}/{name}", path.trim_end_matches('/'))
}

/// The directory and the name of a path; the root has no name.
pub(super) fn split(path: &str) -> Option<(&str, &str)> {
    let (parent, name) = path.rsplit_once('/')?;
    let parent = if parent.is_empty() { "/" } else { parent };
    (!name.is_empty()).then_some((parent, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (text, path) in [
            ("", "/"),
            (".", "/"),
            ("a", "/a"),
            ("/a//b/", "/a/b"),
            ("../a/./../b", "/b"),
            ("a/..", "/"),
        ] {
            assert_eq!(normal(text), path);
        }
        assert_eq!(join("/", "a"), "/a");
        assert_eq!(join("/a", "b"), "/a/b");
        assert_eq!(split("/a/b"), Some(("/a", "b")));
        assert_eq!(split("/a"), Some(("/", "a")));
        assert_eq!(split("/"), None);
    }
}
