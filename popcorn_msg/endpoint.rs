// SPDX-License-Identifier: GPL-2.0
//! A node, as seen from inside: its links, and what others call.
//!
//! There is one for the kernel; tests make several and let them talk in one kernel.
//!
//! Locks: `links`, a leaf; `listeners`, a mutex, under which sockets are made and closed; below it `ticker`, a
//! mutex, under which the thread of [`members`](crate::members) begins and ends.

use crate::core::Core;
use crate::link::Link;
use crate::link::LinkState;
use crate::link::SendError;
use crate::pending;
use crate::pending::Waiter;
use crate::ping::Echo;
use crate::request::encoded;
use crate::request::malformed;
use crate::service::Handler;
use crate::service::Service;
use crate::settings::Settings;
use crate::shm;
use crate::shm::Window;
use crate::statistics;
use crate::tcp::listener::Listeners;
use crate::tcp::setup::Role;
use crate::tcp::Setup;
use crate::tcp::Tcp;
use crate::tcp::Worker;

use kernel::c_str;
use kernel::prelude::*;
use kernel::sync::new_mutex;
use kernel::sync::new_spinlock;
use kernel::sync::Arc;
use kernel::sync::Mutex;
use kernel::sync::SpinLock;

use core::ops::RangeInclusive;
use core::sync::atomic::Ordering;
use popcorn_core::directory::NodeSet;
use popcorn_core::ids::Class;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::ids::RequestId;
use popcorn_core::ids::NODE_MAX;
use popcorn_core::stream::Channel;
use popcorn_core::wire::Wire;
use popcorn_kernel::current;
use popcorn_kernel::errno;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::shared_memory::SharedMemory;
use popcorn_kernel::system;
use popcorn_kernel::time;
use popcorn_kernel::uapi::popcorn_node_info;
use popcorn_kernel::uapi::POPCORN_NODE_DEAD;
use popcorn_kernel::uapi::POPCORN_NODE_MEMBER;
use popcorn_kernel::uapi::POPCORN_NODE_MISSING;
use popcorn_kernel::uapi::POPCORN_NODE_OFFLINE;
use popcorn_kernel::uapi::POPCORN_NODE_ONLINE;
use popcorn_kernel::uapi::POPCORN_NODE_SELF;
use popcorn_kernel::uapi::POPCORN_NODE_SUSPENDED;
use popcorn_kernel::wait::Sleep;

/// Message types that belong to this module.
pub(crate) const OWN_TYPES: RangeInclusive<u16> = 0..=0xff;

/// In [`Endpoint::poll_while`]: after so many looks in vain it says again that it does not sleep.
const IDLE_LOOKS: u32 = 256;
/// In [`Endpoint::poll_while`], where another thread looks for messages: between two looks whether it shall go on.
const LOOK_MS: u32 = 1;
/// How long the others may take to shorten their list when this machine leaves: from, to.
const LEAVE_MS: (u32, u32) = (2_000, 10_000);

/// How to wait for a response.
#[derive(Clone, Copy, Debug)]
pub struct CallOptions {
    /// Milliseconds until the call fails with `ETIMEDOUT`.
    pub timeout_ms: u32,
    /// Which signals end it.
    pub sleep: Sleep,
    /// Microseconds to look for the response before sleeping; `None`: as the parameter `poll_us`, if the two share
    /// memory.
    pub poll_us: Option<u32>,
}

impl CallOptions {
    /// Killable, with a time limit.
    pub const fn killable(timeout_ms: u32) -> Self {
        Self {
            timeout_ms,
            sleep: Sleep::Killable,
            poll_us: None,
        }
    }

    /// Ended by any signal.
    pub const fn interruptible(timeout_ms: u32) -> Self {
        Self {
            timeout_ms,
            sleep: Sleep::Interruptible,
            poll_us: None,
        }
    }
}

/// The payload of a successful response. From a peer: check every value.
pub struct Response {
    payload: KVVec<u8>,
}

impl Response {
    /// Its bytes.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// As a message without a tail; the message type is that of the request.
    ///
    /// # Errors
    ///
    /// `EPROTO`: the length is another.
    pub fn decode<T: Wire>(&self) -> Result<T> {
        T::decode(&self.payload).map_err(malformed)
    }

    /// As the fixed part of a message and its tail.
    ///
    /// # Errors
    ///
    /// `EPROTO`: it is too short.
    pub fn decode_prefix<T: Wire>(&self) -> Result<(T, &[u8])> {
        T::decode_prefix(&self.payload).map_err(malformed)
    }

