// SPDX-License-Identifier: GPL-2.0
//! The transport between kernels of one machine: a window of memory, with a ring per direction and lane,
//! and interrupts.
//!
//! Lock: `transmit`, a leaf; held while a message is copied into the window, and the peer is rung.
//!
//! Who holds a window may do so after it was given back. So only its thread, which ends before,
//! touches the memory at any time; all others do it under `transmit` or `receive` and find there that
//! the link is closed.

mod receiver;

pub(crate) use receiver::Thread;
#[cfg(CONFIG_KUNIT)]
pub(crate) use receiver::BUDGET;

use crate::link::Link;
use crate::link::SendError;
use crate::link::PARTS_MAX;
use crate::transport::Outbound;
use crate::transport::Transport;

use kernel::error::Error;
use kernel::prelude::*;
use kernel::sync::new_spinlock;
use kernel::sync::Arc;
use kernel::sync::SpinLock;

use core::sync::atomic::fence;
use core::sync::atomic::Ordering;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::ring::Consumer;
use popcorn_core::ring::Memory;
use popcorn_core::ring::Producer;
use popcorn_core::ring::PushError;
use popcorn_core::window;
use popcorn_core::window::Lane;
use popcorn_core::window::Layout;
use popcorn_core::window::Side;
use popcorn_core::wire::HEADER_SIZE;
use popcorn_kernel::doorbell;
use popcorn_kernel::err_ratelimited;
use popcorn_kernel::errno;
use popcorn_kernel::shared_memory::SharedMemory;
use popcorn_kernel::try_lock::TryLock;

/// Room for so many messages of the greatest length is left by those who send much.
const BULK_LEAVES: usize = 2;

/// What sending needs while a peer is online.
struct Transmit {
    own: Incarnation,
    peer: Incarnation,
    session: u64,
    lanes: [Sender; 2],
}

struct Sender {
    producer: Producer<SharedMemory>,
    sequence: u64,
}

/// A window that is shared with a peer.
#[pin_data]
pub(crate) struct Window {
    side: Side,
    memory: SharedMemory,
    layout: Layout,
    #[pin]
    transmit: SpinLock<Option<Transmit>>,
    receive: TryLock<receiver::Receive>,
}

fn lane_index(lane: Lane) -> usize {
    match lane {
        Lane::Requests => 0,
        Lane::Responses => 1,
    }
}

