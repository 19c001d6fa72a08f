// SPDX-License-Identifier: GPL-2.0

//! Agreement on the members, explored: the real `popcorn_core::membership` on two to five machines.
//!
//! Once a tick an adversary may cut links (also in one direction), split the cluster, hold a
//! heartbeat back and let it arrive later, kill, restart or join a machine, or have one leave; in
//! every order and at every time, up to a number of actions (`explorer.rs`); and at random, many
//! more of them. After each heartbeat: no two lists of one epoch; a machine that serves is in the
//! latest list; no two disjoint groups serve, but for as long as a grant counts after a change of
//! the list. When a minority dies or leaves, nobody else stops serving; when all links are up
//! again, all that are alive come to serve together, if most of a list are there. The tests at the
//! end break a rule each and show that it is noticed.

mod cluster;
mod explorer;
mod random;
#[path = "../xorshift/mod.rs"]
mod xorshift;

use cluster::Action;
use cluster::Cluster;
use cluster::Mutation;
use explorer::explore;
use explorer::replay;
use explorer::Config;
use explorer::Violation;
use popcorn_core::membership::Standing;

/// Everything that may happen.
fn all(n: usize) -> Vec<Action> {
    let mut actions = network(n);
    actions.extend(machines(n));
    actions
}

/// What may happen to the network.
fn network(n: usize) -> Vec<Action> {
    let pairs = (0..n).flat_map(|from| (0..n).map(move |to| (from, to)));
    let pairs = pairs.filter(|(from, to)| from != to);
    // Half of the sets: the other half are their complements.
    let sets = (1..1_u8 << (n - 1)).filter(move |set| *set != 0);
    let every = 1..(1_u8 << n) - 1;
    pairs
        .clone()
        .map(|(from, to)| Action::Cut(from, to))
        .chain(pairs.map(|(from, to)| Action::Delay(from, to)))
        .chain(sets.map(Action::Split))
        .chain(every.map(Action::Deafen))
        .chain([Action::Heal, Action::Release])
        .collect()
}

/// Splits, and the end of them.
fn splits(n: usize) -> Vec<Action> {
    let mut actions: Vec<_> = (1..1_u8 << (n - 1)).map(Action::Split).collect();
    actions.push(Action::Heal);
    actions
}

/// Splits, and what may happen to the machines.
fn splits_and_machines(n: usize) -> Vec<Action> {
    let mut actions = splits(n);
    actions.extend(machines(n));
    actions
}

/// What may happen to the machines.
fn machines(n: usize) -> Vec<Action> {
    let each = [Action::Kill, Action::Leave, Action::Start];
    each.iter().flat_map(|action| (0..n).map(*action)).collect()
}

const BASE: Config = Config {
    members: 3,
    repertoire: all,
    actions: 2,
    ticks: 14,
    is_calm: false,
    must_recover: true,
    mutation: Mutation::None,
};

/// Explores all of `config` and prints how much that was.
fn holds<const N: usize>(name: &str, config: Config) {
    match explore::<N>(config) {
        Ok(explored) => println!("{name}: {explored:?}"),
        Err(Violation { what, trace, state }) => panic!("{name}: {what}\n  {trace:?}\n{state}"),
    }
}

/// Explores `config`, in which a rule is broken, up to the violation that must be there.
fn breaks<const N: usize>(config: Config, expected: &[&str]) {
    match explore::<N>(config) {
        Ok(explored) => panic!("nothing found in {explored:?} of {config:?}"),
        Err(Violation { what, trace, .. }) => {
            println!("{:?}: {what}, after {trace:?}", config.mutation);
            assert!(expected.contains(&what), "{what}");
        }
    }
}

#[test]
fn two_machines() {
    holds::<2>(
        "two",
        Config {
            members: 2,
            actions: 3,
            ..BASE
        },
    );
}

#[test]
fn three_machines() {
    // A removal takes `DEAD` ticks, twice of that fits; `soak` has more of them.
    holds::<3>("three", Config { ticks: 10, ..BASE });
}

#[test]
fn two_machines_and_one_that_joins() {
    holds::<3>("two and one", Config { members: 2, ..BASE });
}

#[test]
fn splits_of_four() {
    holds::<4>(
        "splits of four",
        Config {
            members: 4,
            repertoire: splits,
            actions: 3,
            ticks: 12,
            ..BASE
        },
    );
}

/// Machine 0 has accepted that 2 and 3 are removed, and 1, with which it had a majority, may have.
/// So that has to be decided; and most are there, if 2 and 3 do not wait for each other.
#[test]
fn those_to_be_removed_together_decide_it() {
    let config = Config { members: 4, ..BASE };
    let trace = [(8, Action::Deafen(0b0011)), (13, Action::Kill(1))];
    match replay::<4>(config, &trace) {
        Ok(is_whole) => assert!(is_whole),
        Err(Violation { what, trace, state }) => panic!("{what}\n  {trace:?}\n{state}"),
    }
}

/// Of 1 and 3, which 0 and 2 began to remove, 3 hears of that while it has no grant from 2, but hears 1 and 2: they
/// are enough to remove 0 instead, and it does not stop them.
#[test]
fn who_is_to_be_removed_does_not_heed_a_few() {
    let config = Config {
        members: 4,
        ticks: 12,
        ..BASE
    };
    let trace = [
        (1, Action::Split(0b0101)),
        (5, Action::Split(0b0001)),
        (10, Action::Split(0b0101)),
    ];
    match replay::<4>(config, &trace) {
        Ok(is_whole) => assert!(is_whole),
        Err(Violation { what, trace, state }) => panic!("{what}\n  {trace:?}\n{state}"),
    }
}

