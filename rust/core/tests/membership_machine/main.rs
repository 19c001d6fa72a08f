// SPDX-License-Identifier: GPL-2.0
//! Machines that meet, part, die, come back and are cut off: they become one system again, and nobody is driven
//! out without need; nor does one that lies ([`liars`]) stop them for ever. Whether two sides ever serve at once is for
//! `membership_model`.

#![cfg(not(loom))]

mod halves;
mod liars;
mod world;
#[path = "../xorshift/mod.rs"]
mod xorshift;

use world::below;
use world::seed;
use world::World;
use world::DEAD;

const SEEDS: u64 = 200;
/// For all to be well again, in ticks; generous.
const LONG: u64 = 600;
/// For one to leave, as `popcorn_msg/endpoint/machines.rs` has it: twice what the dead are given.
const LEAVE: u64 = 40;

fn each_seed(test: impl Fn()) {
    for number in 1..=SEEDS {
        seed(number);
        // The number that fails is what is printed last.
        println!("seed {number}");
        test();
    }
}

fn ids(count: usize) -> Vec<u64> {
    (0..count as u64).collect()
}

fn whole(count: usize) -> Vec<usize> {
    (0..count).collect()
}

#[test]
fn machines_that_begin_at_once_become_one_system() {
    each_seed(|| {
        for count in 2..6 {
            let ids: Vec<u64> = (0..count as u64).map(|n| 8 * n).collect();
            let mut world = World::mesh(&ids);
            world.until("one", LONG, |world| world.is_one(&whole(count)));
            let epoch = world.epoch(0);
            world.run(100);
            assert!(world.is_one(&whole(count)));
            assert_eq!(world.epoch(0), epoch);
            assert!(world.deaths.iter().all(|deaths| *deaths == 0));
        }
    });
}

#[test]
fn of_two_that_are_cut_apart_the_higher_waits_and_comes_back() {
    each_seed(|| {
        let mut world = World::mesh(&[0, 1]);
        world.until("one", LONG, |world| world.is_one(&[0, 1]));
        world.cut(0, 1, true);
        world.until("removed", LONG, |world| world.members(0) == 0b01);
        assert!(!world.serves(1));
        world.run(below(100));
        assert!(!world.serves(1) && world.serves(0));
        assert_eq!((world.members(1), &world.deaths[..]), (0b11, &[1, 0][..]));
        world.cut(0, 1, false);
        world.until("one again", LONG, |world| world.is_one(&[0, 1]));
        assert_eq!(world.deaths, [1, 1]);
        world.cut(0, 1, true);
        world.run(below(40));
        world.cut(0, 1, false);
        world.until("one after a short cut", LONG, |world| world.is_one(&[0, 1]));
    });
}

#[test]
fn of_two_either_may_be_started_anew() {
    each_seed(|| {
        let mut world = World::mesh(&[0, 1]);
        for again in [0, 1, 0] {
            world.until("one", LONG, |world| world.is_one(&[0, 1]));
            world.kill(again);
            world.run(below(60));
            world.boot(again);
        }
        world.until("one", LONG, |world| world.is_one(&[0, 1]));
    });
}

#[test]
fn two_go_on_without_the_third() {
    each_seed(|| {
        let mut world = World::mesh(&[0, 1, 2]);
        world.until("one", LONG, |world| world.is_one(&[0, 1, 2]));
        let away = below(3) as usize;
        let rest: Vec<usize> = (0..3).filter(|n| *n != away).collect();
        for n in &rest {
            world.cut(*n, away, true);
        }
        world.until("two", LONG, |world| world.is_one(&rest));
        assert!(!world.serves(away));
        world.run(below(80));
        for n in &rest {
            world.cut(*n, away, false);
            world.run(below(40));
        }
        world.until("one again", LONG, |world| world.is_one(&[0, 1, 2]));
        for n in &rest {
            assert_eq!(world.deaths[*n], 1);
        }
    });
}

