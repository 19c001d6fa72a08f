// SPDX-License-Identifier: GPL-2.0
//! A network between the nodes of one machine: on each an Ethernet interface, `pcn0`, whose frames travel in
//! messages.
//!
//! | file | job |
//! |---|---|
//! | `network.rs` | the interface, its queues, and which nodes have one |
//! | `transmit.rs` | frames that go |
//! | `receive.rs` | frames that come, and those that are sent on |
//! | `counters.rs` | what is counted |
//!
//! What a frame looks like on the way is `popcorn_core::net_frame`, where it goes `popcorn_core::net_route`. What
//! users do with it is in `docs/network.md`.
//!
//! Lock order: `Port::turn`, then the leaves of popcorn_msg. `Port::slots` is a leaf. The kernel's rtnl lock is
//! taken while none of these is held.

mod counters;
mod network;
mod receive;
#[cfg(CONFIG_KUNIT)]
mod tests;
mod transmit;

use crate::network::Greetings;
use crate::network::Network;
use crate::network::Port;
use crate::receive::Service;
use crate::transmit::Sender;
use kernel::c_str;
use kernel::prelude::*;
use kernel::sync::Arc;
use popcorn_core::net_frame::QUEUES_MAX;
use popcorn_core::proto::NET_MESSAGES;
use popcorn_kernel::global::Global;
use popcorn_kernel::global::GlobalGuard;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::netdev;
use popcorn_kernel::param;
use popcorn_kernel::system;

module! {
    type: PopcornNet,
    name: "popcorn_net",
    author: "The Popcorn developers",
    description: "Popcorn: a network between kernels",
    license: "GPL",
}

static PORT: Global<Port> = Global::new();

/// How many queues the interface gets.
fn queues() -> usize {
    let wanted = match param!(pcn_net_queues: u32) {
        0 => system::cpus_online(),
        wanted => wanted,
    };
    (wanted as usize).clamp(1, QUEUES_MAX)
}

// Fields drop in order: first no frame comes, then the network stack sends none, then nobody takes those that
// wait. The interface goes with the last reference to the port.
struct PopcornNet {
    port: Arc<Port>,
    _service: popcorn_msg::Registration,
    _greetings: Greetings,
    _registration: netdev::Registration<Network>,
    _senders: KVec<Kthread>,
    _global: GlobalGuard<Port>,
}

impl kernel::Module for PopcornNet {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let port = Port::new(popcorn_msg::endpoint()?, queues())?;
        // If something fails, what was made before is dropped last.
        let global = PORT.set(port.clone())?;
        let mut senders = KVec::new();
        for queue in 0..port.interface.queues() {
            let sender = Sender::new(port.clone(), queue)?;
            let thread = Kthread::spawn(c_str!("popcorn_net"), move || sender.run())?;
            senders.push(thread, GFP_KERNEL)?;
        }
        let registration = port.interface.register()?;
        let greetings = Greetings(port.clone());
        let service = popcorn_msg::register(NET_MESSAGES, &Service)?;
        // Those that come from here on greet by themselves.
        port.greet_all();
        Ok(Self {
            port,
            _service: service,
            _greetings: greetings,
            _registration: registration,
            _senders: senders,
            _global: global,
        })
    }
}

impl Drop for PopcornNet {
    fn drop(&mut self) {
        self.port.part();
    }
}
