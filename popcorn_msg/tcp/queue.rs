// SPDX-License-Identifier: GPL-2.0
//! What was sent on a lane and not yet acknowledged: it is sent again on the next connection.

use kernel::prelude::*;
use kernel::sync::Arc;

use popcorn_core::stream::lane::Fault;
use popcorn_core::stream::lane::Full;
use popcorn_core::stream::lane::MESSAGES_MAX;
use popcorn_core::stream::Outgoing;
use popcorn_core::wire::Header;
use popcorn_core::wire::HEADER_SIZE;
use popcorn_kernel::pages::PageBuffer;

/// Packets that are let go at once.
const RELEASED_AT_ONCE: usize = 32;

/// Payloads from this length on are kept in pages, which the network need not copy.
const PAGES_FROM: usize = 4096;

/// The payload of a packet.
pub(super) enum Payload {
    Bytes(KVVec<u8>),
    /// So many bytes of it.
    Pages(PageBuffer, usize),
}

impl Payload {
    /// Copies one. Sleeps only for memory, if that is allowed.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(parts: &[&[u8]], length: usize, may_sleep: bool) -> Result<Self> {
        if may_sleep && length >= PAGES_FROM {
            // What is large and cannot be had in one piece is copied once more.
            if let Ok(mut pages) = PageBuffer::new(length) {
                if let Some(room) = pages.writable() {
                    let mut at = 0;
                    for part in parts {
                        let to = room.get_mut(at..at + part.len()).ok_or(EINVAL)?;
                        to.copy_from_slice(part);
                        at += part.len();
                    }
                    return Ok(Payload::Pages(pages, length));
                }
            }
        }
        let flags = if may_sleep { GFP_KERNEL } else { GFP_NOWAIT };
        let mut bytes = KVVec::with_capacity(length, flags)?;
        for part in parts {
            bytes.extend_from_slice(part, flags)?;
        }
        Ok(Payload::Bytes(bytes))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Payload::Bytes(bytes) => bytes.len(),
            Payload::Pages(_, length) => *length,
        }
    }
}

/// A message that is kept until it was acknowledged.
pub(super) struct Packet {
    /// Its sequence number is that of its place in the queue.
    pub(super) header: Header,
    pub(super) payload: Payload,
}

impl Packet {
    pub(super) fn length(&self) -> usize {
        HEADER_SIZE + self.payload.len()
    }
}

/// Packets that are no longer needed: to be dropped where one may sleep.
pub(super) type Released = [Option<Arc<Packet>>; RELEASED_AT_ONCE];

/// The sending end of a lane, with its packets.
///
/// # Invariants
///
/// The packet with number `n` of those that are not acknowledged is in `kept[n % MESSAGES_MAX]`.
pub(super) struct Queue {
    window: Outgoing,
    kept: KVVec<Option<Arc<Packet>>>,
}

fn place(sequence: u64) -> usize {
    (sequence % MESSAGES_MAX as u64) as usize
}

impl Queue {
    /// An empty one. May sleep.
    pub(super) fn new() -> Result<Self> {
        let mut kept = KVVec::with_capacity(MESSAGES_MAX, GFP_KERNEL)?;
        for _ in 0..MESSAGES_MAX {
            kept.push(None, GFP_KERNEL)?;
        }
        Ok(Self {
            window: Outgoing::new(),
            kept,
        })
    }

    /// Whether a message of `bytes`, header included, would be taken.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.window.has_room(bytes)
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.window.acknowledged()
    }

    /// Whether all was acknowledged.
    pub(super) fn is_empty(&self) -> bool {
        self.window.acknowledged() == self.window.taken()
    }

    /// Takes a packet.
    pub(super) fn push(&mut self, packet: Arc<Packet>) -> core::result::Result<(), Full> {
        let sequence = self.window.push(packet.length())?;
        if let Some(slot) = self.kept.get_mut(place(sequence)) {
            *slot = Some(packet);
        }
        Ok(())
    }

    /// The next packet to be sent on this connection, and its number.
    pub(super) fn next(&mut self) -> Option<(u64, Arc<Packet>)> {
        let sequence = self.window.unsent()?;
        let packet = self.kept.get(place(sequence))?.as_ref()?.clone();
        self.window.mark_sent();
        Some((sequence, packet))
    }

    /// The peer has what comes before `to`. Moves packets into `released`; true if there are more.
    pub(super) fn acknowledge(
        &mut self,
        to: u64,
        released: &mut Released,
    ) -> core::result::Result<bool, Fault> {
        let from = self.window.acknowledged();
        let step = to.min(from.saturating_add(RELEASED_AT_ONCE as u64));
        let kept = &mut self.kept;
        let mut slots = released.iter_mut();
        // If `to` cannot be, nor can `step`, but for one that is too far: that comes out at the end.
        self.window.acknowledge(step, |sequence| {
            let packet = kept.get_mut(place(sequence)).and_then(Option::take);
            let bytes = packet.as_ref().map_or(0, |packet| packet.length());
            if let Some(slot) = slots.next() {
                *slot = packet;
            }
            bytes
        })?;
        Ok(step < to)
    }

    /// On a new connection: all that the peer has not received is sent again. Calls `retry` with the type of each
    /// message of which that is true.
    pub(super) fn rewind(
        &mut self,
        received: u64,
        mut retry: impl FnMut(u16),
    ) -> core::result::Result<(), Fault> {
        let sent = self.window.sent();
        self.window.rewind(received)?;
        for sequence in received..sent {
            if let Some(Some(packet)) = self.kept.get(place(sequence)) {
                retry(packet.header.kind);
            }
        }
        Ok(())
    }
}
