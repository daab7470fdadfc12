//! What the PVH loader says about the machine: hvm_start_info, the command line and the memory map
//! (xen/include/public/arch-x86/hvm/start_info.h). All of it is copied: it lies in memory that the
//! heap takes over.
use crate::boot::acpi::Acpi;
use crate::boot::physical::Physical;
use core::fmt;
use core::ops::Range;
use heapless::Vec;

const MAGIC: u32 = 0x336e_c578;
const COMMAND_LINE_MAX: usize = 4096;
const REGIONS_MAX: usize = 128;
/// HVM_MEMMAP_TYPE_RAM.
const RAM: u32 = 1;

/// A range of physical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    pub start: u64,
    /// The first address after it.
    pub end: u64,
}

impl Region {
    fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The whole pages of it that the heap may have: none below 1 MiB, where firmware keeps its
    /// tables, none at 4 GiB and above, which is not mapped, and none of the kernel's image.
    pub fn free_parts(&self, image: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
        const PAGE: u64 = 4096;
        let start = self.start.max(1 << 20).saturating_add(PAGE - 1) & !(PAGE - 1);
        let end = self.end.min(1 << 32) & !(PAGE - 1);
        let parts = [start..end.min(image.start), start.max(image.end)..end];
        parts.into_iter().filter(|part| part.start < part.end)
    }
}

#[derive(Debug)]
pub struct BootInfo {
    /// As the loader gave it, without the final zero.
    pub command_line: Vec<u8, COMMAND_LINE_MAX>,
    /// Where the loader has it.
    pub command_line_at: u64,
    /// The RAM of the memory map; no two regions overlap.
    pub ram: Vec<Region, REGIONS_MAX>,
    pub acpi: Acpi,
}

impl BootInfo {
    /// Addresses for `pages` pages below 4 GiB that hold no RAM. Devices and the loader's tables
    /// lie at the top, from 0xfc000000 on.
    pub fn window(&self, pages: u64) -> Option<Range<u64>> {
        const DEVICES: u64 = 0xfc00_0000;
        const ALIGNMENT: u64 = 2 << 20;
        let below = self.ram.iter().filter(|region| region.start < DEVICES);
        let end = below.map(|region| region.end).max()?.checked_next_multiple_of(ALIGNMENT)?;
        let window = end..end.checked_add(pages.checked_mul(4096)?)?;
        (window.end <= DEVICES).then_some(window)
    }
}

impl BootInfo {
    /// Whether these addresses can be a device's: mapped, in the low 4 GiB, and without RAM or what
    /// lies below 1 MiB.
    pub fn is_device(&self, address: u64, size: u64) -> bool {
        let device = Region { start: address, end: address.saturating_add(size) };
        device.end <= 1 << 32 && self.is_free(address, size)
    }

    /// The same for addresses that may be above 4 GiB, and be still to be mapped.
    pub fn is_free(&self, address: u64, size: u64) -> bool {
        let device = Region { start: address, end: address.saturating_add(size) };
        device.start >= 1 << 20 && !self.ram.iter().any(|region| region.overlaps(&device))
    }
}

/// Why the loader's information cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub enum BootError {
    /// An address outside the memory that can be read.
    BadAddress(u64),
    BadMagic(u32),
    /// Version 0 of the structure has no memory map.
    NoMemoryMap,
    TooManyRegions(u32),
    OverlappingRegions(Region),
    CommandLineTooLong,
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the loader's start information cannot be used: ")?;
        match self {
            Self::BadAddress(address) => write!(f, "bad address {address:#x}"),
            Self::BadMagic(magic) => write!(f, "magic number {magic:#x} is not PVH's"),
            Self::NoMemoryMap => f.write_str("it has no memory map"),
            Self::TooManyRegions(n) => write!(f, "a memory map of {n} entries"),
            Self::OverlappingRegions(r) => {
                write!(f, "memory {:#x} to {:#x} is described twice", r.start, r.end)
            }
            Self::CommandLineTooLong => {
                write!(f, "a command line longer than {COMMAND_LINE_MAX} bytes")
            }
        }
    }
}

impl BootInfo {
    /// Reads hvm_start_info at `address`.
    pub fn read(memory: &impl Physical, address: u64) -> Result<Self, BootError> {
        let header = Fields { memory, address };
        let magic = header.u32(0)?;
        if magic != MAGIC {
            return Err(BootError::BadMagic(magic));
        }
        if header.u32(4)? < 1 {
            return Err(BootError::NoMemoryMap);
        }
        let command_line_at = header.u64(24)?;
        Ok(Self {
            command_line: command_line(memory, command_line_at)?,
            command_line_at,
            ram: ram(memory, header.u64(40)?, header.u32(48)?)?,
            acpi: Acpi::read(memory, header.u64(32)?),
        })
    }
}

