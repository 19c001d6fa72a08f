// SPDX-License-Identifier: GPL-2.0
//! Sets of portions against sets of numbers.

#![cfg(not(loom))]

use popcorn_core::bootparams::Extent;
use popcorn_core::portions::runs;
use popcorn_core::portions::PortionError;
use popcorn_core::portions::Portions;
use popcorn_core::portions::Span;
use popcorn_core::portions::PORTION_MAX;
use popcorn_core::portions::SPANS_MAX;
use popcorn_core::portions::SPAN_PORTIONS;
use proptest::prelude::*;
use std::collections::BTreeSet;

const SIZE: u64 = 128 << 20;

fn extent(number: u64) -> Extent {
    Extent::new(number * SIZE, SIZE)
}

fn set(numbers: &BTreeSet<u64>) -> Portions {
    let mut portions = Portions::new(SIZE).unwrap();
    for &number in numbers {
        portions.insert(extent(number)).unwrap();
    }
    portions
}

fn numbers(portions: &Portions) -> BTreeSet<u64> {
    let each = portions.each();
    each.inspect(|extent| assert_eq!((extent.size, extent.start % SIZE), (SIZE, 0)))
        .map(|extent| extent.start / SIZE)
        .collect()
}

#[test]
fn sizes_are_those_of_memory_blocks() {
    for size in [2 << 20, 128 << 20, 2 << 30, PORTION_MAX] {
        let portions = Portions::new(size).unwrap();
        assert_eq!((portions.size(), portions.bytes()), (size, 0));
        assert!(portions.is_empty());
    }
    for size in [0, 1, 4096, 1 << 20, 192 << 20, PORTION_MAX * 2, u64::MAX] {
        assert_eq!(Portions::new(size), None, "{size:#x}");
    }
}

#[test]
fn an_extent_goes_in_whole_or_not_at_all() {
    let mut portions = Portions::new(SIZE).unwrap();
    for (start, size) in [
        (SIZE / 2, SIZE),
        (SIZE, SIZE / 2),
        (SIZE, u64::MAX - 5),
        (u64::MAX - SIZE + 1, SIZE),
        (1 << 52, SIZE),
    ] {
        let extent = Extent::new(start, size);
        assert_eq!(portions.insert(extent), Err(PortionError::Address));
    }
    portions.insert(Extent::new(SIZE, 0)).unwrap();
    assert!(portions.is_empty());
    assert!(portions.is_portion(extent(0)) && portions.is_portion(extent(77)));
    for (start, size) in [
        (SIZE, 2 * SIZE),
        (SIZE, 0),
        (SIZE / 2, SIZE),
        (1 << 52, SIZE),
        (u64::MAX - SIZE + 1, SIZE),
    ] {
        assert!(!portions.is_portion(Extent::new(start, size)));
    }

    // Across a border of spans.
    portions.insert(Extent::new(60 * SIZE, 8 * SIZE)).unwrap();
    assert_eq!(portions.spans().len(), 2);
    assert_eq!(portions.bytes(), 8 * SIZE);
    for span in 2..SPANS_MAX as u64 {
        portions.insert(extent(span * SPAN_PORTIONS)).unwrap();
    }
    let full = portions;
    let last = SPANS_MAX as u64 * SPAN_PORTIONS - 1;
    // Its first half would fit.
    let both = Extent::new(last * SIZE, 2 * SIZE);
    assert_eq!(portions.insert(both), Err(PortionError::Full));
    assert_eq!(portions, full);
    portions.insert(extent(last)).unwrap();
    assert_eq!(portions.bytes(), full.bytes() + SIZE);
    let other = set(&BTreeSet::from([last + 1]));
    assert_eq!(portions.with(&other), Err(PortionError::Full));
    let odd = Span {
        start: SIZE,
        portions: 1,
    };
    assert_eq!(portions.insert_span(odd), Err(PortionError::Address));
}

#[test]
fn runs_are_what_touches() {
    let portions = set(&BTreeSet::from([1, 2, 3, 5, 62, 63, 64, 65, 70]));
    let runs: Vec<(u64, u64)> = runs(portions.each())
        .map(|run| (run.start / SIZE, run.size / SIZE))
        .collect();
    assert_eq!(runs, [(1, 3), (5, 1), (62, 4), (70, 1)]);
}

fn some() -> impl Strategy<Value = BTreeSet<u64>> {
    prop::collection::btree_set(0u64..300, 0..80)
}

proptest! {
    #[test]
    fn they_are_sets(a in some(), b in some(), count in 0u64..100, rest in 0..SIZE) {
        let (one, two) = (set(&a), set(&b));
        prop_assert_eq!(numbers(&one), a.clone());
        prop_assert_eq!(one.bytes(), a.len() as u64 * SIZE);
        prop_assert_eq!(one.is_empty(), a.is_empty());
        prop_assert_eq!(numbers(&one.with(&two).unwrap()), &a | &b);
        prop_assert_eq!(numbers(&one.without(&two)), &a - &b);
        prop_assert_eq!(numbers(&one.common(&two)), &a & &b);
        prop_assert!(one.none().is_empty());
        for number in 0..300 {
            prop_assert_eq!(one.has(number * SIZE), a.contains(&number));
            prop_assert!(!one.has(number * SIZE + 4096));
        }
        let highest: BTreeSet<u64> = a.iter().rev().take(count as usize).copied().collect();
        prop_assert_eq!(numbers(&one.highest(count * SIZE + rest)), highest);
        // The same set is the same value, however it came about.
        prop_assert_eq!(one.with(&two).unwrap().without(&two), one.without(&two));
    }
}
