// SPDX-License-Identifier: GPL-2.0
//! Who handles which message types.
//!
//! Lock: `table`, a leaf. A service that is being called is counted, so that its registration ends
//! only when none of its functions runs.

use crate::parting::Limit;
use crate::request::Request;

use kernel::prelude::*;
use kernel::sync::new_spinlock;
use kernel::sync::Arc;
use kernel::sync::SpinLock;

use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering;
use popcorn_core::ids::NodeId;
use popcorn_core::message::Declared;
use popcorn_core::message::Messages;
use popcorn_kernel::new_waitqueue;
use popcorn_kernel::wait::WaitQueue;

/// Services that can be registered at once.
const SERVICES: usize = 32;

/// What happened to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeEvent {
    /// Messages can be sent to it.
    Online,
    /// It left in order. All calls to it have failed or will.
    Left,
    /// It is dead, or broke the protocol. All calls to it have failed or will.
    Dead,
}

/// A service: it handles the messages that it is registered for. What comes to it is as declared, in class and
/// length; what else is refused before (`dispatch.rs`). Every value is still the peer's.
pub trait Handler: Send + Sync {
    /// A request or one-way message came. Runs on a workqueue, may sleep; several run at once, in
    /// any order. A request that is dropped without a reply is answered with `EIO`.
    fn request(&self, from: NodeId, request: Request);

    /// Tried first with messages that are declared as urgent: runs in the receiving thread,
    /// or in that of a caller who polls for a response, in the order in which messages came. Must
    /// not sleep nor call another node. Returns the request if it is to be queued instead.
    fn urgent(&self, _from: NodeId, request: Request) -> Option<Request> {
        Some(request)
    }

    /// Whether [`Self::request`] may wait for another node with a request of that type. Such requests have workers of
    /// their own: whatever number of them there is, what they wait for finds a worker. All others must not wait.
    fn waits(&self, _kind: u16) -> bool {
        false
    }

    /// A node came or went. Runs in process context, may sleep, but waits for no node: events come one at a
    /// time, in order, and a node is online again only when all services have dealt with its end. Messages
    /// of a new node may be handled before its event is.
    fn node_event(&self, _node: NodeId, _event: NodeEvent) {}

    /// One of the two, this node or `node`, is about to leave the other in order: brings home what this
    /// node has there, so that nothing is lost. [`crate::takes_threads`] says no already, and the services
    /// with lower message types have done this. Runs in process context, may sleep, and gives up when
    /// [`Limit::check`] says so; several may run at once.
    ///
    /// # Errors
    ///
    /// Those of [`Limit::check`]; others, if that cannot be done. All goes on as before then.
    fn part(&self, _node: NodeId, _limit: &Limit<'_>) -> Result {
        Ok(())
    }
}

/// A registered service.
#[pin_data]
pub(crate) struct Service {
    messages: Messages,
    handler: &'static dyn Handler,
    active: AtomicUsize,
    #[pin]
    idle: WaitQueue,
}

/// Keeps a service's code in place while it is used.
pub(crate) struct Active(Arc<Service>);

impl Active {
    pub(crate) fn handler(&self) -> &'static dyn Handler {
        self.0.handler
    }
}

impl Clone for Active {
    fn clone(&self) -> Self {
        self.0.active.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        if self.0.active.fetch_sub(1, Ordering::Release) == 1 {
            self.0.idle.wake_all();
        }
    }
}

/// All services of an endpoint.
#[pin_data]
pub(crate) struct Services {
    #[pin]
    table: SpinLock<[Option<Arc<Service>>; SERVICES]>,
}

impl Services {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            table <- new_spinlock!([const { None }; SERVICES], "popcorn_msg::Services"),
        })
    }

    /// Adds a service.
    pub(crate) fn add(
        &self,
        messages: Messages,
        handler: &'static dyn Handler,
    ) -> Result<Arc<Service>> {
        let service = Arc::pin_init(
            pin_init!(Service {
                messages,
                handler,
                active: AtomicUsize::new(0),
                idle <- new_waitqueue!("popcorn_msg::Service"),
            }),
            GFP_KERNEL,
        )?;
        let mut table = self.table.lock();
        let overlaps = |old: &Arc<Service>| old.messages.overlaps(&messages);
        if table.iter().flatten().any(overlaps) {
            return Err(EEXIST);
        }
        let free = table.iter_mut().find(|slot| slot.is_none()).ok_or(ENOSPC)?;
        *free = Some(service.clone());
        Ok(service)
    }

    /// Takes a service out and waits until nobody calls it any more. May sleep.
    pub(crate) fn remove(&self, service: &Arc<Service>) {
        let removed = {
            let mut table = self.table.lock();
            table
                .iter_mut()
                .find(|slot| matches!(slot, Some(old) if Arc::ptr_eq(old, service)))
                .and_then(Option::take)
        };
        drop(removed);
        service
            .idle
            .wait_idle(None, || service.active.load(Ordering::Acquire) == 0);
    }

    /// The service for a message type, and what it has declared of that.
    pub(crate) fn find(&self, kind: u16) -> Option<(Active, &'static Declared)> {
        let table = self.table.lock();
        let service = table
            .iter()
            .flatten()
            .find(|service| service.messages.spans(kind))?;
        let declared = service.messages.get(kind)?;
        // Counted under the lock, so that remove() sees it.
        service.active.fetch_add(1, Ordering::Relaxed);
        Some((Active(service.clone()), declared))
    }

    /// Tells all services about a node. May sleep.
    pub(crate) fn node_event(&self, node: NodeId, event: NodeEvent) {
        for index in 0..SERVICES {
            let active = {
                let table = self.table.lock();
                table.get(index).and_then(Option::as_ref).map(|service| {
                    service.active.fetch_add(1, Ordering::Relaxed);
                    Active(service.clone())
                })
            };
            if let Some(active) = active {
                active.handler().node_event(node, event);
            }
        }
    }

    /// Lets all services part from a node, those with lower message types first: threads, then layouts,
    /// then pages. May sleep.
    pub(crate) fn part(&self, node: NodeId, limit: &Limit<'_>) -> Result {
        let mut next = Some(0);
        while let Some(active) = next.and_then(|first| self.find_from(first)) {
            limit.check()?;
            active.handler().part(node, limit)?;
            next = active.0.messages.last().checked_add(1);
        }
        Ok(())
    }

    /// The service with the lowest message types that are not below `first`.
    fn find_from(&self, first: u16) -> Option<Active> {
        let table = self.table.lock();
        let behind = table.iter().flatten();
        let behind = behind.filter(|each| each.messages.first() >= first);
        let service = behind.min_by_key(|each| each.messages.first())?;
        // As in find().
        service.active.fetch_add(1, Ordering::Relaxed);
        Some(Active(service.clone()))
    }
}
