// SPDX-License-Identifier: GPL-2.0
//! A lock-free ring of byte records between two kernels: one producer, one consumer.
//!
//! The ring lies in memory that the peer can write at any time. So each side keeps its own index
//! and everything it derived from the peer's words in its own memory, decides by what it
//! read of a shared word at one time, and checks that: an index must lie between the last one seen and what is possible, records must
//! fit into the ring. Whatever the peer writes, the worst is [`Corrupt`] or wrong payload bytes,
//! never an access outside the ring.
//!
//! # Layout
//!
//! | bytes | what | written by |
//! |---|---|---|
//! | 0..8 | tail: bytes of data ever consumed | consumer |
//! | 128.. | as many words as there are cells of data, to a full line | producer |
//! | behind | data, a power of two | producer |
//!
//! The data are cells of a cache line each. Records lie in *runs*: some records of one length, each
//! in as many cells as it needs. Runs are numbered; the word of each, in the [`place`] of that number,
//! tells that length, how many they are, and the run's number. So a record begins at a
//! cache line, and a slice of messages of one size is one word and one copy at each end. A record
//! of its own is a run of one.
//!
//! A word is of the run that is awaited there, of the one that was there the last time around, or,
//! the first time, 0; the latter two, whatever else they tell, say that the run is not there yet. So
//! nobody has to clear words but who begins a ring, and those of eight runs share a line, however
//! long the runs are.
//!
//! # Order
//!
//! The producer writes all runs of a batch, but keeps back the first one's word; that it stores at
//! last, with release. The consumer loads a word with acquire, then reads. It stores `tail` with
//! release for what it has read; the producer loads that with acquire, then overwrites. So both
//! store once for a batch ([`Producer::publish`], [`Consumer::release`]; for a slice it is in the same
//! call); the producer loads the tail only when the cached one does not suffice.

use crate::circle::Circle;
use crate::circle::Circular;

/// The longest record, in bytes: a message with 64 KiB of payload, and its header of 64.
pub const RECORD_MAX: usize = 64 * 1024 + 64;
/// Bytes before the words.
pub const HEADER_SIZE: usize = 128;
/// Bytes of a cell, a cache line.
pub const CELL: usize = 64;
/// The smallest data area.
pub const CAPACITY_MIN: usize = 2 * CELL;
/// The largest data area: a bound on what a wrong parameter can ask for.
pub const CAPACITY_MAX: usize = 1 << 30;

/// The tail, as the number of a word in the header.
const TAIL: u64 = 0;

/// Bits of a word that tell the length of a run's records.
const LENGTH_BITS: u32 = 17;
/// Bits above, that tell how many they are.
const COUNT_BITS: u32 = 11;
/// Most records of a run.
const COUNT_MAX: usize = (1 << COUNT_BITS) - 1;
/// The bit above, which is set: 0 is no run's word. The 35 above it tell the run's number.
const WRITTEN: u64 = 1 << (LENGTH_BITS + COUNT_BITS);
/// Most alike runs whose words are taken at once; words of two lines.
const AHEAD_MAX: u64 = 16;
const _: () = assert!(RECORD_MAX < 1 << LENGTH_BITS);
// The number of a run and that of the one before it in its place differ in those bits.
const _: () = assert!((CAPACITY_MAX / CELL) as u64 <= u64::MAX / WRITTEN / 4);

/// The word of the run with this number, modulo 2^35, of so many records of that length. They must not have more bits than
/// there are for them: another run might have the same word.
#[inline]
pub const fn word(number: u64, length: u32, count: u32) -> u64 {
    numbered(number) | length as u64 | ((count as u64) << LENGTH_BITS)
}

/// What a word says of its run's number.
#[inline]
const fn numbered(number: u64) -> u64 {
    (number << (LENGTH_BITS + COUNT_BITS + 1)) | WRITTEN
}