#[test]
fn of_two_that_do_not_hear_each_other_one_goes_but_not_at_once() {
    each_seed(|| {
        let mut world = World::mesh(&[0, 1, 2]);
        world.until("one", LONG, |world| world.is_one(&[0, 1, 2]));
        let (a, b) = [(0, 1), (0, 2), (1, 2)][below(3) as usize];
        let epoch = world.epoch(0);
        world.cut(a, b, true);
        // Longer than the two wait for each other, but the third hears both.
        world.run(DEAD + below(DEAD));
        world.cut(a, b, false);
        world.until("one again", LONG, |world| world.is_one(&[0, 1, 2]));
        world.run(4 * DEAD);
        assert!(world.is_one(&[0, 1, 2]));
        assert_eq!((world.epoch(0), &world.deaths[..]), (epoch, &[0; 3][..]));
        world.cut(a, b, true);
        let rest: Vec<usize> = (0..3).filter(|n| *n != b).collect();
        world.until("without the higher", 4 * DEAD, |world| world.is_one(&rest));
        world.cut(a, b, false);
        world.until("one at last", LONG, |world| world.is_one(&[0, 1, 2]));
    });
}

#[test]
fn who_is_not_connected_to_all_drives_nobody_out() {
    each_seed(|| {
        let mut world = World::new(&[0, 8, 16]);
        world.boot(1);
        world.boot(2);
        world.link(1, 2);
        world.until("two", LONG, |world| world.is_one(&[1, 2]));
        world.boot(0);
        world.link(0, 1);
        world.run(200);
        assert!(world.is_one(&[1, 2]));
        assert_eq!(world.members(0), 1);
        world.link(0, 2);
        world.until("one", LONG, |world| world.is_one(&[0, 1, 2]));
        assert!(world.deaths.iter().all(|deaths| *deaths == 0));
    });
}

#[test]
fn an_administrator_ends_the_waiting() {
    each_seed(|| {
        let mut world = World::mesh(&[0, 1]);
        world.until("one", LONG, |world| world.is_one(&[0, 1]));
        assert!(world.force(1, 0).is_err());
        world.cut(0, 1, true);
        world.until("suspended", LONG, |world| !world.serves(1));
        while world.force(1, 0).is_err() {
            world.run(1);
        }
        assert!(world.members(1) == 0b10 && world.serves(1));
        world.run(below(60));
        world.cut(0, 1, false);
        world.until("one again", LONG, |world| world.is_one(&[0, 1]));
    });
}

#[test]
fn who_leaves_is_not_waited_for() {
    each_seed(|| {
        for leaver in [0, 1] {
            let other = 1 - leaver;
            let mut world = World::mesh(&[0, 1]);
            world.until("one", LONG, |world| world.is_one(&[0, 1]));
            assert!(world.leave(leaver));
            world.until("left", LEAVE, |world| world.is_gone(leaver));
            assert_eq!(world.members(other), 1 << other);
            world.run(below(20));
            world.depart(leaver);
            world.until("told", LONG, |world| world.leaves[other] == 1);
            assert_eq!(
                (&world.leaves[..], &world.deaths[..]),
                (&[1, 1][..], &[0, 0][..])
            );
            assert!(world.serves(other));
        }
    });
}

#[test]
fn who_leaves_several_is_dead_to_none() {
    each_seed(|| {
        let count = 3 + below(3) as usize;
        let leaver = below(count as u64) as usize;
        let mut rest = whole(count);
        rest.remove(leaver);
        let mut world = World::mesh(&ids(count));
        world.until("one", LONG, |world| world.is_one(&whole(count)));
        // So others hear of the list without it before they hear that it leaves.
        let far = rest[below(rest.len() as u64) as usize];
        world.slow(leaver, far, 6);
        world.run(30);
        assert!(world.leave(leaver));
        world.until("left", LEAVE, |world| world.is_gone(leaver));
        world.run(below(10));
        world.depart(leaver);
        world.until("the rest", LONG, |world| {
            world.is_one(&rest) && rest.iter().all(|n| world.leaves[*n] == 1)
        });
        world.run(100);
        assert!(world.is_one(&rest));
        assert!(world.deaths.iter().all(|deaths| *deaths == 0));
        assert_eq!(world.leaves[leaver], count as u32 - 1);
    });
}

