//! What exFAT keeps in its root directory besides files: the bitmap, the up-case table, the label.
//! Section 7 "Directory Entry Definitions".
use crate::layout::case::Case;
use crate::layout::exfat::set::{self, Kind};
use crate::layout::exfat::upcase::{MOST_BYTES, Upcase};
use crate::{BlockDevice, Error, MountError, Volume};
use alloc::string::String;
use alloc::vec;

impl<D: BlockDevice> Volume<D> {
    /// Reads it, before any name is looked up. What is damaged is said in the log and done without.
    ///
    /// # Errors
    /// `Unsupported` for a volume with something in it that must be understood and is not.
    pub(crate) async fn learn_root(&self) -> Result<(), MountError> {
        match self.try_learn_root().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(MountError::Unsupported(
                "exFAT whose root directory has an entry of an unknown kind that must be understood",
            )),
            Err(Error::Device(error)) => Err(error.into()),
            Err(_) => {
                log::error!("the root directory cannot be read");
                self.keep_from_writing("the root directory cannot be read");
                Ok(())
            }
        }
    }

    /// Returns whether all that must be understood is.
    async fn try_learn_root(&self) -> Result<bool, Error> {
        let root = self.root().await?;
        let (mut slot, mut bitmap, mut case) = (0u32, false, false);
        while let Some((entry, _)) = self.slot(&root, slot).await? {
            match set::kind(&entry.0) {
                Kind::End => break,
                Kind::Critical => return Ok(false),
                Kind::System(set::BITMAP) if set::is_first(&entry.0) && !bitmap => {
                    bitmap = self.learn_bitmap(&entry.0).await?;
                }
                Kind::System(set::UPCASE) if !case => case = self.learn_case(&entry.0).await?,
                Kind::System(set::LABEL) => {
                    let label = String::from_utf16_lossy(&set::label(&entry.0));
                    self.tree.set_label(label.replace(char::is_control, "_"));
                }
                _ => {}
            }
            slot = slot.saturating_add(1);
        }
        if !bitmap {
            log::error!("the allocation bitmap is missing or damaged: nothing counts as free");
            self.keep_from_writing("the allocation bitmap is missing or damaged");
        }
        if !case {
            log::warn!("the up-case table is missing or damaged: the usual one takes its place");
            self.keep_from_writing("the up-case table is missing or damaged");
        }
        Ok(true)
    }

    async fn learn_bitmap(&self, entry: &[u8]) -> Result<bool, Error> {
        let (first, len) = set::place(entry);
        let needed = u64::from(self.geometry.clusters).div_ceil(8);
        let Some(bitmap) = self.system_file(first, needed).await.filter(|_| len == needed) else {
            return Ok(false);
        };
        self.set_bitmap(bitmap, needed);
        Ok(true)
    }

    async fn learn_case(&self, entry: &[u8]) -> Result<bool, Error> {
        let (first, len) = set::place(entry);
        let Some(place) = self.system_file(first, len).await.filter(|_| len <= MOST_BYTES) else {
            return Ok(false);
        };
        let mut table = vec![0; usize::try_from(len).unwrap_or(0)];
        self.read_data(&place, 0, &mut table).await?;
        let Some(table) = Upcase::parse(&table, set::table_sum(entry)) else {
            return Ok(false);
        };
        self.tree.set_case(Case::of_table(table));
        Ok(true)
    }
}
