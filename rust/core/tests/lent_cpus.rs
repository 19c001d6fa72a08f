// SPDX-License-Identifier: GPL-2.0
//! A list of processors arrives whole, and nonsense is no list.

#![cfg(not(loom))]

mod plain_memory;

use plain_memory::Plain;
use popcorn_core::lent_cpus::LentCpus;
use popcorn_core::partition::CPUS_MAX;
use popcorn_core::ring::Memory;

#[test]
fn lists_follow_each_other() {
    let memory = Plain::filled(4096, 0);
    let page = LentCpus(&memory);
    page.begin(&[7, 300]);
    let first = page.list().unwrap();
    assert_eq!(first.ids(), [7, 300]);
    assert_eq!(page.answer(first.number()), Some(Ok(())));

    let number = page.change(&[7]);
    assert_ne!(number, first.number());
    assert_eq!(page.answer(number), None);
    let second = page.list().unwrap();
    assert_eq!((second.number(), second.ids()), (number, &[7][..]));
    page.answered(&second, -16);
    assert_eq!(page.answer(number), Some(Err(16)));
    let third = page.change(&[7, 300, 9]);
    page.answered(&page.list().unwrap(), 0);
    assert_eq!(page.answer(third), Some(Ok(())));
    assert_eq!(page.answer(number), None);
}

#[test]
fn nonsense_is_no_list() {
    let memory = Plain::filled(4096, 0);
    let page = LentCpus(&memory);
    let all: Vec<u32> = (0..CPUS_MAX as u32).collect();
    page.begin(&all);
    assert_eq!(page.list().unwrap().ids(), all);
    memory.store(3080, CPUS_MAX as u64 + 1);
    assert_eq!(page.list(), None);
    memory.store(3080, u64::MAX);
    assert_eq!(page.list(), None);
    memory.store(3080, 1);
    memory.store(3104, 1 << 32);
    assert_eq!(page.list(), None);
    memory.store(3096, u64::MAX);
    assert_eq!(page.answer(1), Some(Err(4095)));
}
