// SPDX-License-Identifier: GPL-2.0
//! What a heartbeat between two machines says, and its bytes: first the sender's life as a machine,
//! then its view.

use super::agreement::Accepted;
use super::agreement::Ballot;
use super::agreement::Opinion;
use super::list::Change;
use super::list::List;
use super::list::EPOCH_MAX;
use crate::directory::NodeSet;
use crate::ids::Incarnation;
use crate::ids::NodeId;
use crate::ids::NODE_MAX;

/// A heartbeat's content. Who sends it, and in which life, is said by the message around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View<const N: usize = NODE_MAX> {
    /// The sender's list.
    pub list: List<N>,
    /// What it stands to about the next.
    pub opinion: Opinion,
    /// Its clock, in ticks.
    pub sent: u64,
    /// The receiver's clock in the latest view that the sender grants it for.
    pub granted: Option<u64>,
    /// After how many ticks of silence the sender counts others as dead.
    pub dead: u64,
    /// Members that the sender is connected to.
    pub hears: NodeSet,
    /// Kernels of the sender's machine.
    pub kernels: NodeSet,
    /// It leaves in order, or has resigned: it does not serve any more.
    pub is_leaving: bool,
    /// Members of the list that leave in order, and nodes that are not in it and did so, as far as
    /// the sender knows.
    pub leaving: NodeSet,
}

/// Bytes before the lives of the members.
const FIXED: usize = 14 * 8;
/// The longest view in bytes.
pub const VIEW_MAX: usize = FIXED + 8 * NODE_MAX;

/// A machine's life, and its view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Said<const N: usize = NODE_MAX> {
    /// The life that the machine has as a member: other than that of a session or a window, it is
    /// the same towards all.
    pub life: Incarnation,
    /// What it says.
    pub view: View<N>,
}

/// The shortest and the longest in bytes.
pub const SAID_MIN: usize = 8 + FIXED;
/// See [`SAID_MIN`].
pub const SAID_MAX: usize = 8 + VIEW_MAX;

impl<const N: usize> Said<N> {
    /// As bytes: how many; `None` if `out` is too short, which one of [`SAID_MAX`] is not.
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        let (life, view) = out.split_first_chunk_mut()?;
        *life = self.life.get().to_le_bytes();
        Some(life.len() + self.view.encode(view)?)
    }

    /// From bytes that a peer wrote.
    ///
    /// # Errors
    ///
    /// As [`View::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BadView> {
        let (life, view) = bytes.split_first_chunk().ok_or(BadView)?;
        Ok(Self {
            life: Incarnation::new(u64::from_le_bytes(*life)).ok_or(BadView)?,
            view: View::decode(view)?,
        })
    }
}

/// Not a view, or one that no honest machine can have. Nothing else is said: the peer is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadView;

const NOTHING: u64 = 0;
const REMOVE: u64 = 1;
const JOIN: u64 = 2;
const LEAVING: u64 = 1;
const GRANTED: u64 = 2;

impl<const N: usize> View<N> {
    /// As bytes: 14 words, then the life of each member, lowest id first. How many bytes; `None` if
    /// `out` is too short, which one of [`VIEW_MAX`] is not.
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        let (ballot, kind, argument, life) = match self.opinion.accepted {
            None => (Ballot::NONE, NOTHING, 0, 0),
            Some(Accepted { ballot, change }) => match change {
                Change::Remove(gone) => (ballot, REMOVE, gone.bits(), 0),
                Change::Join(node, life) => (ballot, JOIN, u64::from(node.get()), life.get()),
            },
        };
        let leaving = if self.is_leaving { LEAVING } else { 0 };
        let granted = self.granted.map_or(0, |_| GRANTED);
        let members = self.list.members();
        let fixed = [
            self.list.cluster(),
            self.list.epoch(),
            members.bits(),
            self.opinion.promised.bits(),
            ballot.bits(),
            kind | ((leaving | granted) << 32),
            argument,
            life,
            self.sent,
            self.granted.unwrap_or(0),
            self.dead,
            self.hears.bits(),
            self.kernels.bits(),
            self.leaving.bits(),
        ];
        let lives = members
            .into_iter()
            .filter_map(|node| self.list.life(node))
            .map(Incarnation::get);
        let mut length = 0;
        for word in fixed.into_iter().chain(lives) {
            out.get_mut(length..length + 8)?
                .copy_from_slice(&word.to_le_bytes());
            length += 8;
        }
        Some(length)
    }

    /// From bytes that a peer wrote.
    ///
    /// # Errors
    ///
    /// [`BadView`]: it has another length, or a value that cannot be. What comes back can be
    /// encoded to the same bytes again.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadView> {
        if bytes.len() % 8 != 0 {
            return Err(BadView);
        }
        let mut words = bytes.chunks_exact(8).map(|chunk| {
            chunk
                .iter()
                .rev()
                .fold(0_u64, |word, byte| (word << 8) | u64::from(*byte))
        });
        let mut fixed = [0_u64; FIXED / 8];
        for place in &mut fixed {
            *place = words.next().ok_or(BadView)?;
        }
        let [cluster, epoch, members, promised, ballot, kind, argument, life, sent, granted, dead, hears, kernels, leaves] =
            fixed;
        let members = NodeSet::from_bits(members);
        let mut list = List::from_parts(cluster, epoch, [None; N]);
        for node in members {
            if node.index() >= N {
                return Err(BadView);
            }
            let life = words.next().and_then(Incarnation::new).ok_or(BadView)?;
            list.set(node, Some(life));
        }
        let flags = kind >> 32;
        let change = match kind as u32 as u64 {
            NOTHING if ballot | argument | life == 0 => None,
            REMOVE if argument != 0 && life == 0 => {
                Some(Change::Remove(NodeSet::from_bits(argument)))
            }
            JOIN => {
                let node = NodeId::new(argument).ok_or(BadView)?;
                Some(Change::Join(node, Incarnation::new(life).ok_or(BadView)?))
            }
            _ => return Err(BadView),
        };
        let is_made_by_member = |ballot: Ballot| {
            ballot == Ballot::NONE || ballot.maker().is_some_and(|node| members.contains(node))
        };
        let (promised, ballot) = (Ballot::from_bits(promised), Ballot::from_bits(ballot));
        let is_whole = words.next().is_none()
            && flags & !(LEAVING | GRANTED) == 0
            && (granted == 0 || flags & GRANTED != 0)
            && ballot <= promised
            && promised.is_plausible()
            && is_made_by_member(promised)
            && is_made_by_member(ballot)
            && change.is_none_or(|change| ballot != Ballot::NONE && list.allows(change))
            && epoch <= EPOCH_MAX
            // Who has no list has no opinion; who has one is or was in it.
            && match epoch {
                0 => members.is_empty() && cluster == 0 && promised == Ballot::NONE,
                _ => !members.is_empty(),
            };
        if !is_whole {
            return Err(BadView);
        }
        Ok(Self {
            list,
            opinion: Opinion {
                promised,
                accepted: change.map(|change| Accepted { ballot, change }),
            },
            sent,
            granted: (flags & GRANTED != 0).then_some(granted),
            dead,
            hears: NodeSet::from_bits(hears),
            kernels: NodeSet::from_bits(kernels),
            is_leaving: flags & LEAVING != 0,
            leaving: NodeSet::from_bits(leaves),
        })
    }
}
