//! Physical memory as it is read while starting.

pub trait Physical {
    /// `len` bytes at `address`; none where they cannot be what the loader left.
    fn bytes(&self, address: u64, len: u64) -> Option<&[u8]>;
}
