// SPDX-License-Identifier: GPL-2.0
//! The ring against a plain queue, two threads, and a peer that writes anything anywhere.

#![cfg(not(loom))]

mod shared_memory;

use popcorn_core::circle::Circular;
use popcorn_core::circle::Masked;
use popcorn_core::ring::length;
use popcorn_core::ring::place;
use popcorn_core::ring::word;
use popcorn_core::ring::Consumer;
use popcorn_core::ring::Corrupt;
use popcorn_core::ring::Memory;
use popcorn_core::ring::Producer;
use popcorn_core::ring::PushError;
use popcorn_core::ring::CAPACITY_MIN;
use popcorn_core::ring::CELL;
use popcorn_core::ring::HEADER_SIZE;
use popcorn_core::ring::RECORD_MAX;
use proptest::prelude::*;
use shared_memory::Shared;
use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

/// Where the ring lies in its memory.
const BASE: usize = 64;

fn ring(capacity: usize) -> (Producer<Shared>, Consumer<Shared>, Shared) {
    let memory = Shared::new(BASE + length(capacity));
    let producer = Producer::new(&memory, BASE, capacity);
    let consumer = Consumer::new(&memory, BASE, capacity);
    (
        producer.expect("geometry"),
        consumer.expect("geometry"),
        memory,
    )
}

fn take(consumer: &mut Consumer<Shared>) -> Result<Option<Vec<u8>>, Corrupt> {
    let Some(length) = consumer.front()? else {
        return Ok(None);
    };
    let mut record = vec![0; length];
    assert!(consumer.read(0, &mut record));
    consumer.pop();
    Ok(Some(record))
}

#[derive(Clone, Debug)]
enum Step {
    Push(Vec<Vec<u8>>),
    PushSlice(Vec<u8>),
    Publish,
    Take,
    TakeSlice(usize),
    Release,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..4)
            .prop_map(Step::Push),
        1 => prop::collection::vec(any::<u8>(), 0..10).prop_map(Step::PushSlice),
        3 => prop::collection::vec(any::<u8>(), 1..4).prop_map(Step::PushSlice),
        2 => Just(Step::Publish),
        4 => Just(Step::Take),
        1 => (0usize..10).prop_map(Step::TakeSlice),
        3 => (1usize..4).prop_map(Step::TakeSlice),
        2 => Just(Step::Release),
    ]
}

/// Bytes of data that a record takes.
fn footprint(record: &[u8]) -> usize {
    record.len().next_multiple_of(CELL)
}

