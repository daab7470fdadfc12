//! How a command ends that could not do what it was asked.
use super::output;
use crate::ImageError;
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::process::ExitCode;

pub(super) enum Failure {
    /// Nothing failed: the help was asked for.
    Help(&'static str),
    /// The command line makes no sense: exit code 2.
    Usage(String),
    /// The text of a failure: exit code 1.
    Failed(String),
    /// Nothing could be checked: exit code 2.
    NotChecked(String),
    /// Everything that failed has been said already.
    Said,
    /// Whoever read the output has gone, which is no failure.
    OutputClosed,
}

impl Failure {
    pub fn usage(text: String) -> Self {
        Self::Usage(text)
    }

    /// A failure that has to do with an image, or with a file beside it.
    pub fn at(path: &Path, error: impl Display) -> Self {
        Self::Failed(format!("{}: {error}", path.display()))
    }

    /// A failure that has to do with `inside`, a path in an image.
    pub fn inside(image: &Path, inside: &str, error: impl Display) -> Self {
        Self::Failed(format!("{}: {inside}: {error}", image.display()))
    }

    pub fn report(self) -> ExitCode {
        let (text, code) = match self {
            Self::Help(text) => return output::print(text).unwrap_or(ExitCode::SUCCESS),
            Self::Usage(text) | Self::NotChecked(text) => (text, 2),
            Self::Failed(text) => (text, 1),
            Self::Said => return ExitCode::FAILURE,
            Self::OutputClosed => return ExitCode::SUCCESS,
        };
        eprintln!("fat: {}", output::plain(&text));
        ExitCode::from(code)
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<std::ffi::OsString> for Failure {
    /// What [`std::ffi::OsString::into_string`] gives back.
    fn from(word: std::ffi::OsString) -> Self {
        Self::Usage(format!("{}: not valid UTF-8, which names in an image are", word.display()))
    }
}

/// For writing to standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Failed(format!("standard output: {error}")),
        }
    }
}

impl From<(&Path, ImageError)> for Failure {
    fn from((path, error): (&Path, ImageError)) -> Self {
        Self::at(path, error)
    }
}
