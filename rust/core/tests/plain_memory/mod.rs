// SPDX-License-Identifier: GPL-2.0
//! Memory for one thread.

use popcorn_core::ring::Memory;
use std::cell::RefCell;
use std::rc::Rc;

/// Bytes; clones are the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Plain(Rc<RefCell<Vec<u8>>>);

#[allow(dead_code, reason = "each test uses what it needs")]
impl Plain {
    /// These bytes.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Rc::new(RefCell::new(bytes)))
    }

    /// A copy of all.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.borrow().clone()
    }

    /// `size` times `byte`.
    pub(crate) fn filled(size: usize, byte: u8) -> Self {
        Self::new(vec![byte; size])
    }
}

impl Memory for Plain {
    fn size(&self) -> usize {
        self.0.borrow().len()
    }

    fn load(&self, offset: usize) -> u64 {
        let mut word = [0; 8];
        self.read(offset, &mut word);
        u64::from_le_bytes(word)
    }

    fn store(&self, offset: usize, value: u64) {
        self.write(offset, &value.to_le_bytes());
    }

    fn read(&self, offset: usize, out: &mut [u8]) {
        out.copy_from_slice(&self.0.borrow()[offset..offset + out.len()]);
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        self.0.borrow_mut()[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}
