// SPDX-License-Identifier: GPL-2.0
//! The window: the memory that two nodes of one machine share, and how they meet in it.
//!
//! Two header pages, one per side, then four rings: per direction one for requests and one-way
//! messages, one for responses. A response always finds a consumer that drains it without waiting
//! for anything, so a ring full of requests cannot block the answers that would empty it.
//!
//! The side with the smaller node id is side 0. Each side writes only its own header, words and data
//! of its outgoing rings and the tails of its incoming ones; nobody needs the memory to be zero.
//!
//! # How two nodes meet
//!
//! 1. A node that joins makes up an incarnation, clears what it writes in the rings, fills its header and
//!    stores the magic number last.
//! 2. A node that sees a valid header with an incarnation that it has not accepted gives up
//!    whatever it had with an older one, clears that again, and stores that incarnation into its
//!    header's `accepted`.
//! 3. The pair is online when each has accepted the other. Both have cleared the rings by then,
//!    and nobody has pushed anything before.
//!
//! A node that leaves stores [`State::Left`]; one that dies stops counting its heartbeat.

use crate::ids::Incarnation;
use crate::ids::NodeId;
use crate::ring;
use crate::ring::Memory;

/// Marks a filled header: "POPCORNW".
pub const MAGIC: u64 = u64::from_le_bytes(*b"POPCORNW");
/// Raised whenever this layout changes.
pub const ABI_VERSION: u64 = 4;
/// Bytes of one side's header.
pub const HEADER_SIZE: usize = 4096;
/// Bytes of a host name, padded with zeros.
pub const NAME_LEN: usize = 64;
/// The smallest ring data area, a power of two: room for several records of the greatest length.
pub const RING_MIN: usize = 256 * 1024;
const _: () = {
    assert!(RING_MIN.is_power_of_two());
    // What sends much leaves room for two such records, and needs room for its own.
    assert!(3 * (ring::RECORD_MAX + 8) <= RING_MIN);
};

/// Offsets of the 8-byte words in a header. Those that are written often have a line each.
mod word {
    pub(super) const MAGIC: usize = 0;
    pub(super) const ABI_VERSION: usize = 8;
    pub(super) const PROTOCOL: usize = 16;
    pub(super) const NODE: usize = 24;
    pub(super) const INCARNATION: usize = 32;
    pub(super) const ACCEPTED: usize = 40;
    pub(super) const STATE: usize = 48;
    pub(super) const CPUS: usize = 56;
    pub(super) const MEMORY: usize = 64;
    pub(super) const NAME: usize = 128;
    pub(super) const DOORBELL: usize = 256;
    pub(super) const HEARTBEAT: usize = 384;
    pub(super) const SLEEPING: usize = 512;
}
const _: () = {
    assert!(word::NAME + NAME_LEN <= word::DOORBELL);
    assert!(word::SLEEPING + 8 <= HEADER_SIZE);
    assert!(HEADER_SIZE % ring::CELL == 0);
};

/// Which of the two sides: side 0 has the smaller node id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The smaller node id.
    Low,
    /// The greater node id.
    High,
}

impl Side {
    /// The side of `own` in the window that it shares with `peer`; `None` if they are the same.
    pub fn of(own: NodeId, peer: NodeId) -> Option<Self> {
        match own.cmp(&peer) {
            core::cmp::Ordering::Less => Some(Side::Low),
            core::cmp::Ordering::Greater => Some(Side::High),
            core::cmp::Ordering::Equal => None,
        }
    }

    /// The opposite side.
    pub fn other(self) -> Self {
        match self {
            Side::Low => Side::High,
            Side::High => Side::Low,
        }
    }

    fn index(self) -> usize {
        match self {
            Side::Low => 0,
            Side::High => 1,
        }
    }
}

/// What a ring carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Requests and one-way messages: may wait while the receiver is busy.
    Requests,
    /// Responses: always drained at once.
    Responses,
}

/// Where everything lies in a window of a given size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    capacity: usize,
}

