// SPDX-License-Identifier: GPL-2.0
//! An Ethernet interface of this kernel, whose packets a thread takes and brings.
//!
//! What the network stack sends waits at its queue until somebody [takes](Interface::take) it in process
//! context. Packets are in `netdev/packet.rs`.
//!
//! C header: `include/linux/netdevice.h`. C side: `helpers/netdev.c`.
//!
//! Locks: those of the lists of packets are leaves. [`Interface::register`] and the end of a [`Registration`]
//! take the kernel's rtnl lock.

mod packet;

use crate::bindings;
use core::ptr::NonNull;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering;
use kernel::error::from_err_ptr;
use kernel::error::to_result;
use kernel::ffi::c_char;
use kernel::ffi::c_uint;
use kernel::ffi::c_void;
use kernel::prelude::*;
use kernel::sync::Arc;
use popcorn_core::net_route::Address;

pub use packet::Draft;
pub use packet::Incoming;
pub use packet::Packet;
pub use packet::PARTS_MAX;

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
        // SAFETY: nobody else has what was taken.
        Some((unsafe { Packet::from_raw(packet) }?, tag))
    }

    /// Lets a packet wait at a queue, beside those that the network stack sends; whether there was room.
    /// Nobody is [told](Driver::queued). Process context; does not sleep.
    pub fn relay(&self, queue: usize, packet: Incoming, tag: u64) -> bool {
        let Some(queue) = self.number(queue) else {
            return false;
        };
        // SAFETY: valid, and has this queue; the packet is given away.
        unsafe {
            bindings::pcn_interface_relay(self.interface.as_ptr(), queue, packet.into_raw(), tag)
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
            bindings::pcn_interface_receive(self.interface.as_ptr(), queue, packet.into_raw())
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