proptest! {
    /// The ring does what a queue does: nothing is lost, changed or reordered, published records
    /// alone are seen, and "full" is never said while the queue's bytes leave room. Slices are as
    /// many single records, on both sides.
    #[test]
    fn behaves_as_a_queue(power in 1u32..6, steps in prop::collection::vec(step(), 0..200)) {
        let capacity = CELL << power;
        let (mut producer, mut consumer, _) = ring(capacity);
        let mut queue: VecDeque<Vec<u8>> = VecDeque::new();
        let mut visible = 0;
        let mut used = 0;
        let mut unreleased = 0;
        for step in steps {
            match step {
                Step::Push(parts) => {
                    let record = parts.concat();
                    let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
                    let expected = if record.is_empty() || record.len() > producer.record_max() {
                        Err(PushError::Length)
                    } else if used + footprint(&record) > capacity {
                        Err(PushError::Full)
                    } else {
                        Ok(())
                    };
                    prop_assert_eq!(producer.push(&slices), expected);
                    if expected.is_ok() {
                        used += footprint(&record);
                        queue.push_back(record);
                    }
                }
                Step::PushSlice(values) => {
                    let records: Vec<[u8; CELL]> = values.iter().map(|&value| [value; CELL]).collect();
                    let fit = records.len().min((capacity - used) / CELL);
                    let expected = if fit == 0 { Err(PushError::Full) } else { Ok(fit) };
                    prop_assert_eq!(producer.push_slice(&records), expected);
                    used += fit * CELL;
                    queue.extend(records.iter().take(fit).map(|record| record.to_vec()));
                    if fit > 0 {
                        visible = queue.len();
                    }
                }
                Step::Publish => {
                    prop_assert_eq!(producer.publish(), visible < queue.len());
                    visible = queue.len();
                }
                Step::Take => {
                    prop_assert_eq!(consumer.pending(), visible > 0);
                    let taken = take(&mut consumer).expect("an honest producer");
                    prop_assert_eq!(taken.is_some(), visible > 0);
                    if let Some(record) = taken {
                        unreleased += footprint(&record);
                        prop_assert_eq!(Some(record), queue.pop_front());
                        visible -= 1;
                    }
                }
                Step::TakeSlice(number) => {
                    let fitting = queue.iter().take(number.min(visible));
                    let expected = fitting.take_while(|record| record.len() == CELL).count();
                    let mut out = vec![[0; CELL]; number];
                    prop_assert_eq!(consumer.pop_slice(&mut out), Ok(expected));
                    for record in &out[..expected] {
                        prop_assert_eq!(Some(record.to_vec()), queue.pop_front());
                    }
                    visible -= expected;
                    used -= unreleased + expected * CELL;
                    unreleased = 0;
                }
                Step::Release => {
                    prop_assert_eq!(consumer.release(), unreleased > 0);
                    used -= unreleased;
                    unreleased = 0;
                }
            }
        }
    }

    /// Parts of a record can be read in any piece, and nothing beyond it.
    #[test]
    fn reads_pieces(record in prop::collection::vec(any::<u8>(), 1..190), skip in 0usize..4,
                    from in 0usize..300, length in 0usize..300) {
        let (mut producer, mut consumer, _) = ring(256);
        for _ in 0..skip {
            producer.push(&[b"xxxx"]).expect("room");
        }
        producer.publish();
        for _ in 0..skip {
            take(&mut consumer).expect("honest");
        }
        consumer.release();
        producer.push(&[&record]).expect("room");
        producer.publish();
        prop_assert!(!consumer.read(0, &mut [0]), "no record was looked at yet");
        prop_assert_eq!(consumer.front(), Ok(Some(record.len())));
        let mut piece = vec![0xaa; length];
        let inside = from + length <= record.len();
        prop_assert_eq!(consumer.read(from, &mut piece), inside);
        if inside {
            prop_assert_eq!(&piece[..], &record[from..from + length]);
        } else {
            prop_assert!(piece.iter().all(|&byte| byte == 0xaa));
        }
    }

    /// A consumer bears a producer that writes anything: it gets records of allowed lengths or
    /// Corrupt, and never touches memory outside (Shared would panic).
    #[test]
    fn consumer_bears_noise(
        words in prop::collection::vec(
            prop_oneof![
                1 => any::<u64>(),
                4 => (0u32..700, 0u32..6).prop_map(|(l, n)| word(0, l, n) ^ word(0, 0, 0)),
                // Whole cells, as slices are.
                8 => (0u32..4).prop_map(|n| word(0, CELL as u32, n) ^ word(0, 0, 0)),
            ], 8),
        slice in 0usize..6,
    ) {
        let (_, mut consumer, memory) = ring(512);
        for (number, bits) in words.into_iter().enumerate() {
            memory.store(BASE + HEADER_SIZE + 8 * number, bits ^ word(number as u64, 0, 0));
        }
        for _ in 0..40 {
            if consumer.pop_slice(&mut vec![[0; CELL]; slice]).is_err() {
                break;
            }
            match take(&mut consumer) {
                Ok(Some(record)) => prop_assert!((1..=512).contains(&record.len())),
                Ok(None) | Err(Corrupt) => break,
            }
            consumer.release();
        }
    }

    /// A producer bears a consumer that writes anything.
    #[test]
    fn producer_bears_noise(
        tails in prop::collection::vec(prop_oneof![any::<u64>(), (0u64..40).prop_map(|n| n * 64)], 1..20),
    ) {
        let (mut producer, _, memory) = ring(512);
        for tail in tails {
            memory.store(BASE, tail);
            if !matches!(producer.push_slice(&[[1; CELL]; 3]), Ok(1..=3) | Err(PushError::Full)) {
                break;
            }
            match producer.push(&[&[7; 20]]) {
                Ok(()) => { producer.publish(); }
                Err(PushError::Full) => {}
                Err(PushError::Corrupt) => break,
                Err(PushError::Length) => prop_assert!(false, "20 bytes fit"),
            }
        }
    }
}