#[test]
fn who_leaves_one_after_the_other_drives_nobody_out() {
    each_seed(|| {
        let mut world = World::mesh(&[0, 1, 2]);
        world.until("one", LONG, |world| world.is_one(&whole(3)));
        let (leaver, first) = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)][below(6) as usize];
        let rest: Vec<usize> = (0..3).filter(|n| *n != leaver).collect();
        // As `popcornctl node leave` does it, a command for each.
        world.unlink(leaver, first);
        world.run(below(10));
        assert!(world.leave(leaver));
        world.until("left", LEAVE, |world| world.is_gone(leaver));
        world.unlink(leaver, 3 - leaver - first);
        world.until("the rest", LONG, |world| world.is_one(&rest));
        world.run(100);
        assert!(world.is_one(&rest) && world.serves(leaver));
        assert_eq!(world.deaths, [0; 3]);
    });
}

#[test]
fn all_may_leave_at_once() {
    each_seed(|| {
        for count in 2..5 {
            let mut world = World::mesh(&ids(count));
            world.until("one", LONG, |world| world.is_one(&whole(count)));
            for n in 0..count {
                assert!(world.leave(n));
            }
            for n in 0..count {
                world.until("left", LEAVE, |world| world.is_gone(n));
                world.depart(n);
            }
            assert!(world.deaths.iter().all(|deaths| *deaths == 0));
        }
    });
}

#[test]
fn a_link_that_comes_while_it_leaves_finds_it_alone_afterwards() {
    each_seed(|| {
        let mut world = World::new(&[0, 1, 2]);
        for n in 0..3 {
            world.boot(n);
        }
        world.link(0, 1);
        world.until("one", LONG, |world| world.is_one(&[0, 1]));
        let leaver = below(2) as usize;
        assert!(world.leave(leaver));
        world.link(leaver, 2);
        world.until("left", LEAVE, |world| world.is_gone(leaver));
        world.unlink(leaver, 1 - leaver);
        world.until("another one", LONG, |world| world.is_one(&[leaver, 2]));
        world.until("alone", LONG, |world| world.serves(1 - leaver));
        assert_eq!((world.deaths[0], world.deaths[1]), (0, 0));
    });
}

/// As by `popcornctl node leave --force`, while a machine that never was a member is expected, too.
#[test]
fn who_leaves_all_of_its_list_waits_for_none_of_them() {
    each_seed(|| {
        let mut world = World::new(&[0, 1, 2, 3]);
        for n in 0..4 {
            world.boot(n);
        }
        world.cut(1, 3, true);
        world.link(1, 3);
        let lost = &[0, 2][..1 + below(2) as usize];
        let mut all = vec![1];
        for &one in lost {
            for &other in &all {
                world.link(other, one);
            }
            all.push(one);
        }
        all.sort_unstable();
        world.until("one", LONG, |world| world.is_one(&all));
        for &one in lost {
            world.kill(one);
        }
        world.until("suspended", LONG, |world| !world.serves(1));
        world.run(below(200));
        for &one in lost {
            world.unlink(1, one);
        }
        world.until("alone", LONG, |world| world.serves(1));
        assert_eq!(world.members(1), 0b0010);
    });
}

#[test]
fn links_that_come_late_make_one_system() {
    each_seed(|| {
        let count = 4 + below(2) as usize;
        let mut world = World::mesh(&ids(count));
        let all_pairs = |world: &mut World, is_cut| {
            for n in 0..count {
                for other in 0..n {
                    world.cut(n, other, is_cut);
                }
            }
        };
        all_pairs(&mut world, true);
        // Nobody looks for a lower one any more.
        world.run(4 * DEAD + 10);
        all_pairs(&mut world, false);
        world.until("one", LONG, |world| world.is_one(&whole(count)));
    });
}

