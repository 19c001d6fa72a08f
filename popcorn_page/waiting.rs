// SPDX-License-Identifier: GPL-2.0
//! How many requests for pages of one node wait here for others: holders and sharers, who have to answer; and how many
//! wait for one of those.
//!
//! They are the only requests that do, and `popcorn_msg` leaves the ring of a peer alone while it has as many in
//! workers as it may: what others wait for could be behind them there, in a circle of three. So these get half of the
//! workers of a peer, and whoever has more is put off. Those of all peers together cannot occupy the workers that others
//! need, for they have their own (`Handler::waits`). Of these a holder that does not answer gets a part only: else
//! requests of a few peers for its pages would leave none for those that others would answer.
//!
//! And how many pages are on their way to one node: of each the origin keeps a copy, which nobody is charged for, until
//! the receipt. A node that goes on asking and never gives one would have it keep all that its processes have. An honest
//! one that has very many requests under way gets fewer pages that it did not ask for.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use kernel::error::Error;
use popcorn_core::directory::NodeSet;
use popcorn_core::ids::NodeId;
use popcorn_core::ids::NODE_MAX;
use popcorn_core::proto::AHEAD_MAX;
use popcorn_kernel::errno;

/// Of one node.
const WAITING_MAX: u32 = popcorn_msg::QUEUED_MAX / 2;
/// For one holder: an eighth of the workers that may wait.
const ASKED_MAX: u32 = popcorn_msg::QUEUED_MAX / 4;
/// To one node: as many as requests of it that are served at once can ask for.
const GRANTED_MAX: u32 = popcorn_msg::QUEUED_MAX * (AHEAD_MAX as u32 + 1);
/// Of those, pages ahead included: about as many calls as it can have under way still get what they ask for.
const GRANTED_AHEAD_MAX: u32 = GRANTED_MAX / 4 * 3;

/// One number for each node. Nothing is published by them.
type Numbers = [AtomicU32; NODE_MAX];

static WAITING: Numbers = [const { AtomicU32::new(0) }; NODE_MAX];
static ASKED: Numbers = [const { AtomicU32::new(0) }; NODE_MAX];
static GRANTED: Numbers = [const { AtomicU32::new(0) }; NODE_MAX];

/// Within this module: there are too many. Who asks is put off for a while, and told `EAGAIN`.
pub(crate) fn too_many() -> Error {
    errno::no_buffers()
}

/// One more of that node. How many there were before.
fn more(numbers: &Numbers, node: NodeId) -> u32 {
    numbers
        .get(node.index())
        .map_or(u32::MAX, |number| number.fetch_add(1, Ordering::Relaxed))
}

fn less(numbers: &Numbers, node: NodeId) {
    if let Some(number) = numbers.get(node.index()) {
        number.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that waits, until this is dropped.
pub(crate) struct Waiting(NodeId);

impl Waiting {
    /// One more of that node's; `None`: there are too many.
    pub(crate) fn begin(from: NodeId) -> Option<Self> {
        let waiting = Self(from);
        (more(&WAITING, from) < WAITING_MAX).then_some(waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        less(&WAITING, self.0);
    }
}

/// A page on its way to a node, until this is dropped. Small: each entry of a directory has room for one.
pub(crate) struct Granted(NodeId);

impl Granted {
    /// One more to that node, which asked for it; `None`: there are too many.
    pub(crate) fn begin(to: NodeId) -> Option<Self> {
        Self::below(GRANTED_MAX, to)
    }

    /// One more that lies behind what it asked for.
    pub(crate) fn begin_ahead(to: NodeId) -> Option<Self> {
        Self::below(GRANTED_AHEAD_MAX, to)
    }

    fn below(most: u32, to: NodeId) -> Option<Self> {
        let granted = Self(to);
        (more(&GRANTED, to) < most).then_some(granted)
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        less(&GRANTED, self.0);
    }
}

/// A worker that waits for some holders, until this is dropped.
pub(crate) struct Asked(NodeSet);

impl Asked {
    /// One more that waits for each of `holders`; `None`: for one of them there are too many.
    pub(crate) fn begin(holders: NodeSet) -> Option<Self> {
        let mut asked = Self(NodeSet::EMPTY);
        for holder in holders {
            asked.0 = asked.0.with(holder);
            if more(&ASKED, holder) >= ASKED_MAX {
                return None;
            }
        }
        Some(asked)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        for node in self.0 {
            less(&ASKED, node);
        }
    }
}