/// The tails that a peer must not be able to store.
#[test]
fn impossible_tails_are_corrupt() {
    // A tail ahead of what was published, in a cell, or moved back.
    for tails in [&[192u64][..], &[24], &[128, 64], &[u64::MAX - 63]] {
        let (mut producer, _, memory) = ring(512);
        producer.push(&[&[1; 100]]).expect("room");
        producer.publish();
        let mut last = Ok(0);
        for &tail in tails {
            memory.store(BASE, tail);
            last = producer.room();
        }
        assert_eq!(last, Err(Corrupt), "{tails:?}");
    }
}

/// Nor one ahead of what was shown.
#[test]
fn what_was_not_shown_is_not_consumed() {
    let (mut producer, _, memory) = ring(512);
    producer.push(&[&[1; 60]]).expect("room");
    producer.publish();
    producer.push(&[&[2; 60]]).expect("room");
    memory.store(BASE, 2 * CELL as u64);
    assert_eq!(producer.room(), Err(Corrupt));
    memory.store(BASE, CELL as u64);
    assert_eq!(producer.room(), Ok(512 - CELL as u64));
    producer.publish();
    memory.store(BASE, 2 * CELL as u64);
    assert_eq!(producer.room(), Ok(512));
}

/// The words that a peer must not be able to store: no bytes, too many, no records, more than
/// can be in use, and another run's.
#[test]
fn impossible_runs_are_corrupt() {
    let capacity = (4 * RECORD_MAX).next_power_of_two();
    let cells = (capacity / CELL) as u64;
    for bad in [
        word(0, 0, 1),
        word(0, RECORD_MAX as u32 + 1, 1),
        word(0, 8, 0),
        word(0, RECORD_MAX as u32, 8),
        word(0, RECORD_MAX as u32, 2047),
        word(1, 8, 1),
        word(cells, 8, 1),
        word(0, 8, 1) ^ word(0, 0, 0),
        u64::MAX,
        1,
    ] {
        let (mut producer, mut consumer, memory) = ring(capacity);
        producer.push_slice(&[[1; CELL]; 2]).expect("room");
        memory.store(BASE + HEADER_SIZE, bad);
        assert!(consumer.pending());
        assert_eq!(consumer.front(), Err(Corrupt), "{bad:x}");
        assert_eq!(consumer.pop_slice(&mut [[0; CELL]; 2]), Err(Corrupt));
        assert!(!consumer.read(0, &mut [0]));
        consumer.pop();
        assert!(!consumer.release());
    }
}

/// In the place of the run that is awaited there may be the one of the last time around, and none from before that.
#[test]
fn an_old_word_is_no_run() {
    let (mut producer, mut consumer, memory) = ring(CAPACITY_MIN);
    for number in 0..20u64 {
        assert!(!consumer.pending());
        assert_eq!(consumer.front(), Ok(None));
        let at = BASE + HEADER_SIZE + 8 * (number % 2) as usize;
        let (last, before) = (number.wrapping_sub(2), number.wrapping_sub(4));
        assert_eq!(
            memory.load(at),
            if number < 2 { 0 } else { word(last, 9, 1) }
        );
        memory.store(at, word(before, 9, 1));
        assert_eq!(consumer.front(), Err(Corrupt));
        producer.push(&[&[1; 9]]).expect("room");
        producer.publish();
        assert_eq!(memory.load(at), word(number, 9, 1));
        assert_eq!(take(&mut consumer), Ok(Some(vec![1; 9])));
        consumer.release();
    }
}

/// Each run has a word of its own until the ring was gone around; those of the next eight are in a line further on.
#[test]
fn words_have_places() {
    for cells in [2, 4, 8, 64, 512, 8192] {
        let (mut producer, mut consumer, memory) = ring(cells * CELL);
        let cells = cells as u64;
        let word_at = |number: u64| {
            let place = (place(number) % cells) as usize;
            memory.load(BASE + HEADER_SIZE + 8 * place)
        };
        for number in 0..3 * cells {
            producer.push(&[&number.to_le_bytes()]).expect("room");
            producer.publish();
            assert_eq!(word_at(number), word(number, 8, 1));
            assert_eq!(take(&mut consumer), Ok(Some(number.to_le_bytes().into())));
            consumer.release();
        }
        assert!((2 * cells..3 * cells).all(|number| word_at(number) == word(number, 8, 1)));
        let line = |number| place(number) % cells / 8;
        for number in (0..cells).step_by(8) {
            assert!((1..8.min(cells)).all(|next| line(number) == line(number + next)));
            assert!(cells < 64 || line(number).abs_diff(line(number + 8)) > 1);
        }
    }
}

