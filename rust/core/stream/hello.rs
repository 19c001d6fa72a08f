// SPDX-License-Identifier: GPL-2.0
//! What frames that are no messages say.
//!
//! They are declared as messages are, for the codec; their numbers never travel in a header.

use super::meeting::Greeting;
use super::Channel;
use super::VERSION;
use crate::ids::Incarnation;
use crate::ids::NodeId;
use crate::window::Introduction;
use crate::window::NAME_LEN;
use crate::wire::Field;
use crate::wire::Wire;
use crate::wire::WireError;
use crate::wire_message;

/// Marks a hello, of whatever version: "POPCORNS".
pub const MAGIC: u64 = u64::from_le_bytes(*b"POPCORNS");
/// Where the version is; this and the magic before it are the same in all versions.
const VERSION_AT: core::ops::Range<usize> = 8..12;
/// The length of a hello, of whatever version: from.
pub const LENGTH_MIN: usize = VERSION_AT.end;
/// To.
pub const LENGTH_MAX: usize = 512;
const _: () = assert!(Hello::SIZE <= LENGTH_MAX);

wire_message! {
    /// The first frame of a connection, from both sides; from who connected first.
    pub struct Hello = 0x0010 {
        /// [`MAGIC`].
        magic: u64,
        /// [`VERSION`].
        version: u32,
        /// See [`Channel`].
        channel: u32,
        /// A hash of everything that the two must agree on.
        protocol: u64,
        /// The sender.
        source: u32,
        /// Whom it means.
        destination: u32,
        /// The sender's life.
        incarnation: u64,
        /// The life of the other that the sender has accepted, or 0.
        accepted: u64,
        /// Who connects: rises from one hello of this channel to the next ([`super::attempts`]). 0 in the answer.
        attempt: u64,
        /// How many messages of each lane of this channel it has received in that session.
        received: [u64; 2],
        /// Processors online there.
        cpus: u64,
        /// Bytes of memory it has.
        memory: u64,
        /// Host name, padded with zeros.
        name: [u8; 64],
    }

    /// A heartbeat. It says nothing yet beyond that its sender lives.
    pub struct Beat = 0x0011 {
        /// Counts on, from 1 in each session.
        count: u64,
    }

    /// The end of a session.
    pub struct Goodbye = 0x0012 {
        /// See [`Reason`].
        reason: u32,
        /// Zero.
        reserved: u32,
    }
}

/// Why a side ends a session, or does not begin one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It leaves in order.
    Left,
    /// That life of the other is not accepted: it was given up, or the session was another.
    Refused,
    /// The other broke the protocol.
    Fault,
}

impl Reason {
    /// From the wire.
    pub const fn new(raw: u32) -> Option<Self> {
        match raw {
            1 => Some(Reason::Left),
            2 => Some(Reason::Refused),
            3 => Some(Reason::Fault),
            _ => None,
        }
    }

    /// As it travels.
    pub const fn get(self) -> u32 {
        match self {
            Reason::Left => 1,
            Reason::Refused => 2,
            Reason::Fault => 3,
        }
    }
}

/// Why a hello is not one of a node that we can talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// No hello of ours at all.
    Magic,
    /// Another version of frames and hellos.
    Version(u32),
    /// Another protocol.
    Protocol(u64),
    /// A node id that cannot be, or is not this node's.
    Node(u32),
    /// A channel or life that cannot be.
    Field(&'static str),
}

/// What a checked hello says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Which connection it begins.
    pub channel: Channel,
    /// Who connects: which attempt it is ([`super::attempts`]).
    pub attempt: u64,
    /// How far its sender is.
    pub greeting: Greeting,
    /// Who its sender is.
    pub introduction: Introduction,
}

impl Hello {
    /// The hello that says this to `destination`.
    pub fn of(checked: &Checked, destination: NodeId) -> Self {
        let Checked {
            channel,
            attempt,
            greeting,
            introduction,
        } = checked;
        Self {
            magic: MAGIC,
            version: VERSION,
            channel: channel.get(),
            protocol: introduction.protocol,
            source: u32::from(introduction.node.get()),
            destination: u32::from(destination.get()),
            incarnation: greeting.own.get(),
            accepted: greeting.accepted.map_or(0, Incarnation::get),
            attempt: *attempt,
            received: greeting.received,
            cpus: introduction.cpus,
            memory: introduction.memory,
            name: introduction.name,
        }
    }

    /// From what a peer wrote. Of another version than ours only the magic and the version are read, and all else is
    /// zero: so whoever has it can say what is wrong.
    ///
    /// # Errors
    ///
    /// [`WireError::Length`]: no hello of its version has so many bytes.
    pub fn read(bytes: &[u8]) -> Result<Self, WireError> {
        let first = bytes.get(..LENGTH_MIN).ok_or(WireError::Length)?;
        if bytes.len() > LENGTH_MAX {
            return Err(WireError::Length);
        }
        if u32::from_field(&first[VERSION_AT]) == VERSION {
            return Self::decode(bytes);
        }
        let mut known = [0; Self::SIZE];
        known[..LENGTH_MIN].copy_from_slice(first);
        Self::decode(&known)
    }

    /// Looks whether it is one of a node that we can talk to.
    ///
    /// # Errors
    ///
    /// See [`Mismatch`].
    pub fn check(&self, own: NodeId, protocol: u64) -> Result<Checked, Mismatch> {
        const { assert!(NAME_LEN == 64) };
        if self.magic != MAGIC {
            return Err(Mismatch::Magic);
        }
        if self.version != VERSION {
            return Err(Mismatch::Version(self.version));
        }
        if self.protocol != protocol {
            return Err(Mismatch::Protocol(self.protocol));
        }
        let node = NodeId::new(u64::from(self.source)).filter(|&node| node != own);
        let node = node.ok_or(Mismatch::Node(self.source))?;
        if NodeId::new(u64::from(self.destination)) != Some(own) {
            return Err(Mismatch::Node(self.destination));
        }
        let life = Incarnation::new(self.incarnation).ok_or(Mismatch::Field("incarnation"))?;
        Ok(Checked {
            channel: Channel::new(self.channel).ok_or(Mismatch::Field("channel"))?,
            attempt: self.attempt,
            greeting: Greeting {
                own: life,
                accepted: Incarnation::new(self.accepted),
                received: self.received,
            },
            introduction: Introduction {
                node,
                incarnation: life,
                protocol,
                cpus: self.cpus,
                memory: self.memory,
                name: self.name,
            },
        })
    }
}
