// SPDX-License-Identifier: GPL-2.0
//! The ring of records, from both sides, over memory that the other side writes to at any time.
//!
//! Whatever that writes: nothing but the words and the data that belong to a side is read or written, in a bounded
//! number of accesses; a run is no longer than it may be; no index is released that was not reached. With an honest other side all records come, once, in order, as
//! they were.

use super::Target;
use crate::memory::Access;
use crate::memory::Hostile;
use crate::source::Source;

use popcorn_core::ring;
use popcorn_core::ring::word;
use popcorn_core::ring::Consumer;
use popcorn_core::ring::Corrupt;
use popcorn_core::ring::Memory;
use popcorn_core::ring::Producer;
use popcorn_core::ring::PushError;
use popcorn_core::ring::CELL;
use popcorn_core::ring::HEADER_SIZE;
use popcorn_core::ring::RECORD_MAX;
use std::collections::VecDeque;

pub(super) const TARGET: Target = Target {
    name: "ring",
    about: "both ends of a ring of records",
    most: 1024,
    seeds,
    run,
};

const TAIL: usize = 0;
/// Most runs that the ring takes at once.
const AHEAD_MAX: u64 = 16;
/// Most records of a slice.
const SLICE_MAX: usize = 6;

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for mode in 0..3 {
        for bits in [0, 2, 4] {
            let mut seed = vec![mode, bits, 8, 8, 0, 40, 1, 3, 9, 70, 0, 5, 200, 200, 10, 1];
            for n in 0..40u8 {
                seed.extend([n % 7, n.wrapping_mul(11), n]);
            }
            seeds.push(seed);
        }
    }
    seeds
}

struct Place {
    base: usize,
    capacity: usize,
}

impl Place {
    fn new(source: &mut Source<'_>) -> Self {
        Self {
            capacity: CELL << (1 + source.below(6)),
            base: CELL * source.below(3),
        }
    }

    fn length(&self) -> usize {
        ring::length(self.capacity)
    }

    fn cells(&self) -> u64 {
        (self.capacity / CELL) as u64
    }

    /// The offset in memory of the word of the run with this number.
    fn word_at(&self, number: u64) -> usize {
        let line = (number / 8).wrapping_mul(19);
        let word = line.wrapping_mul(8).wrapping_add(number % 8);
        self.base + HEADER_SIZE + (word % self.cells()) as usize * 8
    }

    fn record_max(&self) -> usize {
        self.capacity.min(RECORD_MAX)
    }

    /// Whether a range lies in the data.
    fn has(&self, offset: usize, length: usize) -> bool {
        let end = self.base + self.length();
        offset >= end - self.capacity && offset + length <= end
    }
}

fn footprint(length: usize) -> u64 {
    length.next_multiple_of(CELL) as u64
}

/// What the word of the run with this number tells of it: length and count.
fn told(word: u64, number: u64) -> Option<(usize, u64)> {
    let bits = word ^ ring::word(number, 0, 0);
    (bits >> 28 == 0).then_some((bits as usize & 0x1_ffff, bits >> 17))
}

fn memory<'a>(place: &Place, writer: Source<'a>) -> Hostile<'a> {
    // Some bytes behind it, too, which nobody may touch.
    let bytes = vec![0; place.base + place.length() + 24];
    let words = (0..place.cells()).map(|number| place.word_at(number));
    let hot: Vec<usize> = words.chain([place.base + TAIL]).collect();
    Hostile::new(bytes, writer, &hot)
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let mode = source.byte() % 3;
    let place = Place::new(&mut source);
    match mode {
        0 => consume(&place, &mut source),
        1 => produce(&place, &mut source),
        _ => both(&place, &mut source),
    }
}

/// What a consumer must have seen, from what it has loaded.
#[derive(Default)]
struct Seen {
    tail: u64,
    /// Of the run that it is in, and the length of its records.
    end: u64,
    length: usize,
    /// Of the next run.
    number: u64,
}

impl Seen {
    /// Follows what it did; whether all was as it can be.
    fn follow(&mut self, place: &Place, memory: &Hostile<'_>) -> Result<(), Corrupt> {
        self.follow_all(place, &memory.accesses())
    }

