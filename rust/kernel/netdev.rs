// SPDX-License-Identifier: GPL-2.0
//! An Ethernet interface of this kernel, whose packets a thread takes and brings; and packets.
//!
//! What the network stack sends waits at its queue until somebody [takes](Interface::take) it in process
//! context. Types say where a packet is from: a [`Draft`] is filled byte by byte and becomes an [`Incoming`]
//! only when it is complete, so that no memory that was never written leaves; a [`Packet`] is only read, for
//! its bytes may be others', too.
//!
//! C headers: `include/linux/netdevice.h`, `include/linux/skbuff.h`. C side: `helpers/netdev.c`.
//!
//! Locks: those of the lists of packets are leaves. [`Interface::register`] and the end of a [`Registration`]
//! take the kernel's rtnl lock.

use crate::bindings;
use core::ops::Deref;
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering;
use kernel::error::from_err_ptr;
use kernel::error::to_result;
use kernel::ffi::c_char;
use kernel::ffi::c_uint;
use kernel::ffi::c_void;
use kernel::prelude::*;
use kernel::sync::Arc;
use popcorn_core::net_frame::Checksum;
use popcorn_core::net_frame::Offload;
use popcorn_core::net_frame::Segments;
use popcorn_core::net_route::Address;
use popcorn_core::proto::NetSegments;

/// Parts of a packet that are told at once.
pub const PARTS_MAX: usize = bindings::pcn_interface_limits_PCN_PARTS_MAX as usize;

/// What `ip -s link` shows: of all queues, since the interface was made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Packets that came.
    pub rx_packets: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// What came and made no sense.
    pub rx_errors: u64,
    /// What came and had no place.
    pub rx_dropped: u64,
    /// Packets that went.
    pub tx_packets: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// What could not go.
    pub tx_errors: u64,
    /// What nobody took.
    pub tx_dropped: u64,
}

/// What an interface asks of its driver. None of the functions may sleep.
pub trait Driver: Send + Sync + 'static {
    /// The driver's name, for ethtool.
    const NAME: &'static CStr;
    /// What is counted for each queue, for ethtool: at most 23 characters each.
    const STATISTICS: &'static [&'static CStr];

    /// There is something to take at a queue. Bottom halves are off, or interrupts.
    fn queued(&self, queue: usize);

    /// See [`Totals`].
    fn totals(&self) -> Totals;

    /// The value of the statistic of this index, at a queue.
    fn statistic(&self, queue: usize, index: usize) -> u64;
}

/// An interface. Dropping it drops all packets that wait at it; may sleep.
///
/// # Invariants
///
/// `interface` is from `pcn_interface_create` with so many queues, and not yet destroyed; its data points to
/// what `driver` refers to. It is registered only while there is a [`Registration`], which has a reference.
pub struct Interface<D: Driver> {
    interface: NonNull<bindings::pcn_interface>,
    driver: Arc<D>,
    queues: usize,
    /// One cannot be registered again.
    was_registered: AtomicBool,
}

// SAFETY: the functions called on it take the locks they need, on any thread; the driver is Send and Sync.
unsafe impl<D: Driver> Send for Interface<D> {}
// SAFETY: as above.
unsafe impl<D: Driver> Sync for Interface<D> {}

impl<D: Driver> Interface<D> {
    /// Makes an interface with so many queues each way, unknown to others yet. A `%d` in its name becomes the
    /// first number that is free. May sleep.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: this kernel has no networks. `EINVAL`: no queues. `ENOMEM`.
    pub fn new(
        name: &'static CStr,
        address: &Address,
        mtu_max: u32,
        queues: usize,
        driver: Arc<D>,
    ) -> Result<Self> {
        let operations = bindings::pcn_interface_operations {
            queued: Some(queued::<D>),
            totals: Some(totals::<D>),
            statistic_name: Some(statistic_name::<D>),
            statistic: Some(statistic::<D>),
            statistics: D::STATISTICS.len() as c_uint,
        };
        let data: *const D = &*driver;
        // SAFETY: both names are static, the address and the operations are copied; the functions take what
        // `data` points to, which stays as long as the interface, see drop().
        let interface = from_err_ptr(unsafe {
            bindings::pcn_interface_create(
                name.as_char_ptr(),
                D::NAME.as_char_ptr(),
                address.as_ptr(),
                mtu_max,
                c_uint::try_from(queues)?,
                &operations,
                data.cast(),
            )
        })?;
        // INVARIANT: just created; not registered.
        Ok(Self {
            interface: NonNull::new(interface).ok_or(ENOMEM)?,
            driver,
            queues,
            was_registered: AtomicBool::new(false),
        })
    }

    /// Makes it known: from here on the network stack uses it, once somebody brings it up. It has no carrier
    /// yet. May sleep; takes the rtnl lock.
    ///
    /// # Errors
    ///
    /// `EBUSY`: it was before. `ENOMEM`, or what else the network stack says.
    pub fn register(self: &Arc<Self>) -> Result<Registration<D>> {
        if self.was_registered.swap(true, Ordering::AcqRel) {
            return Err(EBUSY);
        }
        // SAFETY: valid by the invariant, and never registered before.
        to_result(unsafe { bindings::pcn_interface_register(self.interface.as_ptr()) })?;
        // INVARIANT: registered, and the registration has a reference.
        Ok(Registration(self.clone()))
    }

