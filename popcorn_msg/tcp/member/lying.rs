// SPDX-License-Identifier: GPL-2.0
//! Requests that have come and are not taken: they lie here.

use kernel::prelude::*;

use popcorn_core::stream::lane::MESSAGES_MAX;
use popcorn_core::wire::Header;

/// Requests that have come and are not taken.
pub(super) struct Lying {
    all: KVVec<Option<(Header, KVVec<u8>)>>,
    first: usize,
    length: usize,
}

impl Lying {
    pub(super) fn new() -> Result<Self> {
        let mut all = KVVec::with_capacity(MESSAGES_MAX, GFP_KERNEL)?;
        for _ in 0..MESSAGES_MAX {
            all.push(None, GFP_KERNEL)?;
        }
        Ok(Self {
            all,
            first: 0,
            length: 0,
        })
    }

    /// There is room by the lane's window.
    pub(super) fn push(&mut self, header: Header, payload: KVVec<u8>) {
        let at = (self.first + self.length) % MESSAGES_MAX;
        if let Some(slot) = self.all.get_mut(at) {
            *slot = Some((header, payload));
            self.length += 1;
        }
    }

    pub(super) fn pop(&mut self) -> Option<(Header, KVVec<u8>)> {
        let taken = self.all.get_mut(self.first)?.take()?;
        self.first = (self.first + 1) % MESSAGES_MAX;
        self.length -= 1;
        Some(taken)
    }

    pub(super) fn clear(&mut self) {
        while self.pop().is_some() {}
    }
}
