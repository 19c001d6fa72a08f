// SPDX-License-Identifier: GPL-2.0
//! Frames that go: each queue has a thread, for the network stack sends where nobody may take the locks of
//! popcorn_msg.
//!
//! The thread sorts frames into a *line* for each node, and serves all lines by turns, as far as there is room in the
//! rings: a node that takes its frames slowly, or never, keeps none from others. When its line is full, frames for it
//! are dropped, unless there is no other node: then the network stack has to wait. What waits for a node that has
//! taken nothing for a while is dropped, too.
//!
//! No lock is held here.

use crate::counters::add;
use crate::counters::count;
use crate::counters::Counters;
use crate::network::Port;

use kernel::prelude::*;
use kernel::sync::Arc;

use popcorn_core::fifo::Fifo;
use popcorn_core::ids::NodeId;
use popcorn_core::ids::NODE_MAX;
use popcorn_core::net_frame::FRAME_MAX;
use popcorn_core::net_frame::PIECE_MAX;
use popcorn_core::net_route::sent;
use popcorn_core::net_route::NodeSet;
use popcorn_core::proto::NetFrame;
use popcorn_kernel::current;
use popcorn_kernel::kthread::should_stop;
use popcorn_kernel::netdev::Packet;
use popcorn_kernel::time;

/// Frames that may wait in a line.
const LINE_FRAMES: usize = 32;
/// Bytes from which on a line is full.
const LINE_BYTES: usize = 1 << 20;
/// How long a node may take nothing before its line is dropped.
const PATIENCE_MS: u64 = 1000;
/// Between two looks at rings that are full.
const PAUSE_US: u32 = 100;
/// Frames that are sorted, or sent to one node, before others have their turn.
const TURN: usize = 16;

/// A frame on its way to a node.
struct Pending {
    packet: Packet,
    /// Its offset is that of the next piece.
    head: NetFrame,
}

/// What waits for a node.
struct Line {
    frames: Fifo<Pending, LINE_FRAMES>,
    bytes: usize,
    /// When the node took something, or the first of these frames came.
    moved_ms: u64,
}

impl Line {
    fn is_full(&self) -> bool {
        self.frames.is_full() || self.bytes >= LINE_BYTES
    }

    fn pop(&mut self) -> Option<Pending> {
        let pending = self.frames.pop()?;
        self.bytes = self.bytes.saturating_sub(pending.head.length as usize);
        Some(pending)
    }
}

/// The thread of a queue.
pub(crate) struct Sender {
    port: Arc<Port>,
    queue: usize,
    /// Frames so far.
    frame: u64,
    /// One for each node, made when it is needed.
    lines: KVec<Option<KBox<Line>>>,
    /// Nodes for which something waits.
    waiting: NodeSet,
    /// For bytes that a program can write to: they are copied once more.
    copy: KVVec<u8>,
}

impl Sender {
    /// For a queue that the interface has. May sleep.
    pub(crate) fn new(port: Arc<Port>, queue: usize) -> Result<Self> {
        let mut lines = KVec::with_capacity(NODE_MAX, GFP_KERNEL)?;
        for _ in 0..NODE_MAX {
            lines.push(None, GFP_KERNEL)?;
        }
        Ok(Self {
            port,
            queue,
            frame: 0,
            lines,
            waiting: NodeSet::EMPTY,
            copy: KVVec::from_elem(0u8, PIECE_MAX, GFP_KERNEL)?,
        })
    }

    /// The thread's main function.
    pub(crate) fn run(mut self) {
        let port = self.port.clone();
        let Some(queue) = port.interface.driver().queue(self.queue) else {
            return;
        };
        let counters = &queue.counters;
        while !should_stop() {
            let has_sorted = self.sort(counters);
            let mut has_sent = false;
            for node in self.waiting.iter() {
                has_sent |= self.serve(node, counters);
            }
            if has_sorted || has_sent {
                current::cond_resched();
            } else if self.waiting.is_empty() {
                queue.wait(|| should_stop() || port.interface.has_packets(self.queue));
            } else {
                count(&counters.tx_waits);
                time::pause_us(PAUSE_US);
            }
        }
    }

    fn line(&mut self, node: NodeId) -> Option<&mut Line> {
        let line = self.lines.get_mut(node.index())?.as_mut()?;
        Some(&mut **line)
    }

    /// Whether somebody's line is full and there is nobody else who would wait for it.
    fn must_wait(&mut self) -> bool {
        if self.waiting.is_empty() || self.port.members().len() > 1 {
            return false;
        }
        let mut waiting = self.waiting.iter();
        waiting.any(|node| self.line(node).is_some_and(|line| line.is_full()))
    }

