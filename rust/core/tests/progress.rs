// SPDX-License-Identifier: GPL-2.0
//! When a peer counts as one that takes no responses.

#![cfg(not(loom))]

mod xorshift;

use popcorn_core::progress::Progress;
use xorshift::Xorshift;

const LIMIT: u64 = 20;
const UNHEARD: u64 = 120;

fn stuck(progress: &Progress) -> bool {
    progress.is_stuck(LIMIT, UNHEARD)
}

#[test]
fn who_takes_some_is_not_stuck() {
    let mut progress = Progress::default();
    for passed in 0..1000u64 {
        // One in as many ticks as it may take.
        progress.tick(Some(passed / LIMIT), true);
        assert!(!stuck(&progress));
    }
}

#[test]
fn who_need_not_take_any_is_not_stuck() {
    let mut progress = Progress::default();
    for tick in 0..1000 {
        // Nobody waits now and then: what it took before is of no account.
        progress.tick((tick % LIMIT != 0).then_some(7), true);
        assert!(!stuck(&progress));
    }
    assert_ne!(progress.ticks(), 0);
    progress.tick(None, true);
    assert_eq!(progress.ticks(), 0);
}

#[test]
fn who_is_heard_and_takes_none_is_stuck() {
    let mut progress = Progress::default();
    progress.tick(Some(7), true);
    for _ in 1..LIMIT {
        progress.tick(Some(7), true);
        assert!(!stuck(&progress));
    }
    progress.tick(Some(7), true);
    assert!(stuck(&progress));
    assert_eq!(u64::from(progress.ticks()), LIMIT);
    progress.tick(Some(8), true);
    assert!(!stuck(&progress));
}

/// A connection goes half-open; that is noticed, and another one made, as late as can be; what waited is taken then.
#[test]
fn a_lost_connection_has_its_time() {
    let mut progress = Progress::default();
    progress.tick(Some(7), true);
    for _ in 1..UNHEARD {
        progress.tick(Some(7), false);
        assert!(!stuck(&progress));
    }
    for _ in 1..LIMIT {
        progress.tick(Some(7), true);
        assert!(!stuck(&progress));
    }
    progress.tick(Some(8), true);
    assert_eq!(progress.ticks(), 0);
}

#[test]
fn who_never_connects_again_is_stuck() {
    let mut progress = Progress::default();
    progress.tick(Some(7), true);
    for _ in 1..UNHEARD {
        progress.tick(Some(7), false);
        assert!(!stuck(&progress));
    }
    progress.tick(Some(7), false);
    assert!(stuck(&progress));
}

/// However it comes and goes, there is an end.
#[test]
fn nobody_puts_it_off() {
    let mut random = Xorshift::new(0x9e37_79b9);
    for round in 0..500 {
        let mut progress = Progress::default();
        progress.tick(Some(7), true);
        // From never heard to always.
        let ticks = (1..).find(|_| {
            progress.tick(Some(7), random.number() % 100 < round % 101);
            stuck(&progress)
        });
        assert!(ticks.is_some_and(|ticks: u64| (LIMIT..LIMIT + UNHEARD).contains(&ticks)));
    }
}
