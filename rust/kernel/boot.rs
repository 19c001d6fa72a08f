// SPDX-License-Identifier: GPL-2.0
//! Starting another kernel on a part of this machine: the unsafe half of `popcorn_boot`.
//!
//! The other kernel is outside of everything that Rust knows. What can be guaranteed here is that what
//! it is given belongs to nobody: a processor that Linux has let go ([`processor`]) and memory that
//! Linux never had ([`memory`]). An honest kernel keeps to that; nothing but hardware could force a
//! dishonest one, so starting one takes the privilege to restart the machine.

pub mod end;
pub mod file;
pub mod memory;
pub mod processor;
pub mod uapi;

use crate::bindings;
use core::ptr::NonNull;
use kernel::bindings::module;
use kernel::prelude::*;

/// Whether the caller may start another kernel on this machine (`CAP_SYS_BOOT`). Process context.
pub fn may_boot() -> bool {
    // SAFETY: reads the credentials of `current`.
    unsafe { bindings::pcn_capable_sys_boot() }
}

/// Nanoseconds since this kernel's boot, suspend included (`CLOCK_BOOTTIME`). Any context but NMI.
pub fn boot_time_ns() -> u64 {
    // SAFETY: reads a clock.
    unsafe { bindings::pcn_boot_time_ns() }
}

/// Sleeps for `milliseconds`. Process context.
///
/// # Errors
///
/// `EINTR`: a fatal signal came.
pub fn sleep_killable(milliseconds: u32) -> Result {
    // SAFETY: process context, as required of the caller.
    if unsafe { bindings::pcn_sleep_killable(milliseconds) } {
        return Err(EINTR);
    }
    Ok(())
}

/// `ENAMETOOLONG`
pub fn name_too_long() -> Error {
    Error::from_errno(-(kernel::bindings::ENAMETOOLONG as i32))
}

/// A reference that keeps a module from being unloaded.
///
/// # Invariants
///
/// It counts as one reference of `module`.
pub struct ModuleRef(NonNull<module>);

// SAFETY: the reference count of a module may be changed from any thread.
unsafe impl Send for ModuleRef {}
// SAFETY: a shared reference gives nothing.
unsafe impl Sync for ModuleRef {}

impl ModuleRef {
    /// Takes a reference. Any context.
    ///
    /// # Errors
    ///
    /// `ENODEV`: the module is being unloaded, or is part of the kernel.
    pub fn new(module: &'static ThisModule) -> Result<Self> {
        let module = NonNull::new(module.as_ptr()).ok_or(ENODEV)?;
        // SAFETY: the module is alive, for code of it calls.
        if !unsafe { bindings::pcn_module_get(module.as_ptr()) } {
            return Err(ENODEV);
        }
        // INVARIANT: just taken.
        Ok(Self(module))
    }
}

impl Drop for ModuleRef {
    fn drop(&mut self) {
        // SAFETY: gives back the reference of the invariant.
        unsafe { bindings::pcn_module_put(self.0.as_ptr()) };
    }
}
