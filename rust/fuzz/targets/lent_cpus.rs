// SPDX-License-Identifier: GPL-2.0
//! Lists of processors in a page that both sides write to.
//!
//! What a secondary reads is one list as a whole or nothing, never longer than there is room for. What a primary
//! takes for an answer is one to its last list, and no larger errno than there is.

use super::Target;
use crate::memory::Hostile;
use crate::source::Source;

use popcorn_core::lent_cpus::CpuLists;
use popcorn_core::lent_cpus::LentCpus;
use popcorn_core::partition::CPUS_MAX;

pub(super) const TARGET: Target = Target {
    name: "lent_cpus",
    about: "lists of processors that another kernel may write to",
    most: 512,
    seeds,
    run,
};

const PAGE: usize = 4096;
const NUMBER: usize = 3072;
const COUNT: usize = 3080;
const ANSWERED: usize = 3088;
const RESULT: usize = 3096;
const IDS: usize = 3104;

fn seeds() -> Vec<Vec<u8>> {
    let seed = |writer: u8| {
        let mut seed = vec![writer];
        seed.extend((0..writer).map(|n| n.wrapping_mul(53)));
        for n in 0..24u8 {
            seed.extend([n % 6, n, 5, n % 3, 200]);
        }
        seed
    };
    vec![seed(0), seed(40), seed(200)]
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let writer = source.byte();
    let writer = Source::new(source.take(usize::from(writer)));
    let is_honest = writer.is_empty();
    let hot = [
        NUMBER,
        COUNT,
        ANSWERED,
        RESULT,
        IDS,
        IDS + 8 * (CPUS_MAX - 1),
    ];
    let memory = Hostile::new(vec![0; PAGE], writer, &hot);
    let page = LentCpus(memory.clone());
    let mut lists = CpuLists::default();
    let mut number = 1;
    let mut told = vec![0, 2];
    lists.begin(&page, &told);
    let mut lies = false;
    while !source.is_empty() {
        match source.below(6) {
            0 => {
                let count = source.below(CPUS_MAX + 4);
                let first = u32::from(source.short());
                told = (0..count as u32).map(|n| first + n).collect();
                lists.change(&page, &told);
                told.truncate(CPUS_MAX);
                number += 1;
                lies = false;
            }
            1 | 2 => {
                let list = page.list();
                if let Some(list) = list {
                    assert!(list.number() != 0 && list.ids().len() <= CPUS_MAX);
                    page.answered(&list, if source.flag() { -16 } else { 0 });
                }
                if is_honest && !lies {
                    let list = list.unwrap();
                    assert_eq!((list.number(), list.ids()), (number, &told[..]));
                    assert!(lists.answer(&page).is_some());
                }
            }
            3 => {
                memory.accesses();
                let answered = memory.peek(ANSWERED);
                let result = memory.peek(RESULT);
                let answer = lists.answer(&page);
                if is_honest {
                    let expected = match result {
                        0 => Ok(()),
                        errno => Err(errno.min(4095) as i32),
                    };
                    assert_eq!(answer, (answered == number).then_some(expected));
                }
                if let Some(Err(errno)) = answer {
                    assert!((1..=4095).contains(&errno));
                }
                assert!(memory.accesses().len() <= 2);
            }
            _ => {
                memory.poke(hot[source.below(hot.len())], source.word());
                lies = true;
            }
        }
    }
}
