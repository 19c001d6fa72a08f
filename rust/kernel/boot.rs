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
