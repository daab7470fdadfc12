//! The `fat` command: makes disk images, looks into them and changes them.
use std::process::ExitCode;

fn main() -> ExitCode {
    unix::fat_command::run()
}
