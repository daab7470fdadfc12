//! A write-back cache of table and directory sectors. It only keeps them: the volume reads and
//! writes the disk.
use crate::bytes::hash_bytes as hash;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::RefCell;

/// What a dirty sector holds: a commit writes the two at different moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Table,
    Directory,
}

/// Lines of one sector of the volume, keyed by their offset on the disk. Clean lines are evicted,
/// the least recently used first; dirty ones never, so the volume keeps their number bounded.
#[derive(Debug)]
pub(crate) struct Cache {
    line_size: u64,
    capacity: usize,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    lines: BTreeMap<u64, Line>,
    /// Clean lines by the moment of their last use.
    clean: BTreeMap<u64, u64>,
    clock: u64,
    dirty_table: usize,
    dirty_directory: usize,
}

#[derive(Debug)]
struct Line {
    data: Box<[u8]>,
    used: u64,
    dirty: Option<Class>,
    /// The hash of a directory sector as it is on the disk, while it is dirty.
    before: u64,
}

/// A copy of a dirty line.
#[derive(Debug)]
pub(crate) struct DirtyLine {
    pub(crate) offset: u64,
    pub(crate) data: Box<[u8]>,
    /// The hash of what is on the disk; directory sectors only.
    pub(crate) before: u64,
}

impl State {
    fn tick(&mut self) -> u64 {
        self.clock = self.clock.wrapping_add(1);
        self.clock
    }

    fn count(&mut self, class: Class) -> &mut usize {
        match class {
            Class::Table => &mut self.dirty_table,
            Class::Directory => &mut self.dirty_directory,
        }
    }
}

impl Cache {
    pub(crate) fn new(line_size: u32, bytes: usize) -> Self {
        let line = usize::try_from(line_size).unwrap_or(512).max(1);
        let capacity = (bytes / line).max(64);
        Self { line_size: u64::from(line_size), capacity, state: RefCell::default() }
    }

    pub(crate) fn line_size(&self) -> u64 {
        self.line_size
    }

    pub(crate) fn contains(&self, offset: u64) -> bool {
        self.state.borrow().lines.contains_key(&offset)
    }

    /// Calls `f` with the line, which is the last to go then; gives `f` back when the line is not there.
    pub(crate) fn with<R, F: FnOnce(&[u8]) -> R>(&self, offset: u64, f: F) -> Result<R, F> {
        let ageing = self.capacity as u64 / 8;
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let now = state.tick();
        let Some(line) = state.lines.get_mut(&offset) else {
            return Err(f);
        };
        // Moving it in the order is worth it only when it has aged.
        if line.dirty.is_none() && now.wrapping_sub(line.used) > ageing {
            state.clean.remove(&line.used);
            line.used = now;
            state.clean.insert(now, offset);
        }
        Ok(f(&line.data))
    }

    /// Calls `f` with the line, if it is there, and marks it dirty.
    pub(crate) fn update<R>(
        &self,
        offset: u64,
        class: Class,
        f: impl FnOnce(&mut [u8]) -> R,
    ) -> Option<R> {
        let mut state = self.state.borrow_mut();
        let line = state.lines.get_mut(&offset)?;
        if line.dirty.is_none() && class == Class::Directory {
            line.before = hash(&line.data);
        }
        let result = f(&mut line.data);
        if line.dirty.replace(class).is_none() {
            let used = line.used;
            state.clean.remove(&used);
            *state.count(class) += 1;
        }
        Some(result)
    }

    /// Adds a clean line read from the disk, unless the line is there already.
    pub(crate) fn insert(&self, offset: u64, data: &[u8]) {
        let mut state = self.state.borrow_mut();
        if state.lines.contains_key(&offset) {
            return;
        }
        while state.lines.len() >= self.capacity {
            let Some((_, oldest)) = state.clean.pop_first() else {
                break;
            };
            state.lines.remove(&oldest);
        }
        let used = state.tick();
        state.clean.insert(used, offset);
        state.lines.insert(offset, Line { data: data.into(), used, dirty: None, before: 0 });
    }

    /// Forgets the lines from `offset` on, dirty or not.
    pub(crate) fn discard(&self, offset: u64, len: u64) {
        let mut state = self.state.borrow_mut();
        let inside = offset..offset.saturating_add(len);
        let doomed: Vec<u64> = state.lines.range(inside).map(|(offset, _)| *offset).collect();
        for offset in doomed {
            if let Some(line) = state.lines.remove(&offset) {
                match line.dirty {
                    Some(class) => {
                        let count = state.count(class);
                        *count = count.saturating_sub(1);
                    }
                    None => {
                        state.clean.remove(&line.used);
                    }
                }
            }
        }
    }

    /// The dirty lines of a class from `from` on, at most `most`, in the order of the disk.
    pub(crate) fn dirty(&self, class: Class, from: u64, most: usize) -> Vec<DirtyLine> {
        let mut state = self.state.borrow_mut();
        if *state.count(class) == 0 {
            return Vec::new();
        }
        let dirty = state.lines.range(from..).filter(|(_, line)| line.dirty == Some(class));
        dirty
            .take(most)
            .map(|(offset, line)| DirtyLine {
                offset: *offset,
                data: line.data.clone(),
                before: line.before,
            })
            .collect()
    }

    /// The line has been written as it is.
    pub(crate) fn set_clean(&self, offset: u64) {
        let mut state = self.state.borrow_mut();
        let now = state.tick();
        if let Some(line) = state.lines.get_mut(&offset)
            && let Some(class) = line.dirty.take()
        {
            line.used = now;
            state.clean.insert(now, offset);
            let count = state.count(class);
            *count = count.saturating_sub(1);
        }
    }

    pub(crate) fn dirty_count(&self, class: Class) -> usize {
        *self.state.borrow_mut().count(class)
    }

    /// The number of lines that fit.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_lines_go_dirty_ones_stay() {
        let cache = Cache::new(512, 64 * 512);
        cache.insert(0, &[7; 512]);
        cache.update(0, Class::Table, |line| line[0] = 9);
        for line in 1..200 {
            cache.insert(line * 512, &[1; 512]);
        }
        assert_eq!(cache.with(0, |line| line[0]).ok(), Some(9));
        assert!(!cache.contains(512));
        assert!(cache.contains(199 * 512));
        assert_eq!(cache.dirty(Class::Table, 0, 10).len(), 1);
        cache.set_clean(0);
        assert_eq!(cache.dirty_count(Class::Table), 0);
        cache.discard(0, 512);
        assert!(!cache.contains(0));
    }
}