/// A slice of more records than a word can tell goes in several runs.
#[test]
fn long_slices_are_several_runs() {
    let (mut producer, mut consumer, _) = ring(4096 * CELL);
    let records: Vec<[u8; CELL]> = (0..4096u32).map(|n| [(n * 7 % 251) as u8; CELL]).collect();
    let mut pushed = 0;
    for most in [2047, 2047, 2] {
        assert_eq!(producer.push_slice(&records[pushed..]), Ok(most));
        pushed += most;
    }
    assert_eq!(producer.push_slice(&records), Err(PushError::Full));
    assert!(!producer.publish());
    let mut out = vec![[0; CELL]; 4096];
    assert_eq!(consumer.pop_slice(&mut out), Ok(4096));
    assert_eq!(out, records);
}

/// Who asks for more records than a word can tell gets those that there are.
#[test]
fn a_long_slice_is_no_short_run() {
    let (mut producer, mut consumer, _) = ring(4096 * CELL);
    producer.push_slice(&[[1; CELL]; 2]).expect("room");
    let mut out = vec![[0; CELL]; 2050];
    assert_eq!(consumer.pop_slice(&mut out), Ok(2));
}

/// Words of an earlier ring in that memory are no runs of the next one, whose numbers are the same.
#[test]
fn a_ring_forgets_the_one_before() {
    let memory = Shared::new(BASE + length(8 * CELL));
    for life in 0..4u8 {
        let mut producer = Producer::new(&memory, BASE, 8 * CELL).expect("geometry");
        let mut consumer = Consumer::new(&memory, BASE, 8 * CELL).expect("geometry");
        for number in 0..20u8 {
            assert!(!consumer.pending());
            assert_eq!(consumer.front(), Ok(None));
            producer.push(&[&[life, number]]).expect("room");
            producer.publish();
            assert_eq!(take(&mut consumer), Ok(Some(vec![life, number])));
            consumer.release();
        }
    }
}

/// What the peer changes in the word of a run that was begun is not seen.
#[test]
fn a_word_is_read_once() {
    let (mut producer, mut consumer, memory) = ring(512);
    producer.push_slice(&[[1; CELL]; 3]).expect("room");
    assert_eq!(consumer.front(), Ok(Some(CELL)));
    memory.store(BASE + HEADER_SIZE, u64::MAX);
    assert_eq!(consumer.pop_slice(&mut [[0; CELL]; 5]), Ok(3));
    assert_eq!(consumer.front(), Ok(None));
}

#[test]
fn geometry_is_checked() {
    let memory = Shared::new(4096);
    for (base, capacity) in [
        (0, 0),
        (0, 64),
        (0, 96),
        (0, 192),
        (32, 128),
        (4096 - length(128) + 64, 128),
        (0, 4096),
        (usize::MAX - 63, 128),
        (0, 1 << 31),
        (0, 1 << 63),
    ] {
        assert!(
            Producer::new(&memory, base, capacity).is_err(),
            "{base} {capacity}"
        );
        assert!(
            Consumer::new(&memory, base, capacity).is_err(),
            "{base} {capacity}"
        );
    }
    assert_eq!(length(CAPACITY_MIN), HEADER_SIZE + 64 + 128);
    assert_eq!(length(4096), HEADER_SIZE + 512 + 4096);
    assert!(Producer::new(&memory, 4096 - length(128), 128).is_ok());
}

#[test]
fn the_longest_record_passes() {
    let (mut producer, mut consumer, _) = ring((4 * RECORD_MAX).next_power_of_two());
    let record: Vec<u8> = (0..RECORD_MAX).map(|n| (n * 7) as u8).collect();
    for _ in 0..20 {
        producer
            .push(&[&record[..100], &record[100..]])
            .expect("room");
        producer.publish();
        assert_eq!(take(&mut consumer).expect("honest").as_ref(), Some(&record));
        consumer.release();
    }
    let too_long = vec![0; RECORD_MAX + 1];
    assert_eq!(producer.push(&[&too_long]), Err(PushError::Length));
}

