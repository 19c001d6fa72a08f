// SPDX-License-Identifier: GPL-2.0
//! The account of memory that is lent to a kernel that answers anything, also while its answer is read.
//!
//! Memory leaves the account only by an answer to the last list, and only what was in it: so no page is ever in
//! two kernels. What a secondary takes for a list asks for nothing twice, and for nothing that cannot be.

use super::Target;
use crate::memory::Access;
use crate::memory::Hostile;
use crate::source::Source;

use popcorn_core::bootparams::Extent;
use popcorn_core::lent_memory::Account;
use popcorn_core::lent_memory::AccountError;
use popcorn_core::lent_memory::LentMemory;
use popcorn_core::portions::runs;
use popcorn_core::portions::PortionError;
use popcorn_core::portions::Portions;
use popcorn_core::portions::SPANS_MAX;

pub(super) const TARGET: Target = Target {
    name: "lent_memory",
    about: "the account of memory lent to another kernel",
    most: 700,
    seeds,
    run,
};

const PAGE: usize = 4096;
const PORTION: usize = 896;
const NUMBER: usize = 904;
const COUNT: usize = 912;
const ANSWERED: usize = 920;
const ERRNO: usize = 928;
const SPANS: usize = 960;
/// Bytes of a portion.
const SIZE: u64 = 128 << 20;

fn seeds() -> Vec<Vec<u8>> {
    let seed = |writer: u8| {
        let mut seed = vec![writer];
        seed.extend((0..writer).map(|n| n.wrapping_mul(29)));
        for n in 0..30u8 {
            seed.extend([n % 8, n, 0, n % 4 + 1, n % 3, 250]);
        }
        seed
    };
    vec![seed(0), seed(60), seed(180)]
}

/// Some portions, close enough to meet.
fn some(source: &mut Source<'_>) -> Portions {
    let mut portions = Portions::new(SIZE).unwrap();
    for _ in 0..source.below(4) {
        let start = u64::from(source.short() % 2500) * SIZE;
        let extent = Extent::new(start, u64::from(source.byte() % 20) * SIZE);
        match portions.insert(extent) {
            Ok(()) => assert!(portions.is_empty() || portions.bytes() >= SIZE),
            Err(error) => assert_eq!(error, PortionError::Full),
        }
    }
    portions
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let writer = source.byte();
    let writer = Source::new(source.take(usize::from(writer)));
    let hot = [
        PORTION,
        NUMBER,
        COUNT,
        ANSWERED,
        ERRNO,
        SPANS,
        SPANS + 8,
        SPANS + 16,
        SPANS + 24,
        SPANS + 56,
    ];
    let memory = Hostile::new(vec![0; PAGE], writer, &hot);
    let page = LentMemory(memory.clone());
    page.begin();
    let mut account = Account::new(SIZE).unwrap();
    let mut number = 1;
    let mut held = Portions::new(SIZE).unwrap();
    while !source.is_empty() {
        let before = *account.lent();
        let was_open = account.is_open();
        match source.below(8) {
            0 => {
                let more = some(&mut source);
                match account.lend(&page, &more) {
                    Ok(()) => {
                        number += 1;
                        assert!(!was_open);
                        assert_eq!(*account.lent(), before.with(&more).unwrap());
                    }
                    Err(error) => {
                        assert_eq!(error == AccountError::Open, was_open);
                        assert_eq!(*account.lent(), before);
                    }
                }
            }
            1 => {
                let result = account.ask_back(&page, &some(&mut source));
                assert_eq!(result.is_err(), was_open);
                number += u64::from(result.is_ok());
                assert_eq!(*account.lent(), before);
            }
            2 => {
                account.leave(&page);
                number += 1;
                assert!(*account.lent() == before && account.is_open());
            }
            3 | 4 => {
                // Its answer, if it means one.
                if source.flag() {
                    memory.poke(ANSWERED, number);
                }
                memory.accesses();
                match account.settle(&page) {
                    Some(answer) => {
                        assert!(was_open && !account.is_open());
                        let seen = Access::Load(ANSWERED, number);
                        assert!(memory.accesses().contains(&seen), "not to the last list");
                        assert!((0..=4095).contains(&answer.errno));
                        // What went and what stays is what there was, each of it once.
                        let lent = *account.lent();
                        assert!(lent.common(&answer.back).is_empty());
                        assert_eq!(lent.with(&answer.back), Ok(before));
                    }
                    None => assert_eq!((*account.lent(), account.is_open()), (before, was_open)),
                }
            }
            5 | 6 => {
                // The secondary's side, by the rules.
                if let Some(list) = page.list(&held) {
                    let (give, take) = (list.to_give(&held), list.to_take(&held));
                    assert!(give.common(&take).is_empty());
                    assert!(take.common(&held).is_empty() && give.common(&held) == give);
                    check(&take);
                    held = held.without(&give).with(&take).unwrap_or(held);
                    page.answered(&list, &held, -12);
                }
            }
            _ => memory.poke(hot[source.below(hot.len())], source.word()),
        }
        check(account.lent());
        if let Some(size) = page.portion() {
            assert!(size.is_power_of_two() && Account::new(size).is_some());
        }
    }
}

/// What holds for any set.
fn check(portions: &Portions) {
    let spans = portions.spans();
    assert!(spans.len() <= SPANS_MAX);
    for (n, span) in spans.iter().enumerate() {
        assert!(span.portions != 0 && portions.is_span(span.start));
        assert!(n == 0 || spans[n - 1].start < span.start);
    }
    let bytes: u64 = runs(portions.each()).map(|run| run.size).sum();
    assert_eq!(bytes, portions.bytes());
    let some = portions.highest(3 * SIZE);
    assert_eq!(some.bytes(), portions.bytes().min(3 * SIZE));
    assert_eq!(some.common(portions), some);
}
