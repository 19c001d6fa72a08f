// SPDX-License-Identifier: GPL-2.0
//! How long it is worth to look for a message before sleeping, learned from how long the last ones took to come.
//!
//! To look costs a processor; to sleep costs the sender a doorbell, and the receiver an interrupt and a switch of tasks. So
//! whoever waits looks for about as long as what he waits for takes, if that is short, and else sleeps at once. The
//! kernel's `haltpoll` does likewise for idle virtual processors. Other than there, who sleeps at once looks for once in a
//! while all the same: what is slow because it sleeps would else never be found to be fast.
//!
//! All values are in nanoseconds. Any context; several at once share what they learn, and lose some of it at worst.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;

/// The shortest time to look for that is worth it.
pub const LEAST_NS: u32 = 2_000;
/// Of so many waits without a look, the last one looks.
pub const TRY_EACH: u32 = 32;

/// What one who waits again and again has learned.
///
/// # Invariants
///
/// `budget_ns` is 0, or at least [`LEAST_NS`].
#[derive(Debug)]
pub struct AdaptivePoll {
    budget_ns: AtomicU32,
    /// Waits without a look since the last one with.
    slept: AtomicU32,
}

impl AdaptivePoll {
    /// Nothing is known: the first wait looks for as long as it may.
    pub const fn new() -> Self {
        Self {
            // INVARIANT: no less than the least.
            budget_ns: AtomicU32::new(u32::MAX),
            slept: AtomicU32::new(0),
        }
    }

    /// How long to look now, at most `most_ns`; 0: sleep at once.
    pub fn budget(&self, most_ns: u32) -> u32 {
        let budget = self.budget_ns.load(Ordering::Relaxed);
        if budget != 0 {
            return budget.min(most_ns);
        }
        if self.slept.fetch_add(1, Ordering::Relaxed) < TRY_EACH - 1 {
            return 0;
        }
        self.slept.store(0, Ordering::Relaxed);
        most_ns
    }

    /// It came after `waited_ns`, with or without sleep; a wait that came to nothing is none.
    pub fn came_after(&self, waited_ns: u64, most_ns: u32) {
        let old = self.budget_ns.load(Ordering::Relaxed).min(most_ns);
        let new = if waited_ns <= u64::from(most_ns) {
            // Twice that, since they differ; more than that only slowly less.
            let enough = (waited_ns as u32).saturating_mul(2).max(LEAST_NS);
            enough.max(old - old / 8).min(most_ns)
        } else {
            old / 2
        };
        // INVARIANT: what is less than the least becomes 0.
        let new = if new < LEAST_NS { 0 } else { new };
        self.budget_ns.store(new, Ordering::Relaxed);
    }
}

impl Default for AdaptivePoll {
    fn default() -> Self {
        Self::new()
    }
}
