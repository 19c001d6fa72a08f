// SPDX-License-Identifier: GPL-2.0
//! Memory that a kernel got while it ran, beyond what it was made with.
//!
//! Each portion is an element of its own, so that any of them can go by itself. What the kernel may be using
//! of it is in an [`Account`], and leaves it only by the kernel's answer; all else it has booted with, or will
//! boot with next.
//!
//! Lock order: [`Grown::inner`] is a leaf, held for a few lines only. Memory is given back without it.

use kernel::prelude::*;
use kernel::sync::new_mutex;
use kernel::sync::Arc;
use kernel::sync::Mutex;
use popcorn_core::bootparams::Extent;
use popcorn_core::lent_memory::Account;
use popcorn_core::lent_memory::AccountError;
use popcorn_core::lent_memory::LentMemory;
use popcorn_core::portions::runs;
use popcorn_core::portions::Portions;
use popcorn_core::ring::Memory;
use popcorn_kernel::boot::memory::PhysicalMemory;
use popcorn_kernel::errno;

/// All such memory of one kernel.
#[pin_data]
pub(crate) struct Grown {
    #[pin]
    inner: Mutex<Inner>,
}

struct Inner {
    /// By address; the empty places are behind the others.
    pieces: KVec<Option<Arc<PhysicalMemory>>>,
    /// With the kernel that runs, or ran last, once something was asked of it.
    account: Option<Account>,
}

impl Inner {
    fn pieces(&self) -> impl Iterator<Item = &Arc<PhysicalMemory>> {
        self.pieces.iter().flatten()
    }

    fn extents(&self) -> impl Iterator<Item = Extent> + '_ {
        self.pieces().map(|piece| piece.extent())
    }

    /// Puts one in. There must be room for it.
    fn put(&mut self, piece: Arc<PhysicalMemory>) {
        let start = piece.extent().start;
        let at = self.pieces().take_while(|p| p.extent().start < start);
        let at = at.count();
        if !matches!(self.pieces.last(), Some(None)) {
            // There is room.
            let _ = self.pieces.push(None, GFP_KERNEL);
        }
        if let Some(behind) = self.pieces.get_mut(at..) {
            behind.rotate_right(1);
            if let Some(place) = behind.first_mut() {
                *place = Some(piece);
            }
        }
    }

    /// Takes out one that `which` says is it.
    fn take(&mut self, which: impl Fn(Extent) -> bool) -> Option<Arc<PhysicalMemory>> {
        let at = self.extents().position(which)?;
        let behind = self.pieces.get_mut(at..)?;
        let piece = behind.first_mut()?.take();
        behind.rotate_left(1);
        piece
    }
}

