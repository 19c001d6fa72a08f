// SPDX-License-Identifier: GPL-2.0
//! The byte ring under a model checker: every interleaving and every order that the memory model
//! allows, with the data in cells that report a race.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --test byte_ring_loom`

#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicU64;
use loom::sync::atomic::Ordering;
use loom::sync::Arc;
use loom::thread;
use popcorn_core::byte_ring::Consumer;
use popcorn_core::byte_ring::Producer;
use popcorn_core::byte_ring::HEADER_SIZE;
use popcorn_core::ring::Memory;

const CAPACITY: usize = 2;
const SIZE: usize = HEADER_SIZE + CAPACITY;

/// The two indices as atomics, the data as bytes whose accesses loom checks against each other.
#[derive(Clone)]
struct Model(Arc<Cells>);

struct Cells {
    head: AtomicU64,
    tail: AtomicU64,
    data: [UnsafeCell<u8>; CAPACITY],
}

// SAFETY: loom's cells check at run time that no two accesses race; that is the test.
unsafe impl Send for Cells {}
// SAFETY: as above.
unsafe impl Sync for Cells {}

impl Model {
    fn new() -> Self {
        Self(Arc::new(Cells {
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            data: [UnsafeCell::new(0), UnsafeCell::new(0)],
        }))
    }

    fn index(&self, offset: usize) -> &AtomicU64 {
        match offset {
            0 => &self.0.head,
            64 => &self.0.tail,
            other => panic!("no index at {other}"),
        }
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
        for (n, out) in out.iter_mut().enumerate() {
            // SAFETY: loom checks that nobody writes meanwhile.
            self.0.data[offset - HEADER_SIZE + n].with(|byte| *out = unsafe { *byte });
        }
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        for (n, &byte) in bytes.iter().enumerate() {
            // SAFETY: loom checks that nobody accesses it meanwhile.
            self.0.data[offset - HEADER_SIZE + n].with_mut(|to| unsafe { *to = byte });
        }
    }
}

/// Four bytes through a ring for two: it wraps and fills up, and no honest side ever takes the other's
/// index for one that cannot be, since then bytes would be missing.
#[test]
fn bytes_pass_in_order() {
    loom::model(|| {
        let memory = Model::new();
        let mut producer = Producer::new(memory.clone(), 0, SIZE).expect("geometry");
        let mut consumer = Consumer::new(memory, 0, SIZE).expect("geometry");
        let sender = thread::spawn(move || {
            let mut rest = &b"abcd"[..];
            while !rest.is_empty() {
                match producer.push(rest) {
                    0 => thread::yield_now(),
                    pushed => rest = &rest[pushed..],
                }
            }
        });
        let mut got = Vec::new();
        while got.len() < 4 {
            let mut out = [0; 3];
            match consumer.pop(&mut out) {
                0 => thread::yield_now(),
                length => got.extend_from_slice(&out[..length]),
            }
        }
        assert_eq!(got, b"abcd");
        assert!(!consumer.is_pending());
        sender.join().expect("no panic");
    });
}
