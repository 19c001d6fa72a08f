// SPDX-License-Identifier: GPL-2.0
//! One peer: the window shared with it, sending, and what is known of it.
//!
//! Receiving and membership are in `receiver.rs`, which alone changes the state of a link.
//!
//! Lock: `transmit`, a leaf; held while a message is copied into the window, and the peer is rung.
//!
//! Who holds a link may do so after the window was given back. So only its thread, which ends before,
//! touches the window at any time; all others do it under `transmit` or `receive` and find there that
//! the link is closed.

use crate::core::Core;

use kernel::error::Error;
use kernel::prelude::*;
use kernel::sync::new_spinlock;
use kernel::sync::Arc;
use kernel::sync::SpinLock;

use core::sync::atomic::fence;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;
use popcorn_core::ids::Class;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::ring::Memory;
use popcorn_core::ring::Producer;
use popcorn_core::ring::PushError;
use popcorn_core::window;
use popcorn_core::window::Introduction;
use popcorn_core::window::Lane;
use popcorn_core::window::Layout;
use popcorn_core::window::Side;
use popcorn_core::wire;
use popcorn_core::wire::Header;
use popcorn_kernel::doorbell;
use popcorn_kernel::errno;
use popcorn_kernel::new_waitqueue;
use popcorn_kernel::shared_memory::SharedMemory;
use popcorn_kernel::system;
use popcorn_kernel::time;
use popcorn_kernel::try_lock::TryLock;
use popcorn_kernel::wait::Sleep;
use popcorn_kernel::wait::WaitQueue;

/// Parts that a payload may have.
pub(crate) const PARTS_MAX: usize = 18;

/// How often a sender looks for room when a ring is full.
const ROOM_POLL_MS: u32 = 1;

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

/// What sending needs while a peer is online.
struct Transmit {
    own: Incarnation,
    peer: Incarnation,
    lanes: [Sender; 2],
}

struct Sender {
    producer: Producer<SharedMemory>,
    sequence: u64,
}

/// Counters of a link.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) sent_bytes: AtomicU64,
    pub(crate) received_bytes: AtomicU64,
    pub(crate) doorbells: AtomicU64,
}

/// Adds to a counter that nothing depends on.
pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

/// A peer.
#[pin_data]
pub struct Link {
    core: Arc<Core>,
    own: NodeId,
    peer: NodeId,
    side: Side,
    memory: SharedMemory,
    layout: Layout,
    state: AtomicU32,
    #[pin]
    transmit: SpinLock<Option<Transmit>>,
    pub(crate) receive: TryLock<crate::receiver::Receive>,
    /// The receiving thread sleeps here; `kicked` says that it should look around.
    #[pin]
    pub(crate) wake: WaitQueue,
    pub(crate) kicked: AtomicBool,
    /// The peer sent what it must not: the receiving thread will drop it.
    pub(crate) faulty: AtomicBool,
    /// Somebody knows that the peer is dead.
    pub(crate) killed: AtomicBool,
    /// Requests that wait for or are in a worker, or whose answers are.
    pub(crate) queued: AtomicU32,
    /// Answers that wait for room.
    waiting: AtomicU32,
    pub(crate) counters: Counters,
    #[pin]
    introduction: SpinLock<Option<Introduction>>,
}

fn lane_index(lane: Lane) -> usize {
    match lane {
        Lane::Requests => 0,
        Lane::Responses => 1,
    }
}

