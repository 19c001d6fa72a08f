// SPDX-License-Identifier: GPL-2.0
//! A machine among others: whose list it goes by, and when it begins anew.
//!
//! Every machine begins with a list of its own. When two meet:
//!
//! * one that is alone gives its list up and wants to join the other's, if there are more in that, or the
//!   other is alone, too, and has the lower id. It keeps its life if it was alone from the beginning:
//!   nobody ever relied on it. For a while it takes nobody in if it looks for a machine with a lower id, or
//!   has not heard all that it could; nor while it hears a system that it can join: so that of many that begin
//!   or meet at once not two systems come to be.
//! * two systems with several machines each stay two: the link is there, but nothing moves over it.
//!
//! Who joins waits until it hears all machines of that system: one that is not connected to all of them would
//! drive another one out.
//!
//! A machine that was removed from the list begins another life, alone. One that gave its list up and waits in
//! vain, while no list is heard of, begins another. So does one whose list is *deserted*: it does not serve,
//! and the other members were heard in another life or in another system, but for some that are here and with
//! which it is no majority either: so nobody serves under this list, nor will again. That is how the machine with
//! the higher id of two goes on when the other was restarted.
//!
//! A list that was given up binds nobody: its only member forgets what it knew under a cluster number that
//! it never uses again, and takes another life if others were in the list before.
//!
//! As all here, nothing sleeps or allocates. After each call say [`Machine::conclude`].

use super::list::List;
use super::view::Said;
use super::ForceError;
use super::Membership;
use super::Peer;
use super::Places;
use super::Standing;
use crate::directory::NodeSet;
use crate::ids::Incarnation;
use crate::ids::NodeId;
use crate::ids::NODE_MAX;

/// For how many times `dead` ticks a machine that is in no list waits for one, or one in a list of its own for a
/// lower id; and for how many after it last heard of a list.
const SEEKS: u64 = 4;
const SEEKS_AFTER: u64 = 2;

/// The epoch of a list that was never another.
const FIRST_EPOCH: u64 = 1;

/// How a peer stands towards this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bond {
    /// It is not in our list, or we are in none.
    Stranger,
    /// Both are in our list; and if it is mutual, in the peer's, as it last said.
    Member {
        /// It has said so.
        is_mutual: bool,
    },
    /// It has left the list in order, or this machine is leaving it.
    Left,
    /// This machine is no more what it was when the two met: it has begun anew.
    Over,
}

/// How a machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether it may serve.
    pub standing: Standing,
    /// Which system its list is of.
    pub cluster: u64,
    /// Of its list.
    pub epoch: u64,
    /// Its list.
    pub members: NodeSet,
}

/// Something that the list does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The others have removed this machine: it begins anew.
    Removed,
    /// All others are other lives now: it begins anew.
    Deserted,
    /// That node is of another system, which cannot become one with this one.
    Foreign(NodeId),
}

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// How it was.
    pub before: Status,
    /// How it is.
    pub after: Status,
    /// What else there is to say.
    pub event: Option<Event>,
}

/// What a machine said of itself last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Heard {
    life: Incarnation,
    cluster: u64,
    epoch: u64,
    members: NodeSet,
    has_us: bool,
}

/// See the module. `P` and `H` are where it keeps what it knows of others, by node id.
#[derive(Clone, Debug)]
pub struct Machine<const N: usize = NODE_MAX, P = [Option<Peer>; N], H = [Option<Heard>; N]> {
    me: NodeId,
    life: Incarnation,
    random: fn() -> u64,
    dead: u64,
    membership: Membership<N, P>,
    /// Since the list is what it is.
    heard: H,
    /// The cluster and epoch of the list that this is of.
    heard_under: (u64, u64),
    is_leaving: bool,
    /// Of whom an administrator said that they serve no more.
    absent: NodeSet,
    /// Nodes of other systems that were told of.
    foreign: NodeSet,
    /// Machines that there are links to.
    linked: NodeSet,
    /// Since when this machine is in no list, or in one of its own.
    begun_at: u64,
    /// When it first heard another machine, since its list is what it is.
    met_at: u64,
    /// When it last heard of a list.
    list_heard_at: u64,
    told: Status,
    event: Option<Event>,
}

