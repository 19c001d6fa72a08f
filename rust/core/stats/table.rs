// SPDX-License-Identifier: GPL-2.0
//! From a message type to its row: a bounded, open-addressed table without locks.
//!
//! A type takes a free place at its first use and keeps it; nothing is ever taken out. When all
//! places are taken, every further type shares one row, the *overflow* row, and that says so by
//! having no type. So a peer that sends messages of types that nobody knows can make its own
//! statistics coarse, and nothing worse.
//!
//! # Order
//!
//! A place is claimed by one compare-and-exchange of its key from 0 to the type plus 1. The rows are
//! there from the beginning, and hold counters only, so nothing need be ordered with the claim: all
//! is relaxed. Places are probed in one fixed order for each type, and never become free again, so
//! two who look for the same type at once find the same row (`tests/stats_loom.rs`).

use core::ops::Deref;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;

/// A place's key, so that a model checker can stand in for the atomic.
pub trait Key {
    /// Reads it, relaxed.
    fn load(&self) -> u32;
    /// Sets it if it is 0, relaxed; what it is now.
    fn claim(&self, value: u32) -> u32;
}

impl Key for AtomicU32 {
    fn load(&self) -> u32 {
        AtomicU32::load(self, Ordering::Relaxed)
    }

    fn claim(&self, value: u32) -> u32 {
        match self.compare_exchange(0, value, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => value,
            Err(now) => now,
        }
    }
}

/// The table: `N` places, a power of two, with their keys side by side, which are only read once all
/// types have been met; and the rows, which lie wherever `S` and `O` point to.
#[derive(Debug)]
pub struct Table<S, O, const N: usize, K = AtomicU32> {
    keys: [K; N],
    rows: S,
    overflow: O,
}

impl<S, O, const N: usize, K: Default> Table<S, O, N, K> {
    /// An empty table with these rows. If there are fewer than `N`, it has no more places than that.
    pub fn new(rows: S, overflow: O) -> Self {
        const { assert!(N.is_power_of_two() && N <= 1 << 16) };
        Self {
            keys: core::array::from_fn(|_| K::default()),
            rows,
            overflow,
        }
    }
}

impl<S, O, R, const N: usize, K> Table<S, O, N, K>
where
    S: Deref<Target = [R]>,
    O: Deref<Target = R>,
    R: 'static,
    K: Key,
{
    /// The row of a type, which gets one if it has none; else the overflow row. Any context. It looks
    /// at one place as a rule, at `N` if the table is full.
    pub fn row(&self, kind: u16) -> &R {
        let wanted = u32::from(kind) + 1;
        // Fibonacci hashing: types are small numbers in a few ranges.
        let first = (u32::from(kind).wrapping_mul(0x9e37_79b9) >> 16) as usize;
        for step in 0..N {
            let place = first.wrapping_add(step) & (N - 1);
            let (Some(key), Some(row)) = (self.keys.get(place), self.rows.get(place)) else {
                continue;
            };
            let found = match key.load() {
                0 => key.claim(wanted),
                found => found,
            };
            if found == wanted {
                return row;
            }
        }
        &self.overflow
    }

    /// The rows that types have, each with its type, in any order.
    pub fn rows(&self) -> impl Iterator<Item = (u16, &R)> {
        self.keys
            .iter()
            .zip(self.rows.iter())
            .filter_map(|(key, row)| {
                let kind = u16::try_from(key.load().checked_sub(1)?).ok()?;
                Some((kind, row))
            })
    }

    /// The row of all types for which there was no place.
    pub fn overflow(&self) -> &R {
        &self.overflow
    }
}
