// SPDX-License-Identifier: GPL-2.0
//! Frames that come: put together from pieces, looked at, and handed to the network stack or sent on.
//!
//! Frames are taken in the thread that drains the ring, in order, without sleeping: the only copy is that from
//! the message into the packet. Messages of one node come one at a time.
//!
//! Lock: `Port::slots`, a leaf; held only while a slot is taken out or put back.

use crate::counters::add;
use crate::counters::count;
use crate::counters::Counters;
use crate::network::Port;
use crate::PORT;

use kernel::prelude::*;

use popcorn_core::ids::NodeId;
use popcorn_core::ids::NODE_MAX;
use popcorn_core::net_frame::Assembly;
use popcorn_core::net_frame::Piece;
use popcorn_core::net_frame::Place;
use popcorn_core::net_frame::QUEUES_MAX;
use popcorn_core::net_route::received;
use popcorn_core::net_route::NodeSet;
use popcorn_core::proto::NetBye;
use popcorn_core::proto::NetFrame;
use popcorn_core::proto::NetHello;
use popcorn_core::wire::Wire;
use popcorn_kernel::errno;
use popcorn_kernel::netdev::Draft;
use popcorn_kernel::netdev::Driver;
use popcorn_kernel::netdev::Incoming;
use popcorn_kernel::warn_ratelimited;
use popcorn_msg::Handler;
use popcorn_msg::NodeEvent;
use popcorn_msg::Request;

/// The service of the network's messages.
pub(crate) struct Service;

impl Handler for Service {
    fn request(&self, from: NodeId, request: Request) {
        let Some(port) = PORT.get() else {
            return;
        };
        match request.kind() {
            NetHello::TYPE if port.may_join(from) => {
                port.joined(from);
                // If this fails, the sender is gone.
                request.reply(0, &[]).ok();
            }
            NetBye::TYPE => port.left(from),
            // As above.
            _ => drop(request.reply_error(errno::not_supported())),
        }
    }

    fn urgent(&self, from: NodeId, request: Request) -> Option<Request> {
        // Of others nothing is taken, whatever they say.
        if let Some(port) = PORT.get().filter(|port| port.may_join(from)) {
            port.piece(from, request.payload());
        }
        None
    }

    fn node_event(&self, node: NodeId, event: NodeEvent) {
        let Some(port) = PORT.get() else {
            return;
        };
        match event {
            NodeEvent::Online => port.greet(node),
            NodeEvent::Left | NodeEvent::Dead => port.left(node),
        }
    }
}

/// The frame that a queue of a node brings.
#[derive(Default)]
struct Slot {
    assembly: Assembly,
    draft: Option<Draft>,
}

/// A slot for each queue of each node: so many frames, at most, are begun at once.
pub(crate) struct Slots(KVVec<Slot>);

impl Slots {
    /// Nothing has begun. May sleep.
    pub(crate) fn new() -> Result<Self> {
        let mut slots = KVVec::with_capacity(NODE_MAX * QUEUES_MAX, GFP_KERNEL)?;
        for _ in 0..NODE_MAX * QUEUES_MAX {
            slots.push(Slot::default(), GFP_KERNEL)?;
        }
        Ok(Self(slots))
    }

    fn of(&mut self, node: NodeId, queue: usize) -> Option<&mut Slot> {
        self.0.get_mut(node.index() * QUEUES_MAX + queue)
    }
}

impl Port {
    fn take_slot(&self, node: NodeId, queue: usize) -> Slot {
        let mut slots = self.slots.lock();
        slots
            .of(node, queue)
            .map(core::mem::take)
            .unwrap_or_default()
    }

    fn put_slot(&self, node: NodeId, queue: usize, mut slot: Slot) {
        if let Some(place) = self.slots.lock().of(node, queue) {
            core::mem::swap(place, &mut slot);
        }
        // What was there meanwhile, which can only be nothing, is dropped here and not under the lock.
        drop(slot);
    }