impl Grown {
    /// None yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            inner <- new_mutex!(Inner {
                pieces: KVec::new(),
                account: None,
            }, "popcorn_boot grown memory"),
        })
    }

    /// Bytes of it.
    pub(crate) fn size(&self) -> u64 {
        self.inner.lock().extents().map(|extent| extent.size).sum()
    }

    /// Bytes that the kernel got since it was loaded: they can be taken back.
    pub(crate) fn lent_size(&self) -> u64 {
        let inner = self.inner.lock();
        inner
            .account
            .as_ref()
            .map_or(0, |account| account.lent().bytes())
    }

    /// Where it is, ascending, with what touches made one. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn ranges(&self) -> Result<KVec<Extent>> {
        let mut ranges = KVec::new();
        let inner = self.inner.lock();
        for run in runs(inner.extents()) {
            ranges.push(run, GFP_KERNEL)?;
        }
        Ok(ranges)
    }

    /// What holds all of `part`.
    pub(crate) fn find(&self, part: Extent) -> Option<Arc<PhysicalMemory>> {
        let inner = self.inner.lock();
        let found = inner.pieces().find(|piece| piece.contains(part));
        found.cloned()
    }

    /// No kernel runs, and the next one boots with all of this, in at most `max` ranges: the smaller ones
    /// beyond go back. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`: nothing has changed.
    pub(crate) fn settle_down(&self, max: usize) -> Result {
        let mut ranges = self.ranges()?;
        self.inner.lock().account = None;
        for _ in max..ranges.len() {
            let left = ranges.iter_mut().filter(|range| range.size != 0);
            let Some(range) = left.min_by_key(|range| range.size) else {
                break;
            };
            let (start, end) = (range.start, range.end());
            pr_info!(
                "{} MiB at {:#x} are a range too many to boot with, and go back\n",
                range.size >> 20,
                start
            );
            self.give(
                |extent| start <= extent.start && extent.end() <= end,
                |_| (),
            );
            range.size = 0;
        }
        Ok(())
    }

    /// Gives back what `which` says, each piece after `goes` was told. May sleep.
    fn give(&self, which: impl Fn(Extent) -> bool, goes: impl Fn(Extent)) {
        loop {
            // The lock is not held while one goes.
            let piece = self.inner.lock().take(&which);
            let Some(piece) = piece else { break };
            goes(piece.extent());
        }
    }

    /// Tells the kernel, whose portions have the size of these, to take them in. May sleep.
    ///
    /// # Errors
    ///
    /// `EINPROGRESS`: it has not answered what was asked before. `ENOMEM`: they are too scattered to be told, or
    /// no room here. `EPROTO`: it had portions of another size before. Nothing has changed then.
    pub(crate) fn lend<M: Memory>(
        &self,
        page: &LentMemory<M>,
        size: u64,
        pieces: &[Arc<PhysicalMemory>],
    ) -> Result {
        let mut more = Portions::new(size).ok_or_else(errno::protocol)?;
        for piece in pieces {
            more.insert(piece.extent()).map_err(|_| ENOMEM)?;
        }
        let mut inner = self.inner.lock();
        inner.pieces.reserve(pieces.len(), GFP_KERNEL)?;
        let known = inner.account;
        let mut account = known
            .or_else(|| Account::new(size))
            .filter(|account| account.lent().size() == size)
            .ok_or_else(errno::protocol)?;
        account.lend(page, &more).map_err(why)?;
        inner.account = Some(account);
        for piece in pieces {
            inner.put(piece.clone());
        }
        Ok(())
    }

    /// Asks the kernel to give `bytes` back, or what there is, but nothing of `tried`, to which what was asked
    /// for is added. Whether there was anything to ask for.
    ///
    /// # Errors
    ///
    /// `EINPROGRESS`: it has not answered what was asked before.
    pub(crate) fn ask_back<M: Memory>(
        &self,
        page: &LentMemory<M>,
        bytes: u64,
        tried: &mut Option<Portions>,
    ) -> Result<bool> {
        let mut inner = self.inner.lock();
        let Some(account) = &mut inner.account else {
            return Ok(false);
        };
        let before = tried.unwrap_or(account.lent().none());
        let some = account.lent().without(&before).highest(bytes);
        if some.is_empty() {
            return Ok(false);
        }
        account.ask_back(page, &some).map_err(why)?;
        *tried = Some(before.with(&some).map_err(|_| ENOMEM)?);
        Ok(true)
    }

    /// Tells the kernel that everything may stay as it is.
    pub(crate) fn leave<M: Memory>(&self, page: &LentMemory<M>) {
        if let Some(account) = &mut self.inner.lock().account {
            account.leave(page);
        }
    }

    /// Whether the kernel has not answered yet.
    pub(crate) fn is_open(&self) -> bool {
        let inner = self.inner.lock();
        inner.account.as_ref().is_some_and(Account::is_open)
    }

    /// Looks for the kernel's answer, and takes back what it does not use, each piece after `goes` was told: an
    /// errno if that is not all that was asked for, or 0. `None` if there is no answer. May sleep.
    pub(crate) fn settle<M: Memory>(
        &self,
        page: &LentMemory<M>,
        goes: impl Fn(Extent),
    ) -> Option<i32> {
        let mut inner = self.inner.lock();
        let answer = inner.account.as_mut()?.settle(page)?;
        drop(inner);
        self.give(|extent| answer.back.has(extent.start), goes);
        Some(answer.errno)
    }
}

fn why(error: AccountError) -> Error {
    match error {
        AccountError::Open => errno::in_progress(),
        AccountError::Scattered => ENOMEM,
    }
}
