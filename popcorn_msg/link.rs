// SPDX-License-Identifier: GPL-2.0
//! One peer: sending to it, and what is known of it.
//!
//! How messages get there is the [`Transport`]'s; its threads alone change the state of a link.
//!
//! Who holds a link may do so after the peer was left, and its memory or connections given back: a
//! transport that is closed says so, and touches nothing.

use crate::core::Core;
use crate::life::Untold;
use crate::parts::Parts;
use crate::patience::patiently;
use crate::statistics::Statistics;
use crate::transport::Meant;
use crate::transport::Outbound;
use crate::transport::Transport;

use kernel::error::Error;
use kernel::impl_has_work;
use kernel::new_work;
use kernel::prelude::*;
use kernel::sync::new_spinlock;
use kernel::sync::Arc;
use kernel::sync::SpinLock;
use kernel::workqueue::Work;

use core::sync::atomic::AtomicBool;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;
use popcorn_core::deadline::Deadline;
use popcorn_core::ids::Class;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::parting::Doors;
use popcorn_core::window::Introduction;
use popcorn_core::wire;
use popcorn_kernel::errno;
use popcorn_kernel::new_waitqueue;
use popcorn_kernel::system;
use popcorn_kernel::time;
use popcorn_kernel::wait::Sleep;
use popcorn_kernel::wait::WaitQueue;

/// Parts that a payload may have.
pub(crate) const PARTS_MAX: usize = 18;

/// How often a sender looks for room when a ring is full.
pub(crate) const ROOM_POLL_MS: u32 = 1;

/// The state of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum LinkState {
    Offline = 0,
    Online = 1,
    Dead = 2,
    /// It is there, but speaks another version.
    Mismatch = 3,
}

/// Why a message was not sent.
pub(crate) enum SendError {
    /// The ring is full now.
    Full,
    Failed(Error),
}

impl From<Error> for SendError {
    fn from(error: Error) -> Self {
        SendError::Failed(error)
    }
}

/// Bytes of a payload.
pub(crate) fn length_of(parts: &[&[u8]]) -> usize {
    parts.iter().map(|part| part.len()).sum()
}

/// A peer.
#[pin_data]
pub struct Link {
    core: Arc<Core>,
    own: NodeId,
    peer: NodeId,
    transport: Arc<dyn Transport>,
    state: AtomicU32,
    /// The thread that knows who is a member sleeps here; `kicked` says that it should look around.
    #[pin]
    pub(crate) wake: WaitQueue,
    pub(crate) kicked: AtomicBool,
    /// The peer sent what it must not: that thread will drop it.
    pub(crate) faulty: AtomicBool,
    /// Somebody knows that the peer is dead.
    pub(crate) killed: AtomicBool,
    /// There is a session between two machines.
    pub(crate) met: AtomicBool,
    /// It is silent, and the machines have not yet decided what that means.
    pub(crate) missing: AtomicBool,
    /// Requests that wait for or are in a worker, or whose answers are.
    pub(crate) queued: AtomicU32,
    /// Answers that wait for room, and how many have waited and passed.
    waiting: AtomicU32,
    passed: AtomicU64,
    /// Sessions with the peer that have begun.
    sessions: AtomicU64,
    /// What became of the peer, and not all services have dealt with.
    #[pin]
    pub(crate) untold: Untold,
    /// Tells them.
    #[pin]
    telling: Work<Link>,
    statistics: Arc<Statistics>,
    #[pin]
    introduction: SpinLock<Option<Introduction>>,
    /// Whether threads may pass, between the two.
    #[pin]
    doors: SpinLock<Doors>,
}

impl_has_work! {
    impl HasWork<Self> for Link { self.telling }
}