    /// The same for a slice of so many records, after this tail was released; what was in the end, if something was.
    fn follow_slice(
        &mut self,
        place: &Place,
        memory: &Hostile<'_>,
        asked: usize,
        given: u64,
    ) -> Result<Option<u64>, Corrupt> {
        let accesses = memory.accesses();
        let (mut rest, released) = match accesses.split_last() {
            Some((&Access::Store(offset, tail), before)) => {
                assert_eq!(offset, place.base + TAIL);
                (before, Some(tail))
            }
            _ => (&accesses[..], None),
        };
        // Alike runs that are there, from the next one on, unless there is something else to be released.
        let is_popped = self.tail != given;
        if self.tail == self.end && !is_popped && (1..=place.capacity / CELL).contains(&asked) {
            let size = (asked * CELL) as u64;
            let mut take = |seen: &mut Self, is_taken: bool| {
                let Some((&Access::Load(offset, word), after)) = rest.split_first() else {
                    panic!("did not look: {rest:?}");
                };
                rest = after;
                assert_eq!(offset, place.word_at(seen.number));
                let is_alike = word == ring::word(seen.number, CELL as u32, asked as u32);
                if is_alike && is_taken {
                    seen.number += 1;
                    seen.end = seen.end.wrapping_add(size);
                    seen.length = CELL;
                }
                is_alike
            };
            // One, whether there is another, and those.
            if take(self, true) && take(self, false) {
                let mut runs = 1;
                while runs < AHEAD_MAX && (runs + 1) * size <= place.capacity as u64 {
                    if !take(self, true) {
                        break;
                    }
                    runs += 1;
                }
            }
        }
        self.follow_all(place, rest)?;
        Ok(released)
    }

    fn follow_all(&mut self, place: &Place, accesses: &[Access]) -> Result<(), Corrupt> {
        for &access in accesses {
            match access {
                Access::Load(offset, word) => {
                    assert_eq!(offset, place.word_at(self.number));
                    assert!(self.tail == self.end, "not its turn");
                    let last = self.number.wrapping_sub(place.cells());
                    if word == 0 || told(word, last).is_some() {
                        continue;
                    }
                    let (length, count) = told(word, self.number).ok_or(Corrupt)?;
                    if !(1..=RECORD_MAX).contains(&length) || count == 0 {
                        return Err(Corrupt);
                    }
                    if count * footprint(length) > place.capacity as u64 {
                        return Err(Corrupt);
                    }
                    self.number += 1;
                    self.end = self.tail.wrapping_add(count * footprint(length));
                    self.length = length;
                }
                // Of a slice.
                Access::Read(offset, length) => {
                    assert!(place.has(offset, length), "{access:?}");
                    assert!(length as u64 <= self.end.wrapping_sub(self.tail));
                    assert_eq!(self.length, CELL);
                    self.tail = self.tail.wrapping_add(length as u64);
                }
                _ => panic!("{access:?}"),
            }
        }
        Ok(())
    }

    fn front(&self) -> Option<usize> {
        (self.tail != self.end).then_some(self.length)
    }
}

