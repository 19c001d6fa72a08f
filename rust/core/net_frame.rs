// SPDX-License-Identifier: GPL-2.0
//! A frame of the virtual network in messages: what its head may say, and how pieces become a frame.
//!
//! A frame is an Ethernet frame as the network stack hands it to a driver: it may be as long as an IP
//! packet can be, its checksum may be missing, it may stand for many that are yet to be cut. One that does
//! not fit into a message goes in pieces ([`PIECE_MAX`]), in order, one queue's after the other's. A piece
//! that gets lost costs the frame, and nothing else.
//!
//! All that a head says is from a peer. The network stack believes what a driver says of a packet, and reads
//! and writes where it points: so [`Piece::new`] lets nothing pass that Linux does not make itself. What
//! lies *in* the frame is looked at by the stack, as in any frame from a wire.

use crate::proto::NetChecksum;
use crate::proto::NetFrame;
use crate::proto::NetSegments;
use crate::wire::Wire;

/// Bytes of an Ethernet header, without which there is no frame.
pub const FRAME_MIN: u32 = 14;
/// The largest MTU: what an IP packet can have.
pub const MTU_MAX: u32 = 65_535;
/// The longest frame: such a packet, the Ethernet header, two VLAN tags.
pub const FRAME_MAX: u32 = MTU_MAX + FRAME_MIN + 2 * 4;
/// The most bytes of a frame in one message. With the head they are half of what a message may have: the
/// receiver gets that much memory in one piece without trouble, and nobody waits long for the ring.
pub const PIECE_MAX: usize = 32 * 1024 - NetFrame::SIZE;
/// Queues that a sender may have.
pub const QUEUES_MAX: usize = 8;

/// Headers before a checksum are not longer: the receiver has to get them in one piece.
const HEADERS_MAX: u32 = 4096;
/// No transport header has its checksum farther from its begin.
const SUM_AT_MAX: u16 = 64;
/// Bytes of an IPv4 header without options.
const IP4: u32 = 20;
/// Bytes of an IPv6 header without extensions.
const IP6: u32 = 40;
/// Bytes of a TCP header without options, and where in it the checksum is.
const TCP: (u32, u16) = (20, 16);
/// Bytes of a UDP header, and where in it the checksum is.
const UDP: (u32, u16) = (8, 6);
/// The least payload that Linux sends in a TCP segment: less would make a packet thousands more.
const TCP_SIZE_MIN: u16 = 8;
/// Stands for something else in Linux (`GSO_BY_FRAGS`).
const SIZE_RESERVED: u16 = 0xffff;
/// The most segments of a UDP packet (`UDP_MAX_SEGMENTS`).
const UDP_SEGMENTS_MAX: u32 = 128;

/// What is wrong with a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// No frame has this length.
    Length,
    /// The piece is empty, or does not lie in the frame.
    Piece,
    /// There is no such queue.
    Queue,
    /// The checksum is not where one can be.
    Checksum,
    /// It cannot be cut so.
    Segments,
    /// A field that must be zero is not.
    Reserved,
}

/// What is known of a frame's checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Nothing: who wants to know must look.
    Unknown,
    /// It was found right.
    Right,
    /// It is yet to be made: of all bytes from `start` on, to be put `offset` bytes behind that.
    Missing {
        /// From the frame's first byte.
        start: u16,
        /// From `start`.
        offset: u16,
    },
}

/// How a frame is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// Never [`NetSegments::None`].
    pub kind: NetSegments,
    /// Bytes of payload of each.
    pub size: u16,
    /// TCP with congestion notification.
    pub congestion: bool,
}

/// What the network stack left for the hardware to do, of which there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offload {
    /// About the checksum.
    pub checksum: Checksum,
    /// `None`: it is one frame.
    pub segments: Option<Segments>,
}

impl Offload {
    /// A frame that is complete.
    pub const NONE: Self = Self {
        checksum: Checksum::Unknown,
        segments: None,
    };

    /// Whether it can be so in a frame of `length` bytes.
    ///
    /// # Errors
    ///
    /// [`FrameError::Checksum`], [`FrameError::Segments`].
    pub fn check(&self, length: u32) -> Result<(), FrameError> {
        let missing = match self.checksum {
            Checksum::Missing { start, offset } => {
                let start = u32::from(start);
                if !(FRAME_MIN + IP4..=HEADERS_MAX).contains(&start)
                    || offset > SUM_AT_MAX
                    || start + u32::from(offset) + 2 > length
                {
                    return Err(FrameError::Checksum);
                }
                Some((start, offset))
            }
            Checksum::Unknown | Checksum::Right => None,
        };
        let Some(segments) = self.segments else {
            return Ok(());
        };
        // The checksum of each segment has to be made, so that of all is missing.
        let (start, offset) = missing.ok_or(FrameError::Segments)?;
        let (ip, (header, sum_at)) = match segments.kind {
            NetSegments::Tcp4 => (IP4, TCP),
            NetSegments::Tcp6 => (IP6, TCP),
            NetSegments::Udp => (IP4, UDP),
            NetSegments::None => return Err(FrameError::Segments),
        };
        let payload = length
            .checked_sub(start + header)
            .ok_or(FrameError::Segments)?;
        if start < FRAME_MIN + ip || offset != sum_at || segments.size == SIZE_RESERVED {
            return Err(FrameError::Segments);
        }
        let fits = if segments.kind == NetSegments::Udp {
            // 0 makes none of any number.
            payload <= u32::from(segments.size) * UDP_SEGMENTS_MAX
                && segments.size != 0
                && !segments.congestion
        } else {
            segments.size >= TCP_SIZE_MIN
        };
        if fits {
            Ok(())
        } else {
            Err(FrameError::Segments)
        }
    }

