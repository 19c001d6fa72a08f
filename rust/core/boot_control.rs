// SPDX-License-Identifier: GPL-2.0

//! The words by which a primary and a secondary kernel steer each other, in the upper part of the status
//! page (`boot_status`).
//!
//! | bytes | word | writer |
//! |---|---|---|
//! | 2048.. | heartbeat: counts on while the secondary lives | secondary |
//! | 2056.. | [`Wish`]: what the primary wants of the secondary | primary |
//! | 2064.. | [`PrimaryState`]: how the primary fares | primary |
//! | 2072.. | nanoseconds of wall-clock time at the time-stamp counter below | primary |
//! | 2080.. | that time-stamp counter | primary |
//!
//! All are 64-bit words, stored in one piece.

/// Offset of the secondary's heartbeat.
pub const HEARTBEAT: usize = 2048;
/// Offset of the [`Wish`].
pub const WISH: usize = 2056;
/// Offset of the [`PrimaryState`].
pub const PRIMARY: usize = 2064;
/// Offset of the wall-clock time.
pub const WALL_CLOCK: usize = 2072;
/// Offset of the time-stamp counter that belongs to it.
pub const WALL_CLOCK_TSC: usize = 2080;
/// First byte of all this, and how many bytes it is, to be cleared before a start.
pub const CONTROL: core::ops::Range<usize> = HEARTBEAT..2088;

/// What a primary wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Wish {
    /// Nothing.
    None = 0,
    /// That the secondary shuts down in order.
    PowerOff = 1,
}

impl Wish {
    /// Decodes the word; what it does not know is nothing to a secondary.
    pub const fn new(raw: u64) -> Self {
        match raw {
            1 => Self::PowerOff,
            _ => Self::None,
        }
    }
}

/// How a primary fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum PrimaryState {
    /// Well.
    Running = 0,
    /// It has panicked; nobody looks after this kernel any more.
    Panicked = 1,
}

impl PrimaryState {
    /// Decodes the word.
    pub const fn new(raw: u64) -> Self {
        match raw {
            1 => Self::Panicked,
            _ => Self::Running,
        }
    }
}

/// Watches a counter that another kernel increments: tells whether it has stood still for too long.
#[derive(Clone, Copy, Debug)]
pub struct Pulse {
    count: u64,
    since_ns: u64,
}

impl Pulse {
    /// At `now_ns`, on any clock that does not go back, the counter was `count`.
    pub const fn new(count: u64, now_ns: u64) -> Self {
        Self {
            count,
            since_ns: now_ns,
        }
    }

    /// Another look: nanoseconds for which it has stood still.
    pub fn look(&mut self, count: u64, now_ns: u64) -> u64 {
        if count != self.count {
            *self = Self::new(count, now_ns);
        }
        now_ns.saturating_sub(self.since_ns)
    }
}
