// SPDX-License-Identifier: GPL-2.0
//! Which of two hellos of a peer is the later one.
//!
//! Who connects gives up an attempt that takes too long, and makes another. What was said on the connection that he gave
//! up may still come, when the later one has long been in use: his kernel sends it again and again, a handshake ends at
//! last. It says how far he was then, or is of a life that is over. Taken for the latest, it would put an end to the
//! connection that is there, and to the session. So attempts have numbers, which rise, and what is older than something
//! that has come already is not looked at.

/// For how long the latest attempt is remembered: longer than one that was given up can be under way. So a peer whose
/// clock was set back, and that has forgotten its attempts, is kept out for no longer than that.
pub const REMEMBERED_MS: u64 = 60_000;

/// The number of an attempt that begins now, after the `last` one; `clock` is the time of day, in ns, so that they rise
/// also from one life of a machine to the next.
pub const fn next(last: u64, clock: u64) -> u64 {
    let least = last.saturating_add(1);
    if clock > least {
        clock
    } else {
        least
    }
}

/// The latest attempt of a peer on a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Its number, and when it came.
    latest: Option<(u64, u64)>,
}

impl Attempts {
    /// Whether that one, which has come at `now_ms`, is later than all that have; it counts from then on.
    pub fn is_latest(&mut self, attempt: u64, now_ms: u64) -> bool {
        let is_old = self.latest.is_some_and(|(latest, at)| {
            attempt <= latest && now_ms.saturating_sub(at) < REMEMBERED_MS
        });
        if !is_old {
            self.latest = Some((attempt, now_ms));
        }
        !is_old
    }
}
