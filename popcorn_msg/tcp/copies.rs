// SPDX-License-Identifier: GPL-2.0
//! What is copied of long payloads: a page should be neither when it is sent nor between the socket and its place.
//! Counted for the tests, by long messages only.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;

/// Payloads from this length on are long: to copy one takes longer than a call of the socket.
pub(super) const LONG: usize = 4096;

/// Bytes of long payloads.
#[derive(Default)]
pub(super) struct Copies {
    kept: AtomicU64,
    copied: AtomicU64,
    placed: AtomicU64,
    read_ahead: AtomicU64,
}

/// What was counted.
#[cfg(CONFIG_KUNIT)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Of what was sent: kept where they were, and copied.
    pub(crate) kept: u64,
    pub(crate) copied: u64,
    /// Of what came: received to their place, and copied there from what was read ahead.
    pub(crate) placed: u64,
    pub(crate) read_ahead: u64,
}

impl Copies {
    /// Of a payload of `length` bytes that is to be sent, `kept` are where they were.
    pub(super) fn sent(&self, length: usize, kept: usize) {
        if length >= LONG {
            self.kept.fetch_add(kept as u64, Ordering::Relaxed);
            let copied = length.saturating_sub(kept);
            self.copied.fetch_add(copied as u64, Ordering::Relaxed);
        }
    }

    /// Of a payload of `length` bytes that came, so many had been read ahead.
    pub(super) fn received(&self, length: usize, read_ahead: usize) {
        if length >= LONG {
            let placed = length.saturating_sub(read_ahead);
            self.placed.fetch_add(placed as u64, Ordering::Relaxed);
            self.read_ahead
                .fetch_add(read_ahead as u64, Ordering::Relaxed);
        }
    }

    #[cfg(CONFIG_KUNIT)]
    pub(super) fn get(&self) -> Copied {
        Copied {
            kept: self.kept.load(Ordering::Relaxed),
            copied: self.copied.load(Ordering::Relaxed),
            placed: self.placed.load(Ordering::Relaxed),
            read_ahead: self.read_ahead.load(Ordering::Relaxed),
        }
    }
}