impl Link {
    /// A link that nobody listens to yet. `peer` is another node.
    pub(crate) fn new(
        core: Arc<Core>,
        peer: NodeId,
        transport: Arc<dyn Transport>,
    ) -> Result<Arc<Self>> {
        let own = core.node();
        if own == peer {
            return Err(EINVAL);
        }
        let statistics = Statistics::new(peer)?;
        Arc::pin_init(
            pin_init!(Self {
                core,
                own,
                peer,
                transport,
                state: AtomicU32::new(LinkState::Offline as u32),
                wake <- new_waitqueue!("popcorn_msg::Link::wake"),
                kicked: AtomicBool::new(false),
                faulty: AtomicBool::new(false),
                killed: AtomicBool::new(false),
                met: AtomicBool::new(false),
                missing: AtomicBool::new(false),
                queued: AtomicU32::new(0),
                waiting: AtomicU32::new(0),
                passed: AtomicU64::new(0),
                sessions: AtomicU64::new(0),
                untold <- Untold::new(),
                telling <- new_work!("popcorn_msg::Link::telling"),
                statistics,
                introduction <- new_spinlock!(None, "popcorn_msg::Link::introduction"),
                doors <- new_spinlock!(Doors::new(), "popcorn_msg::Link::doors"),
            }),
            GFP_KERNEL,
        )
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(crate) fn own(&self) -> NodeId {
        self.own
    }

    pub(crate) fn peer(&self) -> NodeId {
        self.peer
    }

    /// What is counted of it, from its begin on.
    pub(crate) fn statistics(&self) -> &Arc<Statistics> {
        &self.statistics
    }

    pub(crate) fn transport(&self) -> &dyn Transport {
        &*self.transport
    }

    pub(crate) fn state(&self) -> LinkState {
        match self.state.load(Ordering::Acquire) {
            1 => LinkState::Online,
            2 => LinkState::Dead,
            3 => LinkState::Mismatch,
            _ => LinkState::Offline,
        }
    }

    pub(crate) fn set_state(&self, state: LinkState) {
        self.state.store(state as u32, Ordering::Release);
    }

    /// Whether messages can be sent.
    pub(crate) fn is_online(&self) -> bool {
        self.state() == LinkState::Online
    }

    /// What the peer last said of itself.
    pub(crate) fn introduction(&self) -> Option<Introduction> {
        *self.introduction.lock()
    }

    /// Who of the two parts from the other.
    pub(crate) fn doors(&self) -> &SpinLock<Doors> {
        &self.doors
    }

    pub(crate) fn set_introduction(&self, introduction: Introduction) {
        *self.introduction.lock() = Some(introduction);
    }

    /// Makes the transport's threads look around. Any context but NMI.
    pub(crate) fn kick(&self) {
        self.kicked.store(true, Ordering::Release);
        self.wake.wake_all();
        self.transport.kick();
    }

    /// While responses wait for room: how many have waited, and passed. Those for which there was room at once do not
    /// count: a peer could always have some for short ones, and never any for the long ones that wait.
    pub(crate) fn passed_while_waiting(&self) -> Option<u64> {
        (self.waiting.load(Ordering::Relaxed) != 0).then(|| self.passed.load(Ordering::Relaxed))
    }

    /// A session with the peer begins: its number.
    pub(crate) fn begin_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The session in which the peer is online.
    ///
    /// # Errors
    ///
    /// `EHOSTDOWN`: it is not. `EPROTO`: it is of another build.
    pub(crate) fn online(&self) -> Result<u64> {
        // The number first: of another session, if one begins in between, the state is not yet that it is online.
        let session = self.sessions.load(Ordering::Acquire);
        match self.state() {
            LinkState::Online => Ok(session),
            LinkState::Mismatch => Err(errno::protocol()),
            LinkState::Offline | LinkState::Dead => Err(errno::host_down()),
        }
    }

    /// Does something in a worker on behalf of the peer, counted in `queued`; `waits`: see [`Core::spawn`]. May sleep,
    /// also for memory ([`patiently`]).
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `work` is dropped then.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        waits: bool,
        work: impl FnOnce() + Send + 'static,
    ) -> Result {
        self.queued.fetch_add(1, Ordering::Relaxed);
        let link = self.clone();
        let work = move || {
            work();
            let before = link.queued.fetch_sub(1, Ordering::Relaxed);
            if before == link.core.settings().queued_max() {
                // Its ring was left alone; there is room again.
                link.kick();
            }
        };
        if patiently(work, |work| self.core.spawn(waits, work)).is_err() {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            return Err(ENOMEM);
        }
        Ok(())
    }

    /// Whether the peer has room for a response of any length.
    pub(crate) fn has_room_for_response(&self) -> bool {
        self.transport.has_room_for_response()
    }

    /// Whether there would still be room for other requests if one with a payload of `length` bytes were sent.
    pub(crate) fn has_room_for_bulk(&self, length: usize) -> bool {
        self.transport.has_room_for_bulk(length)
    }

    /// Puts one message on its way and wakes the peer if it sleeps. Does not sleep, but for memory if
    /// that is allowed.
    pub(crate) fn send(&self, message: &Outbound<'_>) -> core::result::Result<(), SendError> {
        if message.length > wire::PAYLOAD_MAX {
            return Err(errno::message_size().into());
        }
        if message.parts.slices().len() > PARTS_MAX {
            return Err(EINVAL.into());
        }
        self.transport.send(self, message)?;
        self.statistics.sent(
            message.kind,
            message.class,
            message.request,
            message.length,
            message.status,
        );
        Ok(())
    }

