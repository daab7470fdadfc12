//! mirage-sshfs as a program that needs no operating system: this crate brings the machine up and
//! tears it down.
//!
//! All of it is compiled for the host, too, where the unit tests run; the program is `program.rs`, with
//! what only a freestanding one may have.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod boot;
mod budget;
mod console;
mod cpu;
mod entropy;
mod machine;

use zeroize::{Zeroize, Zeroizing};

use boot::{heap, memory, paging, pvh, solo5, traps};
use cpu::{Host, clock, power};

/// Who started the program, and so what it is told of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loader {
    Pvh,
    /// A tender of Solo5's `hvt`.
    Solo5,
}

/// The order in which the machine comes up. `info` is the address of PVH's hvm_start_info or of Solo5's
/// hvt_boot_info.
///
/// # Safety
/// Once, in long mode on the kernel's stack, with the low 4 GiB mapped to themselves, interrupts off, and
/// memory as this loader left it but for the image.
pub unsafe fn start(info: u64, loader: Loader) -> ! {
    cpu::set_host(match loader {
        Loader::Solo5 => Host::Solo5,
        Loader::Pvh if cpu::xen_leaves().is_some() => Host::Xen,
        Loader::Pvh => Host::Pc,
    });
    console::init();
    let (solo5, mut info) = {
        // SAFETY: the caller mapped the low 4 GiB to themselves, and only the image is written to
        // until `heap::init`, where this is gone.
        let loaded = unsafe { memory::Loaded::new() };
        match loader {
            Loader::Pvh => pvh::BootInfo::read(&loaded, info).map(|info| (None, info)),
            Loader::Solo5 => {
                solo5::Machine::read(&loaded, info).map(|(machine, info)| (Some(machine), info))
            }
        }
    }
    .unwrap_or_else(|e| stop(&e));
    // SAFETY: the loader's command line was read there, and the reader is gone.
    unsafe { memory::wipe(info.command_line_at, info.command_line.len()) };
    // SAFETY: the map's RAM is mapped to itself and free: what the loader left there was copied.
    // `read` refused overlapping regions. Nothing was allocated yet.
    let free = unsafe { heap::init(&info.ram) }.unwrap_or_else(|e| stop(&e));
    paging::init();
    traps::init();
    cpu::mem::choose(cpu::time_stamp);
    match &solo5 {
        Some(machine) => clock::init_at(machine.rate),
        None => clock::init(),
    }
    .unwrap_or_else(|e| stop(&e));
    let clients = budget::Budget::new(free).server.connections;
    log::info!("memory: {} KiB for the heap, enough for {clients} clients", free >> 10);
    entropy::init().unwrap_or_else(|e| stop(&e));
    let (options, told) = words(&info.command_line);
    info.command_line.as_mut_slice().zeroize();
    let ended = match (solo5, cpu::host()) {
        (Some(solo5), _) => machine::solo5::run(&solo5, options, free),
        (None, Host::Xen) => {
            let window = info.window(WINDOW).unwrap_or_else(|| stop(&"no room for Xen's pages"));
            // SAFETY: this is ring 0, once, with the heap and the low 4 GiB mapped to themselves. `window`
            // took addresses that the memory map leaves empty, under Xen alone.
            unsafe { machine::xen::run(window, options, free) }
        }
        // SAFETY: this is ring 0, once, with the low 4 GiB mapped to themselves.
        (None, _) => unsafe { machine::virtio::run(&info, &told, options, free) },
    };
    match ended {
        Ok(()) => power::off(),
        Err(e) => stop(&e),
    }
}

/// Pages that are mapped outside RAM: shared_info, 64 of grants, and those of other domains.
const WINDOW: u64 = 65 + drivers::xen::vchan::qrexec::PAGES;

/// What the command line says to the server, and of the machine's devices. A guest has nobody to
/// tell but the log: what cannot be used is ignored.
fn words(command_line: &[u8]) -> (server::Options, machine::virtio::Told) {
    let line = Zeroizing::new(alloc::string::String::from_utf8_lossy(command_line).into_owned());
    let mut told = machine::virtio::Told::default();
    let mut problems = alloc::vec::Vec::new();
    let mut words = server::words(&line);
    log::info!("command line:{}", server::Options::shown(words.iter().map(|word| word.as_str())));
    // For tests of the watchdog.
    words.retain(|word| {
        word != "stand-still" || {
            cpu::watchdog::ask_to_stand();
            false
        }
    });
    words.retain(|word| match told.take(word) {
        None => true,
        Some(Ok(())) => false,
        Some(Err(e)) => {
            problems.push(alloc::format!("{word}: {e}"));
            false
        }
    });
    let (options, others) = server::Options::parse(words.iter().map(|word| word.as_str()));
    words.zeroize();
    console::set_levels(options.levels.clone());
    for problem in problems.iter().chain(&others) {
        log::warn!("ignored on the command line: {problem}");
    }
    (options, told)
}

/// Ends the machine after a fault of the kernel's own.
pub fn fail(why: &dyn core::fmt::Display) -> ! {
    console::print(format_args!("{why}\n"));
    power::fail()
}

/// Says why the machine cannot run, and ends it.
fn stop(reason: &dyn core::fmt::Display) -> ! {
    // For somebody who reads nothing but Xen's console: the drivers may not be there yet.
    if heap::is_there() && console::lacks_xen() {
        // SAFETY: this is ring 0, and the low 4 GiB have been mapped to themselves since boot.s. It is the
        // only console so far.
        if let Some(console) = unsafe { drivers::Hypervisor::early_console() } {
            console::add_xen(console);
        }
    }
    console::print(format_args!("mirage-sshfs cannot run: {reason}\n"));
    power::fail()
}
