// SPDX-License-Identifier: GPL-2.0
//! A lock-free ring of byte records between two kernels: one producer, one consumer.
//!
//! The ring lies in memory that the peer can write at any time. So each side keeps its own index
//! and everything it derived from the peer's words in its own memory, reads each shared word once,
//! and checks it: an index must lie between the last one seen and what is possible, a record must
//! lie between the indices. Whatever the peer writes, the worst is [`Corrupt`] or wrong payload
//! bytes, never an access outside the ring.
//!
//! # Layout
//!
//! | bytes | what | written by |
//! |---|---|---|
//! | 0..8 | head: bytes ever produced | producer |
//! | 128..136 | tail: bytes ever consumed | consumer |
//! | 256.. | data, a power of two | producer |
//!
//! A record is an 8-byte word (its length, and the length's complement above it), then the bytes,
//! padded to 8. The word never wraps; the bytes may.
//!
//! # Order
//!
//! The producer writes a record, then stores `head` with release; the consumer loads `head` with
//! acquire, then reads. The consumer reads, then stores `tail` with release; the producer loads
//! `tail` with acquire, then overwrites. Both store their index once for a batch
//! ([`Producer::publish`], [`Consumer::release`]) and load the other's only when the cached one
//! does not suffice.

/// The longest record, in bytes: a message with 64 KiB of payload, and its header of 64.
pub const RECORD_MAX: usize = 64 * 1024 + 64;
/// Bytes before the data.
pub const HEADER_SIZE: usize = 256;
/// The smallest data area.
pub const CAPACITY_MIN: usize = 32;
/// The largest data area: a bound on what a wrong parameter can ask for.
pub const CAPACITY_MAX: usize = 1 << 30;

const HEAD: usize = 0;
const TAIL: usize = 128;
const WORD: u64 = 8;

/// Memory that a peer shares. The ring uses it through this alone, so that a model checker can
/// stand in for it.
///
/// Implementations must bear any offset: what does not lie inside reads as zeros and is not
/// written. (The ring never asks for that; it is the second fence.)
pub trait Memory {
    /// Bytes that there are.
    fn size(&self) -> usize;
    /// Reads the aligned word at `offset`; what the peer wrote before its matching
    /// [`store`](Memory::store) is visible afterwards.
    fn load(&self, offset: usize) -> u64;
    /// Writes the aligned word at `offset`; what was written before is visible to a peer that
    /// [`load`](Memory::load)s it.
    fn store(&self, offset: usize, value: u64);
    /// Copies out. The bytes may change meanwhile if the peer misbehaves.
    fn read(&self, offset: usize, out: &mut [u8]);
    /// Copies in.
    fn write(&self, offset: usize, bytes: &[u8]);
}

impl<M: Memory> Memory for &M {
    fn size(&self) -> usize {
        (**self).size()
    }

    fn load(&self, offset: usize) -> u64 {
        (**self).load(offset)
    }

    fn store(&self, offset: usize, value: u64) {
        (**self).store(offset, value);
    }

    fn read(&self, offset: usize, out: &mut [u8]) {
        (**self).read(offset, out);
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        (**self).write(offset, bytes);
    }
}

/// The peer wrote an index or a length that cannot be; the ring must not be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// Why a record was not put into the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushError {
    /// There is no room now.
    Full,
    /// It is empty, or longer than [`Producer::record_max`].
    Length,
    /// See [`Corrupt`].
    Corrupt,
}

impl From<Corrupt> for PushError {
    fn from(_: Corrupt) -> Self {
        PushError::Corrupt
    }
}

/// The memory given does not hold a ring: out of range, not aligned, or no power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadGeometry;

/// Where in the memory the ring lies.
#[derive(Clone, Copy)]
struct Geometry {
    base: usize,
    capacity: u64,
}

impl Geometry {
    fn new(memory: &impl Memory, base: usize, length: usize) -> Result<Self, BadGeometry> {
        let capacity = length.checked_sub(HEADER_SIZE).ok_or(BadGeometry)?;
        let end = base.checked_add(length).ok_or(BadGeometry)?;
        let fits = end <= memory.size() && base % WORD as usize == 0;
        let sized = capacity.is_power_of_two() && (CAPACITY_MIN..=CAPACITY_MAX).contains(&capacity);
        if fits && sized {
            Ok(Self {
                base,
                capacity: capacity as u64,
            })
        } else {
            Err(BadGeometry)
        }
    }

