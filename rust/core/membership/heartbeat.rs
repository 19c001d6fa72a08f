// SPDX-License-Identifier: GPL-2.0
//! What comes from other machines, and what is said to them.

use super::agreement::Opinion;
use super::grants;
use super::list::List;
use super::view::BadView;
use super::view::View;
use super::Changes;
use super::Membership;
use super::Peer;
use super::Places;
use crate::ids::Incarnation;
use crate::ids::NodeId;

impl<const N: usize, P: Places<Peer>> Membership<N, P> {
    /// A heartbeat of the machine whose primary is `from`, in its life `life`.
    ///
    /// # Errors
    ///
    /// [`BadView`]: it has a list that cannot follow ours. Nothing has changed; the peer is at fault.
    pub fn heard(
        &mut self,
        now: u64,
        from: NodeId,
        life: Incarnation,
        view: &View<N>,
    ) -> Result<Changes, BadView> {
        self.now = self.now.max(now);
        let now = self.now;
        if from == self.me || from.index() >= self.peers.all().len() {
            return Ok(Changes::default());
        }
        let is_foreign = self.list().epoch() != 0
            && view.list.epoch() != 0
            && view.list.cluster() != self.list().cluster();
        let known = self.in_life(from, life);
        if is_foreign || known.is_some_and(|peer| view.sent < peer.sent) {
            return Ok(Changes::default());
        }

        let mut changes = Changes::default();
        let is_mine = view.list.contains(self.me, self.life);
        let is_candidate = self.list().epoch() == 0;
        if is_candidate && is_mine || !is_candidate && view.list.supersedes(self.list()) {
            // Who was removed may have been away for as long as one likes; and forgets that list.
            if is_mine && !view.list.can_follow(self.list()) {
                return Err(BadView);
            }
            if !is_candidate && view.list.is_forced_since(self.list()) && self.adopted_at == now {
                // It comes again. Who lies step by step shall not be at the last epoch soon.
                return Ok(Changes::default());
            }
            changes = self.adopt(view.list, view.leaving);
        }
        self.note_leaving(from, life, view);
        if view.list == *self.list() && view.opinion.promised.round() > self.rounds() {
            // As if it were lost. The sender has had this list for longer, and was lied to.
            let more = self.conclude(false);
            return Ok(changes.and(more));
        }

        // As it is known now: its list may have changed that.
        let mut peer = self.in_life(from, life).unwrap_or(Peer::new(life, now));
        peer.sent = view.sent;
        peer.heard_at = now;
        peer.is_connected = true;
        peer.has_our_list = view.list == *self.list();
        peer.epoch = view.list.epoch();
        peer.hears = view.hears;
        peer.kernels = view.kernels;
        // Not if that was before an administrator's word that this node knows of.
        let is_outdated = view.list.epoch() != 0 && self.list().is_forced_since(&view.list);
        peer.is_leaving |= view.is_leaving && !is_outdated;
        if let Some(mine) = view.granted.filter(|mine| *mine <= now) {
            let until = mine.saturating_add(grants::lease(view.dead.min(self.dead)) + 1);
            peer.leased_until = peer.leased_until.max(until);
        }
        if peer.has_our_list {
            self.agreement.hear(from, &view.opinion);
        }
        self.put(from, peer);
        if self.grants(from, life, view.list.epoch() == 0) {
            peer.granted = Some((view.sent, now));
            self.put(from, peer);
        }
        let more = self.conclude(false);
        Ok(changes.and(more))
    }

    /// Notes who leaves, of those that `from` and this machine mean the same life of.
    fn note_leaving(&mut self, from: NodeId, life: Incarnation, view: &View<N>) {
        for node in view.leaving {
            let ours = self.list().life(node);
            let is_same = match ours {
                Some(_) => ours == view.list.life(node) || node == from && ours == Some(life),
                // It may have been removed before it could say so.
                None => node == from,
            };
            if is_same {
                self.leaving = self.leaving.with(node);
            }
        }
    }

    /// The link to `peer` is down: it counts for nothing until it is heard again.
    pub fn disconnected(&mut self, now: u64, peer: NodeId) -> Changes {
        self.now = self.now.max(now);
        if let Some(Some(peer)) = self.peers.all_mut().get_mut(peer.index()) {
            peer.is_connected = false;
        }
        self.conclude(false)
    }

    /// That life of a machine is over for sure: it was reset or switched off, and somebody knows.
    /// It is removed without waiting.
    pub fn surely_dead(&mut self, now: u64, peer: NodeId, life: Incarnation) -> Changes {
        self.now = self.now.max(now);
        let now = self.now;
        let known = self.peers.all().get(peer.index()).copied().flatten();
        if !known.is_some_and(|known| known.life != life) && peer != self.me {
            let mut dead = known.unwrap_or(Peer::new(life, now));
            dead.is_connected = false;
            dead.is_surely_dead = true;
            self.put(peer, dead);
        }
        self.conclude(false)
    }

    /// What is known of that life of a node.
    fn in_life(&self, node: NodeId, life: Incarnation) -> Option<Peer> {
        let known = self.peers.all().get(node.index()).copied().flatten();
        known.filter(|peer| peer.life == life)
    }

    fn put(&mut self, node: NodeId, peer: Peer) {
        if let Some(place) = self.peers.all_mut().get_mut(node.index()) {
            *place = Some(peer);
        }
    }

    /// What of all that is sent takes the agreement further.
    pub(super) fn stance(&self) -> (&List<N>, Opinion) {
        (self.list(), self.agreement.opinion())
    }

    /// What to send to `to` now.
    pub fn view(&self, to: NodeId) -> View<N> {
        let peer = self.peers.all().get(to.index()).copied().flatten();
        View {
            list: *self.list(),
            opinion: self.agreement.opinion(),
            sent: self.now,
            granted: peer.and_then(|peer| peer.granted).map(|(theirs, _)| theirs),
            dead: self.dead,
            hears: self.claims(self.now),
            kernels: self.kernels,
            is_leaving: self.is_leaving || self.is_resigned,
            leaving: self.leaving,
        }
    }
}