impl Link {
    /// A link over a window; nothing is written to it yet.
    pub(crate) fn new(core: Arc<Core>, peer: NodeId, memory: SharedMemory) -> Result<Arc<Self>> {
        let own = core.node();
        let side = Side::of(own, peer).ok_or(EINVAL)?;
        let layout = Layout::new(memory.size()).ok_or(EINVAL)?;
        Arc::pin_init(
            pin_init!(Self {
                core,
                own,
                peer,
                side,
                memory,
                layout,
                state: AtomicU32::new(LinkState::Offline as u32),
                transmit <- new_spinlock!(None, "popcorn_msg::Link::transmit"),
                receive: TryLock::new(crate::receiver::Receive::default()),
                wake <- new_waitqueue!("popcorn_msg::Link::wake"),
                kicked: AtomicBool::new(false),
                faulty: AtomicBool::new(false),
                killed: AtomicBool::new(false),
                queued: AtomicU32::new(0),
                waiting: AtomicU32::new(0),
                counters: Counters::default(),
                introduction <- new_spinlock!(None, "popcorn_msg::Link::introduction"),
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

    pub(crate) fn memory(&self) -> &SharedMemory {
        &self.memory
    }

    pub(crate) fn own_header(&self) -> window::Header<SharedMemory> {
        window::Header::new(self.memory.clone(), self.side)
    }

    pub(crate) fn peer_header(&self) -> window::Header<SharedMemory> {
        window::Header::new(self.memory.clone(), self.side.other())
    }

    /// Where the rings are that we read.
    pub(crate) fn incoming(&self, lane: Lane) -> (usize, usize) {
        let base = self.layout.ring(self.side.other(), lane);
        (base, self.layout.ring_length())
    }

    fn outgoing(&self, lane: Lane) -> (usize, usize) {
        (self.layout.ring(self.side, lane), self.layout.ring_length())
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

    pub(crate) fn set_introduction(&self, introduction: Introduction) {
        *self.introduction.lock() = Some(introduction);
    }

    /// Makes the receiving thread look around. Any context but NMI.
    pub(crate) fn kick(&self) {
        self.kicked.store(true, Ordering::Release);
        self.wake.wake_all();
    }

    /// Clears the indices of the rings that we write and read.
    pub(crate) fn clear_rings(&self) -> Result {
        for lane in [Lane::Requests, Lane::Responses] {
            let (base, length) = self.outgoing(lane);
            Producer::new(&self.memory, base, length).map_err(|_| EINVAL)?;
            let (base, length) = self.incoming(lane);
            popcorn_core::ring::Consumer::new(&self.memory, base, length).map_err(|_| EINVAL)?;
        }
        Ok(())
    }

    /// Opens the link for sending.
    pub(crate) fn open(&self, own: Incarnation, peer: Incarnation) -> Result {
        let sender = |lane| {
            let (base, length) = self.outgoing(lane);
            let producer = Producer::new(self.memory.clone(), base, length).map_err(|_| EINVAL)?;
            Ok::<_, Error>(Sender {
                producer,
                sequence: 0,
            })
        };
        let transmit = Transmit {
            own,
            peer,
            lanes: [sender(Lane::Requests)?, sender(Lane::Responses)?],
        };
        *self.transmit.lock() = Some(transmit);
        Ok(())
    }

    /// Closes it for sending.
    pub(crate) fn close(&self) {
        let closed = self.transmit.lock().take();
        drop(closed);
    }

    /// How many responses were sent to this life of the peer, while there is one that waits for room.
    pub(crate) fn sent_while_waiting(&self) -> Option<u64> {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let transmit = self.transmit.lock();
        let sender = &transmit.as_ref()?.lanes[lane_index(Lane::Responses)];
        Some(sender.sequence)
    }

    /// Does something in a worker on behalf of the peer, counted in `queued`. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `work` is dropped then.
    pub(crate) fn spawn(self: &Arc<Self>, work: impl FnOnce() + Send + 'static) -> Result {
        self.queued.fetch_add(1, Ordering::Relaxed);
        let link = self.clone();
        let spawned = self.core.spawn(move || {
            work();
            let before = link.queued.fetch_sub(1, Ordering::Relaxed);
            if before == link.core.settings().queued_max() {
                // Its ring was left alone; there is room again.
                link.kick();
            }
        });
        if spawned.is_err() {
            self.queued.fetch_sub(1, Ordering::Relaxed);
        }
        spawned
    }

    /// Whether the peer has room for a response of any length.
    pub(crate) fn has_room_for_response(&self) -> bool {
        match self.transmit.lock().as_mut() {
            Some(transmit) => {
                let producer = &mut transmit.lanes[lane_index(Lane::Responses)].producer;
                producer.reserve(producer.record_max()).is_ok()
            }
            None => false,
        }
    }

    /// Puts one message into a ring and wakes the peer if it sleeps. Does not sleep.
    ///
    /// `life`: the life of the peer that is meant, if that matters.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn send(
        &self,
        life: Option<Incarnation>,
        lane: Lane,
        kind: u16,
        class: Class,
        status: i32,
        request: u64,
        parts: &[&[u8]],
    ) -> core::result::Result<(), SendError> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length > wire::PAYLOAD_MAX {
            return Err(errno::message_size().into());
        }
        if parts.len() > PARTS_MAX {
            return Err(EINVAL.into());
        }
        {
            let mut guard = self.transmit.lock();
            let transmit = guard
                .as_mut()
                .ok_or(SendError::Failed(errno::host_down()))?;
            if life.is_some_and(|life| life != transmit.peer) {
                return Err(errno::host_down().into());
            }
            let sender = &mut transmit.lanes[lane_index(lane)];
            let header = Header {
                kind,
                class,
                flags: 0,
                source: self.own,
                destination: self.peer,
                length: length as u32,
                status,
                sequence: sender.sequence,
                request,
                incarnation: transmit.own,
            }
            .encode();
            let mut all: [&[u8]; PARTS_MAX + 1] = [&[]; PARTS_MAX + 1];
            all[0] = &header;
            all[1..=parts.len()].copy_from_slice(parts);
            match sender.producer.push(&all[..=parts.len()]) {
                Ok(()) => {}
                Err(PushError::Full) => return Err(SendError::Full),
                Err(PushError::Length) => return Err(errno::message_size().into()),
                Err(PushError::Corrupt) => {
                    self.fault();
                    drop(guard);
                    self.kick();
                    return Err(errno::host_down().into());
                }
            }
            sender.sequence += 1;
            sender.producer.publish();
            self.ring_if_sleeping();
        }
        count(&self.counters.sent, 1);
        count(&self.counters.sent_bytes, length as u64);
        Ok(())
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
        parts: &[&[u8]],
    ) -> Result {
        let send = || {
            self.send(
                Some(life),
                Lane::Responses,
                kind,
                Class::Response,
                status,
                request,
                parts,
            )
        };
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let result = loop {
            match send() {
                Ok(()) => break Ok(()),
                Err(SendError::Failed(error)) => break Err(error),
                Err(SendError::Full) => {
                    self.core.room().wait_idle(Some(ROOM_POLL_MS), || false);
                }
            }
        };
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        result
    }

    /// [`Link::send`] on the request lane that waits for room until the time is over or a signal
    /// comes. May sleep.
    pub(crate) fn send_request(
        &self,
        kind: u16,
        class: Class,
        request: u64,
        parts: &[&[u8]],
        sleep: Sleep,
        timeout_ms: u32,
    ) -> Result {
        let begin = time::now_ms();
        loop {
            match self.send(None, Lane::Requests, kind, class, 0, request, parts) {
                Ok(()) => return Ok(()),
                Err(SendError::Failed(error)) => return Err(error),
                Err(SendError::Full) => {}
            }
            if time::now_ms().wrapping_sub(begin) >= u64::from(timeout_ms) {
                return Err(errno::timed_out());
            }
            match self.core.room().wait(sleep, Some(ROOM_POLL_MS), || false) {
                Err(error) if error == EINTR => return Err(error),
                _ => {}
            }
        }
    }

    /// Tells the peer, for the receiving thread, whether to ring; false: the link is closed.
    pub(crate) fn set_sleeping(&self, sleeping: bool) -> bool {
        let transmit = self.transmit.lock();
        if transmit.is_some() {
            self.own_header().set_sleeping(sleeping);
        }
        transmit.is_some()
    }

    /// Rings the peer's doorbell if it sleeps. What it shall see was published before. For the
    /// receiving thread, or with `transmit` held and open.
    pub(crate) fn ring_if_sleeping(&self) {
        // Pairs with the fence between set_sleeping() and the last look into the rings: either we
        // see that the peer sleeps, or it sees what we published.
        fence(Ordering::SeqCst);
        let header = self.peer_header();
        if header.sleeping() && doorbell::send(|| header.doorbell()) {
            count(&self.counters.doorbells, 1);
        }
    }

    /// The peer broke the protocol: the receiving thread shall drop it, once it is
    /// [kicked](Link::kick). Whether this is new.
    ///
    /// The caller holds `transmit` or `receive`, as when it found out. The thread ends a life of the
    /// peer under both, and forgets faults before the next begins: so none is charged to that.
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
