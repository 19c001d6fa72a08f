// SPDX-License-Identifier: GPL-2.0
//! Whether a machine serves, or waits, or begins anew, after views that are handed in one by one.

#![cfg(not(loom))]

use popcorn_core::directory::NodeSet;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::membership::agreement::Accepted;
use popcorn_core::membership::agreement::Ballot;
use popcorn_core::membership::agreement::Opinion;
use popcorn_core::membership::list::Change;
use popcorn_core::membership::list::List;
use popcorn_core::membership::view::View;
use popcorn_core::membership::Membership;
use popcorn_core::membership::Standing;
use popcorn_core::membership::Why;

const DEAD: u64 = 8;

fn node(n: usize) -> NodeId {
    NodeId::new(n as u64).expect("few")
}

fn nodes(of: &[usize]) -> NodeSet {
    of.iter().fold(NodeSet::EMPTY, |set, n| set.with(node(*n)))
}

fn life(n: usize) -> Incarnation {
    Incarnation::new(n as u64 + 1).expect("not zero")
}

fn list(epoch: u64, members: &[usize]) -> List<4> {
    let lives = std::array::from_fn(|n| members.contains(&n).then(|| life(n)));
    List::from_parts(7, epoch, lives)
}

/// What one says that has this list, hears all, and grants nothing.
fn says(list: List<4>) -> View<4> {
    View {
        list,
        opinion: Opinion::default(),
        sent: 1,
        granted: None,
        dead: DEAD,
        hears: nodes(&[0, 1, 2, 3]),
        kernels: NodeSet::EMPTY,
        is_leaving: false,
        leaving: NodeSet::EMPTY,
    }
}

fn hears(machine: &mut Membership<4>, now: u64, from: usize, view: &View<4>) {
    machine
        .heard(now, node(from), life(from), view)
        .expect("it is honest");
}

/// How 0 stands, whom 1, which had this list, grants to serve as one who wants to join, and 2 then tells that it is a
/// member.
fn granted_under(theirs: List<4>) -> Standing {
    let mut machine = Membership::new(node(0), life(0), None, 0, DEAD);
    let grants = View {
        granted: Some(0),
        ..says(theirs)
    };
    hears(&mut machine, 1, 1, &grants);
    hears(&mut machine, 1, 2, &says(list(5, &[0, 1, 2])));
    assert_eq!(machine.list().members(), nodes(&[0, 1, 2]));
    machine.standing(1)
}

#[test]
fn a_grant_under_a_later_list_is_none() {
    let suspended = Standing::Suspended(Why::Minority);
    assert_eq!(granted_under(list(6, &[1, 2])), suspended);
    assert_eq!(granted_under(List::EMPTY), Standing::Serving);
    assert_eq!(granted_under(list(4, &[1, 2])), Standing::Serving);
}

/// 2 hears that 1 would have it removed, and later of a list without 1. 3 leaves.
#[test]
fn who_has_resigned_and_is_the_last_begins_anew() {
    let mut machine = Membership::new(node(2), life(2), None, 0, DEAD);
    let ballot = Ballot::from_bits((1 << 8) | 1);
    let removes = View {
        opinion: Opinion {
            promised: ballot,
            accepted: Some(Accepted {
                ballot,
                change: Change::Remove(nodes(&[2, 3])),
            }),
        },
        ..says(list(5, &[1, 2, 3]))
    };
    hears(&mut machine, 1, 1, &removes);
    let suspended = Standing::Suspended(Why::Undecided);
    assert_eq!(machine.standing(1), suspended);
    assert!(machine.view(node(1)).is_leaving);

    let leaves = View {
        is_leaving: true,
        ..says(list(6, &[2, 3]))
    };
    hears(&mut machine, 2, 3, &leaves);
    assert_eq!(machine.standing(2), suspended);
    machine.tick(3);
    assert_eq!(machine.list().members(), nodes(&[2]));
    assert_eq!(machine.standing(3), Standing::Removed);
}
