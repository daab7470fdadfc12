//! Which disks there are.
use crate::xen::xenstore::{StoreError, Xenstore};
use alloc::vec::Vec;

/// The private volume of a qube, xvdb (docs/man/xen-vbd-interface.7).
const XVDB: u32 = 202 << 8 | 1 << 4;

/// The numbers of the disks that the toolstack made, in order.
pub async fn disks(store: &Xenstore) -> Result<Vec<u32>, StoreError> {
    let names = match store.list("device/vbd").await {
        Err(StoreError::NotFound) => return Ok(Vec::new()),
        names => names?,
    };
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The disk of this name (xvda, xvdb, or a number); without a name xvdb, else the first.
pub fn choose(disks: &[u32], name: Option<&str>) -> Option<u32> {
    let has = |number: &u32| disks.contains(number);
    match name {
        Some(name) => number(name).filter(has),
        None => Some(XVDB).filter(has).or_else(|| disks.first().copied()),
    }
}

/// The number of a disk by its name in Linux.
fn number(name: &str) -> Option<u32> {
    let name = name.strip_prefix("/dev/").unwrap_or(name);
    let Some(letters) = name.strip_prefix("xvd") else {
        return name.parse().ok();
    };
    let index = letters.bytes().try_fold(0u32, |index, letter| {
        let digit = letter.is_ascii_lowercase().then(|| u32::from(letter.wrapping_sub(b'a')))?;
        index.checked_mul(26)?.checked_add(digit)?.checked_add(1)
    });
    let index = index?.checked_sub(1)?;
    // The extended form has room for more disks.
    Some(if index < 16 { 202 << 8 | index << 4 } else { 1 << 28 | index.checked_mul(1 << 8)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbers() {
        for (name, expected) in [
            ("xvda", Some(51712)),
            ("xvdb", Some(51728)),
            ("/dev/xvdi", Some(51840)),
            ("xvdp", Some(51952)),
            ("xvdq", Some(1 << 28 | 16 << 8)),
            ("xvdaa", Some(1 << 28 | 26 << 8)),
            ("51728", Some(51728)),
            ("xvd", None),
            ("xvdB", None),
            ("xvdzzzzzzzzzzzz", None),
            ("sda", None),
        ] {
            assert_eq!(number(name), expected, "{name}");
        }
    }

    #[test]
    fn the_private_volume_comes_first() {
        assert_eq!(choose(&[51712, 51728], None), Some(51728));
        assert_eq!(choose(&[51712, 51744], None), Some(51712));
        assert_eq!(choose(&[51712], Some("xvdb")), None);
        assert_eq!(choose(&[], None), None);
    }
}
