// SPDX-License-Identifier: GPL-2.0
//! Who is a member, and who may serve distributed processes, when machines come, go and lose sight
//! of each other.
//!
//! Machines vote, kernels do not: a machine is its primary with the secondaries that it started.
//! The list of members is of machines, named by their primaries; a secondary does as its primary
//! says ([`follower`]).
//!
//! # The rule
//!
//! 1. **A machine serves while it and those that it is connected to, which are connected to each
//!    other, are more than half of the list**; or half of it, with the lowest node id of the list
//!    among them. Else it suspends: its distributed processes stand still until it serves again or
//!    is removed.
//! 2. **The list changes only by a decision of a majority of the list before**: a machine joins,
//!    one leaves in order, or those that were not heard for `dead` ticks are removed. Each change
//!    raises the epoch. Nobody else counts as dead: services hear of a death when it is decided.
//! 3. A machine that meets a list of a later epoch without itself is *removed*. It may join again,
//!    as a new incarnation: what it had is lost.
//!
//! So of two machines the one with the lower id goes on when they are cut apart, and the other
//! waits; of three any two go on, and when another is gone the lower id does. Who leaves in order
//! makes the list shorter first, and so is never missed. When too many are gone at once, those who
//! remain wait for them, or for an administrator, who gives his word that no other machine serves
//! ([`Membership::force`]).
//!
//! This is dynamic voting with a tie broken by an order of the sites (S. Jajodia and D. Mutchler,
//! Dynamic voting algorithms for maintaining the consistency of a replicated database, ACM TODS
//! 15(2), 1990). Its known danger is a change that some have made and others have not heard of,
//! when they are cut apart: each side may then believe in a list of its own. E. Yeger Lotem, I.
//! Keidar and D. Dolev (Dynamic voting for consistent primary components, PODC 1997) remember such
//! ambiguous attempts. Here each step of the list is a decision by Paxos among the members of the
//! list before ([`agreement`]), as in L. Lamport, D. Malkhi and L. Zhou, Vertical Paxos and
//! primary-backup replication, PODC 2009: what was decided is found again by any majority, and what
//! was not binds nobody.
//!
//! The other choice was a list from which only an administrator removes the dead. Joining and
//! leaving would need the same agreement, and a cluster of four that loses one machine each night
//! would stand still after the second, without need. Its gain, that a majority of the *first* list
//! can always go on, is what [`Membership::force`] gives on demand.
//!
//! # Leases: who is removed has suspended before
//!
//! A majority keeps two lists of one epoch from both being served, but not a machine that is cut
//! off from going on for a while with what it last heard. That is what time is for (C. Gray and D.
//! Cheriton, Leases, SOSP 1989).
//!
//! Each heartbeat has the sender's clock in it, and for its receiver the latest clock value that
//! came from it: the *grant*. Who gets a grant knows when it had sent what the granter has heard,
//! so delays only shorten it. With the grant goes a promise: not to accept the granted machine's
//! removal for `dead` ticks from when its heartbeat came. The grant counts for three quarters of
//! `dead` ticks from when that was *sent*. A machine serves only with the grants of a majority of
//! its list; and while one of these is known to have accepted a change, with those of a majority of
//! both lists, the one before and the one after. Whoever adopts a list counts the silence of all
//! members anew.
//!
//! **A list without a machine is decided only when that machine does not serve any more.** For
//! whoever decides, a majority, has given no grant to it for `dead` ticks in this epoch; and the
//! machine has one from a majority of its own list, all younger, if it serves. If its list is the
//! same, both have a node in common: impossible. If its list is of an earlier epoch, then a
//! majority of that one accepted the step from it before the silence began, and so one of them has
//! told the machine of that step since: so it needs the grants of a majority of the next list, too;
//! and so on up to this one. This holds under any loss, delay and reordering, on links that work
//! one way, and in any interruption.
//!
//! **After a cut, or after the latest change of the list, no two groups without a common member
//! serve for longer than three quarters of `dead` ticks.** Before that a machine can serve with a
//! grant from one that has gone over to another group; none of both counts the other as dead
//! meanwhile, nobody gets its pages or kills its threads.
//!
//! Assumed: clocks of two machines differ in speed by less than a quarter; who asks
//! [`Membership::standing`] does so with the time of now, also after a machine was stopped; `dead`
//! is at least 8; peers are honest (a transport lets in only those who are configured), and no
//! heartbeat of an earlier life of a peer is handed in after one of a later life.
//!
//! # Who removes whom
//!
//! The lowest node of a group proposes ([`Membership::tick`]). When A hears B, B hears C, but C and
//! A do not hear each other, not all can stay: everybody leaves out whoever has the fewest
//! connections, of equal ones the highest id, until all that remain are connected. Who is left out
//! for long, by those who can do without it, gets no grants any more, suspends, and is removed
//! `dead` ticks later, unless it is connected again. Nobody begins to remove one whom enough others hear and want to
//! keep: whoever accepts a removal cannot go back on it. A suspended machine accepts its own removal,
//! if that is what was begun, and serves no more from then on, whatever comes of it.
//!
//! # Use
//!
//! One object ([`machine`] has it, and says when a machine begins anew), under one spinlock; nothing here sleeps or allocates, and the work of a call is
//! bounded (about the square of the number of members). `now` counts ticks of the caller's clock,
//! of 100 ms, say. In each tick call [`Membership::tick`], and send each peer its
//! [`Membership::view`]; hand in what comes with [`Membership::heard`]. What a call returns is to
//! be told to the services, in the order in which it came.

