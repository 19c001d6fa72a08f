// SPDX-License-Identifier: GPL-2.0
//! A node, as seen from inside: its links, and what others call.
//!
//! There is one for the kernel; tests make several and let them talk in one kernel.
//!
//! Locks: `links`, a leaf; `listeners`, a mutex, under which sockets are made and closed; below it `ticker`, a
//! mutex, under which the thread of [`members`](crate::members) begins and ends.

mod call;
mod links;
mod machines;
mod multicast;
mod nodes;
mod poll;
mod post;
mod typed;

pub use call::CallOptions;
pub use call::Called;
pub use call::Outstanding;
pub use call::Response;
pub use multicast::Acknowledgement;

use crate::core::Core;
use crate::ping::Echo;
use crate::service::Handler;
use crate::service::Service;
use crate::settings::Settings;
use crate::tcp::listener::Listeners;
use links::Attached;

use kernel::prelude::*;
use kernel::sync::new_mutex;
use kernel::sync::new_spinlock;
use kernel::sync::Arc;
use kernel::sync::Mutex;
use kernel::sync::SpinLock;

use popcorn_core::ids::NodeId;
use popcorn_core::ids::NODE_MAX;
use popcorn_core::message::Messages;
use popcorn_core::proto;
use popcorn_kernel::kthread::Kthread;

/// A node.
#[pin_data]
pub struct Endpoint {
    core: Arc<Core>,
    #[pin]
    links: SpinLock<[Option<Attached>; NODE_MAX]>,
    /// Where peers connect to.
    #[pin]
    listeners: Mutex<Listeners>,
    /// While there are links to other machines.
    #[pin]
    ticker: Mutex<Option<Kthread>>,
}

/// A registered service; dropping it takes it back and waits until none of its functions runs.
pub struct Registration {
    core: Arc<Core>,
    service: Arc<Service>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.core.services().remove(&self.service);
    }
}

impl Endpoint {
    /// A node without links. May sleep.
    pub(crate) fn new(node: NodeId, settings: Settings) -> Result<Arc<Self>> {
        let core = Core::new(node, settings)?;
        // The endpoint's own service stays as long as the endpoint.
        core.services().add(proto::NODE_MESSAGES, &Echo)?;
        Arc::pin_init(
            pin_init!(Self {
                core,
                links <- new_spinlock!([const { None }; NODE_MAX], "popcorn_msg::Endpoint"),
                listeners <- new_mutex!(Listeners::default(), "popcorn_msg::Endpoint::listeners"),
                ticker <- new_mutex!(None, "popcorn_msg::Endpoint::ticker"),
            }),
            GFP_KERNEL,
        )
    }

    /// The node's id.
    pub fn node(&self) -> NodeId {
        self.core.node()
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Registers a service for messages. May sleep.
    ///
    /// # Errors
    ///
    /// `EEXIST`: between the first and the last of these types is one of another service. `ENOSPC`, `ENOMEM`.
    pub fn register(
        &self,
        messages: Messages,
        handler: &'static dyn Handler,
    ) -> Result<Registration> {
        Ok(Registration {
            core: self.core.clone(),
            service: self.core.services().add(messages, handler)?,
        })
    }

    /// Waits until all events and requests that came so far have been handled. May sleep.
    #[cfg(CONFIG_KUNIT)]
    pub(crate) fn settle(&self) {
        self.core.flush();
    }
}
