// SPDX-License-Identifier: GPL-2.0
//! The one object of a module that its exported functions work on.
//!
//! C header: `include/linux/rcupdate.h`.

use crate::bindings;
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering;
use kernel::prelude::*;
use kernel::sync::Arc;

/// A place for an `Arc`, empty until [`Global::set`] and after the guard that it returns.
///
/// # Invariants
///
/// The pointer is null or from `Arc::into_raw`; that reference is dropped only a grace period after
/// the pointer was cleared.
pub struct Global<T: Send + Sync + 'static> {
    value: AtomicPtr<T>,
}

/// While it lives, the [`Global`] is filled. Dropping it empties it; who got the object before may
/// still use it. Dropping may sleep.
pub struct Guard<T: Send + Sync + 'static>(&'static Global<T>);

/// A longer name, for those who have other guards in sight.
pub type GlobalGuard<T> = Guard<T>;

impl<T: Send + Sync + 'static> Global<T> {
    /// An empty one.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        // INVARIANT: null.
        Self {
            value: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    /// Fills it with a new object. May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY`: it is filled. `ENOMEM`, or what the initialiser says.
    pub fn init<E>(&'static self, init: impl PinInit<T, E>) -> Result<Guard<T>>
    where
        Error: From<E>,
    {
        self.set(Arc::pin_init(init, GFP_KERNEL)?)
    }

    /// Fills it.
    ///
    /// # Errors
    ///
    /// `EBUSY`: it is filled.
    pub fn set(&'static self, value: Arc<T>) -> Result<Guard<T>> {
        let raw = Arc::into_raw(value).cast_mut();
        let null = core::ptr::null_mut();
        // INVARIANT: `raw` is from `into_raw`.
        match self
            .value
            .compare_exchange(null, raw, Ordering::Release, Ordering::Relaxed)
        {
            Ok(_) => Ok(Guard(self)),
            Err(_) => {
                // SAFETY: `raw` is from `into_raw` just above and was not stored.
                drop(unsafe { Arc::from_raw(raw) });
                Err(EBUSY)
            }
        }
    }

    /// The object, if there is one. Any context but NMI.
    pub fn get(&self) -> Option<Arc<T>> {
        // SAFETY: paired with the unlock below.
        unsafe { bindings::pcn_rcu_read_lock() };
        let raw = self.value.load(Ordering::Acquire);
        let value = (!raw.is_null()).then(|| {
            // SAFETY: by the invariant the reference that was stored lives at least until this
            // read-side section ends; it is put back into its raw form, and a clone of it kept.
            let stored = core::mem::ManuallyDrop::new(unsafe { Arc::from_raw(raw) });
            Arc::clone(&stored)
        });
        // SAFETY: paired with the lock above.
        unsafe { bindings::pcn_rcu_read_unlock() };
        value
    }
}

impl<T: Send + Sync + 'static> Drop for Guard<T> {
    fn drop(&mut self) {
        let raw = self.0.value.swap(core::ptr::null_mut(), Ordering::AcqRel);
        if !raw.is_null() {
            // SAFETY: may sleep here; afterwards nobody is between loading the pointer and cloning.
            // The pointer is from `into_raw`, and its reference is dropped just once.
            unsafe {
                bindings::pcn_synchronize_rcu();
                drop(Arc::from_raw(raw));
            }
        }
    }
}
