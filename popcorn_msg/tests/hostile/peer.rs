// SPDX-License-Identifier: GPL-2.0
//! The hostile node: a case does by hand whatever it does.

use super::HOSTILE;
use crate::endpoint::Endpoint;
use crate::ping::ECHO;
use crate::tests::node;
use crate::tests::TestNode;
use crate::tests::PROTOCOL;
use crate::tests::WINDOW;

use kernel::error::Error;
use kernel::prelude::*;
use kernel::sync::Arc;

use popcorn_core::ids::Class;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::ids::RequestId;
use popcorn_core::ring::Consumer;
use popcorn_core::ring::Producer;
use popcorn_core::window;
use popcorn_core::window::Lane;
use popcorn_core::window::Layout;
use popcorn_core::window::Side;
use popcorn_core::wire;
use popcorn_kernel::check;
use popcorn_kernel::kunit::eventually;
use popcorn_kernel::kunit::Failure;
use popcorn_kernel::kunit::Outcome;
use popcorn_kernel::shared_memory::SharedMemory;

/// What the hostile node sends by.
struct Out {
    producer: Producer<SharedMemory>,
    sequence: u64,
}

/// A node that does nothing by itself. It can obey the protocol; every field is there to be misused.
pub(super) struct Hostile {
    pub(super) victim: Arc<Endpoint>,
    pub(super) memory: SharedMemory,
    pub(super) layout: Layout,
    pub(super) own: window::Header<SharedMemory>,
    peer: window::Header<SharedMemory>,
    /// The incarnation that it says it has; each life has the next one.
    pub(super) life: Incarnation,
    beats: u64,
    out: [Out; 2],
    requests: Consumer<SharedMemory>,
}

fn index(lane: Lane) -> usize {
    match lane {
        Lane::Requests => 0,
        Lane::Responses => 1,
    }
}

impl Hostile {
    /// Not online yet: see [`Hostile::join`].
    pub(super) fn new(victim: &TestNode) -> core::result::Result<Self, Failure> {
        let memory = SharedMemory::allocate(WINDOW)?;
        let layout = Layout::new(WINDOW).ok_or(EINVAL)?;
        let hostile = Self {
            victim: victim.0.clone(),
            own: window::Header::new(memory.clone(), Side::High),
            peer: window::Header::new(memory.clone(), Side::Low),
            life: Incarnation::new(0x1_0000).ok_or(EINVAL)?,
            beats: 0,
            out: Self::senders(&memory, &layout)?,
            requests: Self::receiver(&memory, &layout, Lane::Requests)?,
            memory,
            layout,
        };
        victim.attach(node(HOSTILE), hostile.memory.clone())?;
        Ok(hostile)
    }

    fn senders(memory: &SharedMemory, layout: &Layout) -> Result<[Out; 2]> {
        let sender = |lane| {
            let base = layout.ring(Side::High, lane);
            let producer = Producer::new(memory, base, layout.capacity());
            Ok::<_, Error>(Out {
                producer: producer.map_err(|_| EINVAL)?,
                sequence: 0,
            })
        };
        Ok([sender(Lane::Requests)?, sender(Lane::Responses)?])
    }

    fn receiver(
        memory: &SharedMemory,
        layout: &Layout,
        lane: Lane,
    ) -> Result<Consumer<SharedMemory>> {
        let base = layout.ring(Side::Low, lane);
        Consumer::new(memory, base, layout.capacity()).map_err(|_| EINVAL)
    }

    /// Begins another life by the rules, until the victim finds it online.
    pub(super) fn join(&mut self) -> Outcome {
        self.life = Incarnation::new(self.life.get() + 1).ok_or(EINVAL)?;
        // It counts as gone at once.
        self.own.retract();
        check!(self.until(|this| !this.victim.is_online(node(HOSTILE))));
        self.out = Self::senders(&self.memory, &self.layout)?;
        self.requests = Self::receiver(&self.memory, &self.layout, Lane::Requests)?;
        drop(Self::receiver(&self.memory, &self.layout, Lane::Responses)?);
        self.own.introduce(&self.introduction(), None);
        check!(self.until(|this| this.peer.accepts(this.life)));
        self.own.accept(Incarnation::new(self.peer.incarnation()));
        check!(self.until(|this| this.victim.is_online(node(HOSTILE))));
        Ok(())
    }

    pub(super) fn introduction(&self) -> window::Introduction {
        window::Introduction {
            node: node(HOSTILE),
            incarnation: self.life,
            protocol: PROTOCOL,
            cpus: 1,
            memory: 1 << 20,
            name: [b'x'; window::NAME_LEN],
        }
    }

    /// Its heart beats, and the victim looks around at once: otherwise it does so every 100 ms.
    pub(super) fn nudge(&mut self) {
        self.beats += 1;
        self.own.set_heartbeat(self.beats);
        if let Some(link) = self.victim.link(node(HOSTILE)) {
            link.kick();
        }
    }

    /// Waits for `condition`, with a beating heart; false only after a very long time.
    pub(super) fn until(&mut self, mut condition: impl FnMut(&mut Self) -> bool) -> bool {
        eventually(|| {
            self.nudge();
            condition(self)
        })
    }

    /// A good header for the next message in a ring, without a payload.
    pub(super) fn header(&self, lane: Lane) -> wire::Header {
        wire::Header {
            kind: ECHO,
            class: match lane {
                Lane::Requests => Class::Request,
                Lane::Responses => Class::Response,
            },
            flags: 0,
            source: node(HOSTILE),
            destination: NodeId::PRIMARY,
            length: 0,
            status: 0,
            sequence: self.out[index(lane)].sequence,
            request: RequestId::new(0, 1).to_wire(),
            incarnation: self.life,
        }
    }

    /// Puts a record into a ring, whatever it is; false: there is no room.
    pub(super) fn put(&mut self, lane: Lane, parts: &[&[u8]]) -> bool {
        let out = &mut self.out[index(lane)];
        if out.producer.push(parts).is_err() {
            return false;
        }
        out.producer.publish();
        out.sequence += 1;
        true
    }

    /// The number of the next run in a ring: each message is one.
    pub(super) fn next_run(&self, lane: Lane) -> u64 {
        self.out[index(lane)].sequence
    }

    /// Puts a good message with `payload`, after `change` has made of its header what it likes.
    pub(super) fn send(
        &mut self,
        lane: Lane,
        payload: &[u8],
        change: impl FnOnce(&mut [u8; wire::HEADER_SIZE]),
    ) -> bool {
        let mut header = self.header(lane);
        header.length = payload.len() as u32;
        let mut bytes = header.encode();
        change(&mut bytes);
        self.put(lane, &[&bytes, payload])
    }

    /// The victim's next request; how to answer it.
    pub(super) fn take_request(&mut self) -> Option<wire::Header> {
        let length = self.requests.front().ok()??;
        let mut bytes = [0; wire::HEADER_SIZE];
        let whole = length >= bytes.len() && self.requests.read(0, &mut bytes);
        self.requests.pop();
        self.requests.release();
        wire::Header::decode(&bytes).ok().filter(|_| whole)
    }

    /// Answers `request` with `payload`.
    pub(super) fn answer(&mut self, request: &wire::Header, payload: &[u8]) -> bool {
        self.send(Lane::Responses, payload, |bytes| {
            bytes[6..8].copy_from_slice(&request.kind.to_le_bytes());
            bytes[32..40].copy_from_slice(&request.request.to_le_bytes());
        })
    }

    /// Where a ring of the window begins.
    pub(super) fn ring(&self, from: Side, lane: Lane) -> usize {
        self.layout.ring(from, lane)
    }
}
