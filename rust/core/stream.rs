// SPDX-License-Identifier: GPL-2.0
//! Messages over a byte stream: how two nodes of different machines talk (TCP, or TLS over it).
//!
//! Two nodes have a *session*: a pair of lives, one of each side ([`Incarnation`](crate::ids::Incarnation)).
//! It outlives the connections that carry it. Each pair has two connections, so that what is urgent
//! never waits behind pages ([`Channel`]); on each there are two [`Lane`](crate::window::Lane)s per
//! direction, as in a window, with a bounded [`Outgoing`] of their own.
//!
//! | part | what |
//! |---|---|
//! | [`frame`] | what stands in front of everything: kind, lane, length, acknowledgements |
//! | [`attempts`] | which hello is the later one |
//! | [`hello`] | the first frame of each connection: who, of which life, how far |
//! | [`meeting`] | what a hello means for a session: begin, go on, end |
//! | [`lane`] | sequence, acknowledgement, replay window |
//!
//! # No message is lost or doubled
//!
//! A sender keeps each message until it was acknowledged. A connection delivers in order or breaks; on
//! the next one each side says how many messages of each lane it has received, and the other sends on
//! from exactly there. So the sequence number of a message is always the expected one, and any other
//! is a fault of the peer. A session ends with one of its lives: when a side leaves, is given up for
//! dead, or finds that the other began anew.
//!
//! # No side is flooded
//!
//! Responses are acknowledged when they have come, for they are taken without waiting. Requests are
//! acknowledged only when they are *taken*: a receiver that is busy lets them lie, and never has to keep more
//! than a lane's window of them. So it need not stop reading, and a response never waits behind them.

pub mod attempts;
pub mod frame;
pub mod hello;
pub mod lane;
pub mod meeting;

pub use attempts::Attempts;
pub use frame::Frame;
pub use frame::Head;
pub use hello::Hello;
pub use lane::Incoming;
pub use lane::Outgoing;

/// Raised whenever frames, hellos or their meaning change.
pub const VERSION: u32 = 2;

/// The connections of a pair of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Requests, and responses that are short; who is a member.
    Urgent,
    /// Responses with pages, and one-way messages that are sent as bulk.
    Bulk,
}

impl Channel {
    /// Both.
    pub const ALL: [Channel; 2] = [Channel::Urgent, Channel::Bulk];

    /// From the wire.
    pub const fn new(raw: u32) -> Option<Self> {
        match raw {
            0 => Some(Channel::Urgent),
            1 => Some(Channel::Bulk),
            _ => None,
        }
    }

    /// As it travels.
    pub const fn get(self) -> u32 {
        self.index() as u32
    }

    /// 0 or 1.
    pub const fn index(self) -> usize {
        match self {
            Channel::Urgent => 0,
            Channel::Bulk => 1,
        }
    }
}