#[test]
fn two_that_begin_anew_at_once_join_the_others() {
    each_seed(|| {
        // With four, those who are left are half without the lowest: they begin anew, too.
        for count in [5, 4] {
            let mut world = World::mesh(&ids(count));
            world.until("one", LONG, |world| world.is_one(&whole(count)));
            world.kill(0);
            world.kill(1);
            world.run(below(60));
            world.boot(0);
            world.boot(1);
            world.until("one again", LONG, |world| world.is_one(&whole(count)));
        }
    });
}

#[test]
fn one_that_begins_anew_does_not_make_a_system_with_one_that_comes_back() {
    each_seed(|| {
        let mut world = World::mesh(&ids(4));
        world.until("one", LONG, |world| world.is_one(&whole(4)));
        for n in 1..4 {
            world.cut(n, 0, true);
        }
        world.until("three", LONG, |world| world.is_one(&[1, 2, 3]));
        world.run(below(60));
        world.kill(3);
        world.boot(3);
        for n in 1..4 {
            world.cut(n, 0, false);
        }
        world.until("one again", LONG, |world| world.is_one(&whole(4)));
    });
}

#[test]
fn who_was_cut_off_is_told_though_another_has_begun_anew() {
    each_seed(|| {
        let mut world = World::mesh(&ids(5));
        let cut = |world: &mut World, n: usize, is_cut| {
            world.cut(n, 3, is_cut);
            world.cut(n, 4, is_cut);
        };
        world.until("one", LONG, |world| world.is_one(&whole(5)));
        let lives = [world.life(0), world.life(1)];
        (0..3).for_each(|n| cut(&mut world, n, true));
        // Of the votes of 0, 1 and 2 none hears all.
        world.until("begun", LONG, |world| world.has_promised(0));
        world.cut(1, 2, true);
        world.until("accepted", LONG, |world| world.has_accepted(0));
        world.kill(2);
        // 3 and 4 hear that of 0, and each waits to hear that the other has resigned.
        cut(&mut world, 0, false);
        world.until("heard", LONG, |world| {
            world.has_resigned(3) && world.has_resigned(4)
        });
        cut(&mut world, 0, true);
        world.until("decided", LONG, |world| {
            world.members(3) == 0b111 && world.members(4) == 0b111
        });
        cut(&mut world, 2, false);
        world.cut(1, 2, false);
        world.boot(2);
        world.run(below(200));
        assert_eq!((world.members(0), world.members(1)), (0b11111, 0b11111));
        cut(&mut world, 0, false);
        cut(&mut world, 1, false);
        world.until("one again", LONG, |world| world.is_one(&whole(5)));
        assert_eq!([world.life(0), world.life(1)], lives);
    });
}

#[test]
fn after_whatever_happens_they_are_one_again() {
    each_seed(|| {
        let count = 2 + below(3) as usize;
        let any = || below(count as u64) as usize;
        let mut world = World::mesh(&ids(count));
        for _ in 0..below(60) {
            match below(5) {
                0 => world.cut(any(), any(), below(2) == 0),
                1 => {
                    let n = any();
                    if world.is_on(n) {
                        world.kill(n);
                    } else {
                        world.boot(n);
                    }
                }
                2 => {
                    let n = any();
                    world.leave(n);
                    world.run(below(60));
                    world.depart(n);
                }
                _ => world.run(below(60)),
            }
        }
        for n in 0..count {
            for other in 0..n {
                world.cut(n, other, false);
            }
            if !world.is_on(n) {
                world.boot(n);
            }
        }
        world.until("one", LONG, |world| world.is_one(&whole(count)));
    });
}
