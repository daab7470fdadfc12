//! What a Solo5 tender says about the machine (include/hvt_abi.h, include/mft_abi.h of Solo5): its memory,
//! the command line, the counter's rate, and the manifest, filled in with the devices that are attached.
//! All of it is copied.
use crate::boot::acpi::Acpi;
use crate::boot::physical::Physical;
use crate::boot::pvh::{BootError, BootInfo, Region, command_line};
use heapless::Vec;

/// The devices' names in the manifest, which is in boot.s.
const NET: &[u8] = b"service";
const DISK: &[u8] = b"storage";

const BLOCK: u32 = 1;
const NETWORK: u32 = 2;

/// The manifest's version, and the most entries that one has.
const VERSION: u32 = 1;
const ENTRIES: u32 = 64;
const ENTRY: u64 = 104;
const NAME: usize = 68;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    pub handle: u64,
    /// In bytes.
    pub capacity: u64,
    pub block_size: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    pub handle: u64,
    pub mac: [u8; 6],
    /// 0 where the tender does not know it.
    pub mtu: u16,
}

#[derive(Debug)]
pub struct Machine {
    /// Counts of the CPU's time stamp counter in a second.
    pub rate: u64,
    pub disk: Option<Disk>,
    pub net: Option<Net>,
}

impl Machine {
    /// Reads hvt_boot_info at `address`.
    pub fn read(memory: &impl Physical, address: u64) -> Result<(Self, BootInfo), BootError> {
        let field = |at: u64| {
            let at = address.checked_add(at).ok_or(BootError::BadAddress(address))?;
            number(memory, at, 8)
        };
        let (size, rate) = (field(0)?, field(16)?);
        let mut ram = Vec::new();
        // A buffer that ends where memory ends is refused, so the last page is nobody's.
        let end = size.saturating_sub(PAGE) & !(PAGE - 1);
        let region = Region { start: 1 << 20, end };
        // There is room for one.
        let _ = ram.push(region);
        let command_line_at = field(24)?;
        let command_line = command_line(memory, command_line_at)?;
        let info = BootInfo { command_line, command_line_at, ram, acpi: Acpi::default() };
        let mut machine = Self { rate, disk: None, net: None };
        machine.devices(memory, field(32)?)?;
        Ok((machine, info))
    }

    /// Reads the manifest. A device's handle is its place there.
    fn devices(&mut self, memory: &impl Physical, manifest: u64) -> Result<(), BootError> {
        let version = number(memory, manifest, 4)?;
        let entries = number(memory, manifest.saturating_add(4), 4)?;
        if version != VERSION.into() || entries > ENTRIES.into() {
            return Err(BootError::BadMagic(version as u32));
        }
        for handle in 0..entries {
            let at = manifest.saturating_add(8 + handle * ENTRY);
            let entry = memory.bytes(at, ENTRY).ok_or(BootError::BadAddress(at))?;
            let name = entry.get(..NAME).and_then(|name| name.split(|&byte| byte == 0).next());
            let word = |field: u64, len| number(memory, at.saturating_add(field), len);
            let kind = word(68, 4)? as u32;
            if word(96, 1)? == 0 {
                continue;
            }
            match (name, kind) {
                (Some(DISK), BLOCK) => {
                    let (capacity, block_size) = (word(72, 8)?, word(80, 2)? as u16);
                    self.disk = Some(Disk { handle, capacity, block_size });
                }
                (Some(NET), NETWORK) => {
                    let mac = entry.get(72..).and_then(|rest| rest.first_chunk());
                    let mac = *mac.ok_or(BootError::BadAddress(at))?;
                    self.net = Some(Net { handle, mac, mtu: word(78, 2)? as u16 });
                }
                _ => (),
            }
        }
        Ok(())
    }
}

const PAGE: u64 = 4096;

