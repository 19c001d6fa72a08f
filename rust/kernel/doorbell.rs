// SPDX-License-Identifier: GPL-2.0
//! The doorbell: an interrupt that another kernel of this machine raises here.
//!
//! C code: `helpers/doorbell.c`.

use crate::bindings;
use core::ptr::NonNull;
use kernel::error::from_err_ptr;
use kernel::ffi::c_void;
use kernel::prelude::*;
use popcorn_core::window;

/// What happens to a [`Doorbell`].
pub trait Ring: Send + Sync + 'static {
    /// It rang, at least once, or may have rung where it is not received any more. Called in hard
    /// interrupt context, too: must not sleep.
    fn ring(&self);

    /// Where peers can ring it from now on; `None`: nowhere. Calls come one at a time, in process
    /// context, also while a CPU goes offline: must not wait for that.
    fn placed(&self, at: Option<window::Doorbell>);
}

/// An interrupt of our own. Dropping it gives the interrupt back; the peers must have been told
/// not to ring any more.
///
/// # Invariants
///
/// `inner` is from `pcn_doorbell_new` with `data` pointing to what `ring` holds, which is pinned.
pub struct Doorbell<T: Ring> {
    inner: NonNull<bindings::pcn_doorbell>,
    ring: NonNull<T>,
}

// SAFETY: the C object may be used from any thread; T is Send and Sync.
unsafe impl<T: Ring> Send for Doorbell<T> {}
// SAFETY: as above.
unsafe impl<T: Ring> Sync for Doorbell<T> {}

impl<T: Ring> Doorbell<T> {
    /// Allocates the interrupt. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENODEV` (no local APIC), `ENOSPC` (no vector is free).
    pub fn new(ring: T) -> Result<Self> {
        let ring = KBox::into_raw(KBox::new(ring, GFP_KERNEL)?);
        // SAFETY: `ring` stays where it is until drop() has freed the interrupt.
        // The table is a constant, so static.
        let inner = unsafe { bindings::pcn_doorbell_new(&Self::OPS, ring.cast()) };
        let inner = match from_err_ptr(inner).and_then(|inner| NonNull::new(inner).ok_or(ENOMEM)) {
            Ok(inner) => inner,
            Err(error) => {
                // SAFETY: no interrupt was made, so it is still ours alone.
                drop(unsafe { KBox::from_raw(ring) });
                return Err(error);
            }
        };
        Ok(Self {
            inner,
            // SAFETY: `into_raw` never gives a null pointer.
            ring: unsafe { NonNull::new_unchecked(ring) },
        })
    }

    const OPS: bindings::pcn_doorbell_ops = bindings::pcn_doorbell_ops {
        rang: Some(Self::rang),
        placed: Some(Self::placed),
    };

    /// Has [`Ring::placed`] called with the place where it is received now, and from now on each time
    /// that a CPU went offline, before that CPU can be given to another kernel. Whether there is a
    /// place. Call it from time to time, users may move it. May sleep.
    pub fn publish(&self) -> bool {
        // SAFETY: valid by the invariant.
        unsafe { bindings::pcn_doorbell_publish(self.inner.as_ptr()) }
    }

    /// Has [`Ring::placed`] called with `None`, and then no more until the next
    /// [`publish`](Doorbell::publish). May sleep.
    pub fn withdraw(&self) {
        // SAFETY: valid by the invariant.
        unsafe { bindings::pcn_doorbell_withdraw(self.inner.as_ptr()) };
    }

    /// # Safety
    ///
    /// `data` is a live `T`.
    unsafe extern "C" fn rang(data: *mut c_void) {
        // SAFETY: as required; it is the `ring` given to pcn_doorbell_new(), which lives until the
        // interrupt is freed.
        unsafe { &*data.cast::<T>() }.ring();
    }

    /// # Safety
    ///
    /// As for `rang`.
    unsafe extern "C" fn placed(data: *mut c_void, vector: u32, apic_id: u32) {
        let at = match u8::try_from(vector) {
            Err(_) | Ok(0) => None,
            Ok(vector) => Some(window::Doorbell { vector, apic_id }),
        };
        // SAFETY: as there.
        unsafe { &*data.cast::<T>() }.placed(at);
    }
}

impl<T: Ring> Drop for Doorbell<T> {
    fn drop(&mut self) {
        // SAFETY: valid by the invariant; nothing is called after the first call, so that the second
        // is the last user.
        unsafe {
            bindings::pcn_doorbell_free(self.inner.as_ptr());
            drop(KBox::from_raw(self.ring.as_ptr()));
        }
    }
}

/// Rings at a peer, at the place that `find` reads in its header; whether it names one. Any context
/// but NMI; `find` runs with interrupts off.
pub fn send(find: impl FnOnce() -> Option<window::Doorbell>) -> bool {
    // SAFETY: restored below, on the same processor.
    let flags = unsafe { bindings::pcn_irq_save() };
    let to = find();
    if let Some(to) = to {
        // SAFETY: the window's decoder has checked that the vector is one that Linux gives to devices.
        // A peer that is honest receives it at this processor: it has told another place before that
        // became another kernel's. We read the place just now, and nothing but a stop of this whole
        // processor comes between: should it take back the processor meanwhile, that is reset before
        // another kernel starts there, which takes milliseconds, and what arrived before is forgotten.
        // A peer that is not can have it arrive anywhere, as an interrupt that no device has raised, but
        // any kernel of the machine can send that itself.
        unsafe { bindings::pcn_doorbell_send(u32::from(to.vector), to.apic_id) };
    }
    // SAFETY: the flags are those of above.
    unsafe { bindings::pcn_irq_restore(flags) };
    to.is_some()
}
