// SPDX-License-Identifier: GPL-2.0
//! Names of things that travel: nodes, incarnations of nodes, requests.
//!
//! Each is a type of its own, made only through a check, so that a number from a peer or a user
//! cannot become an index without having been looked at.

use core::fmt;

/// How many nodes there can be; every [`NodeId`] is below it.
pub const NODE_MAX: usize = 64;

/// A node: one kernel. Small, dense, the same on every node; node 0 is the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u8);

impl NodeId {
    /// The kernel that the machine booted.
    pub const PRIMARY: NodeId = NodeId(0);

    /// The node with this number, or `None` if it is not below [`NODE_MAX`].
    pub const fn new(id: u64) -> Option<Self> {
        if id < NODE_MAX as u64 {
            Some(Self(id as u8))
        } else {
            None
        }
    }

    /// As an index below [`NODE_MAX`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// As it travels.
    pub const fn get(self) -> u16 {
        self.0 as u16
    }

    /// Every node id that there can be, in order.
    pub fn all() -> impl Iterator<Item = NodeId> {
        (0..NODE_MAX as u8).map(NodeId)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One life of a node: a node that restarts has another one, so that what was meant for the old
/// life is not taken for the new. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Incarnation(core::num::NonZeroU64);

impl Incarnation {
    /// From the wire; zero is no incarnation.
    pub const fn new(raw: u64) -> Option<Self> {
        match core::num::NonZeroU64::new(raw) {
            Some(n) => Some(Self(n)),
            None => None,
        }
    }

    /// As it travels.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

/// A request that waits for its response: a slot in the requester's table, and how often that slot
/// was used before. A late response carries an old generation and finds nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId {
    slot: u32,
    generation: u32,
}

impl RequestId {
    /// Generation 0 is never in use, so that the id 0 means "no request".
    pub const NONE: u64 = 0;

    /// From its parts.
    pub const fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation }
    }

    /// From the wire. Any value is an id; the table that it is looked up in has the last word.
    pub const fn from_wire(raw: u64) -> Self {
        Self {
            slot: raw as u32,
            generation: (raw >> 32) as u32,
        }
    }

    /// As it travels.
    pub const fn to_wire(self) -> u64 {
        ((self.generation as u64) << 32) | self.slot as u64
    }

    /// The slot; not yet checked against any table.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    /// The generation.
    pub const fn generation(self) -> u32 {
        self.generation
    }

    /// The generation that a slot has after this one: never 0.
    pub const fn next_generation(generation: u32) -> u32 {
        match generation.wrapping_add(1) {
            0 => 1,
            n => n,
        }
    }
}

/// Why a message is sent: chosen by the sender, carried in each header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Nobody answers.
    OneWay,
    /// A [`Class::Response`] with the same request id must follow.
    Request,
    /// The answer to a request.
    Response,
}

impl Class {
    /// From the wire.
    pub const fn new(raw: u8) -> Option<Self> {
        match raw {
            1 => Some(Class::OneWay),
            2 => Some(Class::Request),
            3 => Some(Class::Response),
            _ => None,
        }
    }

    /// As it travels.
    pub const fn get(self) -> u8 {
        match self {
            Class::OneWay => 1,
            Class::Request => 2,
            Class::Response => 3,
        }
    }
}
