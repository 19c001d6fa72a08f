// SPDX-License-Identifier: GPL-2.0
//! A member that lies: what cannot be has it dropped, and nobody else; and what can be does not stop the others
//! for ever.

use super::each_seed;
use super::ids;
use super::whole;
use super::LONG;
use crate::world::below;
use crate::world::random;
use crate::world::World;
use popcorn_core::directory::NodeSet;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::ids::NODE_MAX;
use popcorn_core::membership::agreement::Accepted;
use popcorn_core::membership::agreement::Ballot;
use popcorn_core::membership::list::Change;
use popcorn_core::membership::list::List;
use popcorn_core::membership::view::Said;

/// Rounds that whoever has a list goes along with at once, as `membership/agreement.rs` has it.
const ROUNDS: u64 = 1 << 32;
const LIAR: usize = 2;

fn three() -> World {
    let mut world = World::mesh(&ids(3));
    world.until("one", LONG, |world| world.is_one(&whole(3)));
    world
}

/// The liar is switched off: the others notice, and go on.
fn ends_well(world: &mut World, rest: &[usize]) {
    world.kill(LIAR);
    world.until("without the liar", LONG, |world| world.is_one(rest));
    for n in rest {
        assert_eq!(world.faults[*n], 0);
    }
}

fn promising(bits: u64) -> impl FnMut(usize, &Said) -> Said {
    move |_, said| {
        let mut lie = *said;
        lie.view.opinion.promised = Ballot::from_bits(bits);
        lie
    }
}

#[test]
fn ballots_without_end_are_a_fault() {
    each_seed(|| {
        let mut world = three();
        let round = [2 * ROUNDS + 1, u64::MAX >> 8][below(2) as usize];
        world.lies(LIAR, promising((round << 8) | below(3)));
        world.run(1 + below(5));
        assert!(world.faults[LIAR] > 0);
        world.repents();
        ends_well(&mut world, &[0, 1]);
    });
}

#[test]
fn ballots_of_nobody_are_a_fault() {
    let mut world = three();
    world.lies(LIAR, promising((1 << 8) | 5));
    world.run(1);
    assert!(world.faults[LIAR] > 0);
}

#[test]
fn the_highest_ballot_is_not_the_last() {
    each_seed(|| {
        let mut world = three();
        // As high as is believed, and a bit higher, which is believed later.
        world.lies(LIAR, promising(((ROUNDS + below(2000)) << 8) | LIAR as u64));
        world.run(1 + below(20));
        assert_eq!(world.faults, [0; 3]);
        world.repents();
        ends_well(&mut world, &[0, 1]);
        // Also others may come, and go.
        world.boot(LIAR);
        world.until("one again", LONG, |world| world.is_one(&whole(3)));
        assert_eq!(world.faults, [0; 3]);
    });
}

/// To `victim` a list of it and the liar alone.
fn luring(victim: usize, epoch: fn(u64) -> u64) -> impl FnMut(usize, &Said) -> Said {
    move |to, said| {
        let (mut lie, list) = (*said, said.view.list);
        if to == victim {
            let lives = std::array::from_fn(|n| {
                let life = NodeId::new(n as u64).and_then(|node| list.life(node));
                life.filter(|_| n == LIAR || n == victim)
            });
            lie.view.list = List::from_parts(list.cluster(), epoch(list.epoch()), lives);
        }
        lie
    }
}

#[test]
fn an_epoch_far_ahead_is_a_fault() {
    let epochs: [fn(u64) -> u64; 5] = [
        |_| u64::MAX,
        |_| 1 << 63,
        |epoch| epoch + (1 << 25),
        |epoch| epoch + (17 << 32),
        |_| (1 << 32) + (1 << 25),
    ];
    for epoch in epochs {
        each_seed(|| {
            let mut world = three();
            let victim = below(2) as usize;
            let before = world.epoch(victim);
            world.lies(LIAR, luring(victim, epoch));
            world.run(4 + below(5));
            assert!(world.faults[LIAR] > 0);
            assert_eq!(
                (world.members(victim), world.epoch(victim)),
                (0b111, before)
            );
            world.repents();
            ends_well(&mut world, &[0, 1]);
        });
    }
}

#[test]
fn who_is_new_believes_no_last_epoch() {
    each_seed(|| {
        let mut world = World::mesh(&ids(3));
        let ends: [fn(u64) -> u64; 2] = [|_| (1 << 48) + 1, |_| u64::MAX];
        let end = ends[below(2) as usize];
        world.lies(LIAR, move |_, said| {
            let (mut lie, list) = (*said, said.view.list);
            if list.epoch() != 0 {
                let lives =
                    std::array::from_fn(|n| NodeId::new(n as u64).and_then(|node| list.life(node)));
                lie.view.list = List::from_parts(list.cluster(), end(list.epoch()), lives);
            }
            lie
        });
        world.run(200);
        assert!(world.faults[LIAR] > 0);
        assert!(world.epoch(0) <= 1 << 48 && world.epoch(1) <= 1 << 48);
        ends_with_help(&mut world, &[0, 1]);
    });
}

