// SPDX-License-Identifier: GPL-2.0
//! What this kernel is: its processors, memory, name. Any context.

use crate::bindings;

/// Processors online.
pub fn cpus_online() -> u32 {
    // SAFETY: reads a counter.
    unsafe { bindings::pcn_cpus_online() }
}

/// Processors have numbers below this one.
pub fn cpu_numbers() -> u32 {
    // SAFETY: reads a number that is fixed since boot.
    unsafe { bindings::pcn_cpu_numbers() }
}

/// Bytes of memory that the kernel manages.
pub fn memory_bytes() -> u64 {
    // SAFETY: reads a counter.
    unsafe { bindings::pcn_memory_bytes() }
}

/// The host name, padded with zeros, its last byte always zero.
pub fn host_name<const N: usize>() -> [u8; N] {
    let mut name = [0u8; N];
    if N != 0 {
        // SAFETY: the helper writes N bytes, which `name` has.
        unsafe { bindings::pcn_host_name(name.as_mut_ptr().cast(), N) };
    }
    name
}

/// A random number from the kernel's generator.
pub fn random_u64() -> u64 {
    // SAFETY: no requirement.
    unsafe { bindings::pcn_random_u64() }
}