/// A consumer whose producer means harm.
fn consume(place: &Place, source: &mut Source<'_>) {
    let writer = source.take(source.rest().len() / 2);
    let memory = memory(place, Source::new(writer));
    let mut consumer = Consumer::new(&memory, place.base, place.capacity).unwrap();
    memory.accesses();
    let mut seen = Seen::default();
    let mut released = 0;
    while !source.is_empty() {
        match source.below(8) {
            // What the producer writes now.
            0 => memory.poke(place.word_at(seen.number), source.word()),
            1 => {
                // Some alike runs, of which one is nearly good.
                let length = u32::from(source.byte());
                let length = if length % 2 == 0 { CELL as u32 } else { length };
                let count = source.below(5) as u32;
                let (runs, flawed) = (source.below(20) as u64, source.below(40) as u64);
                for ahead in 0..=runs.min(place.cells() - 1) {
                    let number = seen.number + ahead;
                    let flaw = if ahead == flawed { source.word() } else { 0 };
                    memory.poke(place.word_at(number), word(number, length, count) ^ flaw);
                }
            }
            2 | 3 => {
                let result = consumer.front();
                let expected = seen.follow(place, &memory).map(|()| seen.front());
                assert_eq!(result, expected);
            }
            4 => {
                let offset = source.word() as usize;
                let offset = if source.flag() { offset % 64 } else { offset };
                let mut out = vec![0xa5; usize::from(source.byte())];
                let is_read = consumer.read(offset, &mut out);
                let end = offset.checked_add(out.len());
                let fits =
                    matches!((seen.front(), end), (Some(length), Some(end)) if end <= length);
                assert_eq!(is_read, fits);
                assert!(is_read || out.iter().all(|&byte| byte == 0xa5));
                let accesses = memory.accesses();
                assert!(accesses.len() <= 2);
                for access in accesses {
                    assert!(
                        matches!(access, Access::Read(offset, length) if place.has(offset, length)),
                        "{access:?}"
                    );
                }
            }
            5 => {
                consumer.pop();
                if let Some(length) = seen.front() {
                    seen.tail = seen.tail.wrapping_add(footprint(length));
                }
            }
            6 => {
                let mut out = [[0; CELL]; SLICE_MAX];
                let number = source.below(SLICE_MAX - 1);
                let before = seen.tail;
                let result = consumer.pop_slice(&mut out[..number]);
                let followed = seen.follow_slice(place, &memory, number, released);
                assert_eq!(result.is_err(), followed.is_err());
                if let (Ok(taken), Ok(given)) = (result, followed) {
                    assert_eq!(given, (seen.tail != released).then_some(seen.tail));
                    released = seen.tail;
                    assert_eq!(seen.tail.wrapping_sub(before), (taken * CELL) as u64);
                    // Why it ended.
                    assert!(taken == number || seen.front() != Some(CELL));
                }
            }
            _ => {
                assert_eq!(consumer.release(), seen.tail != released);
                for access in memory.accesses() {
                    assert_eq!(access, Access::Store(place.base + TAIL, seen.tail));
                }
                released = seen.tail;
            }
        }
        assert!(memory.accesses().is_empty());
        assert!(seen.end.wrapping_sub(seen.tail) <= place.capacity as u64);
    }
}

/// A producer whose consumer means harm.
fn produce(place: &Place, source: &mut Source<'_>) {
    let writer = source.take(source.rest().len() / 2);
    let memory = memory(place, Source::new(writer));
    let mut producer = Producer::new(&memory, place.base, place.capacity).unwrap();
    assert_eq!(producer.record_max(), place.record_max());
    memory.accesses();
    let (mut head, mut tail, mut published) = (0u64, 0u64, 0u64);
    // Of the next run; of the first that was not published, and its word.
    let (mut next, mut first, mut kept_back) = (0u64, 0u64, 0);
    while !source.is_empty() {
        match source.below(6) {
            0 => memory.poke(place.base + TAIL, source.word()),
            1 => memory.poke(
                place.base + TAIL,
                tail.wrapping_add(CELL as u64 * u64::from(source.byte() % 32)),
            ),
            step @ 2..=4 => {
                let (result, length, most) = if step == 4 {
                    let most = 1 + source.below(SLICE_MAX);
                    let result = producer.push_slice(&[[0x5a; CELL]; SLICE_MAX][..most]);
                    (result, CELL, most)
                } else {
                    let length = source.below(place.capacity + 16);
                    let bytes = vec![0x5a; length];
                    let (first, rest) = bytes.split_at(length.min(usize::from(source.byte())));
                    (producer.push(&[first, &[], rest]).map(|()| 1), length, 1)
                };
                let (mut written, mut stored, mut expected) = (0, Vec::new(), Vec::new());
                let accesses = memory.accesses();
                let is_shown_last = matches!(accesses.last(), Some(Access::Store(..)));
                for access in accesses {
                    match access {
                        Access::Load(offset, seen) => {
                            assert_eq!(offset, place.base + TAIL);
                            // Not ahead of what was published, nor back.
                            let is_good = seen.wrapping_sub(tail) <= published.wrapping_sub(tail)
                                && seen % 64 == 0;
                            assert_eq!(is_good, result != Err(PushError::Corrupt));
                            tail = if is_good { seen } else { tail };
                        }
                        Access::Write(offset, length) => {
                            assert!(place.has(offset, length), "{access:?}");
                            written += length;
                        }
                        Access::Store(..) => stored.push(access),
                        _ => panic!("{access:?}"),
                    }
                }
                let free = place.capacity as u64 - head.wrapping_sub(tail);
                match result {
                    Ok(number) => {
                        let size = number as u64 * footprint(length);
                        assert!(size <= free, "over what was not consumed");
                        assert!(number == most || free - size < CELL as u64, "there is room");
                        assert_eq!(written, number * length);
                        let word = word(next, length as u32, number as u32);
                        if head == published {
                            kept_back = word;
                        } else {
                            expected.push(Access::Store(place.word_at(next), word));
                        }
                        next += 1;
                        head = head.wrapping_add(size);
                        if step == 4 {
                            assert!(is_shown_last, "before all of it is there");
                            expected.push(Access::Store(place.word_at(first), kept_back));
                            (published, first) = (head, next);
                        }
                        assert_eq!(stored, expected);
                    }
                    Err(error) => {
                        assert_eq!((written, stored), (0, expected));
                        match error {
                            PushError::Full => assert!(footprint(length) > free),
                            PushError::Length => {
                                assert!(length == 0 || length > place.record_max());
                            }
                            PushError::Corrupt => {}
                        }
                    }
                }
            }
            _ => {
                let expected = [Access::Store(place.word_at(first), kept_back)];
                let is_new = head != published;
                assert_eq!(producer.publish(), is_new);
                assert_eq!(memory.accesses(), if is_new { &expected[..] } else { &[] });
                (published, first) = (head, next);
            }
        }
        assert!(memory.accesses().is_empty());
    }
}

