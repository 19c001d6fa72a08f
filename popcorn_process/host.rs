// SPDX-License-Identifier: GPL-2.0
//! The process on a remote that the carriers of one space are threads of.
//!
//! Its leader never runs user code. It makes the address space and the carriers, and keeps the
//! address space, with the pages in it, when no thread is here; until the origin says that the
//! process is gone.

use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering;

use kernel::new_spinlock;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::sync::SpinLock;
use popcorn_core::ids::NodeId;
use popcorn_core::proto;
use popcorn_kernel::err_ratelimited;
use popcorn_kernel::errno;
use popcorn_kernel::mm;
use popcorn_kernel::module::Pinned;
use popcorn_kernel::new_waitqueue;
use popcorn_kernel::task;
use popcorn_kernel::task::Body;
use popcorn_kernel::task::UserTask;
use popcorn_kernel::wait::WaitQueue;
use popcorn_msg::Request;
use popcorn_page::is_made_by;
use popcorn_page::talk;
use popcorn_page::Space;

use crate::attached::Attached;
use crate::carrier::Carrier;
use crate::carrier::Start;
use crate::guests::Guest;
use crate::registry::Registry;
use crate::service::refuse;
use crate::this_module;

/// See the module's doc.
#[pin_data]
pub(crate) struct Host {
    id: u64,
    origin: NodeId,
    /// Threads that wait to be started, in a fixed number of places.
    #[pin]
    arrivals: SpinLock<KVec<Option<Arrival>>>,
    #[pin]
    wake: WaitQueue,
    /// No more threads: the leader ends, and all with it.
    stop: AtomicBool,
    _guest: Guest,
    _module: Pinned,
}

/// A thread that waits to be started.
struct Arrival {
    request: Request,
    guest: Guest,
}

impl Host {
    /// A thread arrives. From a worker; the answer to `request` comes when it runs.
    pub(crate) fn arrival(request: Request) -> core::result::Result<(), (Request, Error)> {
        let message = match request.decode_prefix::<proto::Migrate>() {
            Ok((message, _)) => message,
            Err(error) => return Err((request, error)),
        };
        let from = request.from();
        if !is_made_by(message.space, from) || !is_made_by(message.thread, from) {
            return Err((request, errno::protocol()));
        }
        if !popcorn_msg::takes_threads(from) {
            return Err((request, errno::host_down()));
        }
        let guest = match Guest::new(from) {
            Ok(guest) => guest,
            Err(error) => {
                err_ratelimited!("node {} has too many threads here\n", from);
                return Err((request, error));
            }
        };
        let host = match Self::of(message.space, &request) {
            Ok(host) => host,
            Err(error) => return Err((request, error)),
        };
        {
            let mut arrivals = host.arrivals.lock();
            if host.stop.load(Ordering::Acquire) {
                drop(arrivals);
                return Err((request, ESRCH));
            }
            match arrivals.iter_mut().find(|place| place.is_none()) {
                Some(place) => *place = Some(Arrival { request, guest }),
                None => {
                    drop(arrivals);
                    return Err((request, EAGAIN));
                }
            }
        }
        host.wake.wake_all();
        Ok(())
    }

    /// The host of `space`, made if there is none, for a thread that `request` brings.
    fn of(space: u64, request: &Request) -> Result<Arc<Self>> {
        /// Threads of one process that may be on their way at once.
        const ARRIVALS_MAX: usize = 128;
        let origin = request.from();
        let of_origin = |host: Arc<Self>| {
            if host.origin == origin {
                Ok(host)
            } else {
                Err(EPERM)
            }
        };
        let registry = Registry::get()?;
        if let Some(host) = registry.hosts.get(space) {
            return of_origin(host);
        }
        let guest = Guest::new(origin)?;
        let pinned = Pinned::new(this_module())?;
        let mut places = KVec::with_capacity(ARRIVALS_MAX, GFP_KERNEL)?;
        for _ in 0..ARRIVALS_MAX {
            places.push(None, GFP_KERNEL)?;
        }
        let host = Arc::pin_init(
            pin_init!(Self {
                id: space,
                origin,
                arrivals <- new_spinlock!(places, "popcorn host"),
                wake <- new_waitqueue!("popcorn host"),
                stop: AtomicBool::new(false),
                _guest: guest,
                _module: pinned,
            }),
            GFP_KERNEL,
        )?;
        if let Err(error) = registry.hosts.insert(space, host.clone()) {
            // Another thread of the process arrived at the same time.
            return registry.hosts.get(space).ok_or(error).and_then(of_origin);
        }
        // Looked at after the insertion, as it is set before the look-up, of this process or of all of a node that has
        // died: one sees the other.
        if registry.ended.contains(space) || !request.is_live() {
            drop(registry.hosts.remove(space));
            host.stop();
            return Err(ESRCH);
        }
        let led = KBox::new(Lead(host.clone()), GFP_KERNEL)
            .map_err(Error::from)
            .and_then(|body| task::spawn(this_module(), body, false));
        if let Err(error) = led {
            drop(registry.hosts.remove(space));
            host.stop();
            return Err(error);
        }
        Ok(host)
    }

