// SPDX-License-Identifier: GPL-2.0
//! Starting another kernel on a part of this machine: the unsafe half of `popcorn_boot`.
//!
//! The other kernel is outside of everything that Rust knows. What can be guaranteed here is that what
//! it is given belongs to nobody: a processor that Linux has let go ([`processor`]), memory that Linux
//! never had ([`memory`]), and devices that their drivers have let go ([`pci`]). An honest kernel keeps to
//! that; nothing but hardware could force a dishonest one, so starting one takes the privilege to restart the
//! machine.

pub mod crash;
pub mod end;
pub mod file;
pub mod hotplug;
pub mod memory;
pub mod pci;
pub mod processor;
pub mod suspend;
pub mod terminal;
pub mod uapi;

use crate::bindings;
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

/// Sets the wall clock to so many nanoseconds since 1970. Process context.
///
/// # Errors
///
/// `EINVAL`: a time that cannot be.
pub fn set_wall_clock_ns(ns: u64) -> Result {
    // SAFETY: checks the time.
    kernel::error::to_result(unsafe { bindings::pcn_set_wall_clock_ns(ns) })
}

/// Begins to shut this kernel down in order; returns at once. Process context.
pub fn power_off() {
    // SAFETY: starts a program, or if there is none does it from a work item.
    unsafe { bindings::pcn_power_off() }
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
