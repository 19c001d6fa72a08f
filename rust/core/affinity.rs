// SPDX-License-Identifier: GPL-2.0
//! CPUs of other nodes in `sched_setaffinity` masks.
//!
//! A kernel's own CPUs keep their numbers. CPU `c` of node `n` has the number
//! `CPUS_PER_NODE * (n + 1) + c` on every other node, so that `taskset -c 128 PROGRAM` on node 0
//! runs it on node 1. Which CPU of the node it is, that node decides. Where a kernel has so many
//! CPUs of its own that the two meet, a number is that of its own CPU.

use crate::ids::NodeId;

/// Numbers that each node has.
pub const CPUS_PER_NODE: usize = 64;
/// Longest mask that is looked at, in bytes: that of glibc's `cpu_set_t`.
pub const MASK_MAX: usize = 128;

/// What a mask asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// This node's CPUs only: come home, if away; all else is the kernel's own business.
    Local,
    /// The kernel's business alone, and no reason to move: this node's CPUs and others, as in a
    /// mask of all ones, or the numbers that this node has on others, which are nobody's here.
    Stay,
    /// All on this other node.
    Node(NodeId),
    /// On several other nodes, on none, or on one that cannot be.
    Unclear,
}

/// What `mask` asks for on node `own`, whose CPUs have numbers below `own_cpus`: bit `i % 8` of byte
/// `i / 8` is CPU `i`. Only the first [`MASK_MAX`] bytes count.
pub fn target(mask: &[u8], own: NodeId, own_cpus: usize) -> Target {
    let own_cpus = own_cpus.max(CPUS_PER_NODE);
    if own_cpus >= 8 * MASK_MAX {
        // No number is left for other nodes; some of its own may lie beyond.
        return Target::Local;
    }
    let mut is_local = false;
    let mut node = None;
    let mut is_one_node = true;
    for (index, &byte) in mask.iter().take(MASK_MAX).enumerate() {
        let first = 8 * index;
        let ours = match own_cpus.saturating_sub(first) {
            0 => 0,
            bits @ 1..=7 => byte & ((1 << bits) - 1),
            _ => byte,
        };
        is_local |= ours != 0;
        if byte != ours {
            // Not below CPUS_PER_NODE, for those are ours.
            let other = first / CPUS_PER_NODE - 1;
            is_one_node &= *node.get_or_insert(other) == other;
        }
    }
    match (is_local, node) {
        (true, None) => Target::Local,
        (true, Some(_)) => Target::Stay,
        (false, Some(node)) if is_one_node => match NodeId::new(node as u64) {
            Some(node) if node == own => Target::Stay,
            Some(node) => Target::Node(node),
            None => Target::Unclear,
        },
        (false, _) => Target::Unclear,
    }
}
