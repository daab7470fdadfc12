//! The grant table, version 1 (xen/include/public/grant_table.h): which pages other domains may
//! map.
use crate::xen::page::Page;
use crate::xen::{DomId, GrantRef, XenError};
use alloc::vec::Vec;
use core::sync::atomic::{Ordering, fence};
use xen_sys::PAGE_SIZE;
use xen_sys::grant_table::{
    ENTRY_DOMAIN, ENTRY_FRAME, ENTRY_SIZE, FLAG_PERMIT_ACCESS, FLAG_READ_ONLY, FLAG_READING,
    FLAG_WRITING, MAX_FRAMES, RESERVED_ENTRIES,
};

const ENTRIES_PER_FRAME: u32 = (PAGE_SIZE / ENTRY_SIZE) as u32;

#[derive(Debug, Default)]
pub struct Grants {
    frames: Vec<Page>,
    /// References that were used and are free again.
    free: Vec<u32>,
    /// References from this on were never used.
    unused: u32,
}

impl Grants {
    /// Enters the page of this number. `map` maps frame n of the table when it has to grow.
    pub fn grant(
        &mut self,
        remote: DomId,
        frame: u32,
        read_only: bool,
        map: impl FnOnce(u64) -> Result<Page, XenError>,
    ) -> Result<GrantRef, XenError> {
        let reference = match self.free.pop() {
            Some(reference) => reference,
            None => self.extend(map)?,
        };
        let (table, offset) = self.entry(reference).ok_or(XenError::NoGrants)?;
        table.write_u16(offset.saturating_add(ENTRY_DOMAIN), remote.0);
        table.write_u32(offset.saturating_add(ENTRY_FRAME), frame);
        // The rest of the entry before the flags that make it valid.
        fence(Ordering::SeqCst);
        let flags = if read_only { FLAG_READ_ONLY } else { 0 };
        table.write_u16(offset, flags | FLAG_PERMIT_ACCESS);
        Ok(GrantRef(reference))
    }

    fn extend(&mut self, map: impl FnOnce(u64) -> Result<Page, XenError>) -> Result<u32, XenError> {
        let reference = self.unused.max(RESERVED_ENTRIES);
        let frame = reference / ENTRIES_PER_FRAME;
        if self.frames.len() <= frame as usize {
            if frame >= MAX_FRAMES {
                return Err(XenError::NoGrants);
            }
            self.frames.push(map(frame.into())?);
        }
        self.unused = reference.saturating_add(1);
        Ok(reference)
    }

    /// Begins anew in another domain, where the table is empty and not in memory. `map` maps frame n of it where
    /// it was.
    pub fn begin_anew(
        &mut self,
        map: impl Fn(u64, &Page) -> Result<(), XenError>,
    ) -> Result<(), XenError> {
        (self.unused, self.free) = (0, Vec::new());
        (0..).zip(&self.frames).try_for_each(|(number, page)| map(number, page))
    }

    /// False while the other side maps the page.
    pub fn revoke(&mut self, GrantRef(reference): GrantRef) -> bool {
        let Some((table, offset)) = self.entry(reference) else {
            return true;
        };
        let flags = table.read_u16(offset).unwrap_or_default();
        // Xen sets the bits of use by a compare and exchange as well, so none is lost between.
        let revoked = flags & (FLAG_READING | FLAG_WRITING) == 0
            && table.compare_exchange_u16(offset, flags, 0);
        if revoked {
            self.free.push(reference);
        }
        revoked
    }

    /// The table's frame and the offset in it.
    fn entry(&self, reference: u32) -> Option<(&Page, usize)> {
        let table = self.frames.get((reference / ENTRIES_PER_FRAME) as usize)?;
        let number = (reference % ENTRIES_PER_FRAME) as usize;
        Some((table, number.checked_mul(ENTRY_SIZE)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xen_sys::grant_table::ENTRY_FLAGS;

    fn map(_: u64) -> Result<Page, XenError> {
        Ok(Page::new().unwrap())
    }

    #[test]
    fn a_mapped_page_keeps_its_entry() {
        let mut grants = Grants::default();
        let grant = grants.grant(DomId(3), 0x1234, true, map).unwrap();
        assert_eq!(grant, GrantRef(RESERVED_ENTRIES));
        let table = grants.frames[0].alias();
        let entry = grant.0 as usize * ENTRY_SIZE;
        assert_eq!(table.read_u16(entry + ENTRY_FLAGS), Some(5));
        assert_eq!(table.read_u16(entry + ENTRY_DOMAIN), Some(3));
        assert_eq!(table.read_u32(entry + ENTRY_FRAME), Some(0x1234));
        table.write_u16(entry, 5 | FLAG_READING);
        assert!(!grants.revoke(grant));
        assert_ne!(grants.grant(DomId(3), 0x1234, true, map).unwrap(), grant);
        table.write_u16(entry, 5);
        assert!(grants.revoke(grant));
        assert_eq!(table.read_u16(entry), Some(0));
        assert_eq!(grants.grant(DomId(3), 0x1234, true, map).unwrap(), grant);
    }

    #[test]
    fn the_table_of_another_domain_is_empty_and_in_the_same_place() {
        let mut grants = Grants::default();
        let first = grants.grant(DomId(0), 0x1234, false, map).unwrap();
        for _ in 0..ENTRIES_PER_FRAME {
            grants.grant(DomId(0), 0x1234, false, map).unwrap();
        }
        assert!(grants.revoke(first));
        let frames: Vec<u64> = grants.frames.iter().map(Page::frame).collect();
        let seen = core::cell::RefCell::new(Vec::new());
        grants
            .begin_anew(|number, page| {
                assert_eq!(number, seen.borrow().len() as u64);
                seen.borrow_mut().push(page.frame());
                Ok(())
            })
            .unwrap();
        assert_eq!((seen.into_inner(), frames.len()), (frames, 2));
        let again = grants.grant(DomId(0), 0x1234, false, |_| panic!("a third frame")).unwrap();
        assert_eq!(again, GrantRef(RESERVED_ENTRIES));
        assert!(grants.begin_anew(|_, _| Err(XenError::NoMemory)).is_err());
    }

    #[test]
    fn the_table_grows_to_its_end_and_no_further() {
        let mut grants = Grants::default();
        let all = MAX_FRAMES * ENTRIES_PER_FRAME - RESERVED_ENTRIES;
        let mut last = None;
        for _ in 0..all {
            last = Some(grants.grant(DomId(0), 0x1234, false, map).unwrap());
        }
        assert_eq!(grants.frames.len(), 64);
        assert_eq!(grants.grant(DomId(0), 0x1234, false, map), Err(XenError::NoGrants));
        assert!(grants.revoke(last.unwrap()));
        assert_eq!(grants.grant(DomId(0), 0x1234, false, map).ok(), last);
    }
}
