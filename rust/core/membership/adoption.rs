// SPDX-License-Identifier: GPL-2.0
//! How this machine goes on with the next list, and what the services are told then.

use super::list::List;
use super::Changes;
use super::Membership;
use super::Peer;
use super::Places;
use crate::directory::NodeSet;
use crate::ids::NodeId;

impl<const N: usize, P: Places<Peer>> Membership<N, P> {
    /// Goes on with another list. `leaving` is said with it, by who has it: members that leave, and
    /// others that did.
    pub(super) fn adopt(&mut self, next: List<N>, leaving: NodeSet) -> Changes {
        let last = *self.list();
        let were_leaving = self.leaving;
        // What was known counts for the same lives, and for those that are members no more.
        let still = were_leaving
            .into_iter()
            .filter(|node| next.life(*node).is_none() || next.life(*node) == last.life(*node));
        self.leaving = still.fold(leaving, NodeSet::with);
        let own = self.agreement.opinion().accepted;
        let is_own = own.is_some_and(|own| last.after(own.change) == Some(next));
        self.agreement.adopt(next);
        self.adopted_at = self.now;
        self.attempted_at = self.now;
        self.is_out |= !next.contains(self.me, self.life);
        // Any other list was heard from one who has it. A later one than it is out by was agreed on by some who have
        // had that, or is by an administrator's word, which outranks that.
        self.is_witness = self.is_out && is_own;
        for peer in self.peers.all_mut().iter_mut().flatten() {
            peer.has_our_list = false;
            peer.odd_since = None;
            if peer.epoch > next.epoch() {
                // It granted that to one who wanted to join, under a later list, which this node is not in.
                peer.leased_until = 0;
            }
            // Who had resigned may serve again by the word. Who leaves says so again.
            peer.is_leaving &= !next.is_forced_since(&last);
        }
        let mut changes = Changes::default();
        if self.is_out {
            return changes;
        }
        // In another life, or not there: the kernels of a machine that is gone are gone.
        for node in last.members().without(self.me) {
            if next.life(node) == last.life(node) {
                continue;
            }
            let peer = self.peers.all().get(node.index()).copied().flatten();
            let peer = peer.filter(|peer| last.contains(node, peer.life));
            let kernels = peer.map_or(NodeSet::EMPTY, |peer| peer.kernels).with(node);
            let kernels = NodeSet::from_bits(kernels.bits() & self.told.bits());
            self.told = NodeSet::from_bits(self.told.bits() & !kernels.bits());
            // Of an earlier life of one that is back nobody else says more.
            let has_left = self.has_left(node) || were_leaving.contains(node);
            if has_left {
                changes.left = NodeSet::from_bits(changes.left.bits() | kernels.bits());
            } else {
                changes.dead = NodeSet::from_bits(changes.dead.bits() | kernels.bits());
            }
        }
        // What is known of an earlier life says nothing about the one that is a member now.
        for (node, peer) in NodeId::all().zip(self.peers.all_mut()) {
            let is_other = |peer: &Peer| next.life(node).is_some_and(|life| life != peer.life);
            if peer.as_ref().is_some_and(is_other) {
                *peer = None;
            }
        }
        changes
    }

    /// Compares the kernels that there are with those that were told of.
    pub(super) fn tell(&mut self) -> Changes {
        if self.is_out {
            return Changes::default();
        }
        let machines = self.list().members();
        let mut there = machines.without(self.me);
        let own = machines.bits() | self.kernels.bits();
        for node in there {
            if let Some(peer) = self.member(self.list(), node) {
                // A machine cannot speak for another one's.
                let foreign = peer.kernels.bits() & !own;
                there = NodeSet::from_bits(there.bits() | foreign);
            }
        }
        let changes = Changes {
            left: NodeSet::EMPTY,
            dead: NodeSet::from_bits(self.told.bits() & !there.bits()),
            joined: NodeSet::from_bits(there.bits() & !self.told.bits()),
        };
        self.told = there;
        changes
    }
}

impl Changes {
    /// Both, `more` being the later.
    #[must_use]
    pub(super) fn and(self, more: Changes) -> Changes {
        let both = |a: NodeSet, b: NodeSet| NodeSet::from_bits(a.bits() | b.bits());
        // Who came and went in one call was never told of.
        let went = both(more.left, more.dead);
        let joined = NodeSet::from_bits(self.joined.bits() & !went.bits());
        Changes {
            left: both(self.left, more.left),
            dead: both(self.dead, more.dead),
            joined: both(joined, more.joined),
        }
    }
}