    /// Takes some of the frames that wait at the queue; whether there were any.
    fn sort(&mut self, counters: &Counters) -> bool {
        for taken in 0..TURN {
            if self.must_wait() {
                return taken > 0;
            }
            let Some((packet, tag)) = self.port.interface.take(self.queue) else {
                return taken > 0;
            };
            let relay = (tag != 0).then(|| NodeSet::new(tag));
            self.accept(packet, relay, counters);
        }
        true
    }

    /// A frame for these nodes, or for whom it says.
    fn accept(&mut self, packet: Packet, relay: Option<NodeSet>, counters: &Counters) {
        let length = packet.length();
        let mut to = [0; 6];
        let offload = packet
            .offload()
            .ok()
            .filter(|offload| length <= FRAME_MAX && offload.check(length).is_ok());
        let Some(offload) = offload.filter(|_| packet.read(0, &mut to).is_ok()) else {
            count(&counters.tx_refused);
            return;
        };
        let nodes = relay.unwrap_or_else(|| sent(self.port.own(), &to, self.port.members()));
        self.frame = self.frame.wrapping_add(1);
        let head = offload.head(self.frame, length, self.queue as u16);
        let mut nodes = nodes.iter();
        let Some(mut node) = nodes.next() else {
            count(&counters.tx_nobody);
            return;
        };
        // All but the last get one of their own.
        for next in nodes {
            match packet.share() {
                Ok(packet) => self.line_up(node, Pending { packet, head }, counters),
                Err(_) => count(&counters.tx_full),
            }
            node = next;
        }
        self.line_up(node, Pending { packet, head }, counters);
    }

    /// Puts a frame into the line of a node, if there is room. May sleep.
    fn line_up(&mut self, node: NodeId, pending: Pending, counters: &Counters) {
        let Some(place) = self.lines.get_mut(node.index()) else {
            return;
        };
        if place.is_none() {
            let line = Line {
                frames: Fifo::new(),
                bytes: 0,
                moved_ms: 0,
            };
            *place = KBox::new(line, GFP_KERNEL).ok();
        }
        let Some(line) = place.as_mut().filter(|line| !line.is_full()) else {
            count(&counters.tx_full);
            return;
        };
        if line.frames.is_empty() {
            line.moved_ms = time::now_ms();
        }
        line.bytes += pending.head.length as usize;
        // There is room: see above.
        line.frames.push(pending).ok();
        self.waiting = self.waiting.with(node);
    }

    /// Sends some of what waits for a node; whether anything was done.
    fn serve(&mut self, node: NodeId, counters: &Counters) -> bool {
        let Self {
            port, lines, copy, ..
        } = self;
        let Some(Some(line)) = lines.get_mut(node.index()) else {
            return false;
        };
        let mut has_moved = false;
        for _ in 0..TURN {
            let Some(pending) = line.frames.front_mut() else {
                break;
            };
            let before = pending.head.offset;
            let result = port.send_pieces(node, pending, copy, counters);
            let is_full = result == Err(EAGAIN);
            if !is_full || pending.head.offset != before {
                has_moved = true;
                line.moved_ms = time::now_ms();
            }
            if is_full {
                break;
            }
            let Some(done) = line.pop() else {
                break;
            };
            match result {
                Ok(()) => {
                    count(&counters.tx_frames);
                    add(&counters.tx_bytes, done.head.length.into());
                    done.packet.consume();
                }
                Err(error) if error == EFAULT => count(&counters.tx_refused),
                Err(_) => count(&counters.tx_nobody),
            }
        }
        let is_stuck = time::now_ms().wrapping_sub(line.moved_ms) > PATIENCE_MS;
        let is_gone = !port.members().contains(node);
        while (is_stuck || is_gone) && line.pop().is_some() {
            count(if is_gone {
                &counters.tx_nobody
            } else {
                &counters.tx_full
            });
        }
        if line.frames.is_empty() {
            self.waiting = self.waiting.without(node);
        }
        has_moved
    }
}

impl Port {
    /// Sends the pieces of a frame that are left, as long as there is room. Does not sleep.
    ///
    /// # Errors
    ///
    /// `EAGAIN`: there is no room for more now. `EFAULT`: the frame cannot be read. Else as
    /// `Endpoint::try_post_bulk_typed`.
    fn send_pieces(
        &self,
        node: NodeId,
        pending: &mut Pending,
        copy: &mut [u8],
        counters: &Counters,
    ) -> Result {
        let Pending { packet, head } = pending;
        while head.offset < head.length {
            let bytes = packet.with_parts(head.offset, copy, |parts| -> Result<usize> {
                self.endpoint.try_post_bulk_typed(node, head, parts)?;
                Ok(parts.iter().map(|part| part.len()).sum())
            })??;
            count(&counters.tx_pieces);
            // No more than the frame has.
            head.offset += bytes as u32;
        }
        Ok(())
    }
}
