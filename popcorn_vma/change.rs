// SPDX-License-Identifier: GPL-2.0
//! The origin is about to change its layout.

use kernel::prelude::*;
use kernel::sync::Arc;
use popcorn_core::directory::NodeSet;
use popcorn_core::interval::Interval;
use popcorn_core::layout;
use popcorn_core::message::Empty;
use popcorn_core::proto;
use popcorn_kernel::current;
use popcorn_kernel::regs::UserRegs;
use popcorn_kernel::time;
use popcorn_kernel::warn_ratelimited;
use popcorn_msg::Response;
use popcorn_page::talk;
use popcorn_page::Role;
use popcorn_page::Space;

/// Between two attempts to tell the remotes, in milliseconds, when there was no memory here or there.
const AGAIN_MS: u32 = 10;

/// A range of a space in which nothing is spread, until this is dropped.
pub struct Change {
    space: Arc<Space>,
    range: Interval,
}

impl Change {
    /// Freezes ranges, all or none; waits for changes that overlap.
    fn freeze(space: &Arc<Space>, ranges: [Option<Interval>; 2]) -> Result<[Option<Self>; 2]> {
        debug_assert!(space.role == Role::Origin);
        space.freeze(ranges)?;
        // From here on the drop undoes it.
        let change = |range| Self {
            space: space.clone(),
            range,
        };
        Ok(ranges.map(|range| range.map(change)))
    }

    /// Brings the pages home, and unmaps the range at all remotes, at once.
    fn prepare(&self) -> Result {
        let Self { space, range } = self;
        let version = {
            let mut version = space.layout.lock();
            *version += 1;
            *version
        };
        space.recall(*range)?;
        let message = proto::Unmap {
            space: space.id,
            start: range.start(),
            end: range.end(),
            version,
        };
        let mut untold = space.nodes();
        loop {
            match talk::multicast(untold, &message, true, talk::NO_LIMIT) {
                Ok(told) => {
                    let failed = told.answers().filter_map(|(node, said)| {
                        let error = said.and_then(Response::decode::<Empty>).err()?;
                        Some((node, error))
                    });
                    untold = NodeSet::EMPTY;
                    for (node, error) in failed {
                        if error == EINTR {
                            return Err(EINTR);
                        }
                        // Whoever is gone has nothing mapped.
                        if !talk::is_gone(error) {
                            warn_ratelimited!(
                                "node {} cannot unmap memory now: {:?}\n",
                                node,
                                error
                            );
                            untold = untold.with(node);
                        }
                    }
                }
                // Nobody was told.
                Err(error) if error == ENOMEM => {}
                Err(error) => return Err(error),
            }
            if untold.is_empty() {
                return Ok(());
            }
            // Nothing may change before all have done so.
            if current::fatal_signal_pending() {
                return Err(EINTR);
            }
            time::sleep_ms(AGAIN_MS);
        }
    }

    /// Brings all pages home, for a copy of the address space; remotes keep their VMAs.
    ///
    /// # Errors
    ///
    /// As [`Change::for_syscall`].
    pub fn begin_copy(space: &Arc<Space>) -> Result<Self> {
        let range = layout::everything().ok_or(EINVAL)?;
        let [change, _] = Self::freeze(space, [Some(range), None])?;
        space.recall(range)?;
        change.ok_or(EINVAL)
    }

    /// What system call `number` of the current task needs (see `popcorn_core::layout`): nothing of
    /// what it changes is spread. Waits for other changes that overlap, and for messages; killable;
    /// the caller holds no locks.
    ///
    /// # Errors
    ///
    /// `EINTR` when killed.
    pub fn for_syscall(
        space: &Arc<Space>,
        number: u64,
        regs: &UserRegs,
    ) -> Result<[Option<Self>; 2]> {
        let brk = space.mm.user().map_or(0, |user| user.brk());
        let ranges = layout::affected(number, &regs.arguments(), brk as u64);
        let changes = Self::freeze(space, ranges)?;
        for change in changes.iter().flatten() {
            change.prepare()?;
        }
        Ok(changes)
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        self.space.unfreeze(self.range);
    }
}