    /// As it travels: the head of a frame, but for the offset of its pieces.
    pub fn head(&self, frame: u64, length: u32, queue: u16) -> NetFrame {
        let (checksum, checksum_start, checksum_offset) = match self.checksum {
            Checksum::Unknown => (NetChecksum::Unknown, 0, 0),
            Checksum::Right => (NetChecksum::Right, 0, 0),
            Checksum::Missing { start, offset } => (NetChecksum::Missing, start, offset),
        };
        let (segments, segment_size, congestion) = match self.segments {
            None => (NetSegments::None, 0, false),
            Some(s) => (s.kind, s.size, s.congestion),
        };
        NetFrame {
            frame,
            length,
            offset: 0,
            queue,
            checksum: checksum as u16,
            checksum_start,
            checksum_offset,
            segments: segments as u16,
            segment_size,
            congestion: u16::from(congestion),
            reserved: 0,
        }
    }

    fn of(head: &NetFrame) -> Result<Self, FrameError> {
        let places = head.checksum_start | head.checksum_offset;
        let checksum = match NetChecksum::new(head.checksum.into()) {
            Some(NetChecksum::Unknown) if places == 0 => Checksum::Unknown,
            Some(NetChecksum::Right) if places == 0 => Checksum::Right,
            Some(NetChecksum::Missing) => Checksum::Missing {
                start: head.checksum_start,
                offset: head.checksum_offset,
            },
            _ => return Err(FrameError::Checksum),
        };
        let segments = match NetSegments::new(head.segments.into()) {
            Some(NetSegments::None) if head.segment_size | head.congestion == 0 => None,
            Some(kind) if kind != NetSegments::None && head.congestion <= 1 => Some(Segments {
                kind,
                size: head.segment_size,
                congestion: head.congestion == 1,
            }),
            _ => return Err(FrameError::Segments),
        };
        let offload = Self { checksum, segments };
        offload.check(head.length)?;
        Ok(offload)
    }
}

/// A piece whose head was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    head: NetFrame,
    offload: Offload,
    bytes: u32,
}

impl Piece {
    /// Looks at the head of a message with so many bytes behind it.
    ///
    /// # Errors
    ///
    /// See [`FrameError`].
    pub fn new(head: NetFrame, bytes: usize) -> Result<Self, FrameError> {
        if !(FRAME_MIN..=FRAME_MAX).contains(&head.length) {
            return Err(FrameError::Length);
        }
        let bytes = u32::try_from(bytes).map_err(|_| FrameError::Piece)?;
        let end = head.offset.checked_add(bytes).ok_or(FrameError::Piece)?;
        if bytes == 0 || end > head.length {
            return Err(FrameError::Piece);
        }
        if usize::from(head.queue) >= QUEUES_MAX {
            return Err(FrameError::Queue);
        }
        if head.reserved != 0 {
            return Err(FrameError::Reserved);
        }
        Ok(Self {
            offload: Offload::of(&head)?,
            head,
            bytes,
        })
    }

    /// Bytes of the whole frame.
    pub fn length(&self) -> u32 {
        self.head.length
    }

    /// Where in the frame the piece begins.
    pub fn offset(&self) -> u32 {
        self.head.offset
    }

    /// The sender's queue; below [`QUEUES_MAX`].
    pub fn queue(&self) -> usize {
        usize::from(self.head.queue)
    }

    /// What is left to do with the frame.
    pub fn offload(&self) -> Offload {
        self.offload
    }

    fn end(&self) -> u32 {
        // No more than the length: see new().
        self.head.offset + self.bytes
    }

    fn is_last(&self) -> bool {
        self.end() == self.head.length
    }

    /// Whether it is the one behind `before`, of the same frame.
    fn follows(&self, before: &Piece) -> bool {
        let next = NetFrame {
            offset: before.end(),
            ..before.head
        };
        self.head == next
    }
}

/// What a piece is to the frame that its queue brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The frame, all of it.
    Whole,
    /// The first of several: a frame of [`Piece::length`] bytes begins with it.
    First,
    /// The next one.
    Next,
    /// The next one, and the last.
    Last,
    /// One of a frame whose begin was lost.
    Stray,
}

/// What [`Assembly::place`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// A frame that was begun before will not be completed.
    pub torn: bool,
    /// What to do with the piece.
    pub place: Place,
}

/// How far the frame is that one queue of one node brings.
///
/// # Invariants
///
/// The bytes before the end of `last` have come, each once and in order, and there are more to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Assembly {
    last: Option<Piece>,
}

impl Assembly {
    /// Nothing has begun.
    pub const fn new() -> Self {
        Self { last: None }
    }

    /// Whether a frame has begun.
    pub fn has_begun(&self) -> bool {
        self.last.is_some()
    }

    /// Where the next piece of this queue belongs.
    pub fn place(&mut self, piece: &Piece) -> Placed {
        let before = self.last.take();
        if let Some(before) = &before {
            if piece.follows(before) {
                let place = if piece.is_last() {
                    Place::Last
                } else {
                    self.last = Some(*piece);
                    Place::Next
                };
                return Placed { torn: false, place };
            }
        }
        let place = match (piece.offset(), piece.is_last()) {
            (0, true) => Place::Whole,
            (0, false) => {
                self.last = Some(*piece);
                Place::First
            }
            _ => Place::Stray,
        };
        Placed {
            torn: before.is_some(),
            place,
        }
    }

    /// There was no memory for the frame: its other pieces will be strays.
    pub fn forget(&mut self) {
        self.last = None;
    }
}
