// SPDX-License-Identifier: GPL-2.0
//! Messages between nodes, and who the nodes are.
//!
//! A node is one kernel. Two nodes of one machine share a *window* of memory (its layout:
//! `popcorn_core::window`) with a ring per direction and lane, and raise an interrupt at each other
//! when the other sleeps. A module *registers* a service for the messages that it has declared
//! (`popcorn_core::message`); it *posts* one-way messages and *calls* with requests, one node or several at once (a
//! *multicast*). When a peer dies or leaves, every call to it fails with `EHOSTDOWN`, and all services are told.
//!
//! # Locks
//!
//! All spinlocks of this module are leaves: `Endpoint::links`, `Services::table`, `Pending::slots`,
//! `Waiter::result`, `Untold::events`, `Link::introduction`, `Link::doors`, `Window::transmit`,
//! `Members::state`, and those of `tcp`. No function that may sleep is called under one, nor another taken.
//! Mutexes: `Peer::state` of `configuration`, then `Endpoint::listeners`, then `Endpoint::ticker`;
//! `Tcp::gate`. Callers may hold sleeping locks when they call, but must not hold one that a service needs
//! to answer them (the lock law in `docs/locking.md`).

// The fields of a link.
#![recursion_limit = "256"]

mod configuration;
mod core;
mod dispatch;
mod endpoint;
mod life;
mod link;
mod members;
mod parting;
mod parts;
mod patience;
mod pending;
mod ping;
mod report;
mod request;
mod service;
mod settings;
mod shm;
#[cfg(CONFIG_KUNIT)]
mod socket_tests;
mod statistics;
mod tcp;
#[cfg(CONFIG_KUNIT)]
mod tests;
mod transport;

pub use endpoint::Acknowledgement;
pub use endpoint::CallOptions;
pub use endpoint::Called;
pub use endpoint::Endpoint;
pub use endpoint::Outstanding;
pub use endpoint::Registration;
pub use endpoint::Response;
pub use parting::Limit;
pub use parting::Parting;
pub use parting::PARTING_MAX_MS;
pub use parting::PARTING_MS;
pub use parts::Part;
pub use ping::Ping;
pub use request::Request;
pub use service::Handler;
pub use service::NodeEvent;
pub use settings::QUEUED_MAX;

use configuration::Configuration;

use kernel::c_str;
use kernel::prelude::*;
use kernel::sync::Arc;
use popcorn_core::directory::NodeSet;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::message;
use popcorn_core::message::Messages;
use popcorn_kernel::configfs::Subsystem;
use popcorn_kernel::errno;
use popcorn_kernel::global::Global;
use popcorn_kernel::global::GlobalGuard;
use popcorn_kernel::pages;
use popcorn_kernel::param;
use popcorn_kernel::shared_memory::SharedMemory;
use popcorn_kernel::uapi::popcorn_msg_info;
use popcorn_kernel::uapi::popcorn_node_info;
use popcorn_kernel::wait::Sleep;

module! {
    type: PopcornMsg,
    name: "popcorn_msg",
    author: "The Popcorn developers",
    description: "Popcorn: messages between nodes",
    license: "GPL",
}

static ENDPOINT: Global<Endpoint> = Global::new();

/// This kernel's endpoint: an object to hold on to by who sends much.
///
/// # Errors
///
/// `ESHUTDOWN`: the module is being unloaded.
pub fn endpoint() -> Result<Arc<Endpoint>> {
    ENDPOINT.get().ok_or_else(errno::shutdown)
}

/// The id of this kernel.
pub fn this_node() -> NodeId {
    ENDPOINT
        .get()
        .map_or(NodeId::PRIMARY, |endpoint| endpoint.node())
}

/// See [`Endpoint::register`].
///
/// # Errors
///
/// As there.
pub fn register(messages: Messages, handler: &'static dyn Handler) -> Result<Registration> {
    endpoint()?.register(messages, handler)
}

/// See [`Endpoint::post_typed`].
///
/// # Errors
///
/// As there.
pub fn post_typed<Q: message::OneWay>(node: NodeId, message: &Q, tail: &[&[u8]]) -> Result {
    endpoint()?.post_typed(node, message, tail)
}

