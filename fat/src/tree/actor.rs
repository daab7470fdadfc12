//! On whose behalf the volume is changed, when that one may change less than everything.
use crate::layout::metadata::Metadata;
use crate::tree::directory::Directory;
use crate::tree::lookup::Found;
use crate::{BlockDevice, Error, Volume};
use alloc::collections::VecDeque;
use alloc::rc::{Rc, Weak};
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// How many files and directories are remembered that one made: 8 KiB.
const MADE: usize = 1024;
/// How many entries below a moved directory are looked at, and how deep.
const BELOW: usize = MADE;
const DEPTH: usize = 64;

/// Whose changes are bounded. Without one, everything may be changed.
#[derive(Debug)]
pub struct Actor {
    /// It may change nothing but what it made itself and nobody else has touched since.
    adds_only: bool,
    /// Clusters that it leaves free.
    keeps: u32,
    /// What it made, by the place of its entry, the oldest first.
    made: RefCell<VecDeque<u64>>,
}

impl Actor {
    /// Whether it made this, and nobody else has touched it since.
    pub fn has_made(&self, metadata: &Metadata) -> bool {
        self.made.borrow().contains(&metadata.id)
    }

    /// Clusters that it leaves free.
    pub fn keeps(&self) -> u32 {
        self.keeps
    }
}

/// Who is not in here may change everything.
pub(crate) type By<'a> = Option<&'a Rc<Actor>>;

/// Those that only add, and who makes the change that is under way. What must hold: a place is nobody's
/// unless its entry was written there for that one alone; who removes or moves an entry, or touches it for
/// somebody else, says so here, before another can get the place.
#[derive(Debug, Default)]
pub(crate) struct Actors {
    all: RefCell<Vec<Weak<Actor>>>,
    now: RefCell<Option<Rc<Actor>>>,
    /// That some have made something.
    any: Cell<bool>,
}

fn id(place: u64) -> u64 {
    place / 32
}

impl Actors {
    /// Who makes the change that begins. The lock is held exclusively.
    pub(crate) fn begin(&self, by: By<'_>) {
        *self.now.borrow_mut() = by.cloned();
    }

    /// How many clusters the change that is under way leaves free.
    pub(crate) fn keeps(&self) -> u32 {
        self.now.borrow().as_ref().map_or(0, |actor| actor.keeps)
    }

    /// An entry was written for who makes the change.
    pub(crate) fn made(&self, place: u64) {
        self.gone(place);
        let now = self.now.borrow();
        if let Some(actor) = now.as_ref().filter(|actor| actor.adds_only) {
            let mut made = actor.made.borrow_mut();
            if made.len() >= MADE {
                made.pop_front();
            }
            made.push_back(id(place));
            self.any.set(true);
        }
    }

    /// The entry there is no more.
    pub(crate) fn gone(&self, place: u64) {
        self.touched(place, None);
    }

    /// Somebody changes, or may change from now on, what is there: it is nobody else's any more.
    pub(crate) fn touched(&self, place: u64, by: By<'_>) {
        self.each(|actor| {
            if !by.is_some_and(|by| Rc::ptr_eq(by, actor)) {
                actor.made.borrow_mut().retain(|made| *made != id(place));
            }
        });
    }

    /// As `touched`, by who makes the change that is under way.
    pub(crate) fn touched_now(&self, place: u64) {
        let now = self.now.borrow().clone();
        self.touched(place, now.as_ref());
    }

    fn each(&self, mut see: impl FnMut(&Rc<Actor>)) {
        if self.any.get() {
            self.all.borrow().iter().filter_map(Weak::upgrade).for_each(|actor| see(&actor));
        }
    }

    /// Fails when what is there is not for this one to change.
    pub(crate) fn may_change(&self, place: Option<u64>, by: By<'_>) -> Result<(), Error> {
        let Some(actor) = by.filter(|by| by.adds_only) else {
            return Ok(());
        };
        match place {
            Some(place) if actor.made.borrow().contains(&id(place)) => Ok(()),
            _ => Err(Error::NotMade),
        }
    }
}

impl<D: BlockDevice> Volume<D> {
    /// One who leaves `keeps` clusters free, and who, with `adds_only`, changes only what he made.
    pub fn actor(&self, adds_only: bool, keeps: u32) -> Rc<Actor> {
        let actor = Rc::new(Actor { adds_only, keeps, made: RefCell::default() });
        if adds_only {
            let mut all = self.tree.actors.all.borrow_mut();
            all.retain(|actor| actor.strong_count() > 0);
            all.push(Rc::downgrade(&actor));
        }
        actor
    }

    /// Whether the time of this directory follows a change inside, which is a change of the directory.
    pub(crate) fn may_touch(&self, directory: &Directory) -> bool {
        let now = self.tree.actors.now.borrow();
        let place = directory.spot.get().map(|spot| spot.first);
        self.tree.actors.may_change(place, now.as_ref()).is_ok()
    }

    /// Before an entry moves: whether it may, with all that is in it, which is nobody else's any more. The
    /// lock is held exclusively.
    pub(crate) async fn may_move(
        &self,
        found: &Found,
        ancestors: &[u32],
        by: By<'_>,
    ) -> Result<(), Error> {
        let actors = &self.tree.actors;
        actors.may_change(Some(found.place), by)?;
        let adds_only = by.is_some_and(|by| by.adds_only);
        if !found.entry.is_dir() || !adds_only && !actors.any.get() {
            return Ok(());
        }
        let is_known = self.look_below(found, ancestors, by).await;
        match is_known {
            Ok(true) => Ok(()),
            Ok(false) if adds_only => Err(Error::NotMade),
            Err(error) if adds_only => Err(error),
            // What of it was whose cannot be said.
            _ => {
                actors.each(|actor| actor.made.borrow_mut().clear());
                Ok(())
            }
        }
    }

    /// Whether all that is in a directory was looked at, and may be changed.
    async fn look_below(&self, found: &Found, above: &[u32], by: By<'_>) -> Result<bool, Error> {
        let mut left = BELOW;
        let mut stack = vec![(self.enter(found, above).await?, 0)];
        while let Some((directory, slot)) = stack.last_mut() {
            let Some(entry) = self.next_entry(directory, slot).await? else {
                stack.pop();
                continue;
            };
            self.tree.actors.may_change(Some(entry.place), by)?;
            self.tree.actors.touched(entry.place, by);
            left = left.saturating_sub(1);
            if entry.entry.is_dir() {
                stack.push((self.enter(&entry, &[]).await?, 0));
            }
            if left == 0 || stack.len() > DEPTH {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
