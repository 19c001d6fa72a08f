// SPDX-License-Identifier: GPL-2.0
//! The doorbell: an interrupt that another kernel of this machine raises here.
//!
//! C code: `helpers/doorbell.c`.

use crate::bindings;
use core::ptr::NonNull;
use kernel::error::from_err_ptr;
use kernel::error::to_result;
use kernel::ffi::c_void;
use kernel::prelude::*;
use popcorn_core::window;

/// Called in hard interrupt context when the doorbell rings: must not sleep.
pub trait Ring: Send + Sync + 'static {
    /// It rang, at least once.
    fn ring(&self);
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
        let inner = unsafe { bindings::pcn_doorbell_new(Some(Self::interrupt), ring.cast()) };
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

    /// Where it is received now: look again from time to time, it moves when its processor goes
    /// offline. `None` while it has no place. May sleep.
    pub fn address(&self) -> Option<window::Doorbell> {
        let (mut vector, mut apic_id) = (0, 0);
        // SAFETY: valid by the invariant.
        let found = to_result(unsafe {
            bindings::pcn_doorbell_address(self.inner.as_ptr(), &mut vector, &mut apic_id)
        });
        found.ok()?;
        Some(window::Doorbell {
            vector: u8::try_from(vector).ok()?,
            apic_id,
        })
    }

    /// # Safety
    ///
    /// `data` is a live `T`.
    unsafe extern "C" fn interrupt(data: *mut c_void) {
        // SAFETY: as required; it is the `ring` given to pcn_doorbell_new(), which lives until the
        // interrupt is freed.
        unsafe { &*data.cast::<T>() }.ring();
    }
}

impl<T: Ring> Drop for Doorbell<T> {
    fn drop(&mut self) {
        // SAFETY: valid by the invariant; no handler runs after the first call, so that the second
        // is the last user.
        unsafe {
            bindings::pcn_doorbell_free(self.inner.as_ptr());
            drop(KBox::from_raw(self.ring.as_ptr()));
        }
    }
}

/// Rings at a peer. The window's decoder has checked that the vector is none of the kernel's own.
/// Any context but NMI.
pub fn send(to: window::Doorbell) {
    // SAFETY: the vector is a device vector; at worst the peer counts a spurious interrupt.
    unsafe { bindings::pcn_doorbell_send(u32::from(to.vector), to.apic_id) };
}
