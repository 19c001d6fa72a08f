// SPDX-License-Identifier: GPL-2.0
//! When a machine begins anew: nobody serves under its list, or none comes.

use super::new_life;
use super::Heard;
use super::Machine;
use super::SEEKS;
use super::SEEKS_AFTER;
use crate::directory::NodeSet;
use crate::ids::Incarnation;
use crate::ids::NodeId;
use crate::membership::Peer;
use crate::membership::Places;

impl<const N: usize, P: Places<Peer>, H: Places<Heard>> Machine<N, P, H> {
    pub(super) fn waits_in_vain(&self, now: u64) -> bool {
        now.saturating_sub(self.begun_at) > SEEKS.saturating_mul(self.dead)
            && now.saturating_sub(self.list_heard_at) > SEEKS_AFTER.saturating_mul(self.dead)
    }

    pub(super) fn is_deserted(&self) -> bool {
        let list = self.membership.list();
        self.heard_under == (list.cluster(), list.epoch())
            && list.contains(self.me, self.life)
            && !self.others().is_empty()
            && self.is_hopeless()
    }

    /// Whether this machine is out, waits for those who stay to know it, and so many of them are over
    /// that the others cannot go on: these will find each other deserted. (One that is not heard may be
    /// alive, and go on when it is told; if it is dead for ever, an administrator has to say so.)
    pub(super) fn waits_for_the_dead(&self) -> bool {
        let list = self.membership.list();
        self.heard_under == (list.cluster(), list.epoch())
            && !list.contains(self.me, self.life)
            && !self.is_leaving
            && !list.is_majority(self.not_over())
    }

    /// Whether that member was heard in another life or another system.
    fn is_over(&self, node: NodeId) -> bool {
        let list = self.membership.list();
        self.heard_of(node).is_some_and(|heard| {
            let is_elsewhere = heard.epoch != 0 && heard.cluster != list.cluster();
            is_elsewhere || list.life(node) != Some(heard.life)
        })
    }

    /// Whether all other members are over, but for some that are here, too few with this one.
    fn is_hopeless(&self) -> bool {
        let list = self.membership.list();
        let is_here = |node: NodeId| {
            self.heard_of(node)
                .is_some_and(|heard| (heard.cluster, heard.epoch) == (list.cluster(), list.epoch()))
        };
        let rest = self.not_over();
        rest.into_iter().all(is_here) && !list.is_majority(rest.with(self.me))
    }

    /// The other members that are not over, as far as was heard.
    fn not_over(&self) -> NodeSet {
        self.others()
            .into_iter()
            .filter(|node| !self.is_over(*node))
            .fold(NodeSet::EMPTY, NodeSet::with)
    }

    pub(super) fn begin_anew(&mut self, now: u64) {
        self.restart(now, new_life(self.random), Some((self.random)()));
    }

    pub(super) fn restart(&mut self, now: u64, life: Incarnation, cluster: Option<u64>) {
        self.life = life;
        self.is_leaving = false;
        self.membership.restart(life, cluster, now);
        self.absent = NodeSet::EMPTY;
        self.begun_at = now;
        self.forget_outdated();
    }
}
