// SPDX-License-Identifier: GPL-2.0
//! Where frames go: to whom they are for, once, and never in a circle.

#![cfg(not(loom))]

use popcorn_core::ids::NodeId;
use popcorn_core::ids::NODE_MAX;
use popcorn_core::net_route::address_of;
use popcorn_core::net_route::received;
use popcorn_core::net_route::sent;
use popcorn_core::net_route::Address;
use popcorn_core::net_route::Forged;
use popcorn_core::net_route::NodeSet;
use popcorn_core::net_route::Received;
use popcorn_core::net_route::Station;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::collections::VecDeque;

const ALL: Address = [0xff; 6];
const OUTSIDE: Address = [0x52, 0x54, 0, 1, 2, 3];

fn node(id: usize) -> NodeId {
    NodeId::new(id as u64).unwrap()
}

fn set(nodes: &[usize]) -> NodeSet {
    nodes
        .iter()
        .fold(NodeSet::EMPTY, |set, &id| set.with(node(id)))
}

#[test]
fn addresses() {
    for id in NodeId::all() {
        let address = address_of(id);
        assert_eq!(address[0] & 3, 2, "of one station, locally administered");
        assert_eq!(Station::of(&address), Station::Node(id));
        let mut group = address;
        group[0] |= 1;
        assert_eq!(Station::of(&group), Station::Group);
    }
    assert_eq!(Station::of(&ALL), Station::Group);
    assert_eq!(Station::of(&OUTSIDE), Station::Other);
    let mut no_node = address_of(NodeId::PRIMARY);
    no_node[5] = NODE_MAX as u8;
    assert_eq!(Station::of(&no_node), Station::Other);
    no_node[4] = 1;
    assert_eq!(Station::of(&no_node), Station::Other);
}

#[test]
fn sets() {
    let some = set(&[0, 5, 63]);
    assert_eq!(
        some.iter().collect::<Vec<_>>(),
        [node(0), node(5), node(63)]
    );
    assert_eq!(NodeSet::new(some.get()), some);
    assert_eq!((some.len(), NodeSet::EMPTY.len()), (3, 0));
    assert!(some.contains(node(63)) && !some.without(node(63)).contains(node(63)));
    assert_eq!(some.and(set(&[5, 6])), NodeSet::one(node(5)));
    assert!(some.and(set(&[6])).is_empty());
}

#[test]
fn what_is_sent() {
    let (primary, two) = (node(0), node(2));
    let online = set(&[1, 2, 3]);
    assert_eq!(sent(primary, &address_of(two), online), set(&[2]));
    assert_eq!(sent(primary, &ALL, online), online);
    assert_eq!(sent(primary, &OUTSIDE, online), online);
    assert_eq!(
        sent(primary, &address_of(node(4)), online),
        NodeSet::EMPTY,
        "not online"
    );
    assert_eq!(
        sent(primary, &address_of(primary), online),
        NodeSet::EMPTY,
        "itself"
    );
    for to in [ALL, OUTSIDE, address_of(node(1)), address_of(primary)] {
        assert_eq!(sent(two, &to, set(&[0])), set(&[0]));
        assert_eq!(sent(two, &to, NodeSet::EMPTY), NodeSet::EMPTY);
    }
}

#[test]
fn what_comes() {
    let (primary, one, two) = (node(0), node(1), node(2));
    let online = set(&[1, 2, 3]);
    let from_one = address_of(one);
    let at_primary = |to: &Address, source: &Address| received(primary, one, to, source, online);
    let up = |up, relay| Ok(Received { up, relay });
    let none = NodeSet::EMPTY;
    assert_eq!(at_primary(&address_of(primary), &from_one), up(true, none));
    assert_eq!(
        at_primary(&address_of(two), &from_one),
        up(false, set(&[2]))
    );
    assert_eq!(at_primary(&address_of(node(9)), &from_one), up(false, none));
    assert_eq!(
        at_primary(&from_one, &from_one),
        up(false, none),
        "not back"
    );
    assert_eq!(at_primary(&ALL, &from_one), up(true, set(&[2, 3])));
    assert_eq!(at_primary(&OUTSIDE, &OUTSIDE), up(true, none));
    // In another's name.
    assert_eq!(at_primary(&ALL, &address_of(two)), Err(Forged));
    assert_eq!(at_primary(&ALL, &address_of(primary)), Err(Forged));
    let at_two = |from: NodeId, source: &Address| received(two, from, &ALL, source, set(&[0]));
    assert_eq!(at_two(primary, &from_one), up(true, none), "relayed");
    assert_eq!(at_two(primary, &address_of(two)), Err(Forged));
    assert_eq!(at_two(node(3), &from_one), Err(Forged));
}

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        (0..6usize).prop_map(|id| address_of(node(id))),
        Just(ALL),
        Just(OUTSIDE),
    ]
}

proptest! {
    /// Each of a few nodes has a window with the primary, some are online: a frame gets to each node at most
    /// once, to whom it is for if there is a way, and comes to an end.
    #[test]
    fn no_frame_goes_round(from in 0..6usize, to in address(), online in 0u64..64) {
        let online = NodeSet::new(online).with(NodeId::PRIMARY);
        let sees = |at: NodeId| {
            if at == NodeId::PRIMARY {
                online.without(at)
            } else if online.contains(at) {
                NodeSet::one(NodeId::PRIMARY)
            } else {
                NodeSet::EMPTY
            }
        };
        let from = node(from);
        let source = address_of(from);
        let mut under_way: VecDeque<_> =
            sent(from, &to, sees(from)).iter().map(|next| (from, next)).collect();
        let mut windows = 0;
        let mut got: BTreeMap<usize, usize> = BTreeMap::new();
        while let Some((last, at)) = under_way.pop_front() {
            windows += 1;
            prop_assert!(windows <= 2 * NODE_MAX);
            let received = received(at, last, &to, &source, sees(at)).unwrap();
            if received.up {
                *got.entry(at.index()).or_default() += 1;
            }
            under_way.extend(received.relay.iter().map(|next| (at, next)));
        }
        prop_assert!(got.values().all(|&times| times == 1));
        prop_assert!(!got.contains_key(&from.index()));
        if !online.contains(from) {
            prop_assert!(got.is_empty());
            return Ok(());
        }
        match Station::of(&to) {
            Station::Node(node) if node != from && online.contains(node) => {
                prop_assert_eq!(got.len(), 1);
                prop_assert!(got.contains_key(&node.index()));
            }
            Station::Node(_) => prop_assert!(got.is_empty()),
            Station::Group => prop_assert_eq!(got.len() + 1, online.iter().count()),
            Station::Other if from == NodeId::PRIMARY => {
                prop_assert_eq!(got.len() + 1, online.iter().count());
            }
            Station::Other => prop_assert_eq!(got.len(), 1),
        }
    }

    /// Whatever addresses a peer makes up: nothing goes back to it, or to who is not online.
    #[test]
    fn any_addresses(
        own in 0..64usize, from in 0..64usize, to in any::<Address>(), source in any::<Address>(), online in any::<u64>(),
    ) {
        let (own, from, online) = (node(own), node(from), NodeSet::new(online));
        let out = sent(own, &to, online);
        prop_assert_eq!(out.and(online), out);
        prop_assert!(!out.contains(own));
        if let Ok(received) = received(own, from, &to, &source, online) {
            prop_assert_eq!(received.relay.and(online), received.relay);
            prop_assert!(!received.relay.contains(own) && !received.relay.contains(from));
            prop_assert!(own == NodeId::PRIMARY || received.relay.is_empty());
        }
    }
}
