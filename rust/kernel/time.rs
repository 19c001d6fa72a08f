// SPDX-License-Identifier: GPL-2.0
//! Time since boot.
//!
//! C header: `include/linux/ktime.h`.

use kernel::time::Ktime;

/// Nanoseconds since boot, monotonic. Any context but NMI.
pub fn now_ns() -> u64 {
    Ktime::ktime_get().to_ns() as u64
}

/// Milliseconds since boot, monotonic. Any context but NMI.
pub fn now_ms() -> u64 {
    now_ns() / 1_000_000
}

/// Nanoseconds of wall-clock time since 1970. Any context but NMI.
pub fn wall_clock_ns() -> u64 {
    // SAFETY: reads a clock.
    unsafe { crate::bindings::pcn_wall_clock_ns() }
}

/// Sleeps, not killable: only for short, fixed times.
pub fn sleep_ms(ms: u32) {
    // SAFETY: process context, as the caller may sleep.
    unsafe { crate::bindings::pcn_sleep_ms(ms) };
}

/// Sleeps for `us` microseconds or up to twice as long, not killable, without counting as load: for kernel
/// threads that look again soon.
pub fn pause_us(us: u32) {
    // SAFETY: process context, as the caller may sleep.
    unsafe { crate::bindings::pcn_pause_us(us) };
}