    /// Sends a response without waiting for room.
    pub(crate) fn try_respond(
        &self,
        life: Incarnation,
        kind: u16,
        status: i32,
        request: u64,
        parts: Parts<'_>,
        may_sleep: bool,
    ) -> core::result::Result<(), SendError> {
        self.send(&Outbound {
            meant: Meant::Life(life),
            kind,
            class: Class::Response,
            status,
            request,
            parts,
            length: parts.length(),
            is_bulk: false,
            may_sleep,
        })
    }

    /// Sends a response to that life of the peer; waits for room, not killable, until the peer is
    /// gone. It takes responses without waiting for anything, and does not stay if it takes none
    /// (`receiver.rs`). May sleep.
    pub(crate) fn respond(
        &self,
        life: Incarnation,
        kind: u16,
        status: i32,
        request: u64,
        parts: Parts<'_>,
    ) -> Result {
        let send = || self.try_respond(life, kind, status, request, parts, true);
        let mut stall = None;
        let result = loop {
            match send() {
                Ok(()) => break Ok(()),
                Err(SendError::Failed(error)) => break Err(error),
                Err(SendError::Full) => {
                    stall.get_or_insert_with(|| {
                        self.waiting.fetch_add(1, Ordering::Relaxed);
                        self.statistics.stall(kind)
                    });
                    self.core.room().wait_idle(Some(ROOM_POLL_MS), || false);
                }
            }
        };
        if stall.is_some() {
            self.passed.fetch_add(1, Ordering::Relaxed);
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        result
    }

    /// [`Link::try_send_request`] that waits for room until the time is over or a signal
    /// comes. May sleep.
    #[expect(clippy::too_many_arguments)]
    pub(crate) fn send_request(
        &self,
        session: u64,
        kind: u16,
        class: Class,
        request: u64,
        parts: &[&[u8]],
        sleep: Sleep,
        deadline: Deadline,
    ) -> Result {
        let mut stall = None;
        loop {
            match self.try_send_request(session, kind, class, request, parts, true) {
                Ok(()) => return Ok(()),
                Err(SendError::Failed(error)) => return Err(error),
                Err(SendError::Full) => {}
            }
            stall.get_or_insert_with(|| self.statistics.stall(kind));
            if deadline.is_over(time::now_ns) {
                return Err(errno::timed_out());
            }
            match self.core.room().wait(sleep, Some(ROOM_POLL_MS), || false) {
                Err(error) if error == EINTR => return Err(error),
                _ => {}
            }
        }
    }

    /// Sends a one-way message of those who send much, without waiting for room. Does not sleep.
    pub(crate) fn try_send_bulk(
        &self,
        session: u64,
        kind: u16,
        parts: &[&[u8]],
    ) -> core::result::Result<(), SendError> {
        self.send(&Outbound {
            meant: Meant::Session(session),
            kind,
            class: Class::OneWay,
            status: 0,
            request: 0,
            parts: Parts::copied(parts),
            length: length_of(parts),
            is_bulk: true,
            may_sleep: false,
        })
    }

    /// Sends a request or one-way message without waiting for room, if that [session](Self::online) goes on.
    pub(crate) fn try_send_request(
        &self,
        session: u64,
        kind: u16,
        class: Class,
        request: u64,
        parts: &[&[u8]],
        may_sleep: bool,
    ) -> core::result::Result<(), SendError> {
        self.send(&Outbound {
            meant: Meant::Session(session),
            kind,
            class,
            status: 0,
            request,
            parts: Parts::copied(parts),
            length: length_of(parts),
            is_bulk: false,
            may_sleep,
        })
    }

    /// The peer broke the protocol: the thread that knows who is a member shall drop it, once it is
    /// [kicked](Link::kick). Whether this is new.
    ///
    /// The caller holds what the transport closes before a life ends, as when it found out. The thread
    /// forgets faults before the next life begins: so none is charged to that.
    pub(crate) fn fault(&self) -> bool {
        !self.faulty.swap(true, Ordering::AcqRel)
    }

    /// What we say of ourselves.
    pub(crate) fn introduce(&self, incarnation: Incarnation) -> Introduction {
        Introduction {
            node: self.own,
            incarnation,
            protocol: self.core.protocol(),
            cpus: u64::from(system::cpus_online()),
            memory: system::memory_bytes(),
            name: system::host_name(),
        }
    }
}
