// SPDX-License-Identifier: GPL-2.0
//! Ranges whose layout changes: requests for their pages are put off, and the pages come home.

use kernel::prelude::*;
use kernel::sync::Arc;
use popcorn_core::directory::Refusal;
use popcorn_core::directory::Step;
use popcorn_core::interval::Interval;
use popcorn_core::proto;
use popcorn_kernel::current;
use popcorn_kernel::task::sleep_us;

use crate::space::Space;

use super::operation::Operation;
use super::operation::PAUSE_US;

impl Space {
    /// From now on requests of remotes for pages in `ranges`, which do not overlap, come again later.
    /// Waits, killable, while an overlapping range is frozen; and takes all at once, so that nobody
    /// waits for one while holding the other.
    ///
    /// # Errors
    ///
    /// `EINTR`.
    pub fn freeze(&self, ranges: [Option<Interval>; 2]) -> Result {
        self.changed.wait_killable(|| {
            let frozen = &mut self.directory.lock().frozen;
            for (index, range) in ranges.iter().enumerate() {
                let Some(range) = range else { continue };
                if frozen.insert(*range).is_err() {
                    for range in ranges[..index].iter().flatten() {
                        frozen.remove(*range);
                    }
                    return false;
                }
            }
            true
        })
    }

    /// The part of `range` around `address` that is not frozen; `None` if `address` is.
    pub fn unfrozen_around(&self, address: u64, range: Interval) -> Option<Interval> {
        self.directory
            .lock()
            .frozen
            .difference(range)
            .find(|part| part.contains(address))
    }

    /// Undoes [`Space::freeze`].
    pub fn unfreeze(&self, range: Interval) {
        self.directory.lock().frozen.remove(range);
        self.changed.wake_all();
    }

    /// Brings every page of a frozen range home: afterwards they are ordinary memory.
    ///
    /// # Errors
    ///
    /// `EINTR` when killed. May sleep; the caller holds no lock.
    pub fn recall(self: &Arc<Self>, range: Interval) -> Result {
        let user = self.mm.user().ok_or(ESRCH)?;
        let mut from = range.start() & !(proto::PAGE_SIZE as u64 - 1);
        while let Some(key) = self.next_page(from, range.end()) {
            if current::fatal_signal_pending() {
                return Err(EINTR);
            }
            let begun = {
                let mut directory = self.directory.lock();
                directory.pages.get_mut(&key).map(|page| {
                    let begun = page.entry.begin_recall();
                    page.driven |= matches!(begun, Ok(step) if step != Step::AlreadyGranted);
                    begun
                })
            };
            match begun {
                None => from = key + 1,
                Some(Err(Refusal::Busy)) => self.wait_idle(key as usize)?,
                Some(Err(Refusal::Lost)) if user.poison(key as usize) == Err(EAGAIN) => {
                    sleep_us(PAUSE_US);
                }
                Some(Err(Refusal::Lost)) | Some(Ok(Step::AlreadyGranted)) => {
                    self.drop_page(key);
                    from = key + 1;
                }
                Some(Ok(step)) => {
                    // A refusal (a pinned page, say) is tried again until it succeeds.
                    if Operation::new(self, key as usize).drive(step).is_err() {
                        sleep_us(PAUSE_US);
                    }
                }
            }
        }
        Ok(())
    }

    fn drop_page(&self, key: u64) {
        let node = self.directory.lock().pages.remove_node(&key);
        drop(node);
    }
}
