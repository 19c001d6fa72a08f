// SPDX-License-Identifier: GPL-2.0
//! What this machine grants: to whom, for how long that counts, and what it has promised with it.

use super::Membership;
use super::Peer;
use super::Places;
use crate::ids::Incarnation;
use crate::ids::NodeId;

/// How long a grant counts of one who waits for `dead` ticks.
pub(super) const fn lease(dead: u64) -> u64 {
    dead / 4 * 3 + dead % 4 * 3 / 4
}

impl<const N: usize, P: Places<Peer>> Membership<N, P> {
    /// Counts others as dead after another number of ticks from now on. What was promised is kept.
    pub fn set_dead(&mut self, now: u64, dead: u64) {
        self.now = self.now.max(now);
        let promised = self.promised();
        if dead < promised {
            self.longer = Some((promised, self.now.saturating_add(promised)));
        }
        self.dead = dead;
    }

    /// For how many ticks a grant has been promised to hold, at most.
    fn promised(&self) -> u64 {
        match self.longer {
            Some((dead, until)) if self.now < until => dead.max(self.dead),
            _ => self.dead,
        }
    }

    /// Whether a heartbeat of that node is granted.
    pub(super) fn grants(&self, node: NodeId, life: Incarnation, is_candidate: bool) -> bool {
        if self.is_out {
            return false;
        }
        if self.list().contains(node, life) {
            let odd_since = self.peers.all().get(node.index()).copied().flatten();
            let odd_since = odd_since.and_then(|peer| peer.odd_since);
            let is_left_out =
                odd_since.is_some_and(|since| self.now.saturating_sub(since) > lease(self.dead));
            return !self.removes().contains(node) && !is_left_out;
        }
        is_candidate || self.list().epoch() == 0
    }

    /// Whether this node has not granted anything to that member for so long that it would accept
    /// its removal.
    pub(super) fn is_silent(&self, node: NodeId, now: u64) -> bool {
        let peer = self.peers.all().get(node.index()).copied().flatten();
        let granted_at = peer.and_then(|peer| peer.granted).map_or(0, |(_, at)| at);
        now.saturating_sub(granted_at.max(self.adopted_at)) >= self.promised()
    }
}