/// See [`Endpoint::post_last_typed`].
///
/// # Errors
///
/// As there.
pub fn post_last_typed<Q: message::OneWay>(node: NodeId, message: &Q) -> Result {
    endpoint()?.post_last_typed(node, message)
}

/// See [`Endpoint::request`].
///
/// # Errors
///
/// As there.
pub fn request<Q: message::Request>(
    node: NodeId,
    request: &Q,
    tail: &[&[u8]],
    options: CallOptions,
) -> Result<Response> {
    endpoint()?.request(node, request, tail, options)
}

/// See [`Endpoint::request_or_leave`].
///
/// # Errors
///
/// As there.
pub fn request_or_leave<Q: message::Request>(
    node: NodeId,
    request: &Q,
    tail: &[&[u8]],
    options: CallOptions,
) -> Result<Called> {
    endpoint()?.request_or_leave(node, request, tail, options)
}

/// See [`Endpoint::call_typed`].
///
/// # Errors
///
/// As there.
pub fn call_typed<Q: message::Request>(
    node: NodeId,
    request: &Q,
    tail: &[&[u8]],
    options: CallOptions,
) -> Result<Q::Answer> {
    endpoint()?.call_typed(node, request, tail, options)
}

/// See [`Endpoint::multicast_typed`].
///
/// # Errors
///
/// As there, or `ESHUTDOWN`.
pub fn multicast_typed<Q: message::Request>(
    nodes: NodeSet,
    request: &Q,
    tail: &[&[u8]],
    options: CallOptions,
) -> Result<Acknowledgement> {
    endpoint()?.multicast_typed(nodes, request, tail, options)
}

/// See [`Endpoint::online_nodes`].
pub fn online_nodes() -> NodeSet {
    ENDPOINT
        .get()
        .map_or(NodeSet::EMPTY, |endpoint| endpoint.online_nodes())
}

/// See [`Endpoint::is_online`].
pub fn is_online(node: NodeId) -> bool {
    ENDPOINT
        .get()
        .is_some_and(|endpoint| endpoint.is_online(node))
}

/// See [`Endpoint::life`].
pub fn life(node: NodeId) -> Option<Incarnation> {
    ENDPOINT.get()?.life(node)
}

/// See [`Endpoint::takes_threads`].
pub fn takes_threads(node: NodeId) -> bool {
    ENDPOINT
        .get()
        .is_some_and(|endpoint| endpoint.takes_threads(node))
}

/// See [`Endpoint::part`].
///
/// # Errors
///
/// As there.
pub fn part(node: NodeId, timeout_ms: u32) -> Result<Parting> {
    endpoint()?.part(node, timeout_ms)
}

/// See [`Endpoint::serves`].
pub fn serves(node: NodeId) -> bool {
    ENDPOINT.get().is_some_and(|endpoint| endpoint.serves(node))
}

/// See [`Endpoint::wait_serving`].
///
/// # Errors
///
/// As there, or `ESHUTDOWN`.
pub fn wait_serving(node: NodeId, sleep: Sleep) -> Result {
    endpoint()?.wait_serving(node, sleep)
}

/// See [`Endpoint::shares_memory`].
pub fn shares_memory(node: NodeId) -> bool {
    ENDPOINT
        .get()
        .is_some_and(|endpoint| endpoint.shares_memory(node))
}

/// Whether there is a node of this id already, online or not.
pub fn is_known(node: NodeId) -> bool {
    ENDPOINT
        .get()
        .is_some_and(|endpoint| endpoint.node() == node || endpoint.link(node).is_some())
}

/// See [`Endpoint::wait_online`].
///
/// # Errors
///
/// As there.
pub fn wait_online(node: NodeId, timeout_ms: u32) -> Result {
    endpoint()?.wait_online(node, timeout_ms)
}

/// See [`Endpoint::node_died`].
///
/// # Errors
///
/// As there.
pub fn node_died(node: NodeId) -> Result {
    endpoint()?.node_died(node)
}

