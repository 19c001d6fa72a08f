// SPDX-License-Identifier: GPL-2.0
//! A secondary's part: it has no vote, and serves while its primary says that it may.

use super::Standing;
use super::Why;

/// What a secondary knows of its primary's standing. `now` counts ticks of its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Follower {
    standing: Standing,
    until: u64,
}

impl Follower {
    /// Nothing was said yet.
    pub const fn new() -> Self {
        Self {
            standing: Standing::Joining,
            until: 0,
        }
    }

    /// The primary has said how things stand, and for how long that holds if it says nothing more
    /// ([`Membership::lease`](super::Membership::lease)). What it says must come in order, and
    /// within a tick: what takes longer has to be taken from `lease`.
    pub fn heard(&mut self, now: u64, standing: Standing, lease: u64) {
        self.standing = standing;
        self.until = now.saturating_add(lease);
    }

    /// The primary is dead, or the link to it is down.
    pub fn lost(&mut self) {
        self.until = 0;
    }

    /// Whether this secondary may serve at `now`.
    pub fn standing(&self, now: u64) -> Standing {
        match self.standing {
            Standing::Serving if now >= self.until => Standing::Suspended(Why::Minority),
            standing => standing,
        }
    }
}

impl Default for Follower {
    fn default() -> Self {
        Self::new()
    }
}
