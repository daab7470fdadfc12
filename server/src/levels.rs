//! What is logged: a comma list of `level`, `*:level` and `source:level`, as MirageOS' `--logs`.
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use log::{Level, LevelFilter};

/// A level for everything and exceptions for some sources. A source is a crate or a driver: `fat`,
/// `sftp`, `net`, `server`, `sunset`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    all: LevelFilter,
    sources: Vec<(String, LevelFilter)>,
}

impl Default for Levels {
    fn default() -> Self {
        Self { all: LevelFilter::Info, sources: Vec::new() }
    }
}

impl Levels {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut levels = Self::default();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (source, level) = part.split_once(':').unwrap_or(("*", part));
            let level = level_named(level).ok_or_else(|| {
                format!("no log level {level:?}: quiet, error, warning, info, debug or trace")
            })?;
            match source {
                "*" => levels.all = level,
                _ => levels.sources.push((source.to_owned(), level)),
            }
        }
        Ok(levels)
    }

    /// Whether a message of `level` from `target` (a module path) is wanted.
    pub fn enabled(&self, level: Level, target: &str) -> bool {
        let source = target.split("::").next().unwrap_or(target);
        let wanted = self.sources.iter().rev().find(|(name, _)| name == source);
        level <= wanted.map_or_else(|| self.of_others(source), |(_, level)| *level)
    }

    /// sunset reports what clients do wrong as its own warnings; they are for debugging.
    fn of_others(&self, source: &str) -> LevelFilter {
        match source {
            "sunset" if self.all < LevelFilter::Debug => self.all.min(LevelFilter::Error),
            _ => self.all,
        }
    }

    /// The most that any source wants.
    pub fn most(&self) -> LevelFilter {
        self.sources.iter().map(|(_, level)| *level).fold(self.all, Ord::max)
    }
}

fn level_named(name: &str) -> Option<LevelFilter> {
    Some(match name.to_ascii_lowercase().as_str() {
        "quiet" | "off" => LevelFilter::Off,
        "error" => LevelFilter::Error,
        "warning" | "warn" => LevelFilter::Warn,
        "info" | "app" => LevelFilter::Info,
        "debug" => LevelFilter::Debug,
        "trace" => LevelFilter::Trace,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_on_a_source_counts_and_others_keep_the_level_of_all() {
        let levels = Levels::parse("sftp:debug,*:error,sftp:trace").unwrap();
        assert!(levels.enabled(Level::Trace, "sftp::server"));
        assert!(!levels.enabled(Level::Warn, "fat::volume"));
        assert_eq!(levels.most(), LevelFilter::Trace);
    }

    #[test]
    fn levels_have_the_names_that_others_give_them() {
        for (names, level) in [
            (["quiet", "off"], LevelFilter::Off),
            (["error", "ERROR"], LevelFilter::Error),
            (["warning", "warn"], LevelFilter::Warn),
            (["info", "app"], LevelFilter::Info),
            (["debug", "Debug"], LevelFilter::Debug),
            (["trace", "trace"], LevelFilter::Trace),
        ] {
            assert_eq!(names.map(|name| Levels::parse(name).unwrap().most()), [level; 2]);
        }
    }

    #[test]
    fn warnings_of_sunset_are_for_debugging() {
        for (level, warns) in [("error", false), ("info", false), ("debug", true), ("trace", true)]
        {
            let levels = Levels::parse(level).unwrap();
            assert!(levels.enabled(Level::Error, "sunset::runner"), "{level}");
            assert_eq!(levels.enabled(Level::Warn, "sunset::runner"), warns, "{level}");
        }
        assert!(Levels::parse("info,sunset:warn").unwrap().enabled(Level::Warn, "sunset"));
    }

    #[test]
    fn a_plain_level_is_for_all() {
        let levels = Levels::parse("quiet").unwrap();
        assert!(!levels.enabled(Level::Error, "net"));
        assert!(Levels::parse("*:loud").is_err());
        assert!(Levels::parse("").unwrap().enabled(Level::Info, "server"));
    }
}
