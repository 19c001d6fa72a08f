// SPDX-License-Identifier: GPL-2.0
//! An event that happens once (or is counted), and waiting for it.
//!
//! C header: `include/linux/completion.h`.

use crate::errno;
use kernel::bindings;
use kernel::prelude::*;
use kernel::time::msecs_to_jiffies;
use kernel::types::Opaque;

/// A `struct completion`.
#[pin_data]
#[repr(transparent)]
pub struct Completion {
    #[pin]
    inner: Opaque<bindings::completion>,
}

// SAFETY: a completion has its own lock and may be used from any thread.
unsafe impl Send for Completion {}
// SAFETY: as above.
unsafe impl Sync for Completion {}

impl Completion {
    /// One that has not happened.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            inner <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is valid for writing and will be pinned.
                unsafe { crate::bindings::pcn_init_completion(slot) }
            }),
        })
    }

    /// It has happened, for ever: all waiters, present and future, go on. Any context but NMI.
    pub fn complete_all(&self) {
        // SAFETY: initialised when `self` was made.
        unsafe { bindings::complete_all(self.inner.get()) };
    }

    /// It has happened once more: one waiter goes on. Any context but NMI.
    pub fn complete(&self) {
        // SAFETY: initialised when `self` was made.
        unsafe { bindings::complete(self.inner.get()) };
    }

    /// Whether a wait would return at once. Any context.
    pub fn is_done(&self) -> bool {
        // SAFETY: initialised when `self` was made.
        unsafe { bindings::completion_done(self.inner.get()) }
    }

    /// Waits, not killable. Only for what is sure to happen soon, such as the end of a step in this
    /// kernel; never for a peer or a user. May sleep.
    pub fn wait(&self) {
        // SAFETY: initialised when `self` was made.
        unsafe { bindings::wait_for_completion(self.inner.get()) };
    }

    /// Waits until it happens or a fatal signal comes. May sleep.
    ///
    /// # Errors
    ///
    /// `EINTR`.
    pub fn wait_killable(&self) -> Result {
        // SAFETY: initialised when `self` was made.
        match unsafe { bindings::wait_for_completion_killable(self.inner.get()) } {
            0 => Ok(()),
            _ => Err(EINTR),
        }
    }

    /// Waits until it happens, a fatal signal comes, or the time is over. May sleep.
    ///
    /// # Errors
    ///
    /// `EINTR`, `ETIMEDOUT`.
    pub fn wait_killable_timeout(&self, timeout_ms: u32) -> Result {
        let jiffies = msecs_to_jiffies(timeout_ms);
        // SAFETY: initialised when `self` was made.
        match unsafe { bindings::wait_for_completion_killable_timeout(self.inner.get(), jiffies) } {
            0 => Err(errno::timed_out()),
            left if left < 0 => Err(EINTR),
            _ => Ok(()),
        }
    }
}
