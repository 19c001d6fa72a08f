// SPDX-License-Identifier: GPL-2.0
//! How many pages to ask for at once: the more, the longer a thread goes on page after page.
//!
//! A few streams are followed at a time, each in its part of the address space. Two threads that
//! share one only lose the benefit.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;

use popcorn_core::proto::AHEAD_MAX;
use popcorn_core::proto::PAGE_SIZE;

/// Streams that are followed.
const STREAMS: usize = 16;
/// Bytes of address space that belong to one, before the next has its turn, as a shift.
const PART_SHIFT: u32 = 24;
/// Bits of a stream's word that hold how far it looks ahead; the others are the page that it expects.
const AHEAD_BITS: u32 = 8;

/// See the module's doc.
pub(crate) struct Streams([AtomicU64; STREAMS]);

impl Streams {
    pub(crate) fn new() -> Self {
        Self([const { AtomicU64::new(0) }; STREAMS])
    }

    fn stream(&self, address: usize) -> Option<&AtomicU64> {
        self.0.get((address >> PART_SHIFT) % STREAMS)
    }

    /// A fault at `address`: how many pages behind it to ask for.
    pub(crate) fn ahead(&self, address: usize) -> usize {
        let word = self
            .stream(address)
            .map_or(0, |word| word.load(Ordering::Relaxed));
        let expected = word >> AHEAD_BITS;
        let ahead = (word & ((1 << AHEAD_BITS) - 1)) as usize;
        if expected == (address / PAGE_SIZE) as u64 {
            (ahead * 2).clamp(2, AHEAD_MAX)
        } else {
            0
        }
    }

    /// `granted` of the `asked` pages behind `address` came.
    pub(crate) fn granted(&self, address: usize, granted: usize, asked: usize) {
        let next = (address / PAGE_SIZE + 1 + granted) as u64;
        if let Some(word) = self.stream(address) {
            word.store((next << AHEAD_BITS) | asked as u64, Ordering::Relaxed);
        }
    }
}
