// SPDX-License-Identifier: GPL-2.0
//! The ring of bytes, from both sides, over memory that the other side writes to at any time.
//!
//! As for the ring of records, but that lies do not end it: when they do, and one byte has passed, text comes
//! whole again.

use super::Target;
use crate::memory::Access;
use crate::memory::Hostile;
use crate::source::Source;

use popcorn_core::byte_ring::Consumer;
use popcorn_core::byte_ring::Producer;
use popcorn_core::byte_ring::HEADER_SIZE;
use std::collections::VecDeque;

pub(super) const TARGET: Target = Target {
    name: "byte_ring",
    about: "both ends of a ring of bytes",
    most: 1024,
    seeds,
    run,
};

const HEAD: usize = 0;
const TAIL: usize = 64;
/// Most accesses of one call.
const ACCESSES_MAX: usize = 5;

fn seeds() -> Vec<Vec<u8>> {
    let seed = |bits: u8, writer: u8| {
        let mut seed = vec![bits, 1, writer];
        for n in 0..60u8 {
            seed.extend([n % 5, n.wrapping_mul(37), n]);
        }
        seed
    };
    vec![seed(0, 0), seed(3, 0), seed(5, 0), seed(2, 60), seed(6, 90)]
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let capacity = 1usize << source.below(9);
    let base = 8 * source.below(4);
    let length = HEADER_SIZE + capacity;
    let writer = source.byte();
    let writer = Source::new(source.take(usize::from(writer)));
    let is_honest = writer.is_empty();
    let hot = [base + HEAD, base + TAIL];
    let memory = Hostile::new(vec![0; base + length + 16], writer, &hot);
    let mut producer = Producer::new(memory.clone(), base, length).unwrap();
    let mut consumer = Consumer::new(memory.clone(), base, length).unwrap();
    let mut text = VecDeque::new();
    let mut lies = false;
    memory.accesses();

    let data = base + HEADER_SIZE..base + length;
    let check = |writes: bool| {
        let accesses = memory.accesses();
        assert!(accesses.len() <= ACCESSES_MAX);
        for access in accesses {
            let (load, store) = if writes { (TAIL, HEAD) } else { (HEAD, TAIL) };
            match access {
                Access::Load(offset, _) => assert_eq!(offset, base + load),
                Access::Store(offset, _) => assert_eq!(offset, base + store),
                Access::Write(from, count) => {
                    assert!(writes && from >= data.start && from + count <= data.end);
                }
                Access::Read(from, count) => {
                    assert!(!writes && from >= data.start && from + count <= data.end);
                }
            }
        }
    };
    while !source.is_empty() {
        match source.below(6) {
            0 | 1 => {
                let count = source.below(2 * capacity.min(200));
                let first = source.byte();
                let bytes: Vec<u8> = (0..count).map(|n| first.wrapping_add(n as u8)).collect();
                let pushed = producer.push(&bytes);
                check(true);
                assert!(pushed <= count && pushed <= capacity);
                if is_honest && !lies {
                    assert_eq!(pushed, count.min(capacity - text.len()));
                    text.extend(&bytes[..pushed]);
                }
            }
            2 => {
                let mut out = vec![0; source.below(capacity + 8)];
                let popped = consumer.pop(&mut out);
                check(false);
                assert!(popped <= out.len() && popped <= capacity);
                if is_honest && !lies {
                    assert_eq!(popped, out.len().min(text.len()));
                    assert!(out[..popped].iter().copied().eq(text.drain(..popped)));
                }
            }
            3 => {
                let mut out = vec![0; source.below(capacity + 8)];
                let seen = consumer.peek(&mut out);
                check(false);
                assert!(seen <= out.len() && seen <= capacity);
                let taken = source.below(capacity + 8);
                consumer.consume(taken);
                check(false);
                if is_honest && !lies {
                    assert!(out[..seen].iter().eq(text.iter().take(seen)));
                    text.drain(..taken.min(text.len()));
                }
            }
            4 => {
                assert!(producer.room() <= capacity);
                check(true);
                consumer.is_pending();
                check(false);
            }
            _ => {
                // Somebody else writes an index.
                memory.poke(hot[source.below(2)], source.word());
                lies = true;
            }
        }
    }

    // Nobody lies any more: once a byte has passed, all does. (None passes while the words say that it is full.)
    let mut out = vec![0; capacity];
    if !is_honest || consumer.pop(&mut out) > 0 && consumer.pop(&mut out) > 0 {
        return;
    }
    if producer.push(b"x") == 1 {
        consumer.pop(&mut out);
        let line = &b"all is well again"[..capacity.min(17)];
        assert_eq!(producer.push(line), line.len());
        assert_eq!(consumer.pop(&mut out), line.len());
        assert_eq!(&out[..line.len()], line);
    }
}
