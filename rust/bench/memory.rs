// SPDX-License-Identifier: GPL-2.0
//! Memory that two threads share, accessed as the kernel accesses a window: words with atomics,
//! bytes copied. Mirrors `rust/kernel/shared_memory.rs`, so that what is timed is what runs there.

use popcorn_core::circle::is_circle;
use popcorn_core::circle::Circle;
use popcorn_core::circle::Circular;
use std::alloc::alloc_zeroed;
use std::alloc::dealloc;
use std::alloc::handle_alloc_error;
use std::alloc::Layout;
use std::ptr::copy_nonoverlapping;
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
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, by the invariant; nobody refers into it any more.
        unsafe { dealloc(self.base.as_ptr(), self.layout) };
    }
}

impl Circular for SharedMemory {
    type Circle = SharedCircle;

    fn circle(&self, offset: usize, capacity: usize) -> Option<SharedCircle> {
        if !is_circle(self.0.layout.size(), offset, capacity) {
            return None;
        }
        // INVARIANT: they lie inside, by the check; the mapping's base is aligned to a page.
        Some(SharedCircle {
            // SAFETY: `offset` lies inside.
            base: unsafe { self.0.base.add(offset) },
            mask: capacity - 1,
            word_mask: capacity / 8 - 1,
            _mapping: self.0.clone(),
        })
    }
}

/// Some of it, end to end, for a ring: the mask keeps every access inside.
///
/// # Invariants
///
/// `base` points to `mask` + 1 bytes of the mapping, a power of two, and is aligned to 8; they are
/// `word_mask` + 1 words.
pub struct SharedCircle {
    base: NonNull<u8>,
    mask: usize,
    word_mask: usize,
    _mapping: Arc<Mapping>,
}

// SAFETY: as of the mapping, which it is a part of.
unsafe impl Send for SharedCircle {}
// SAFETY: as above.
unsafe impl Sync for SharedCircle {}

impl SharedCircle {
    /// Where the byte with this index is, and how many there are from there to the end, at least 1.
    #[inline]
    fn locate(&self, index: u64) -> (NonNull<u8>, usize) {
        let at = index as usize & self.mask;
        // SAFETY: at most `mask`.
        (unsafe { self.base.add(at) }, self.mask - at + 1)
    }

    #[inline]
    fn word(&self, number: u64) -> &AtomicU64 {
        let number = number as usize & self.word_mask;
        // SAFETY: inside, by the mask, aligned (the base is), and there as long as `self`; nobody
        // copies bytes to or from a word that is loaded or stored.
        unsafe { self.base.cast::<AtomicU64>().add(number).as_ref() }
    }

    /// What goes on at the begin, or is longer than there are bytes.
    #[cold]
    fn read_in_two(&self, index: u64, out: &mut [u8]) {
        let (_, to_end) = self.locate(index);
        if out.len() > self.mask + 1 {
            return out.fill(0);
        }
        let (first, rest) = out.split_at_mut(out.len().min(to_end));
        self.read(index, first);
        self.read(0, rest);
    }

    #[cold]
    fn write_in_two(&self, index: u64, bytes: &[u8]) {
        let (_, to_end) = self.locate(index);
        if bytes.len() > self.mask + 1 {
            return;
        }
        let (first, rest) = bytes.split_at(bytes.len().min(to_end));
        self.write(index, first);
        self.write(0, rest);
    }
}

impl Circle for SharedCircle {
    #[inline]
    fn load(&self, number: u64) -> u64 {
        self.word(number).load(Ordering::Acquire)
    }

    #[inline]
    fn store(&self, number: u64, value: u64) {
        self.word(number).store(value, Ordering::Release);
    }

    #[inline]
    fn read(&self, index: u64, out: &mut [u8]) {
        let (from, to_end) = self.locate(index);
        if out.len() > to_end {
            return self.read_in_two(index, out);
        }
        // SAFETY: what is copied lies inside, by the check, and `out` cannot overlap it. The ring
        // reads only what the other side has published and does not write before it is released.
        unsafe { copy_nonoverlapping(from.as_ptr(), out.as_mut_ptr(), out.len()) };
    }

    #[inline]
    fn write(&self, index: u64, bytes: &[u8]) {
        let (to, to_end) = self.locate(index);
        if bytes.len() > to_end {
            return self.write_in_two(index, bytes);
        }
        // SAFETY: as in read(); the ring writes only what the other side has released.
        unsafe { copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
    }
}
