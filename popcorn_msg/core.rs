// SPDX-License-Identifier: GPL-2.0
//! What the links of an endpoint share: its identity, services, outstanding calls, workers.

use crate::members::Members;
use crate::pending::Pending;
use crate::service::Services;
use crate::settings::Settings;
use crate::tcp::listener::Roster;

use kernel::c_str;
use kernel::prelude::*;
use kernel::sync::Arc;

use popcorn_core::ids::NodeId;
use popcorn_kernel::new_waitqueue;
use popcorn_kernel::wait::WaitQueue;
use popcorn_kernel::work::WorkQueue;

/// See the module.
#[pin_data]
pub(crate) struct Core {
    node: NodeId,
    settings: Settings,
    #[pin]
    services: Services,
    #[pin]
    pending: Pending,
    /// Nobody wakes it: senders sleep here between looks for room.
    #[pin]
    room: WaitQueue,
    /// Woken whenever a node comes online.
    #[pin]
    online: WaitQueue,
    /// Who may connect to this node.
    roster: Arc<Roster>,
    /// Which machines there are.
    members: Arc<Members>,
    workers: WorkQueue,
    /// Those of requests that may wait for other nodes.
    waiting: WorkQueue,
    events: WorkQueue,
}

impl Core {
    pub(crate) fn new(node: NodeId, settings: Settings) -> Result<Arc<Self>> {
        let pending = Pending::new()?;
        // More than one peer can occupy, so that others are served beside it.
        let number = 2 * settings.queued_max();
        let workers = WorkQueue::new(c_str!("popcorn_msg"), number)?;
        let waiting = WorkQueue::new(c_str!("popcorn_wait"), number)?;
        let events = WorkQueue::ordered(c_str!("popcorn_nodes"))?;
        let roster = Roster::new(node, settings.protocol)?;
        let members = Members::new(node, &settings, roster.clone())?;
        Arc::pin_init(
            pin_init!(Self {
                node,
                settings,
                services <- Services::new(),
                pending <- pending,
                room <- new_waitqueue!("popcorn_msg::Core::room"),
                online <- new_waitqueue!("popcorn_msg::Core::online"),
                roster,
                members,
                workers,
                waiting,
                events,
            }),
            GFP_KERNEL,
        )
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn protocol(&self) -> u64 {
        self.settings.protocol
    }

    pub(crate) fn services(&self) -> &Services {
        &self.services
    }

    pub(crate) fn pending(&self) -> &Pending {
        &self.pending
    }

    pub(crate) fn room(&self) -> &WaitQueue {
        &self.room
    }

    pub(crate) fn online(&self) -> &WaitQueue {
        &self.online
    }

    pub(crate) fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    pub(crate) fn members(&self) -> &Arc<Members> {
        &self.members
    }

    /// Runs something on a worker; `waits`: it may wait for another node. Of those that do there may be as many as there
    /// are workers, and what they wait for is done by the others, here or there. May sleep.
    ///
    /// # Errors
    ///
    /// No memory; the work comes back.
    pub(crate) fn spawn<F: FnOnce() + Send + 'static>(
        &self,
        waits: bool,
        work: F,
    ) -> core::result::Result<(), F> {
        let queue = if waits { &self.waiting } else { &self.workers };
        queue.spawn_or_return(GFP_KERNEL, work)
    }

    /// Where the services are told about nodes, one event after the other.
    pub(crate) fn events(&self) -> &WorkQueue {
        &self.events
    }

    /// Waits until no worker runs or will run. Nothing must be queued any more. May sleep: as long as a
    /// handler takes, which may wait for another node.
    pub(crate) fn flush(&self) {
        self.waiting.flush();
        // Answers of those, too.
        self.workers.flush();
        self.flush_events();
    }

    /// Waits until all services have dealt with what they are told so far. May sleep, but not for any node.
    pub(crate) fn flush_events(&self) {
        self.events.flush();
    }
}
