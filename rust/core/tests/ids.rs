// SPDX-License-Identifier: GPL-2.0
//! Ids: only what is allowed becomes one.

#![cfg(not(loom))]

use popcorn_core::ids::Class;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::ids::RequestId;
use popcorn_core::ids::NODE_MAX;
use proptest::prelude::*;

proptest! {
    #[test]
    fn nodes_are_below_the_limit(raw: u64) {
        prop_assert_eq!(NodeId::new(raw).map(|node| u64::from(node.get())), (raw < 64).then_some(raw));
    }

    #[test]
    fn request_ids_come_back(raw: u64) {
        let id = RequestId::from_wire(raw);
        prop_assert_eq!(id.to_wire(), raw);
        prop_assert_eq!(RequestId::new(id.slot() as u32, id.generation()), id);
    }

    /// An id in use is never the one that means "none", and differs from the slot's next.
    #[test]
    fn generations_differ(slot: u32, generation: u32) {
        let next = RequestId::next_generation(generation);
        prop_assert_ne!(next, generation);
        prop_assert_ne!(RequestId::new(slot, next).to_wire(), RequestId::NONE);
    }

    #[test]
    fn classes_come_back(raw: u8) {
        prop_assert_eq!(Class::new(raw).map(Class::get), (1..=3).contains(&raw).then_some(raw));
    }
}

#[test]
fn all_nodes_in_order() {
    let all: Vec<usize> = NodeId::all().map(NodeId::index).collect();
    assert_eq!(all, (0..NODE_MAX).collect::<Vec<_>>());
    assert_eq!(Incarnation::new(0), None);
}
