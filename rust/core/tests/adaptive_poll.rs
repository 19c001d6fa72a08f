// SPDX-License-Identifier: GPL-2.0
//! How long whoever waits looks: [`popcorn_core::adaptive_poll`].

use popcorn_core::adaptive_poll::AdaptivePoll;
use popcorn_core::adaptive_poll::LEAST_NS;
use popcorn_core::adaptive_poll::TRY_EACH;
use proptest::prelude::*;

const MOST: u32 = 20_000;

/// What waits of which each takes so long cost: how many were looked for long enough, and the time looked in vain.
fn waits(poll: &AdaptivePoll, count: u32, take_ns: u64) -> (u32, u64) {
    let (mut found, mut in_vain) = (0, 0);
    for _ in 0..count {
        let budget = u64::from(poll.budget(MOST));
        if take_ns <= budget {
            found += 1;
        } else {
            in_vain += budget;
        }
        poll.came_after(take_ns, MOST);
    }
    (found, in_vain)
}

#[test]
fn what_is_fast_is_looked_for() {
    let poll = AdaptivePoll::new();
    assert_eq!(waits(&poll, 1000, 3_000), (1000, 0));
    // And no longer than for twice as long.
    assert_eq!(poll.budget(MOST), 6_000);
}

#[test]
fn what_is_slow_is_slept_for() {
    let poll = AdaptivePoll::new();
    let (found, in_vain) = waits(&poll, 3_200, 1_000_000);
    assert_eq!(found, 0);
    // What is tried each so many waits, and twice as much for the beginning.
    assert!(
        in_vain <= u64::from(MOST) * u64::from(3_200 / TRY_EACH + 2),
        "{in_vain}"
    );
}

#[test]
fn what_becomes_fast_is_found_to_be() {
    let poll = AdaptivePoll::new();
    waits(&poll, 100, 1_000_000);
    // Who sleeps gets it late, for which it seems slow: only who looks knows better.
    let mut looked = 0;
    for _ in 0..2 * TRY_EACH {
        let budget = poll.budget(MOST);
        let is_found = 3_000 <= budget;
        looked += u32::from(is_found);
        poll.came_after(if is_found { 3_000 } else { 50_000 }, MOST);
    }
    assert!(looked >= TRY_EACH, "{looked}");
}

#[test]
fn one_that_is_late_changes_little() {
    let poll = AdaptivePoll::new();
    waits(&poll, 100, 5_000);
    waits(&poll, 1, 1_000_000);
    assert_eq!(waits(&poll, 100, 5_000).0, 100);
}

#[test]
fn without_time_nobody_looks() {
    let poll = AdaptivePoll::new();
    for _ in 0..3 * TRY_EACH {
        assert_eq!(poll.budget(0), 0);
        poll.came_after(1, 0);
    }
}

proptest! {
    /// Whatever comes, and whatever is allowed meanwhile.
    #[test]
    fn never_longer_than_allowed(waits in prop::collection::vec((any::<u64>(), any::<u32>()), 1..200)) {
        let poll = AdaptivePoll::new();
        for (waited, most) in waits {
            let budget = poll.budget(most);
            prop_assert!(budget <= most);
            prop_assert!(budget == 0 || budget >= LEAST_NS.min(most));
            poll.came_after(waited, most);
        }
    }
}
