// SPDX-License-Identifier: GPL-2.0
//! The second kernel as a peer: the window through which messages go, and the news of its death.
//!
//! `popcorn_msg` finds out by missing heartbeats that a node is gone. Here it is known at once, and all
//! who wait for that node are told at once.

use kernel::c_str;
use kernel::prelude::*;
use popcorn_core::boot_status;
use popcorn_core::boot_status::Report;
use popcorn_core::boot_status::STATUS_SIZE;
use popcorn_core::bootparams::Extent;
use popcorn_core::ids::NodeId;
use popcorn_core::ring::Memory;
use popcorn_core::window;
use popcorn_kernel::boot::memory::ReservedMemory;
use popcorn_kernel::boot::sleep_killable;
use popcorn_kernel::kthread;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::shared_memory::SharedMemory;
use popcorn_kernel::wait::WaitQueue;

/// How often the status page is looked at.
const LOOK_MS: u32 = 100;
/// How long the news of a death may take: a thread must run once.
const NEWS_MS: u32 = 1000;
const NEWS_STEP_MS: u32 = 5;
/// Cleared in one step: small enough for the stack.
const STEP: usize = 256;

/// A window that `popcorn_msg` uses. Dropping it takes it away; may sleep.
pub(crate) struct Peer {
    node: NodeId,
    /// Looks for the report of an end; dropped first.
    watch: Option<Kthread>,
}

impl Peer {
    /// Hands `popcorn_msg` an empty window at `extent` for `node`, one of `nodes`. What it has for that
    /// node by its own parameters is replaced. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`: this kernel is that node, or the window cannot be. `ENOMEM`. `ENODEV`: `popcorn_msg` is
    /// being unloaded.
    pub(crate) fn attach(
        memory: &ReservedMemory,
        extent: Extent,
        node: NodeId,
        nodes: usize,
    ) -> Result<Self> {
        // There need not be one.
        popcorn_msg::detach_window(node).ok();
        clear(&memory.map(extent)?);

        let size = usize::try_from(extent.size)?;
        let own = popcorn_msg::this_node();
        let (offset, size) = window::pair(size, nodes, own, node).ok_or(EINVAL)?;
        popcorn_msg::attach_window(extent.start + offset as u64, size, node)?;
        Ok(Self { node, watch: None })
    }

    /// Begins to look at the page in which the node reports. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EINTR`.
    pub(crate) fn watch(&mut self, status: SharedMemory) -> Result {
        let node = self.node;
        let never = WaitQueue::boxed(c_str!("popcorn_boot watch"), kernel::static_lock_class!())?;
        self.watch = Some(Kthread::spawn(c_str!("popcorn_boot"), move || {
            // The thread's owner wakes it by itself when it is to stop.
            while !never.wait_idle(Some(LOOK_MS), kthread::should_stop) {
                if let Some(report) = end_of(&status) {
                    pr_warn!("node {} has {}\n", node, report.as_str());
                    tell(node);
                    break;
                }
            }
        })?);
        Ok(())
    }

    /// The node runs no more. Returns when all who use it have begun to hear of it, so that the window
    /// may go without its seeming to have left in order. May sleep.
    pub(crate) fn died(&mut self) {
        self.watch = None;
        tell(self.node);
        for _ in 0..NEWS_MS / NEWS_STEP_MS {
            if !popcorn_msg::is_online(self.node) || sleep_killable(NEWS_STEP_MS).is_err() {
                break;
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.watch = None;
        popcorn_msg::detach_window(self.node).ok();
    }
}

fn tell(node: NodeId) {
    // Without a window nobody waits for the node.
    popcorn_msg::node_died(node).ok();
}

/// How the kernel that reports in `status` has ended; `None` if it has not.
pub(crate) fn end_of(status: &SharedMemory) -> Option<Report> {
    let mut page = [0; STATUS_SIZE];
    status.read(0, &mut page);
    let (report, _) = boot_status::decode(&page)?;
    report.is_final().then_some(report)
}

fn clear(memory: &SharedMemory) {
    for offset in (0..memory.size()).step_by(STEP) {
        memory.write(offset, &[0; STEP]);
    }
}
