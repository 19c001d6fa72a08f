// SPDX-License-Identifier: GPL-2.0
//! What is given to the socket at once: a frame that is no message, then packets.

use super::FRONT;
use crate::tcp::end::End;
use crate::tcp::queue::Packet;

use kernel::prelude::*;
use kernel::sync::Arc;

use core::ops::Range;
use popcorn_core::membership::view::SAID_MAX;
use popcorn_core::stream::frame::HEAD_SIZE;
use popcorn_core::stream::Frame;
use popcorn_core::stream::Head;
use popcorn_core::stream::Hello;
use popcorn_core::window::Lane;
use popcorn_core::wire::Wire;
use popcorn_kernel::pages::PageBuffer;
use popcorn_kernel::socket::Socket;
use popcorn_kernel::socket::PARTS_MAX;

/// Packets that are sent at once.
const BATCH: usize = 8;
/// Slices that are sent at once: the frame that is no message; of each packet, what is before the payload and the bytes
/// that this begins with.
const SLICES_MAX: usize = 1 + 2 * BATCH;
const _: () = assert!(SLICES_MAX <= PARTS_MAX);
/// The longest frame that is no message.
const SMALL_MAX: usize = HEAD_SIZE + SAID_MAX;
const _: () = assert!(Hello::SIZE <= SAID_MAX);

/// Packets that are being sent.
pub(super) struct Batch {
    fronts: [[u8; FRONT]; BATCH],
    packets: [Option<(Lane, u64, Arc<Packet>)>; BATCH],
    /// A frame that is no message, sent before them.
    pub(super) small: [u8; SMALL_MAX],
    pub(super) small_length: usize,
    count: usize,
    /// Bytes of all that, and how many of them the socket has taken.
    pub(super) total: usize,
    pub(super) done: usize,
}

impl Batch {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self {
            fronts: [[0; FRONT]; BATCH],
            packets: [const { None }; BATCH],
            small: [0; SMALL_MAX],
            small_length: 0,
            count: 0,
            total: 0,
            done: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        self.packets = [const { None }; BATCH];
        self.small_length = 0;
        self.count = 0;
        self.total = 0;
        self.done = 0;
    }

    /// Takes the next packets of `end`; whether there are some.
    pub(super) fn fill(&mut self, end: &End, acknowledged: [u64; 2]) -> bool {
        self.count = end.next(&mut self.packets);
        for (front, packet) in self.fronts.iter_mut().zip(self.packets.iter().flatten()) {
            let (lane, sequence, packet) = packet;
            let head = Head {
                frame: Frame::Message(*lane),
                length: packet.length() as u32,
                acknowledged,
            };
            let mut header = packet.header;
            header.sequence = *sequence;
            let (first, rest) = front.split_at_mut(HEAD_SIZE);
            first.copy_from_slice(&head.encode());
            rest.copy_from_slice(&header.encode());
            self.total += HEAD_SIZE + packet.length();
        }
        self.count != 0
    }

    /// What is sent, in order, without what the socket has taken.
    fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        let small = self.small.get(..self.small_length).unwrap_or(&[]);
        let packets = self.packets.iter().flatten().take(self.count);
        let rest = self
            .fronts
            .iter()
            .zip(packets)
            .flat_map(|(front, (_, _, packet))| {
                let payload = &packet.payload;
                let bytes = [&front[..], payload.bytes()].map(Segment::Bytes);
                let pages = payload.pages();
                let pages = pages.map(|(pages, length)| Segment::Pages(pages, 0..length));
                Iterator::chain(bytes.into_iter(), pages)
            });
        let mut skip = self.done;
        Iterator::chain(core::iter::once(Segment::Bytes(small)), rest).filter_map(move |segment| {
            let passed = skip.min(segment.len());
            skip -= passed;
            segment.without(passed)
        })
    }

    /// The pages that come next, as many as are sent at once; none if it is something else.
    fn pages(&self) -> impl Iterator<Item = (&PageBuffer, Range<usize>)> {
        let pages = self.segments().map_while(|segment| match segment {
            Segment::Bytes(_) => None,
            Segment::Pages(pages, range) => Some((pages, range)),
        });
        pages.take(PARTS_MAX)
    }

    /// Gives the socket what is left, up to pages or the end of them, without waiting; how much it took.
    pub(super) fn push(&mut self, socket: &Socket) -> Result<usize> {
        let mut slices: [&[u8]; SLICES_MAX] = [&[]; SLICES_MAX];
        let mut number = 0;
        let mut is_before_pages = false;
        for segment in self.segments() {
            let (Segment::Bytes(bytes), Some(slot)) = (segment, slices.get_mut(number)) else {
                is_before_pages = true;
                break;
            };
            *slot = bytes;
            number += 1;
        }
        let slices = slices.get(..number).unwrap_or(&[]);
        let sent = if slices.is_empty() {
            let length: usize = self.pages().map(|(_, range)| range.len()).sum();
            let more = self.done + length < self.total;
            socket.try_send_ranges(self.pages(), more)?
        } else {
            socket.try_send(slices, is_before_pages)?
        };
        self.done += sent;
        Ok(sent)
    }
}

/// A piece of what is sent.
enum Segment<'a> {
    Bytes(&'a [u8]),
    /// The network may refer to these instead of copying them.
    Pages(&'a PageBuffer, Range<usize>),
}

impl Segment<'_> {
    fn len(&self) -> usize {
        match self {
            Segment::Bytes(bytes) => bytes.len(),
            Segment::Pages(_, range) => range.len(),
        }
    }

    /// What is left of it, if something is.
    fn without(self, passed: usize) -> Option<Self> {
        if passed == self.len() {
            return None;
        }
        match self {
            Segment::Bytes(bytes) => bytes.get(passed..).map(Segment::Bytes),
            Segment::Pages(pages, range) => {
                Some(Segment::Pages(pages, range.start + passed..range.end))
            }
        }
    }
}
