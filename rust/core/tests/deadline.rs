// SPDX-License-Identifier: GPL-2.0
//! However many steps there are, and however long each takes of what it is given, they end with the deadline.

#![cfg(not(loom))]

use popcorn_core::deadline::Deadline;
use proptest::prelude::*;

const MS: u64 = 1_000_000;

proptest! {
    /// Each step waits for a part of what is left, in nanoseconds, and then a little longer than it should.
    #[test]
    fn steps_share_one_deadline(
        begin_ns in 0..u64::MAX / 4,
        timeout_ms in 0..u32::MAX,
        steps in prop::collection::vec((0..=1000u64, 0..3 * MS), 0..30),
    ) {
        let until_ns = begin_ns + u64::from(timeout_ms) * MS;
        let deadline = Deadline::after(timeout_ms, || begin_ns);
        prop_assert_eq!(deadline.left_ms(|| begin_ns), Some(timeout_ms));
        let mut now_ns = begin_ns;
        let mut before_ms = timeout_ms;
        for (part, late_ns) in steps {
            let left_ms = deadline.left_ms(|| now_ns).expect("there is a limit");
            prop_assert!(left_ms <= before_ms);
            // Over when it is, and neither before nor long after.
            prop_assert_eq!(left_ms == 0, now_ns >= until_ns);
            prop_assert_eq!(deadline.is_over(|| now_ns), left_ms == 0);
            let left_ns = u64::from(left_ms) * MS;
            for ns in [0, late_ns, left_ns, u64::MAX] {
                prop_assert_eq!(deadline.at_most_ns(ns, || now_ns), ns.min(left_ns));
            }
            prop_assert!(left_ms == 0 || (until_ns..until_ns + MS).contains(&(now_ns + left_ns)));
            before_ms = left_ms;
            now_ns += left_ns / 1000 * part + late_ns;
        }
    }

    #[test]
    fn waiting_for_what_is_left_is_enough(
        begin_ns in 0..u64::MAX / 4,
        timeout_ms in 0..u32::MAX,
        later_ns in 0..u64::from(u32::MAX) * MS,
    ) {
        let deadline = Deadline::after(timeout_ms, || begin_ns);
        let now_ns = begin_ns + later_ns;
        let left_ms = deadline.left_ms(|| now_ns).expect("there is a limit");
        prop_assert!(deadline.is_over(|| now_ns + u64::from(left_ms) * MS));
    }

    /// Without a limit nothing is ever over, and nobody looks at the clock.
    #[test]
    fn no_limit(now_ns in any::<u64>()) {
        let no_clock = || -> u64 { panic!("the clock was looked at") };
        prop_assert_eq!(Deadline::after(u32::MAX, no_clock), Deadline::NONE);
        prop_assert_eq!(Deadline::NONE.left_ms(no_clock), None);
        prop_assert_eq!(Deadline::NONE.at_most_ns(now_ns, no_clock), now_ns);
        prop_assert!(!Deadline::NONE.is_over(|| now_ns));
    }

    /// A clock near its end stays there.
    #[test]
    fn ends_of_clocks(before_end_ns in 0..u64::from(u32::MAX) * MS, timeout_ms in 0..u32::MAX) {
        let begin_ns = u64::MAX - before_end_ns;
        let deadline = Deadline::after(timeout_ms, || begin_ns);
        prop_assert!(deadline.left_ms(|| begin_ns) <= Some(timeout_ms));
        prop_assert!(deadline.is_over(|| u64::MAX));
        // A clock that was read before, on another processor, gives no more than there can be.
        prop_assert!(deadline.left_ms(|| 0).is_some());
    }
}
