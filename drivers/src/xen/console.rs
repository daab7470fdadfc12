//! The console's ring as a place for the log (xen/include/public/io/console.h). It never waits:
//! what does not fit is dropped and counted.
use crate::xen::page::Page;
use alloc::boxed::Box;
use alloc::format;
use core::sync::atomic::{Ordering, fence};
use xen_sys::console::{OUT, OUT_CONS, OUT_PROD, OUT_SIZE};

pub struct Console {
    page: Page,
    notify: Box<dyn Fn() + Send>,
    /// Our own index.
    produced: u32,
    /// Bytes lost since the last ones that were not.
    lost: u64,
}

impl Console {
    /// The ring in `page`; `notify` tells the other side.
    pub fn new(page: Page, notify: Box<dyn Fn() + Send>) -> Self {
        let produced = page.read_u32(OUT_PROD).unwrap_or_default();
        Self { page, notify, produced, lost: 0 }
    }

    /// Writes all of `text` or nothing of it. Lines that were lost are told of before the next.
    pub fn write(&mut self, text: &[u8]) {
        if self.lost > 0 {
            let notice = format!("[{} bytes of the log were lost here]\r\n", self.lost);
            if notice.len().saturating_add(text.len()) <= self.room() {
                self.put(notice.as_bytes());
                self.lost = 0;
            }
        }
        if self.lost == 0 && text.len() <= self.room() {
            self.put(text);
        } else {
            self.lost = self.lost.saturating_add(text.len() as u64);
        }
        (self.notify)();
    }

    /// Bytes that fit now. Other indexes than possible ones are those of a full ring.
    fn room(&self) -> usize {
        let consumed = self.page.read_u32(OUT_CONS).unwrap_or_default();
        let used = self.produced.wrapping_sub(consumed);
        // What was consumed before what overwrites it.
        fence(Ordering::SeqCst);
        OUT_SIZE.saturating_sub(used) as usize
    }

    fn put(&mut self, text: &[u8]) {
        for &byte in text {
            let place = (self.produced & OUT_SIZE.saturating_sub(1)) as usize;
            self.page.write_u8(OUT.saturating_add(place), byte);
            self.produced = self.produced.wrapping_add(1);
        }
        fence(Ordering::SeqCst);
        self.page.write_u32(OUT_PROD, self.produced);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(page: &Page) -> String {
        let (cons, prod) = (page.read_u32(OUT_CONS).unwrap(), page.read_u32(OUT_PROD).unwrap());
        page.write_u32(OUT_CONS, prod);
        let place = |i: u32| OUT + (cons.wrapping_add(i) % OUT_SIZE) as usize;
        (0..prod.wrapping_sub(cons)).map(|i| page.read_u8(place(i)).unwrap() as char).collect()
    }

    #[test]
    fn text_arrives_and_what_does_not_fit_is_counted() {
        let page = Page::new().unwrap();
        page.write_u32(OUT_CONS, u32::MAX - 5);
        page.write_u32(OUT_PROD, u32::MAX - 5);
        let mut console = Console::new(page.alias(), Box::new(|| ()));
        console.write(b"hello\n");
        console.write(b"again\n");
        assert_eq!(take(&page), "hello\nagain\n");
        let line = [b'x'; 1000];
        (0..4).for_each(|_| console.write(&line));
        assert_eq!(take(&page).len(), 2000);
        console.write(b"after\n");
        assert_eq!(take(&page), "[2000 bytes of the log were lost here]\r\nafter\n");
    }

    #[test]
    fn impossible_indexes_lose_text_and_nothing_else() {
        let page = Page::new().unwrap();
        let mut console = Console::new(page.alias(), Box::new(|| ()));
        for consumed in [1, 5000, u32::MAX, u32::MAX / 2] {
            page.write_u32(OUT_CONS, consumed);
            console.write(b"hello");
        }
    }
}