/// A text that ends with a zero; empty at address 0.
pub fn command_line(
    memory: &impl Physical,
    address: u64,
) -> Result<Vec<u8, COMMAND_LINE_MAX>, BootError> {
    let mut line = Vec::new();
    if address == 0 {
        return Ok(line);
    }
    loop {
        let at = address.saturating_add(line.len() as u64);
        match memory.bytes(at, 1) {
            Some([0]) => return Ok(line),
            Some([byte]) => line.push(*byte).map_err(|_| BootError::CommandLineTooLong)?,
            _ => return Err(BootError::BadAddress(at)),
        }
    }
}

/// hvm_memmap_table_entry: address, size, type, reserved; 24 bytes.
fn ram(
    memory: &impl Physical,
    address: u64,
    entries: u32,
) -> Result<Vec<Region, REGIONS_MAX>, BootError> {
    let mut ram = Vec::new();
    let mut all: Vec<Region, REGIONS_MAX> = Vec::new();
    for i in 0..u64::from(entries) {
        let entry = Fields { memory, address: address.saturating_add(i.saturating_mul(24)) };
        let start = entry.u64(0)?;
        let region = Region { start, end: start.saturating_add(entry.u64(8)?) };
        if region.start == region.end {
            continue;
        }
        if entry.u32(16)? == RAM {
            ram.push(region).map_err(|_| BootError::TooManyRegions(entries))?;
        }
        all.push(region).map_err(|_| BootError::TooManyRegions(entries))?;
    }
    // The heap relies on this: memory given twice would be owned twice.
    for region in &ram {
        if all.iter().filter(|other| region.overlaps(other)).count() != 1 {
            return Err(BootError::OverlappingRegions(*region));
        }
    }
    if ram.is_empty() { Err(BootError::NoMemoryMap) } else { Ok(ram) }
}

/// Little-endian fields at offsets from an address.
struct Fields<'a, M> {
    memory: &'a M,
    address: u64,
}

