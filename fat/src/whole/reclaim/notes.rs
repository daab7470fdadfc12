//! What the walk saw of the table, page by page, so that nothing is read again that needs no change.
use crate::whole::check::table::{Link, PAGE, Table};
use crate::{BlockDevice, DeviceError, Geometry};
use alloc::vec;
use alloc::vec::Vec;

/// What is known of a page.
#[derive(Clone, Copy, Default)]
pub(crate) struct Page {
    pub read: bool,
    /// One of the copies says something else.
    pub differs: bool,
    pub free: u16,
    /// Neither free nor bad.
    pub used: u16,
}

/// The copies of the table, which are read and compared a page at a time.
pub(crate) struct Copies<'a, D> {
    device: &'a D,
    geometry: &'a Geometry,
    /// How far the copies lie behind the table that counts.
    pub away: Vec<u64>,
}

impl<'a, D: BlockDevice> Copies<'a, D> {
    pub fn new(device: &'a D, geometry: &'a Geometry) -> Self {
        let count = if geometry.active_table.is_some() { 1 } else { geometry.table_count };
        let away = (1..u64::from(count)).map(|copy| copy.saturating_mul(geometry.table_size));
        Self { device, geometry, away: away.collect() }
    }

    /// Where a page of the table that counts is.
    pub fn place(&self, page: u64) -> u64 {
        let active = u64::from(self.geometry.active_table.unwrap_or(0));
        let before = active.saturating_mul(self.geometry.table_size);
        let start = self.geometry.table_start.saturating_add(before);
        start.saturating_add(page.saturating_mul(PAGE))
    }

    fn len(&self, page: u64) -> usize {
        let left = self.geometry.table_size.saturating_sub(page.saturating_mul(PAGE));
        usize::try_from(left.min(PAGE)).unwrap_or(0)
    }

    pub fn pages(&self) -> u64 {
        self.geometry.table_size.div_ceil(PAGE)
    }

    /// Reads a page of the table that counts.
    pub async fn read(&self, page: u64) -> Result<Vec<u8>, DeviceError> {
        let mut bytes = vec![0; self.len(page)];
        self.device.read(self.place(page), &mut bytes).await?;
        Ok(bytes)
    }

    /// Whether a copy has other bytes there.
    pub async fn differ(&self, page: u64, bytes: &[u8]) -> Result<bool, DeviceError> {
        let mut copy = vec![0; bytes.len()];
        for away in &self.away {
            self.device.read(self.place(page).saturating_add(*away), &mut copy).await?;
            if copy != bytes {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What is known of the pages that clusters have entries in.
pub(crate) struct Notes(Vec<Page>);

impl Notes {
    /// How many pages that is, for a table of so many clusters.
    fn pages(geometry: &Geometry) -> u64 {
        // Four bytes an entry, the most there are.
        u64::from(geometry.clusters).saturating_add(2).saturating_mul(4).div_ceil(PAGE)
    }

    /// What they take in memory.
    pub fn bytes(geometry: &Geometry) -> usize {
        let pages = usize::try_from(Self::pages(geometry)).unwrap_or(usize::MAX);
        pages.saturating_mul(size_of::<Page>())
    }

    pub fn new(geometry: &Geometry) -> Self {
        Self(vec![Page::default(); usize::try_from(Self::pages(geometry)).unwrap_or(0)])
    }

    pub fn get(&self, page: u64) -> Page {
        let page = usize::try_from(page).ok().and_then(|page| self.0.get(page));
        page.copied().unwrap_or_default()
    }

    /// Notes what a page says that was just read.
    pub fn set<D: BlockDevice>(
        &mut self,
        table: &Table<'_, D>,
        page: u64,
        bytes: &[u8],
        differs: bool,
    ) {
        let mut noted = Page { read: true, differs, free: 0, used: 0 };
        for (_, link) in table.links_of(page, bytes) {
            match link {
                Link::Free => noted.free = noted.free.saturating_add(1),
                Link::Bad => {}
                _ => noted.used = noted.used.saturating_add(1),
            }
        }
        if let Some(place) = usize::try_from(page).ok().and_then(|page| self.0.get_mut(page)) {
            *place = noted;
        }
    }
}