pub mod agreement;
pub mod follower;
pub mod list;
pub mod machine;
pub mod view;

use self::agreement::Agreement;
use self::list::Change;
use self::list::List;
use self::view::View;
use crate::directory::NodeSet;
use crate::ids::Incarnation;
use crate::ids::NodeId;
use crate::ids::NODE_MAX;

/// Whether this machine may serve distributed processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It is no member yet.
    Joining,
    /// It may.
    Serving,
    /// It may not now.
    Suspended(Why),
    /// It has left in order; the others know.
    Left,
    /// It was removed; it may join again as another life.
    Removed,
}

/// Why a member does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// Those that it is connected to are no majority of the list.
    Minority,
    /// They are no majority of a list that may have been decided.
    Undecided,
    /// It is leaving.
    Leaving,
}

/// Kernels that came and went. What went goes first: a node in both is there in another life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Changes {
    /// They left in order.
    pub left: NodeSet,
    /// They are dead: they do not serve any more.
    pub dead: NodeSet,
    /// They are members, or run on a machine that is one.
    pub joined: NodeSet,
}

/// [`Membership::force`] was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForceError {
    /// This machine serves, or is no member: there is nothing to force.
    NotSuspended,
    /// These members are missing, too, and were not named.
    NotNamed(NodeSet),
    /// These were named, but are connected.
    Connected(NodeSet),
}

/// What is known of another machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    life: Incarnation,
    /// The clock in the latest of its views, and ours when that came.
    sent: u64,
    heard_at: u64,
    /// Its link is up.
    is_connected: bool,
    /// The clock of its that was granted last, and ours when that was first done.
    granted: Option<(u64, u64)>,
    /// Our clock up to which its grant to us counts; exclusive.
    leased_until: u64,
    /// It had our list when it was heard.
    has_our_list: bool,
    epoch: u64,
    hears: NodeSet,
    kernels: NodeSet,
    /// It leaves, or has accepted its own removal: it does not serve any more.
    is_leaving: bool,
    is_surely_dead: bool,
    /// Since when it is heard, but not connected to all of a group that can do without it.
    odd_since: Option<u64>,
}

impl Peer {
    fn new(life: Incarnation, now: u64) -> Self {
        Self {
            life,
            sent: 0,
            heard_at: now,
            is_connected: true,
            granted: None,
            leased_until: 0,
            has_our_list: false,
            epoch: 0,
            hears: NodeSet::EMPTY,
            kernels: NodeSet::EMPTY,
            is_leaving: false,
            is_surely_dead: false,
            odd_since: None,
        }
    }
}

/// How long a grant counts of one who waits for `dead` ticks.
const fn lease(dead: u64) -> u64 {
    dead / 4 * 3 + dead % 4 * 3 / 4
}

/// Where is kept what is known of others: `N` places, by node id. That is some KiB: too much for the stack of a
/// kernel, which has them elsewhere.
pub trait Places<T> {
    /// All of them.
    fn all(&self) -> &[Option<T>];
    /// All of them.
    fn all_mut(&mut self) -> &mut [Option<T>];
}

impl<T, const N: usize> Places<T> for [Option<T>; N] {
    fn all(&self) -> &[Option<T>] {
        self
    }

    fn all_mut(&mut self) -> &mut [Option<T>] {
        self
    }
}

