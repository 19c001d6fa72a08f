// SPDX-License-Identifier: GPL-2.0
//! Room for bytes.

use kernel::alloc::flags::__GFP_ZERO;
use kernel::alloc::AllocError;
use kernel::alloc::Flags;
use kernel::prelude::*;

/// `flags` for what is as long as a peer or a user wants: the kernel does not write a stack trace to the log if there is
/// no memory.
pub fn unwarned(flags: Flags) -> Flags {
    // The kernel crate does not have `__GFP_NOWARN`: of `GFP_NOWAIT` it is what `GFP_ATOMIC` has not.
    flags | (GFP_NOWAIT & !GFP_ATOMIC)
}

/// So many zeros, for what is read into them. `KVVec::from_elem` writes them one by one, which takes longer than to copy
/// a page; the allocator clears words. May sleep.
///
/// # Errors
///
/// No memory, of which the kernel writes nothing to the log.
pub fn zeroed(length: usize) -> core::result::Result<KVVec<u8>, AllocError> {
    let mut bytes = KVVec::with_capacity(length, unwarned(GFP_KERNEL) | __GFP_ZERO)?;
    // SAFETY: there is room for `length`, and what is newly allocated with this flag is zero, a valid `u8`.
    unsafe { bytes.set_len(length) };
    Ok(bytes)
}