/// From the line of words of eight runs to that of the next eight, in lines, around: odd, so each gets its turn. As far as
/// no prefetcher looks ahead; a page or more is no better, and slower in large batches.
const LINES_ON: u64 = 19;

/// Where the word of the run with this number is, among the words, modulo the number of cells. Those of eight runs share
/// a line; that of the next eight is not beside it: a processor that reads one line may well fetch its neighbour, too,
/// and so take it from who is about to write there.
#[inline]
pub const fn place(number: u64) -> u64 {
    (number & 7) | ((number >> 3).wrapping_mul(LINES_ON) << 3)
}

/// Bytes that the words take of a ring with so much data.
const fn words_size(capacity: usize) -> usize {
    (capacity / CELL * 8).next_multiple_of(CELL)
}

/// Whether a slice can be of records of `n` bytes: they have no padding, so it is one copy.
const fn slice_of(n: usize) -> bool {
    n != 0 && n % CELL == 0 && n <= RECORD_MAX
}

/// Bytes of a ring with `capacity` bytes of data, which is no more than [`CAPACITY_MAX`].
pub const fn length(capacity: usize) -> usize {
    HEADER_SIZE + words_size(capacity) + capacity
}

/// Memory that a peer shares. The ring uses it through this alone, so that a model checker can
/// stand in for it.
///
/// Implementations must bear any offset: what does not lie inside reads as zeros and is not
/// written. (The ring never asks for that; it is the second fence.) What is a word now may be
/// bytes later.
pub trait Memory {
    /// Bytes that there are.
    fn size(&self) -> usize;
    /// Reads the aligned word at `offset`, once; what the peer wrote before its matching
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

/// There cannot be a ring at that place: out of range, not aligned, or no power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadGeometry;

/// A ring's parts in memory.
struct Parts<M: Circular> {
    header: M::Circle,
    words: M::Circle,
    data: M::Circle,
    /// Bytes of data that can be in use.
    usable: u64,
    /// Bytes of the longest run of the shortest records: so that none that is no longer has more than [`COUNT_MAX`].
    run_max: u64,
}

impl<M: Circular> Parts<M> {
    fn new(memory: &M, base: usize, capacity: usize) -> Option<Self> {
        if base % CELL != 0 || !(CAPACITY_MIN..=CAPACITY_MAX).contains(&capacity) {
            return None;
        }
        let words = base.checked_add(HEADER_SIZE)?;
        let data = words.checked_add(words_size(capacity))?;
        Some(Self {
            header: memory.circle(base, HEADER_SIZE)?,
            words: memory.circle(words, capacity / CELL * 8)?,
            data: memory.circle(data, capacity)?,
            usable: capacity as u64,
            run_max: capacity.min(COUNT_MAX * CELL) as u64,
        })
    }

    #[inline]
    fn cells(&self) -> u64 {
        self.usable / CELL as u64
    }

    /// What is in the place of the word of the run with this number.
    #[inline]
    fn word(&self, number: u64) -> u64 {
        self.words.load(place(number))
    }

    #[inline]
    fn set_word(&self, number: u64, word: u64) {
        self.words.store(place(number), word);
    }

    /// The longest record.
    #[inline]
    fn record_max(&self) -> usize {
        RECORD_MAX.min(self.usable as usize)
    }
}

/// What a word tells: `count` records of `length` bytes each, neither of them 0.
#[derive(Clone, Copy)]
struct Run {
    /// Both, as they stand in a word, without the number.
    bits: u64,
    length: u32,
    /// From one record to the next.
    stride: u64,
    /// Bytes of all of them.
    size: u64,
}

impl Run {
    /// Must not overflow, and does not with records of no more than [`RECORD_MAX`] bytes. Of more than [`COUNT_MAX`] it can
    /// not be told.
    #[inline]
    fn new(length: u32, count: u32) -> Self {
        let stride = u64::from(length).next_multiple_of(CELL as u64);
        Self {
            bits: word(0, length, count) ^ numbered(0),
            length,
            stride,
            size: stride * u64::from(count),
        }
    }

