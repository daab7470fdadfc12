//! Which clusters a growing file gets, and when freed ones may be used again.
use crate::memory::cache::Class;
use crate::space::claims::Owner;
use crate::space::extents::{Extents, Run};
use crate::space::pending::Freed;
use crate::space::table::{END, Link};
use crate::{BlockDevice, Error, Volume};

/// Clusters freed between two looks at the number of dirty sectors.
const FREE_STEP: u32 = 4096;

impl<D: BlockDevice> Volume<D> {
    /// Adds `count` new clusters to the chain `new`, which may be empty, in the cached table. Up to
    /// now nothing on the disk refers to that chain, and on exFAT it is none before `attach`. The lock is
    /// held exclusively. After an error `new` has what was got so far.
    pub(crate) async fn extend(&self, count: u32, new: &mut Extents) -> Result<(), Error> {
        self.require(count).await?;
        self.extend_near(None, count, None, new).await
    }

    /// As `extend`, behind `after` when it is free there, without making room first. Other files
    /// keep off what follows while `owner` is open.
    pub(crate) async fn extend_near(
        &self,
        after: Option<u32>,
        count: u32,
        owner: Owner<'_>,
        new: &mut Extents,
    ) -> Result<(), Error> {
        let mut left = count;
        while left > 0 {
            let before = new.last();
            let (start, got) = match self.find_run(before.or(after), left, owner).await? {
                Some(run) => run,
                None => return Err(Error::NoSpace),
            };
            let last = start.saturating_add(got - 1);
            if self.is_exfat() {
                self.set_bits(start, got, true).await?;
            } else {
                self.chain_up(start, got, END).await?;
                if let Some(before) = before {
                    self.set_entry(before, start).await?;
                }
            }
            new.push(start, got);
            self.space.take(start, got);
            let next = last.saturating_add(1);
            self.space.next.set(if self.is_cluster(next) { next } else { 2 });
            if let Some(owner) = owner {
                self.claim(owner, next);
            }
            left = left.saturating_sub(got);
            self.relieve().await?;
        }
        Ok(())
    }

    /// Makes sure of `count` free clusters: by a commit when freed ones wait for it, and by a count
    /// when the number is only what the FSInfo sector said.
    pub(crate) async fn require(&self, count: u32) -> Result<(), Error> {
        let count = count.saturating_add(if count > 0 { self.tree.actors.keeps() } else { 0 });
        // Closed files may hold clusters too, and what was cut off takes two commits.
        for _ in 0..2 {
            if self.space.free.get() < count {
                self.commit().await?;
            }
        }
        if self.space.free.get() < count && !self.space.counted.get() {
            self.count_free().await?;
        }
        if self.space.free.get() < count { Err(Error::NoSpace) } else { Ok(()) }
    }

    /// Up to `want` free neighbouring clusters, after `after` when they are free, else from where
    /// the last search ended.
    async fn find_run(
        &self,
        after: Option<u32>,
        want: u32,
        owner: Owner<'_>,
    ) -> Result<Option<(u32, u32)>, Error> {
        let mut start = None;
        if let Some(next) = after.and_then(|after| after.checked_add(1))
            && self.is_cluster(next)
            && self.claimed(next, owner).is_none()
            && self.free_from(next, 1).await? == 1
        {
            start = Some(next);
        }
        if start.is_none() {
            start = self.search(owner).await?;
        }
        if start.is_none() && !self.space.claims.borrow().is_empty() {
            self.space.claims.borrow_mut().clear();
            start = self.search(owner).await?;
        }
        let Some(start) = start else {
            // Less is free than was thought.
            self.space.free.set(0);
            return Ok(None);
        };
        let most = self.next_claim(start, owner).map_or(want, |end| want.min(end - start));
        Ok(Some((start, self.free_from(start, most).await?.max(1))))
    }

    async fn search(&self, owner: Owner<'_>) -> Result<Option<u32>, Error> {
        let end = self.geometry.clusters.saturating_add(2);
        let hint = self.space.next.get().clamp(2, end);
        for (from, to) in [(hint, end), (2, hint)] {
            let mut at = from;
            while let Some(found) = self.first(true, at, to).await? {
                match self.claimed(found, owner) {
                    None => return Ok(Some(found)),
                    Some(end) => at = end,
                }
            }
        }
        Ok(None)
    }

    /// Gives clusters back after the next commit.
    pub(crate) fn free_later(&self, runs: &[Run]) {
        self.space.pending.borrow_mut().frees.extend_from_slice(runs);
    }