impl<M: Physical> Fields<'_, M> {
    fn array<const N: usize>(&self, offset: u64) -> Result<[u8; N], BootError> {
        let at = self.address.saturating_add(offset);
        let bytes = self.memory.bytes(at, N as u64).and_then(|b| b.try_into().ok());
        bytes.ok_or(BootError::BadAddress(at))
    }

    fn u32(&self, offset: u64) -> Result<u32, BootError> {
        self.array(offset).map(u32::from_le_bytes)
    }

    fn u64(&self, offset: u64) -> Result<u64, BootError> {
        self.array(offset).map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory from address 0x1000.
    struct Fake(std::vec::Vec<u8>);

    impl Fake {
        /// hvm_start_info at 0x1000, the command line at 0x1100, the memory map at 0x1200.
        fn new(command_line: &[u8], map: &[(u64, u64, u32)]) -> Self {
            let mut memory = Self(vec![0; 0x4000]);
            memory.put(0x000, &MAGIC.to_le_bytes());
            memory.put(0x004, &1u32.to_le_bytes());
            memory.put(0x018, &0x1100u64.to_le_bytes());
            memory.put(0x028, &0x1200u64.to_le_bytes());
            memory.put(0x030, &(map.len() as u32).to_le_bytes());
            memory.put(0x100, command_line);
            for (i, (address, size, kind)) in map.iter().enumerate() {
                memory.put(0x200 + 24 * i, &address.to_le_bytes());
                memory.put(0x208 + 24 * i, &size.to_le_bytes());
                memory.put(0x210 + 24 * i, &kind.to_le_bytes());
            }
            memory
        }

        fn put(&mut self, at: usize, bytes: &[u8]) {
            self.0[at..at + bytes.len()].copy_from_slice(bytes);
        }
    }

    impl Physical for Fake {
        fn bytes(&self, address: u64, len: u64) -> Option<&[u8]> {
            let start = usize::try_from(address.checked_sub(0x1000)?).ok()?;
            self.0.get(start..start.checked_add(len as usize)?)
        }
    }

    /// As Xen describes a domain of 32 MiB.
    const XEN: &[(u64, u64, u32)] =
        &[(0, 0x200_0000, 1), (0xfc00_0000, 0x1000, 3), (0xfeff_8000, 0x8000, 2)];

    #[test]
    fn command_line_and_ram_are_found() {
        let info = BootInfo::read(&Fake::new(b"--port 22\0", XEN), 0x1000).unwrap();
        assert_eq!(info.command_line, b"--port 22");
        assert_eq!(info.ram.as_slice(), [Region { start: 0, end: 0x200_0000 }]);
    }

    #[test]
    fn no_command_line_is_an_empty_one() {
        let mut memory = Fake::new(b"", XEN);
        memory.put(0x018, &[0; 8]);
        assert!(BootInfo::read(&memory, 0x1000).unwrap().command_line.is_empty());
    }

    #[test]
    fn what_is_no_start_info_is_refused() {
        let read = |memory: &Fake, address| BootInfo::read(memory, address).map(|_| ());
        let good = Fake::new(b"", XEN);
        assert_eq!(read(&good, 0x1004), Err(BootError::BadMagic(1)));
        assert_eq!(read(&good, 0), Err(BootError::BadAddress(0)));
        assert_eq!(read(&good, u64::MAX), Err(BootError::BadAddress(u64::MAX)));
        let mut old = Fake::new(b"", XEN);
        old.put(0x004, &[0; 4]);
        assert_eq!(read(&old, 0x1000), Err(BootError::NoMemoryMap));
        assert_eq!(read(&Fake::new(b"", &[(0, 4096, 2)]), 0x1000), Err(BootError::NoMemoryMap));
        let mut endless = good;
        endless.0[0x100..].fill(b'x');
        endless.put(0x028, &0x1000u64.to_le_bytes());
        assert_eq!(read(&endless, 0x1000), Err(BootError::CommandLineTooLong));
    }

    #[test]
    fn a_map_without_end_is_refused() {
        let mut memory = Fake::new(b"", XEN);
        memory.put(0x030, &u32::MAX.to_le_bytes());
        for i in 0..500 {
            memory.put(0x200 + 24 * i, &(i as u64 * 4096).to_le_bytes());
            memory.put(0x208 + 24 * i, &4096u64.to_le_bytes());
            memory.put(0x210 + 24 * i, &1u32.to_le_bytes());
        }
        let error = BootInfo::read(&memory, 0x1000).map(|_| ());
        assert_eq!(error, Err(BootError::TooManyRegions(u32::MAX)));
    }

    #[test]
    fn memory_that_is_described_twice_is_refused() {
        let twice = Region { start: 0, end: 0x200_0000 };
        for second in [(0x100_0000, 0x1000, 1), (0x100_0000, 0x1000, 2), (0, 0x200_0000, 1)] {
            let memory = Fake::new(b"", &[(0, 0x200_0000, 1), second]);
            let error = BootInfo::read(&memory, 0x1000).map(|_| ());
            assert_eq!(error, Err(BootError::OverlappingRegions(twice)));
        }
    }

    #[test]
    fn the_heap_gets_neither_the_image_nor_the_firmware_memory() {
        let parts = |start, end| {
            let parts = Region { start, end }.free_parts(&(0x10_0000..0x18_0000));
            parts.map(|p| (p.start, p.end)).collect::<std::vec::Vec<_>>()
        };
        assert_eq!(parts(0, 0x200_0000), [(0x18_0000, 0x200_0000)]);
        assert_eq!(parts(0, 0x9_fc00), []);
        assert_eq!(parts(0x17_0000, 0x17_8000), []);
        assert_eq!(parts(0x20_0001, 0x20_2fff), [(0x20_1000, 0x20_2000)]);
        assert_eq!(parts(0xffff_f000, u64::MAX), [(0xffff_f000, 0x1_0000_0000)]);
        assert_eq!(parts(0x1_0000_0000, u64::MAX), []);
    }

    #[test]
    fn xens_pages_lie_where_no_ram_is() {
        let info = |ram: &[(u64, u64)]| BootInfo {
            command_line: Vec::new(),
            command_line_at: 0,
            ram: ram.iter().map(|&(start, end)| Region { start, end }).collect(),
            acpi: Acpi::default(),
        };
        let small = info(&[(0, 0x9f000), (1 << 20, (32 << 20) - 4096)]);
        assert_eq!(small.window(65), Some(32 << 20..(32 << 20) + 65 * 4096));
        let large = info(&[(0, 0xf000_0000), (4 << 30, 5 << 30)]);
        assert_eq!(large.window(65), Some(0xf000_0000..0xf000_0000 + 65 * 4096));
        assert_eq!(info(&[(0, 0xfbff_f000)]).window(65), None);
        assert_eq!(info(&[]).window(65), None);
    }

    #[test]
    fn devices_are_where_nothing_else_is() {
        let ram = [Region { start: 1 << 20, end: 32 << 20 }].into_iter().collect();
        let info =
            BootInfo { command_line: Vec::new(), command_line_at: 0, ram, acpi: Acpi::default() };
        assert!(info.is_device(0xfeb0_0000, 512));
        assert!(info.is_device(0xffff_f000, 4096));
        for (address, size) in [
            (0, 512),
            (0x9_fc00, 512),
            (2 << 20, 512),
            ((32 << 20) - 256, 512),
            (0xffff_f000, 4097),
            (1 << 32, 512),
            (0xfeb0_0000, u64::MAX),
        ] {
            assert!(!info.is_device(address, size), "{size} at {address:#x}");
        }
    }
}
