//! Devices whose registers are in memory (4.2), as the command line tells of them in Linux' words:
//! `virtio_mmio.device=SIZE@ADDRESS:INTERRUPT[:ID]`.
use super::device::Device;
use super::registers::Mapped;
use super::transport::Transport;

const WORD: &str = "virtio_mmio.device=";

/// The registers that every device has.
const SMALLEST: u64 = 0x100;

/// Where a device's registers are, and the line of the interrupt controller that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub address: u64,
    pub size: u64,
    pub interrupt: u32,
}

/// What a word of the command line says; None when it is about something else. An error has what is
/// wrong with it.
pub fn parse(word: &str) -> Option<Result<Place, &'static str>> {
    let value = word.strip_prefix(WORD)?;
    Some(place(value).ok_or("not SIZE@ADDRESS:INTERRUPT").and_then(|place| match place {
        Place { size, .. } if size < SMALLEST => Err("too small for a device"),
        Place { address, .. } if !address.is_multiple_of(4) || address == 0 => Err("a bad address"),
        place => Ok(place),
    }))
}

fn place(value: &str) -> Option<Place> {
    let (size, rest) = value.split_once('@')?;
    let (address, rest) = rest.split_once(':')?;
    let interrupt = rest.split_once(':').map_or(rest, |(interrupt, _)| interrupt);
    let (digits, shift) = match size.as_bytes().last()? {
        b'k' | b'K' => (size.get(..size.len().checked_sub(1)?)?, 10),
        b'm' | b'M' => (size.get(..size.len().checked_sub(1)?)?, 20),
        _ => (size, 0),
    };
    Some(Place {
        address: number(address)?,
        size: number(digits)?.checked_mul(1 << shift)?,
        interrupt: number(interrupt)?.try_into().ok()?,
    })
}

/// A number as C writes it.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The device at this place.
///
/// # Safety
/// The place is mapped to itself, holds no memory that the program uses, and is given once.
#[allow(unsafe_code)]
pub unsafe fn open(place: &Place) -> Result<Device, &'static str> {
    // SAFETY: the caller's promise.
    let registers = unsafe { Mapped::new(place.address as usize, place.size as usize) };
    Ok(Device::new(Transport::mmio(registers)?, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Option<Place> {
        parse(&[WORD, value].concat()).unwrap().ok()
    }

    #[test]
    fn places_as_hosts_write_them() {
        let qemu = Place { address: 0xfeb0_0e00, size: 512, interrupt: 12 };
        assert_eq!(of("512@0xfeb00e00:12"), Some(qemu));
        let firecracker = Place { address: 0xd000_0000, size: 4096, interrupt: 5 };
        assert_eq!(of("4K@0xd0000000:5"), Some(firecracker));
        assert_eq!(of("0x1000@3489660928:5:7"), Some(firecracker));
    }

    #[test]
    fn bad_places_are_told() {
        for bad in [
            "",
            "512",
            "512@",
            "512@0xfeb00000",
            "512@0xfeb00000:",
            "512@0xfeb00000:x",
            "512@0xfeb00001:5",
            "512@0:5",
            "@0xfeb00000:5",
            "K@0xfeb00000:5",
            "17@0xfeb00000:5",
            "4K@0x1ffffffffffffffff:5",
            "0xffffffffffffffffM@0xfeb00000:5",
            "512@0xfeb00000:4294967296",
            "é@0xfeb00000:5",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert!(parse("--port").is_none());
    }
}