    /// Bytes of the ring that a record of `length` takes. Cannot overflow: `length` is at most
    /// `u32::MAX`.
    #[inline]
    fn footprint(length: u64) -> u64 {
        WORD + length.next_multiple_of(WORD)
    }

    #[inline]
    fn record_max(&self) -> usize {
        RECORD_MAX.min((self.capacity - WORD) as usize)
    }

    /// The offset in memory of the byte with this index, and the bytes from there to the data's end.
    #[inline]
    fn locate(&self, index: u64) -> (usize, usize) {
        let at = (index & (self.capacity - 1)) as usize;
        (self.base + HEADER_SIZE + at, self.capacity as usize - at)
    }
}

/// Takes a fresh index of the peer: it must not go back behind `old`, nor beyond `limit`.
#[inline]
fn advance(old: u64, new: u64, limit: u64) -> Result<u64, Corrupt> {
    let step = new.wrapping_sub(old);
    if step <= limit.wrapping_sub(old) && step % WORD == 0 {
        Ok(new)
    } else {
        Err(Corrupt)
    }
}

/// The side that writes records.
pub struct Producer<M> {
    memory: M,
    geometry: Geometry,
    /// Where the next record goes. INVARIANT: `head - tail <= capacity`, both multiples of 8.
    head: u64,
    published: u64,
    /// The consumer's index as last seen.
    tail: u64,
}

impl<M: Memory> Producer<M> {
    /// The producer of an empty ring of `length` bytes at `base`; clears its index there. The
    /// consumer must have cleared its own, too, before the first record is pushed.
    ///
    /// # Errors
    ///
    /// [`BadGeometry`] unless the range lies in `memory`, is aligned to 8, and is [`HEADER_SIZE`]
    /// plus a power of two.
    pub fn new(memory: M, base: usize, length: usize) -> Result<Self, BadGeometry> {
        let geometry = Geometry::new(&memory, base, length)?;
        memory.store(base + HEAD, 0);
        Ok(Self {
            memory,
            geometry,
            head: 0,
            published: 0,
            tail: 0,
        })
    }

    /// The longest record that this ring takes.
    pub fn record_max(&self) -> usize {
        self.geometry.record_max()
    }

    /// Bytes that are free now, looked up afresh.
    ///
    /// # Errors
    ///
    /// [`Corrupt`]: the consumer's index cannot be.
    pub fn room(&mut self) -> Result<u64, Corrupt> {
        let seen = self.memory.load(self.geometry.base + TAIL);
        self.tail = advance(self.tail, seen, self.published)?;
        Ok(self.geometry.capacity - self.head.wrapping_sub(self.tail))
    }

    /// Whether a record of `length` bytes fits now.
    ///
    /// # Errors
    ///
    /// As [`Producer::push`].
    #[inline]
    pub fn reserve(&mut self, length: usize) -> Result<(), PushError> {
        if length == 0 || length > self.record_max() {
            return Err(PushError::Length);
        }
        let need = Geometry::footprint(length as u64);
        let free = self.geometry.capacity - self.head.wrapping_sub(self.tail);
        if need > free && need > self.room()? {
            return Err(PushError::Full);
        }
        Ok(())
    }

    /// Puts one record, the bytes of `parts` one after the other, behind the others. The consumer
    /// sees it after [`Producer::publish`].
    ///
    /// # Errors
    ///
    /// See [`PushError`]; nothing was put.
    #[inline]
    pub fn push(&mut self, parts: &[&[u8]]) -> Result<(), PushError> {
        let length = parts
            .iter()
            .try_fold(0usize, |sum, part| sum.checked_add(part.len()))
            .ok_or(PushError::Length)?;
        self.reserve(length)?;
        let (word_at, _) = self.geometry.locate(self.head);
        let word = length as u64 | (u64::from(!(length as u32)) << 32);
        self.memory.write(word_at, &word.to_le_bytes());
        let mut index = self.head.wrapping_add(WORD);
        for part in parts {
            let (at, to_end) = self.geometry.locate(index);
            // Apart, for its length is the caller's then: often a constant, and no call of memcpy().
            if part.len() <= to_end {
                self.memory.write(at, part);
            } else {
                let (first, rest) = part.split_at(to_end);
                self.memory.write(at, first);
                self.memory.write(self.geometry.locate(0).0, rest);
            }
            index = index.wrapping_add(part.len() as u64);
        }
        self.head = self.head.wrapping_add(Geometry::footprint(length as u64));
        Ok(())
    }