/// See [`Endpoint::nodes`].
///
/// # Errors
///
/// As there.
pub fn nodes() -> Result<KVec<popcorn_node_info>> {
    endpoint()?.nodes()
}

/// See [`Endpoint::message_statistics`].
///
/// # Errors
///
/// As there.
pub fn message_statistics(
    node: Option<NodeId>,
    each: &mut dyn FnMut(&popcorn_msg_info) -> Result,
) -> Result {
    endpoint()?.message_statistics(node, each)
}

/// See [`Endpoint::ping_each`].
///
/// # Errors
///
/// As there.
pub fn ping_each(
    node: NodeId,
    bytes: usize,
    count: u32,
    poll: bool,
    each: &mut dyn FnMut(u32, u64) -> Result,
) -> Result<Ping> {
    endpoint()?.ping_each(node, bytes, count, poll, each)
}

/// Begins to seek `peer` in a window at a physical address. The window must be page-aligned memory
/// that nobody else in this kernel uses; it is used until [`detach_window`]. May sleep.
///
/// # Errors
///
/// `EEXIST`: there is a window for this peer. `EINVAL`: the peer is this node, the range not
/// page-aligned or too small. `ENOMEM`: it cannot be mapped.
pub fn attach_window(physical: u64, size: usize, peer: NodeId) -> Result {
    endpoint()?.attach(peer, SharedMemory::map(physical, size)?)
}

/// Leaves `peer` and gives its window back; nothing touches that memory afterwards. May sleep.
///
/// # Errors
///
/// `ENODEV`: there is no window for it. `EEXIST`: it is a node of another machine, which stays.
pub fn detach_window(peer: NodeId) -> Result {
    let endpoint = endpoint()?;
    match endpoint.link(peer) {
        Some(link) if !link.transport().shares_memory() => Err(EEXIST),
        _ => endpoint.detach(peer),
    }
}

/// Attaches the window that the module's parameters name.
fn attach_by_parameters(endpoint: &Endpoint) -> Result {
    let shm = param!(popcorn_msg_shm: u64);
    if shm == 0 {
        return Ok(());
    }
    let peer = NodeId::new(param!(popcorn_msg_peer: u32).into()).ok_or(EINVAL)?;
    let size = param!(popcorn_msg_shm_size: usize);
    endpoint.attach(peer, SharedMemory::map_foreign(shm, size)?)
}

struct PopcornMsg {
    endpoint: Arc<Endpoint>,
    /// When it goes there are no nodes in it: each holds the module.
    directory: Option<Subsystem<Configuration>>,
    global: Option<GlobalGuard<Endpoint>>,
}

impl kernel::Module for PopcornMsg {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let id = u64::from(param!(popcorn_msg_node: u32));
        let node = NodeId::new(id).ok_or_else(|| {
            pr_err!("node={} is too large\n", id);
            EINVAL
        })?;
        let endpoint = Endpoint::new(node, settings::Settings::from_parameters())?;
        // From here on, returning drops it: that shuts the endpoint down.
        let mut this = Self {
            endpoint,
            directory: None,
            global: None,
        };
        attach_by_parameters(&this.endpoint).inspect_err(|error| {
            pr_err!(
                "the window given by peer, shm and shm_size cannot be used: {:?}\n",
                error
            );
        })?;
        let configuration = Configuration::new(this.endpoint.clone())?;
        let directory = Subsystem::new(c_str!("popcorn_msg"), configuration, module)?;
        this.directory = Some(directory);
        this.global = Some(ENDPOINT.set(this.endpoint.clone())?);
        pr_info!("this is node {}\n", node);
        Ok(this)
    }
}

impl Drop for PopcornMsg {
    fn drop(&mut self) {
        self.directory = None;
        self.global = None;
        // What this node had elsewhere, or others here, has kept a module in use: so this is quick.
        let _parted = self.endpoint.part_from_all(PARTING_MS);
        self.endpoint.shut_down();
        // Those of answers that were on their way.
        let pages = pages::live();
        if pages != 0 {
            pr_err!("BUG: {} buffers of pages are left\n", pages);
        }
    }
}