    /// The bytes themselves.
    pub fn into_payload(self) -> KVVec<u8> {
        self.payload
    }
}

/// What became of a call that its caller may leave to somebody else: see [`Endpoint::call_or_leave`].
pub enum Called {
    /// The peer has answered.
    Answered(Response),
    /// A signal came first (`EINTR`), or the time is over (`ETIMEDOUT`); the peer was asked, and will answer.
    Left(Error, Outstanding),
}

/// A call that nobody waits for now. If it is dropped, the answer reaches nobody.
pub struct Outstanding {
    core: Arc<Core>,
    id: RequestId,
    waiter: Arc<Waiter>,
}

impl Outstanding {
    /// Waits for the answer, whatever signals come. May sleep.
    ///
    /// # Errors
    ///
    /// `EHOSTDOWN`: the peer died meanwhile. Or the error that it answered with.
    pub fn wait(self) -> Result<Response> {
        while self.waiter.wait(Sleep::Idle, u32::MAX).is_err() {}
        let payload = self.waiter.take()?;
        Ok(Response { payload })
    }
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        self.core.pending().end(self.id);
    }
}

/// A link and its threads, which stop first.
struct Attached {
    link: Arc<Link>,
    /// In the order in which they are stopped.
    threads: [Option<Kthread>; 2],
}

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
        core.services().add(OWN_TYPES, &Echo)?;
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

    /// Begins to seek `peer` in a window. May sleep.
    ///
    /// # Errors
    ///
    /// `EEXIST`: there is a window for it. `EINVAL`: the peer is this node, or the window too small.
    pub(crate) fn attach(&self, peer: NodeId, memory: SharedMemory) -> Result {
        let window = Window::new(self.node(), peer, memory)?;
        let link = Link::new(self.core.clone(), peer, window.clone())?;
        if self.link(peer).is_some() {
            return Err(EEXIST);
        }
        let thread = shm::Thread::new(link.clone(), window);
        let thread = Kthread::spawn(c_str!("popcorn_msg"), move || thread.run())?;
        self.add(Attached {
            link,
            threads: [Some(thread), None],
        })
    }

    /// Begins to seek `peer` by TCP. May sleep.
    ///
    /// # Errors
    ///
    /// `EEXIST`: it is sought already. `EINVAL`: the peer is this node. `EADDRINUSE`, `EADDRNOTAVAIL`:
    /// the address to listen at cannot be had. `ENOMEM`.
    pub(crate) fn connect(&self, peer: NodeId, setup: Setup) -> Result {
        let role = setup.role;
        let tcp = Tcp::new(setup)?;
        let link = Link::new(self.core.clone(), peer, tcp.clone())?;
        // Others who come or go do so before or afterwards.
        let mut listeners = self.listeners.lock();
        if self.link(peer).is_some() {
            return Err(EEXIST);
        }
        if let Role::Listen(address) = role {
            listeners.add(self.core.roster(), address, &tcp.setup().security)?;
        }
        let spawn = |channel| {
            let worker = Worker::new(link.clone(), tcp.clone(), channel)?;
            Kthread::spawn(c_str!("popcorn_msg"), move || worker.run()).map(Some)
        };
        let threads = self
            .begin_ticking()
            .and_then(|()| Ok([spawn(Channel::Urgent)?, spawn(Channel::Bulk)?]));
        let result = threads.and_then(|threads| self.add(Attached { link, threads }));
        match result {
            Ok(()) => {
                self.core.roster().set(peer, Some(tcp));
                self.core.members().link(peer, true);
            }
            Err(_) => {
                listeners.leave_unused(self.core.roster());
                self.end_ticking();
            }
        }
        result
    }

    fn add(&self, attached: Attached) -> Result {
        let mut attached = Some(attached);
        {
            let mut links = self.links.lock();
            let peer = attached.as_ref().map(|attached| attached.link.peer());
            let slot = peer.and_then(|peer| links.get_mut(peer.index()));
            if let Some(slot) = slot.filter(|slot| slot.is_none()) {
                *slot = attached.take();
            }
        }
        // Somebody else was faster: stops the threads, which may sleep.
        match attached {
            Some(_) => Err(EEXIST),
            None => Ok(()),
        }
    }

    /// Leaves `peer` and gives its window or connections back; nothing touches them afterwards, though workers with
    /// requests of the peer may still run. All services know that it is gone. May sleep, but not for any node.
    ///
    /// # Errors
    ///
    /// `ENODEV`: it is not sought.
    pub(crate) fn detach(&self, peer: NodeId) -> Result {
        let attached = self
            .links
            .lock()
            .get_mut(peer.index())
            .and_then(Option::take);
        let Attached { link, threads } = attached.ok_or(ENODEV)?;
        self.core.roster().set(peer, None);
        // Closes the link: whoever holds it still finds that before touching what is behind it.
        drop(threads);
        {
            let mut listeners = self.listeners.lock();
            listeners.leave_unused(self.core.roster());
            if !link.transport().shares_memory() {
                self.core.members().link(peer, false);
            }
            self.end_ticking();
        }
        // Who seeks the peer anew has another link, which knows nothing of what this one has told. Workers are not
        // waited for: one may wait for yet another node, without end. What they hold is closed.
        self.core.flush_events();
        Ok(())
    }

    /// Links to other machines.
    fn links_to_machines(&self) -> usize {
        let links = self.links.lock();
        links
            .iter()
            .flatten()
            .filter(|attached| !attached.link.transport().shares_memory())
            .count()
    }

    /// Whom this machine leaves when it leaves `peer`: those that are in one list of members with both, for who is not
    /// connected to all of these can be no member. `None`: it stays with the others, if there are some: `peer` is no
    /// member, or is gone without having left.
    pub(crate) fn fellows(&self, peer: NodeId) -> Option<NodeSet> {
        let members = self.core.members().describe().status.members;
        let is_one = members.contains(self.node()) && members.contains(peer);
        let fellows = members.without(self.node()).without(peer);
        let is_heard = |link: Arc<Link>| link.is_online() && !link.missing.load(Ordering::Acquire);
        let goes = is_one && (fellows.is_empty() || self.link(peer).is_some_and(is_heard));
        (self.core.settings().agrees && goes).then_some(fellows)
    }

    /// Leaves `peer` at once, whatever comes of what is over there; and so all that are in one list with both.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::detach`].
    pub(crate) fn leave_at_once(&self, peer: NodeId) -> Result {
        // Of two it is left to the other to find out, as when this machine dies.
        if self
            .fellows(peer)
            .is_some_and(|fellows| !fellows.is_empty())
        {
            self.core.members().resign();
        }
        self.detach(peer)
    }

    /// From the first link to another machine on there is somebody to agree with.
    fn begin_ticking(&self) -> Result {
        if !self.core.settings().agrees {
            return Ok(());
        }
        let mut ticker = self.ticker.lock();
        if ticker.is_none() {
            let core = self.core.clone();
            let thread = Kthread::spawn(c_str!("popcorn_members"), move || {
                core.members().run(core.settings());
            })?;
            *ticker = Some(thread);
        }
        Ok(())
    }

    /// Without a link to another machine there is nobody.
    fn end_ticking(&self) {
        if self.links_to_machines() != 0 {
            return;
        }
        let ticker = self.ticker.lock().take();
        drop(ticker);
    }

    /// The last link to another machine is about to be left, in order: the others shorten their list first. May
    /// sleep.
    pub(crate) fn leave_members(&self) {
        if self.core.settings().agrees && self.links_to_machines() != 0 {
            let dead_ms = self.core.settings().dead_ms();
            let timeout_ms = dead_ms.saturating_mul(2).clamp(LEAVE_MS.0, LEAVE_MS.1);
            self.core.members().leave(timeout_ms);
        }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(crate) fn link(&self, peer: NodeId) -> Option<Arc<Link>> {
        let links = self.links.lock();
        let attached = links.get(peer.index())?.as_ref()?;
        Some(attached.link.clone())
    }

    fn online_link(&self, peer: NodeId) -> Result<Arc<Link>> {
        let link = self.link(peer).ok_or(ENODEV)?;
        match link.state() {
            LinkState::Online => Ok(link),
            LinkState::Mismatch => Err(errno::protocol()),
            LinkState::Offline | LinkState::Dead => Err(errno::host_down()),
        }
    }

    /// Registers a service for a range of message types. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`: the range is empty. `EEXIST`: it overlaps another's. `ENOSPC`, `ENOMEM`.
    pub fn register(
        &self,
        types: RangeInclusive<u16>,
        handler: &'static dyn Handler,
    ) -> Result<Registration> {
        Ok(Registration {
            core: self.core.clone(),
            service: self.core.services().add(types, handler)?,
        })
    }

    /// Sends a one-way message. Sleeps, killable, while the peer's ring is full.
    ///
    /// # Errors
    ///
    /// `ENODEV`: no such node. `EHOSTDOWN`: it is not online. `EPROTO`: it is of another build.
    /// `EMSGSIZE`: too long. `EINVAL`: too many parts. `EINTR`.
    pub fn post(&self, node: NodeId, kind: u16, parts: &[&[u8]]) -> Result {
        let link = self.online_link(node)?;
        link.send_request(kind, Class::OneWay, 0, parts, Sleep::Killable, u32::MAX)
    }

    /// Sends a one-way message without ever sleeping. Not in interrupt context.
    ///
    /// # Errors
    ///
    /// `EAGAIN`: the ring is full now. Else as [`Endpoint::post`].
    pub fn try_post(&self, node: NodeId, kind: u16, parts: &[&[u8]]) -> Result {
        let link = self.online_link(node)?;
        match link.try_send_request(kind, Class::OneWay, 0, parts, false) {
            Ok(()) => Ok(()),
            Err(SendError::Full) => {
                link.statistics().full(kind);
                Err(EAGAIN)
            }
            Err(SendError::Failed(error)) => Err(error),
        }
    }

    /// [`Endpoint::try_post`] for who sends much and can wait: leaves room in the ring for others.
    ///
    /// # Errors
    ///
    /// `EAGAIN`: the ring is too full now. Else as [`Endpoint::post`].
    pub fn try_post_bulk(&self, node: NodeId, kind: u16, parts: &[&[u8]]) -> Result {
        let length = parts.iter().map(|part| part.len()).sum();
        let link = self.online_link(node)?;
        if !link.has_room_for_bulk(length) {
            return Err(EAGAIN);
        }
        match link.try_send_bulk(kind, parts) {
            Ok(()) => Ok(()),
            Err(SendError::Full) => {
                link.statistics().full(kind);
                Err(EAGAIN)
            }
            Err(SendError::Failed(error)) => Err(error),
        }
    }

    /// Sends a request and waits for its response. May sleep.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::post`], and `ETIMEDOUT`, `EINTR` (by [`CallOptions::sleep`]), `EHOSTDOWN` (the
    /// peer died meanwhile; whether it did what was asked is not known), or the error that the peer
    /// answered with.
    pub fn call(
        &self,
        node: NodeId,
        kind: u16,
        parts: &[&[u8]],
        options: CallOptions,
    ) -> Result<Response> {
        match self.call_or_leave(node, kind, parts, options)? {
            Called::Answered(response) => Ok(response),
            Called::Left(why, _) => Err(why),
        }
    }

    /// As [`Endpoint::call`], but whoever is interrupted or out of time once the peer was asked gets what somebody
    /// else can wait with for the answer. May sleep.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::call`]; `EINTR`, `ETIMEDOUT`: the peer was not asked.
    pub fn call_or_leave(
        &self,
        node: NodeId,
        kind: u16,
        parts: &[&[u8]],
        options: CallOptions,
    ) -> Result<Called> {
        let link = self.online_link(node)?;
        let mut counted = link.statistics().call(kind);
        let mut left = None;
        let asked = self.ask(&link, kind, parts, options, &mut counted);
        let result = asked.and_then(|call| {
            let waited = call.waiter.wait(options.sleep, options.timeout_ms);
            if let Err(error) = waited {
                left = Some(call.leave());
                return Err(error);
            }
            if call.waiter.is_answered() {
                counted.answered();
            }
            call.waiter.take()
        });
        let length = result.as_ref().map(|payload| payload.len());
        counted.end(length.map_err(|error| *error));
        match (result, left) {
            (Ok(payload), _) => Ok(Called::Answered(Response { payload })),
            (Err(error), Some((id, waiter))) => {
                let core = self.core.clone();
                Ok(Called::Left(error, Outstanding { core, id, waiter }))
            }
            (Err(error), None) => Err(error),
        }
    }

    /// The first half of [`Endpoint::call`]: the peer is asked, and may have answered already.
    fn ask(
        &self,
        link: &Arc<Link>,
        kind: u16,
        parts: &[&[u8]],
        options: CallOptions,
        counted: &mut statistics::Call<'_>,
    ) -> Result<pending::Call<'_>> {
        let CallOptions {
            timeout_ms,
            sleep,
            poll_us,
        } = options;
        let call = self.core.pending().begin(link.peer(), sleep, timeout_ms)?;
        counted.sending(call.id(), parts);
        link.send_request(kind, Class::Request, call.id(), parts, sleep, timeout_ms)?;
        let poll_ns = match poll_us {
            Some(us) => u64::from(us) * 1000,
            None if link.transport().shares_memory() => self.core.settings().poll_ns(),
            // A round trip takes longer.
            None => 0,
        };
        if poll_ns != 0 {
            self.poll_for(link, &call.waiter, poll_ns);
        }
        Ok(call)
    }

    /// Drains the link oneself for a while: no switch to its thread and back, and no doorbell.
    fn poll_for(&self, link: &Arc<Link>, waiter: &crate::pending::Waiter, poll_ns: u64) {
        if !link.transport().set_polling(link, true) {
            return;
        }
        let begin = time::now_ns();
        while !waiter.is_done() && link.is_online() {
            if link.transport().poll(link) == 0 {
                current::cpu_relax();
            }
            if time::now_ns().wrapping_sub(begin) > poll_ns || current::signal_pending() {
                break;
            }
            if current::need_resched() {
                break;
            }
        }
        link.transport().set_polling(link, false);
    }

    /// Looks for messages of `node` without sleeping, for as long as `go_on` says and the node is online: in the
    /// calling thread if the two share memory, so that it need not ring meanwhile, else in the connection's own.
    /// Others run if it is their turn. May sleep.
    ///
    /// # Errors
    ///
    /// `ENODEV`, `EHOSTDOWN`, `EPROTO` as [`Endpoint::post`].
    pub fn poll_while(&self, node: NodeId, go_on: &mut dyn FnMut() -> bool) -> Result {
        let link = self.online_link(node)?;
        let transport = link.transport();
        if !transport.set_polling(&link, true) {
            return Err(errno::host_down());
        }
        let mut idle = 0u32;
        while link.is_online() && go_on() {
            if !transport.shares_memory() {
                time::sleep_ms(LOOK_MS);
                // Somebody else, who polled for an answer, has ended it.
                transport.set_polling(&link, true);
            } else if transport.poll(&link) == 0 {
                idle = idle.wrapping_add(1);
                // The link's own thread wakes up from time to time, and says then that it sleeps again.
                if idle % IDLE_LOOKS == 0 && !transport.set_polling(&link, true) {
                    break;
                }
                current::cpu_relax();
            }
            if current::need_resched() {
                current::cond_resched();
            }
        }
        transport.set_polling(&link, false);
        Ok(())
    }

    /// [`Endpoint::call`] with a typed request (followed by `tail`) and a typed response.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::call`]; `EPROTO`: the response has another length.
    pub fn call_typed<Q: Wire, R: Wire>(
        &self,
        node: NodeId,
        request: &Q,
        tail: &[&[u8]],
        options: CallOptions,
    ) -> Result<R> {
        let response = encoded(request, tail, |parts| {
            self.call(node, Q::TYPE, parts, options)
        })?;
        response.decode()
    }

    /// [`Endpoint::post`] with a typed message.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::post`].
    pub fn post_typed<Q: Wire>(&self, node: NodeId, message: &Q, tail: &[&[u8]]) -> Result {
        encoded(message, tail, |parts| self.post(node, Q::TYPE, parts))
    }

    /// Waits until this machine may deal with `node`: at once with a kernel of its own, or one that is not online;
    /// else until this machine serves, which one does not that has lost most of the others.
    ///
    /// # Errors
    ///
    /// `EINTR`: by a signal that `sleep` heeds.
    pub fn wait_serving(&self, node: NodeId, sleep: Sleep) -> Result {
        if self.core.members().serves() {
            return Ok(());
        }
        match self.link(node) {
            Some(link) if !link.transport().shares_memory() => self
                .core
                .members()
                .wait_serving(sleep, || !link.is_online()),
            _ => Ok(()),
        }
    }

    /// Whether this machine may deal with `node` now; see [`Endpoint::wait_serving`].
    pub fn serves(&self, node: NodeId) -> bool {
        self.core.members().serves() || self.shares_memory(node)
    }

    /// Whether messages can be sent to `node`.
    pub fn is_online(&self, node: NodeId) -> bool {
        self.link(node).is_some_and(|link| link.is_online())
    }

    /// The life of `node`, if messages can be sent to it: a node that was away meanwhile has another.
    pub fn life(&self, node: NodeId) -> Option<Incarnation> {
        let link = self.link(node).filter(|link| link.is_online())?;
        link.introduction().map(|peer| peer.incarnation)
    }

    /// Whether `node` is a kernel of this machine, whose memory can be read.
    pub fn shares_memory(&self, node: NodeId) -> bool {
        self.link(node)
            .is_some_and(|link| link.transport().shares_memory())
    }

    /// Waits until `node` is online. May sleep.
    ///
    /// # Errors
    ///
    /// `ENODEV`: it is not sought. `EINTR`: a fatal signal. `ETIMEDOUT`.
    pub fn wait_online(&self, node: NodeId, timeout_ms: u32) -> Result {
        let link = self.link(node).ok_or(ENODEV)?;
        self.core
            .online()
            .wait(Sleep::Killable, Some(timeout_ms), || link.is_online())
    }

    /// Somebody knows that `node` is dead: its calls fail, its services are told. May sleep.
    ///
    /// # Errors
    ///
    /// `ENODEV`: it is not sought.
    pub fn node_died(&self, node: NodeId) -> Result {
        let link = self.link(node).ok_or(ENODEV)?;
        link.killed.store(true, Ordering::Release);
        link.kick();
        Ok(())
    }

    /// All nodes that are sought, and this one, by id. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn nodes(&self) -> Result<KVec<popcorn_node_info>> {
        let mut nodes = KVec::new();
        let members = self.core.members();
        let list = members.describe().status.members;
        for id in NodeId::all() {
            let mut info = if id == self.node() {
                self.own_info()
            } else if let Some(link) = self.link(id) {
                link_info(&link)
            } else {
                continue;
            };
            // Without other machines there is no list to speak of.
            if list.len() > 1 && list.contains(id) {
                info.flags |= POPCORN_NODE_MEMBER;
            }
            if id == self.node() && !members.serves() {
                info.flags |= POPCORN_NODE_SUSPENDED;
            }
            nodes.push(info, GFP_KERNEL)?;
        }
        Ok(nodes)
    }

    fn own_info(&self) -> popcorn_node_info {
        let mut info = popcorn_node_info {
            id: u32::from(self.node().get()),
            state: POPCORN_NODE_ONLINE,
            cpus: system::cpus_online(),
            flags: POPCORN_NODE_SELF,
            memory: system::memory_bytes(),
            ..Default::default()
        };
        let name: [u8; 64] = system::host_name();
        copy_name(&mut info, &name);
        info
    }

    /// Waits until all events and requests that came so far have been handled. May sleep.
    #[cfg(CONFIG_KUNIT)]
    pub(crate) fn settle(&self) {
        self.core.flush();
    }

    /// Ends everything: leaves all peers, waits for all workers. May sleep.
    pub(crate) fn shut_down(&self) {
        self.leave_members();
        for id in NodeId::all() {
            let attached = self.links.lock().get_mut(id.index()).and_then(Option::take);
            if let Some(Attached { link, threads }) = attached {
                self.core.roster().set(id, None);
                drop(threads);
                drop(link);
            }
        }
        {
            let mut listeners = self.listeners.lock();
            listeners.leave_unused(self.core.roster());
            self.end_ticking();
        }
        self.core.flush();
    }
}

fn copy_name(info: &mut popcorn_node_info, name: &[u8]) {
    let room = info.name.len() - 1;
    for (to, &from) in info.name.iter_mut().zip(name).take(room) {
        *to = from as _;
    }
}

fn link_info(link: &Link) -> popcorn_node_info {
    let totals = link.statistics().totals();
    let mut info = popcorn_node_info {
        id: u32::from(link.peer().get()),
        state: match link.state() {
            LinkState::Online => POPCORN_NODE_ONLINE,
            LinkState::Dead => POPCORN_NODE_DEAD,
            LinkState::Offline | LinkState::Mismatch => POPCORN_NODE_OFFLINE,
        },
        sent: totals.sent,
        received: totals.received,
        sent_bytes: totals.sent_bytes,
        received_bytes: totals.received_bytes,
        doorbells: link.statistics().doorbells.get(),
        flags: if link.missing.load(Ordering::Acquire) {
            POPCORN_NODE_MISSING
        } else {
            0
        },
        ..Default::default()
    };
    if let Some(peer) = link.introduction() {
        info.cpus = u32::try_from(peer.cpus).unwrap_or(u32::MAX);
        info.memory = peer.memory;
        copy_name(&mut info, &peer.name);
    }
    info
}
