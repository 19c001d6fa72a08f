// SPDX-License-Identifier: GPL-2.0
//! The beginning and the end of a peer's life, as all transports see it.
//!
//! Called by the thread of a link that alone changes its state. What belongs to the transport (rings,
//! connections) is opened before [`begin`], and closed before [`end`]: nobody receives from a life that
//! has ended.
//!
//! What the services are to be told waits in the link itself, and so does the work that tells them: nothing needs
//! memory when a peer dies.
//!
//! Lock: `Untold::events`, a leaf.

use crate::link::Link;
use crate::link::LinkState;
use crate::service::NodeEvent;

use kernel::prelude::*;
use kernel::sync::new_spinlock;
use kernel::sync::Arc;
use kernel::sync::SpinLock;
use kernel::workqueue::WorkItem;

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use popcorn_core::fifo::Fifo;
use popcorn_core::ids::Incarnation;
use popcorn_kernel::err_ratelimited;
use popcorn_kernel::info_ratelimited;
use popcorn_kernel::system;

/// Between two heartbeats.
pub(crate) const TICK_MS: u64 = 100;
/// A tick that is late by no more than this is made up for by the next one.
const LATE_MAX_MS: u64 = TICK_MS / 2;

/// When the tick after one is due that was due at `due_ms` and has come at `now_ms`: timers are late, and what they are
/// late by shall not add up over the many ticks of a silence. Who stood still for longer does not make up for it: then
/// two ticks would be one.
pub(crate) fn next_tick_ms(due_ms: u64, now_ms: u64) -> u64 {
    let begin_ms = match now_ms.saturating_sub(due_ms) {
        0..=LATE_MAX_MS => due_ms,
        _ => now_ms,
    };
    begin_ms.saturating_add(TICK_MS)
}

/// Events of a peer that wait to be told when another session with it may begin: fewer than these.
const UNTOLD_MAX: u32 = 4;
/// Events that can wait at all: with the begin and the end of that session.
const EVENTS_MAX: usize = UNTOLD_MAX as usize + 1;

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
    link.untold.count() < UNTOLD_MAX
}

/// Whether the services have dealt with the end of all earlier lives of the peer: before that none is online, or they
/// would take its pages and threads for those of the dead one.
pub(crate) fn is_told(link: &Link) -> bool {
    link.untold.count() == 0
}

/// What became of a peer, and not all services have dealt with.
#[pin_data]
pub(crate) struct Untold {
    /// In order. What is being told is not among them.
    #[pin]
    events: SpinLock<Fifo<NodeEvent, EVENTS_MAX>>,
    /// How many there are, with that.
    count: AtomicU32,
}

impl Untold {
    /// Nothing.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            events <- new_spinlock!(Fifo::new(), "popcorn_msg::Untold"),
            count: AtomicU32::new(0),
        })
    }

    fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }
}

/// Has the services told, later and in order.
fn tell(link: &Arc<Link>, event: NodeEvent) {
    link.untold.count.fetch_add(1, Ordering::Relaxed);
    let has_place = link.untold.events.lock().push(event).is_ok();
    if !has_place {
        // Cannot be, by may_begin(). It counts for ever, so that no other life of the peer comes online.
        err_ratelimited!(
            "the services do not hear that node {} is {:?}\n",
            link.peer(),
            event
        );
    }
    // If it waits to run already, it will find this event, too.
    let _ = link.core().events().enqueue(link.clone());
}

impl WorkItem for Link {
    type Pointer = Arc<Self>;

    /// Tells the services all that there is; never twice at once.
    fn run(this: Arc<Self>) {
        loop {
            let next = this.untold.events.lock().pop();
            let Some(event) = next else {
                break;
            };
            this.core().services().node_event(this.peer(), event);
            // Who sees this finds done what the services do.
            this.untold.count.fetch_sub(1, Ordering::Release);
        }
    }
}

/// That life of the peer can be talked to.
pub(crate) fn begin(link: &Arc<Link>, life: Incarnation) {
    link.doors().lock().begin_life();
    link.statistics().node_event(NodeEvent::Online, life);
    if let Some(peer) = link.introduction() {
        info_ratelimited!(
            "node {} is online: {} processors, {} MiB\n",
            link.peer(),
            peer.cpus,
            peer.memory >> 20
        );
    }
    // One right after the other: who has seen the first may wait for what the services do.
    link.set_state(LinkState::Online);
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
