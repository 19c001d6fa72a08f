// SPDX-License-Identifier: GPL-2.0
//! Packets of the network stack.
//!
//! Types say where one is from: a [`Draft`] is filled from its begin and becomes an [`Incoming`] only when it is
//! complete, so that no memory that was never written leaves; a [`Packet`] is only read, for its bytes may be
//! others', too.
//!
//! C header: `include/linux/skbuff.h`. C side: `helpers/packet.c`. No locks.

use crate::bindings;
use core::ops::Deref;
use core::ptr::NonNull;
use core::slice;
use kernel::error::to_result;
use kernel::ffi::c_uint;
use kernel::prelude::*;
use popcorn_core::net_frame::Checksum;
use popcorn_core::net_frame::Offload;
use popcorn_core::net_frame::Segments;
use popcorn_core::proto::NetSegments;

/// Parts of a packet that are told at once.
pub const PARTS_MAX: usize = bindings::pcn_packet_limits_PCN_PARTS_MAX as usize;

/// A packet that somebody sends, to be read. Dropping it counts as its loss; see [`Packet::consume`].
///
/// # Invariants
///
/// It is ours. Its bytes may be others', too, who only read them.
pub struct Packet(NonNull<bindings::pcn_packet>);

// SAFETY: a packet belongs to no thread.
unsafe impl Send for Packet {}

impl Packet {
    /// Bytes, from the Ethernet header on.
    pub fn length(&self) -> u32 {
        // SAFETY: valid by the invariant.
        unsafe { bindings::pcn_packet_length(self.0.as_ptr()) }
    }

    /// Copies bytes out.
    ///
    /// # Errors
    ///
    /// `EFAULT`: not all of them lie inside.
    pub fn read(&self, offset: u32, to: &mut [u8]) -> Result {
        let length = c_uint::try_from(to.len())?;
        // SAFETY: valid by the invariant; `to` has so many bytes.
        to_result(unsafe {
            bindings::pcn_packet_read(self.0.as_ptr(), offset, to.as_mut_ptr().cast(), length)
        })
    }

    /// Calls `then` with where the bytes from `offset` on are: at most `copy.len()` of them, in at most
    /// [`PARTS_MAX`] parts. What a program can write to meanwhile is copied first, to `copy`.
    ///
    /// # Errors
    ///
    /// `EFAULT`: there are no more bytes, or they cannot be read.
    pub fn with_parts<R>(
        &self,
        offset: u32,
        copy: &mut [u8],
        then: impl FnOnce(&[&[u8]]) -> R,
    ) -> Result<R> {
        let left = self.length().saturating_sub(offset);
        let length = copy.len().min(left as usize);
        if length == 0 {
            return Err(EFAULT);
        }
        let mut raw: [bindings::pcn_part; PARTS_MAX] = Default::default();
        // SAFETY: valid by the invariant; `raw` has room for as many parts as there can be.
        let count = unsafe {
            bindings::pcn_packet_parts(self.0.as_ptr(), offset, length as c_uint, raw.as_mut_ptr())
        } as usize;
        if count == 0 {
            let copy = copy.get_mut(..length).ok_or(EFAULT)?;
            self.read(offset, copy)?;
            return Ok(then(&[copy]));
        }
        let mut parts: [&[u8]; PARTS_MAX] = [&[]; PARTS_MAX];
        for (part, raw) in parts.iter_mut().zip(raw).take(count) {
            // SAFETY: so many bytes of the packet are there, which stay as long as it does, and which nobody
            // writes: those that somebody could write to are told by no part.
            *part = unsafe { slice::from_raw_parts(raw.start.cast(), raw.length) };
        }
        Ok(then(parts.get(..count).ok_or(EFAULT)?))
    }

    /// What is left to do with it.
    ///
    /// # Errors
    ///
    /// `EINVAL`: something that [`Offload`] cannot say.
    pub fn offload(&self) -> Result<Offload> {
        let mut raw = bindings::pcn_offload::default();
        // SAFETY: valid by the invariant; `raw` is ours.
        to_result(unsafe { bindings::pcn_packet_offload(self.0.as_ptr(), &mut raw) })?;
        from_raw(&raw)
    }

    /// The same packet once more. Does not sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn share(&self) -> Result<Self> {
        // SAFETY: valid by the invariant; this one is only read, too.
        let packet = unsafe { bindings::pcn_packet_share(self.0.as_ptr()) };
        // SAFETY: just made, for us.
        unsafe { Self::from_raw(packet) }.ok_or(ENOMEM)
    }

    /// It has got to where it should.
    pub fn consume(self) {
        // SAFETY: ours by the invariant, and given away.
        unsafe { bindings::pcn_packet_consume(self.into_raw()) };
    }

    /// # Safety
    ///
    /// Null, or a packet that is given to the caller.
    pub(super) unsafe fn from_raw(packet: *mut bindings::pcn_packet) -> Option<Self> {
        // INVARIANT: as required of the caller.
        NonNull::new(packet).map(Self)
    }

    /// Gives it away.
    fn into_raw(self) -> *mut bindings::pcn_packet {
        core::mem::ManuallyDrop::new(self).0.as_ptr()
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        // SAFETY: ours by the invariant, for the last time.
        unsafe { bindings::pcn_packet_drop(self.0.as_ptr()) };
    }
}

/// A packet that no network stack had before.
pub struct Incoming(Packet);

