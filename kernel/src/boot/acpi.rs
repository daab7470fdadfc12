//! What the ACPI tables say of the machine's devices (ACPI 6.5, 5.2): how it is switched off, where it tells of its
//! power button, and which virtio devices have their registers in memory. AML is not run: what is found is what
//! QEMU, Firecracker and cloud-hypervisor write, and what they write otherwise is not found.
use crate::boot::physical::Physical;
use drivers::virtio::mmio::Place;
use heapless::Vec;

/// Larger tables and more of them no monitor has.
const LONGEST: u64 = 1 << 20;
const TABLES: u64 = 64;

/// Every table's: signature, length, and others up to here.
const HEADER: u64 = 36;

/// Where the machine is asked to sleep, in the register of machines without ACPI's older ones (ACPI 4.8.3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleep {
    Port(u64),
    Memory(u64),
}

/// The register that tells of events and forgets them when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events {
    pub address: u64,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// QEMU's microvm: 32 bits.
    Qemu,
    /// A byte.
    CloudHypervisor,
}

#[derive(Debug, Default)]
pub struct Acpi {
    pub sleep: Option<Sleep>,
    pub events: Option<Events>,
    pub devices: Vec<Place, 32>,
}

impl Acpi {
    /// Reads what the root pointer at this address leads to. Tables that are not whole are not there.
    pub fn read(memory: &impl Physical, pointer: u64) -> Self {
        let mut found = Self::default();
        // Both end early where something is missing.
        let _ = found.tables(memory, pointer);
        found
    }

    fn tables(&mut self, memory: &impl Physical, pointer: u64) -> Option<()> {
        /// Before this revision there was only the table of 32-bit addresses.
        const EXTENDED: u8 = 2;
        let root = memory.bytes(pointer, 36)?;
        root.starts_with(b"RSD PTR ").then_some(())?;
        let (table, width) = match root.get(15)? {
            &revision if revision >= EXTENDED && number(root, 24, 8)? != 0 => {
                (table(memory, number(root, 24, 8)?)?, 8)
            }
            _ => (table(memory, number(root, 16, 4)?)?, 4),
        };
        let addresses = table.get(HEADER as usize..)?.chunks_exact(width).take(TABLES as usize);
        for address in addresses.filter_map(|bytes| number(bytes, 0, width)) {
            let table = self::table(memory, address).filter(|table| table.starts_with(b"FACP"));
            let _ = table.and_then(|table| self.fixed(memory, table));
        }
        Some(())
    }

    /// The fixed description table (5.2.9), and the first table of AML, which it names.
    fn fixed(&mut self, memory: &impl Physical, table: &[u8]) -> Option<()> {
        /// HW_REDUCED_ACPI.
        const REDUCED: u64 = 1 << 20;
        let old = number(table, 40, 4)?;
        let address = number(table, 140, 8).filter(|&address| address != 0).unwrap_or(old);
        if number(table, 112, 4)? & REDUCED != 0 {
            // SLEEP_CONTROL_REG, a generic address: its space, and where there.
            self.sleep = match (number(table, 244, 1), number(table, 248, 8)?) {
                (_, 0) => None,
                (Some(0), address) => Some(Sleep::Memory(address)),
                (Some(1), port) => Some(Sleep::Port(port)),
                _ => None,
            };
        }
        let aml = self::table(memory, address)?;
        self.events = [(b"\x5b\x80EREG\0", Kind::Qemu), (b"\x5b\x80GDST\0", Kind::CloudHypervisor)]
            .into_iter()
            .find_map(|(region, kind)| {
                let address =
                    after(aml, region).find_map(integer).filter(|&address| address != 0)?;
                Some(Events { address, kind })
            });
        for place in after(aml, b"LNRO0005\0").filter_map(place) {
            // More than there is room for are not used.
            let _ = self.devices.push(place);
        }
        Some(())
    }
}

/// A table whose sum is right.
fn table(memory: &impl Physical, address: u64) -> Option<&[u8]> {
    let len = number(memory.bytes(address, HEADER)?, 4, 4)?;
    let table = memory.bytes(address, (HEADER..=LONGEST).contains(&len).then_some(len)?)?;
    let sum = table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    (sum == 0).then_some(table)
}

/// A little-endian number of so many bytes, 8 at most.
fn number(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(len)?)?;
    Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

/// What comes after each place where these bytes are.
fn after<'a>(aml: &'a [u8], what: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    (0..aml.len()).filter_map(move |at| aml.get(at..)?.strip_prefix(what))
}

/// An integer of AML (20.2.3).
fn integer(aml: &[u8]) -> Option<u64> {
    match aml.first()? {
        0x0b => number(aml, 1, 2),
        0x0c => number(aml, 1, 4),
        0x0e => number(aml, 1, 8),
        _ => None,
    }
}

