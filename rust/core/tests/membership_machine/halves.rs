// SPDX-License-Identifier: GPL-2.0
//! Four machines of which two hear each other and must not serve, as `guest/suspended` has them.

use super::each_seed;
use super::LONG;
use crate::world::below;
use crate::world::World;
use crate::world::DEAD;

const ALL: [usize; 4] = [0, 1, 2, 3];
/// These two.
const THOSE: [usize; 2] = [2, 3];

fn four() -> World {
    let mut world = World::mesh(&[0, 1, 2, 3]);
    world.until("one", LONG, |world| world.is_one(&ALL));
    world
}

/// They hear each other, nobody else hears them, and they do not serve.
fn are_suspended(world: &World) -> bool {
    THOSE
        .iter()
        .all(|n| !world.serves(*n) && world.missing(*n) == 0b0011)
}

fn cut_those(world: &mut World, is_cut: bool) {
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        world.cut(a, b, is_cut);
    }
}

#[test]
fn the_half_without_the_lowest_id_waits_and_comes_back() {
    each_seed(|| {
        let mut world = four();
        cut_those(&mut world, true);
        world.until("suspended", LONG, are_suspended);
        world.until("removed", LONG, |world| world.is_one(&[0, 1]));
        for _ in 0..200 {
            world.run(1);
            assert!(are_suspended(&world) && world.is_one(&[0, 1]));
        }
        assert_eq!((world.members(2), world.members(3)), (0b1111, 0b1111));
        assert_eq!((world.deaths[2], world.deaths[3]), (0, 0));
        cut_those(&mut world, false);
        world.until("one again", LONG, |world| world.is_one(&ALL));
    });
}

#[test]
fn where_nobody_is_a_majority_nobody_is_removed() {
    each_seed(|| {
        let mut world = four();
        let epoch = world.epoch(0);
        cut_those(&mut world, true);
        world.cut(0, 1, true);
        world.until("suspended", LONG, |world| {
            are_suspended(world) && !world.serves(0) && !world.serves(1)
        });
        world.run(200);
        assert!(are_suspended(&world) && !world.serves(0) && !world.serves(1));
        // Else the first two that meet could take the others for dead, before they hear them.
        world.dead = 40 * DEAD;
        world.run(5);
        for (a, b) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3)] {
            world.cut(a, b, false);
            world.run(below(30));
        }
        world.until("one as before", LONG, |world| world.is_one(&ALL));
        assert_eq!(world.epoch(0), epoch);
        assert_eq!(world.deaths, [0; 4]);
    });
}
