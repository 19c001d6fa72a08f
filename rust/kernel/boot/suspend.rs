// SPDX-License-Identifier: GPL-2.0
//! A machine that several kernels share does not sleep: that would take processors, memory and devices from
//! kernels that know nothing of it.
//!
//! Whatever belongs to another kernel holds an [`Awake`]; while there is one, a [`SuspendWatch`] refuses
//! suspend and hibernation.
//!
//! C header: `include/linux/suspend.h`.

use crate::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

/// While it lives this kernel does not suspend. Any context.
///
/// # Invariants
///
/// One count of those who forbid it is owned.
pub(super) struct Awake(());

impl Awake {
    /// Forbids it.
    ///
    /// # Errors
    ///
    /// `EBUSY`: the kernel is about to suspend.
    pub(super) fn new() -> Result<Self> {
        // SAFETY: counts.
        to_result(unsafe { bindings::pcn_suspend_forbid() })?;
        // INVARIANT: just counted.
        Ok(Self(()))
    }

    /// Forbids it once more.
    pub(super) fn another(&self) -> Self {
        // SAFETY: counts, and there is a count already, by the invariant.
        unsafe { bindings::pcn_suspend_forbid_more() };
        // INVARIANT: just counted.
        Self(())
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        // SAFETY: one count is ours, by the invariant.
        unsafe { bindings::pcn_suspend_allow() };
    }
}

/// Sees to it that suspend is refused while anything forbids it. Dropping it ends that; may sleep.
///
/// # Invariants
///
/// The notifier is registered, by this one alone.
pub struct SuspendWatch(());

impl SuspendWatch {
    /// Begins to; there is one at a time. May sleep.
    ///
    /// # Errors
    ///
    /// `EEXIST`: there is one.
    pub fn new() -> Result<Self> {
        // SAFETY: a second registration of the same notifier is refused, by the notifier chain.
        to_result(unsafe { bindings::pcn_suspend_watch() })?;
        // INVARIANT: just registered.
        Ok(Self(()))
    }
}

impl Drop for SuspendWatch {
    fn drop(&mut self) {
        // SAFETY: registered, by the invariant.
        unsafe { bindings::pcn_suspend_unwatch() };
    }
}
