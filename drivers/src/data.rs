//! What is asked of a disk, whichever kind it is.

pub enum Data<'d> {
    Read(&'d mut [u8]),
    Write(&'d [u8]),
    Flush,
}

impl Data<'_> {
    pub fn len(&self) -> usize {
        match self {
            Self::Read(data) => data.len(),
            Self::Write(data) => data.len(),
            Self::Flush => 0,
        }
    }
}