/// A machine's view of the members. See the module.
///
/// `N` is the number of node ids: [`NODE_MAX`], but fewer in a model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Membership<const N: usize = NODE_MAX, P = [Option<Peer>; N]> {
    me: NodeId,
    life: Incarnation,
    now: u64,
    dead: u64,
    /// What was promised for longer: for how many ticks, and until when that counts.
    longer: Option<(u64, u64)>,
    agreement: Agreement<N>,
    adopted_at: u64,
    /// When the highest ballot was first seen.
    attempted_at: u64,
    peers: P,
    /// Kernels of this machine.
    kernels: NodeSet,
    is_leaving: bool,
    /// Members that leave in order, as far as is known, and nodes that are no members and did so; whoever hears of a
    /// list hears of this with it.
    leaving: NodeSet,
    /// It was a member and is none any more.
    is_out: bool,
    /// It has accepted its own removal: it does not serve any more, whatever comes of that.
    is_resigned: bool,
    /// Kernels that were told of as joined.
    told: NodeSet,
}

impl<const N: usize> Membership<N> {
    /// A machine that begins a cluster of its own, or wants to join one (`cluster` is `None`: until
    /// a list with it comes). `me` is its primary, `life` was never used before, `cluster` is
    /// random. It counts others as dead that were silent for `dead` ticks.
    pub fn new(me: NodeId, life: Incarnation, cluster: Option<u64>, now: u64, dead: u64) -> Self {
        Self::in_places(me, life, cluster, now, dead, [None; N])
    }
}

impl<const N: usize, P: Places<Peer>> Membership<N, P> {
    /// [`Membership::new`], in `places` that are all `None`.
    pub fn in_places(
        me: NodeId,
        life: Incarnation,
        cluster: Option<u64>,
        now: u64,
        dead: u64,
        places: P,
    ) -> Self {
        let list = cluster.map_or(List::EMPTY, |cluster| List::founded(cluster, me, life));
        Self {
            me,
            life,
            now,
            dead,
            longer: None,
            agreement: Agreement::new(me, list),
            adopted_at: now,
            attempted_at: now,
            peers: places,
            kernels: NodeSet::only(me),
            is_leaving: false,
            leaving: NodeSet::EMPTY,
            is_out: false,
            is_resigned: false,
            told: NodeSet::EMPTY,
        }
    }

    /// Forgets all, as a new one does: begins a cluster of its own, or wants to join one. `life` is another, but
    /// for a machine that was alone in its first list, or in none: nobody has relied on it.
    pub fn restart(&mut self, life: Incarnation, cluster: Option<u64>, now: u64) {
        let list = cluster.map_or(List::EMPTY, |cluster| List::founded(cluster, self.me, life));
        self.life = life;
        self.now = self.now.max(now);
        self.agreement.adopt(list);
        self.adopted_at = self.now;
        self.attempted_at = self.now;
        self.peers.all_mut().fill(None);
        self.is_leaving = false;
        self.leaving = NodeSet::EMPTY;
        self.is_out = false;
        self.is_resigned = false;
        self.told = NodeSet::EMPTY;
    }

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

    /// The list of members.
    pub fn list(&self) -> &List<N> {
        self.agreement.list()
    }

    /// Says which kernels run on this machine; its primary always does.
    pub fn set_kernels(&mut self, kernels: NodeSet) {
        self.kernels = kernels.with(self.me);
    }

    /// Whether this machine may serve at `now`, if nothing else comes until then.
    pub fn standing(&self, now: u64) -> Standing {
        self.standing_in(now, self.group(now))
    }

