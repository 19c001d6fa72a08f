// SPDX-License-Identifier: GPL-2.0
//! What a hello means, case by case: the histories of `stream_model` come right again also after a wrong
//! beginning, at the price of a node that seems to come and to die.

#![cfg(not(loom))]

use popcorn_core::ids::Incarnation;
use popcorn_core::stream::meeting::meet;
use popcorn_core::stream::meeting::Greeting;
use popcorn_core::stream::meeting::Meeting;

fn life(number: u64) -> Option<Incarnation> {
    Incarnation::new(number)
}

fn greeting(own: u64, accepted: u64, received: [u64; 2]) -> Greeting {
    Greeting {
        own: life(own).expect("not zero"),
        accepted: life(accepted),
        received,
    }
}

const OWN: u64 = 1;
const PEER: u64 = 2;
const OTHER: u64 = 3;

#[test]
fn who_seeks_begins_with_who_knows_nobody_or_this_life() {
    let own = greeting(OWN, 0, [0; 2]);
    for accepted in [0, OWN] {
        let peer = greeting(PEER, accepted, [0; 2]);
        assert_eq!(meet(&own, None, &peer), Meeting::Begin);
        assert_eq!(meet(&own, life(OTHER), &peer), Meeting::Begin);
        assert_eq!(meet(&own, life(PEER), &peer), Meeting::Refused);
    }
}

#[test]
fn who_seeks_does_not_begin_with_who_is_in_another_session() {
    let own = greeting(OWN, 0, [0; 2]);
    for peer in [
        greeting(PEER, OTHER, [0; 2]),
        greeting(PEER, OTHER, [1, 0]),
        greeting(PEER, OWN, [0, 1]),
        greeting(PEER, 0, [1, 0]),
    ] {
        assert_eq!(meet(&own, None, &peer), Meeting::Stale, "{peer:?}");
    }
}

#[test]
fn a_session_goes_on_with_the_same_lives() {
    let own = greeting(OWN, PEER, [5, 6]);
    let same = greeting(PEER, OWN, [7, 8]);
    assert_eq!(meet(&own, None, &same), Meeting::Resume([7, 8]));
    // It never heard that we accepted it.
    let seeks = greeting(PEER, 0, [0; 2]);
    assert_eq!(meet(&own, None, &seeks), Meeting::Resume([0; 2]));
    for stale in [
        greeting(PEER, 0, [1, 0]),
        greeting(PEER, OTHER, [0; 2]),
        greeting(PEER, OTHER, [7, 8]),
    ] {
        assert_eq!(meet(&own, None, &stale), Meeting::Stale, "{stale:?}");
    }
    assert_eq!(meet(&own, life(PEER), &same), Meeting::Refused);
}

#[test]
fn another_life_replaces_the_one_that_was_known() {
    let own = greeting(OWN, PEER, [5, 6]);
    for accepted in [0, OWN, OTHER] {
        let peer = greeting(OTHER, accepted, [0; 2]);
        assert_eq!(meet(&own, None, &peer), Meeting::Replaced);
        assert_eq!(meet(&own, life(OTHER), &peer), Meeting::Refused);
    }
}