impl Layout {
    /// The layout of a window of `size` bytes, the rings as large as they can be; `None` if it is
    /// too small. Both sides come to the same result, for they know the same size.
    pub fn new(size: usize) -> Option<Self> {
        let each = size.checked_sub(2 * HEADER_SIZE)? / 4;
        let mut capacity = RING_MIN;
        if each < ring::length(capacity) {
            return None;
        }
        while capacity < ring::CAPACITY_MAX && ring::length(2 * capacity) <= each {
            capacity *= 2;
        }
        Some(Self { capacity })
    }

    /// Bytes of data of each ring.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes of one ring.
    pub fn ring_length(&self) -> usize {
        ring::length(self.capacity)
    }

    /// Where the ring begins that `from` writes.
    pub fn ring(&self, from: Side, lane: Lane) -> usize {
        let lane = match lane {
            Lane::Requests => 0,
            Lane::Responses => 1,
        };
        2 * HEADER_SIZE + (2 * from.index() + lane) * self.ring_length()
    }

    /// Bytes that are in use.
    pub fn used(&self) -> usize {
        2 * HEADER_SIZE + 4 * self.ring_length()
    }
}

/// What a node says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It takes part.
    Joined,
    /// It left in order, or never came.
    Left,
}

/// How to interrupt a node: zero is "not at all", it polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doorbell {
    /// Interrupt vector, 32 to 255.
    pub vector: u8,
    /// Physical APIC id of the processor.
    pub apic_id: u32,
}

impl Doorbell {
    const PRESENT: u64 = 1 << 63;
    /// Vectors below are the processor's exceptions.
    const FIRST_VECTOR: u64 = 32;
    /// Vectors from here on belong to Linux itself on every x86 kernel (timers, IPIs).
    const FIRST_SYSTEM_VECTOR: u64 = 0xeb;
    /// The 32-bit system call.
    const SYSCALL_VECTOR: u64 = 0x80;

    fn to_word(doorbell: Option<Self>) -> u64 {
        doorbell.map_or(0, |d| {
            Self::PRESENT | (u64::from(d.vector) << 32) | u64::from(d.apic_id)
        })
    }

    /// `None` also for a vector that must not be sent: a peer may not choose our exceptions.
    fn from_word(word: u64) -> Option<Self> {
        let vector = (word >> 32) & !(Self::PRESENT >> 32);
        let allowed = (Self::FIRST_VECTOR..Self::FIRST_SYSTEM_VECTOR).contains(&vector)
            && vector != Self::SYSCALL_VECTOR;
        (word & Self::PRESENT != 0 && allowed).then_some(Self {
            vector: vector as u8,
            apic_id: word as u32,
        })
    }
}

/// What a node tells about itself when it joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// Its id.
    pub node: NodeId,
    /// Its life.
    pub incarnation: Incarnation,
    /// A hash of everything that the two must agree on.
    pub protocol: u64,
    /// Processors online there.
    pub cpus: u64,
    /// Bytes of memory it has.
    pub memory: u64,
    /// Host name, padded with zeros.
    pub name: [u8; NAME_LEN],
}

/// Why a header is not one of a node that we can talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// No magic number: nobody has come yet.
    Absent,
    /// Another layout of the window.
    Abi(u64),
    /// Another protocol.
    Protocol(u64),
    /// A node id or incarnation that cannot be, or not that of the peer expected here.
    Node(u64),
}

/// One side's header in a window.
#[derive(Clone, Copy)]
pub struct Header<M> {
    memory: M,
    base: usize,
}

impl<M: Memory> Header<M> {
    /// The header of `side`.
    pub fn new(memory: M, side: Side) -> Self {
        Self {
            memory,
            base: side.index() * HEADER_SIZE,
        }
    }

    fn load(&self, word: usize) -> u64 {
        self.memory.load(self.base + word)
    }

    fn store(&self, word: usize, value: u64) {
        self.memory.store(self.base + word, value);
    }

    /// Takes one's own introduction back, before the words and tails are cleared for another life: a peer
    /// that finds a ring in disorder sees that it is not for the life that it knows.
    pub fn retract(&self) {
        self.store(word::MAGIC, 0);
    }