impl Window {
    /// A window between `own` and `peer`; nothing is written to it yet.
    pub(crate) fn new(own: NodeId, peer: NodeId, memory: SharedMemory) -> Result<Arc<Self>> {
        let side = Side::of(own, peer).ok_or(EINVAL)?;
        let layout = Layout::new(memory.size()).ok_or(EINVAL)?;
        Arc::pin_init(
            pin_init!(Self {
                side,
                memory,
                layout,
                transmit <- new_spinlock!(None, "popcorn_msg::Window::transmit"),
                receive: TryLock::new(receiver::Receive::default()),
            }),
            GFP_KERNEL,
        )
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

    /// Where a ring is that we read, and its bytes of data.
    fn incoming(&self, lane: Lane) -> (usize, usize) {
        let base = self.layout.ring(self.side.other(), lane);
        (base, self.layout.capacity())
    }

    fn outgoing(&self, lane: Lane) -> (usize, usize) {
        (self.layout.ring(self.side, lane), self.layout.capacity())
    }

    /// Clears what is ours of each ring, so that it is empty once the peer has done so, too.
    fn clear_rings(&self) -> Result {
        for lane in [Lane::Requests, Lane::Responses] {
            let (base, capacity) = self.outgoing(lane);
            Producer::new(&self.memory, base, capacity).map_err(|_| EINVAL)?;
            let (base, capacity) = self.incoming(lane);
            Consumer::new(&self.memory, base, capacity).map_err(|_| EINVAL)?;
        }
        Ok(())
    }

    /// Opens it for sending.
    fn open(&self, own: Incarnation, peer: Incarnation, session: u64) -> Result {
        let sender = |lane| {
            let (base, capacity) = self.outgoing(lane);
            let producer = Producer::new(&self.memory, base, capacity).map_err(|_| EINVAL)?;
            Ok::<_, Error>(Sender {
                producer,
                sequence: 0,
            })
        };
        let transmit = Transmit {
            own,
            peer,
            session,
            lanes: [sender(Lane::Requests)?, sender(Lane::Responses)?],
        };
        *self.transmit.lock() = Some(transmit);
        Ok(())
    }

    /// Closes it for sending.
    fn close(&self) {
        let closed = self.transmit.lock().take();
        drop(closed);
    }

    /// Rings the peer's doorbell if it sleeps. What it shall see was published before. For the
    /// receiving thread, or with `transmit` held and open.
    fn ring_if_sleeping(&self, link: &Link) {
        // Pairs with the fence between set_sleeping() and the last look into the rings: either we
        // see that the peer sleeps, or it sees what we published.
        fence(Ordering::SeqCst);
        let header = self.peer_header();
        if header.sleeping() && doorbell::send(|| header.doorbell()) {
            link.statistics().doorbells.add(1);
        }
    }

    /// Tells the peer whether to ring; false: the link is closed.
    pub(crate) fn set_sleeping(&self, sleeping: bool) -> bool {
        let transmit = self.transmit.lock();
        if transmit.is_some() {
            self.own_header().set_sleeping(sleeping);
        }
        transmit.is_some()
    }

    /// Whether something could be drained now; `None`: somebody else looks, or drains.
    pub(crate) fn is_pending(&self, link: &Link) -> Option<bool> {
        receiver::is_pending(link, self)
    }
}

impl Transport for Window {
    fn send(&self, link: &Link, message: &Outbound<'_>) -> core::result::Result<(), SendError> {
        let mut guard = self.transmit.lock();
        let transmit = guard
            .as_mut()
            .ok_or(SendError::Failed(errno::host_down()))?;
        if !message.meant.is(transmit.peer, transmit.session) {
            return Err(errno::host_down().into());
        }
        let sender = &mut transmit.lanes[lane_index(message.lane())];
        let header = message.header(link, sender.sequence, transmit.own).encode();
        let parts = message.parts.slices();
        let mut all: [&[u8]; PARTS_MAX + 1] = [&[]; PARTS_MAX + 1];
        all[0] = &header;
        all[1..=parts.len()].copy_from_slice(parts);
        match sender.producer.push(&all[..=parts.len()]) {
            Ok(()) => {}
            Err(PushError::Full) => return Err(SendError::Full),
            Err(PushError::Length) => return Err(errno::message_size().into()),
            Err(PushError::Corrupt) => {
                // As in receiver::poll(): one in another life has cleared its index.
                let same_life = transmit.peer.get() == self.peer_header().incarnation();
                let is_first = link.fault();
                drop(guard);
                if same_life && is_first {
                    err_ratelimited!(
                        "node {} is dropped: its index of our ring is corrupt\n",
                        link.peer()
                    );
                }
                link.kick();
                return Err(errno::host_down().into());
            }
        }
        sender.sequence += 1;
        sender.producer.publish();
        self.ring_if_sleeping(link);
        Ok(())
    }

    fn has_room_for_response(&self) -> bool {
        match self.transmit.lock().as_mut() {
            Some(transmit) => {
                let producer = &mut transmit.lanes[lane_index(Lane::Responses)].producer;
                producer.reserve(producer.record_max()).is_ok()
            }
            None => false,
        }
    }

    fn has_room_for_bulk(&self, length: usize) -> bool {
        match self.transmit.lock().as_mut() {
            Some(transmit) => {
                let producer = &mut transmit.lanes[lane_index(Lane::Requests)].producer;
                let need = HEADER_SIZE + length + BULK_LEAVES * producer.record_max();
                // A ring that is corrupt has room until somebody finds that out by sending.
                producer.room().map_or(true, |room| room >= need as u64)
            }
            None => true,
        }
    }

    fn shares_memory(&self) -> bool {
        true
    }

    fn kick(&self) {}

    fn set_polling(&self, link: &Link, polling: bool) -> bool {
        if !self.set_sleeping(!polling) {
            return false;
        }
        if !polling {
            // The thread may have gone to sleep in the belief that the peer would ring.
            fence(Ordering::SeqCst);
            // Who looks just now may have looked before it came.
            if self.is_pending(link) != Some(false) {
                link.kick();
            }
        }
        true
    }

    fn poll(&self, link: &Arc<Link>) -> usize {
        receiver::poll(link, self)
    }
}