/// Two threads, a small ring, records of all lengths: the same sequence comes out.
#[test]
fn two_threads() {
    const RECORDS: u32 = 20_000;
    let (mut producer, mut consumer, _) = ring(512);
    let record = |number: u32| {
        let mut record = number.to_le_bytes().to_vec();
        record.resize(4 + (number as usize * 13) % 97, number as u8);
        record
    };
    let sender = std::thread::spawn(move || {
        for number in 0..RECORDS {
            let bytes = record(number);
            loop {
                match producer.push(&[&bytes[..4], &bytes[4..]]) {
                    Ok(()) => break,
                    Err(PushError::Full) => {
                        producer.publish();
                        std::thread::yield_now();
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
            if number % 3 == 0 {
                producer.publish();
            }
        }
        producer.publish();
    });
    for number in 0..RECORDS {
        let bytes = loop {
            match take(&mut consumer).expect("an honest producer") {
                Some(bytes) => break bytes,
                None => {
                    consumer.release();
                    std::thread::yield_now();
                }
            }
        };
        assert_eq!(bytes, record(number));
        if number % 5 == 0 {
            consumer.release();
        }
    }
    sender.join().expect("no panic");
}

/// Runs that are alike are taken together when one of them is, no more than 16; what the peer changes in their words
/// afterwards is not seen.
#[test]
fn alike_runs_are_taken_together() {
    let (mut producer, mut consumer, memory) = ring(64 * CELL);
    for number in 0..20u8 {
        producer.push_slice(&[[number; CELL]; 2]).expect("room");
    }
    let mut out = [[0; CELL]; 2];
    for number in 0..16u8 {
        assert_eq!(consumer.pop_slice(&mut out), Ok(2));
        assert_eq!(out, [[number; CELL]; 2]);
        if number == 0 {
            for word in 0..64 {
                memory.store(BASE + HEADER_SIZE + 8 * word, u64::MAX);
            }
        }
        assert_eq!(memory.load(BASE), 2 * CELL as u64 * (u64::from(number) + 1));
    }
    assert_eq!(consumer.pop_slice(&mut out), Err(Corrupt));
}

/// Alike runs of which there cannot be so many are not taken together.
#[test]
fn alike_runs_are_no_more_than_fit() {
    for (count, fitting) in [(1, 8), (2, 4), (3, 2), (4, 2), (5, 1), (8, 1)] {
        let (_, mut consumer, memory) = ring(8 * CELL);
        for number in 0..8 {
            let alike = word(number as u64, CELL as u32, count);
            memory.store(BASE + HEADER_SIZE + 8 * number, alike);
        }
        let mut out = vec![[0; CELL]; count as usize];
        assert_eq!(consumer.pop_slice(&mut out), Ok(out.len()));
        for number in 0..8 {
            memory.store(BASE + HEADER_SIZE + 8 * number, u64::MAX);
        }
        for _ in 1..fitting {
            assert_eq!(
                consumer.pop_slice(&mut out),
                Ok(out.len()),
                "with the first"
            );
        }
        assert_eq!(consumer.pop_slice(&mut out), Err(Corrupt), "{count}");
    }
}

/// A run of other records, or of other many, ends those that are taken together; records and slices may take turns.
#[test]
fn unlike_runs_are_taken_one_by_one() {
    let (mut producer, mut consumer, _) = ring(16 * CELL);
    producer.push(&[&[9]]).expect("room");
    producer.push_slice(&[[1; CELL], [2; CELL]]).expect("room");
    producer.push_slice(&[[3; CELL], [4; CELL]]).expect("room");
    producer.push_slice(&[[5; CELL]]).expect("room");
    producer.push(&[&[6; 3 * CELL]]).expect("room");
    let mut out = [[0; CELL]; 2];
    assert_eq!(consumer.pop_slice(&mut out), Ok(0));
    assert_eq!(take(&mut consumer), Ok(Some(vec![9])));
    assert_eq!(consumer.pop_slice(&mut out), Ok(2));
    assert_eq!(out, [[1; CELL], [2; CELL]]);
    assert!(!consumer.release(), "the slice gave the record's room back");
    assert_eq!(take(&mut consumer), Ok(Some(vec![3; CELL])));
    assert_eq!(consumer.pop_slice(&mut out), Ok(2));
    assert_eq!(out, [[4; CELL], [5; CELL]]);
    assert!(!consumer.pending());
    assert!(producer.publish());
    assert_eq!(consumer.pop_slice(&mut out), Ok(0));
    assert_eq!(take(&mut consumer), Ok(Some(vec![6; 3 * CELL])));
    assert!(consumer.release());
    assert_eq!(producer.room(), Ok(16 * CELL as u64));
}

/// Words of the last time around are no runs, however alike: slices of one size, the consumer at most some behind.
#[test]
fn alike_runs_of_all_laps_are_told_apart() {
    for behind in 0..4u8 {
        let (mut producer, mut consumer, _) = ring(8 * CELL);
        let mut out = [[0; CELL]; 2];
        for number in 0..100u8 {
            producer.push_slice(&[[number; CELL]; 2]).expect("room");
            let Some(oldest) = number.checked_sub(behind) else {
                continue;
            };
            assert_eq!(consumer.pop_slice(&mut out), Ok(2));
            assert_eq!(out, [[oldest; CELL]; 2]);
        }
        for number in 100 - behind..100 {
            assert_eq!(consumer.pop_slice(&mut out), Ok(2));
            assert_eq!(out, [[number; CELL]; 2]);
        }
        assert_eq!(consumer.pop_slice(&mut out), Ok(0));
    }
}

/// The same between two threads, with one of another size now and then.
#[test]
fn two_threads_with_slices() {
    const RECORDS: u32 = 30_000;
    let (mut producer, mut consumer, _) = ring(32 * CELL);
    let record = |number: u32| {
        let mut record = [number as u8; CELL];
        record[..4].copy_from_slice(&number.to_le_bytes());
        record
    };
    let sender = std::thread::spawn(move || {
        let mut number = 0;
        while number < RECORDS {
            let count = if number % 7 == 0 { 3 } else { 2 };
            let records: Vec<_> = (number..RECORDS).take(count).map(record).collect();
            match producer.push_slice(&records) {
                Ok(sent) => number += sent as u32,
                Err(PushError::Full) => std::thread::yield_now(),
                Err(error) => panic!("{error:?}"),
            }
        }
    });
    let mut number = 0;
    let mut out = [[0; CELL]; 2];
    while number < RECORDS {
        let taken = consumer.pop_slice(&mut out).expect("an honest producer");
        for taken in &out[..taken] {
            assert_eq!(*taken, record(number));
            number += 1;
        }
        if taken == 0 {
            std::thread::yield_now();
        }
    }
    sender.join().expect("no panic");
}

/// A word that is another one each time that it is read is taken as it was read last, or not at all.
#[test]
fn a_word_that_changes_between_two_looks() {
    struct Fickle<'a>(&'a Shared, AtomicUsize);

    impl Memory for Fickle<'_> {
        fn size(&self) -> usize {
            self.0.size()
        }

        fn load(&self, offset: usize) -> u64 {
            let looks = self.1.load(Ordering::Relaxed);
            if offset == BASE + HEADER_SIZE + 8 {
                self.1.store(looks + 1, Ordering::Relaxed);
                // There when it is looked for, and garbage when it is taken.
                return if looks == 0 {
                    word(1, CELL as u32, 2)
                } else {
                    u64::MAX
                };
            }
            self.0.load(offset)
        }

        fn store(&self, offset: usize, value: u64) {
            self.0.store(offset, value);
        }

        fn read(&self, offset: usize, out: &mut [u8]) {
            self.0.read(offset, out);
        }

        fn write(&self, offset: usize, bytes: &[u8]) {
            self.0.write(offset, bytes);
        }
    }

    impl<'a> Circular for Fickle<'a> {
        type Circle = Masked<Fickle<'a>>;

        fn circle(&self, offset: usize, capacity: usize) -> Option<Self::Circle> {
            Masked::new(Fickle(self.0, AtomicUsize::new(0)), offset, capacity)
        }
    }

    let (mut producer, _, memory) = ring(16 * CELL);
    let mut consumer =
        Consumer::new(&Fickle(&memory, AtomicUsize::new(0)), BASE, 16 * CELL).expect("geometry");
    for number in 0..4u8 {
        producer.push_slice(&[[number; CELL]; 2]).expect("room");
    }
    let mut out = [[0; CELL]; 2];
    assert_eq!(consumer.pop_slice(&mut out), Ok(2));
    assert_eq!(consumer.pop_slice(&mut out), Err(Corrupt));
    assert_eq!(out, [[0; CELL]; 2]);
}
