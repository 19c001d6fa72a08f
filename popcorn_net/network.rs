// SPDX-License-Identifier: GPL-2.0
//! What both directions share: the queues, and which nodes have an interface, too.
//!
//! Lock: `Port::turn`, a mutex, held while it is noted who is there; below it only leaves of popcorn_msg.

use crate::counters::Counters;
use crate::counters::NAMES;
use crate::receive::Slots;

use kernel::c_str;
use kernel::prelude::*;
use kernel::sync::new_mutex;
use kernel::sync::new_spinlock;
use kernel::sync::Arc;
use kernel::sync::Mutex;
use kernel::sync::SpinLock;

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;
use popcorn_core::ids::NodeId;
use popcorn_core::net_frame::MTU_MAX;
use popcorn_core::net_route::address_of;
use popcorn_core::net_route::NodeSet;
use popcorn_core::proto::NetBye;
use popcorn_core::proto::NetHello;
use popcorn_kernel::netdev::Driver;
use popcorn_kernel::netdev::Interface;
use popcorn_kernel::netdev::Totals;
use popcorn_kernel::wait::WaitQueue;
use popcorn_kernel::work::WorkQueue;
use popcorn_msg::CallOptions;
use popcorn_msg::Endpoint;

/// A node that does not answer in this time gets no frames until it speaks itself.
const HELLO_MS: u32 = 1000;

/// A queue.
pub(crate) struct Queue {
    /// Its sender sleeps here.
    wait: Pin<KBox<WaitQueue>>,
    pub(crate) counters: Counters,
}

/// What the interface calls, in any context.
pub(crate) struct Network {
    queues: KVec<Queue>,
}

impl Network {
    fn new(queues: usize) -> Result<Arc<Self>> {
        let mut all = KVec::new();
        for _ in 0..queues {
            let queue = Queue {
                wait: WaitQueue::boxed(c_str!("popcorn_net::Queue"), kernel::static_lock_class!())?,
                counters: Counters::default(),
            };
            all.push(queue, GFP_KERNEL)?;
        }
        Ok(Arc::new(Self { queues: all }, GFP_KERNEL)?)
    }

    /// The queue of this number.
    pub(crate) fn queue(&self, number: usize) -> Option<&Queue> {
        self.queues.get(number)
    }
}

impl Queue {
    /// Sleeps until there may be something to do, or `until` says so.
    pub(crate) fn wait(&self, until: impl FnMut() -> bool) {
        self.wait.wait_idle(None, until);
    }
}

impl Driver for Network {
    const NAME: &'static CStr = c_str!("popcorn_net");
    const STATISTICS: &'static [&'static CStr] = NAMES;

    fn queued(&self, queue: usize) {
        if let Some(queue) = self.queue(queue) {
            queue.wait.wake_all();
        }
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for queue in self.queues.iter() {
            queue.counters.add_to(&mut totals);
        }
        totals
    }

    fn statistic(&self, queue: usize, index: usize) -> u64 {
        self.queue(queue)
            .map_or(0, |queue| queue.counters.value(index))
    }
}

/// The interface and those at its other end.
#[pin_data]
pub(crate) struct Port {
    pub(crate) interface: Arc<Interface<Network>>,
    pub(crate) endpoint: Arc<Endpoint>,
    /// Nodes that have an interface; changed under `turn`.
    members: AtomicU64,
    #[pin]
    turn: Mutex<()>,
    /// Nodes are greeted here; see [`Greetings`].
    greetings: WorkQueue,
    #[pin]
    pub(crate) slots: SpinLock<Slots>,
}

impl Port {
    /// An interface with so many queues, not yet registered. May sleep.
    pub(crate) fn new(endpoint: Arc<Endpoint>, queues: usize) -> Result<Arc<Self>> {
        let network = Network::new(queues)?;
        let interface = Interface::new(
            c_str!("pcn%d"),
            &address_of(endpoint.node()),
            MTU_MAX,
            queues,
            network,
        )?;
        let interface = Arc::new(interface, GFP_KERNEL)?;
        let slots = Slots::new()?;
        Arc::pin_init(
            try_pin_init!(Self {
                interface,
                endpoint,
                members: AtomicU64::new(0),
                greetings: WorkQueue::new(c_str!("popcorn_net"), 0)?,
                turn <- new_mutex!((), "popcorn_net::Port::turn"),
                slots <- new_spinlock!(slots, "popcorn_net::Port::slots"),
            }? Error),
            GFP_KERNEL,
        )
    }

    /// This node.
    pub(crate) fn own(&self) -> NodeId {
        self.endpoint.node()
    }

    /// Nodes that take frames.
    pub(crate) fn members(&self) -> NodeSet {
        NodeSet::new(self.members.load(Ordering::Acquire))
    }

    fn set_members(&self, members: NodeSet) {
        self.members.store(members.get(), Ordering::Release);
        self.interface.set_carrier(!members.is_empty());
    }

    /// Whether a node may be on this network: it is of this machine. One that is reached over another network may
    /// exchange messages with this one, which does not let it into the network of this machine.
    pub(crate) fn may_join(&self, node: NodeId) -> bool {
        node != self.own() && self.endpoint.shares_memory(node)
    }

    /// A node has an interface. May sleep.
    pub(crate) fn joined(&self, node: NodeId) {
        let _turn = self.turn.lock();
        // Its end may have been told already: then nobody would tell it again. It is told after this.
        if self.may_join(node) && self.endpoint.is_online(node) {
            self.set_members(self.members().with(node));
        }
    }

    /// A node has none any more. May sleep.
    pub(crate) fn left(&self, node: NodeId) {
        {
            let _turn = self.turn.lock();
            self.set_members(self.members().without(node));
        }
        self.forget_pieces(node);
    }

    /// Asks a node that is online, if it may join, whether it has an interface, and says that this one has; later,
    /// for it may take a while, and others wait for the next news of nodes. May sleep.
    pub(crate) fn greet(self: &Arc<Self>, node: NodeId) {
        let port = self.clone();
        let greeting = self.greetings.spawn(GFP_KERNEL, move || {
            if !port.may_join(node) {
                return;
            }
            let options = CallOptions::killable(HELLO_MS);
            // Any error: it has none, or is not there. Should it get one, it greets.
            if port
                .endpoint
                .call_typed(node, &NetHello {}, &[], options)
                .is_ok()
            {
                port.joined(node);
            }
        });
        if greeting.is_err() {
            pr_err!("no memory to greet node {}\n", node);
        }
    }

    /// Greets all that are online. May sleep.
    pub(crate) fn greet_all(self: &Arc<Self>) {
        for node in NodeId::all() {
            if self.endpoint.is_online(node) {
                self.greet(node);
            }
        }
    }

    /// Says that this interface goes. Who does not hear it sends frames that are not taken.
    pub(crate) fn part(&self) {
        for node in self.members().iter() {
            self.endpoint.try_post_typed(node, &NetBye {}, &[]).ok();
        }
    }
}

/// Dropping it waits until nobody is being greeted. Those who greet have references to the port: the last one must
/// not be theirs, for they would wait for themselves. So nobody greets after this.
pub(crate) struct Greetings(pub(crate) Arc<Port>);

impl Drop for Greetings {
    fn drop(&mut self) {
        self.0.greetings.flush();
    }
}
