// SPDX-License-Identifier: GPL-2.0
//! Which ranges a system call changes.

use popcorn_core::interval::Interval;
use popcorn_core::layout::affected;
use popcorn_core::layout::number;
use proptest::prelude::*;

const BRK: u64 = 0x60_0000;

fn one(number: u64, arguments: [u64; 6]) -> Option<(u64, u64)> {
    let [first, second] = affected(number, &arguments, BRK);
    assert!(second.is_none());
    first.map(|range| (range.start(), range.end()))
}

#[test]
fn ranges_are_whole_pages() {
    assert_eq!(
        one(number::MUNMAP, [0x1000, 0x10, 0, 0, 0, 0]),
        Some((0x1000, 0x2000))
    );
    assert_eq!(
        one(number::MPROTECT, [0x1000, 0x1001, 0, 0, 0, 0]),
        Some((0x1000, 0x3000))
    );
}

#[test]
fn what_adds_needs_nothing() {
    assert_eq!(one(number::MMAP, [0x1000, 0x1000, 3, 0x22, 0, 0]), None);
    assert_eq!(
        one(number::MMAP, [0x1000, 0x1000, 3, 0x32, 0, 0]),
        Some((0x1000, 0x2000))
    );
    assert_eq!(one(number::BRK, [BRK + 0x1000, 0, 0, 0, 0, 0]), None);
    assert_eq!(one(number::BRK, [0; 6]), None);
    assert_eq!(
        one(number::BRK, [BRK - 0x2000, 0, 0, 0, 0, 0]),
        Some((BRK - 0x2000, BRK))
    );
    assert_eq!(one(0, [0x1000, 0x1000, 4, 0, 0, 0]), None);
}

#[test]
fn advice_that_only_advises_needs_nothing() {
    for (advice, changes) in [
        (0, false),
        (3, false),
        (4, true),
        (8, true),
        (10, false),
        (14, false),
        (25, true),
    ] {
        assert_eq!(
            one(number::MADVISE, [0x1000, 0x1000, advice, 0, 0, 0]).is_some(),
            changes,
            "{advice}"
        );
    }
}

#[test]
fn a_move_has_two_ends() {
    let [old, new] = affected(number::MREMAP, &[0x1000, 0x1000, 0x2000, 3, 0x9000, 0], BRK);
    assert_eq!(old, Interval::new(0x1000, 0x3000));
    assert_eq!(new, Interval::new(0x9000, 0xb000));
}

proptest! {
    /// Nothing that a user passes may panic or overflow, and two ranges never overlap.
    #[test]
    fn any_arguments(number in prop_oneof![0u64..450, any::<u64>()], arguments: [u64; 6], brk: u64) {
        if let [Some(first), Some(second)] = affected(number, &arguments, brk) {
            prop_assert!(!first.overlaps(second));
        }
    }
}
