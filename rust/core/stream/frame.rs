// SPDX-License-Identifier: GPL-2.0
//! Frames: all that travels on a connection.
//!
//! | bytes | field |
//! |---|---|
//! | 0..4 | magic |
//! | 4 | kind |
//! | 5 | lane: of a message; else 0 |
//! | 6..8 | zero |
//! | 8..12 | length of what follows |
//! | 12..16 | zero |
//! | 16..24 | requests and one-way messages that the sender has taken |
//! | 24..32 | responses that it has received |

use super::hello;
use crate::membership::view::SAID_MAX;
use crate::membership::view::SAID_MIN;
use crate::window::Lane;
use crate::wire::Field;
use crate::wire::Wire;
use crate::wire::WireError;
use crate::wire::HEADER_SIZE;
use crate::wire::PAYLOAD_MAX;

/// Marks the begin of each frame: "PCNS".
pub const MAGIC: u32 = u32::from_le_bytes(*b"PCNS");
/// Bytes of a head.
pub const HEAD_SIZE: usize = 32;
/// The longest body: a message with its header.
pub const BODY_MAX: usize = HEADER_SIZE + PAYLOAD_MAX;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The first of each connection, in each direction: a [`Hello`](hello::Hello).
    Hello,
    /// A message: header and payload.
    Message(Lane),
    /// A heartbeat, with the acknowledgements in its head: a [`Beat`](hello::Beat).
    Beat,
    /// The last one: why the sender ends the session, a [`Goodbye`](hello::Goodbye).
    Goodbye,
    /// A heartbeat that says who is a member: a [`Said`](crate::membership::view::Said), on the urgent
    /// connection.
    View,
}

impl Frame {
    /// Whether a body of this many bytes can be one of such a frame.
    fn takes(self, length: usize) -> bool {
        match self {
            // Its version is to be heard, whatever it is.
            Frame::Hello => (hello::LENGTH_MIN..=hello::LENGTH_MAX).contains(&length),
            Frame::Message(_) => (HEADER_SIZE..=BODY_MAX).contains(&length),
            Frame::Beat => length == hello::Beat::SIZE,
            Frame::Goodbye => length == hello::Goodbye::SIZE,
            Frame::View => (SAID_MIN..=SAID_MAX).contains(&length) && length % 8 == 0,
        }
    }
}

/// The index of a lane in arrays of two.
pub const fn lane_index(lane: Lane) -> usize {
    match lane {
        Lane::Requests => 0,
        Lane::Responses => 1,
    }
}

/// What stands in front of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What follows.
    pub frame: Frame,
    /// How many bytes of it.
    pub length: u32,
    /// How many messages of each lane the sender has taken, since the session began.
    pub acknowledged: [u64; 2],
}

impl Head {
    /// As bytes.
    pub fn encode(&self) -> [u8; HEAD_SIZE] {
        let (kind, lane) = match self.frame {
            Frame::Hello => (1, 0),
            Frame::Message(lane) => (2, lane_index(lane) as u8),
            Frame::Beat => (3, 0),
            Frame::Goodbye => (4, 0),
            Frame::View => (5, 0),
        };
        let mut out = [0; HEAD_SIZE];
        out[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[4] = kind;
        out[5] = lane;
        out[8..12].copy_from_slice(&self.length.to_le_bytes());
        out[16..24].copy_from_slice(&self.acknowledged[0].to_le_bytes());
        out[24..32].copy_from_slice(&self.acknowledged[1].to_le_bytes());
        out
    }

    /// From bytes that a peer wrote.
    ///
    /// # Errors
    ///
    /// Every field is checked; what comes back encodes to the same bytes.
    pub fn decode(bytes: &[u8; HEAD_SIZE]) -> Result<Self, WireError> {
        if u32::from_field(&bytes[0..4]) != MAGIC {
            return Err(WireError::Magic);
        }
        let frame = match (bytes[4], bytes[5]) {
            (1, 0) => Frame::Hello,
            (2, 0) => Frame::Message(Lane::Requests),
            (2, 1) => Frame::Message(Lane::Responses),
            (3, 0) => Frame::Beat,
            (4, 0) => Frame::Goodbye,
            (5, 0) => Frame::View,
            _ => return Err(WireError::Field("kind")),
        };
        if bytes[6..8].iter().chain(&bytes[12..16]).any(|&b| b != 0) {
            return Err(WireError::Field("reserved"));
        }
        let length = u32::from_field(&bytes[8..12]);
        if !frame.takes(length as usize) {
            return Err(WireError::Length);
        }
        Ok(Self {
            frame,
            length,
            acknowledged: [
                u64::from_field(&bytes[16..24]),
                u64::from_field(&bytes[24..32]),
            ],
        })
    }
}