    fn standing_in(&self, now: u64, group: NodeSet) -> Standing {
        if self.is_out || self.list().epoch() == 0 {
            return match (self.is_out, self.is_leaving) {
                (true, true) if self.is_left() => Standing::Left,
                (true, true) => Standing::Suspended(Why::Leaving),
                (true, false) => Standing::Removed,
                (false, _) => Standing::Joining,
            };
        }
        if self.is_leaving {
            return Standing::Suspended(Why::Leaving);
        }
        if self.is_resigned {
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

    /// For how many ticks from `now` this machine serves if it hears nothing more; 0 if it does not
    /// serve. What a secondary may be told ([`follower`]).
    pub fn lease(&self, now: u64) -> u64 {
        self.lease_within(now, lease(self.dead) + 1)
    }

    /// [`Membership::lease`], but no more than `most`.
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

    /// Members that were not heard for so long that this machine does not count on them, though
    /// they may be alive.
    pub fn unreachable(&self, now: u64) -> NodeSet {
        let missing = self.list().members().bits() & !self.hears(now).with(self.me).bits();
        NodeSet::from_bits(missing)
    }

    /// Time passes: call it once a tick.
    pub fn tick(&mut self, now: u64) -> Changes {
        self.now = self.now.max(now);
        self.conclude(true)
    }

    /// A heartbeat of the machine whose primary is `from`, in its life `life`.
    pub fn heard(&mut self, now: u64, from: NodeId, life: Incarnation, view: &View<N>) -> Changes {
        self.now = self.now.max(now);
        let now = self.now;
        let known = match self.peers.all().get(from.index()) {
            Some(known) if from != self.me => *known,
            _ => return Changes::default(),
        };
        let is_foreign = self.list().epoch() != 0
            && view.list.epoch() != 0
            && view.list.cluster() != self.list().cluster();
        let mut peer = known
            .filter(|peer| peer.life == life)
            .unwrap_or(Peer::new(life, now));
        if is_foreign || view.sent < peer.sent {
            return Changes::default();
        }

        let mut changes = Changes::default();
        let is_mine = view.list.contains(self.me, self.life);
        let is_candidate = self.list().epoch() == 0;
        if is_candidate && is_mine || !is_candidate && view.list.supersedes(self.list()) {
            changes = self.adopt(view.list, view.leaving);
        }
        self.note_leaving(from, life, view);

        peer.sent = view.sent;
        peer.heard_at = now;
        peer.is_connected = true;
        peer.has_our_list = view.list == *self.list();
        peer.epoch = view.list.epoch();
        peer.hears = view.hears;
        peer.kernels = view.kernels;
        peer.is_leaving |= view.is_leaving;
        if let Some(mine) = view.granted.filter(|mine| *mine <= now) {
            let until = mine.saturating_add(lease(view.dead.min(self.dead)) + 1);
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
        changes.and(more)
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

    fn put(&mut self, node: NodeId, peer: Peer) {
        if let Some(place) = self.peers.all_mut().get_mut(node.index()) {
            *place = Some(peer);
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

    /// This machine leaves in order: call it when it serves nothing any more. Go on with ticks and
    /// views until [`Standing::Left`]; if that does not come, the others count it as dead when it
    /// goes.
    pub fn leave(&mut self) {
        self.is_leaving = true;
        self.leaving = self.leaving.with(self.me);
        if self.list().members().without(self.me).is_empty() {
            self.is_out = true;
        }
    }

    /// An administrator gives his word that no other machine serves, also none of `absent`, which
    /// are not coming back in this life: those that are connected go on without them.
    ///
    /// # Errors
    ///
    /// See [`ForceError`]: he must know how things are.
    pub fn force(&mut self, now: u64, absent: NodeSet) -> Result<Changes, ForceError> {
        self.now = self.now.max(now);
        match self.standing(self.now) {
            Standing::Suspended(Why::Minority | Why::Undecided) => {}
            _ => return Err(ForceError::NotSuspended),
        }
        let group = self.group(self.now);
        let named = absent.bits();
        let missing = NodeSet::from_bits(self.list().members().bits() & !group.bits() & !named);
        if !missing.is_empty() {
            return Err(ForceError::NotNamed(missing));
        }
        let connected = NodeSet::from_bits(group.bits() & named);
        if !connected.is_empty() {
            return Err(ForceError::Connected(connected));
        }
        let next = self.list().forced(group).ok_or(ForceError::NotSuspended)?;
        let changes = self.adopt(next, NodeSet::EMPTY);
        // The word outranks what was accepted before.
        self.is_resigned = false;
        Ok(changes.and(self.conclude(false)))
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

    /// Whether `node` is no member any more, and has left in order.
    pub fn has_left(&self, node: NodeId) -> bool {
        self.list().life(node).is_none() && self.leaving.contains(node)
    }

    /// The peer, if it is this member of the list.
    fn member(&self, list: &List<N>, node: NodeId) -> Option<&Peer> {
        let peer = self.peers.all().get(node.index())?.as_ref()?;
        list.contains(node, peer.life).then_some(peer)
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

    /// Members that this one counts on: they grant, or a list was adopted so lately that they may
    /// yet come to; and it does not want them removed.
    fn hears(&self, now: u64) -> NodeSet {
        let is_new = now.saturating_sub(self.adopted_at) <= lease(self.dead);
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
    fn claims(&self, now: u64) -> NodeSet {
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

    /// Whether this node has not granted anything to that member for so long that it would accept its removal.
    fn is_silent(&self, node: NodeId, now: u64) -> bool {
        let peer = self.peers.all().get(node.index()).copied().flatten();
        let granted_at = peer.and_then(|peer| peer.granted).map_or(0, |(_, at)| at);
        now.saturating_sub(granted_at.max(self.adopted_at)) >= self.promised()
    }

    /// Whether as many of `group` as can decide it say that they do not hear that member. Who accepts a removal does
    /// not go back on it: so none is begun while enough others would not have it.
    fn is_unheard(&self, node: NodeId, group: NodeSet) -> bool {
        let deaf = group.without(self.me).into_iter().filter(|other| {
            self.member(self.list(), *other)
                .is_some_and(|peer| peer.has_our_list && !peer.hears.contains(node))
        });
        let deaf = deaf.fold(NodeSet::only(self.me), NodeSet::with);
        self.list().is_majority(deaf)
    }

    fn is_unknown(&self, node: NodeId) -> bool {
        self.peers
            .all()
            .get(node.index())
            .copied()
            .flatten()
            .is_none()
    }

    /// What this node has accepted the removal of.
    fn removes(&self) -> NodeSet {
        match self
            .agreement
            .opinion()
            .accepted
            .map(|accepted| accepted.change)
        {
            Some(Change::Remove(gone)) => gone,
            _ => NodeSet::EMPTY,
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

    /// This node and those that it is connected to, without whoever is not connected to all others.
    fn group(&self, now: u64) -> NodeSet {
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
            // Who leaves ends its connections one after the other: that shall drive nobody else out.
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

    /// Whether a heartbeat of that node is granted.
    fn grants(&self, node: NodeId, life: Incarnation, is_candidate: bool) -> bool {
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

    /// Notes who is heard, but not connected to all of `group`, which can do without it. It gets no
    /// grants any more if that goes on: then the group can remove it. If the group could not do
    /// without it, grants are what may mend it.
    fn note_odd(&mut self, group: NodeSet) {
        let can_do_without = self.list().is_majority(group);
        let now = self.now;
        for node in self.list().members().without(self.me) {
            let is_heard = self.member(self.list(), node).is_some_and(|peer| {
                peer.is_connected && now.saturating_sub(peer.heard_at) <= lease(self.dead)
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

    /// Draws the conclusions from what has changed; `is_tick`: also begins what is to be begun.
    fn conclude(&mut self, is_tick: bool) -> Changes {
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
            lease(self.dead)
        } else {
            self.dead.saturating_mul(4)
        };
        let is_quiet = self.now.saturating_sub(self.attempted_at) > patience
            || before.bits() == 0 && wish.is_some();
        let is_wanted = wish.is_some() || self.agreement.is_unfinished();
        if is_tick && is_first && is_wanted && is_quiet && !self.agreement.is_attempting() {
            self.agreement.propose();
        }
        let may_accept = |change| match change {
            Change::Remove(gone) => gone.bits() & !removable.bits() == 0,
            Change::Join(..) => true,
        };
        let decided = self.agreement.step(wish, group, may_accept);
        self.is_resigned |= self.removes().contains(self.me);
        if self.agreement.highest() != before || is_tick && self.agreement.highest().bits() == 0 {
            self.attempted_at = self.now;
        }
        let changes = match decided {
            Some(next) => self.adopt(next, NodeSet::EMPTY),
            None => Changes::default(),
        };
        changes.and(self.tell())
    }

    /// Goes on with another list. `leaving` is said with it, by who has it: members that leave, and others that
    /// did.
    fn adopt(&mut self, next: List<N>, leaving: NodeSet) -> Changes {
        let last = *self.list();
        let were_leaving = self.leaving;
        // What was known counts for the same lives, and for those that are members no more.
        let still = were_leaving
            .into_iter()
            .filter(|node| next.life(*node).is_none() || next.life(*node) == last.life(*node));
        self.leaving = still.fold(leaving, NodeSet::with);
        self.agreement.adopt(next);
        self.adopted_at = self.now;
        self.attempted_at = self.now;
        self.is_out |= !next.contains(self.me, self.life);
        for peer in self.peers.all_mut().iter_mut().flatten() {
            peer.has_our_list = false;
            peer.odd_since = None;
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
    fn tell(&mut self) -> Changes {
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

    /// Whether those who stay know that this machine has left: a majority of them, or all that it is connected to,
    /// who tell the others.
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

impl Changes {
    /// Both, `more` being the later.
    #[must_use]
    fn and(self, more: Changes) -> Changes {
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