    /// What these bits of the peer's word tell, if so much can be in use. Nothing is above the count in them.
    fn from_bits(bits: u64, usable: u64) -> Result<Self, Corrupt> {
        let length = bits as u32 & ((1 << LENGTH_BITS) - 1);
        let count = (bits >> LENGTH_BITS) as u32;
        if length == 0 || length as usize > RECORD_MAX || count == 0 {
            return Err(Corrupt);
        }
        let run = Self::new(length, count);
        if run.size > usable {
            return Err(Corrupt);
        }
        Ok(run)
    }
}

/// The side that writes records.
pub struct Producer<M: Circular> {
    parts: Parts<M>,
    /// Where the next run goes. INVARIANT: `head - tail <= usable`, both multiples of [`CELL`].
    head: u64,
    /// Number of the next run.
    number: u64,
    /// The word of the first run that was not published; 0 if there is none.
    kept_word: u64,
    /// Its number; of no meaning if there is none.
    kept_number: u64,
    /// Where it is; of no meaning if there is none.
    kept_index: u64,
    /// The consumer's index as last seen.
    tail: u64,
}

impl<M: Circular> Producer<M> {
    /// The producer of an empty ring with `capacity` bytes of data at `base`; clears the words
    /// there. The consumer must have cleared its index, too, before the first record is pushed.
    ///
    /// # Errors
    ///
    /// [`BadGeometry`] unless the [`length`] of such a ring lies in `memory`, `base` is a multiple
    /// of [`CELL`], and `capacity` a power of two between [`CAPACITY_MIN`] and [`CAPACITY_MAX`].
    pub fn new(memory: &M, base: usize, capacity: usize) -> Result<Self, BadGeometry> {
        let parts = Parts::new(memory, base, capacity).ok_or(BadGeometry)?;
        // There may be words of another ring.
        for number in 0..parts.cells() {
            parts.words.store(number, 0);
        }
        Ok(Self {
            parts,
            head: 0,
            number: 0,
            kept_word: 0,
            kept_number: 0,
            kept_index: 0,
            tail: 0,
        })
    }

    /// The longest record that this ring takes.
    pub fn record_max(&self) -> usize {
        self.parts.record_max()
    }

    /// Bytes that are free now, looked up afresh.
    ///
    /// # Errors
    ///
    /// [`Corrupt`]: the consumer's index cannot be.
    pub fn room(&mut self) -> Result<u64, Corrupt> {
        let seen = self.parts.header.load(TAIL);
        let step = seen.wrapping_sub(self.tail);
        // Not back, not ahead of what was published, not into a cell.
        let published = match self.kept_word {
            0 => self.head,
            _ => self.kept_index,
        };
        if step > published.wrapping_sub(self.tail) || step % CELL as u64 != 0 {
            return Err(Corrupt);
        }
        self.tail = seen;
        Ok(self.known_room())
    }

    /// Bytes that are free for all that is known.
    #[inline]
    fn known_room(&self) -> u64 {
        self.parts.usable - self.head.wrapping_sub(self.tail)
    }

    /// Whether a record of `length` bytes fits now.
    ///
    /// # Errors
    ///
    /// As [`Producer::push`].
    #[inline]
    pub fn reserve(&mut self, length: usize) -> Result<(), PushError> {
        if length == 0 || length > RECORD_MAX {
            return Err(PushError::Length);
        }
        let need = Run::new(length as u32, 1).size;
        if need <= self.known_room() {
            return Ok(());
        }
        self.look_for(need)
    }

    /// Looks whether there is more room than is known.
    #[cold]
    fn look_for(&mut self, need: u64) -> Result<(), PushError> {
        if need > self.parts.usable {
            Err(PushError::Length)
        } else if need > self.room()? {
            Err(PushError::Full)
        } else {
            Ok(())
        }
    }

