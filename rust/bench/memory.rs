// SPDX-License-Identifier: GPL-2.0
//! Memory that two threads share, accessed as the kernel accesses a window: words with atomics,
//! bytes copied, by the same code.

#[path = "../kernel/shared_memory/circle.rs"]
mod circle;

pub use circle::SharedCircle;
use popcorn_core::circle::is_circle;
use popcorn_core::circle::Circular;
use std::alloc::alloc_zeroed;
use std::alloc::dealloc;
use std::alloc::handle_alloc_error;
use std::alloc::Layout;
use std::ptr::NonNull;
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
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, by the invariant; nobody refers into it any more.
        unsafe { dealloc(self.base.as_ptr(), self.layout) };
    }
}

impl Circular for SharedMemory {
    type Circle = SharedCircle<Self>;

    fn circle(&self, offset: usize, capacity: usize) -> Option<SharedCircle<Self>> {
        if !is_circle(self.0.layout.size(), offset, capacity) {
            return None;
        }
        // SAFETY: `offset` lies inside, by the check.
        let base = unsafe { self.0.base.add(offset) };
        // SAFETY: they lie inside and are a power of two, by the check; the mapping's base is aligned to a page,
        // it stays as long as a clone of this, and is accessed only with atomics and copies.
        Some(unsafe { SharedCircle::new(base, capacity, self.clone()) })
    }
}
