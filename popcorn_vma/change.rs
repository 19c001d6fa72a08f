// SPDX-License-Identifier: GPL-2.0
//! The origin is about to change its layout.

use kernel::prelude::*;
use kernel::sync::Arc;
use popcorn_core::interval::Interval;
use popcorn_core::layout;
use popcorn_core::proto;
use popcorn_kernel::current;
use popcorn_kernel::regs::UserRegs;
use popcorn_kernel::time;
use popcorn_page::talk;
use popcorn_page::Role;
use popcorn_page::Space;

/// Between two attempts to tell the remotes, in milliseconds, when there was no memory.
const AGAIN_MS: u32 = 1;

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
        let told = loop {
            match talk::multicast(space.nodes(), &message, true) {
                // Nobody was told, and so nothing may change yet.
                Err(error) if error == ENOMEM => {
                    if current::fatal_signal_pending() {
                        return Err(EINTR);
                    }
                    time::sleep_ms(AGAIN_MS);
                }
                told => break told?,
            }
        };
        let is_killed = told.answers().any(|(_, said)| said.err() == Some(EINTR));
        if is_killed {
            return Err(EINTR);
        }
        // Any other that fails has no such space (any more), or it died: it has nothing mapped.
        Ok(())
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
