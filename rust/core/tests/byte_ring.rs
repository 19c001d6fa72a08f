// SPDX-License-Identifier: GPL-2.0
//! The byte ring against a plain queue, two threads, and a peer that writes anything anywhere.

#![cfg(not(loom))]

mod shared_memory;

use popcorn_core::byte_ring::Consumer;
use popcorn_core::byte_ring::Producer;
use popcorn_core::byte_ring::CAPACITY_MAX;
use popcorn_core::byte_ring::HEADER_SIZE;
use popcorn_core::ring::Memory;
use proptest::prelude::*;
use shared_memory::Shared;
use std::collections::VecDeque;

const BASE: usize = 64;
const HEAD: usize = BASE;
const TAIL: usize = BASE + 64;

fn ring(capacity: usize, index: u64) -> (Producer<Shared>, Consumer<Shared>, Shared) {
    let memory = Shared::new(BASE + HEADER_SIZE + capacity);
    memory.store(HEAD, index);
    memory.store(TAIL, index);
    let length = HEADER_SIZE + capacity;
    (
        Producer::new(memory.clone(), BASE, length).expect("geometry"),
        Consumer::new(memory.clone(), BASE, length).expect("geometry"),
        memory,
    )
}

#[derive(Clone, Debug)]
enum Step {
    Push(Vec<u8>),
    /// Look at so many, take so many.
    Take(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..100).prop_map(Step::Push),
        (0usize..100, 0usize..120).prop_map(|(look, take)| Step::Take(look, take)),
    ]
}

proptest! {
    /// Nothing is lost, changed or reordered; what fits is taken, and no more. From any index on, since
    /// those wrap.
    #[test]
    fn behaves_as_a_queue(
        power in 3u32..9,
        steps in prop::collection::vec(step(), 0..200),
        index in prop_oneof![Just(0), Just(u64::MAX - 40), any::<u64>()],
    ) {
        let capacity = 1usize << power;
        let (mut producer, mut consumer, _) = ring(capacity, index);
        let mut queue = VecDeque::new();
        for step in steps {
            prop_assert_eq!(producer.room(), capacity - queue.len());
            prop_assert_eq!(consumer.is_pending(), !queue.is_empty());
            match step {
                Step::Push(bytes) => {
                    let pushed = producer.push(&bytes);
                    prop_assert_eq!(pushed, bytes.len().min(capacity - queue.len()));
                    queue.extend(&bytes[..pushed]);
                }
                Step::Take(look, take) => {
                    let mut out = vec![0xaa; look];
                    let length = consumer.peek(&mut out);
                    prop_assert_eq!(length, look.min(queue.len()));
                    prop_assert!(out[..length].iter().eq(queue.iter().take(length)));
                    prop_assert!(out[length..].iter().all(|&byte| byte == 0xaa));
                    // More than there was when it looked cannot be taken.
                    consumer.consume(take);
                    queue.drain(..take.min(queue.len()));
                }
            }
        }
    }

    /// Whatever the peer stores, the consumer touches nothing outside (Shared would panic), gets no more
    /// than the ring holds, and understands an honest producer that follows at the latest after the
    /// second byte.
    #[test]
    fn consumer_bears_noise(
        heads in prop::collection::vec(prop_oneof![any::<u64>(), 0u64..300], 1..20),
        length in 0usize..200,
    ) {
        let (_, mut consumer, memory) = ring(64, 0);
        for head in heads {
            memory.store(HEAD, head);
            prop_assert!(consumer.pop(&mut vec![0; length]) <= 64);
        }
        let mut producer = Producer::new(memory.clone(), BASE, HEADER_SIZE + 64).expect("geometry");
        while consumer.is_pending() {
            consumer.pop(&mut [0; 64]);
        }
        prop_assert_eq!(producer.push(b"honest"), 6);
        let mut out = [0; 6];
        prop_assert_eq!(consumer.pop(&mut out), 6);
        prop_assert_eq!(&out, b"honest");
    }

    /// And so the producer: it never stops for good, for its honest consumer goes on.
    #[test]
    fn producer_bears_noise(
        tails in prop::collection::vec(prop_oneof![any::<u64>(), 0u64..300], 1..20),
    ) {
        let (mut producer, mut consumer, memory) = ring(64, 0);
        let mut out = [0; 64];
        for tail in tails {
            memory.store(TAIL, tail);
            prop_assert!(producer.room() <= 64);
            prop_assert!(producer.push(&[7; 20]) <= 20);
            prop_assert!(consumer.pop(&mut out) <= 64);
        }
        while consumer.is_pending() {
            consumer.pop(&mut out);
        }
        // What is in the word now is the last noise, or the consumer's.
        if producer.push(b"x") == 1 {
            consumer.pop(&mut out);
        }
        while consumer.is_pending() {
            consumer.pop(&mut out);
        }
        memory.store(TAIL, memory.load(HEAD));
        prop_assert_eq!(producer.push(b"honest"), 6);
        prop_assert_eq!(consumer.pop(&mut out), 6);
        prop_assert_eq!(&out[..6], b"honest");
    }
}

