// SPDX-License-Identifier: GPL-2.0
//! A lock that nobody waits for: whoever finds it taken does something else.

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ops::DerefMut;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering;

/// Guards `T`. It may be held while sleeping, for nobody spins on it; it is invisible to lockdep,
/// for nothing can wait for it.
pub struct TryLock<T> {
    taken: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the flag lets one thread at a time at the value.
unsafe impl<T: Send> Sync for TryLock<T> {}
// SAFETY: it owns the value.
unsafe impl<T: Send> Send for TryLock<T> {}

/// Access to the value; dropping it frees the lock.
pub struct TryGuard<'a, T> {
    lock: &'a TryLock<T>,
    _not_send: PhantomData<*mut ()>,
}

impl<T> TryLock<T> {
    /// A free one.
    pub const fn new(value: T) -> Self {
        Self {
            taken: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes it, if it is free. Any context.
    pub fn try_lock(&self) -> Option<TryGuard<'_, T>> {
        let was = self.taken.load(Ordering::Relaxed) || self.taken.swap(true, Ordering::Acquire);
        // Lazily: a guard that is made and dropped would free the other's lock.
        (!was).then(|| TryGuard {
            lock: self,
            _not_send: PhantomData,
        })
    }
}

impl<T> Deref for TryGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: there is one guard at a time, and this is it.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for TryGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: there is one guard at a time, and this is it, borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for TryGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.taken.store(false, Ordering::Release);
    }
}
