// SPDX-License-Identifier: GPL-2.0
//! The step to the next list: who proposes it, who removes whom, and what this machine accepts.

use super::agreement;
use super::agreement::Accepted;
use super::grants;
use super::list::Change;
use super::Changes;
use super::Membership;
use super::Peer;
use super::Places;
use super::Standing;
use crate::directory::NodeSet;
use crate::ids::NodeId;

impl<const N: usize, P: Places<Peer>> Membership<N, P> {
    /// Draws the conclusions from what has changed; `is_tick`: also begins what is to be begun.
    pub(super) fn conclude(&mut self, is_tick: bool) -> Changes {
        if self.is_out || self.list().epoch() == 0 {
            return Changes::default();
        }
        let group = self.group(self.now);
        if is_tick {
            self.note_odd(group);
        }
        let removable = self.removable(self.standing_in(self.now, group));
        let is_first = group.first() == Some(self.me);
        let wish = if is_first {
            self.wish(group, removable)
        } else {
            None
        };
        let before = self.agreement.highest();
        // Who has no majority behind him lets others try first: he may yet complete what others
        // began.
        let patience = if self.list().is_majority(group) {
            grants::lease(self.dead)
        } else {
            self.dead.saturating_mul(4)
        };
        let is_quiet = self.now.saturating_sub(self.attempted_at) > patience
            || before.bits() == 0 && wish.is_some();
        let is_wanted = wish.is_some() || self.agreement.is_unfinished();
        if is_tick && is_first && is_wanted && is_quiet && !self.agreement.is_attempting() {
            self.agreement.propose(self.rounds());
        }
        // Before it can accept that, too: who is to go with it waits for it as it waits for them.
        self.is_resigned |= removable.contains(self.me) && self.awaited().contains(self.me);
        let may_accept = |change| match change {
            Change::Remove(gone) => gone.bits() & !removable.bits() == 0,
            Change::Join(..) => true,
        };
        let decided = self.agreement.step(wish, group, may_accept);
        self.is_resigned |= self.accepted_removal().contains(self.me);
        if self.agreement.highest() != before || is_tick && self.agreement.highest().bits() == 0 {
            self.attempted_at = self.now;
        }
        let changes = match decided {
            Some(next) => {
                let changes = self.adopt(next, NodeSet::EMPTY);
                // It may be the only one that has heard enough votes for that.
                self.is_witness = self.is_out;
                changes
            }
            None => Changes::default(),
        };
        changes.and(self.tell())
    }

    /// The highest round that this node goes along with now.
    pub(super) fn rounds(&self) -> u64 {
        agreement::rounds(self.now.saturating_sub(self.adopted_at))
    }

    /// What this node would change, with `group` behind it.
    fn wish(&self, group: NodeSet, removable: NodeSet) -> Option<Change> {
        let is_useful = |change, with: NodeSet| {
            self.list()
                .after(change)
                .is_some_and(|next| next.is_majority(with))
        };
        if !self.list().is_majority(group) {
            return None;
        }
        let leaving = |node: NodeId| {
            (node == self.me && (self.is_leaving || self.is_resigned))
                || self.leaving.contains(node)
                || self
                    .member(self.list(), node)
                    .is_some_and(|peer| peer.is_leaving)
        };
        let is_over = |node: NodeId| {
            let peer = self.peers.all().get(node.index()).copied().flatten();
            peer.is_some_and(|peer| peer.is_surely_dead || !self.list().contains(node, peer.life))
        };
        let gone = removable
            .into_iter()
            .filter(|node| {
                let is_absent = || is_over(*node) || self.is_unheard(*node, group);
                leaving(*node) || !group.contains(*node) && is_absent()
            })
            .fold(NodeSet::EMPTY, NodeSet::with);
        if is_useful(Change::Remove(gone), group) {
            return Some(Change::Remove(gone));
        }
        // When all leave somebody is the last.
        let others = gone.without(self.me);
        if is_useful(Change::Remove(others), group) {
            return Some(Change::Remove(others));
        }
        // Who leaves after all may have to wait for its turn.
        let dead = NodeSet::from_bits(gone.bits() & !group.bits());
        if is_useful(Change::Remove(dead), group) {
            return Some(Change::Remove(dead));
        }
        NodeId::all().take(N).find_map(|node| {
            let peer = self.peers.all().get(node.index()).copied().flatten()?;
            let is_ready = peer.epoch == 0
                && peer.is_connected
                && !peer.is_leaving
                && !peer.is_surely_dead
                && self.now < peer.leased_until;
            let change = Change::Join(node, peer.life);
            (is_ready && is_useful(change, group.with(node))).then_some(change)
        })
    }

