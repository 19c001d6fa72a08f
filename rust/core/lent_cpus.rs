// SPDX-License-Identifier: GPL-2.0

//! Which processors a secondary kernel has, as the primary tells it in the status page, and what it says to
//! a change.
//!
//! | bytes | word | writer |
//! |---|---|---|
//! | 3072.. | number of the list: rises with each change; 0 while it is being changed | primary |
//! | 3080.. | how many processors | primary |
//! | 3088.. | the number of the last list that it has dealt with | secondary |
//! | 3096.. | what came of that: 0, or an errno | secondary |
//! | 3104.. | hardware ids, a 64-bit word each | primary |
//!
//! All are 64-bit words, stored in one piece. A primary that waits no more for an answer makes another list; an
//! answer to the one before counts for nothing then. Neither side trusts the other's numbers: the primary
//! keeps that of its last list to itself ([`CpuLists`]).

use crate::partition::CPUS_MAX;
use crate::ring::Memory;

const NUMBER: usize = 3072;
const COUNT: usize = 3080;
const ANSWERED: usize = 3088;
const RESULT: usize = 3096;
const IDS: usize = 3104;
const _: () = assert!(IDS + CPUS_MAX * 8 <= 4096);

/// A list of processors in the page at the start of a memory.
pub struct LentCpus<M>(pub M);

/// A list that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    number: u64,
    ids: [u32; CPUS_MAX],
    count: usize,
}

impl List {
    /// The number that tells lists apart.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The hardware ids.
    pub fn ids(&self) -> &[u32] {
        self.ids.get(..self.count).unwrap_or(&[])
    }
}

/// The lists that the primary makes for a secondary: the other side of [`LentCpus`].
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuLists {
    /// Of the last one.
    number: u64,
}

impl CpuLists {
    /// The first list, before the secondary runs; it counts as answered.
    pub fn begin<M: Memory>(&mut self, page: &LentCpus<M>, ids: &[u32]) {
        self.change(page, ids);
        page.0.store(RESULT, 0);
        page.0.store(ANSWERED, self.number);
    }

    /// Another list, in place of the one before.
    pub fn change<M: Memory>(&mut self, page: &LentCpus<M>, ids: &[u32]) {
        // Not by what the page says: the secondary can write there.
        self.number += 1;
        page.store(self.number, ids);
    }

    /// What the secondary has said to the last list: an errno if it could not do it; `None` if nothing.
    pub fn answer<M: Memory>(&self, page: &LentCpus<M>) -> Option<Result<(), i32>> {
        (page.0.load(ANSWERED) == self.number).then(|| match page.0.load(RESULT) {
            0 => Ok(()),
            errno => Err(errno.min(4095) as i32),
        })
    }
}

impl<M: Memory> LentCpus<M> {
    fn store(&self, number: u64, ids: &[u32]) {
        self.0.store(NUMBER, 0);
        for (index, id) in ids.iter().take(CPUS_MAX).enumerate() {
            self.0.store(IDS + index * 8, u64::from(*id));
        }
        self.0.store(COUNT, ids.len().min(CPUS_MAX) as u64);
        self.0.store(NUMBER, number);
    }

    /// The list; `None` if it is being changed, or no list.
    pub fn list(&self) -> Option<List> {
        let number = self.0.load(NUMBER);
        let count = usize::try_from(self.0.load(COUNT)).ok()?;
        let mut list = List {
            number,
            ids: [0; CPUS_MAX],
            count,
        };
        for (index, id) in list.ids.get_mut(..count)?.iter_mut().enumerate() {
            *id = u32::try_from(self.0.load(IDS + index * 8)).ok()?;
        }
        (number != 0 && self.0.load(NUMBER) == number).then_some(list)
    }

    /// Says what came of a list.
    pub fn answered(&self, list: &List, errno: i32) {
        self.0.store(RESULT, errno.unsigned_abs().into());
        self.0.store(ANSWERED, list.number);
    }
}
