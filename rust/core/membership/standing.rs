// SPDX-License-Identifier: GPL-2.0
//! Whether this machine serves: with the grants that it has, of a majority of each list that may be
//! the decided one, and for as long as these count.

use super::list::Change;
use super::list::List;
use super::Membership;
use super::Peer;
use super::Places;
use super::Standing;
use super::Why;
use crate::directory::NodeSet;

impl<const N: usize, P: Places<Peer>> Membership<N, P> {
    /// Whether this machine may serve at `now`, if nothing else comes until then.
    pub fn standing(&self, now: u64) -> Standing {
        self.standing_in(now, self.group(now))
    }

    pub(super) fn standing_in(&self, now: u64, group: NodeSet) -> Standing {
        if self.is_out || self.list().epoch() == 0 {
            return match (self.is_out, self.is_leaving) {
                (true, true) if self.is_left() => Standing::Left,
                (true, true) => Standing::Suspended(Why::Leaving),
                // It waits as long as one who leaves.
                (true, false) if self.is_witness && !self.is_left() => {
                    Standing::Suspended(Why::Undecided)
                }
                (true, false) => Standing::Removed,
                (false, _) => Standing::Joining,
            };
        }
        if self.is_leaving {
            return Standing::Suspended(Why::Leaving);
        }
        if self.is_resigned {
            // Nobody is left who could remove it. Who has an earlier list and does not hear all others in another life, as
            // after a restart of this machine, may wait for an administrator's word.
            if self.list().members().without(self.me).is_empty() {
                return Standing::Removed;
            }
            return Standing::Suspended(Why::Undecided);
        }
        let granting = self.granting(self.list(), group, now);
        if !self.list().is_majority(granting) {
            return Standing::Suspended(Why::Minority);
        }
        // Any of these may have been decided: one of those who grant would know.
        for node in granting {
            let Some(accepted) = self.agreement.of(node).accepted else {
                continue;
            };
            let Some(next) = self.list().after(accepted.change) else {
                continue;
            };
            let candidates = match accepted.change {
                Change::Join(node, _) => group.with(node),
                Change::Remove(_) => group,
            };
            // That others accept its removal is what their missing grants are about.
            let is_member = next.contains(self.me, self.life);
            if is_member && !next.is_majority(self.granting(&next, candidates, now)) {
                return Standing::Suspended(Why::Undecided);
            }
        }
        Standing::Serving
    }

    /// For how many ticks from `now` this machine serves if it hears nothing more, but no more than
    /// `most`; 0 if it does not serve.
    pub fn lease_within(&self, now: u64, most: u64) -> u64 {
        let group = self.group(now);
        (0..most)
            .find(|ticks| self.standing_in(now.saturating_add(*ticks), group) != Standing::Serving)
            .unwrap_or(most)
    }

    /// The machines with which this one serves, if it serves at `now`, itself among them.
    pub fn connected(&self, now: u64) -> NodeSet {
        self.granting(self.list(), self.group(now), now)
    }

    /// Those of `nodes` whose grants count, and this node.
    fn granting(&self, list: &List<N>, nodes: NodeSet, now: u64) -> NodeSet {
        nodes
            .into_iter()
            .filter(|node| {
                self.member(list, *node)
                    .is_some_and(|peer| peer.is_connected && now < peer.leased_until)
            })
            .fold(NodeSet::only(self.me), NodeSet::with)
    }

    /// Whether those who stay know that this machine is out: a majority of them, or all that it
    /// is connected to, who tell the others.
    fn is_left(&self) -> bool {
        let list = self.list();
        let those = |which: fn(&Peer, u64) -> bool| {
            let members = list.members().into_iter();
            members
                .filter(|node| {
                    self.member(list, *node)
                        .is_some_and(|peer| which(peer, list.epoch()))
                })
                .fold(NodeSet::EMPTY, NodeSet::with)
        };
        let knowing = those(|peer, epoch| peer.epoch >= epoch);
        let connected = those(|peer, _| peer.is_connected);
        let is_told = !knowing.is_empty() && connected.bits() & !knowing.bits() == 0;
        // The last one, which leaves nobody behind, is still in the list.
        is_told || list.is_majority(knowing) || list.contains(self.me, self.life)
    }
}
