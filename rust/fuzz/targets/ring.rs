// SPDX-License-Identifier: GPL-2.0
//! The ring of records, from both sides, over memory that the other side writes to at any time.
//!
//! Whatever that writes: nothing but the words and the data that belong to a side is read or written, in a bounded
//! number of accesses; a record is no longer than it may be and lies between the indices that were seen; no
//! index is published that was not reached. With an honest other side all records come, once, in order, as
//! they were.

use super::Target;
use crate::memory::Access;
use crate::memory::Hostile;
use crate::source::Source;

use popcorn_core::ring::Consumer;
use popcorn_core::ring::Corrupt;
use popcorn_core::ring::Memory;
use popcorn_core::ring::Producer;
use popcorn_core::ring::PushError;
use popcorn_core::ring::HEADER_SIZE;
use std::collections::VecDeque;

pub(super) const TARGET: Target = Target {
    name: "ring",
    about: "both ends of a ring of records",
    most: 1024,
    seeds,
    run,
};

const HEAD: usize = 0;
const TAIL: usize = 128;
/// Most accesses of one call.
const ACCESSES_MAX: usize = 5;

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
            capacity: 32 << source.below(6),
            base: 8 * source.below(5),
        }
    }

    fn length(&self) -> usize {
        HEADER_SIZE + self.capacity
    }

    /// The offset in memory of the byte with this index.
    fn at(&self, index: u64) -> usize {
        self.base + HEADER_SIZE + index as usize % self.capacity
    }

    fn record_max(&self) -> usize {
        (self.capacity - 8).min(65_600)
    }

    /// Whether a range lies in the data.
    fn has(&self, offset: usize, length: usize) -> bool {
        let data = self.base + HEADER_SIZE;
        offset >= data && offset + length <= data + self.capacity
    }
}

fn footprint(length: usize) -> u64 {
    8 + (length as u64).next_multiple_of(8)
}

fn memory<'a>(place: &Place, writer: Source<'a>) -> Hostile<'a> {
    // Some bytes behind it, too, which nobody may touch.
    let bytes = vec![0; place.base + place.length() + 24];
    let first = place.base + HEADER_SIZE;
    Hostile::new(
        bytes,
        writer,
        &[place.base + HEAD, place.base + TAIL, first],
    )
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

/// A consumer whose producer means harm.
fn consume(place: &Place, source: &mut Source<'_>) {
    let writer = source.take(source.rest().len() / 2);
    let memory = memory(place, Source::new(writer));
    let mut consumer = Consumer::new(memory.clone(), place.base, place.length()).unwrap();
    memory.accesses();
    // As the consumer must see it, from what it has loaded.
    let (mut head, mut tail, mut released) = (0u64, 0u64, 0u64);
    let mut front = None;
    while !source.is_empty() {
        match source.below(7) {
            // What the producer writes now.
            0 => memory.poke(place.base + HEAD, source.word()),
            1 => {
                // A record that is nearly good.
                let length = u64::from(source.byte());
                let flaw = if source.byte() < 32 { source.word() } else { 0 };
                let word = length | (u64::from(!(length as u32)) << 32);
                memory.poke(place.at(tail), word ^ flaw);
                let end = tail.wrapping_add(footprint(length as usize));
                memory.poke(place.base + HEAD, end);
            }
            2 | 3 => {
                let result = consumer.front();
                if let Ok(Some(length)) = result {
                    assert!((1..=place.record_max()).contains(&length));
                }
                for access in memory.accesses() {
                    if let Access::Load(_, seen) = access {
                        assert_eq!(head, tail, "the index was known");
                        if result != Err(Corrupt)
                            || seen.wrapping_sub(tail) <= place.capacity as u64 && seen % 8 == 0
                        {
                            head = seen;
                        }
                    }
                    check_consumer(place, access);
                }
                assert!(head.wrapping_sub(tail) <= place.capacity as u64 && head % 8 == 0);
                match result {
                    Ok(Some(length)) => {
                        assert!(footprint(length) <= head.wrapping_sub(tail));
                        assert!(front.is_none() || front == Some(length), "it has changed");
                        front = Some(length);
                    }
                    Ok(None) => assert!(head == tail && front.is_none()),
                    Err(Corrupt) => assert!(front.is_none()),
                }
            }
            4 => {
                let offset = source.word() as usize;
                let offset = if source.flag() { offset % 64 } else { offset };
                let mut out = vec![0xa5; usize::from(source.byte())];
                let is_read = consumer.read(offset, &mut out);
                let end = offset.checked_add(out.len());
                let fits = matches!((front, end), (Some(length), Some(end)) if end <= length);
                assert_eq!(is_read, fits);
                assert!(is_read || out.iter().all(|&byte| byte == 0xa5));
            }
            5 => {
                consumer.pop();
                if let Some(length) = front.take() {
                    tail = tail.wrapping_add(footprint(length));
                }
            }
            _ => {
                assert_eq!(consumer.release(), tail != released);
                for access in memory.accesses() {
                    assert_eq!(access, Access::Store(place.base + TAIL, tail));
                }
                released = tail;
            }
        }
        let accesses = memory.accesses();
        assert!(accesses.len() <= ACCESSES_MAX);
        accesses
            .into_iter()
            .for_each(|each| check_consumer(place, each));
    }
}

