// SPDX-License-Identifier: GPL-2.0
//! What an administrator's word undoes: who had resigned before it may serve after it, and is not removed by those who
//! remember that it had.

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

const DEAD: u64 = 8;
/// Before the word, and by it.
const EPOCHS: [u64; 2] = [5, 1 << 32];

fn node(n: usize) -> NodeId {
    NodeId::new(n as u64).expect("few")
}

fn life(n: usize) -> Incarnation {
    Incarnation::new(n as u64 + 1).expect("not zero")
}

/// What one of 1, 2 and 3 says; 2 does not serve, if `is_leaving`.
fn says(epoch: u64, sent: u64, opinion: Opinion, is_leaving: bool) -> View<4> {
    let lives = [None, Some(life(1)), Some(life(2)), Some(life(3))];
    View {
        list: List::from_parts(7, epoch, lives),
        opinion,
        sent,
        granted: None,
        dead: DEAD,
        hears: NodeSet::only(node(1)).with(node(2)).with(node(3)),
        kernels: NodeSet::EMPTY,
        is_leaving,
        leaving: NodeSet::EMPTY,
    }
}

/// Whether 3, to which 2 says these, each at its time, and then 1 with a list of that epoch, accepts that 2 is removed.
fn accepts(from_2: &[(u64, View<4>)], epoch: u64) -> bool {
    let mut machine = Membership::<4>::new(node(3), life(3), None, 0, DEAD);
    let mut now = 0;
    for (at, view) in from_2 {
        now = *at;
        machine
            .heard(now, node(2), life(2), view)
            .expect("it is honest");
    }
    let ballot = Ballot::from_bits((1 << 8) | 1);
    let opinion = Opinion {
        promised: ballot,
        accepted: Some(Accepted {
            ballot,
            change: Change::Remove(NodeSet::only(node(2))),
        }),
    };
    machine
        .heard(now + 1, node(1), life(1), &says(epoch, 1, opinion, false))
        .expect("it is honest");
    let is_accepted = machine.view(node(1)).opinion.accepted.is_some();
    // As a majority of three has then.
    is_accepted || !machine.list().contains(node(2), life(2))
}

#[test]
fn who_resigned_before_the_word_is_not_removed_after_it() {
    let [before, after] = EPOCHS;
    let resigned = |sent| says(before, sent, Opinion::default(), true);
    let serves = |epoch, sent| says(epoch, sent, Opinion::default(), false);
    assert!(!accepts(&[(1, serves(before, 1))], before));
    assert!(accepts(&[(1, resigned(1))], before));
    // The word comes from itself.
    assert!(!accepts(&[(1, resigned(1)), (2, serves(after, 2))], after));
    // It comes from another, for that is too soon after the list before.
    assert!(!accepts(&[(1, resigned(1)), (1, serves(after, 2))], after));
    // It came from another first.
    assert!(!accepts(&[(1, serves(after, 1)), (2, resigned(1))], after));
    // It leaves.
    let leaves = says(after, 1, Opinion::default(), true);
    assert!(accepts(&[(1, leaves)], after));
}
