//! Where the rings of a vchan lie.
use core::fmt;

/// The smallest order of a ring with pages of its own.
const PAGE_ORDER: u16 = 12;

/// The largest order that is used or accepted: 64 KiB, which is qrexec's.
const LARGEST: u16 = 16;

/// Where one ring lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this offset of the first page.
    First(usize),
    /// In so many pages of its own.
    Pages(usize),
}

/// The orders of both rings, which are possible ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    left: u16,
    right: u16,
}

/// Orders that no vchan has, or larger ones than are accepted here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLayout(pub u16, pub u16);

impl fmt::Display for BadLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a vchan with rings of order {} and {}", self.0, self.1)
    }
}

impl core::error::Error for BadLayout {}

impl Layout {
    /// Rings of 2 to the power of `left` and `right` bytes.
    pub fn new(left: u16, right: u16) -> Result<Self, BadLayout> {
        let possible = |order: u16| (10..=LARGEST).contains(&order);
        // The first page has one place of each size.
        if !possible(left) || !possible(right) || (left == right && left < PAGE_ORDER) {
            return Err(BadLayout(left, right));
        }
        Ok(Self { left, right })
    }

    pub fn orders(self) -> (u16, u16) {
        (self.left, self.right)
    }

    /// The sizes in bytes, left and right.
    pub fn sizes(self) -> (usize, usize) {
        (1 << self.left, 1 << self.right)
    }

    pub fn places(self) -> (Place, Place) {
        (place(self.left), place(self.right))
    }

    /// Pages beside the first, of the left and of the right ring.
    pub fn pages(self) -> (usize, usize) {
        let pages = |order| match place(order) {
            Place::First(_) => 0,
            Place::Pages(n) => n,
        };
        (pages(self.left), pages(self.right))
    }
}

fn place(order: u16) -> Place {
    match order {
        0..PAGE_ORDER => Place::First(1 << order),
        _ => Place::Pages(1 << order.saturating_sub(PAGE_ORDER)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn only_rings_that_do_not_overlap() {
        for (left, right) in [(9, 12), (12, 9), (10, 10), (11, 11), (17, 12), (12, 65535), (0, 0)] {
            assert_eq!(Layout::new(left, right), Err(BadLayout(left, right)));
        }
        let small = Layout::new(10, 11).unwrap();
        assert_eq!(small.places(), (Place::First(1024), Place::First(2048)));
        assert_eq!((small.sizes(), small.pages()), ((1024, 2048), (0, 0)));
        assert_eq!(small.orders(), (10, 11));
        assert_eq!(BadLayout(9, 12).to_string(), "a vchan with rings of order 9 and 12");
        let qrexec = Layout::new(16, 16).unwrap();
        assert_eq!(
            (qrexec.places(), qrexec.pages()),
            ((Place::Pages(16), Place::Pages(16)), (16, 16))
        );
    }
}