fn check_consumer(place: &Place, access: Access) {
    match access {
        Access::Load(offset, _) => assert_eq!(offset, place.base + HEAD),
        Access::Store(offset, _) => assert_eq!(offset, place.base + TAIL),
        Access::Read(offset, length) => assert!(place.has(offset, length), "{access:?}"),
        Access::Write(..) => panic!("{access:?}"),
    }
}

/// A producer whose consumer means harm.
fn produce(place: &Place, source: &mut Source<'_>) {
    let writer = source.take(source.rest().len() / 2);
    let memory = memory(place, Source::new(writer));
    let mut producer = Producer::new(memory.clone(), place.base, place.length()).unwrap();
    assert_eq!(producer.record_max(), place.record_max());
    memory.accesses();
    let (mut head, mut tail, mut published) = (0u64, 0u64, 0u64);
    while !source.is_empty() {
        match source.below(5) {
            0 => memory.poke(place.base + TAIL, source.word()),
            1 => memory.poke(
                place.base + TAIL,
                tail.wrapping_add(8 * u64::from(source.byte())),
            ),
            2 | 3 => {
                let length = source.below(place.capacity + 16);
                let bytes = vec![0x5a; length];
                let (first, rest) = bytes.split_at(length.min(usize::from(source.byte())));
                let result = producer.push(&[first, &[], rest]);
                let mut written = 0;
                for access in memory.accesses() {
                    match access {
                        Access::Load(offset, seen) => {
                            assert_eq!(offset, place.base + TAIL);
                            // Not ahead of what was published, nor back.
                            let is_good = seen.wrapping_sub(tail) <= published.wrapping_sub(tail)
                                && seen % 8 == 0;
                            assert_eq!(is_good, result != Err(PushError::Corrupt));
                            tail = if is_good { seen } else { tail };
                        }
                        Access::Write(offset, length) => {
                            assert!(place.has(offset, length), "{access:?}");
                            written += length;
                        }
                        _ => panic!("{access:?}"),
                    }
                }
                let free = place.capacity as u64 - head.wrapping_sub(tail);
                match result {
                    Ok(()) => {
                        assert_eq!(written, 8 + length);
                        assert!(footprint(length) <= free, "over what was not consumed");
                        head = head.wrapping_add(footprint(length));
                    }
                    Err(PushError::Full) => assert!(footprint(length) > free && written == 0),
                    Err(PushError::Length) => {
                        assert!(length == 0 || length > place.record_max());
                    }
                    Err(PushError::Corrupt) => assert_eq!(written, 0),
                }
            }
            _ => {
                assert_eq!(producer.publish(), head != published);
                for access in memory.accesses() {
                    assert_eq!(access, Access::Store(place.base + HEAD, head));
                }
                published = head;
            }
        }
        assert!(memory.accesses().is_empty());
    }
}

/// Both sides honest.
fn both(place: &Place, source: &mut Source<'_>) {
    let memory = memory(place, Source::new(&[]));
    let mut producer = Producer::new(memory.clone(), place.base, place.length()).unwrap();
    let mut consumer = Consumer::new(memory.clone(), place.base, place.length()).unwrap();
    let mut pushed: VecDeque<Vec<u8>> = VecDeque::new();
    let mut visible = 0;
    let (mut used, mut freed) = (0, 0);
    while !source.is_empty() {
        match source.below(4) {
            0 | 1 => {
                let length = source.below(place.capacity);
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
            _ => {
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
