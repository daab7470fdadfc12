//! The kernel's program. Only the build of kernel.mk is the kernel: for the host there is nothing to run.
#![cfg_attr(freestanding, no_std, no_main)]

#[cfg(freestanding)]
mod entry;

#[cfg(not(freestanding))]
fn main() {
    eprintln!("The kernel runs on no operating system: build it with `make kernel`.");
}