/// A number of so many bytes, 8 at most.
fn number(memory: &impl Physical, address: u64, len: u64) -> Result<u64, BootError> {
    let bytes = memory.bytes(address, len).ok_or(BootError::BadAddress(address))?;
    Ok(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory from 0x10000, as the tender fills it: boot info, the manifest at 0x10038, the command line.
    struct Fake(std::vec::Vec<u8>);

    impl Fake {
        fn new(line: &[u8]) -> Self {
            let mut fake = Self(vec![0; 0x1000]);
            let words = [32u64 << 20, 0x30_0000, 2_500_000_000, 0x10178, 0x10038];
            for (i, word) in words.into_iter().enumerate() {
                fake.put(8 * i, &word.to_le_bytes());
            }
            fake.put(0x38, &[1, 0, 0, 0, 3]);
            fake.entry(0, b"", 0x4000_0000, &[], false);
            fake.entry(1, NET, NETWORK, &[2, 1, 2, 3, 4, 5, 0xdc, 5], true);
            let disk = [&(64u64 << 20).to_le_bytes()[..], &512u16.to_le_bytes()].concat();
            fake.entry(2, DISK, BLOCK, &disk, true);
            fake.put(0x178, line);
            fake
        }

        fn put(&mut self, at: usize, bytes: &[u8]) {
            self.0[at..at + bytes.len()].copy_from_slice(bytes);
        }

        fn entry(&mut self, number: usize, name: &[u8], kind: u32, union: &[u8], attached: bool) {
            let at = 0x40 + 104 * number;
            self.put(at, &[0; 104]);
            self.put(at, name);
            self.put(at + 68, &kind.to_le_bytes());
            self.put(at + 72, union);
            self.put(at + 96, &[attached.into()]);
        }

        fn read(&self) -> Result<(Machine, BootInfo), BootError> {
            Machine::read(self, 0x10000)
        }
    }

    impl Physical for Fake {
        fn bytes(&self, address: u64, len: u64) -> Option<&[u8]> {
            let start = usize::try_from(address.checked_sub(0x10000)?).ok()?;
            self.0.get(start..start.checked_add(len as usize)?)
        }
    }

    #[test]
    fn a_tenders_machine_is_read() {
        let (machine, info) = Fake::new(b"--port 22022\0").read().unwrap();
        assert_eq!(info.command_line, b"--port 22022");
        assert_eq!(info.ram.as_slice(), [Region { start: 1 << 20, end: (32 << 20) - 4096 }]);
        assert_eq!(machine.rate, 2_500_000_000);
        let mac = [2, 1, 2, 3, 4, 5];
        assert_eq!(machine.net, Some(Net { handle: 1, mac, mtu: 1500 }));
        let disk = Disk { handle: 2, capacity: 64 << 20, block_size: 512 };
        assert_eq!(machine.disk, Some(disk));
    }

    #[test]
    fn what_is_not_attached_or_of_another_name_is_not_there() {
        let mut fake = Fake::new(b"\0");
        fake.entry(1, b"services", NETWORK, &[], true);
        fake.entry(2, DISK, BLOCK, &[], false);
        let (machine, _) = fake.read().unwrap();
        assert_eq!((machine.disk, machine.net), (None, None));
        fake.entry(1, NET, BLOCK, &[], true);
        fake.entry(2, DISK, NETWORK, &[], true);
        let (machine, _) = fake.read().unwrap();
        assert_eq!((machine.disk, machine.net), (None, None));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let read = |fake: &Fake| fake.read().map(|_| ());
        assert_eq!(
            Machine::read(&Fake::new(b"\0"), u64::MAX).map(|_| ()),
            Err(BootError::BadAddress(u64::MAX))
        );
        let mut fake = Fake::new(b"\0");
        fake.put(0x38, &[2]);
        assert_eq!(read(&fake), Err(BootError::BadMagic(2)));
        let mut fake = Fake::new(b"\0");
        fake.put(0x3c, &[65]);
        assert_eq!(read(&fake), Err(BootError::BadMagic(1)));
        fake.put(0x3c, &[64]);
        assert!(matches!(read(&fake), Err(BootError::BadAddress(_))), "beyond what can be read");
        let mut fake = Fake::new(b"");
        fake.0[0x178..].fill(b'x');
        assert!(read(&fake).is_err());
        // Less memory than a page is none: the heap says that it is too little.
        let mut fake = Fake::new(b"\0");
        fake.put(0, &[0; 8]);
        assert_eq!(fake.read().unwrap().1.ram.as_slice(), [Region { start: 1 << 20, end: 0 }]);
    }
}