    /// Puts one record, the bytes of `parts` one after the other, behind the others. The consumer
    /// sees it after [`Producer::publish`], or with the next slice.
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
        let mut index = self.open(Run::new(length as u32, 1));
        for part in parts {
            self.parts.data.write(index, part);
            index = index.wrapping_add(part.len() as u64);
        }
        Ok(())
    }

    /// Puts as many of `records` as there is room for, at least one and no more than 2047, behind the
    /// others, and shows all that was pushed to the consumer; how many of them, from the first on. Each
    /// is a record of its own.
    ///
    /// # Errors
    ///
    /// See [`PushError`]; nothing was put, nothing shown. `Full` also if there are no records. Otherwise there is something new
    /// to be seen, of which [`Producer::publish`] will not tell.
    #[inline]
    pub fn push_slice<const N: usize>(&mut self, records: &[[u8; N]]) -> Result<usize, PushError> {
        const { assert!(slice_of(N), "records without padding") };
        let (index, size) = (self.head, size_of_val(records) as u64);
        let is_run = (1..=COUNT_MAX).contains(&records.len());
        if !is_run || self.kept_word != 0 || size > self.known_room() {
            return self.push_fitting(records);
        }
        let number = self.number;
        let word = word(number, N as u32, records.len() as u32);
        self.number = number.wrapping_add(1);
        self.head = index.wrapping_add(size);
        self.parts.data.write(index, records.as_flattened());
        self.parts.set_word(number, word);
        Ok(records.len())
    }

    /// [`Producer::push_slice`] in any case: apart from what is enough where nothing else waits to be
    /// shown, so that that can be inlined.
    #[inline(never)]
    fn push_fitting<const N: usize>(&mut self, records: &[[u8; N]]) -> Result<usize, PushError> {
        let records = self.fitting(records)?;
        let index = self.open(Run::new(N as u32, records.len() as u32));
        self.parts.data.write(index, records.as_flattened());
        self.publish();
        Ok(records.len())
    }

    /// Those of `records` that there is room for, at least one.
    #[cold]
    fn fitting<'a, const N: usize>(
        &mut self,
        records: &'a [[u8; N]],
    ) -> Result<&'a [[u8; N]], PushError> {
        if N > self.record_max() {
            return Err(PushError::Length);
        }
        if size_of_val(records) as u64 > self.known_room() {
            self.room()?;
        }
        let count = (self.known_room() as usize / N)
            .min(records.len())
            .min(COUNT_MAX);
        if count == 0 {
            return Err(PushError::Full);
        }
        let (fitting, _) = records.split_at(count);
        Ok(fitting)
    }

    /// Puts the word of a run, for which there is room; where its records go.
    #[inline]
    fn open(&mut self, run: Run) -> u64 {
        let index = self.head;
        self.head = index.wrapping_add(run.size);
        let number = self.number;
        self.number = number.wrapping_add(1);
        let word = run.bits | numbered(number);
        if self.kept_word == 0 {
            self.kept_word = word;
            self.kept_number = number;
            self.kept_index = index;
        } else {
            self.parts.set_word(number, word);
        }
        index
    }

    /// Shows the consumer everything that was pushed and not yet shown; whether there was anything.
    #[inline]
    pub fn publish(&mut self) -> bool {
        let word = core::mem::take(&mut self.kept_word);
        if word == 0 {
            return false;
        }
        self.parts.set_word(self.kept_number, word);
        true
    }
}

/// The side that reads records. Of its own state, too, it writes as little as it can: a copy between
/// caches waits for its stores, and each further one is felt in a small batch.
pub struct Consumer<M: Circular> {
    parts: Parts<M>,
    /// The next byte that was not taken.
    tail: u64,
    /// Whether something was popped that was not released.
    popped: bool,
    /// Number of the next run.
    number: u64,
    /// What the records are like that `left` is of; if that is 0, any that there was.
    run: Run,
    /// Bytes from `tail` on of runs whose words were taken. INVARIANT: a multiple of the stride, and no
    /// more than what can be in use.
    left: u64,
}

