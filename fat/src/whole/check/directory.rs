//! The entries of a directory, its long names put together with more suspicion than the engine
//! has: the engine falls back to the short name, a check reports what does not belong.
use crate::layout::entry::{Entry, Kind, MAX_LONG_SLOTS, SLOT};
use crate::layout::name;
use crate::layout::short_name;
use alloc::string::String;
use alloc::vec::Vec;

/// A short entry with the name that users see.
pub(super) struct Named {
    pub name: String,
    pub entry: Entry,
}

/// The parts of a long name met so far: last part first, as on the disk.
struct Pending {
    units: Vec<u16>,
    /// The ordinal of the part that came last; it counts down to 1.
    ordinal: u32,
    checksum: u8,
}

/// Reads the slots up to the end mark. `broken` is told the number of each slot before which a
/// long name ended without its entry.
pub(super) fn entries(bytes: &[u8], broken: &mut dyn FnMut(usize)) -> Vec<Named> {
    let mut found = Vec::new();
    let mut pending: Option<Pending> = None;
    let mut told = false; // of the parts just before
    let (slots, _) = bytes.as_chunks::<SLOT>();
    for (number, slot) in slots.iter().enumerate() {
        let entry = Entry(*slot);
        match entry.kind() {
            Kind::End => {
                if pending.is_some() {
                    broken(number);
                }
                return found;
            }
            Kind::Long => {
                let (ordinal, last, checksum) = entry.long_part();
                let continued = pending.take().and_then(|begun| {
                    let next = begun.ordinal == ordinal.saturating_add(1);
                    if !last && next && begun.checksum == checksum {
                        return Some(begun);
                    }
                    broken(number);
                    told = true;
                    None
                });
                let begun = continued
                    .or_else(|| last.then(|| Pending { units: Vec::new(), ordinal, checksum }));
                match begun {
                    Some(mut begun) if (1..=MAX_LONG_SLOTS).contains(&ordinal) => {
                        begun.ordinal = ordinal;
                        // The parts come in reverse: each goes before those already here.
                        begun.units.splice(0..0, entry.long_units());
                        pending = Some(begun);
                        told = false;
                    }
                    _ if told => {}
                    _ => {
                        broken(number.saturating_add(1));
                        told = true;
                    }
                }
            }
            Kind::Short => {
                told = false;
                let short = entry.name();
                let long = match pending.take() {
                    Some(whole)
                        if whole.ordinal == 1 && whole.checksum == short_name::checksum(&short) =>
                    {
                        long_name(&whole.units)
                    }
                    Some(_) => {
                        broken(number);
                        None
                    }
                    None => None,
                };
                let name = long.unwrap_or_else(|| short_name::decode(&short, entry.case()));
                found.push(Named { name, entry });
            }
            Kind::Free | Kind::Label => {
                told = false;
                if pending.take().is_some() {
                    broken(number);
                }
            }
        }
    }
    if pending.is_some() {
        broken(slots.len());
    }
    found
}

/// The name ends at a NUL when it does not fill its last slot.
fn long_name(units: &[u16]) -> Option<String> {
    let length = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
    name::decode(units.get(..length)?)
}
