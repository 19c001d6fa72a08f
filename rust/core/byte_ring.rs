// SPDX-License-Identifier: GPL-2.0

//! A lock-free ring of bytes between two kernels: one producer, one consumer, no records.
//!
//! As in [`ring`](crate::ring), each side keeps its own index in its own memory, reads the peer's word
//! once per step and checks it. Unlike there, an index that cannot be does not end the ring: it carries
//! text for people, over which a kernel that has gone wrong is to be looked at. The consumer then skips
//! to where the producer claims to be; the producer takes the ring for empty. If the peer is honest and
//! somebody else wrote the index, both are right again with the next byte that passes. So the worst that
//! a peer can do is to garble or to lose text.
//!
//! # Layout
//!
//! | bytes | what | written by |
//! |---|---|---|
//! | 0..8 | head: bytes ever produced | producer |
//! | 64..72 | tail: bytes ever consumed | consumer |
//! | 128.. | data, a power of two | producer |
//!
//! # Order
//!
//! The producer loads `tail` with acquire, writes, then stores `head` with release; the consumer loads
//! `head` with acquire, reads, then stores `tail` with release.

use crate::ring::Memory;

/// Bytes before the data.
pub const HEADER_SIZE: usize = 128;
/// The largest data area.
pub const CAPACITY_MAX: usize = 1 << 20;

const HEAD: usize = 0;
const TAIL: usize = 64;

/// The memory given does not hold a ring: out of range, not aligned, or no power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadGeometry;

/// Where in the memory the ring lies.
///
/// # Invariants
///
/// `base` is aligned to 8; header and data, whose size is a power of two, lie in the memory that the
/// ring was made with.
#[derive(Clone, Copy, Debug)]
struct Geometry {
    base: usize,
    capacity: usize,
}

impl Geometry {
    fn new(memory: &impl Memory, base: usize, length: usize) -> Result<Self, BadGeometry> {
        let capacity = length.checked_sub(HEADER_SIZE).ok_or(BadGeometry)?;
        let end = base.checked_add(length).ok_or(BadGeometry)?;
        let sized = capacity.is_power_of_two() && capacity <= CAPACITY_MAX;
        if end > memory.size() || base % 8 != 0 || !sized {
            return Err(BadGeometry);
        }
        // INVARIANT: just checked.
        Ok(Self { base, capacity })
    }

    /// How far `head` is ahead of `tail`; `None` if it cannot be.
    fn distance(&self, head: u64, tail: u64) -> Option<usize> {
        usize::try_from(head.wrapping_sub(tail))
            .ok()
            .filter(|&distance| distance <= self.capacity)
    }

    /// The offset in memory of the byte with this index, and the bytes from there to the data's end.
    fn locate(&self, index: u64) -> (usize, usize) {
        let at = (index & (self.capacity as u64 - 1)) as usize;
        (self.base + HEADER_SIZE + at, self.capacity - at)
    }
}

/// The side that writes.
#[derive(Debug)]
pub struct Producer<M> {
    memory: M,
    geometry: Geometry,
    head: u64,
}

impl<M: Memory> Producer<M> {
    /// The producer of the ring of `length` bytes at `base`. It goes on where its index in memory is, so
    /// the ring must have been zeroed before its first use.
    ///
    /// # Errors
    ///
    /// [`BadGeometry`] unless the range lies in `memory`, is aligned to 8, and is [`HEADER_SIZE`] plus a
    /// power of two of at most [`CAPACITY_MAX`].
    pub fn new(memory: M, base: usize, length: usize) -> Result<Self, BadGeometry> {
        let geometry = Geometry::new(&memory, base, length)?;
        let head = memory.load(base + HEAD);
        Ok(Self {
            memory,
            geometry,
            head,
        })
    }

    /// Bytes that fit now.
    pub fn room(&self) -> usize {
        let tail = self.memory.load(self.geometry.base + TAIL);
        let used = self.geometry.distance(self.head, tail).unwrap_or(0);
        self.geometry.capacity - used
    }

    /// Puts as many of `bytes` into the ring as fit, and shows them to the consumer; their number.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let length = bytes.len().min(self.room());
        if length == 0 {
            return 0;
        }
        let (at, to_end) = self.geometry.locate(self.head);
        let (first, rest) = bytes[..length].split_at(length.min(to_end));
        self.memory.write(at, first);
        if !rest.is_empty() {
            self.memory.write(self.geometry.locate(0).0, rest);
        }
        self.head = self.head.wrapping_add(length as u64);
        self.memory.store(self.geometry.base + HEAD, self.head);
        length
    }
}

/// The side that reads.
#[derive(Debug)]
pub struct Consumer<M> {
    memory: M,
    geometry: Geometry,
    tail: u64,
    /// Bytes from `tail` on that the last [`Consumer::peek`] saw.
    ///
    /// INVARIANT: at most the capacity.
    seen: usize,
}

impl<M: Memory> Consumer<M> {
    /// The consumer of a ring; see [`Producer::new`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn new(memory: M, base: usize, length: usize) -> Result<Self, BadGeometry> {
        let geometry = Geometry::new(&memory, base, length)?;
        let tail = memory.load(base + TAIL);
        Ok(Self {
            memory,
            geometry,
            tail,
            seen: 0,
        })
    }

    /// Whether there may be something to read. Trusts nothing, checks nothing: use it to decide whether
    /// to sleep.
    pub fn is_pending(&self) -> bool {
        self.memory.load(self.geometry.base + HEAD) != self.tail
    }

    /// Copies the oldest bytes to `out`, and leaves them in the ring; their number, 0 if there are none.
    pub fn peek(&mut self, out: &mut [u8]) -> usize {
        let head = self.memory.load(self.geometry.base + HEAD);
        let Some(seen) = self.geometry.distance(head, self.tail) else {
            self.seen = 0;
            self.step_to(head);
            return 0;
        };
        self.seen = seen;
        let length = out.len().min(seen);
        let (at, to_end) = self.geometry.locate(self.tail);
        let (first, rest) = out[..length].split_at_mut(length.min(to_end));
        self.memory.read(at, first);
        if !rest.is_empty() {
            self.memory.read(self.geometry.locate(0).0, rest);
        }
        length
    }

    /// Takes the oldest `length` bytes out, of those that the last [`Consumer::peek`] found to be there.
    pub fn consume(&mut self, length: usize) {
        let length = length.min(self.seen);
        self.seen -= length;
        if length != 0 {
            self.step_to(self.tail.wrapping_add(length as u64));
        }
    }

    /// [`Consumer::peek`] and [`Consumer::consume`] at once.
    pub fn pop(&mut self, out: &mut [u8]) -> usize {
        let length = self.peek(out);
        self.consume(length);
        length
    }

    fn step_to(&mut self, tail: u64) {
        self.tail = tail;
        self.memory.store(self.geometry.base + TAIL, tail);
    }
}
