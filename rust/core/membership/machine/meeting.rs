// SPDX-License-Identifier: GPL-2.0
//! When machines meet: whose system this one joins, and whom it takes in.

use super::new_life;
use super::Event;
use super::Heard;
use super::Machine;
use super::FIRST_EPOCH;
use super::SEEKS;
use crate::directory::NodeSet;
use crate::ids::NodeId;
use crate::membership::list::List;
use crate::membership::Peer;
use crate::membership::Places;
use crate::membership::Standing;

impl<const N: usize, P: Places<Peer>, H: Places<Heard>> Machine<N, P, H> {
    /// Whether this machine will join that one's system when it has heard the other machines there.
    pub fn awaits(&self, peer: NodeId) -> bool {
        let is_one_of_many = self
            .heard_of(peer)
            .is_some_and(|heard| heard.members.without(self.me).len() > 1);
        self.others().is_empty() && is_one_of_many && self.has_unheard(peer)
    }

    /// Another system is met: whether this machine gives its own up for it.
    pub(super) fn gives_way(&mut self, now: u64, from: NodeId, theirs: &List<N>) -> bool {
        let (ours, they) = (self.others(), theirs.members().without(self.me));
        let is_free = ours.is_empty() && self.membership.standing(now) == Standing::Serving;
        let is_better = they.len() > 1
            || from < self.me && !self.looks_around(now, from) && !self.hears_system();
        if is_free && !self.has_unheard(from) && is_better {
            let is_first = self.membership.list().epoch() == FIRST_EPOCH;
            let life = if is_first {
                self.life
            } else {
                new_life(self.random)
            };
            self.restart(now, life, None);
            return true;
        }
        if !ours.is_empty() && they.len() > 1 && !self.foreign.contains(from) {
            self.foreign = self.foreign.with(from);
            self.event = Some(Event::Foreign(from));
        }
        false
    }

    /// Whether this machine is alone, and takes nobody in: what it could be found out to have to
    /// join may yet come, or is there. Else two systems come to be of machines whose links come up
    /// one after the other.
    pub(super) fn waits_for_better(&self, now: u64, from: NodeId) -> bool {
        let is_alone = self.membership.list().epoch() != 0 && self.others().is_empty();
        is_alone
            && (self.looks_for_lower(now, from)
                || self.looks_around(now, from)
                || self.hears_system()
                || self.hears_lower())
    }

    /// Whether this machine is alone, as it was from the beginning, and may yet find one to join,
    /// other than `from`.
    fn looks_for_lower(&self, now: u64, from: NodeId) -> bool {
        let lowest = self.linked.without(from).first();
        self.membership.list().epoch() == FIRST_EPOCH
            && self.others().is_empty()
            && lowest.is_some_and(|lowest| lowest < self.me)
            && now.saturating_sub(self.begun_at) <= SEEKS.saturating_mul(self.dead)
    }

    /// Whether machines that there are links to, other than `from`, may yet be heard for the first
    /// time.
    fn looks_around(&self, now: u64, from: NodeId) -> bool {
        now.saturating_sub(self.met_at) <= self.dead
            && self
                .linked
                .without(from)
                .into_iter()
                .any(|node| self.heard_of(node).is_none())
    }

    /// Whether so many machines of another system of several are heard that these can go on.
    fn hears_system(&self) -> bool {
        let can_go_on = |it: &Heard| {
            let here = it.members.into_iter().filter(|node| {
                self.heard_of(*node)
                    .is_some_and(|other| other.cluster == it.cluster)
            });
            let here = here.fold(NodeSet::EMPTY, NodeSet::with);
            let (number, all) = (2 * here.len(), it.members.len());
            number > all || number == all && here.first() == it.members.first()
        };
        let mut elsewhere = self.heard.all().iter().flatten();
        elsewhere.any(|it| {
            self.is_elsewhere(it) && it.members.without(self.me).len() > 1 && can_go_on(it)
        })
    }

    /// Whether a machine with a lower id is heard that is alone, too.
    fn hears_lower(&self) -> bool {
        let lower = NodeId::all().take_while(|node| *node < self.me);
        lower
            .filter_map(|node| self.heard_of(node))
            .any(|it| self.is_elsewhere(&it) && it.members.len() == 1)
    }

    fn is_elsewhere(&self, heard: &Heard) -> bool {
        heard.epoch != 0 && heard.cluster != self.membership.list().cluster()
    }

    /// Whether some machine of `peer`'s system has not been heard to be of that system.
    pub(super) fn has_unheard(&self, peer: NodeId) -> bool {
        let Some(they) = self.heard_of(peer).filter(|they| they.epoch != 0) else {
            return true;
        };
        let is_of_it = |node: NodeId| {
            self.heard_of(node)
                .is_some_and(|it| it.cluster == they.cluster)
        };
        // An earlier life of this machine may still be among them.
        !they.members.without(self.me).into_iter().all(is_of_it)
    }
}
