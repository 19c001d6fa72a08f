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
use popcorn_core::circle::Circular;
use popcorn_core::circle::Masked;
use popcorn_core::ring::length;
use popcorn_core::ring::Consumer;
use popcorn_core::ring::Memory;
use popcorn_core::ring::Producer;
use popcorn_core::ring::PushError;
use popcorn_core::ring::CELL;
use popcorn_core::ring::HEADER_SIZE;

/// The tail and the words as atomics, the data as cells whose accesses loom checks against each other.
#[derive(Clone)]
struct Model(Arc<Cells>);

struct Cells {
    tail: AtomicU64,
    words: Vec<AtomicU64>,
    data: Vec<UnsafeCell<[u8; 8]>>,
}

// SAFETY: loom's cells check at run time that no two accesses race; that is the test.
unsafe impl Send for Cells {}
// SAFETY: as above.
unsafe impl Sync for Cells {}

impl Model {
    /// Memory for a ring with so much data.
    fn new(capacity: usize) -> Self {
        Self(Arc::new(Cells {
            tail: AtomicU64::new(0),
            // Nobody needs it to be zero.
            words: (0..capacity / CELL).map(|_| AtomicU64::new(7)).collect(),
            data: (0..capacity / 8).map(|_| UnsafeCell::new([0; 8])).collect(),
        }))
    }

    fn data_at(&self) -> usize {
        self.size() - 8 * self.0.data.len()
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        match offset {
            0 => &self.0.tail,
            _ => &self.0.words[(offset - HEADER_SIZE) / 8],
        }
    }

    /// The cells of a range, each with the part of the range that lies in it.
    fn cells(
        &self,
        offset: usize,
        length: usize,
    ) -> impl Iterator<Item = (&UnsafeCell<[u8; 8]>, usize, usize)> {
        let begin = offset - self.data_at();
        (0..length).map(move |n| (&self.0.data[(begin + n) / 8], (begin + n) % 8, n))
    }
}

impl Memory for Model {
    fn size(&self) -> usize {
        length(8 * self.0.data.len())
    }

    fn load(&self, offset: usize) -> u64 {
        self.word(offset).load(Ordering::Acquire)
    }

    fn store(&self, offset: usize, value: u64) {
        self.word(offset).store(value, Ordering::Release);
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

impl Circular for Model {
    type Circle = Masked<Self>;

    fn circle(&self, offset: usize, capacity: usize) -> Option<Masked<Self>> {
        Masked::new(self.clone(), offset, capacity)
    }
}

fn ring(capacity: usize) -> (Producer<Model>, Consumer<Model>) {
    let memory = Model::new(capacity);
    (
        Producer::new(&memory, 0, capacity).expect("geometry"),
        Consumer::new(&memory, 0, capacity).expect("geometry"),
    )
}

/// Three records of a cell each through a ring with room for two: the ring wraps and fills up.
#[test]
fn records_pass_whole_and_in_order() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(2 * CELL);
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
        let (mut producer, mut consumer) = ring(4 * CELL);
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

/// A slice is one run: what there is no room for waits, and all comes, in order, whether the other
/// side takes slices or single records.
#[test]
fn slices_pass_whole_and_in_order() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(2 * CELL);
        let sender = thread::spawn(move || {
            let records = [[1; CELL], [2; CELL], [3; CELL]];
            let mut sent = producer.push_slice(&records).expect("honest");
            assert_eq!(sent, 2, "so many fit");
            while sent < records.len() {
                match producer.push_slice(&records[sent..]) {
                    Ok(number) => sent += number,
                    Err(PushError::Full) => thread::yield_now(),
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
        let mut out = [[0; CELL]; 2];
        let mut taken = 0;
        while taken < 2 {
            let number = consumer.pop_slice(&mut out[taken..]).expect("honest");
            assert!(number == 0 || number == 2, "half a run");
            taken += number;
            thread::yield_now();
        }
        assert_eq!(out, [[1; CELL], [2; CELL]]);
        while consumer.front().expect("honest").is_none() {
            thread::yield_now();
        }
        assert!(consumer.read(0, &mut out[0]));
        assert_eq!(out[0], [3; CELL]);
        consumer.pop();
        assert_eq!(consumer.front(), Ok(None));
        sender.join().expect("no panic");
    });
}

/// Alike runs are taken together only as far as they are there.
#[test]
fn alike_runs_are_whole() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(4 * CELL);
        let sender = thread::spawn(move || {
            producer.push(&[&[1; CELL]]).expect("room");
            producer.push(&[&[2; CELL]]).expect("room");
            producer.publish();
            producer.push_slice(&[[3; CELL]]).expect("room");
        });
        for number in 1..=3u8 {
            let mut out = [[0; CELL]];
            while consumer.pop_slice(&mut out).expect("honest") == 0 {
                thread::yield_now();
            }
            assert_eq!(out, [[number; CELL]]);
        }
        sender.join().expect("no panic");
    });
}

/// Room that was given back is used again while a further run is taken, but not read.
#[test]
fn alike_runs_take_used_places() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(2 * CELL);
        let sender = thread::spawn(move || {
            producer.push_slice(&[[1; CELL]]).expect("room");
            producer.push_slice(&[[2; CELL]]).expect("room");
            while producer.push_slice(&[[3; CELL]]).is_err() {
                thread::yield_now();
            }
        });
        for number in 1..=3u8 {
            let mut out = [[0; CELL]];
            while consumer.pop_slice(&mut out).expect("honest") == 0 {
                thread::yield_now();
            }
            assert_eq!(out, [[number; CELL]]);
        }
        sender.join().expect("no panic");
    });
}

/// Several runs in places where others were, of which the last was given back bit by bit.
#[test]
fn a_batch_takes_used_places() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(2 * CELL);
        let sender = thread::spawn(move || {
            producer.push_slice(&[[1; CELL], [2; CELL]]).expect("room");
            for number in 3..=4u8 {
                while producer.push(&[&[number; CELL]]).is_err() {
                    producer.publish();
                    thread::yield_now();
                }
            }
            producer.publish();
        });
        for number in 1..=4u8 {
            while consumer.front().expect("honest").is_none() {
                thread::yield_now();
            }
            let mut record = [0; CELL];
            assert!(consumer.read(0, &mut record));
            assert_eq!(record, [number; CELL]);
            consumer.pop();
            consumer.release();
        }
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
        let (mut producer, consumer) = ring(2 * CELL);
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
