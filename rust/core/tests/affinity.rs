// SPDX-License-Identifier: GPL-2.0
//! Which node a CPU mask means.

use popcorn_core::affinity::target;
use popcorn_core::affinity::Target;
use popcorn_core::affinity::CPUS_PER_NODE;
use popcorn_core::ids::NodeId;
use proptest::prelude::*;

fn mask(cpus: &[usize]) -> [u8; 128] {
    let mut mask = [0; 128];
    for cpu in cpus {
        mask[cpu / 8] |= 1 << (cpu % 8);
    }
    mask
}

#[test]
fn own_cpus_are_local() {
    assert_eq!(target(&mask(&[0, 1, 63])), Target::Local);
    assert_eq!(target(&mask(&[0])[..8]), Target::Local);
}

#[test]
fn own_and_other_cpus_are_no_reason_to_move() {
    assert_eq!(target(&mask(&[0, 64])), Target::Any);
    assert_eq!(target(&[0xff; 128]), Target::Any);
}

#[test]
fn several_other_nodes_and_none_are_unclear() {
    assert_eq!(target(&[]), Target::Unclear);
    assert_eq!(target(&mask(&[])), Target::Unclear);
    assert_eq!(target(&mask(&[64, 128])), Target::Unclear);
}

proptest! {
    #[test]
    fn one_node(node in 0u64..15, cpus in prop::collection::vec(0..CPUS_PER_NODE, 1..5)) {
        let base = CPUS_PER_NODE * (node as usize + 1);
        let cpus: Vec<_> = cpus.into_iter().map(|cpu| base + cpu).collect();
        let node = NodeId::new(node).map(Target::Node);
        prop_assert_eq!(Some(target(&mask(&cpus))), node);
    }
}
