// SPDX-License-Identifier: GPL-2.0
//! The list of members, what is a majority of it, and how one list follows another.

use crate::directory::NodeSet;
use crate::ids::Incarnation;
use crate::ids::NodeId;
use crate::ids::NODE_MAX;
use core::cmp::Ordering;

/// The epochs that an administrator's word skips: a list made by it outranks all that were agreed.
const FORCED_STEP: u64 = 1 << 32;

/// The highest epoch that is a number of changes: 2^31 words of an administrator. Far beyond what one
/// who is new believes, so that whoever has such a list can always make the next.
pub(super) const EPOCH_MAX: u64 = 1 << 63;
/// The highest epoch of a system that one who is new believes in: 2^16 words of an administrator.
const EPOCH_JOINED_MAX: u64 = FORCED_STEP << 16;
/// How many changes may be decided in a row that one does not hear of who is a member before and after.
/// He is removed when he hears nothing for `dead` ticks, or a few times that if he is heard himself and
/// the list changes all the time; a change takes ticks, and 2^24 ticks are 19 days.
const STEPS_MAX: u64 = 1 << 24;
/// And how many words of an administrator: he is among those who are connected to him who is given it.
const WORDS_MAX: u64 = 1 << 4;

/// A step from one list to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// These members leave, or are dead.
    Remove(NodeSet),
    /// This life of a machine becomes a member.
    Join(NodeId, Incarnation),
}

/// The machines that are members, by the node ids of their primaries, each with its life.
///
/// `N` is the number of node ids: [`NODE_MAX`], but fewer in a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct List<const N: usize = NODE_MAX> {
    cluster: u64,
    epoch: u64,
    lives: [Option<Incarnation>; N],
}

impl<const N: usize> List<N> {
    /// Nobody's list: of one who wants to join, and knows no other yet.
    pub const EMPTY: Self = Self {
        cluster: 0,
        epoch: 0,
        lives: [None; N],
    };

    /// The first list of a new cluster, in which `founder` is alone. `cluster` tells it from
    /// others: a random number.
    pub fn founded(cluster: u64, founder: NodeId, life: Incarnation) -> Self {
        let mut list = Self {
            cluster,
            epoch: 1,
            ..Self::EMPTY
        };
        list.set(founder, Some(life));
        list
    }

    /// From the wire.
    pub fn from_parts(cluster: u64, epoch: u64, lives: [Option<Incarnation>; N]) -> Self {
        Self {
            cluster,
            epoch,
            lives,
        }
    }

    /// Makes that life of the node a member, or none.
    pub(super) fn set(&mut self, node: NodeId, life: Option<Incarnation>) {
        if let Some(place) = self.lives.get_mut(node.index()) {
            *place = life;
        }
    }

    /// Which cluster it is of.
    pub fn cluster(&self) -> u64 {
        self.cluster
    }

    /// How many changes lie before it; 0 only in [`List::EMPTY`].
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The members.
    pub fn members(&self) -> NodeSet {
        NodeId::all()
            .take(N)
            .filter(|node| self.life(*node).is_some())
            .fold(NodeSet::EMPTY, NodeSet::with)
    }

    /// The life of this member; `None` if it is no member.
    pub fn life(&self, node: NodeId) -> Option<Incarnation> {
        self.lives.get(node.index()).copied().flatten()
    }

    /// Whether this life of the node is a member.
    pub fn contains(&self, node: NodeId, life: Incarnation) -> bool {
        self.life(node) == Some(life)
    }

    /// Whether `present` may decide for all: more than half of the members, or half with the lowest
    /// node id among them. Any two such sets have a member in common.
    pub fn is_majority(&self, present: NodeSet) -> bool {
        let members = self.members();
        let here = NodeSet::from_bits(present.bits() & members.bits());
        match (2 * here.len()).cmp(&members.len()) {
            Ordering::Greater => true,
            Ordering::Equal => members.first().is_some_and(|lowest| here.contains(lowest)),
            Ordering::Less => false,
        }
    }

    /// The list after `change`; `None` if that is no [change](List::allows) to it.
    #[must_use]
    pub fn after(&self, change: Change) -> Option<Self> {
        if !self.allows(change) {
            return None;
        }
        let mut next = *self;
        next.epoch = self.epoch.checked_add(1)?;
        match change {
            Change::Remove(gone) => gone.into_iter().for_each(|node| next.set(node, None)),
            Change::Join(node, life) => next.set(node, Some(life)),
        }
        Some(next)
    }

    /// Whether `change` changes something here, and leaves somebody.
    pub(super) fn allows(&self, change: Change) -> bool {
        match change {
            Change::Remove(gone) => {
                let members = self.members();
                gone.bits() & !members.bits() == 0 && !gone.is_empty() && gone != members
            }
            Change::Join(node, _) => self.life(node).is_none() && node.index() < N,
        }
    }

    /// The list of `here` alone, by an administrator's word; `None` if that is nobody.
    #[must_use]
    pub(super) fn forced(&self, here: NodeSet) -> Option<Self> {
        let mut next = *self;
        next.epoch = (self.epoch & !(FORCED_STEP - 1)).checked_add(FORCED_STEP)?;
        for node in self.members() {
            if !here.contains(node) {
                next.set(node, None);
            }
        }
        (!next.members().is_empty()).then_some(next)
    }

    /// How many words of an administrator lie before it.
    fn words(&self) -> u64 {
        self.epoch / FORCED_STEP
    }

    /// Whether an administrator's word lies between `other`, which this one supersedes, and this one.
    pub(super) fn is_forced_since(&self, other: &Self) -> bool {
        self.words() > other.words()
    }

    /// Whether this list, which supersedes `other`, can have come to be while a machine that is a member
    /// of both had `other`: not too many changes later. [`List::EMPTY`] is that of one who is new.
    pub(super) fn can_follow(&self, other: &Self) -> bool {
        if other.epoch == 0 {
            return self.epoch <= EPOCH_JOINED_MAX;
        }
        let words = self.words().saturating_sub(other.words());
        let steps = match words {
            0 => self.epoch.saturating_sub(other.epoch),
            _ => self.epoch % FORCED_STEP,
        };
        words <= WORDS_MAX && steps <= STEPS_MAX
    }

    /// Whether a node with the list `other` has to give it up for this one: both are of one
    /// cluster, and this is of a later epoch. Two lists of one epoch are not agreed but forced, on
    /// two sides at once: then the one with a member lower than all that both have in common, if
    /// only one has such.
    pub fn supersedes(&self, other: &Self) -> bool {
        if self.epoch == 0 || self.cluster != other.cluster {
            return false;
        }
        let raw = |life: &Option<Incarnation>| life.map_or(0, Incarnation::get);
        match self.epoch.cmp(&other.epoch) {
            Ordering::Equal => self.lives.iter().map(raw).gt(other.lives.iter().map(raw)),
            order => order == Ordering::Greater,
        }
    }
}
