// SPDX-License-Identifier: GPL-2.0
//! What a CPU mask asks for.

use popcorn_core::affinity::target;
use popcorn_core::affinity::Target;
use popcorn_core::affinity::CPUS_PER_NODE;
use popcorn_core::affinity::MASK_MAX;
use popcorn_core::ids::NodeId;
use proptest::prelude::*;
use std::collections::BTreeSet;

const BITS: usize = 8 * MASK_MAX;

fn mask(cpus: &[usize]) -> [u8; MASK_MAX] {
    let mut mask = [0; MASK_MAX];
    for cpu in cpus {
        mask[cpu / 8] |= 1 << (cpu % 8);
    }
    mask
}

fn node(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

/// On node 0, with a few CPUs.
fn at_primary(mask: &[u8]) -> Target {
    target(mask, node(0), 4)
}

#[test]
fn own_cpus_are_local() {
    assert_eq!(at_primary(&mask(&[0, 1, 63])), Target::Local);
    assert_eq!(at_primary(&mask(&[0])[..8]), Target::Local);
}

#[test]
fn own_and_other_cpus_are_no_reason_to_move() {
    assert_eq!(at_primary(&mask(&[0, 64])), Target::Stay);
    assert_eq!(at_primary(&[0xff; MASK_MAX]), Target::Stay);
}

#[test]
fn several_other_nodes_and_none_are_unclear() {
    assert_eq!(at_primary(&[]), Target::Unclear);
    assert_eq!(at_primary(&mask(&[])), Target::Unclear);
    assert_eq!(at_primary(&mask(&[64, 128])), Target::Unclear);
}

#[test]
fn what_others_call_this_node_is_left_to_the_kernel() {
    let all: Vec<_> = (64..128).collect();
    assert_eq!(at_primary(&mask(&all)), Target::Stay);
    assert_eq!(target(&mask(&all), node(1), 4), Target::Node(node(0)));
    assert_eq!(target(&mask(&[128]), node(1), 4), Target::Stay);
}

#[test]
fn cpus_of_a_large_kernel_are_its_own() {
    let at = |cpus: &[usize], own_cpus| target(&mask(cpus), node(3), own_cpus);
    assert_eq!(at(&[99], 100), Target::Local);
    assert_eq!(at(&[70, 99], 100), Target::Local);
    assert_eq!(at(&[100], 100), Target::Node(node(0)));
    assert_eq!(at(&[99, 100], 100), Target::Stay);
    assert_eq!(at(&[99, 700], 100), Target::Stay);
    assert_eq!(at(&[1023], 1023), Target::Node(node(14)));
    // Some of its own may lie behind what is looked at.
    assert_eq!(at(&[], 1024), Target::Local);
    assert_eq!(at(&[1023], 8192), Target::Local);
}

/// The same rules, CPU by CPU.
fn model(cpus: &BTreeSet<usize>, own: NodeId, own_cpus: usize) -> Target {
    let own_cpus = own_cpus.max(CPUS_PER_NODE);
    let (local, others): (Vec<_>, Vec<_>) = cpus.iter().partition(|cpu| **cpu < own_cpus);
    let nodes: BTreeSet<_> = others.iter().map(|cpu| cpu / CPUS_PER_NODE - 1).collect();
    match (local.is_empty(), nodes.len()) {
        (true, 1) if nodes.contains(&own.index()) => Target::Stay,
        (true, 1) => Target::Node(node(*nodes.first().unwrap() as u64)),
        (true, _) => Target::Unclear,
        (false, 0) => Target::Local,
        (false, _) => Target::Stay,
    }
}

/// CPUs from all over, or from a few places close to each other.
fn cpus() -> impl Strategy<Value = BTreeSet<usize>> {
    let near = (0..BITS, prop::collection::btree_set(0..CPUS_PER_NODE, 0..5)).prop_map(
        |(from, cpus)| -> BTreeSet<_> { cpus.iter().map(|cpu| (from + cpu) % BITS).collect() },
    );
    prop_oneof![prop::collection::btree_set(0..BITS, 0..4), near]
}

proptest! {
    #[test]
    fn one_node(id in 0u64..15, own in 0u64..64, cpus in prop::collection::vec(0..CPUS_PER_NODE, 1..5)) {
        prop_assume!(id != own);
        let base = CPUS_PER_NODE * (id as usize + 1);
        let cpus: Vec<_> = cpus.into_iter().map(|cpu| base + cpu).collect();
        prop_assert_eq!(target(&mask(&cpus), node(own), 64), Target::Node(node(id)));
    }

    #[test]
    fn any_mask_on_any_node(cpus in cpus(), own in 0u64..20, own_cpus in 1..BITS) {
        let cpu_list: Vec<_> = cpus.iter().copied().collect();
        prop_assert_eq!(target(&mask(&cpu_list), node(own), own_cpus), model(&cpus, node(own), own_cpus));
    }

    /// Whatever else it names: a mask with a CPU of this kernel never moves a thread, nor is refused here.
    #[test]
    fn own_cpus_leave_it_to_the_kernel(others in cpus(), own in 0u64..20, own_cpus in 1..BITS, one in any::<prop::sample::Index>()) {
        let mut cpu_list: Vec<_> = others.into_iter().collect();
        cpu_list.push(one.index(own_cpus));
        let found = target(&mask(&cpu_list), node(own), own_cpus);
        prop_assert!(matches!(found, Target::Local | Target::Stay), "{:?}", found);
    }
}