impl Incoming {
    /// Gives it away.
    pub(super) fn into_raw(self) -> *mut bindings::pcn_packet {
        self.0.into_raw()
    }

    /// Another one with the same bytes, and the same left to do. Does not sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn copy(&self) -> Result<Self> {
        // SAFETY: valid by the invariant of the packet.
        let packet = unsafe { bindings::pcn_packet_copy(self.0 .0.as_ptr()) };
        // INVARIANT: just made.
        Ok(Self(Packet(NonNull::new(packet).ok_or(ENOMEM)?)))
    }
}

impl Deref for Incoming {
    type Target = Packet;

    fn deref(&self) -> &Packet {
        &self.0
    }
}

/// A packet that is being filled.
///
/// # Invariants
///
/// The packet has `length` bytes, of which the first `filled` were written. Nobody else refers to them.
pub struct Draft {
    packet: Packet,
    filled: u32,
    length: u32,
}

impl Draft {
    /// One of `length` bytes. Does not sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also for a length that no packet has.
    pub fn new(length: u32) -> Result<Self> {
        // SAFETY: no requirement.
        let packet = unsafe { bindings::pcn_packet_new(length) };
        // INVARIANT: just made.
        Ok(Self {
            packet: Packet(NonNull::new(packet).ok_or(ENOMEM)?),
            filled: 0,
            length,
        })
    }

    /// Adds the next bytes.
    ///
    /// # Errors
    ///
    /// `EFAULT`: they do not fit.
    pub fn append(&mut self, bytes: &[u8]) -> Result {
        let length = c_uint::try_from(bytes.len())?;
        let end = self.filled.checked_add(length).ok_or(EFAULT)?;
        if end > self.length {
            return Err(EFAULT);
        }
        // SAFETY: valid by the invariant, and nobody else has its bytes.
        to_result(unsafe {
            bindings::pcn_packet_write(
                self.packet.0.as_ptr(),
                self.filled,
                bytes.as_ptr().cast(),
                length,
            )
        })?;
        // INVARIANT: all before were written, and now these.
        self.filled = end;
        Ok(())
    }

    /// The packet, with what is left to do with it, which may be from anybody: it is compared with the bytes.
    ///
    /// # Errors
    ///
    /// `EINVAL`: it does not fit the bytes, or some of these are missing.
    pub fn finish(self, offload: &Offload) -> Result<Incoming> {
        offload.check(self.length).map_err(|_| EINVAL)?;
        if self.filled != self.length {
            return Err(EINVAL);
        }
        // SAFETY: valid by the invariant, complete, and nobody else has it.
        to_result(unsafe {
            bindings::pcn_packet_set_offload(self.packet.0.as_ptr(), &to_raw(offload))
        })?;
        Ok(Incoming(self.packet))
    }
}

mod value {
    //! The numbers of `struct virtio_net_hdr`, as bytes.

    use crate::bindings;

    pub(super) const MISSING: u8 = bindings::pcn_offload_values_PCN_CHECKSUM_MISSING as u8;
    pub(super) const RIGHT: u8 = bindings::pcn_offload_values_PCN_CHECKSUM_RIGHT as u8;
    pub(super) const NONE: u8 = bindings::pcn_offload_values_PCN_SEGMENTS_NONE as u8;
    pub(super) const TCP4: u8 = bindings::pcn_offload_values_PCN_SEGMENTS_TCP4 as u8;
    pub(super) const TCP6: u8 = bindings::pcn_offload_values_PCN_SEGMENTS_TCP6 as u8;
    pub(super) const UDP: u8 = bindings::pcn_offload_values_PCN_SEGMENTS_UDP as u8;
    pub(super) const CONGESTION: u8 = bindings::pcn_offload_values_PCN_SEGMENTS_CONGESTION as u8;
}

fn to_raw(offload: &Offload) -> bindings::pcn_offload {
    let mut raw = bindings::pcn_offload::default();
    match offload.checksum {
        Checksum::Unknown => {}
        Checksum::Right => raw.flags = value::RIGHT,
        Checksum::Missing { start, offset } => {
            raw.flags = value::MISSING;
            raw.csum_start = start;
            raw.csum_offset = offset;
        }
    }
    if let Some(segments) = offload.segments {
        raw.gso_type = match segments.kind {
            NetSegments::None => value::NONE,
            NetSegments::Tcp4 => value::TCP4,
            NetSegments::Tcp6 => value::TCP6,
            NetSegments::Udp => value::UDP,
        };
        if segments.congestion {
            raw.gso_type |= value::CONGESTION;
        }
        raw.gso_size = segments.size;
    }
    raw
}

fn from_raw(raw: &bindings::pcn_offload) -> Result<Offload> {
    let checksum = if raw.flags & value::MISSING != 0 {
        Checksum::Missing {
            start: raw.csum_start,
            offset: raw.csum_offset,
        }
    } else if raw.flags & value::RIGHT != 0 {
        Checksum::Right
    } else {
        Checksum::Unknown
    };
    let kind = match raw.gso_type & !value::CONGESTION {
        value::NONE => NetSegments::None,
        value::TCP4 => NetSegments::Tcp4,
        value::TCP6 => NetSegments::Tcp6,
        value::UDP => NetSegments::Udp,
        _ => return Err(EINVAL),
    };
    let segments = (kind != NetSegments::None).then_some(Segments {
        kind,
        size: raw.gso_size,
        congestion: raw.gso_type & value::CONGESTION != 0,
    });
    Ok(Offload { checksum, segments })
}
