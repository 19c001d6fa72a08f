// SPDX-License-Identifier: GPL-2.0
//! The origin is about to change its layout.

use kernel::prelude::*;
use kernel::sync::Arc;
use popcorn_core::interval::Interval;
use popcorn_core::layout;
use popcorn_core::proto;
use popcorn_kernel::regs::UserRegs;
use popcorn_page::talk;
use popcorn_page::Role;
use popcorn_page::Space;

/// A range of a space in which nothing is spread, until this is dropped.
pub struct Change {
    space: Arc<Space>,
    range: Interval,
}

impl Change {
    /// Brings the pages of `range` home, and unmaps it at all remotes. Waits for other changes that
    /// overlap, and for messages; killable; the caller holds no locks.
    ///
    /// # Errors
    ///
    /// `EINTR` when killed.
    pub fn begin(space: &Arc<Space>, range: Interval) -> Result<Self> {
        debug_assert!(space.role == Role::Origin);
        space.freeze(range)?;
        // From here on the drop undoes it.
        let change = Self {
            space: space.clone(),
            range,
        };
        let version = {
            let mut version = space.layout.lock();
            *version += 1;
            *version
        };
        space.recall(range)?;
        let message = proto::Unmap {
            space: space.id,
            start: range.start(),
            end: range.end(),
            version,
        };
        for node in space.nodes() {
            match talk::call(node, &message, &[]) {
                Err(error) if error == EINTR => return Err(error),
                // It has no such space (any more), or it died: it has nothing mapped.
                _ => (),
            }
        }
        Ok(change)
    }

    /// Brings all pages home, for a copy of the address space; remotes keep their VMAs.
    ///
    /// # Errors
    ///
    /// As [`Change::begin`].
    pub fn begin_copy(space: &Arc<Space>) -> Result<Self> {
        let range = layout::everything().ok_or(EINVAL)?;
        space.freeze(range)?;
        let change = Self {
            space: space.clone(),
            range,
        };
        space.recall(range)?;
        Ok(change)
    }

    /// All addresses: for a system call of which only its entry knows what it does.
    ///
    /// # Errors
    ///
    /// As [`Change::begin`].
    pub fn of_everything(space: &Arc<Space>) -> Result<[Option<Self>; 2]> {
        let range = layout::everything().ok_or(EINVAL)?;
        Ok([Some(Self::begin(space, range)?), None])
    }

    /// What system call `number` of the current task needs; see `popcorn_core::layout`.
    ///
    /// # Errors
    ///
    /// As [`Change::begin`].
    pub fn for_syscall(
        space: &Arc<Space>,
        number: u64,
        regs: &UserRegs,
    ) -> Result<[Option<Self>; 2]> {
        let brk = space.mm.user().map_or(0, |user| user.brk());
        let mut ranges = layout::affected(number, &regs.arguments(), brk as u64);
        // Always the lower one first: two changes must not wait for each other.
        ranges.sort_unstable_by_key(|range| range.map_or(u64::MAX, |range| range.start()));
        let [first, second] = ranges;
        let begin =
            |range: Option<Interval>| range.map(|range| Self::begin(space, range)).transpose();
        Ok([begin(first)?, begin(second)?])
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        self.space.unfreeze(self.range);
    }
}