/// An index that somebody else has overwritten is right again when the next byte has passed.
#[test]
fn a_stray_write_costs_text_and_no_more() {
    for (word, value) in [(HEAD, 12345), (HEAD, 0), (TAIL, 12345), (TAIL, u64::MAX)] {
        let (mut producer, mut consumer, memory) = ring(64, 1000);
        let mut out = [0; 64];
        producer.push(b"before");
        consumer.pop(&mut out);
        memory.store(word, value);
        consumer.pop(&mut out);
        // One byte may be lost on the way.
        producer.push(b"?");
        consumer.pop(&mut out);
        assert_eq!(producer.room(), 64, "{word} {value}");
        assert_eq!(producer.push(b"after"), 5);
        assert_eq!(consumer.pop(&mut out), 5, "{word} {value}");
        assert_eq!(&out[..5], b"after");
    }
}

#[test]
fn geometry_is_checked() {
    let memory = Shared::new(4096);
    for (base, length) in [
        (0, 0),
        (0, HEADER_SIZE),
        (0, HEADER_SIZE + 96),
        (4, HEADER_SIZE + 64),
        (4096 - 128, HEADER_SIZE + 64),
        (usize::MAX - 7, HEADER_SIZE + 64),
        (0, usize::MAX),
    ] {
        assert!(Producer::new(memory.clone(), base, length).is_err());
        assert!(Consumer::new(memory.clone(), base, length).is_err());
    }
    assert!(Producer::new(memory.clone(), 4096 - 192, HEADER_SIZE + 64).is_ok());
    let large = Shared::new(HEADER_SIZE + 2 * CAPACITY_MAX);
    assert!(Producer::new(large.clone(), 0, HEADER_SIZE + 2 * CAPACITY_MAX).is_err());
    assert!(Producer::new(large, 0, HEADER_SIZE + CAPACITY_MAX).is_ok());
}

/// Two threads, a small ring, pieces of all lengths: the same bytes come out.
#[test]
fn two_threads() {
    const LENGTH: usize = 1 << 20;
    let byte = |n: usize| (n * 7 + n / 256) as u8;
    let (mut producer, mut consumer, _) = ring(256, 0);
    let sender = std::thread::spawn(move || {
        let mut sent = 0;
        while sent < LENGTH {
            let piece: Vec<u8> = (sent..LENGTH).take(1 + sent % 97).map(byte).collect();
            match producer.push(&piece) {
                0 => std::thread::yield_now(),
                pushed => sent += pushed,
            }
        }
    });
    let mut out = [0; 128];
    let mut got = 0;
    while got < LENGTH {
        let length = 1 + got % out.len();
        let length = consumer.pop(&mut out[..length]);
        if length == 0 {
            std::thread::yield_now();
        }
        for &each in &out[..length] {
            assert_eq!(each, byte(got), "byte {got}");
            got += 1;
        }
    }
    assert!(!consumer.is_pending());
    sender.join().expect("no panic");
}