    /// Whether as many of `group` as can decide it say that they do not hear that member. Who
    /// accepts a removal does not go back on it: so none is begun while enough others would not
    /// have it.
    fn is_unheard(&self, node: NodeId, group: NodeSet) -> bool {
        let deaf = group.without(self.me).into_iter().filter(|other| {
            self.member(self.list(), *other)
                .is_some_and(|peer| peer.has_our_list && !peer.hears.contains(node))
        });
        let deaf = deaf.fold(NodeSet::only(self.me), NodeSet::with);
        self.list().is_majority(deaf)
    }

    /// Members whose removal this node would accept.
    fn removable(&self, standing: Standing) -> NodeSet {
        let mut removable = NodeSet::EMPTY;
        for node in self.list().members() {
            let is_removable = match self.peers.all().get(node.index()).copied().flatten() {
                // It does not serve, and by accepting it will not again in this epoch.
                _ if node == self.me => standing != Standing::Serving,
                // The node is there in another life: the one that was a member is over.
                Some(peer) if !self.list().contains(node, peer.life) => true,
                Some(peer) if peer.is_leaving || peer.is_surely_dead => true,
                // So it has said, in that life, if not to this node.
                _ if self.leaving.contains(node) => true,
                _ => self.is_silent(node, self.now),
            };
            if is_removable {
                removable = removable.with(node);
            }
        }
        removable
    }

    /// What this node has accepted the removal of; or waits to accept the removal of, as it is to go with them.
    pub(super) fn removes(&self) -> NodeSet {
        let awaited = if self.is_resigned {
            self.awaited()
        } else {
            NodeSet::EMPTY
        };
        NodeSet::from_bits(self.accepted_removal().bits() | awaited.bits())
    }

    fn accepted_removal(&self) -> NodeSet {
        removed(self.agreement.opinion().accepted)
    }

    /// Who is to be removed with this node, and itself, if that has to be decided: those that are heard, but
    /// have not accepted it, are too few to decide anything else. While they are enough, they may
    /// not heed it.
    fn awaited(&self) -> NodeSet {
        let latest = self.agreement.latest();
        let gone = removed(latest);
        if !gone.contains(self.me) {
            return NodeSet::EMPTY;
        }
        let change = latest.map(|latest| latest.change);
        let free = self.list().members().into_iter().filter(|node| {
            let is_there = self.member(self.list(), *node).is_some_and(|peer| {
                let silence = self.now.saturating_sub(peer.heard_at);
                peer.is_connected && silence <= grants::lease(self.dead)
            });
            let accepted = self.agreement.of(*node).accepted;
            (is_there || *node == self.me) && accepted.map(|accepted| accepted.change) != change
        });
        let free = free.fold(NodeSet::EMPTY, NodeSet::with);
        if self.list().is_majority(free) {
            NodeSet::EMPTY
        } else {
            gone
        }
    }
}

/// Whom that removes.
fn removed(accepted: Option<Accepted>) -> NodeSet {
    match accepted.map(|accepted| accepted.change) {
        Some(Change::Remove(gone)) => gone,
        _ => NodeSet::EMPTY,
    }
}
