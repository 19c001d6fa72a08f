// SPDX-License-Identifier: GPL-2.0
//! Bytes that two sides share, end to end, for a ring: the mask keeps every access inside.
//!
//! It needs nothing of the kernel, so that `rust/bench` times what runs here.

use core::ptr::copy_nonoverlapping;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;
use popcorn_core::circle::Circle;

/// Such bytes, which stay as long as `Owner` does.
///
/// # Invariants
///
/// `base` points to `mask` + 1 bytes, a power of two, that are there until the owner is dropped, and accessed only
/// with atomics and copies; it is aligned to 8. They are `word_mask` + 1 words.
pub struct SharedCircle<Owner> {
    base: NonNull<u8>,
    mask: usize,
    word_mask: usize,
    _owner: Owner,
}

// SAFETY: any thread may access the bytes, by the invariant; the owner is as it says itself.
unsafe impl<Owner: Send> Send for SharedCircle<Owner> {}
// SAFETY: as above.
unsafe impl<Owner: Sync> Sync for SharedCircle<Owner> {}

impl<Owner> SharedCircle<Owner> {
    /// The `capacity` bytes from `base` on.
    ///
    /// # Safety
    ///
    /// `capacity` is a power of two of at least 8, `base` is aligned to 8, and the bytes are there until `owner` is
    /// dropped; everybody accesses them only with atomics and copies, from any thread.
    pub(super) unsafe fn new(base: NonNull<u8>, capacity: usize, owner: Owner) -> Self {
        // INVARIANT: by the caller's promise.
        Self {
            base,
            mask: capacity - 1,
            word_mask: capacity / 8 - 1,
            _owner: owner,
        }
    }

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
        // SAFETY: inside, by the mask, aligned (the base is), there as long as `self`; everybody accesses the
        // words of a circle atomically, and an AtomicU64 may change at any time.
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

impl<Owner> Circle for SharedCircle<Owner> {
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
        // SAFETY: what is copied lies inside, by the check; `out` is ours and cannot overlap it. A
        // peer that breaks the protocol may write meanwhile: then the bytes are arbitrary, and
        // every user of them checks them.
        unsafe { copy_nonoverlapping(from.as_ptr(), out.as_mut_ptr(), out.len()) };
    }

    #[inline]
    fn write(&self, index: u64, bytes: &[u8]) {
        let (to, to_end) = self.locate(index);
        if bytes.len() > to_end {
            return self.write_in_two(index, bytes);
        }
        // SAFETY: the destination lies inside, by the check, and `bytes` is ours.
        unsafe { copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
    }
}
