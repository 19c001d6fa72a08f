// SPDX-License-Identifier: GPL-2.0
//! What was sent on a lane and not yet acknowledged: it is sent again on the next connection.

use super::copies::LONG;
use crate::parts::Parts;

use kernel::alloc::Flags;
use kernel::prelude::*;
use kernel::sync::Arc;

use popcorn_core::stream::lane::Fault;
use popcorn_core::stream::lane::Full;
use popcorn_core::stream::lane::MESSAGES_MAX;
use popcorn_core::stream::Outgoing;
use popcorn_core::wire::Header;
use popcorn_core::wire::HEADER_SIZE;
use popcorn_kernel::bytes::unwarned;
use popcorn_kernel::pages::PageBuffer;

/// Packets that are let go at once.
const RELEASED_AT_ONCE: usize = 32;

/// The payload of a packet: bytes, then buffers of pages, which the network need not copy.
pub(super) struct Payload {
    bytes: KVVec<u8>,
    /// With each, how many bytes of it.
    pages: KVec<(Arc<PageBuffer>, usize)>,
    length: usize,
    kept: usize,
}

impl Payload {
    /// One of these parts, which are `length` bytes together. Those in buffers of pages are kept as they are, if it is
    /// [long](LONG), all else is copied. Sleeps only for memory, if that is allowed.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(parts: Parts<'_>, length: usize, may_sleep: bool) -> Result<Self> {
        if length >= LONG {
            // What is large and cannot be had in one piece is copied once more.
            if let Ok(payload) = Self::in_pages(parts, length, may_sleep) {
                return Ok(payload);
            }
        }
        let slices = parts.slices().iter().copied();
        Ok(Self {
            bytes: gathered(slices, length, may_sleep)?,
            pages: KVec::new(),
            length,
            kept: 0,
        })
    }

    fn in_pages(parts: Parts<'_>, length: usize, may_sleep: bool) -> Result<Self> {
        let mut payload = Self {
            bytes: KVVec::new(),
            pages: KVec::new(),
            length,
            kept: 0,
        };
        let mut parts = parts.iter();
        loop {
            // Up to the next that is kept.
            let run = parts
                .clone()
                .map_while(|(slice, owner)| owner.is_none().then_some(slice));
            let number = run.clone().count();
            payload.copy(run, may_sleep)?;
            let Some((slice, Some(owner))) = parts.nth(number) else {
                return Ok(payload);
            };
            payload.keep(owner.clone(), slice.len(), may_sleep)?;
            payload.kept += slice.len();
        }
    }

    /// Copies what comes next: to the bytes in front, if nothing is before it and it is short, or may not sleep.
    fn copy<'a>(
        &mut self,
        slices: impl Iterator<Item = &'a [u8]> + Clone,
        may_sleep: bool,
    ) -> Result {
        let length: usize = slices.clone().map(<[u8]>::len).sum();
        if length == 0 {
            return Ok(());
        }
        if self.pages.is_empty() && (length < LONG || !may_sleep) {
            self.bytes = gathered(slices, length, may_sleep)?;
            return Ok(());
        }
        if !may_sleep {
            return Err(ENOMEM);
        }
        let mut pages = PageBuffer::new(length)?;
        let mut room = pages.writable().ok_or(EBUSY)?;
        for slice in slices {
            let (to, rest) = room.split_at_mut_checked(slice.len()).ok_or(EINVAL)?;
            to.copy_from_slice(slice);
            room = rest;
        }
        self.keep(Arc::new(pages, GFP_KERNEL)?, length, may_sleep)
    }

    fn keep(&mut self, pages: Arc<PageBuffer>, length: usize, may_sleep: bool) -> Result {
        Ok(self.pages.push((pages, length), flags(may_sleep))?)
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Bytes that were not copied.
    pub(super) fn kept(&self) -> usize {
        self.kept
    }

    /// What comes first.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// And then: so many bytes of each of these.
    pub(super) fn pages(&self) -> impl Iterator<Item = (&PageBuffer, usize)> {
        self.pages.iter().map(|(pages, length)| (&**pages, *length))
    }
}

fn flags(may_sleep: bool) -> Flags {
    if may_sleep {
        GFP_KERNEL
    } else {
        GFP_NOWAIT
    }
}

/// A copy of slices that are `length` bytes together.
fn gathered<'a>(
    slices: impl Iterator<Item = &'a [u8]>,
    length: usize,
    may_sleep: bool,
) -> Result<KVVec<u8>> {
    let flags = flags(may_sleep);
    let mut bytes = KVVec::with_capacity(length, unwarned(flags))?;
    for slice in slices {
        bytes.extend_from_slice(slice, flags)?;
    }
    Ok(bytes)
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
