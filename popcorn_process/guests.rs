// SPDX-License-Identifier: GPL-2.0
//! How many tasks there are here for other nodes: hosts, and threads of theirs that run or wait to be started. However
//! many a node asks for, who lives here can start programs, and has memory for them.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;

use kernel::prelude::*;
use popcorn_core::ids::NodeId;
use popcorn_core::ids::NODE_MAX;
use popcorn_kernel::system;

/// Memory for each task that there may be here: what the kernel's own limit (`threads-max`) reckons with, if stacks have
/// 16 KiB.
const MEMORY_PER_TASK: u64 = 128 << 10;
/// All other nodes together get this part of those, one node that of what they get.
const PART_OF_ALL: u64 = 2;
const PART_OF_ONE: u64 = 4;

static ALL: AtomicU32 = AtomicU32::new(0);
static OF_NODE: [AtomicU32; NODE_MAX] = [const { AtomicU32::new(0) }; NODE_MAX];

/// A task for a node, until this is dropped.
pub(crate) struct Guest {
    _of_node: Counted,
    _of_all: Counted,
}

impl Guest {
    /// One more for `node`. Any context.
    ///
    /// # Errors
    ///
    /// `EAGAIN`: there are too many.
    pub(crate) fn new(node: NodeId) -> Result<Self> {
        let most = system::memory_bytes() / MEMORY_PER_TASK / PART_OF_ALL;
        let of_node = OF_NODE.get(node.index()).ok_or(EINVAL)?;
        Ok(Self {
            _of_node: Counted::within(of_node, most / PART_OF_ONE)?,
            _of_all: Counted::within(&ALL, most)?,
        })
    }
}

struct Counted(&'static AtomicU32);

impl Counted {
    fn within(counter: &'static AtomicU32, most: u64) -> Result<Self> {
        // Nothing is published by it.
        let counted = Self(counter);
        match u64::from(counter.fetch_add(1, Ordering::Relaxed)) < most {
            true => Ok(counted),
            false => Err(EAGAIN),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
