// SPDX-License-Identifier: GPL-2.0
//! Statistics as users get them.

use crate::endpoint::Endpoint;
use crate::statistics::Statistics;

use kernel::prelude::*;
use kernel::sync::Arc;

use popcorn_core::ids::NodeId;
use popcorn_core::stats::row::Row;
use popcorn_kernel::uapi::popcorn_msg_info;
use popcorn_kernel::uapi::POPCORN_MSG_OTHERS;

impl Endpoint {
    /// Tells `each` of every message type of a node, or of all nodes, of which there was a message, in
    /// any order of the types. `each` may sleep for as long as it likes: the link is not held meanwhile.
    ///
    /// # Errors
    ///
    /// `ENODEV`: there is no such node. `ENOMEM`. What `each` returns, which ends it.
    pub fn message_statistics(
        &self,
        node: Option<NodeId>,
        each: &mut dyn FnMut(&popcorn_msg_info) -> Result,
    ) -> Result {
        // Too large for the stack, beside whatever the caller has there.
        let mut info = KBox::new(popcorn_msg_info::default(), GFP_KERNEL)?;
        if let Some(node) = node {
            return match self.statistics(node) {
                Some(statistics) => tell(node, &statistics, &mut info, each),
                None if node == self.node() => Ok(()),
                None => Err(ENODEV),
            };
        }
        for node in NodeId::all() {
            if let Some(statistics) = self.statistics(node) {
                tell(node, &statistics, &mut info, each)?;
            }
        }
        Ok(())
    }

    fn statistics(&self, node: NodeId) -> Option<Arc<Statistics>> {
        self.link(node).map(|link| link.statistics().clone())
    }
}

fn tell(
    node: NodeId,
    statistics: &Statistics,
    info: &mut popcorn_msg_info,
    each: &mut dyn FnMut(&popcorn_msg_info) -> Result,
) -> Result {
    info.node = u32::from(node.get());
    for (kind, row) in statistics.rows() {
        info.type_ = kind.map_or(POPCORN_MSG_OTHERS, u32::from);
        fill(info, row);
        each(info)?;
    }
    Ok(())
}

/// Sets every counter.
fn fill(info: &mut popcorn_msg_info, row: &Row) {
    info.sent = row.sent.messages.get();
    info.sent_bytes = row.sent.bytes.get();
    info.stalls = row.sent.stalls.get();
    info.stall_ns = row.sent.stall_ns.get();
    info.full = row.sent.full.get();
    info.retries = row.sent.retries.get();
    info.received = row.received.messages.get();
    info.received_bytes = row.received.bytes.get();
    info.lost = row.received.lost.get();
    info.late = row.received.late.get();
    info.calls = row.calls.begun.get();
    info.errors = row.calls.errors.get();
    info.timed_out = row.calls.timed_out.get();
    info.interrupted = row.calls.interrupted.get();
    info.host_down = row.calls.host_down.get();
    info.failed = row.calls.failed.get();
    (info.latency_ns, info.latency_min_ns, info.latency_max_ns) =
        row.latency.read(&mut info.latency);
}
