//! The `fat` command: which words it knows, and how it ends. Each command is a file beside this
//! one.
mod add;
mod check;
mod create;
mod failure;
mod grow;
mod list;
mod mkdir;
mod output;
mod paths;
mod posix;
mod remove;
mod size;
mod volume;

use failure::Failure;
use fat::Place;
use lexopt::prelude::*;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "\
Makes FAT and exFAT disk images, looks into them and changes them, without mounting.

Usage: fat COMMAND IMAGE …

  create  make an image, or format one again
  add     copy files and directories into an image
  list    list a directory
  cat     write a file to standard output
  rm      remove files and directories
  mkdir   make directories
  check   look for damage, changing nothing
  grow    make the file system as large as its image
  posix   have an exFAT volume keep permission bits, owners and symbolic links
  plain   take them off, so that any system may write the volume

`fat COMMAND --help` says more. Paths inside an image are written with `/`. All but create take
--partition N, for partition N of a disk, or --partition whole, for the disk as a whole: what they
find by themselves they only read where there is a doubt.
";

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let known = log::set_logger(&Warnings);
    if known.is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
    match dispatch() {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn dispatch() -> Result<ExitCode, Failure> {
    let mut words = lexopt::Parser::from_env();
    let command = match words.next()? {
        Some(Value(word)) => word.string()?,
        Some(Short('h') | Long("help")) => return Ok(output::print(HELP)?),
        Some(Short('V') | Long("version")) => {
            return Ok(output::print(concat!(
                "fat (mirage-sshfs) ",
                env!("CARGO_PKG_VERSION"),
                "\n"
            ))?);
        }
        Some(other) => return Err(other.unexpected().into()),
        None => {
            return Err(Failure::usage("which command? See `fat --help`".to_string()));
        }
    };
    let command: fn(&mut Words) -> Result<ExitCode, Failure> = match command.as_str() {
        "create" => create::run,
        "add" => add::run,
        "list" | "ls" => list::run,
        "cat" => list::cat,
        "rm" => remove::run,
        "mkdir" => mkdir::run,
        "check" => check::run,
        "grow" => grow::run,
        "posix" => posix::posix,
        "plain" => posix::plain,
        "help" => return Ok(output::print(HELP)?),
        other => {
            return Err(Failure::usage(format!("there is no command `{other}`: see `fat --help`")));
        }
    };
    command(&mut Words { parser: words, help: "", place: Place::Found })
}

/// The words after the command's name.
struct Words {
    parser: lexopt::Parser,
    help: &'static str,
    /// What --partition said.
    place: Place,
}

/// One word of a command line.
enum Word {
    /// An option, with its dashes.
    Option(String),
    Operand(OsString),
}

impl Words {
    /// The next word; `None` at the end. `--help` is answered here.
    fn next(&mut self) -> Result<Option<Word>, Failure> {
        Ok(Some(match self.parser.next()? {
            Some(Short('h') | Long("help")) => return Err(Failure::Help(self.help)),
            Some(Short(letter)) => Word::Option(format!("-{letter}")),
            Some(Long(name)) => Word::Option(format!("--{name}")),
            Some(Value(operand)) => Word::Operand(operand),
            None => return Ok(None),
        }))
    }

    /// The value of the option that came last.
    fn value(&mut self) -> Result<String, Failure> {
        Ok(self.parser.value()?.string()?)
    }

    /// The error for an option that the command does not have.
    fn unknown<T>(&self, option: &str) -> Result<T, Failure> {
        Err(Failure::usage(format!(
            "there is no option `{option}` here: use --help to see which there are"
        )))
    }

    /// Reads options that have no value, by `flag`, and operands: the image and what follows it.
    fn image_and_rest(
        &mut self,
        help: &'static str,
        flag: &mut dyn FnMut(&str, &mut Self) -> Result<bool, Failure>,
    ) -> Result<(PathBuf, Vec<OsString>), Failure> {
        self.help = help;
        let mut operands = Vec::new();
        while let Some(word) = self.next()? {
            match word {
                Word::Operand(operand) => operands.push(operand),
                Word::Option(option) if option == "--partition" => {
                    let value = self.value()?;
                    let place = value.parse();
                    self.place =
                        place.map_err(|e| Failure::usage(format!("--partition {value:?}: {e}")))?;
                }
                Word::Option(option) => {
                    if !flag(&option, self)? {
                        return self.unknown(&option);
                    }
                }
            }
        }
        if operands.is_empty() {
            return Err(Failure::usage("which image? See --help".to_string()));
        }
        let image = PathBuf::from(operands.remove(0));
        Ok((image, operands))
    }
}

/// What the file system has to say while it works.
struct Warnings;

impl log::Log for Warnings {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            eprintln!("fat: {}", record.args());
        }
    }

    fn flush(&self) {}
}
