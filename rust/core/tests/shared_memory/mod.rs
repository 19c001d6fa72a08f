// SPDX-License-Identifier: GPL-2.0
//! Memory for two threads.

use popcorn_core::circle::Circular;
use popcorn_core::circle::Masked;
use popcorn_core::ring::Memory;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering;
use std::sync::Arc;

/// Memory that two threads share: words and bytes of their own, without a data race by
/// construction. An access outside fails the test, for the ring must not make any.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Cells>);

#[derive(Debug)]
struct Cells {
    words: Vec<AtomicU64>,
    bytes: Vec<AtomicU8>,
}

impl Shared {
    /// `size` zero bytes.
    pub(crate) fn new(size: usize) -> Self {
        Self(Arc::new(Cells {
            words: (0..size / 8).map(|_| AtomicU64::new(0)).collect(),
            bytes: (0..size).map(|_| AtomicU8::new(0)).collect(),
        }))
    }
}

impl Memory for Shared {
    fn size(&self) -> usize {
        self.0.bytes.len()
    }

    fn load(&self, offset: usize) -> u64 {
        assert_eq!(offset % 8, 0);
        self.0.words[offset / 8].load(Ordering::Acquire)
    }

    fn store(&self, offset: usize, value: u64) {
        assert_eq!(offset % 8, 0);
        self.0.words[offset / 8].store(value, Ordering::Release);
    }

    fn read(&self, offset: usize, out: &mut [u8]) {
        for (to, from) in out.iter_mut().zip(&self.0.bytes[offset..]) {
            *to = from.load(Ordering::Relaxed);
        }
        assert!(offset + out.len() <= self.size());
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        for (from, to) in bytes.iter().zip(&self.0.bytes[offset..]) {
            to.store(*from, Ordering::Relaxed);
        }
        assert!(offset + bytes.len() <= self.size());
    }
}

impl Circular for Shared {
    type Circle = Masked<Self>;

    fn circle(&self, offset: usize, capacity: usize) -> Option<Masked<Self>> {
        Masked::new(self.clone(), offset, capacity)
    }
}