/// The resources of a device, memory and an interrupt (6.4.3.4, 6.4.3.6), in what comes after its name.
fn place(aml: &[u8]) -> Option<Place> {
    /// Its unit's number and the like come before.
    const FAR: usize = 64;
    (0..FAR).find_map(|at| {
        let resources = aml.get(at..)?;
        let memory = resources.starts_with(&[0x86, 9, 0]);
        let interrupt =
            resources.get(12..)?.starts_with(&[0x89, 6, 0]) && resources.get(16) == Some(&1);
        (memory && interrupt).then_some(())?;
        let interrupt = number(resources, 17, 4)?.try_into().ok()?;
        Some(Place { address: number(resources, 4, 4)?, size: number(resources, 8, 4)?, interrupt })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory from 0x1000.
    struct Fake(std::vec::Vec<u8>);

    impl Physical for Fake {
        fn bytes(&self, address: u64, len: u64) -> Option<&[u8]> {
            let start = usize::try_from(address.checked_sub(0x1000)?).ok()?;
            self.0.get(start..start.checked_add(len as usize)?)
        }
    }

    impl Fake {
        /// Puts a table at the end; its address.
        fn table(&mut self, signature: &[u8; 4], body: &[u8]) -> u64 {
            let address = 0x1000 + self.0.len() as u64;
            let mut table = signature.to_vec();
            table.extend_from_slice(&(HEADER as u32 + body.len() as u32).to_le_bytes());
            table.resize(HEADER as usize, 0);
            table.extend_from_slice(body);
            let sum = table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
            table[9] = sum.wrapping_neg();
            self.0.append(&mut table);
            address
        }

        /// The root pointer is at 0x1000.
        fn new(aml: &[u8], flags: u32, sleep: (u8, u64)) -> Self {
            let mut memory = Self(vec![0; 36]);
            let dsdt = memory.table(b"DSDT", aml);
            let mut fixed = [0; 276 - HEADER as usize];
            let mut put = |at: usize, bytes: &[u8]| {
                fixed[at - HEADER as usize..][..bytes.len()].copy_from_slice(bytes);
            };
            put(112, &flags.to_le_bytes());
            put(140, &dsdt.to_le_bytes());
            put(244, &[sleep.0]);
            put(248, &sleep.1.to_le_bytes());
            let fixed = memory.table(b"FACP", &fixed);
            let root = memory.table(b"XSDT", &fixed.to_le_bytes());
            memory.0[..8].copy_from_slice(b"RSD PTR ");
            memory.0[15] = 2;
            memory.0[24..32].copy_from_slice(&root.to_le_bytes());
            memory
        }
    }

    const REDUCED: u32 = 1 << 20;

    /// A device as QEMU and Firecracker write it: `_HID`, `_UID`, `_CCA`, and `_CRS` with memory and an interrupt.
    fn device(number: u8, address: u32, interrupt: u32) -> std::vec::Vec<u8> {
        let mut aml = b"\x5b\x82\x3dVR00\x08_HID\x0dLNRO0005\0\x08_UID\x0a".to_vec();
        aml.extend_from_slice(&[number]);
        aml.extend_from_slice(b"\x08_CCA\x01\x08_CRS\x11\x1a\x0a\x17\x86\x09\0\x01");
        aml.extend_from_slice(&address.to_le_bytes());
        aml.extend_from_slice(&512u32.to_le_bytes());
        aml.extend_from_slice(b"\x89\x06\0\x03\x01");
        aml.extend_from_slice(&interrupt.to_le_bytes());
        aml.extend_from_slice(b"\x79\0");
        aml
    }

    #[test]
    fn a_microvm_is_read() {
        let mut aml = b"\x5b\x80EREG\0\x0c\0\0\xa0\xfe\x0a\x04".to_vec();
        aml.extend(device(22, 0xfeb0_2c00, 46));
        aml.extend(device(23, 0xfeb0_2e00, 47));
        let acpi = Acpi::read(&Fake::new(&aml, REDUCED, (0, 0xfea0_0200)), 0x1000);
        assert_eq!(acpi.sleep, Some(Sleep::Memory(0xfea0_0200)));
        assert_eq!(acpi.events, Some(Events { address: 0xfea0_0000, kind: Kind::Qemu }));
        let place = |address, interrupt| Place { address, size: 512, interrupt };
        assert_eq!(acpi.devices, [place(0xfeb0_2c00, 46), place(0xfeb0_2e00, 47)]);
    }

    #[test]
    fn cloud_hypervisor_is_read() {
        let aml = b"\x5b\x80GDST\0\x0e\xff\xef\xff\xff\xff\x3f\0\0\x01";
        let acpi = Acpi::read(&Fake::new(aml, REDUCED, (1, 0x600)), 0x1000);
        assert_eq!(acpi.sleep, Some(Sleep::Port(0x600)));
        let (address, kind) = (0x3fff_ffff_efff, Kind::CloudHypervisor);
        assert_eq!(acpi.events, Some(Events { address, kind }));
        assert!(acpi.devices.is_empty());
    }

    #[test]
    fn older_machines_have_no_such_register() {
        let acpi = Acpi::read(&Fake::new(b"", 0, (1, 0x600)), 0x1000);
        assert_eq!((acpi.sleep, acpi.events), (None, None));
        let acpi = Acpi::read(&Fake::new(b"", REDUCED, (1, 0)), 0x1000);
        assert_eq!(acpi.sleep, None);
    }

    #[test]
    fn damaged_tables_are_not_there() {
        let good = Fake::new(&device(1, 0xfeb0_0000, 16), REDUCED, (1, 0x600)).0;
        assert_eq!(Acpi::read(&Fake(good.clone()), 0x1000).devices.len(), 1);
        for len in 0..good.len() {
            Acpi::read(&Fake(good[..len].to_vec()), 0x1000);
        }
        for at in 0..good.len() {
            for value in [0, 0xff, good[at].wrapping_add(1)] {
                let mut bad = good.clone();
                bad[at] = value;
                let acpi = Acpi::read(&Fake(bad), 0x1000);
                if at >= 36 && value != good[at] {
                    let used = !acpi.devices.is_empty();
                    assert!(!used, "byte {at} was {value:#x}, and its table was used");
                }
            }
        }
        assert!(Acpi::read(&Fake(good), 0).devices.is_empty());
    }
}
