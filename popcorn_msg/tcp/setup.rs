// SPDX-License-Identifier: GPL-2.0
//! What an administrator says of a peer.

use super::security::Security;

use popcorn_core::address::Address;
use popcorn_core::stream::Channel;
use popcorn_kernel::socket::Options;

/// Who makes the connections of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// This node, to that address.
    Connect(Address),
    /// The peer, to that address of ours.
    Listen(Address),
}

/// How a peer is reached.
pub(crate) struct Setup {
    pub(crate) role: Role,
    /// For who listens: the host that the peer's connections must come from; any if `None`.
    pub(crate) from: Option<Address>,
    pub(crate) security: Security,
}

impl Setup {
    /// For who listens: whether connections of the peer may come from that host.
    pub(super) fn may_come_from(&self, from: &Address) -> bool {
        self.from.is_none_or(|host| host.ip() == from.ip())
    }

    /// Where to connect to, if it is this node that does.
    pub(crate) fn target(&self) -> Option<Address> {
        match self.role {
            Role::Connect(address) => Some(address),
            Role::Listen(_) => None,
        }
    }
}

/// Of a connection: what is urgent goes first, if somebody queues.
pub(crate) fn options(channel: Channel) -> Options {
    Options {
        priority: match channel {
            Channel::Urgent => 6,
            Channel::Bulk => 0,
        },
        ..Options::default()
    }
}
