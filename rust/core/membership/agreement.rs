// SPDX-License-Identifier: GPL-2.0
//! How the members of one list agree on the next.
//!
//! Each step is one decision by Paxos (L. Lamport, The Part-Time Parliament, 1998) among the
//! members of the list before it. No message is made for it: every heartbeat carries all that its
//! sender has promised and accepted ([`Opinion`]), as the blocks of Disk Paxos do (E. Gafni and L.
//! Lamport, 2003). An opinion only grows, so heartbeats may be lost, doubled and reordered:
//! whatever is heard is merged into what is known. A restarted node has forgotten its promises, and
//! so it is another life, which is no member of any list until it joins.
//!
//! 1. Who wants a change makes a ballot higher than all that it has heard of, and promises it to
//!    itself ([`Agreement::propose`]). The others promise the highest ballot that they hear of.
//! 2. When a majority has promised its ballot, it accepts for this ballot the change that one of
//!    them had accepted for the highest ballot before, or, if there is none, the one that it wants.
//!    The others accept what they hear was accepted for a ballot, if they have promised no higher
//!    one.
//! 3. A change that a majority has accepted for one ballot is decided: no other one ever will be.
//!
//! So an attempt that was interrupted binds those who might have seen it succeed and nobody else:
//! whoever takes over either finds it and completes it, or there is a majority that never heard of
//! it. Who is removed by a change is one of the members who decide it, as all: `super` says why it can.

use super::list::Change;
use super::list::List;
use crate::directory::NodeSet;
use crate::ids::NodeId;
use crate::ids::NODE_MAX;

/// How many rounds a list may see beyond one for each tick that its holder has had it.
///
/// Honest machines come nowhere near: whoever begins an attempt has seen nobody begin one for at least
/// six ticks ([`Membership::tick`](super::Membership::tick)), so a list sees fewer rounds than ticks,
/// and 2^32 ticks are 13 years. They are for who has the list later than others, by as much at most.
/// Without a bound one lie would use up all ballots, and nobody could make a higher one. A bound on each
/// step could be climbed, as fast as views come; this one rises with the clock alone, so who is at it
/// can make the next attempt a tick later.
const ROUNDS: u64 = 1 << 32;

/// The most rounds for who has had a list for so many ticks. Nobody promises or makes a higher ballot.
pub(super) const fn rounds(ticks: u64) -> u64 {
    ROUNDS.saturating_add(ticks)
}

/// The number of an attempt: a round, then who makes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot(u64);

impl Ballot {
    /// Before all attempts.
    pub const NONE: Self = Self(0);

    /// From the wire.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// As it travels.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The round.
    pub(super) const fn round(self) -> u64 {
        self.0 >> 8
    }

    /// Whether an honest machine can have promised it: one that has had its list for less than 2^32
    /// ticks, 13 years.
    pub(super) const fn is_plausible(self) -> bool {
        self.round() <= 2 * ROUNDS
    }

    /// Who makes it.
    pub(super) const fn maker(self) -> Option<NodeId> {
        NodeId::new(self.0 & 0xff)
    }

    /// The next attempt after it, made by `node`; `None` if that would be beyond the round `most`.
    fn next(self, node: NodeId, most: u64) -> Option<Self> {
        let round = self.round().checked_add(1).filter(|n| *n <= most)?;
        Some(Self((round << 8) | u64::from(node.get())))
    }
}

/// A change and the ballot that it was accepted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Accepted {
    /// The ballot.
    pub ballot: Ballot,
    /// The change.
    pub change: Change,
}

/// What a node has promised and accepted about what follows its list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Opinion {
    /// It accepts nothing for a lower ballot any more.
    pub promised: Ballot,
    /// What it accepted for the highest ballot.
    pub accepted: Option<Accepted>,
}

impl Opinion {
    const NONE: Self = Self {
        promised: Ballot::NONE,
        accepted: None,
    };

    fn accepted_ballot(&self) -> Ballot {
        self.accepted
            .map_or(Ballot::NONE, |accepted| accepted.ballot)
    }

    /// Both parts only grow, so the greater of each is the later one.
    fn merge(&mut self, other: &Self) {
        self.promised = self.promised.max(other.promised);
        if other.accepted_ballot() > self.accepted_ballot() {
            self.accepted = other.accepted;
        }
    }
}

/// One node's part in the decision about the list that follows its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Agreement<const N: usize = NODE_MAX> {
    me: NodeId,
    list: List<N>,
    /// By node id; this node's own is what it stands to.
    opinions: [Opinion; N],
    /// The ballot of its own attempt.
    attempt: Option<Ballot>,
}

impl<const N: usize> Agreement<N> {
    /// `me` with this list, and no opinion about the next.
    pub fn new(me: NodeId, list: List<N>) -> Self {
        Self {
            me,
            list,
            opinions: [Opinion::NONE; N],
            attempt: None,
        }
    }

    /// The list.
    pub fn list(&self) -> &List<N> {
        &self.list
    }