    /// Gives the clusters of a file back whose entry is gone.
    pub(crate) fn free_file(&self, freed: &Freed) {
        match freed {
            Freed::Runs(extents) => self.free_later(extents.runs()),
            Freed::Chain(first, count) => {
                self.space.pending.borrow_mut().chains.push((*first, *count))
            }
        }
    }

    /// Shortens a chain, or neighbours without one, to `keep` clusters after the next commit. Until then
    /// it must not grow.
    pub(crate) fn cut_later(&self, extents: &mut Extents, keep: u32, contiguous: bool) {
        let rest = extents.truncate(keep);
        match extents.last() {
            Some(_) if rest.is_empty() => {}
            Some(last) if !contiguous => {
                let mut pending = self.space.pending.borrow_mut();
                pending.ends.push(last);
                pending.cut.extend_from_slice(&rest);
            }
            _ => self.free_later(&rest),
        }
    }

    /// Links `first`, the start of a chain of new clusters, behind `last`, which was allocated in
    /// epoch `since`. What the disk knows of is linked by the next commit.
    async fn join_chains(&self, last: u32, since: Option<u64>, first: u32) -> Result<(), Error> {
        if since == Some(self.epoch()) {
            return self.set_entry(last, first).await;
        }
        self.space.pending.borrow_mut().links.push((last, first));
        Ok(())
    }

    /// Puts new clusters behind those that something has, which end with `last` and got there in epoch
    /// `since`. Those of exFAT that are neighbours from `first` on have no chain: they get one when the
    /// new ones are no neighbours of theirs. Until an entry on the disk says that there is a chain, nobody
    /// asks the table, so that nothing of it need wait. Returns whether all are neighbours without one.
    pub(crate) async fn attach(
        &self,
        last: Option<u32>,
        first: Option<u32>,
        since: Option<u64>,
        new: &Extents,
    ) -> Result<bool, Error> {
        if self.is_exfat() {
            let goes_on = match (last, first) {
                (None, _) => true,
                (Some(last), Some(_)) => last.checked_add(1) == Some(new.first()),
                (Some(_), None) => false,
            };
            if goes_on && new.runs().len() == 1 {
                return Ok(true);
            }
            let mut runs = new.runs().iter().peekable();
            while let Some(run) = runs.next() {
                let after = runs.peek().map_or(END, |next| next.cluster);
                self.chain_up(run.cluster, run.count, after).await?;
            }
            if let (Some(last), Some(first)) = (last, first) {
                let count = last.saturating_sub(first).saturating_add(1);
                return self.chain_up(first, count, new.first()).await.map(|()| false);
            }
        }
        if let Some(last) = last {
            self.join_chains(last, since, new.first()).await?;
        }
        Ok(false)
    }

    /// Links the chains that `join_chains` left to the commit. All of their clusters are on the
    /// disk. Returns whether there were any.
    pub(crate) async fn apply_links(&self) -> Result<bool, Error> {
        let links = self.space.pending.borrow().links.clone();
        for (last, first) in &links {
            self.set_entry(*last, *first).await?;
        }
        self.write_dirty(Class::Table).await?;
        self.space.pending.borrow_mut().links.clear();
        Ok(!links.is_empty())
    }

    /// Changes the table as `free_later` and `cut_later` asked. The directories on the disk no
    /// longer refer to these clusters.
    pub(crate) async fn apply_frees(&self) -> Result<(), Error> {
        let pending = self.space.pending.take();
        for last in pending.ends {
            self.set_entry(last, END).await?;
        }
        // The new ends must be on the disk first.
        self.space.pending.borrow_mut().frees = pending.cut;
        for run in pending.frees {
            let end = run.cluster.saturating_add(run.count);
            if self.is_exfat() {
                self.free_bits(run.cluster, run.count).await?;
                continue;
            }
            for cluster in run.cluster..end {
                self.free_cluster(cluster).await?;
            }
        }
        for (first, _) in pending.chains {
            let mut cluster = first;
            while let Link::Next(next) = self.free_cluster(cluster).await? {
                cluster = next;
            }
        }
        Ok(())
    }

    /// What the table said of it.
    async fn free_cluster(&self, cluster: u32) -> Result<Link, Error> {
        let link = self.link(cluster).await?;
        if self.is_exfat() {
            self.free_bits(cluster, 1).await?;
            return Ok(link);
        }
        match link {
            Link::Free => return Err(self.damage("two files share a cluster")),
            Link::Bad => return Err(self.damage("a chain runs into a bad cluster")),
            Link::Next(_) | Link::End => {}
        }
        self.set_entry(cluster, 0).await?;
        self.space.give(cluster, 1, self.geometry.clusters);
        if cluster.is_multiple_of(FREE_STEP) {
            self.relieve().await?;
        }
        Ok(link)
    }
}
