// SPDX-License-Identifier: GPL-2.0
//! The list of members, what is a majority of it, and how one list follows another.

use crate::directory::NodeSet;
use crate::ids::Incarnation;
use crate::ids::NodeId;
use crate::ids::NODE_MAX;
use core::cmp::Ordering;

/// The epochs that an administrator's word skips: a list made by it outranks all that were agreed.
const FORCED_STEP: u64 = 1 << 32;

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

    fn set(&mut self, node: NodeId, life: Option<Incarnation>) {
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

    /// The list after `change`; `None` if that changes nothing here, or would leave nobody.
    #[must_use]
    pub fn after(&self, change: Change) -> Option<Self> {
        let mut next = *self;
        next.epoch = self.epoch.checked_add(1)?;
        match change {
            Change::Remove(gone) => {
                for node in gone {
                    self.life(node)?;
                    next.set(node, None);
                }
            }
            Change::Join(node, life) if self.life(node).is_none() && node.index() < N => {
                next.set(node, Some(life));
            }
            Change::Join(..) => return None,
        }
        (next.lives != self.lives && !next.members().is_empty()).then_some(next)
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
