// SPDX-License-Identifier: GPL-2.0
//! A list of processors arrives whole, and nonsense is no list.

#![cfg(not(loom))]

mod plain_memory;

use core::cell::RefCell;
use plain_memory::Plain;
use popcorn_core::lent_cpus::CpuLists;
use popcorn_core::lent_cpus::LentCpus;
use popcorn_core::lent_cpus::List;
use popcorn_core::partition::CPUS_MAX;
use popcorn_core::ring::Memory;

/// Where the number of the list is.
const NUMBER: usize = 3072;

#[test]
fn lists_follow_each_other() {
    let memory = Plain::filled(4096, 0);
    let page = LentCpus(&memory);
    let mut lists = CpuLists::default();
    assert_eq!(page.list(), None);
    lists.begin(&page, &[7, 300]);
    let first = page.list().unwrap();
    assert_eq!(first.ids(), [7, 300]);
    assert_eq!(lists.answer(&page), Some(Ok(())));

    lists.change(&page, &[7]);
    assert_eq!(lists.answer(&page), None);
    let second = page.list().unwrap();
    assert_ne!(second.number(), first.number());
    assert_eq!(second.ids(), [7]);
    page.answered(&second, -16);
    assert_eq!(lists.answer(&page), Some(Err(16)));
    lists.change(&page, &[7, 300, 9]);
    // Late, to the one before.
    page.answered(&second, 0);
    assert_eq!(lists.answer(&page), None);
    page.answered(&page.list().unwrap(), 0);
    assert_eq!(lists.answer(&page), Some(Ok(())));

    // Another start.
    lists.begin(&page, &[9]);
    assert_eq!(page.list().unwrap().ids(), [9]);
    assert_eq!(lists.answer(&page), Some(Ok(())));
}

#[test]
fn numbers_are_the_primarys() {
    let memory = Plain::filled(4096, 0);
    let page = LentCpus(&memory);
    let mut lists = CpuLists::default();
    lists.begin(&page, &[7]);
    let first = page.list().unwrap();
    // The other kernel makes the number what it was before the first one.
    memory.store(NUMBER, first.number() - 1);
    lists.change(&page, &[7, 8]);
    let second = page.list().unwrap();
    assert_ne!(second.number(), first.number());
    assert_eq!(lists.answer(&page), None);
    page.answered(&second, 0);
    memory.store(NUMBER, u64::MAX);
    lists.change(&page, &[7]);
    assert_eq!(lists.answer(&page), None);
    assert_eq!(page.list().unwrap().number(), second.number() + 1);
}

/// Memory in which somebody looks for a list after each store.
struct Watched {
    memory: Plain,
    seen: RefCell<Vec<List>>,
}

impl Memory for Watched {
    fn size(&self) -> usize {
        self.memory.size()
    }

    fn load(&self, offset: usize) -> u64 {
        self.memory.load(offset)
    }

    fn store(&self, offset: usize, value: u64) {
        self.memory.store(offset, value);
        self.seen.borrow_mut().extend(LentCpus(&self.memory).list());
    }

    fn read(&self, offset: usize, out: &mut [u8]) {
        self.memory.read(offset, out);
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        self.memory.write(offset, bytes);
    }
}

#[test]
fn half_a_list_is_none() {
    let watched = Watched {
        memory: Plain::filled(4096, 0),
        seen: RefCell::new(Vec::new()),
    };
    let page = LentCpus(&watched);
    let mut lists = CpuLists::default();
    lists.begin(&page, &[1, 2, 3]);
    lists.change(&page, &[4, 5]);
    lists.change(&page, &[6, 7, 8, 9]);
    let seen = watched.seen.borrow();
    assert!(!seen.is_empty());
    for list in seen.iter() {
        let whole: &[u32] = match list.number() {
            1 => &[1, 2, 3],
            2 => &[4, 5],
            _ => &[6, 7, 8, 9],
        };
        assert_eq!(list.ids(), whole);
    }
    assert_eq!(seen.last().map(List::number), Some(3));
}

#[test]
fn nonsense_is_no_list() {
    let memory = Plain::filled(4096, 0);
    let page = LentCpus(&memory);
    let all: Vec<u32> = (0..CPUS_MAX as u32).collect();
    let mut lists = CpuLists::default();
    lists.begin(&page, &all);
    assert_eq!(page.list().unwrap().ids(), all);
    memory.store(3080, CPUS_MAX as u64 + 1);
    assert_eq!(page.list(), None);
    memory.store(3080, u64::MAX);
    assert_eq!(page.list(), None);
    memory.store(3080, 1);
    memory.store(3104, 1 << 32);
    assert_eq!(page.list(), None);
    memory.store(3096, u64::MAX);
    assert_eq!(lists.answer(&page), Some(Err(4095)));
    memory.store(3104, 0);
    assert!(page.list().is_some());
    memory.store(NUMBER, 0);
    assert_eq!(page.list(), None);
}