    /// Fills one's own header; the magic number last, so that a peer that sees it sees the rest.
    /// The words and tails of the rings must be clear by now.
    pub fn introduce(&self, own: &Introduction, doorbell: Option<Doorbell>) {
        self.store(word::MAGIC, 0);
        self.store(word::ABI_VERSION, ABI_VERSION);
        self.store(word::PROTOCOL, own.protocol);
        self.store(word::NODE, u64::from(own.node.get()));
        self.store(word::INCARNATION, own.incarnation.get());
        self.store(word::ACCEPTED, 0);
        self.store(word::CPUS, own.cpus);
        self.store(word::MEMORY, own.memory);
        self.memory.write(self.base + word::NAME, &own.name);
        self.store(word::DOORBELL, Doorbell::to_word(doorbell));
        self.store(word::HEARTBEAT, 0);
        self.store(word::SLEEPING, 0);
        self.store(word::STATE, 1);
        self.store(word::MAGIC, MAGIC);
    }

    /// Reads the peer's introduction.
    ///
    /// # Errors
    ///
    /// See [`Mismatch`]. The header may be replaced while it is read; then a later look finds the
    /// new incarnation.
    pub fn introduction(&self, peer: NodeId, protocol: u64) -> Result<Introduction, Mismatch> {
        if self.load(word::MAGIC) != MAGIC {
            return Err(Mismatch::Absent);
        }
        match self.load(word::ABI_VERSION) {
            ABI_VERSION => {}
            other => return Err(Mismatch::Abi(other)),
        }
        match self.load(word::PROTOCOL) {
            same if same == protocol => {}
            other => return Err(Mismatch::Protocol(other)),
        }
        let node = self.load(word::NODE);
        if NodeId::new(node) != Some(peer) {
            return Err(Mismatch::Node(node));
        }
        let incarnation = Incarnation::new(self.load(word::INCARNATION));
        let mut name = [0; NAME_LEN];
        self.memory.read(self.base + word::NAME, &mut name);
        Ok(Introduction {
            node: peer,
            incarnation: incarnation.ok_or(Mismatch::Node(node))?,
            protocol,
            cpus: self.load(word::CPUS),
            memory: self.load(word::MEMORY),
            name,
        })
    }

    /// The incarnation word alone, for a cheap look whether the peer is still the same; 0 while it
    /// is not there.
    pub fn incarnation(&self) -> u64 {
        match self.load(word::MAGIC) {
            MAGIC => self.load(word::INCARNATION),
            _ => 0,
        }
    }

    /// Stores which life of the peer we talk to, or none.
    pub fn accept(&self, peer: Option<Incarnation>) {
        self.store(word::ACCEPTED, peer.map_or(0, Incarnation::get));
    }

    /// Whether this side has accepted `peer`.
    pub fn accepts(&self, peer: Incarnation) -> bool {
        self.load(word::ACCEPTED) == peer.get()
    }

    /// Says that this side leaves.
    pub fn leave(&self) {
        self.store(word::STATE, 0);
        self.store(word::DOORBELL, 0);
        self.store(word::ACCEPTED, 0);
    }

    /// Whether it takes part.
    pub fn state(&self) -> State {
        match (self.load(word::MAGIC), self.load(word::STATE)) {
            (MAGIC, 1) => State::Joined,
            _ => State::Left,
        }
    }

    /// Counts on.
    pub fn set_heartbeat(&self, count: u64) {
        self.store(word::HEARTBEAT, count);
    }

    /// The count.
    pub fn heartbeat(&self) -> u64 {
        self.load(word::HEARTBEAT)
    }

    /// Publishes how to interrupt this side.
    pub fn set_doorbell(&self, doorbell: Option<Doorbell>) {
        self.store(word::DOORBELL, Doorbell::to_word(doorbell));
    }

    /// How to interrupt this side, if it can be.
    pub fn doorbell(&self) -> Option<Doorbell> {
        Doorbell::from_word(self.load(word::DOORBELL))
    }

    /// Says whether this side needs the doorbell. The caller puts a full barrier between this and
    /// its last look into the rings; the peer puts one between its publishing and
    /// [`Header::sleeping`]. One of the two then sees the other.
    pub fn set_sleeping(&self, sleeping: bool) {
        self.store(word::SLEEPING, u64::from(sleeping));
    }

    /// Whether this side needs the doorbell.
    pub fn sleeping(&self) -> bool {
        self.load(word::SLEEPING) != 0
    }
}