    /// Frames that a node has begun are not completed.
    pub(crate) fn forget_pieces(&self, node: NodeId) {
        for queue in 0..QUEUES_MAX {
            drop(self.take_slot(node, queue));
        }
    }

    /// A message with a frame or a piece of one. Process context; does not sleep.
    pub(crate) fn piece(&self, from: NodeId, payload: &[u8]) {
        let piece = NetFrame::decode_prefix(payload).ok();
        let piece =
            piece.and_then(|(head, bytes)| Some((Piece::new(head, bytes.len()).ok()?, bytes)));
        // Ours may be fewer than the sender's.
        let queue = piece
            .and_then(|(piece, _)| piece.queue().checked_rem(self.interface.queues()))
            .unwrap_or(0);
        let Some(shared) = self.interface.driver().queue(queue) else {
            return;
        };
        let counters = &shared.counters;
        count(&counters.rx_pieces);
        let Some((piece, bytes)) = piece else {
            malformed(from, counters);
            return;
        };
        if let Some(frame) = self.put_together(from, &piece, bytes, counters) {
            self.deliver(from, queue, frame, counters);
        }
    }

    /// The frame, if this piece completes it.
    fn put_together(
        &self,
        from: NodeId,
        piece: &Piece,
        bytes: &[u8],
        counters: &Counters,
    ) -> Option<Incoming> {
        let mut slot = self.take_slot(from, piece.queue());
        let placed = slot.assembly.place(piece);
        if placed.torn {
            count(&counters.rx_torn);
            slot.draft = None;
        }
        let draft = match placed.place {
            Place::Whole | Place::First => {
                let draft = Draft::new(piece.length()).ok();
                if draft.is_none() {
                    count(&counters.rx_no_memory);
                    slot.assembly.forget();
                }
                draft
            }
            Place::Next | Place::Last => slot.draft.take(),
            Place::Stray => {
                count(&counters.rx_stray_pieces);
                None
            }
        };
        let mut draft = draft?;
        // It fits: the assembly has looked.
        if draft.append(bytes).is_err() {
            malformed(from, counters);
            return None;
        }
        if matches!(placed.place, Place::First | Place::Next) {
            slot.draft = Some(draft);
            self.put_slot(from, piece.queue(), slot);
            return None;
        }
        let frame = draft.finish(&piece.offload());
        if frame.is_err() {
            malformed(from, counters);
        }
        frame.ok()
    }

    fn deliver(&self, from: NodeId, queue: usize, frame: Incoming, counters: &Counters) {
        let (mut to, mut source) = ([0; 6], [0; 6]);
        if frame.read(0, &mut to).is_err() || frame.read(6, &mut source).is_err() {
            // Cannot be: it has a header.
            malformed(from, counters);
            return;
        }
        let Ok(route) = received(self.own(), from, &to, &source, self.members()) else {
            count(&counters.rx_forged);
            warn_ratelimited!("node {} sends frames in the name of another one\n", from);
            return;
        };
        if route.relay.is_empty() && !route.up {
            count(&counters.rx_nobody);
            return;
        }
        if !route.up {
            self.relay(queue, frame, route.relay, counters);
            return;
        }
        if !route.relay.is_empty() {
            match frame.copy() {
                Ok(copy) => self.relay(queue, copy, route.relay, counters),
                Err(_) => count(&counters.relay_lost),
            }
        }
        let length = frame.length();
        if self.interface.receive(queue, frame) {
            count(&counters.rx_frames);
            add(&counters.rx_bytes, length.into());
        } else {
            count(&counters.rx_not_taken);
        }
    }

    fn relay(&self, queue: usize, frame: Incoming, nodes: NodeSet, counters: &Counters) {
        if self.interface.relay(queue, frame, nodes.get()) {
            count(&counters.relayed);
            self.interface.driver().queued(queue);
        } else {
            count(&counters.relay_lost);
        }
    }
}

fn malformed(from: NodeId, counters: &Counters) {
    count(&counters.rx_malformed);
    warn_ratelimited!("node {} sent a frame that makes no sense\n", from);
}
