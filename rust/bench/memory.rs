// SPDX-License-Identifier: GPL-2.0
//! Memory that two threads share, accessed as the kernel accesses a window: words with atomics,
//! bytes copied. Mirrors `rust/kernel/shared_memory.rs`, so that what is timed is what runs there.

use popcorn_core::ring::Memory;
use std::alloc::alloc_zeroed;
use std::alloc::dealloc;
use std::alloc::handle_alloc_error;
use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::Arc;

/// Zeroed memory; clones share it, the last one frees it.
#[derive(Clone)]
pub struct SharedMemory(Arc<Mapping>);

/// # Invariants
///
/// `base` points to `layout.size()` bytes, aligned to a page, that are allocated until this is
/// dropped.
struct Mapping {
    base: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the range is accessed only with atomics and copies, from any thread.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl SharedMemory {
    /// `size` bytes, not 0.
    pub fn new(size: usize) -> Self {
        assert_ne!(size, 0);
        let layout = Layout::from_size_align(size, 4096).expect("a layout");
        // SAFETY: the size is not 0.
        let base = unsafe { alloc_zeroed(layout) };
        let base = NonNull::new(base).unwrap_or_else(|| handle_alloc_error(layout));
        // INVARIANT: just allocated with this layout.
        Self(Arc::new(Mapping { base, layout }))
    }

    /// The address of `offset`, if `length` bytes from there lie inside.
    #[inline]
    fn at(&self, offset: usize, length: usize) -> Option<NonNull<u8>> {
        let end = offset.checked_add(length)?;
        if end > self.0.layout.size() {
            return None;
        }
        // SAFETY: `offset` lies inside by the check above.
        Some(unsafe { self.0.base.add(offset) })
    }

    #[inline]
    fn word(&self, offset: usize) -> Option<&AtomicU64> {
        if offset % 8 != 0 {
            return None;
        }
        let at = self.at(offset, 8)?;
        // SAFETY: inside, aligned (the base is), there as long as `self`; the ring accesses the
        // words that it loads and stores in no other way.
        Some(unsafe { at.cast::<AtomicU64>().as_ref() })
    }
}

impl Memory for SharedMemory {
    #[inline]
    fn size(&self) -> usize {
        self.0.layout.size()
    }

    #[inline]
    fn load(&self, offset: usize) -> u64 {
        self.word(offset)
            .map_or(0, |word| word.load(Ordering::Acquire))
    }

    #[inline]
    fn store(&self, offset: usize, value: u64) {
        if let Some(word) = self.word(offset) {
            word.store(value, Ordering::Release);
        }
    }

    #[inline]
    fn read(&self, offset: usize, out: &mut [u8]) {
        match self.at(offset, out.len()) {
            // SAFETY: the source lies inside, `out` cannot overlap it, and the ring reads only what
            // the other side has published and does not write before it is released.
            Some(from) => unsafe {
                std::ptr::copy_nonoverlapping(from.as_ptr(), out.as_mut_ptr(), out.len());
            },
            None => out.fill(0),
        }
    }

    #[inline]
    fn write(&self, offset: usize, bytes: &[u8]) {
        if let Some(to) = self.at(offset, bytes.len()) {
            // SAFETY: the destination lies inside, `bytes` cannot overlap it, and the ring writes
            // only what the other side has released.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, by the invariant; nobody refers into it any more.
        unsafe { dealloc(self.base.as_ptr(), self.layout) };
    }
}
