// SPDX-License-Identifier: GPL-2.0
//! CPUs of other nodes in `sched_setaffinity` masks.
//!
//! A kernel's own CPUs keep their numbers. CPU `c` of node `n` has the number
//! `CPUS_PER_NODE * (n + 1) + c` on every other node, so that `taskset -c 128 PROGRAM` on node 0
//! runs it on node 1. Which CPU of the node it is, that node decides.

use crate::ids::NodeId;

/// Numbers that each node has.
pub const CPUS_PER_NODE: usize = 64;
/// Longest mask that is looked at, in bytes: that of glibc's `cpu_set_t`.
pub const MASK_MAX: usize = 128;

/// Where the CPUs of a mask are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// All on this node: the kernel's own business.
    Local,
    /// On this node and others, as in a mask of all ones: the kernel's business, too, and no reason to
    /// move.
    Any,
    /// All on this other node.
    Node(NodeId),
    /// On several other nodes, on none, or on one that cannot be.
    Unclear,
}

/// Where the CPUs of `mask` are: bit `i % 8` of byte `i / 8` is CPU `i`.
pub fn target(mask: &[u8]) -> Target {
    const BYTES: usize = CPUS_PER_NODE / 8;
    let used = |part: &[u8]| part.iter().any(|&byte| byte != 0);
    let mut parts = mask
        .chunks(BYTES)
        .enumerate()
        .filter(|(_, part)| used(part));
    match (parts.next(), parts.next()) {
        (Some((0, _)), None) => Target::Local,
        (Some((0, _)), Some(_)) => Target::Any,
        (Some((index, _)), None) => {
            NodeId::new(index as u64 - 1).map_or(Target::Unclear, Target::Node)
        }
        _ => Target::Unclear,
    }
}