/// As before, but 3 is connected with 2 alone: so it does not know, and 2 shall not wait for it.
#[test]
fn who_is_to_be_removed_does_not_wait_for_who_does_not_know() {
    let mut cluster = Cluster::<4>::new(4, Mutation::None);
    for tick in 0..80 {
        let action = match tick {
            8 => Some(Action::Split(0b0011)),
            13 => Some(Action::Kill(1)),
            _ => None,
        };
        if tick == 14 {
            cluster.heal_between(0, 2);
        }
        cluster.tick(action).expect("as it must be");
    }
    assert_eq!(cluster.standing(0), Some(Standing::Serving));
}

/// 0, 1 and 2 have accepted that 3 and 4 are removed, but of them only 1 and 2 know of another one's vote, that of 0. 3 and
/// 4, which hear each other and so have not accepted it, hear of all, and 2 and 4 die: 3 is the only one that knows.
#[test]
fn who_hears_of_its_removal_first_tells_those_who_stay() {
    let config = Config {
        members: 5,
        ticks: 17,
        ..BASE
    };
    let trace = [
        (8, Action::Deafen(0b00111)),
        (11, Action::Cut(1, 2)),
        (12, Action::Cut(2, 1)),
        (13, Action::Deafen(0b00001)),
        (14, Action::Kill(2)),
        (15, Action::Kill(4)),
    ];
    match replay::<5>(config, &trace) {
        Ok(is_whole) => assert!(is_whole),
        Err(Violation { what, trace, state }) => panic!("{what}\n  {trace:?}\n{state}"),
    }
}

/// Machine 0 was taken in and removed again, and heard of neither. When it hears at last, it is first of the list
/// with it, though it was granted to serve, as one who wants to join, by one that has the later list.
#[test]
fn a_grant_under_a_later_list_is_none_under_this() {
    let config = Config {
        members: 4,
        ticks: 100,
        must_recover: false,
        ..BASE
    };
    let trace = [
        (6, Action::Deafen(0b11110)),
        (11, Action::Leave(1)),
        (14, Action::Split(0b01110)),
        (31, Action::Split(0b00010)),
        (33, Action::Deafen(0b11001)),
        (35, Action::Split(0b01110)),
        (41, Action::Deafen(0b10101)),
        (45, Action::Deafen(0b00011)),
        (50, Action::Delay(2, 0)),
        (80, Action::Split(0b01001)),
        (85, Action::Split(0b01101)),
    ];
    if let Err(Violation { what, trace, state }) = replay::<5>(config, &trace) {
        panic!("{what}\n  {trace:?}\n{state}");
    }
}

#[test]
fn a_minority_is_not_missed() {
    let config = Config {
        repertoire: machines,
        is_calm: true,
        actions: 3,
        ..BASE
    };
    holds::<3>("calm, three", config);
    holds::<4>(
        "calm, four",
        Config {
            members: 4,
            actions: 2,
            ..config
        },
    );
}

#[test]
fn at_random() {
    random::run::<3>(3, 300);
    random::run::<4>(3, 300);
    random::run::<5>(5, 300);
}

/// The large ones, for `make soak`.
#[test]
#[ignore = "takes long; run with --ignored in a release build"]
fn soak() {
    holds::<3>("soak: three for longer", BASE);
    holds::<3>(
        "soak: three",
        Config {
            actions: 3,
            ticks: 12,
            ..BASE
        },
    );
    holds::<4>("soak: four", Config { members: 4, ..BASE });
    holds::<5>(
        "soak: splits of five",
        Config {
            members: 5,
            repertoire: splits_and_machines,
            ..BASE
        },
    );
    random::run::<5>(4, 20_000);
}

// The explorer can fail: a broken rule each.

const SERVES_REMOVED: &str = "a machine serves that is not in the latest list";
const TWO_GROUPS: &str = "two groups serve";
const TWO_LISTS: &str = "two lists of one epoch";

/// Whether all find each other again is not the question then.
const BROKEN: Config = Config {
    must_recover: false,
    ..BASE
};

#[test]
fn mutation_a_grant_counts_from_receipt() {
    let config = Config {
        mutation: Mutation::LeaseFromReceipt,
        ..BROKEN
    };
    breaks::<3>(config, &[SERVES_REMOVED, TWO_GROUPS]);
}

#[test]
fn mutation_a_grant_counts_too_long() {
    let config = Config {
        mutation: Mutation::LongLease,
        ..BROKEN
    };
    breaks::<3>(config, &[SERVES_REMOVED, TWO_GROUPS]);
}

#[test]
fn mutation_earlier_attempts_are_ignored() {
    let config = Config {
        members: 4,
        repertoire: splits,
        actions: 3,
        mutation: Mutation::IgnoreAttempts,
        ..BROKEN
    };
    breaks::<4>(config, &[SERVES_REMOVED, TWO_GROUPS, TWO_LISTS]);
}

#[test]
fn mutation_a_machine_forgets_its_promises() {
    fn repertoire(n: usize) -> Vec<Action> {
        let mut actions = splits(n);
        actions.extend((0..n).map(Action::Amnesia));
        actions
    }
    let config = Config {
        repertoire,
        actions: 3,
        ..BROKEN
    };
    breaks::<3>(config, &[SERVES_REMOVED, TWO_GROUPS, TWO_LISTS]);
}

#[test]
fn mutation_an_administrator_lies() {
    fn repertoire(n: usize) -> Vec<Action> {
        let mut actions = splits(n);
        actions.extend((0..n).map(Action::Lie));
        actions
    }
    let config = Config {
        repertoire,
        ..BROKEN
    };
    breaks::<3>(config, &[SERVES_REMOVED, TWO_GROUPS]);
}
