// SPDX-License-Identifier: GPL-2.0
//! A power of two of bytes of shared memory, end to end: every index lies in it.
//!
//! To find the place of an index is one mask, and that mask is all that keeps an access inside. So
//! what a ring does for each record it does here, in memory that has a circle of its own
//! ([`Circular`]), whose range was checked once, when it was made. [`Masked`] is one in any memory.

use crate::ring::Memory;

/// Such bytes. Numbers of words and indices of bytes may be anything; they count modulo what there is.
pub trait Circle {
    /// [`Memory::load`] of a word.
    fn load(&self, number: u64) -> u64;
    /// [`Memory::store`] to a word.
    fn store(&self, number: u64, value: u64);
    /// Copies out the bytes from `index` on; as many zeros if there are not that many in the circle.
    fn read(&self, index: u64, out: &mut [u8]);
    /// Copies in; nothing if there are not that many.
    fn write(&self, index: u64, bytes: &[u8]);
}

/// Memory of which some can be used so.
pub trait Circular {
    /// Some of it as a circle.
    type Circle: Circle;

    /// The `capacity` bytes from `offset` on. `None` unless they lie inside, `offset` is a multiple
    /// of 8, and `capacity` a power of two of at least 8.
    fn circle(&self, offset: usize, capacity: usize) -> Option<Self::Circle>;
}

/// Whether [`Circular::circle`] may make one, in memory of `size` bytes.
pub fn is_circle(size: usize, offset: usize, capacity: usize) -> bool {
    let end = offset.checked_add(capacity);
    offset % 8 == 0
        && capacity % 8 == 0
        && capacity.is_power_of_two()
        && end.is_some_and(|end| end <= size)
}

/// A circle in any memory, by what that can do.
pub struct Masked<M> {
    memory: M,
    offset: usize,
    /// INVARIANT: see [`is_circle`].
    capacity: usize,
}

impl<M: Memory> Masked<M> {
    /// See [`Circular::circle`].
    pub fn new(memory: M, offset: usize, capacity: usize) -> Option<Self> {
        is_circle(memory.size(), offset, capacity).then_some(Self {
            memory,
            offset,
            capacity,
        })
    }

    /// The offset in memory of the byte with this index, and the bytes from there to the end.
    fn locate(&self, index: u64) -> (usize, usize) {
        let at = index as usize & (self.capacity - 1);
        (self.offset + at, self.capacity - at)
    }
}

impl<M: Memory> Circle for Masked<M> {
    fn load(&self, number: u64) -> u64 {
        self.memory.load(self.locate(number.wrapping_mul(8)).0)
    }

    fn store(&self, number: u64, value: u64) {
        self.memory
            .store(self.locate(number.wrapping_mul(8)).0, value);
    }

    fn read(&self, index: u64, out: &mut [u8]) {
        let (at, to_end) = self.locate(index);
        if out.len() > self.capacity {
            return out.fill(0);
        }
        let (first, rest) = out.split_at_mut(out.len().min(to_end));
        self.memory.read(at, first);
        if !rest.is_empty() {
            self.memory.read(self.offset, rest);
        }
    }

    fn write(&self, index: u64, bytes: &[u8]) {
        let (at, to_end) = self.locate(index);
        if bytes.len() > self.capacity {
            return;
        }
        let (first, rest) = bytes.split_at(bytes.len().min(to_end));
        self.memory.write(at, first);
        if !rest.is_empty() {
            self.memory.write(self.offset, rest);
        }
    }
}