/// Both sides honest.
fn both(place: &Place, source: &mut Source<'_>) {
    let memory = memory(place, Source::new(&[]));
    let mut producer = Producer::new(&memory, place.base, place.capacity).unwrap();
    let mut consumer = Consumer::new(&memory, place.base, place.capacity).unwrap();
    let mut pushed: VecDeque<Vec<u8>> = VecDeque::new();
    let mut visible = 0;
    let (mut used, mut freed) = (0, 0);
    while !source.is_empty() {
        match source.below(6) {
            0 | 1 => {
                let length = source.below(place.capacity + CELL + 1);
                let value = source.byte();
                let bytes: Vec<u8> = (0..length).map(|n| value.wrapping_add(n as u8)).collect();
                let fits = used + footprint(length) <= place.capacity as u64;
                match producer.push(&[&bytes]) {
                    Ok(()) => {
                        assert!(fits);
                        used += footprint(length);
                        pushed.push_back(bytes);
                    }
                    Err(PushError::Full) => assert!(!fits),
                    Err(PushError::Length) => assert!(length == 0 || length > place.record_max()),
                    Err(PushError::Corrupt) => panic!("nobody does harm"),
                }
            }
            2 => {
                producer.publish();
                visible = pushed.len();
            }
            3 => {
                let records = [[source.byte(); CELL]; SLICE_MAX];
                let most = 1 + source.below(SLICE_MAX);
                let fits = (place.capacity - used as usize) / CELL;
                match producer.push_slice(&records[..most]) {
                    Ok(number) => {
                        assert_eq!(number, most.min(fits));
                        used += (number * CELL) as u64;
                        pushed.extend(records[..number].iter().map(|record| record.to_vec()));
                        visible = pushed.len();
                    }
                    Err(error) => assert_eq!((error, fits), (PushError::Full, 0)),
                }
            }
            4 => {
                let mut out = [[0; CELL]; SLICE_MAX];
                let most = source.below(SLICE_MAX + 1);
                let alike = pushed.iter().take(visible.min(most));
                let expected = alike.take_while(|record| record.len() == CELL).count();
                assert_eq!(consumer.pop_slice(&mut out[..most]), Ok(expected));
                for record in &out[..expected] {
                    assert_eq!(pushed.pop_front().as_deref(), Some(&record[..]));
                }
                visible -= expected;
                used -= freed + (expected * CELL) as u64;
                freed = 0;
            }
            _ => {
                assert_eq!(consumer.pending(), visible > 0);
                let length = consumer.front().unwrap();
                assert_eq!(length.is_some(), visible > 0);
                if let Some(length) = length {
                    let mut out = vec![0; length];
                    assert!(consumer.read(0, &mut out));
                    assert_eq!(pushed.pop_front().as_ref(), Some(&out));
                    visible -= 1;
                    consumer.pop();
                    freed += footprint(length);
                }
                if source.flag() {
                    consumer.release();
                    used -= freed;
                    freed = 0;
                }
            }
        }
    }
    let behind = place.base + place.length();
    assert!(memory.bytes()[behind..].iter().all(|&byte| byte == 0));
    assert_eq!(memory.size(), behind + 24);
}
