// SPDX-License-Identifier: GPL-2.0
//! The beginning and the end of a peer's life, as all transports see it.
//!
//! Called by the thread of a link that alone changes its state. What belongs to the transport (rings,
//! connections) is opened before [`begin`], and closed before [`end`]: nobody receives from a life that
//! has ended.

use crate::link::Link;
use crate::link::LinkState;
use crate::service::NodeEvent;

use kernel::sync::Arc;

use core::sync::atomic::Ordering;
use popcorn_core::ids::Incarnation;
use popcorn_kernel::info_ratelimited;
use popcorn_kernel::system;

/// Between two heartbeats.
pub(crate) const TICK_MS: u64 = 100;

/// Events of a peer that wait to be told.
const UNTOLD_MAX: u32 = 4;

/// A new life; no two are the same, but by chance of one in 2^64.
pub(crate) fn new_life() -> Incarnation {
    loop {
        if let Some(life) = Incarnation::new(system::random_u64()) {
            return life;
        }
    }
}

/// Whether a session with another life of the peer may begin: not while the services have much to deal with, or a
/// peer that does nothing but begin anew would have them fall behind, with ever more to be told.
pub(crate) fn may_begin(link: &Link) -> bool {
    link.untold.load(Ordering::Acquire) < UNTOLD_MAX
}

/// Whether the services have dealt with the end of all earlier lives of the peer: before that none is online, or they
/// would take its pages and threads for those of the dead one.
pub(crate) fn is_told(link: &Link) -> bool {
    link.untold.load(Ordering::Acquire) == 0
}

/// Counts an event that waits to be told, until this is dropped.
struct Untold(Arc<Link>);

impl Drop for Untold {
    fn drop(&mut self) {
        self.0.untold.fetch_sub(1, Ordering::Release);
    }
}

fn tell(link: &Arc<Link>, event: NodeEvent) {
    link.untold.fetch_add(1, Ordering::Relaxed);
    let untold = Untold(link.clone());
    link.core().tell(link.peer(), event, move || drop(untold));
}

/// That life of the peer can be talked to.
pub(crate) fn begin(link: &Arc<Link>, life: Incarnation) {
    link.doors().lock().begin_life();
    link.set_state(LinkState::Online);
    link.statistics().node_event(NodeEvent::Online, life);
    if let Some(peer) = link.introduction() {
        info_ratelimited!(
            "node {} is online: {} processors, {} MiB\n",
            link.peer(),
            peer.cpus,
            peer.memory >> 20
        );
    }
    tell(link, NodeEvent::Online);
}

/// The peer is not to be talked to any more: its state says so.
pub(crate) fn close(link: &Link, event: NodeEvent) {
    link.set_state(match event {
        NodeEvent::Dead => LinkState::Dead,
        _ => LinkState::Offline,
    });
}

/// That life of the peer is over: every call to it fails, and the services hear of it.
pub(crate) fn end(link: &Arc<Link>, life: Incarnation, event: NodeEvent) {
    link.core().pending().fail(link.peer());
    link.statistics().node_event(event, life);
    info_ratelimited!(
        "node {} {}\n",
        link.peer(),
        if event == NodeEvent::Dead {
            "is dead"
        } else {
            "has left"
        }
    );
    tell(link, event);
}

/// Watches whether a peer that owes us room for responses still takes them.
#[derive(Default)]
pub(crate) struct Progress {
    seen: Option<u64>,
    /// Ticks during which one waited and none passed.
    stuck: u32,
}

impl Progress {
    /// Once a tick.
    pub(crate) fn tick(&mut self, link: &Link) {
        let passed = link.passed_while_waiting();
        self.stuck = if passed.is_some() && passed == self.seen {
            self.stuck.saturating_add(1)
        } else {
            0
        };
        self.seen = passed;
    }

    /// For how many ticks it has taken none.
    pub(crate) fn stuck(&self) -> u32 {
        self.stuck
    }
}
