// SPDX-License-Identifier: GPL-2.0
//! Room for bytes.

use kernel::alloc::flags::__GFP_ZERO;
use kernel::alloc::AllocError;
use kernel::alloc::Flags;
use kernel::prelude::*;

/// So many zeros, for what is read into them. `KVVec::from_elem` writes them one by one, which takes longer than to copy
/// a page; the allocator clears words.
///
/// # Errors
///
/// No memory.
pub fn zeroed(length: usize, flags: Flags) -> core::result::Result<KVVec<u8>, AllocError> {
    let mut bytes = KVVec::with_capacity(length, flags | __GFP_ZERO)?;
    // SAFETY: there is room for `length`, and what is newly allocated with this flag is zero, a valid `u8`.
    unsafe { bytes.set_len(length) };
    Ok(bytes)
}
