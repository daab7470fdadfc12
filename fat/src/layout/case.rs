//! Which names of a volume are the same name.
use crate::layout::exfat::upcase::Upcase;
use crate::layout::name;

/// FAT's way, or that of a volume with a table of its own.
#[derive(Debug, Default)]
pub(crate) struct Case(Option<Upcase>);

impl Case {
    pub(crate) fn of_table(table: Upcase) -> Self {
        Self(Some(table))
    }

    fn fold(&self, char: char) -> char {
        self.0.as_ref().map_or_else(|| name::fold(char), |table| table.char(char))
    }

    pub(crate) fn same(&self, a: &str, b: &str) -> bool {
        a.chars().map(|char| self.fold(char)).eq(b.chars().map(|char| self.fold(char)))
    }

    /// The hash that exFAT keeps with a name; nothing without a table.
    pub(crate) fn stored_hash(&self, units: &[u16]) -> Option<u16> {
        self.0.as_ref().map(|table| table.hash(units))
    }

    /// A hash that is equal for names that are the same.
    pub(crate) fn hash(&self, text: &str) -> u32 {
        name::hash_folded(text.chars().map(|char| self.fold(char)))
    }
}
