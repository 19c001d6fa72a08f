// SPDX-License-Identifier: GPL-2.0
//! Two sides that talk over connections which break at any moment: within a session nothing is lost,
//! doubled or out of order, and after a quiet while all that was sent in it has come.
//!
//! The sides do what `popcorn_msg/tcp` does with the pure parts; random histories, many of them.

#![cfg(not(loom))]

mod side;

use popcorn_core::window::Lane;
use proptest::prelude::*;
use side::Deed;
use side::World;

fn deed() -> impl Strategy<Value = Deed> {
    let lane = prop_oneof![Just(Lane::Requests), Just(Lane::Responses)];
    let size = prop_oneof![3 => 64usize..200, 1 => Just(60_000usize)];
    prop_oneof![
        8 => (0usize..2, lane, size).prop_map(|(side, lane, size)| Deed::Send { side, lane, size }),
        10 => (0usize..2).prop_map(Deed::Transmit),
        12 => (0usize..2).prop_map(Deed::Deliver),
        4 => (0usize..2).prop_map(Deed::Take),
        3 => (0usize..2).prop_map(Deed::Beat),
        3 => Just(Deed::Connect),
        2 => Just(Deed::Break),
        2 => Just(Deed::Late),
        1 => (0usize..2).prop_map(Deed::GiveUp),
        1 => (0usize..2).prop_map(Deed::Restart),
    ]
}

fn both_send(world: &mut World, lane: Lane, size: usize) {
    for side in 0..2 {
        world.do_it(Deed::Send { side, lane, size });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn nothing_is_lost_doubled_or_out_of_order(deeds in prop::collection::vec(deed(), 0..400)) {
        let mut world = World::new();
        for deed in deeds {
            world.do_it(deed);
        }
        world.calm_down();
    }
}

/// The histories above do come to what they are meant for.
#[test]
fn a_session_outlives_its_connections() {
    let mut world = World::new();
    world.do_it(Deed::Connect);
    world.calm_down();
    let before = world.sessions();
    for round in 0..50 {
        both_send(&mut world, Lane::Requests, 100 + round);
        for side in 0..2 {
            world.do_it(Deed::Transmit(side));
        }
        if round % 3 == 0 {
            world.do_it(Deed::Deliver(0));
        }
        world.do_it(Deed::Break);
        world.do_it(Deed::Connect);
    }
    world.calm_down();
    assert_eq!(world.sessions(), before, "the lives are the same");
    assert_eq!(world.received(0, Lane::Requests), 50);
    assert_eq!(world.received(1, Lane::Requests), 50);
}

/// A hello that comes when a later connection is in use changes nothing, though it says what was so before.
#[test]
fn a_late_hello_is_not_heard() {
    let mut world = World::new();
    world.do_it(Deed::Connect);
    world.calm_down();
    let before = world.sessions();
    for late in 0..3 {
        world.do_it(Deed::Break);
        world.do_it(Deed::Connect);
        // It is under way still.
        world.do_it(Deed::Break);
        world.do_it(Deed::Connect);
        world.calm_down();
        both_send(&mut world, Lane::Responses, 100);
        world.calm_down();
        world.do_it(Deed::Late);
        assert!(world.is_connected());
        world.calm_down();
        assert_eq!(world.received(0, Lane::Responses), late + 1);
        assert_eq!(world.received(1, Lane::Responses), late + 1);
    }
    assert_eq!(world.sessions(), before, "the lives are the same");
}

/// A receiver that takes nothing stops the sender, and nothing grows.
#[test]
fn a_window_is_bounded() {
    let mut world = World::new();
    world.do_it(Deed::Connect);
    world.calm_down();
    for _ in 0..5000 {
        world.do_it(Deed::Send {
            side: 0,
            lane: Lane::Requests,
            size: 2000,
        });
        world.do_it(Deed::Transmit(0));
        world.do_it(Deed::Deliver(1));
    }
    assert!(world.received(1, Lane::Requests) < 600);
    // Responses go on.
    world.do_it(Deed::Send {
        side: 0,
        lane: Lane::Responses,
        size: 2000,
    });
    world.do_it(Deed::Transmit(0));
    world.do_it(Deed::Deliver(1));
    assert_eq!(world.received(1, Lane::Responses), 1);
    world.calm_down();
}