    /// Shows everything that was pushed to the consumer; whether there was anything.
    #[inline]
    pub fn publish(&mut self) -> bool {
        if self.head == self.published {
            return false;
        }
        self.memory.store(self.geometry.base + HEAD, self.head);
        self.published = self.head;
        true
    }
}

/// The side that reads records.
pub struct Consumer<M> {
    memory: M,
    geometry: Geometry,
    /// Where the next record begins. INVARIANT: `head - tail <= capacity`, both multiples of 8.
    tail: u64,
    released: u64,
    /// The producer's index as last seen.
    head: u64,
    /// Length of the record at `tail`, once it was looked at and checked.
    front: Option<usize>,
}

impl<M: Memory> Consumer<M> {
    /// The consumer of an empty ring; clears its index there. See [`Producer::new`].
    ///
    /// # Errors
    ///
    /// As [`Producer::new`].
    pub fn new(memory: M, base: usize, length: usize) -> Result<Self, BadGeometry> {
        let geometry = Geometry::new(&memory, base, length)?;
        memory.store(base + TAIL, 0);
        Ok(Self {
            memory,
            geometry,
            tail: 0,
            released: 0,
            head: 0,
            front: None,
        })
    }

    /// Whether the producer has published something that was not popped. Trusts nothing, checks
    /// nothing: use it to decide whether to sleep.
    #[inline]
    pub fn pending(&self) -> bool {
        self.memory.load(self.geometry.base + HEAD) != self.tail
    }

    /// The length of the oldest record, if there is one.
    ///
    /// # Errors
    ///
    /// [`Corrupt`]: the producer's index or the record's length cannot be.
    #[inline]
    pub fn front(&mut self) -> Result<Option<usize>, Corrupt> {
        if self.front.is_some() {
            return Ok(self.front);
        }
        if self.head == self.tail {
            let seen = self.memory.load(self.geometry.base + HEAD);
            let limit = self.tail.wrapping_add(self.geometry.capacity);
            self.head = advance(self.head, seen, limit)?;
            if self.head == self.tail {
                return Ok(None);
            }
        }
        let mut word = [0; WORD as usize];
        self.memory
            .read(self.geometry.locate(self.tail).0, &mut word);
        let word = u64::from_le_bytes(word);
        let length = word as u32;
        let fits = (1..=self.geometry.record_max()).contains(&(length as usize))
            && Geometry::footprint(u64::from(length)) <= self.head.wrapping_sub(self.tail);
        if (word >> 32) as u32 != !length || !fits {
            return Err(Corrupt);
        }
        self.front = Some(length as usize);
        Ok(self.front)
    }

    /// Copies bytes of the oldest record, from `offset` in it, to `out`. Whether they all lie in
    /// the record that [`Consumer::front`] found; if not, `out` is as before.
    #[must_use]
    #[inline]
    pub fn read(&self, offset: usize, out: &mut [u8]) -> bool {
        let (Some(length), Some(end)) = (self.front, offset.checked_add(out.len())) else {
            return false;
        };
        if end > length {
            return false;
        }
        let index = self.tail.wrapping_add(WORD + offset as u64);
        let (at, to_end) = self.geometry.locate(index);
        // As in Producer::push().
        if out.len() <= to_end {
            self.memory.read(at, out);
        } else {
            let (first, rest) = out.split_at_mut(to_end);
            self.memory.read(at, first);
            self.memory.read(self.geometry.locate(0).0, rest);
        }
        true
    }

    /// Steps over the record that [`Consumer::front`] found, if it found one. The producer may
    /// reuse its room after [`Consumer::release`].
    #[inline]
    pub fn pop(&mut self) {
        if let Some(length) = self.front.take() {
            self.tail = self.tail.wrapping_add(Geometry::footprint(length as u64));
        }
    }

    /// Gives the room of all popped records back; whether there was any.
    #[inline]
    pub fn release(&mut self) -> bool {
        if self.tail == self.released {
            return false;
        }
        self.memory.store(self.geometry.base + TAIL, self.tail);
        self.released = self.tail;
        true
    }
}