fn new_life(random: fn() -> u64) -> Incarnation {
    loop {
        if let Some(life) = Incarnation::new(random()) {
            return life;
        }
    }
}

fn status<const N: usize, P: Places<Peer>>(membership: &Membership<N, P>, now: u64) -> Status {
    let list = membership.list();
    Status {
        standing: membership.standing(now),
        cluster: list.cluster(),
        epoch: list.epoch(),
        members: list.members(),
    }
}

impl<const N: usize, P: Places<Peer>, H: Places<Heard>> Machine<N, P, H> {
    /// A machine alone, whose primary is `me`. `random` gives a number that was never given before, but by chance
    /// of one in 2^64; `now` and `dead` as in [`Membership::new`]. `peers` and `heard` are all `None`.
    pub fn new(me: NodeId, now: u64, dead: u64, random: fn() -> u64, peers: P, heard: H) -> Self {
        let life = new_life(random);
        let cluster = random();
        Self {
            me,
            life,
            random,
            dead,
            told: Status {
                standing: Standing::Serving,
                cluster,
                epoch: FIRST_EPOCH,
                members: NodeSet::only(me),
            },
            membership: Membership::in_places(me, life, Some(cluster), now, dead, peers),
            heard,
            heard_under: (0, 0),
            is_leaving: false,
            absent: NodeSet::EMPTY,
            foreign: NodeSet::EMPTY,
            linked: NodeSet::EMPTY,
            begun_at: now,
            met_at: now,
            list_heard_at: now,
            event: None,
        }
    }

    /// This machine's life, which is new whenever it begins anew.
    pub fn life(&self) -> Incarnation {
        self.life
    }

    /// How it stands.
    pub fn status(&self, now: u64) -> Status {
        status(&self.membership, now)
    }

    /// Members that are not heard.
    pub fn missing(&self, now: u64) -> NodeSet {
        self.membership.unreachable(now)
    }

    /// Members but this machine.
    pub fn others(&self) -> NodeSet {
        self.membership.list().members().without(self.me)
    }

    /// For how many ticks from `now` it may serve other machines if it hears nothing more, at most `ahead`. `None`:
    /// for ever: there are none.
    pub fn serves(&self, now: u64, ahead: u64) -> Option<u64> {
        let is_leaving = matches!(
            self.membership.standing(now),
            Standing::Suspended(_) | Standing::Left
        );
        if self.others().is_empty() && !is_leaving {
            // Alone, or no member yet: it shares nothing with other machines.
            return None;
        }
        Some(self.membership.lease_within(now, ahead))
    }

    /// Nobody waits for this machine any more, which leaves; or nobody is there who could hear that.
    pub fn is_gone(&self, now: u64) -> bool {
        let missing = self.membership.unreachable(now).bits();
        match self.membership.standing(now) {
            Standing::Left | Standing::Removed | Standing::Joining => true,
            _ => self.others().bits() & !missing == 0,
        }
    }

    /// What to say to a machine; `None`: nothing, for this one has begun another life than `own`, or wants to join
    /// that one's system and has not heard some machine of that yet.
    pub fn says(&self, to: NodeId, own: Incarnation) -> Option<Said<N>> {
        let is_ready = self.membership.list().epoch() != 0 || !self.has_unheard(to);
        (self.life == own && is_ready).then(|| Said {
            life: own,
            view: self.membership.view(to),
        })
    }

    /// How that life of a machine stands towards this one, which was in life `own` when they met.
    pub fn bond(&self, peer: NodeId, life: Option<Incarnation>, own: Incarnation) -> Bond {
        if self.life != own {
            return Bond::Over;
        }
        let list = self.membership.list();
        match life {
            Some(life) if list.contains(peer, life) && list.contains(self.me, own) => {
                Bond::Member {
                    is_mutual: self.heard_of(peer).is_some_and(|heard| heard.has_us),
                }
            }
            // Whoever leaves is heard until the others know it.
            _ if self.is_leaving || self.membership.has_left(peer) => Bond::Left,
            _ => Bond::Stranger,
        }
    }

    /// Whether this machine will join that one's system when it has heard the other machines there.
    pub fn awaits(&self, peer: NodeId) -> bool {
        let is_one_of_many = self
            .heard_of(peer)
            .is_some_and(|heard| heard.members.without(self.me).len() > 1);
        self.others().is_empty() && is_one_of_many && self.has_unheard(peer)
    }

