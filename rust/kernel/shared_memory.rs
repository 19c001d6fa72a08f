// SPDX-License-Identifier: GPL-2.0
//! Memory that another kernel can write at any time.
//!
//! C header: `include/linux/io.h`.

mod circle;

use crate::bindings;
pub use circle::SharedCircle;
use core::ptr::copy_nonoverlapping;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;
use kernel::ffi::c_void;
use kernel::prelude::*;
use kernel::sync::Arc;
use popcorn_core::circle::is_circle;
use popcorn_core::circle::Circular;
use popcorn_core::ring::Memory;

/// A mapped range; clones share it, the last one unmaps it.
///
/// Nothing ever gets a reference into it: words are accessed atomically, bytes are copied.
#[derive(Clone)]
pub struct SharedMemory(Arc<Mapping>);

/// # Invariants
///
/// `base` points to `size` bytes that stay mapped, write-back cached, until this is dropped; it is
/// aligned to a page.
struct Mapping {
    base: NonNull<c_void>,
    size: usize,
    origin: Origin,
}

/// Where a mapping is from, and so how it is given back.
enum Origin {
    Physical,
    Pages,
}

// SAFETY: the range is mapped in every context, and accessed only with atomics and copies.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl SharedMemory {
    /// Maps a physical range outside the memory that this kernel manages. Both ends must be
    /// page-aligned. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`: empty, not aligned, it wraps, or some of it is this kernel's own memory. `ENOMEM`:
    /// it cannot be mapped (write-back).
    pub fn map_foreign(physical: u64, size: usize) -> Result<Self> {
        // SAFETY: looks at the resource tree.
        if !unsafe { bindings::pcn_is_foreign_memory(physical, size) } {
            return Err(EINVAL);
        }
        Self::map(physical, size)
    }

    /// Maps a physical range that no one uses as ordinary memory: outside what this kernel manages,
    /// or wholly inside and allocated by the caller. Both ends must be page-aligned. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`: empty, not aligned, it wraps, or only part of it is this kernel's. `ENOMEM`: it
    /// cannot be mapped (write-back).
    pub fn map(physical: u64, size: usize) -> Result<Self> {
        let aligned = physical % PAGE == 0 && size as u64 % PAGE == 0 && size != 0;
        if !aligned || physical.checked_add(size as u64).is_none() {
            return Err(EINVAL);
        }
        // SAFETY: both look at the resource tree.
        let uniform = unsafe {
            bindings::pcn_is_foreign_memory(physical, size)
                || bindings::pcn_is_own_memory(physical, size)
        };
        if !uniform {
            return Err(EINVAL);
        }
        // SAFETY: mapping has no requirement; what is mapped is only accessed as described above.
        let base = unsafe { bindings::pcn_map_memory(physical, size) };
        Self::new(base, size, Origin::Physical)
    }

    /// Zeroed ordinary memory, for two ends in one kernel. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`: empty or no whole pages. `ENOMEM`.
    pub fn allocate(size: usize) -> Result<Self> {
        if size == 0 || size as u64 % PAGE != 0 {
            return Err(EINVAL);
        }
        // SAFETY: no requirement.
        let base = unsafe { bindings::pcn_alloc_zeroed_pages(size) };
        Self::new(base, size, Origin::Pages)
    }

    fn new(base: *mut c_void, size: usize, origin: Origin) -> Result<Self> {
        let base = NonNull::new(base).ok_or(ENOMEM)?;
        // INVARIANT: both callers just mapped `size` bytes at `base`; should the allocation of the
        // Arc fail, dropping the Mapping gives them back.
        Ok(Self(Arc::new(Mapping { base, size, origin }, GFP_KERNEL)?))
    }

    /// The address of `offset`, if `length` bytes from there lie inside.
    fn at(&self, offset: usize, length: usize) -> Option<NonNull<u8>> {
        let end = offset.checked_add(length)?;
        if end > self.0.size {
            return None;
        }
        // SAFETY: `offset` lies inside the mapping by the check above.
        Some(unsafe { self.0.base.cast::<u8>().add(offset) })
    }

    fn word(&self, offset: usize) -> Option<&AtomicU64> {
        if offset % 8 != 0 {
            return None;
        }
        let at = self.at(offset, 8)?;
        // SAFETY: inside the mapping, aligned (the base is), mapped as long as `self`, and every
        // kernel accesses these words atomically; an AtomicU64 may change at any time.
        Some(unsafe { at.cast::<AtomicU64>().as_ref() })
    }
}

const PAGE: u64 = 4096;

impl Memory for SharedMemory {
    fn size(&self) -> usize {
        self.0.size
    }

    fn load(&self, offset: usize) -> u64 {
        self.word(offset)
            .map_or(0, |word| word.load(Ordering::Acquire))
    }

    fn store(&self, offset: usize, value: u64) {
        if let Some(word) = self.word(offset) {
            word.store(value, Ordering::Release);
        }
    }

    fn read(&self, offset: usize, out: &mut [u8]) {
        match self.at(offset, out.len()) {
            // SAFETY: the source lies inside the mapping, `out` is ours and cannot overlap it. A
            // peer that breaks the protocol may write meanwhile: then the bytes are arbitrary, and
            // every user of them checks them.
            Some(from) => unsafe {
                copy_nonoverlapping(from.as_ptr(), out.as_mut_ptr(), out.len())
            },
            None => out.fill(0),
        }
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        if let Some(to) = self.at(offset, bytes.len()) {
            // SAFETY: the destination lies inside the mapping, `bytes` is ours and cannot overlap.
            unsafe { copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is from the matching function, by the invariant, and nobody refers
        // into it: accesses borrow a SharedMemory, which holds this.
        unsafe {
            match self.origin {
                Origin::Physical => bindings::pcn_unmap_memory(self.base.as_ptr()),
                Origin::Pages => bindings::pcn_free_pages(self.base.as_ptr(), self.size),
            }
        }
    }
}

impl Circular for SharedMemory {
    type Circle = SharedCircle<Self>;

    fn circle(&self, offset: usize, capacity: usize) -> Option<SharedCircle<Self>> {
        if !is_circle(self.0.size, offset, capacity) {
            return None;
        }
        // SAFETY: `offset` lies inside, by the check.
        let base = unsafe { self.0.base.cast::<u8>().add(offset) };
        // SAFETY: they lie inside and are a power of two, by the check; the mapping's base is aligned to a page,
        // it stays as long as a clone of this, and is accessed only with atomics and copies.
        Some(unsafe { SharedCircle::new(base, capacity, self.clone()) })
    }
}
