// SPDX-License-Identifier: GPL-2.0
//! The ring under a model checker: every interleaving and every order that the memory model
//! allows, with the data in cells that report a race.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --test ring_loom`

#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicU64;
use loom::sync::atomic::Ordering;
use loom::sync::Arc;
use loom::thread;
use popcorn_core::ring::Consumer;
use popcorn_core::ring::Memory;
use popcorn_core::ring::Producer;
use popcorn_core::ring::PushError;
use popcorn_core::ring::CAPACITY_MIN;
use popcorn_core::ring::HEADER_SIZE;

/// The two indices as atomics, the data as words whose accesses loom checks against each other.
#[derive(Clone)]
struct Model(Arc<Cells>);

struct Cells {
    head: AtomicU64,
    tail: AtomicU64,
    data: Vec<UnsafeCell<[u8; 8]>>,
}

// SAFETY: loom's cells check at run time that no two accesses race; that is the test.
unsafe impl Send for Cells {}
// SAFETY: as above.
unsafe impl Sync for Cells {}

const SIZE: usize = HEADER_SIZE + CAPACITY_MIN;

impl Model {
    fn new() -> Self {
        Self(Arc::new(Cells {
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            data: (0..CAPACITY_MIN / 8)
                .map(|_| UnsafeCell::new([0; 8]))
                .collect(),
        }))
    }

    fn index(&self, offset: usize) -> &AtomicU64 {
        match offset {
            0 => &self.0.head,
            128 => &self.0.tail,
            other => panic!("no index at {other}"),
        }
    }

    /// The cells of a range, each with the part of the range that lies in it.
    fn cells(
        &self,
        offset: usize,
        length: usize,
    ) -> impl Iterator<Item = (&UnsafeCell<[u8; 8]>, usize, usize)> {
        let begin = offset - HEADER_SIZE;
        (0..length).map(move |n| (&self.0.data[(begin + n) / 8], (begin + n) % 8, n))
    }
}

impl Memory for Model {
    fn size(&self) -> usize {
        SIZE
    }

    fn load(&self, offset: usize) -> u64 {
        self.index(offset).load(Ordering::Acquire)
    }

    fn store(&self, offset: usize, value: u64) {
        self.index(offset).store(value, Ordering::Release);
    }

    fn read(&self, offset: usize, out: &mut [u8]) {
        for (cell, at, n) in self.cells(offset, out.len()) {
            // SAFETY: loom checks that nobody writes meanwhile.
            cell.with(|bytes| out[n] = unsafe { (*bytes)[at] });
        }
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        for (cell, at, n) in self.cells(offset, bytes.len()) {
            // SAFETY: loom checks that nobody accesses it meanwhile.
            cell.with_mut(|to| unsafe { (*to)[at] = bytes[n] });
        }
    }
}

/// Three records of 16 bytes each through a ring with room for two: the ring wraps and fills up.
#[test]
fn records_pass_whole_and_in_order() {
    loom::model(|| {
        let memory = Model::new();
        let mut producer = Producer::new(memory.clone(), 0, SIZE).expect("geometry");
        let mut consumer = Consumer::new(memory, 0, SIZE).expect("geometry");
        let sender = thread::spawn(move || {
            for number in 1..=3u8 {
                loop {
                    match producer.push(&[&[number; 3], &[number; 2]]) {
                        Ok(()) => break,
                        Err(PushError::Full) => thread::yield_now(),
                        Err(error) => panic!("{error:?}"),
                    }
                }
                producer.publish();
            }
        });
        for number in 1..=3u8 {
            let length = loop {
                match consumer.front().expect("an honest producer") {
                    Some(length) => break length,
                    None => thread::yield_now(),
                }
            };
            let mut record = [0; 5];
            assert_eq!(length, record.len());
            assert!(consumer.read(0, &mut record));
            assert_eq!(record, [number; 5]);
            consumer.pop();
            consumer.release();
        }
        sender.join().expect("no panic");
    });
}

/// Two records published as one batch are seen both or not at all, and released as one.
#[test]
fn a_batch_is_published_at_once() {
    loom::model(|| {
        let memory = Model::new();
        let mut producer = Producer::new(memory.clone(), 0, SIZE).expect("geometry");
        let mut consumer = Consumer::new(memory, 0, SIZE).expect("geometry");
        let sender = thread::spawn(move || {
            producer.push(&[&[1]]).expect("room");
            producer.push(&[&[2]]).expect("room");
            producer.publish();
        });
        let mut seen = 0;
        while consumer.front().expect("honest").is_some() {
            seen += 1;
            consumer.pop();
        }
        assert!(seen == 0 || seen == 2, "half a batch");
        consumer.release();
        sender.join().expect("no panic");
    });
}

/// The sleeping flag as `popcorn_msg` uses it: with the two fences, a message is either seen
/// before going to sleep, or its sender sees that it must ring.
#[test]
fn no_message_is_slept_over() {
    use loom::sync::atomic::fence;
    use loom::sync::atomic::AtomicBool;
    loom::model(|| {
        let memory = Model::new();
        let mut producer = Producer::new(memory.clone(), 0, SIZE).expect("geometry");
        let consumer = Consumer::new(memory, 0, SIZE).expect("geometry");
        let sleeping = Arc::new(AtomicBool::new(false));
        let flag = sleeping.clone();
        let sender = thread::spawn(move || {
            producer.push(&[&[1]]).expect("room");
            producer.publish();
            fence(Ordering::SeqCst);
            flag.load(Ordering::Acquire)
        });
        sleeping.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        let saw = consumer.pending();
        let rang = sender.join().expect("no panic");
        assert!(saw || rang, "asleep with a message in the ring");
    });
}