    /// What this node stands to, for its heartbeats.
    pub fn opinion(&self) -> Opinion {
        self.of(self.me)
    }

    /// What was heard of the opinion of `node`.
    pub fn of(&self, node: NodeId) -> Opinion {
        self.opinions
            .get(node.index())
            .copied()
            .unwrap_or(Opinion::NONE)
    }

    fn own(&mut self) -> Option<&mut Opinion> {
        self.opinions.get_mut(self.me.index())
    }

    /// Goes on with another list: a decided one, or one that supersedes its own.
    pub fn adopt(&mut self, list: List<N>) {
        self.list = list;
        self.opinions.fill(Opinion::NONE);
        self.attempt = None;
    }

    /// Takes note of what member `from`, which has the same list, stands to.
    pub fn hear(&mut self, from: NodeId, opinion: &Opinion) {
        if from != self.me {
            if let Some(known) = self.opinions.get_mut(from.index()) {
                known.merge(opinion);
            }
        }
    }

    /// The highest ballot heard of.
    pub fn highest(&self) -> Ballot {
        self.opinions
            .iter()
            .map(|opinion| opinion.promised)
            .fold(Ballot::NONE, Ballot::max)
    }

    /// Whether an attempt of its own is under way, and nobody has made a higher one.
    pub fn is_attempting(&self) -> bool {
        self.attempt == Some(self.highest())
    }

    /// Whether anybody is known to have accepted something.
    pub fn is_unfinished(&self) -> bool {
        self.opinions
            .iter()
            .any(|opinion| opinion.accepted.is_some())
    }

    /// What anybody is known to have accepted for the highest ballot.
    pub(super) fn latest(&self) -> Option<Accepted> {
        let accepted = self.opinions.iter().filter_map(|opinion| opinion.accepted);
        accepted.max_by_key(|accepted| accepted.ballot)
    }

    /// Begins an attempt, if its round is not beyond `most`.
    pub fn propose(&mut self, most: u64) {
        let next = self.highest().next(self.me, most);
        if let (Some(ballot), Some(own)) = (next, self.own()) {
            own.promised = ballot;
            self.attempt = next;
        }
    }

    /// Draws all conclusions from what was heard. `wish` is what this node would propose, and
    /// `group` whom it would rather have decide; it accepts only what `may_accept` allows (and may
    /// try again later). The list that is decided, if one is.
    pub fn step(
        &mut self,
        wish: Option<Change>,
        group: NodeSet,
        may_accept: impl Fn(Change) -> bool,
    ) -> Option<List<N>> {
        let highest = self.highest();
        let attempt = self.attempt.filter(|attempt| *attempt == highest);
        let current = self.opinion();
        let chosen = match attempt {
            Some(ballot) if current.accepted_ballot() != ballot => self
                .choose(ballot, wish, group)
                .map(|change| Accepted { ballot, change }),
            // What was accepted for the highest ballot is from whoever made it.
            _ => self
                .opinions
                .iter()
                .filter_map(|opinion| opinion.accepted)
                .find(|accepted| accepted.ballot == highest),
        };
        let chosen = chosen.filter(|accepted| {
            accepted.ballot > current.accepted_ballot()
                && self.list.after(accepted.change).is_some()
                && may_accept(accepted.change)
        });
        if let Some(own) = self.own() {
            own.promised = highest;
            if chosen.is_some() {
                own.accepted = chosen;
            }
        }
        self.decided()
    }

    /// What the maker of `ballot` has to propose; `None` before a majority has promised it. Any
    /// majority binds it, so best one that has accepted nothing, else those in `group`.
    fn choose(&self, ballot: Ballot, wish: Option<Change>, group: NodeSet) -> Option<Change> {
        let members = self.list.members();
        let those = |wanted: &dyn Fn(NodeId) -> bool| {
            members
                .into_iter()
                .filter(|node| self.of(*node).promised == ballot && wanted(*node))
                .fold(NodeSet::EMPTY, NodeSet::with)
        };
        let binding = [
            those(&|node| self.of(node).accepted.is_none()),
            those(&|node| group.contains(node)),
            those(&|_| true),
        ]
        .into_iter()
        .find(|promised| self.list.is_majority(*promised))?;
        let last = binding
            .into_iter()
            .filter_map(|node| self.of(node).accepted)
            .max_by_key(|accepted| accepted.ballot);
        last.map(|accepted| accepted.change).or(wish)
    }

    fn decided(&self) -> Option<List<N>> {
        self.list.members().into_iter().find_map(|candidate| {
            let accepted = self.of(candidate).accepted?;
            let by = self
                .list
                .members()
                .into_iter()
                .filter(|node| self.of(*node).accepted_ballot() == accepted.ballot)
                .fold(NodeSet::EMPTY, NodeSet::with);
            if self.list.is_majority(by) {
                self.list.after(accepted.change)
            } else {
                None
            }
        })
    }
}