impl<M: Circular> Consumer<M> {
    /// The consumer of an empty ring; clears its index there. See [`Producer::new`].
    ///
    /// # Errors
    ///
    /// As [`Producer::new`].
    pub fn new(memory: &M, base: usize, capacity: usize) -> Result<Self, BadGeometry> {
        let parts = Parts::new(memory, base, capacity).ok_or(BadGeometry)?;
        parts.header.store(TAIL, 0);
        Ok(Self {
            parts,
            tail: 0,
            popped: false,
            number: 0,
            run: Run::new(1, 1),
            left: 0,
        })
    }

    /// Whether the producer has published something that was not popped, or something that cannot be,
    /// of which [`Consumer::front`] will tell: use it to decide whether to sleep.
    #[inline]
    pub fn pending(&self) -> bool {
        let word = self.parts.word(self.number);
        self.left != 0 || !matches!(self.awaited(word), Ok(None))
    }

    /// The length of the oldest record, if there is one.
    ///
    /// # Errors
    ///
    /// [`Corrupt`]: what the producer says of the records cannot be.
    #[inline]
    pub fn front(&mut self) -> Result<Option<usize>, Corrupt> {
        if self.left == 0 && !self.open()? {
            return Ok(None);
        }
        Ok(Some(self.run.length as usize))
    }

    /// What the word that was read in the next run's place says of that run, without its number; `None` if it is not there
    /// yet.
    #[inline]
    fn awaited(&self, word: u64) -> Result<Option<u64>, Corrupt> {
        let bits = word ^ numbered(self.number);
        if bits < WRITTEN {
            return Ok(Some(bits));
        }
        let last = numbered(self.number.wrapping_sub(self.parts.cells()));
        match word == 0 || word ^ last < WRITTEN {
            true => Ok(None),
            false => Err(Corrupt),
        }
    }

    /// Takes the word of the next run; false: there is none.
    #[inline]
    fn open(&mut self) -> Result<bool, Corrupt> {
        let word = self.parts.word(self.number);
        let Some(bits) = self.awaited(word)? else {
            return Ok(false);
        };
        if bits != self.run.bits {
            self.turn_to(bits)?;
        }
        self.number = self.number.wrapping_add(1);
        self.left = self.run.size;
        Ok(true)
    }

    /// Takes a word that is not as the last one. A call, and not inline: where it is, the processor
    /// then goes on with what is known of that before it has read this one.
    #[inline(never)]
    fn turn_to(&mut self, bits: u64) -> Result<(), Corrupt> {
        self.run = Run::from_bits(bits, self.parts.usable)?;
        Ok(())
    }

    /// Copies bytes of the oldest record, from `offset` in it, to `out`. Whether they all lie in
    /// the record that [`Consumer::front`] found; if not, `out` is as before.
    #[must_use]
    #[inline]
    pub fn read(&self, offset: usize, out: &mut [u8]) -> bool {
        let end = offset.checked_add(out.len());
        let inside = end.is_some_and(|end| end <= self.run.length as usize);
        if self.left == 0 || !inside {
            return false;
        }
        let index = self.tail.wrapping_add(offset as u64);
        self.parts.data.read(index, out);
        true
    }

    /// Steps over the record that [`Consumer::front`] found, right before. The producer may reuse its
    /// room after [`Consumer::release`], or a further slice.
    #[inline]
    pub fn pop(&mut self) {
        if self.left != 0 {
            self.popped = true;
            self.tail = self.tail.wrapping_add(self.run.stride);
            self.left = self.left.wrapping_sub(self.run.stride);
        }
    }

