// SPDX-License-Identifier: GPL-2.0
//! Memory that somebody else writes to between any two accesses.

use crate::source::Source;

use popcorn_core::circle::Circular;
use popcorn_core::circle::Masked;
use popcorn_core::ring::Memory;
use std::cell::RefCell;
use std::rc::Rc;

/// What the code under test did with the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It loaded this word from this offset.
    Load(usize, u64),
    /// It stored this word there.
    Store(usize, u64),
    /// It read so many bytes from this offset on.
    Read(usize, usize),
    /// It wrote so many bytes.
    Write(usize, usize),
}

/// Such memory; clones are the same. An access outside fails the target, for nobody must make one.
#[derive(Clone, Debug)]
pub struct Hostile<'a>(Rc<Cells<'a>>);

#[derive(Debug)]
struct Cells<'a> {
    bytes: RefCell<Vec<u8>>,
    /// Who writes in between: decides before each load and read. Used up: nobody.
    writer: RefCell<Source<'a>>,
    /// Words that it likes to change.
    hot: Vec<usize>,
    log: RefCell<Vec<Access>>,
}

impl<'a> Hostile<'a> {
    /// `bytes`, changed by the decisions in `writer`, mostly at the offsets in `hot`, which are multiples of 8.
    pub fn new(bytes: Vec<u8>, writer: Source<'a>, hot: &[usize]) -> Self {
        Self(Rc::new(Cells {
            bytes: RefCell::new(bytes),
            writer: RefCell::new(writer),
            hot: hot.to_vec(),
            log: RefCell::default(),
        }))
    }

    /// What was done since the last call.
    pub fn accesses(&self) -> Vec<Access> {
        self.0.log.take()
    }

    /// A word, for the target itself.
    pub fn peek(&self, offset: usize) -> u64 {
        let mut word = [0; 8];
        word.copy_from_slice(&self.0.bytes.borrow()[offset..offset + 8]);
        u64::from_le_bytes(word)
    }

    /// Writes a word, for the target itself.
    pub fn poke(&self, offset: usize, value: u64) {
        self.0.bytes.borrow_mut()[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    }

    /// All bytes, for the target itself.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.bytes.borrow().clone()
    }

    /// The other one's turn.
    fn disturb(&self) {
        let mut writer = self.0.writer.borrow_mut();
        if writer.is_empty() {
            return;
        }
        let size = self.size();
        match writer.byte() {
            0..=63 if !self.0.hot.is_empty() => {
                let at = self.0.hot[writer.below(self.0.hot.len())];
                let value = if writer.flag() {
                    writer.word()
                } else {
                    self.peek(at)
                        .wrapping_add((writer.byte() as i8 as u64).wrapping_mul(8))
                };
                self.poke(at, value);
            }
            64..=79 if size >= 8 => {
                let at = writer.below((size / 8).min(1 << 16)) * 8;
                self.poke(at, writer.word());
            }
            80..=95 if size > 0 => {
                let at = writer.below(size.min(1 << 16));
                let byte = writer.byte();
                self.0.bytes.borrow_mut()[at] = byte;
            }
            _ => {}
        }
    }

    fn note(&self, access: Access) {
        self.0.log.borrow_mut().push(access);
    }
}

impl Memory for Hostile<'_> {
    fn size(&self) -> usize {
        self.0.bytes.borrow().len()
    }

    fn load(&self, offset: usize) -> u64 {
        assert!(
            offset % 8 == 0 && offset + 8 <= self.size(),
            "load at {offset}"
        );
        self.disturb();
        let value = self.peek(offset);
        self.note(Access::Load(offset, value));
        value
    }

    fn store(&self, offset: usize, value: u64) {
        assert!(
            offset % 8 == 0 && offset + 8 <= self.size(),
            "store at {offset}"
        );
        self.note(Access::Store(offset, value));
        self.poke(offset, value);
    }

    fn read(&self, offset: usize, out: &mut [u8]) {
        assert!(
            offset <= self.size() && out.len() <= self.size() - offset,
            "read of {} at {offset}",
            out.len()
        );
        self.disturb();
        self.note(Access::Read(offset, out.len()));
        out.copy_from_slice(&self.0.bytes.borrow()[offset..offset + out.len()]);
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(
            offset <= self.size() && bytes.len() <= self.size() - offset,
            "write of {} at {offset}",
            bytes.len()
        );
        self.note(Access::Write(offset, bytes.len()));
        self.0.bytes.borrow_mut()[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}

impl<'a> Circular for Hostile<'a> {
    type Circle = Masked<Hostile<'a>>;

    fn circle(&self, offset: usize, capacity: usize) -> Option<Masked<Hostile<'a>>> {
        Masked::new(self.clone(), offset, capacity)
    }
}
