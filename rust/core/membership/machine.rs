// SPDX-License-Identifier: GPL-2.0
//! A machine among others: whose list it goes by, and when it begins anew.
//!
//! Every machine begins with a list of its own. When two meet:
//!
//! * one that is alone gives its list up and wants to join the other's, if there are more in that,
//!   or the other is alone, too, and has the lower id. It keeps its life if it was alone from the
//!   beginning: nobody ever relied on it. For a while it takes nobody in if it looks for a machine
//!   with a lower id, or has not heard all that it could; nor while it hears a system that it can
//!   join: so that of many that begin or meet at once not two systems come to be.
//! * two systems with several machines each stay two: the link is there, but nothing moves over it.
//!
//! Who joins waits until it hears all machines of that system: one that is not connected to all of
//! them would drive another one out.
//!
//! A machine that was removed from the list begins another life, alone; one that may be the only one who
//! knows of that list not before those who stay know it, or so many of them were heard to be over that the
//! others cannot go on ([`super`]). One that gave its list up and waits in vain, while no list is heard
//! of, begins another. So does one whose list is *deserted*: it does not serve, and the other members were heard in another life or in another
//! system, but for some that are here and with which it is no majority either: so nobody serves
//! under this list, nor will again. That is how the machine with the higher id of two goes on when
//! the other was restarted.
//!
//! A list that was given up binds nobody: its only member forgets what it knew under a cluster
//! number that it never uses again, and takes another life if others were in the list before.
//!
//! As all here, nothing sleeps or allocates. After each call say [`Machine::conclude`].

mod meeting;
mod renewal;

use super::agreement::Opinion;
use super::view::BadView;
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

/// For how many times `dead` ticks a machine that is in no list waits for one, or one in a list of
/// its own for a lower id; and for how many after it last heard of a list.
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

/// What a machine stands to: its list, and its opinion about the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stance {
    cluster: u64,
    epoch: u64,
    opinion: Opinion,
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
    /// A machine alone, whose primary is `me`. `random` gives a number that was never given before,
    /// but by chance of one in 2^64; `now` and `dead` as in [`Membership::new`]. `peers` and
    /// `heard` are all `None`.
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

    /// What it stands to. When that changes, others go on sooner if they are told at once.
    pub fn stance(&self) -> Stance {
        let (list, opinion) = self.membership.stance();
        Stance {
            cluster: list.cluster(),
            epoch: list.epoch(),
            opinion,
        }
    }

    /// Members that are not heard.
    pub fn missing(&self, now: u64) -> NodeSet {
        self.membership.unreachable(now)
    }

    /// Members but this machine.
    pub fn others(&self) -> NodeSet {
        self.membership.list().members().without(self.me)
    }

    /// For how many ticks from `now` it may serve other machines if it hears nothing more, at most
    /// `ahead`. `None`: for ever: there are none.
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

    /// Nobody waits for this machine any more, which leaves; or nobody is there who could hear
    /// that.
    pub fn is_gone(&self, now: u64) -> bool {
        let missing = self.membership.unreachable(now).bits();
        match self.membership.standing(now) {
            Standing::Left | Standing::Removed | Standing::Joining => true,
            _ => self.others().bits() & !missing == 0,
        }
    }

    /// What to say to a machine; `None`: nothing, for this one has begun another life than `own`,
    /// or wants to join that one's system and has not heard some machine of that yet.
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

    /// Time passes: call it once a tick.
    pub fn tick(&mut self, now: u64, dead: u64) {
        if dead != self.dead {
            self.dead = dead;
            self.membership.set_dead(now, dead);
        }
        self.membership.tick(now);
    }

    /// Takes in what a machine said.
    ///
    /// # Errors
    ///
    /// As [`Membership::heard`].
    pub fn hear(&mut self, now: u64, from: NodeId, said: &Said<N>) -> Result<(), BadView> {
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
                return Ok(());
            }
        }
        if theirs.epoch() != 0 || !self.waits_for_better(now, from) {
            self.membership.heard(now, from, said.life, &said.view)?;
        }
        self.remember(from, said);
        Ok(())
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
        let others = self.others();
        let has_left_all = !others.is_empty() && others.bits() & self.linked.bits() == 0;
        if self.linked.is_empty() || has_left_all || self.is_leaving {
            // Nobody else is there any more, or nobody of its list, whom it could wait for; or that was what it left
            // for, and another link has come meanwhile.
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

    /// An administrator gives his word that no member serves that this machine does not hear, and
    /// that `node` is one of these. When that was said of all, those that are here go on.
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
            Standing::Suspended(_) if self.waits_for_the_dead() => {
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
}