    /// Ends it: no more threads are started, and those that are here die.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake.wake_all();
    }

    /// The node that its process is of.
    pub(crate) fn origin(&self) -> NodeId {
        self.origin
    }

    fn lead(self: &Arc<Self>) -> Result {
        mm::create_for_current()?;
        let task = UserTask::current();
        task.attach(Arc::new(Attached::Leader(self.clone()), GFP_KERNEL)?)?;
        task::set_current_name(b"popcorn-host\0\0\0\0");
        let space = Space::new_remote(self.id, self.origin, Pinned::new(this_module())?)?;
        let mut clock = false;
        loop {
            self.wake.wait_killable(|| {
                self.stop.load(Ordering::Acquire)
                    || self.arrivals.lock().iter().any(Option::is_some)
            })?;
            if self.stop.load(Ordering::Acquire) {
                return Err(ESRCH);
            }
            let Some(arrival) = self.next_arrival() else {
                continue;
            };
            if !clock {
                clock = true;
                map_clock(&space, &arrival.request);
            }
            self.start(&space, arrival);
        }
    }

    fn next_arrival(&self) -> Option<Arrival> {
        self.arrivals.lock().iter_mut().find_map(Option::take)
    }

    fn start(&self, space: &Arc<Space>, Arrival { request, guest }: Arrival) {
        let thread = match request.decode_prefix::<proto::Migrate>() {
            Ok((message, _)) => message.thread,
            Err(error) => return refuse(request, error),
        };
        let Ok(carrier) = Carrier::new(space.clone(), thread, request, guest) else {
            // The request was dropped with it, which answers EIO.
            return;
        };
        let started = KBox::new(Start(carrier.clone()), GFP_KERNEL)
            .map_err(Error::from)
            .and_then(|body| task::spawn(this_module(), body, true));
        if let Err(error) = started {
            carrier.fail(error);
        }
    }

    /// Its leader exits.
    pub(crate) fn exited(&self) {
        let stopped = self.stop.swap(true, Ordering::AcqRel);
        if let Ok(registry) = Registry::get() {
            drop(
                registry
                    .hosts
                    .remove_if(|id, host| id == self.id && core::ptr::eq(&**host, self)),
            );
        }
        while let Some(arrival) = self.next_arrival() {
            refuse(arrival.request, EIO);
        }
        if !stopped {
            // Killed on this node: its pages are gone.
            err_ratelimited!("a process of node {} was killed here\n", self.origin);
            let message = proto::SpaceLost { space: self.id };
            // If the origin cannot be reached it needs no telling.
            let _ = talk::post_last(self.origin, &message);
        }
    }
}

/// The vDSO's time is the origin's; without its page, reading a clock is a fault that goes home.
fn map_clock(space: &Space, request: &Request) {
    let (Ok((message, _)), Some(user)) =
        (request.decode_prefix::<proto::Migrate>(), space.mm.user())
    else {
        return;
    };
    // What another machine says of its own memory means something else here.
    if message.clock_address == 0 || !popcorn_msg::shares_memory(request.from()) {
        return;
    }
    // The primary still counts what it gave to a secondary as its own, and its own is never mapped so.
    if mm::is_memory(message.clock_physical) {
        return;
    }
    if let Err(error) = user.map_clock(message.clock_address, message.clock_physical) {
        err_ratelimited!(
            "cannot map the clock of node {}: {:?}\n",
            request.from(),
            error
        );
    }
}

/// The address space of a remote is torn down.
pub(crate) fn space_ended(space: &Space) {
    space.set_lost();
}

/// First, and only, code of a leader.
struct Lead(Arc<Host>);

impl Body for Lead {
    fn run(self) -> Result {
        let result = self.0.lead();
        if let Err(error) = &result {
            // Also when it did not get far enough for its exit to be noticed.
            if !self.0.stop.load(Ordering::Acquire) && *error != EINTR {
                err_ratelimited!(
                    "cannot host a process of node {}: {:?}\n",
                    self.0.origin,
                    error
                );
            }
            if Attached::current().is_none() {
                self.0.exited();
            }
        }
        result
    }
}
