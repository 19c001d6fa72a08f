// SPDX-License-Identifier: GPL-2.0
//! Where a frame of the virtual network goes.
//!
//! Each node has one address, made from its id ([`address_of`]), so nothing has to be learnt. The primary
//! shares a window with each other node, and they only with it: so it relays what one of them has for
//! another. A frame that was relayed is never relayed again, for only the primary does so, and only what
//! came from the node whose turn it was to send; so it crosses two windows at most, and none comes back.
//!
//! An address that is of no node (a host outside, behind a bridge) is looked for at the primary by others, and
//! everywhere by the primary itself; what another node sends there is the primary's, and goes to no third node.

use crate::ids::NodeId;
use crate::ids::NODE_MAX;

/// An Ethernet address.
pub type Address = [u8; 6];

/// What the addresses of all nodes begin with: of one station, locally administered, "PCN", 0.
const PREFIX: [u8; 5] = [0x02, b'P', b'C', b'N', 0];
/// Set in the first byte of an address that means many.
const GROUP: u8 = 1;

/// The address of a node.
pub const fn address_of(node: NodeId) -> Address {
    let [a, b, c, d, e] = PREFIX;
    [a, b, c, d, e, node.get() as u8]
}

/// Whom an address means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Station {
    /// A node.
    Node(NodeId),
    /// All, or some of which nobody here knows who they are.
    Group,
    /// Somebody else.
    Other,
}

impl Station {
    /// Of an address.
    pub fn of(address: &Address) -> Self {
        let [first, .., id] = *address;
        if first & GROUP != 0 {
            return Self::Group;
        }
        match NodeId::new(id.into()) {
            Some(node) if *address == address_of(node) => Self::Node(node),
            _ => Self::Other,
        }
    }
}

/// Some of the nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeSet(u64);

const _: () = assert!(NODE_MAX <= u64::BITS as usize);

impl NodeSet {
    /// None of them.
    pub const EMPTY: Self = Self(0);

    /// From a number that [`NodeSet::get`] gave.
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// As a number, for places that hold no more.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// One node.
    pub const fn one(node: NodeId) -> Self {
        Self(1 << node.index())
    }

    /// With one more.
    pub const fn with(self, node: NodeId) -> Self {
        Self(self.0 | (1 << node.index()))
    }

    /// Without one.
    pub const fn without(self, node: NodeId) -> Self {
        Self(self.0 & !(1 << node.index()))
    }

    /// Those that are in both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether it is one of them.
    pub const fn contains(self, node: NodeId) -> bool {
        self.0 & (1 << node.index()) != 0
    }

    /// How many there are.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them, by id.
    pub fn iter(self) -> impl Iterator<Item = NodeId> {
        NodeId::all().filter(move |node| self.contains(*node))
    }
}

/// Where a frame goes that this node's own network stack sends; `online` are those that messages can be sent
/// to. Empty: there is nobody.
pub fn sent(own: NodeId, to: &Address, online: NodeSet) -> NodeSet {
    let online = online.without(own);
    // It knows the others, and relays to them.
    let by_primary = own != NodeId::PRIMARY && online.contains(NodeId::PRIMARY);
    match Station::of(to) {
        Station::Node(node) if node == own => NodeSet::EMPTY,
        Station::Node(node) if online.contains(node) => NodeSet::one(node),
        Station::Node(_) if !by_primary => NodeSet::EMPTY,
        Station::Group | Station::Other if !by_primary => online,
        _ => NodeSet::one(NodeId::PRIMARY),
    }
}

/// What becomes of a frame that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// It is for this node's own network stack.
    pub up: bool,
    /// It is sent on to these.
    pub relay: NodeSet,
}

/// The frame says that it is from another node than it can be from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged;

/// Where a frame goes that came from a node.
///
/// # Errors
///
/// [`Forged`]: its source is the address of a node that did not send it. What the primary relays may be from
/// any node but this one.
pub fn received(
    own: NodeId,
    from: NodeId,
    to: &Address,
    source: &Address,
    online: NodeSet,
) -> Result<Received, Forged> {
    if let Station::Node(node) = Station::of(source) {
        let by_primary = from == NodeId::PRIMARY && node != own;
        if node != from && !by_primary {
            return Err(Forged);
        }
    }
    let here = Received {
        up: true,
        relay: NodeSet::EMPTY,
    };
    if own != NodeId::PRIMARY {
        return Ok(here);
    }
    let others = online.without(own).without(from);
    Ok(match Station::of(to) {
        Station::Node(node) if node == own => here,
        Station::Node(node) => Received {
            up: false,
            relay: NodeSet::one(node).and(others),
        },
        Station::Group => Received {
            up: true,
            relay: others,
        },
        Station::Other => here,
    })
}