    /// Its driver.
    pub fn driver(&self) -> &D {
        &self.driver
    }

    /// How many queues it has each way.
    pub fn queues(&self) -> usize {
        self.queues
    }

    /// Whether there is anybody at the other end. Any context but NMI.
    pub fn set_carrier(&self, carrier: bool) {
        // SAFETY: valid by the invariant.
        unsafe { bindings::pcn_interface_set_carrier(self.interface.as_ptr(), carrier) };
    }

    /// The queue as C has it.
    fn number(&self, queue: usize) -> Option<c_uint> {
        (queue < self.queues).then_some(queue as c_uint)
    }

    /// Whether there is something to take at a queue. Any context.
    pub fn has_packets(&self, queue: usize) -> bool {
        self.number(queue).is_some_and(|queue| {
            // SAFETY: valid, and has this queue.
            unsafe { bindings::pcn_interface_has_packets(self.interface.as_ptr(), queue) }
        })
    }

    /// The next packet that waits at a queue, if there is one; with the tag that it was relayed with, or 0 if
    /// the network stack sends it. The two kinds take turns. Process context; does not sleep.
    pub fn take(&self, queue: usize) -> Option<(Packet, u64)> {
        let mut tag = 0;
        let queue = self.number(queue)?;
        // SAFETY: valid, and has this queue; `tag` is ours.
        let packet =
            unsafe { bindings::pcn_interface_take(self.interface.as_ptr(), queue, &raw mut tag) };
        // INVARIANT: nobody else has what was taken.
        Some((Packet(NonNull::new(packet)?), tag))
    }

    /// Lets a packet wait at a queue, beside those that the network stack sends; whether there was room.
    /// Nobody is [told](Driver::queued). Process context; does not sleep.
    pub fn relay(&self, queue: usize, packet: Incoming, tag: u64) -> bool {
        let Some(queue) = self.number(queue) else {
            return false;
        };
        // SAFETY: valid, and has this queue; the packet is given away.
        unsafe {
            bindings::pcn_interface_relay(self.interface.as_ptr(), queue, packet.0.into_raw(), tag)
        }
    }

    /// Hands a packet to the network stack; whether it was taken: not if the interface is down, too many wait
    /// there already, or it has no Ethernet header. Process context; does not sleep.
    pub fn receive(&self, queue: usize, packet: Incoming) -> bool {
        let Some(queue) = self.number(queue) else {
            return false;
        };
        // SAFETY: valid, and has this queue; the packet is given away, and no network stack had it before.
        unsafe {
            bindings::pcn_interface_receive(self.interface.as_ptr(), queue, packet.0.into_raw())
        }
    }
}

impl<D: Driver> Drop for Interface<D> {
    fn drop(&mut self) {
        // SAFETY: valid by the invariant, and not registered, for a registration has a reference. The driver
        // is dropped after this.
        unsafe { bindings::pcn_interface_destroy(self.interface.as_ptr()) };
    }
}

/// While it lives, the network stack knows the interface. Dropping it takes the interface down and waits until
/// nobody uses it any more; may sleep, takes the rtnl lock.
pub struct Registration<D: Driver>(Arc<Interface<D>>);

impl<D: Driver> Drop for Registration<D> {
    fn drop(&mut self) {
        // SAFETY: valid by the invariant of the interface, and registered.
        unsafe { bindings::pcn_interface_unregister(self.0.interface.as_ptr()) };
    }
}

/// # Safety
///
/// `data` points to a `D` that stays during the call.
unsafe extern "C" fn queued<D: Driver>(data: *const c_void, queue: c_uint) {
    // SAFETY: as required of the caller.
    let driver = unsafe { &*data.cast::<D>() };
    driver.queued(queue as usize);
}

/// # Safety
///
/// As [`queued`]; `to` is for the callee alone.
unsafe extern "C" fn totals<D: Driver>(
    data: *const c_void,
    to: *mut bindings::pcn_interface_totals,
) {
    // SAFETY: as required of the caller.
    let (driver, to) = unsafe { (&*data.cast::<D>(), &mut *to) };
    let totals = driver.totals();
    *to = bindings::pcn_interface_totals {
        rx_packets: totals.rx_packets,
        rx_bytes: totals.rx_bytes,
        rx_errors: totals.rx_errors,
        rx_dropped: totals.rx_dropped,
        tx_packets: totals.tx_packets,
        tx_bytes: totals.tx_bytes,
        tx_errors: totals.tx_errors,
        tx_dropped: totals.tx_dropped,
    };
}

/// # Safety
///
/// None: it looks at constants.
unsafe extern "C" fn statistic_name<D: Driver>(
    _data: *const c_void,
    index: c_uint,
) -> *const c_char {
    D::STATISTICS
        .get(index as usize)
        .map_or(c"".as_ptr().cast(), |name| name.as_char_ptr())
}

/// # Safety
///
/// As [`queued`].
unsafe extern "C" fn statistic<D: Driver>(
    data: *const c_void,
    queue: c_uint,
    index: c_uint,
) -> u64 {
    // SAFETY: as required of the caller.
    let driver = unsafe { &*data.cast::<D>() };
    driver.statistic(queue as usize, index as usize)
}

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

    /// It has got to where it should.
    pub fn consume(self) {
        // SAFETY: ours by the invariant, and given away.
        unsafe { bindings::pcn_packet_consume(self.into_raw()) };
    }

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
