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
    /// All on this node (or there are none): the kernel's own business.
    Local,
    /// All on this other node.
    Node(NodeId),
    /// On several nodes, or on none that can be.
    Unclear,
}

/// Where the CPUs of `mask` are: bit `i % 8` of byte `i / 8` is CPU `i`.
pub fn target(mask: &[u8]) -> Target {
    const BYTES: usize = CPUS_PER_NODE / 8;
    let mut found = None;
    for (index, part) in mask.chunks(BYTES).enumerate() {
        if part.iter().all(|&byte| byte == 0) {
            continue;
        }
        if found.is_some() {
            return Target::Unclear;
        }
        found = Some(index);
    }
    match found {
        None | Some(0) => Target::Local,
        Some(index) => NodeId::new(index as u64 - 1).map_or(Target::Unclear, Target::Node),
    }
}
