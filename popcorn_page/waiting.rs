// SPDX-License-Identifier: GPL-2.0
//! How many requests for pages of one node wait here for others: holders and sharers, who have to answer.
//!
//! They are the only requests that do, and `popcorn_msg` leaves the ring of a peer alone while it has as many in
//! workers as it may: what others wait for could be behind them there, in a circle of three. So these get half of the
//! workers of a peer, and whoever has more is put off. Those of all peers together cannot occupy the workers that others
//! need, for they have their own (`Handler::waits`).

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use popcorn_core::ids::NodeId;
use popcorn_core::ids::NODE_MAX;

/// Of one node.
const WAITING_MAX: u32 = popcorn_msg::QUEUED_MAX / 2;

static WAITING: [AtomicU32; NODE_MAX] = [const { AtomicU32::new(0) }; NODE_MAX];

/// One that waits, until this is dropped.
pub(crate) struct Waiting(&'static AtomicU32);

impl Waiting {
    /// One more of that node's; `None`: there are too many.
    pub(crate) fn begin(from: NodeId) -> Option<Self> {
        // Nothing is published by it.
        let waiting = Self(WAITING.get(from.index())?);
        (waiting.0.fetch_add(1, Ordering::Relaxed) < WAITING_MAX).then_some(waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