    /// Time passes: call it once a tick.
    pub fn tick(&mut self, now: u64, dead: u64) {
        if dead != self.dead {
            self.dead = dead;
            self.membership.set_dead(now, dead);
        }
        self.membership.tick(now);
    }

    /// Takes in what a machine said.
    pub fn hear(&mut self, now: u64, from: NodeId, said: &Said<N>) {
        self.forget_outdated();
        if self.heard.all().iter().all(Option::is_none) {
            self.met_at = now;
        }
        let theirs = &said.view.list;
        let is_foreign = self.membership.list().epoch() != 0
            && theirs.epoch() != 0
            && theirs.cluster() != self.membership.list().cluster();
        if theirs.epoch() != 0 {
            self.list_heard_at = now;
        }
        if is_foreign {
            self.remember(from, said);
            if !self.gives_way(now, from, theirs) {
                return;
            }
        }
        if theirs.epoch() != 0 || !self.waits_for_better(now, from) {
            self.membership.heard(now, from, said.life, &said.view);
        }
        self.remember(from, said);
    }

    /// The connection to that machine is over.
    pub fn disconnected(&mut self, now: u64, peer: NodeId) {
        self.membership.disconnected(now, peer);
        if let Some(place) = self.heard.all_mut().get_mut(peer.index()) {
            *place = None;
        }
    }

    /// That life of a machine is over for sure.
    pub fn surely_dead(&mut self, now: u64, peer: NodeId, life: Incarnation) {
        self.membership.surely_dead(now, peer, life);
    }

    /// A link to that machine comes, or goes, which is the end of [`Machine::leave`].
    pub fn link(&mut self, now: u64, peer: NodeId, is_there: bool) {
        if is_there {
            if self.linked.is_empty() {
                self.begun_at = now;
            }
            self.linked = self.linked.with(peer);
            return;
        }
        self.linked = self.linked.without(peer);
        self.foreign = self.foreign.without(peer);
        if self.linked.is_empty() || self.is_leaving {
            // Nobody else is there any more; or that was what it left for, and another link has come meanwhile.
            self.begin_anew(now);
        }
    }

    /// Leaves the others in order; whether there are some. See [`Membership::leave`].
    pub fn leave(&mut self) -> bool {
        let has_others = !self.others().is_empty();
        if has_others {
            self.is_leaving = true;
            self.membership.leave();
        }
        has_others
    }

    /// An administrator gives his word that no member serves that this machine does not hear, and that `node` is one
    /// of these. When that was said of all, those that are here go on.
    ///
    /// # Errors
    ///
    /// As [`Membership::force`]; after [`ForceError::NotNamed`] what was said is kept.
    pub fn force(&mut self, now: u64, node: NodeId) -> Result<(), ForceError> {
        let members = self.membership.list().members().bits();
        self.absent = NodeSet::from_bits(self.absent.bits() & members).with(node);
        match self.membership.force(now, self.absent) {
            Ok(_) => Ok(()),
            Err(error) => {
                if !matches!(error, ForceError::NotNamed(_)) {
                    self.absent = NodeSet::EMPTY;
                }
                Err(error)
            }
        }
    }

    /// Draws the conclusions from what was done; what has changed since the last time.
    pub fn conclude(&mut self, now: u64) -> Option<News> {
        match self.membership.standing(now) {
            Standing::Removed => {
                self.begin_anew(now);
                self.event = Some(Event::Removed);
            }
            Standing::Joining if self.waits_in_vain(now) => {
                self.restart(now, self.life, Some((self.random)()));
            }
            Standing::Suspended(_) if self.is_deserted() => {
                self.begin_anew(now);
                self.event = Some(Event::Deserted);
            }
            _ => {}
        }
        let after = self.status(now);
        let news = News {
            before: core::mem::replace(&mut self.told, after),
            after,
            event: self.event.take(),
        };
        (news.before != after || news.event.is_some()).then_some(news)
    }

    fn heard_of(&self, node: NodeId) -> Option<Heard> {
        self.heard.all().get(node.index()).copied().flatten()
    }

