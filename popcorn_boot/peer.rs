// SPDX-License-Identifier: GPL-2.0
//! The second kernel as a peer: the window through which messages go, and the news of its death.
//!
//! `popcorn_msg` finds out by missing heartbeats that a node is gone. Here it is known at once, and all
//! who wait for that node are told at once.

use crate::early::Early;
use crate::memory::Memory;
use kernel::c_str;
use kernel::prelude::*;
use kernel::sync::Arc;
use popcorn_core::boot_control::Pulse;
use popcorn_core::ids::NodeId;
use popcorn_core::ring::Memory as _;
use popcorn_kernel::boot::boot_time_ns;
use popcorn_kernel::boot::processor::Trampoline;
use popcorn_kernel::boot::sleep_killable;
use popcorn_kernel::kthread;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::shared_memory::SharedMemory;
use popcorn_kernel::wait::WaitQueue;
use popcorn_msg::Parting;
use popcorn_msg::PARTING_MS;

/// Without a beat for so long it is said to hang: far more than a busy processor takes for one.
const HANGS_NS: u64 = 10_000_000_000;
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
    /// Hands `popcorn_msg` an empty window in `memory` for `node`. What it has for that node by its own
    /// parameters is replaced. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`: this kernel is that node. `EEXIST`: a kernel of another machine is. `ENOMEM`. `ESHUTDOWN`:
    /// `popcorn_msg` is being unloaded.
    pub(crate) fn attach(memory: &Memory, node: NodeId) -> Result<Self> {
        match popcorn_msg::detach_window(node) {
            // There need not be one.
            Ok(()) | Err(ENODEV) => {}
            Err(error) => {
                if error == EEXIST {
                    pr_err!("node {} is one of another machine by now\n", node);
                }
                return Err(error);
            }
        }
        let extent = memory.layout().window();
        clear(&memory.first()?.map(extent)?);
        popcorn_msg::attach_window(extent.start, usize::try_from(extent.size)?, node)?;
        Ok(Self { node, watch: None })
    }

    /// Begins to look at how the node fares. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EINTR`.
    pub(crate) fn watch(
        &mut self,
        memory: Arc<Memory>,
        trampoline: Trampoline,
        mut early: Early,
    ) -> Result {
        let node = self.node;
        memory.set_hangs(false);
        memory.set_faulted(false);
        let never = WaitQueue::boxed(c_str!("popcorn_boot watch"), kernel::static_lock_class!())?;
        self.watch = Some(Kthread::spawn(c_str!("popcorn_boot"), move || {
            let mut pulse = Pulse::new(0, boot_time_ns());
            let mut hangs = false;
            // The thread's owner wakes it by itself when it is to stop.
            while !never.wait_idle(Some(LOOK_MS), kthread::should_stop) {
                if let Some(report) = memory.status.end() {
                    pr_warn!("node {} has {}\n", node, report.as_str());
                    tell(node);
                    break;
                }
                if trampoline.is_faulted() {
                    pr_warn!(
                        "node {} had an exception before it could take care of it\n",
                        node
                    );
                    memory.set_faulted(true);
                    tell(node);
                    break;
                }
                if early.has_panicked(&memory) {
                    pr_warn!("node {} has panicked, as its log says\n", node);
                    memory.set_panicked(true);
                    tell(node);
                }
                let count = memory.status.heartbeat();
                let silent = pulse.look(count, boot_time_ns()) > HANGS_NS;
                // Before its first beat it boots.
                if silent && !hangs && count != 0 {
                    pr_warn!("node {} hangs\n", node);
                }
                hangs = silent && count != 0;
                memory.set_hangs(hangs);
            }
        })?);
        Ok(())
    }

    /// Parts from the node in order: threads and pages go home, from there and to there, and no more follow
    /// until the result is dropped. Succeeds at once if nobody can be there. May sleep, long.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT`: something does not go home; it stays as it is. `EINTR`: killed. Others of
    /// [`popcorn_msg::Endpoint::part`].
    pub(crate) fn part(&self) -> Result<Option<Parting>> {
        match popcorn_msg::part(self.node, PARTING_MS) {
            // Nobody seeks it.
            Err(error) if error == ENODEV => Ok(None),
            parting => parting.map(Some),
        }
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

fn clear(memory: &SharedMemory) {
    for offset in (0..memory.size()).step_by(STEP) {
        memory.write(offset, &[0; STEP]);
    }
}
