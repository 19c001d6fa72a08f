// SPDX-License-Identifier: GPL-2.0
//! Who is connected with whom: the group that this machine counts on.

use super::grants;
use super::Membership;
use super::Peer;
use super::Places;
use crate::directory::NodeSet;
use crate::ids::NodeId;

impl<const N: usize, P: Places<Peer>> Membership<N, P> {
    /// Members that were not heard for so long that this machine does not count on them, though
    /// they may be alive.
    pub fn unreachable(&self, now: u64) -> NodeSet {
        let missing = self.list().members().bits() & !self.hears(now).with(self.me).bits();
        NodeSet::from_bits(missing)
    }

    /// This node and those that it is connected to, without whoever is not connected to all others.
    pub(super) fn group(&self, now: u64) -> NodeSet {
        let mut group = self.mutual(now).with(self.me);
        let mut claims = [NodeSet::from_bits(u64::MAX); N];
        for (place, node) in claims.iter_mut().zip(NodeId::all()) {
            match self.member(self.list(), node) {
                Some(peer) if peer.has_our_list => *place = peer.hears,
                _ => {}
            }
        }
        if let Some(place) = claims.get_mut(self.me.index()) {
            *place = group;
        }
        let claim = |node: NodeId| claims.get(node.index()).copied().unwrap_or(NodeSet::EMPTY);
        let mut connected = [NodeSet::EMPTY; N];
        for node in group {
            let both = group
                .into_iter()
                .filter(|other| claim(node).contains(*other) && claim(*other).contains(node))
                .fold(NodeSet::only(node), NodeSet::with);
            if let Some(place) = connected.get_mut(node.index()) {
                *place = both;
            }
        }
        loop {
            // Who leaves ends its connections one after the other: that shall drive nobody else
            // out.
            let mut worst: Option<((bool, u32), NodeId)> = None;
            for node in group.without(self.me) {
                let bits = connected.get(node.index()).map_or(0, |nodes| nodes.bits());
                let number = (bits & group.bits()).count_ones();
                let value = (!self.leaving.contains(node), number);
                let is_better = worst.is_some_and(|(least, _)| value > least);
                if number < group.len() && !is_better {
                    worst = Some((value, node));
                }
            }
            match worst {
                Some((_, node)) => group = group.without(node),
                None => return group,
            }
        }
    }

    /// Members that this one hears and that hear it, as far as is known.
    fn mutual(&self, now: u64) -> NodeSet {
        self.hears(now)
            .into_iter()
            .filter(|node| match self.member(self.list(), *node) {
                Some(peer) => !peer.has_our_list || peer.hears.contains(self.me),
                None => true,
            })
            .fold(NodeSet::EMPTY, NodeSet::with)
    }

    /// Members that this one counts on: they grant, or a list was adopted so lately that they may
    /// yet come to; and it does not want them removed.
    fn hears(&self, now: u64) -> NodeSet {
        let is_new = now.saturating_sub(self.adopted_at) <= grants::lease(self.dead);
        let unwanted = self.removes();
        let known = self.list().members().into_iter().filter(|node| {
            self.member(self.list(), *node)
                .map_or(is_new && self.is_unknown(*node), |peer| {
                    peer.is_connected && (is_new || now < peer.leased_until)
                })
        });
        let known = known.fold(NodeSet::EMPTY, NodeSet::with);
        NodeSet::from_bits(known.bits() & !unwanted.bits()).without(self.me)
    }

    /// [`Membership::hears`], without whoever is left out and would be let go: what others go by.
    pub(super) fn claims(&self, now: u64) -> NodeSet {
        self.hears(now)
            .into_iter()
            .filter(|node| {
                let is_odd = self
                    .member(self.list(), *node)
                    .is_some_and(|peer| peer.odd_since.is_some());
                !(is_odd && self.is_silent(*node, now))
            })
            .fold(NodeSet::EMPTY, NodeSet::with)
    }

    fn is_unknown(&self, node: NodeId) -> bool {
        self.peers
            .all()
            .get(node.index())
            .copied()
            .flatten()
            .is_none()
    }

    /// Notes who is heard, but not connected to all of `group`, which can do without it. It gets no
    /// grants any more if that goes on: then the group can remove it. If the group could not do
    /// without it, grants are what may mend it.
    pub(super) fn note_odd(&mut self, group: NodeSet) {
        let can_do_without = self.list().is_majority(group);
        let now = self.now;
        for node in self.list().members().without(self.me) {
            let is_heard = self.member(self.list(), node).is_some_and(|peer| {
                peer.is_connected && now.saturating_sub(peer.heard_at) <= grants::lease(self.dead)
            });
            // If it misses only this node, that may be for want of the grants that it does not get.
            let is_odd = can_do_without
                && is_heard
                && !group.contains(node)
                && !self.is_connected_to_all(node, group.without(self.me));
            if let Some(Some(peer)) = self.peers.all_mut().get_mut(node.index()) {
                peer.odd_since = is_odd.then(|| peer.odd_since.unwrap_or(now));
            }
        }
    }

    /// Whether that member and each of `others`, which are some, say that they hear each other.
    fn is_connected_to_all(&self, node: NodeId, others: NodeSet) -> bool {
        let hears = |from: NodeId, to: NodeId| {
            self.member(self.list(), from)
                .is_some_and(|peer| peer.has_our_list && peer.hears.contains(to))
        };
        !others.is_empty()
            && others
                .into_iter()
                .all(|other| hears(node, other) && hears(other, node))
    }
}