    /// Takes the oldest records out, as long as they are of `N` bytes and fit into `out`, and gives the
    /// room of all that were popped back, of which [`Consumer::release`] will not tell. The number of
    /// those in `out`.
    ///
    /// # Errors
    ///
    /// As [`Consumer::front`].
    #[inline]
    pub fn pop_slice<const N: usize>(&mut self, out: &mut [[u8; N]]) -> Result<usize, Corrupt> {
        const { assert!(slice_of(N), "records without padding") };
        let (tail, size) = (self.tail, size_of_val(out) as u64);
        if self.popped || !self.step_over(N, out.len()) {
            return self.pop_of_runs(out);
        }
        let after = tail.wrapping_add(size);
        self.tail = after;
        self.parts.data.read(tail, out.as_flattened_mut());
        self.parts.header.store(TAIL, after);
        Ok(out.len())
    }

    /// Steps over so many records of `length` bytes, which have no padding, if they are the next run, or lie in what
    /// was begun; else all is as before. `tail` is the caller's.
    #[inline]
    fn step_over(&mut self, length: usize, count: usize) -> bool {
        let size = (length * count) as u64;
        if self.left != 0 {
            let is_next = size != 0 && size <= self.left && self.run.length as usize == length;
            self.left -= if is_next { size } else { 0 };
            return is_next;
        }
        let is_there =
            |number: u64| self.parts.word(number) == word(number, length as u32, count as u32);
        let mut next = self.number;
        if count == 0 || size > self.parts.run_max || !is_there(next) {
            return false;
        }
        next = next.wrapping_add(1);
        if is_there(next) {
            next = self.open_alike(next, Run::new(length as u32, count as u32));
        }
        self.number = next;
        true
    }

    /// Takes the words of the runs from this one on, as long as they are like this run, which was taken: they are
    /// one from here on. So who lags behind leaves the line of words to the producer for a while. The
    /// number of the run behind.
    #[inline(never)]
    fn open_alike(&mut self, mut number: u64, run: Run) -> u64 {
        let end = number.wrapping_add(AHEAD_MAX - 1);
        let mut left = 0;
        while number != end
            && left + 2 * run.size <= self.parts.usable
            && self.parts.word(number) == run.bits | numbered(number)
        {
            number = number.wrapping_add(1);
            left += run.size;
        }
        self.left = left;
        self.run = run;
        number
    }

    /// [`Consumer::pop_slice`] in any case: apart from what is enough where whole runs, as they were
    /// sent, are asked for, so that that can be inlined.
    #[inline(never)]
    fn pop_of_runs<const N: usize>(&mut self, out: &mut [[u8; N]]) -> Result<usize, Corrupt> {
        let mut taken = 0;
        while let (_, out @ [_, ..]) = out.split_at_mut(taken) {
            match self.pop_of_run(out)? {
                0 => break,
                number => taken += number,
            }
        }
        self.release();
        Ok(taken)
    }

    /// [`Consumer::pop_slice`] of the run that the oldest record is in.
    #[inline]
    fn pop_of_run<const N: usize>(&mut self, out: &mut [[u8; N]]) -> Result<usize, Corrupt> {
        if out.is_empty() || self.front()? != Some(N) {
            return Ok(0);
        }
        // Without padding, so the stride is `N`.
        let left = self.left as usize / N;
        let (out, _) = out.split_at_mut(left.min(out.len()));
        self.parts.data.read(self.tail, out.as_flattened_mut());
        let size = size_of_val(out) as u64;
        self.popped = true;
        self.tail = self.tail.wrapping_add(size);
        self.left = self.left.wrapping_sub(size);
        Ok(out.len())
    }

    /// Gives the room of all popped records back; whether there was any.
    #[inline]
    pub fn release(&mut self) -> bool {
        let popped = core::mem::take(&mut self.popped);
        if popped {
            self.parts.header.store(TAIL, self.tail);
        }
        popped
    }
}
