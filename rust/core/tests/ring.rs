// SPDX-License-Identifier: GPL-2.0
//! The ring against a plain queue, two threads, and a peer that writes anything anywhere.

#![cfg(not(loom))]

mod shared_memory;

use popcorn_core::ring::Consumer;
use popcorn_core::ring::Corrupt;
use popcorn_core::ring::Memory;
use popcorn_core::ring::Producer;
use popcorn_core::ring::PushError;
use popcorn_core::ring::HEADER_SIZE;
use popcorn_core::ring::RECORD_MAX;
use proptest::prelude::*;
use shared_memory::Shared;
use std::collections::VecDeque;

fn ring(capacity: usize) -> (Producer<Shared>, Consumer<Shared>, Shared) {
    let memory = Shared::new(64 + HEADER_SIZE + capacity);
    let producer = Producer::new(memory.clone(), 64, HEADER_SIZE + capacity);
    let consumer = Consumer::new(memory.clone(), 64, HEADER_SIZE + capacity);
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
    Publish,
    Take,
    Release,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..4)
            .prop_map(Step::Push),
        2 => Just(Step::Publish),
        4 => Just(Step::Take),
        2 => Just(Step::Release),
    ]
}

proptest! {
    /// The ring does what a queue does: nothing is lost, changed or reordered, published records
    /// alone are seen, and "full" is never said while the queue's bytes leave room.
    #[test]
    fn behaves_as_a_queue(power in 5u32..9, steps in prop::collection::vec(step(), 0..200)) {
        let capacity = 1usize << power;
        let (mut producer, mut consumer, _) = ring(capacity);
        let mut queue = VecDeque::new();
        let mut visible = 0;
        let mut used = 0;
        let mut unreleased = 0;
        for step in steps {
            match step {
                Step::Push(parts) => {
                    let record = parts.concat();
                    let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
                    let footprint = 8 + record.len().next_multiple_of(8);
                    let expected = if record.is_empty() || record.len() > producer.record_max() {
                        Err(PushError::Length)
                    } else if used + footprint > capacity {
                        Err(PushError::Full)
                    } else {
                        Ok(())
                    };
                    prop_assert_eq!(producer.push(&slices), expected);
                    if expected.is_ok() {
                        used += footprint;
                        queue.push_back(record);
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
                        unreleased += 8 + record.len().next_multiple_of(8);
                        prop_assert_eq!(Some(record), queue.pop_front());
                        visible -= 1;
                    }
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
    fn reads_pieces(record in prop::collection::vec(any::<u8>(), 1..60), skip in 0usize..8,
                    from in 0usize..80, length in 0usize..80) {
        let (mut producer, mut consumer, _) = ring(128);
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
        heads in prop::collection::vec(
            prop_oneof![any::<u64>(), 0u64..300, (0u64..40).prop_map(|n| n * 8)], 1..20),
        noise in prop::collection::vec((0usize..128, any::<u8>()), 0..40),
        lengths in prop::collection::vec((0usize..16, any::<u32>()), 0..10),
    ) {
        let (_, mut consumer, memory) = ring(128);
        for (at, byte) in noise {
            memory.write(64 + HEADER_SIZE + at, &[byte]);
        }
        for (at, length) in lengths {
            let length = length % 200;
            let word = u64::from(length) | (u64::from(!length) << 32);
            memory.write(64 + HEADER_SIZE + 8 * at, &word.to_le_bytes());
        }
        'heads: for head in heads {
            memory.store(64, head);
            for _ in 0..20 {
                match take(&mut consumer) {
                    Ok(Some(record)) => prop_assert!((1..=120).contains(&record.len())),
                    Ok(None) => break,
                    Err(Corrupt) => break 'heads,
                }
            }
            consumer.release();
        }
    }

    /// A producer bears a consumer that writes anything.
    #[test]
    fn producer_bears_noise(
        tails in prop::collection::vec(prop_oneof![any::<u64>(), (0u64..40).prop_map(|n| n * 8)], 1..20),
    ) {
        let (mut producer, _, memory) = ring(128);
        for tail in tails {
            memory.store(64 + 128, tail);
            match producer.push(&[&[7; 20]]) {
                Ok(()) => { producer.publish(); }
                Err(PushError::Full) => {}
                Err(PushError::Corrupt) => break,
                Err(PushError::Length) => prop_assert!(false, "20 bytes fit"),
            }
        }
    }
}

/// The indices that a peer must not be able to store.
#[test]
fn impossible_indices_are_corrupt() {
    // A head beyond the capacity, odd, or moved back.
    for heads in [&[136u64][..], &[7], &[64, 56], &[u64::MAX - 7]] {
        let (mut producer, mut consumer, memory) = ring(128);
        for _ in 0..4 {
            producer.push(&[&[1; 8]]).expect("room");
        }
        let mut last = Ok(None);
        for &head in heads {
            memory.store(64, head);
            while let Ok(Some(_)) = last {
                last = take(&mut consumer);
            }
            last = take(&mut consumer);
            while let Ok(Some(_)) = last {
                last = take(&mut consumer);
            }
        }
        assert_eq!(last, Err(Corrupt), "{heads:?}");
    }
    // A tail ahead of what was published, odd, or moved back.
    for tails in [&[24u64][..], &[3], &[16, 8], &[u64::MAX - 7]] {
        let (mut producer, _, memory) = ring(128);
        producer.push(&[&[1; 8]]).expect("room");
        producer.publish();
        let mut last = Ok(0);
        for &tail in tails {
            memory.store(64 + 128, tail);
            last = producer.room();
        }
        assert_eq!(last, Err(Corrupt), "{tails:?}");
    }
}

#[test]
fn geometry_is_checked() {
    let memory = Shared::new(4096);
    for (base, length) in [
        (0, 0),
        (0, HEADER_SIZE),
        (0, HEADER_SIZE + 16),
        (0, HEADER_SIZE + 96),
        (4, HEADER_SIZE + 64),
        (4096 - 256, HEADER_SIZE + 64),
        (usize::MAX - 7, HEADER_SIZE + 64),
        (0, usize::MAX),
    ] {
        assert!(
            Producer::new(memory.clone(), base, length).is_err(),
            "{base} {length}"
        );
        assert!(
            Consumer::new(memory.clone(), base, length).is_err(),
            "{base} {length}"
        );
    }
    assert!(Producer::new(memory.clone(), 4096 - 320, HEADER_SIZE + 64).is_ok());
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
    let (mut producer, mut consumer, _) = ring(256);
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
