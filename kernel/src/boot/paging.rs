//! The final page tables (AMD64 APM 2, 5.3): the low 4 GiB mapped to themselves, the kernel's text
//! executable and read-only, its constants read-only, everything else writable and not executable.
//! Page 0 and the page below the stack are not mapped.
use crate::boot::memory;
use alloc::boxed::Box;
use bitflags::bitflags;
use core::arch::asm;
use spin::Mutex;

const PAGE: u64 = 4096;
const LARGE_PAGE: u64 = 2 << 20;
const ENTRIES: u64 = 512;

bitflags! {
    #[derive(Clone, Copy)]
    struct Flags: u64 {
        const PRESENT = 1;
        const WRITABLE = 1 << 1;
        /// Neither cached nor combined: device memory.
        const UNCACHED = 1 << 4 | 1 << 3;
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

/// The address of the tables in force; 0 before `init`.
static ROOT: Mutex<u64> = Mutex::new(0);

/// Builds the tables and puts them in force.
pub fn init() {
    let directories = Table::leak(|gigabyte| match gigabyte {
        0..4 => Table::leak(|i| directory_entry((gigabyte << 30) + i * LARGE_PAGE)),
        _ => 0,
    });
    let root = Table::leak(|i| if i == 0 { directories } else { 0 });
    let root = root & !(PAGE - 1);
    *ROOT.lock() = root;
    // SAFETY: the tables map all memory to itself as boot.s' tables did, so the code, the stack
    // and every pointer mean the same after as before. They are never freed. What was writable
    // and used stays writable: the heap, .data, .bss and the stack.
    unsafe { asm!("mov cr3, {}", in(reg) root, options(nostack, preserves_flags)) }
}

/// Maps device memory to itself; false where the CPU has no such address. The low 4 GiB are mapped
/// already.
pub fn map_device(address: u64, size: u64) -> bool {
    /// Half of the address space, less than which every CPU's physical addresses are.
    const END: u64 = 1 << 47;
    let Some(end) = address.checked_add(size).filter(|&end| end <= END) else {
        return false;
    };
    let root = ROOT.lock();
    let mut page = (address & !(LARGE_PAGE - 1)).max(1 << 32);
    while page < end {
        let directory = below(below(*root, page >> 39), page >> 30);
        let flags = Flags::PRESENT | Flags::WRITABLE | Flags::LARGE | Flags::NO_EXECUTE;
        update(directory, page >> 21, |_| page | (flags | Flags::UNCACHED).bits());
        page += LARGE_PAGE;
    }
    true
}

/// The table that an entry of `table` leads to, made when there is none.
fn below(table: u64, number: u64) -> u64 {
    let entry = update(table, number, |entry| if entry == 0 { Table::leak(|_| 0) } else { entry });
    entry & !(PAGE - 1) & !Flags::NO_EXECUTE.bits()
}

/// Changes an entry of a table, counted from the table's own first, and gives what it is now.
fn update(table: u64, number: u64, change: impl FnOnce(u64) -> u64) -> u64 {
    let at = (table + number % ENTRIES * 8) as *mut u64;
    // SAFETY: `table` comes from `ROOT` or from an entry that `Table::leak` made: a table that is
    // mapped to itself, never freed and, after `init`, reached by nobody but who holds `ROOT` and by
    // the CPU, hence volatile.
    unsafe {
        let entry = change(at.read_volatile());
        at.write_volatile(entry);
        entry
    }
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
