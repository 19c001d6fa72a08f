// SPDX-License-Identifier: GPL-2.0
//! How messages get to a peer: what a link asks of the memory or the network between the two.
//!
//! | transport | between |
//! |---|---|
//! | [`shm`](crate::shm) | kernels of one machine |
//! | [`tcp`](crate::tcp) | machines; in the clear, or by TLS |
//!
//! Each has threads of its own, which receive, and alone change the state of the link
//! ([`life`](crate::life)).

use crate::link::Link;
use crate::link::SendError;
use crate::parts::Parts;
#[cfg(CONFIG_KUNIT)]
use crate::tcp::Copied;

use kernel::sync::Arc;

use popcorn_core::ids::Class;
use popcorn_core::ids::Incarnation;
#[cfg(CONFIG_KUNIT)]
use popcorn_core::stream::Channel;
use popcorn_core::window::Lane;
use popcorn_core::wire::Header;

/// Whom a message is for, of all that the peer has been and will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meant {
    /// Who asked, in this life.
    Life(Incarnation),
    /// Whom this side met in this session ([`Link::online`]): what was begun in one is over with it.
    Session(u64),
}

impl Meant {
    /// Whether it is the peer in that life and session.
    pub(crate) fn is(self, life: Incarnation, session: u64) -> bool {
        match self {
            Self::Life(meant) => meant == life,
            Self::Session(meant) => meant == session,
        }
    }
}

/// A message on its way out.
pub(crate) struct Outbound<'a> {
    pub(crate) meant: Meant,
    /// Message type.
    pub(crate) kind: u16,
    pub(crate) class: Class,
    /// Responses: 0 or a negative errno.
    pub(crate) status: i32,
    /// Request id, or 0.
    pub(crate) request: u64,
    /// The payload; together no longer than a message can be, at most
    /// [`PARTS_MAX`](crate::link::PARTS_MAX).
    pub(crate) parts: Parts<'a>,
    /// Bytes of it.
    pub(crate) length: usize,
    /// Whether it is of those that come in masses: others go before it, and may overtake it.
    pub(crate) is_bulk: bool,
    /// Whether the caller may sleep for memory.
    pub(crate) may_sleep: bool,
}

impl Outbound<'_> {
    /// Where it goes.
    pub(crate) fn lane(&self) -> Lane {
        match self.class {
            Class::Response => Lane::Responses,
            Class::OneWay | Class::Request => Lane::Requests,
        }
    }

    /// As the peer of `link` gets it, with the number and the life of its sender that the transport gives it.
    pub(crate) fn header(&self, link: &Link, sequence: u64, incarnation: Incarnation) -> Header {
        Header {
            kind: self.kind,
            class: self.class,
            flags: 0,
            source: link.own(),
            destination: link.peer(),
            length: self.length as u32,
            status: self.status,
            sequence,
            request: self.request,
            incarnation,
        }
    }
}

/// See the module.
pub(crate) trait Transport: Send + Sync {
    /// Puts one message on its way, and wakes the peer if it sleeps. Does not sleep but for memory.
    fn send(&self, link: &Link, message: &Outbound<'_>) -> Result<(), SendError>;

    /// Whether there is room for a response of any length.
    fn has_room_for_response(&self) -> bool;

    /// Whether there would still be room for other requests if one with a payload of `length` bytes were
    /// sent as bulk.
    fn has_room_for_bulk(&self, length: usize) -> bool;

    /// Whether the two are kernels of one machine, so that one can read the other's memory.
    fn shares_memory(&self) -> bool;

    /// Makes the threads look around. Any context but NMI.
    fn kick(&self);

    /// Lets a caller [poll](Self::poll) for its response instead of sleeping, or has the link's thread look all the
    /// time for it; or ends that. False: the link is closed.
    fn set_polling(&self, link: &Link, polling: bool) -> bool;

    /// Drains what is there, if a caller can and nobody else does so now; how many messages there were.
    fn poll(&self, link: &Arc<Link>) -> usize;

    /// What was copied of long payloads on a channel, between machines.
    #[cfg(CONFIG_KUNIT)]
    fn copied(&self, _channel: Channel) -> Copied {
        Copied::default()
    }
}
