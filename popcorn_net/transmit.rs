// SPDX-License-Identifier: GPL-2.0
//! Frames that go: each queue has a thread, for the network stack sends where nobody may take the locks of
//! popcorn_msg.
//!
//! A ring that is full is waited for, but not for long, and once for all frames: a node that takes nothing must
//! not keep frames from others, which wait behind its own. While it is *slow*, a frame for it is tried once.
//!
//! No lock is held here.

use crate::counters::add;
use crate::counters::count;
use crate::counters::Counters;
use crate::network::Port;

use kernel::prelude::*;
use kernel::sync::Arc;

use core::sync::atomic::Ordering;
use popcorn_core::ids::NodeId;
use popcorn_core::net_frame::FRAME_MAX;
use popcorn_core::net_frame::PIECE_MAX;
use popcorn_core::net_route::sent;
use popcorn_core::net_route::NodeSet;
use popcorn_core::proto::NetFrame;
use popcorn_core::wire::Wire;
use popcorn_kernel::current;
use popcorn_kernel::errno;
use popcorn_kernel::kthread::should_stop;
use popcorn_kernel::netdev::Packet;
use popcorn_kernel::netdev::PARTS_MAX;
use popcorn_kernel::time;

/// How long a ring may be full before its node is slow.
const PATIENCE_MS: u64 = 200;
/// Between two looks at a full ring.
const PAUSE_US: u32 = 100;

/// The thread of a queue.
pub(crate) struct Sender {
    port: Arc<Port>,
    queue: usize,
    /// Frames so far.
    frame: u64,
    /// For bytes that a program can write to: they are copied once more.
    copy: KVVec<u8>,
}

impl Sender {
    /// For a queue that the interface has. May sleep.
    pub(crate) fn new(port: Arc<Port>, queue: usize) -> Result<Self> {
        Ok(Self {
            port,
            queue,
            frame: 0,
            copy: KVVec::from_elem(0u8, PIECE_MAX, GFP_KERNEL)?,
        })
    }

    /// The thread's main function.
    pub(crate) fn run(mut self) {
        let port = self.port.clone();
        let Some(queue) = port.interface.driver().queue(self.queue) else {
            return;
        };
        while !should_stop() {
            match port.interface.take(self.queue) {
                Some((packet, tag)) => {
                    let nodes = (tag != 0).then(|| NodeSet::new(tag));
                    self.send(packet, nodes, &queue.counters);
                    current::cond_resched();
                }
                None => queue.wait(|| should_stop() || port.interface.has_packets(self.queue)),
            }
        }
    }

    /// Sends a frame to these nodes, or to whom it is for.
    fn send(&mut self, packet: Packet, nodes: Option<NodeSet>, counters: &Counters) {
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
        let nodes = nodes.unwrap_or_else(|| sent(self.port.own(), &to, self.port.members()));
        if nodes.is_empty() {
            count(&counters.tx_nobody);
            return;
        }
        self.frame = self.frame.wrapping_add(1);
        let head = offload.head(self.frame, length, self.queue as u16);
        let mut has_got = false;
        for node in nodes.iter() {
            match self.send_to(node, &packet, head, counters) {
                Ok(()) => has_got = true,
                Err(error) if error == EAGAIN => count(&counters.tx_full),
                Err(error) if error == EFAULT => count(&counters.tx_refused),
                Err(_) => count(&counters.tx_nobody),
            }
        }
        if has_got {
            count(&counters.tx_frames);
            add(&counters.tx_bytes, length.into());
            packet.consume();
        }
    }

    /// All pieces to one node.
    ///
    /// # Errors
    ///
    /// `EAGAIN`: its ring is full; it will drop what it has of the frame. `EFAULT`: the frame cannot be read.
    /// Else as `Endpoint::try_post_bulk`.
    fn send_to(
        &mut self,
        node: NodeId,
        packet: &Packet,
        head: NetFrame,
        counters: &Counters,
    ) -> Result {
        let Self { port, copy, .. } = self;
        let mut offset = 0;
        while offset < head.length {
            let mut fixed = [0; NetFrame::SIZE];
            NetFrame { offset, ..head }
                .encode(&mut fixed)
                .map_err(|_| errno::protocol())?;
            let bytes = packet.with_parts(offset, copy, |parts| -> Result<usize> {
                let mut all: [&[u8]; PARTS_MAX + 1] = [&[]; PARTS_MAX + 1];
                let (first, rest) = all.split_first_mut().ok_or(EINVAL)?;
                *first = &fixed;
                rest.get_mut(..parts.len())
                    .ok_or(EINVAL)?
                    .copy_from_slice(parts);
                let all = all.get(..=parts.len()).ok_or(EINVAL)?;
                port.post(node, all, counters)?;
                Ok(parts.iter().map(|part| part.len()).sum())
            })??;
            // No more than the frame has.
            offset += bytes as u32;
        }
        Ok(())
    }
}

impl Port {
    /// Sends one message, and waits for room if the node is not slow. May sleep.
    fn post(&self, node: NodeId, parts: &[&[u8]], counters: &Counters) -> Result {
        let bit = NodeSet::one(node).get();
        let mut since = None;
        loop {
            let result = self.endpoint.try_post_bulk(node, NetFrame::TYPE, parts);
            let is_slow = self.slow.load(Ordering::Relaxed) & bit != 0;
            match result {
                Err(error) if error == EAGAIN => {}
                Ok(()) => {
                    count(&counters.tx_pieces);
                    if is_slow {
                        self.slow.fetch_and(!bit, Ordering::Relaxed);
                    }
                    return Ok(());
                }
                other => return other,
            }
            let now = time::now_ms();
            let since = *since.get_or_insert(now);
            if now.wrapping_sub(since) > PATIENCE_MS {
                self.slow.fetch_or(bit, Ordering::Relaxed);
                return Err(EAGAIN);
            }
            if is_slow || should_stop() {
                return Err(EAGAIN);
            }
            count(&counters.tx_waits);
            time::pause_us(PAUSE_US);
        }
    }
}
