// SPDX-License-Identifier: GPL-2.0
//! Which hello is the later one.

#![cfg(not(loom))]

use popcorn_core::stream::attempts;
use popcorn_core::stream::attempts::REMEMBERED_MS;
use popcorn_core::stream::Attempts;
use proptest::prelude::*;

proptest! {
    #[test]
    fn attempts_rise_whatever_the_clock_says(clocks in prop::collection::vec(any::<u64>(), 1..50)) {
        let mut last = 0;
        for clock in clocks {
            let next = attempts::next(last, clock);
            prop_assert!(next > last || last == u64::MAX);
            prop_assert!(next >= clock);
            last = next;
        }
    }

    /// In whatever order they come: who is looked at is later than all before.
    #[test]
    fn what_is_looked_at_rises(attempts in prop::collection::vec(any::<u64>(), 1..50)) {
        let mut known = Attempts::default();
        let mut latest = None;
        for attempt in attempts {
            let expected = latest.is_none_or(|latest| attempt > latest);
            prop_assert_eq!(known.is_latest(attempt, 5), expected);
            latest = latest.max(Some(attempt));
        }
    }
}

#[test]
fn who_has_forgotten_his_attempts_is_not_kept_out_for_ever() {
    let mut known = Attempts::default();
    assert!(known.is_latest(1000, 7));
    assert!(!known.is_latest(1000, 7 + REMEMBERED_MS - 1));
    // What is refused does not make it longer.
    assert!(known.is_latest(3, 7 + REMEMBERED_MS));
    assert!(!known.is_latest(3, 7 + REMEMBERED_MS));
    assert!(known.is_latest(4, 7 + REMEMBERED_MS));
}
