// SPDX-License-Identifier: GPL-2.0
//! Who sees whether all is well: the honest node, which talks all the time, and a service that counts what is
//! told of nodes.

use crate::endpoint::Endpoint;
use crate::ping::ECHO;
use crate::ping::ECHO_BY_WORKER;
use crate::request::Request;
use crate::service::Handler;
use crate::service::NodeEvent;
use crate::tests::OPTIONS;

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use popcorn_core::ids::NodeId;
use popcorn_kernel::kthread::should_stop;
use popcorn_kernel::time;

/// What the thread of the honest traffic has seen.
pub(super) struct Traffic {
    pub(super) rounds: AtomicU32,
    pub(super) wrong: AtomicU32,
}

pub(super) static TRAFFIC: Traffic = Traffic {
    rounds: AtomicU32::new(0),
    wrong: AtomicU32::new(0),
};

/// Counts what is told of each node of a scene.
pub(super) struct Told {
    pub(super) online: [AtomicU32; 3],
    pub(super) left: [AtomicU32; 3],
    pub(super) dead: [AtomicU32; 3],
}

pub(super) static TOLD: Told = Told {
    online: [const { AtomicU32::new(0) }; 3],
    left: [const { AtomicU32::new(0) }; 3],
    dead: [const { AtomicU32::new(0) }; 3],
};

impl Handler for Told {
    fn request(&self, _from: NodeId, _request: Request) {}

    fn node_event(&self, node: NodeId, event: NodeEvent) {
        let counters = match event {
            NodeEvent::Online => &self.online,
            NodeEvent::Left => &self.left,
            NodeEvent::Dead => &self.dead,
        };
        if let Some(counter) = counters.get(node.index()) {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Told {
    pub(super) fn reset(&self) {
        for counters in [&self.online, &self.left, &self.dead] {
            for counter in counters {
                counter.store(0, Ordering::SeqCst);
            }
        }
    }

    pub(super) fn get(counters: &[AtomicU32; 3], node: u64) -> u32 {
        counters
            .get(node as usize)
            .map_or(0, |counter| counter.load(Ordering::SeqCst))
    }
}

/// Calls in both directions, at once and by a worker, until it is stopped.
pub(super) fn talk(one: &Endpoint, other: &Endpoint) {
    let mut number = 0u32;
    while !should_stop() {
        let bytes = number.to_le_bytes();
        let kind = [ECHO, ECHO_BY_WORKER][number as usize % 2];
        for (from, to) in [(one, other.node()), (other, one.node())] {
            match from.call(to, kind, &[&bytes], OPTIONS) {
                Ok(response) if response.payload() == bytes => {}
                _ => {
                    TRAFFIC.wrong.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
        TRAFFIC.rounds.fetch_add(1, Ordering::SeqCst);
        number = number.wrapping_add(1);
        time::sleep_ms(1);
    }
}