    fn remember(&mut self, from: NodeId, said: &Said<N>) {
        self.forget_outdated();
        let list = &said.view.list;
        if let Some(place) = self.heard.all_mut().get_mut(from.index()) {
            *place = Some(Heard {
                life: said.life,
                cluster: list.cluster(),
                epoch: list.epoch(),
                members: list.members(),
                has_us: list.contains(self.me, self.life),
            });
        }
    }

    /// What was heard under an earlier list says nothing about the lives in this one.
    fn forget_outdated(&mut self) {
        let list = self.membership.list();
        let present = (list.cluster(), list.epoch());
        if self.heard_under != present {
            self.heard_under = present;
            self.heard.all_mut().fill(None);
        }
    }

    /// Whether this machine is alone, as it was from the beginning, and may yet find one to join, other than
    /// `from`.
    fn looks_for_lower(&self, now: u64, from: NodeId) -> bool {
        let lowest = self.linked.without(from).first();
        self.membership.list().epoch() == FIRST_EPOCH
            && self.others().is_empty()
            && lowest.is_some_and(|lowest| lowest < self.me)
            && now.saturating_sub(self.begun_at) <= SEEKS.saturating_mul(self.dead)
    }

    /// Whether this machine is alone, and takes nobody in: what it could be found out to have to join may yet come, or is
    /// there. Else two systems come to be of machines whose links come up one after the other.
    fn waits_for_better(&self, now: u64, from: NodeId) -> bool {
        let is_alone = self.membership.list().epoch() != 0 && self.others().is_empty();
        is_alone
            && (self.looks_for_lower(now, from)
                || self.looks_around(now, from)
                || self.hears_system()
                || self.hears_lower())
    }

    /// Whether machines that there are links to, other than `from`, may yet be heard for the first time.
    fn looks_around(&self, now: u64, from: NodeId) -> bool {
        now.saturating_sub(self.met_at) <= self.dead
            && self
                .linked
                .without(from)
                .into_iter()
                .any(|node| self.heard_of(node).is_none())
    }

    fn is_elsewhere(&self, heard: &Heard) -> bool {
        heard.epoch != 0 && heard.cluster != self.membership.list().cluster()
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

    /// Whether some machine of `peer`'s system has not been heard to be of that system.
    fn has_unheard(&self, peer: NodeId) -> bool {
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

    /// Another system is met: whether this machine gives its own up for it.
    fn gives_way(&mut self, now: u64, from: NodeId, theirs: &List<N>) -> bool {
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

    fn waits_in_vain(&self, now: u64) -> bool {
        now.saturating_sub(self.begun_at) > SEEKS.saturating_mul(self.dead)
            && now.saturating_sub(self.list_heard_at) > SEEKS_AFTER.saturating_mul(self.dead)
    }

    fn is_deserted(&self) -> bool {
        let list = self.membership.list();
        let is_over = |node: NodeId| {
            self.heard_of(node).is_some_and(|heard| {
                let is_elsewhere = heard.epoch != 0 && heard.cluster != list.cluster();
                is_elsewhere || list.life(node) != Some(heard.life)
            })
        };
        self.heard_under == (list.cluster(), list.epoch())
            && list.contains(self.me, self.life)
            && !self.others().is_empty()
            && self.is_hopeless(is_over)
    }

    /// Whether all other members are over, but for some that are here, too few with this one.
    fn is_hopeless(&self, is_over: impl Fn(NodeId) -> bool) -> bool {
        let list = self.membership.list();
        let is_here = |node: NodeId| {
            self.heard_of(node)
                .is_some_and(|heard| (heard.cluster, heard.epoch) == (list.cluster(), list.epoch()))
        };
        let rest = self.others().into_iter().filter(|node| !is_over(*node));
        let rest = rest.fold(NodeSet::EMPTY, NodeSet::with);
        rest.into_iter().all(is_here) && !list.is_majority(rest.with(self.me))
    }

    fn begin_anew(&mut self, now: u64) {
        self.restart(now, new_life(self.random), Some((self.random)()));
    }

    fn restart(&mut self, now: u64, life: Incarnation, cluster: Option<u64>) {
        self.life = life;
        self.is_leaving = false;
        self.membership.restart(life, cluster, now);
        self.absent = NodeSet::EMPTY;
        self.begun_at = now;
        self.forget_outdated();
    }
}