/// Another value in place of one.
fn other(value: u64) -> u64 {
    match below(8) {
        0 => 0,
        1 => u64::MAX,
        2 => random(),
        3 => value.wrapping_add(1 + below(3)),
        4 => value.wrapping_sub(1),
        5 => value ^ (1 << below(64)),
        6 => value.wrapping_add(1 << below(64)),
        _ => below(64),
    }
}

fn other_set(set: NodeSet) -> NodeSet {
    NodeSet::from_bits(other(set.bits()))
}

fn other_ballot(ballot: Ballot) -> Ballot {
    let round = (ballot.bits() >> 8).wrapping_add([1, ROUNDS, other(0)][below(3) as usize]);
    Ballot::from_bits((round << 8) | below(4))
}

fn life() -> Option<Incarnation> {
    Incarnation::new(random())
}

fn other_list(list: &List) -> List {
    let epoch = match below(4) {
        0 => list.epoch(),
        1 => list.epoch() + 1 + below(3),
        2 => list.epoch() + (1 << 32),
        _ => other(list.epoch()),
    };
    let cluster = if below(8) == 0 {
        random()
    } else {
        list.cluster()
    };
    let lives = std::array::from_fn(|n| {
        let life_there = NodeId::new(n as u64).and_then(|node| list.life(node));
        match below(4) {
            0 if n < 8 => life(),
            1 => None,
            _ => life_there,
        }
    });
    List::from_parts(cluster, epoch, lives)
}

/// Something that is not so.
fn anything(said: &Said) -> Said {
    let mut lie = *said;
    let is_other = || below(4) == 0;
    if below(16) == 0 {
        lie.life = life().unwrap_or(said.life);
    }
    let view = &mut lie.view;
    if is_other() {
        view.list = other_list(&view.list);
    }
    if is_other() {
        view.opinion.promised = other_ballot(view.opinion.promised);
    }
    if is_other() {
        let ballot = match below(2) {
            0 => view.opinion.promised,
            _ => other_ballot(view.opinion.promised),
        };
        let change = match below(2) {
            0 => Change::Remove(NodeSet::from_bits(1 + below(31))),
            _ => NodeId::new(below(NODE_MAX as u64))
                .zip(life())
                .map_or(Change::Remove(NodeSet::EMPTY), |(node, life)| {
                    Change::Join(node, life)
                }),
        };
        view.opinion.accepted = Some(Accepted { ballot, change });
    }
    if is_other() {
        view.sent = other(view.sent);
    }
    if is_other() {
        view.granted = view.granted.map(other);
    }
    if is_other() {
        view.dead = other(view.dead);
    }
    if is_other() {
        view.hears = other_set(view.hears);
    }
    if is_other() {
        view.kernels = other_set(view.kernels);
    }
    if is_other() {
        view.leaving = other_set(view.leaving);
    }
    view.is_leaving ^= below(16) == 0;
    lie
}

/// An administrator says on one that waits that nobody serves whom it does not hear. Of two systems he ends one.
fn help(world: &mut World, rest: &[usize]) {
    let is_waiting = rest.iter().any(|n| !world.serves(*n));
    for n in rest {
        if !is_waiting && world.cluster(*n) != world.cluster(rest[0]) {
            world.kill(*n);
            world.boot(*n);
        }
    }
    for n in rest {
        let missing = NodeSet::from_bits(world.missing(*n));
        let is_helped = missing
            .into_iter()
            .any(|node| world.force_id(*n, node.get().into()).is_ok());
        if is_helped {
            return;
        }
    }
}

/// The liar is switched off, and an administrator sees to it that the others go on.
fn ends_with_help(world: &mut World, rest: &[usize]) {
    world.repents();
    world.kill(LIAR);
    for _ in 0..10 {
        world.run(100);
        if world.is_one(rest) {
            break;
        }
        help(world, rest);
    }
    world.until("one", LONG, |world| world.is_one(rest));
}

/// Who believes a lie may lose what it has, and wait for machines that there never were, or be in a system of its own,
/// until an administrator does what there is to do then. But nothing is for ever.
#[test]
fn whatever_a_member_says_the_others_go_on_without_it() {
    for seldom in [1, 4, 30] {
        each_seed(|| {
            let count = 3 + below(3) as usize;
            let mut world = World::mesh(&ids(count));
            world.until("one", LONG, |world| world.is_one(&whole(count)));
            world.lies(LIAR, move |_, said| match below(seldom) {
                0 => anything(said),
                _ => *said,
            });
            world.run(10 + below(300));
            let mut rest = whole(count);
            rest.remove(LIAR);
            ends_with_help(&mut world, &rest);
        });
    }
}
