//! A vchan whose other side writes anything to the page of the indices between our steps: our end
//! copies within its rings and never more than it was asked for.
#![no_main]
use libfuzzer_sys::fuzz_target;
use qubes::vchan::{End, Layout, Memory};
use std::cell::RefCell;
use std::rc::Rc;

const SIZE: usize = 1024;

#[derive(Clone)]
struct Pages(Rc<RefCell<Vec<u8>>>);

impl Memory for Pages {
    fn read_u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0.borrow()[at..at + 4].try_into().unwrap())
    }
    fn write_u32(&self, at: usize, value: u32) {
        self.0.borrow_mut()[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    fn read_u8(&self, at: usize) -> u8 {
        self.0.borrow()[at]
    }
    fn write_u8(&self, at: usize, value: u8) {
        self.0.borrow_mut()[at] = value;
    }
    fn set_bits(&self, at: usize, bits: u8) {
        self.0.borrow_mut()[at] |= bits;
    }
    fn clear_bits(&self, at: usize, bits: u8) -> u8 {
        let before = self.read_u8(at);
        self.write_u8(at, before & !bits);
        before
    }
    fn copy_out(&self, at: usize, to: &mut [u8]) {
        assert!(at < 2 * SIZE && at + to.len() <= 2 * SIZE);
    }
    fn copy_in(&self, at: usize, from: &[u8]) {
        assert!(at < 2 * SIZE && at + from.len() <= 2 * SIZE);
    }
    fn fence(&self) {}
    fn notify(&self) {}
}

fuzz_target!(|input: (bool, (u16, u16), Vec<(u8, u32, bool, u16)>)| {
    let (server, (left, right), steps) = input;
    assert!(Layout::new(left, right).is_err() || left.max(right) <= 16);
    let pages = Pages(Rc::new(RefCell::new(vec![0; 24])));
    let Ok(layout) = Layout::new(10, 11) else { return };
    let mut end = match server {
        true => End::server(pages.clone(), layout),
        false => End::client(pages.clone(), layout),
    };
    for (at, value, read, length) in steps {
        pages.write_u32(usize::from(at % 21), value);
        let length = usize::from(length);
        let result = match read {
            true => end.read(&mut vec![0; length]),
            false => end.write(&vec![0; length]),
        };
        assert!(result.is_err() || result.is_ok_and(|n| n <= length.min(2 * SIZE)));
        let _ = (end.is_open(), end.is_waiting());
    }
});
