//! The final page tables (AMD64 APM 2, 5.3): the low 4 GiB mapped to themselves, the kernel's text
//! executable and read-only, its constants read-only, everything else writable and not executable.
//! Page 0 and the page below the stack are not mapped.
use crate::memory;
use alloc::boxed::Box;
use bitflags::bitflags;
use core::arch::asm;

const PAGE: u64 = 4096;
const LARGE_PAGE: u64 = 2 << 20;
const ENTRIES: u64 = 512;

bitflags! {
    #[derive(Clone, Copy)]
    struct Flags: u64 {
        const PRESENT = 1;
        const WRITABLE = 1 << 1;
        /// In a page directory: the entry maps 2 MiB and is no table.
        const LARGE = 1 << 7;
        const NO_EXECUTE = 1 << 63;
    }
}

#[repr(align(4096))]
struct Table([u64; ENTRIES as usize]);

impl Table {
    /// A table that is never freed, and its address as a present, writable entry.
    fn leak(entry: impl FnMut(u64) -> u64) -> u64 {
        let mut number = 0..ENTRIES;
        let mut entry = entry;
        let table = Box::leak(Box::new(Self([0; ENTRIES as usize])));
        table.0.fill_with(|| number.next().map_or(0, &mut entry));
        // Memory is mapped to itself, so this is the physical address too.
        (&raw const *table).addr() as u64 | (Flags::PRESENT | Flags::WRITABLE).bits()
    }
}

/// Builds the tables and puts them in force.
pub fn init() {
    let directories = Table::leak(|gigabyte| match gigabyte {
        0..4 => Table::leak(|i| directory_entry((gigabyte << 30) + i * LARGE_PAGE)),
        _ => 0,
    });
    let root = Table::leak(|i| if i == 0 { directories } else { 0 });
    let root = root & !(PAGE - 1);
    // SAFETY: the tables map all memory to itself as boot.s' tables did, so the code, the stack
    // and every pointer mean the same after as before. They are never freed. What was writable
    // and used stays writable: the heap, .data, .bss and the stack.
    unsafe { asm!("mov cr3, {}", in(reg) root, options(nostack, preserves_flags)) }
}

/// The mapping of the 2 MiB at `address`: in small pages where protections differ.
fn directory_entry(address: u64) -> u64 {
    if address < memory::image().end {
        Table::leak(|i| page_entry(address + i * PAGE))
    } else {
        let flags = Flags::PRESENT | Flags::WRITABLE | Flags::LARGE | Flags::NO_EXECUTE;
        address | flags.bits()
    }
}

fn page_entry(address: u64) -> u64 {
    let flags = if address == 0 || memory::stack_guard().contains(&address) {
        return 0;
    } else if memory::text().contains(&address) {
        Flags::PRESENT
    } else if memory::read_only_data().contains(&address) {
        Flags::PRESENT | Flags::NO_EXECUTE
    } else {
        Flags::PRESENT | Flags::WRITABLE | Flags::NO_EXECUTE
    };
    address | flags.bits()
}
