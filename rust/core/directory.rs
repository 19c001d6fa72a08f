// SPDX-License-Identifier: GPL-2.0

//! The page directory of a distributed process: who holds which page, and what happens next.
//!
//! The origin of a process keeps one [`Entry`] for every page that a remote ever touched. A page
//! without an entry is plain local memory of the origin. An entry decides, the driver acts: each
//! method returns a [`Step`] which names the messages to send or the page-table change to make, and
//! the driver reports back what came of it. Nothing here sleeps, allocates or touches a page. The
//! caller holds a lock on the entry (a spinlock is enough) around each call, never across a message.
//!
//! # States
//!
//! Single writer or many readers. The directory and the page tables change in step:
//!
//! | state     | directory                         | PTE at the origin             | PTE at a remote               |
//! |-----------|-----------------------------------|-------------------------------|-------------------------------|
//! | Exclusive | only copy, `exclusive`            | present, as the VMA allows    | present, as the VMA allows    |
//! | Shared    | one of the copies                 | write-protected, uffd-wp bit  | write-protected, uffd-wp bit  |
//! | Invalid   | not among the copies              | PTE marker                    | none                          |
//! | Lost      | no copies at all, nothing running | PTE marker, a touch is SIGBUS | none                          |
//!
//! "Present" includes swapped out: swap keeps the uffd-wp bit. In state Exclusive at the origin the
//! page may be absent in the ordinary ways (never touched, page cache dropped).
//!
//! # Messages
//!
//! | message                            | way                | class    | carries                           |
//! |------------------------------------|--------------------|----------|-----------------------------------|
//! | REQUEST                            | requester > origin | request  | page, [`Access`]                  |
//! | FETCH                              | origin > supplier  | request  | page, [`Keep`]                    |
//! | INVALIDATE                         | origin > sharers   | request  | page                              |
//! | DATA, INVALIDATED, MISSING, DECLINED | holder > origin  | response | page, data; see [`Answer`]        |
//! | GRANT                              | origin > requester | response | page, [`Access`], data or none    |
//! | GRANTED_ALREADY, RETRY, FAIL       | origin > requester | response | page                              |
//! | GRANT_ACK                          | requester > origin | one-way  | page; see [`Receipt`]             |
//!
//! One operation runs per page; while it runs the entry is *busy* and others are refused with
//! [`Refusal::Busy`] (answer RETRY, or let a local thread wait). An operation has two phases.
//! *Gather*: FETCH and INVALIDATE are out, answers come in. *Grant*: GRANT is out (or the origin
//! installs the page itself) and the receipt is awaited. The origin takes part like any other
//! node: where a step names it, the driver acts on its own page table instead of sending.
//! The data passes through the origin, which **keeps it until the operation ends**: that is what
//! lets a page survive a requester that dies or refuses (for an upgrade it is the folio just taken
//! out of the page table, kept but not sent). Sending it straight from the owner to the requester
//! would save a hop and give this up, unless the owner then plays that part.
//!
//! # Why GRANT_ACK
//!
//! GRANT is a response, FETCH and INVALIDATE are requests; they may overtake each other, and between
//! the arrival of a grant and the mapping any amount of time may pass. Would the operation end when
//! GRANT is sent, the next INVALIDATE could find no PTE, be acknowledged, and then the old grant be
//! mapped: two writers. So a page stays busy until its new holder says that the PTE is in place, and
//! no FETCH or INVALIDATE ever meets a grant under way. It follows that a remote need not remember
//! anything about a page between a RETRY and its next attempt.
//!
//! # Who waits for whom
//!
//! 1. A faulting thread waits for its GRANT, and holds no lock (`VM_FAULT_RETRY`).
//! 2. An operation in Gather waits for the holders. They answer from a worker, which may read a page
//!    from swap but waits for no message and no `mmap_lock`. What cannot be done in a while (a pinned
//!    page, locks that stay busy) is DECLINED, and so is a question that could not be asked or
//!    answered for want of memory. A holder's own outstanding REQUEST for that page does not delay
//!    its answer.
//! 3. An operation in Grant waits for the requester's mapping, which takes its `mmap_lock` for
//!    reading. No holder of an `mmap_lock` waits for a message with it held. A thread that is killed
//!    between request and receipt dies with all of the process on its node, which is told to the
//!    origin and ends the operation as the node's death does; one of another process, a debugger's,
//!    leaves the receipt to a worker.
//! 4. REQUESTs never wait at the origin for a busy page or a frozen range: they are sent back by
//!    RETRY. Hence nothing in 2 or 3 waits for a thread in 1, and there is no cycle. Local threads of
//!    the origin may sleep until the entry is idle, since an operation's end depends on none of them:
//!    whoever carries one out sees it through up to the GRANT to a remote, or leaves it to a worker when he is
//!    killed; a worker goes on with the receipt.
//! 5. A node's death ends each of these waits ([`Entry::node_lost`]).
//!
//! # Changes of the layout
//!
//! munmap, mprotect, mremap, fork and their kin freeze the range at the origin
//! ([`crate::interval::IntervalSet`]; from then on REQUESTs of remotes inside get RETRY, while local
//! faults go on: they, too, bring pages home), wait until no entry in it is busy, bring each page
//! home ([`Entry::begin_recall`]), forget the entries, do the native call, and unfreeze. A frozen
//! range is checked by the driver, under the lock of the entry, before [`Entry::begin`] for a remote.
//! The entry of a Lost page is forgotten, too; its marker becomes one of failed memory, so that a
//! touch is SIGBUS until the page is unmapped.
//!
//! # A node's death
//!
//! First mark the node dead, so that no REQUEST of it is begun any more (check under the entry's
//! lock), then call [`Entry::node_lost`] on every entry, in any order and at leisure; a message that
//! cannot be sent to it needs no other handling. The driver in the kernel does not tell an entry in Gather, where
//! its thread may wait for another node, but when that operation is over or goes on to Grant; and before any
//! other begins. A page whose only copy died, or was granted for
//! writing to the dead node (it may have been written, and what was written after it may have been
//! seen), is Lost: an error, never old data. A node that is there again may ask for a page as soon as its
//! entry has been told of the death. If it is asked for the page before, it has none ([`Answer::Missing`],
//! [`Answer::Invalidated`]), or does not know the process: what follows is the same.
//! That the process is gone on a node is the same to its entries as its death.

use crate::ids::NodeId;

/// A set of nodes, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeSet(u64);

impl NodeSet {
    /// The empty set.
    pub const EMPTY: Self = Self(0);

    /// The set of `node` alone.
    pub fn only(node: NodeId) -> Self {
        Self(1_u64.checked_shl(u32::from(node.get())).unwrap_or(0))
    }

    /// From a bitmask, bit n for node n.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// As a bitmask, bit n for node n.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether no node is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many nodes are in the set.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether `node` is in the set.
    pub fn contains(self, node: NodeId) -> bool {
        self.0 & Self::only(node).0 != 0
    }

    /// The set and `node`.
    #[must_use]
    pub fn with(self, node: NodeId) -> Self {
        Self(self.0 | Self::only(node).0)
    }

    /// The set less `node`.
    #[must_use]
    pub fn without(self, node: NodeId) -> Self {
        Self(self.0 & !Self::only(node).0)
    }

    /// The member with the lowest number.
    pub fn first(self) -> Option<NodeId> {
        // 64, which stands for the empty set, is no node.
        NodeId::new(u64::from(self.0.trailing_zeros()))
    }
}

impl IntoIterator for NodeSet {
    type Item = NodeId;
    type IntoIter = Nodes;

    /// The members, lowest number first.
    fn into_iter(self) -> Nodes {
        Nodes(self)
    }
}

/// Iterator over the members of a [`NodeSet`].
#[derive(Clone, Debug)]
pub struct Nodes(NodeSet);

impl Iterator for Nodes {
    type Item = NodeId;

    fn next(&mut self) -> Option<NodeId> {
        let node = self.0.first()?;
        self.0 = self.0.without(node);
        Some(node)
    }
}

/// What a node wants to do with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read or execute: a Shared copy is enough.
    Read,
    /// Write: needs the page for itself, Exclusive.
    Write,
}

/// What the supplier of a page does with its own copy (the parameter of FETCH).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keep {
    /// It keeps the page for reading: write-protect it before copying.
    ReadCopy,
    /// It gives the page up: revoke it, then send.
    Nothing,
}

/// A holder's answer to FETCH or INVALIDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The supplier did as asked; the origin has the data in hand.
    Data,
    /// A sharer dropped its copy. Also when it has none any more.
    Invalidated,
    /// The supplier has no such page, and its PTE is in state Invalid.
    Missing,
    /// Not now (pinned, locks busy, no memory); the holder's copy is as before.
    Declined,
}

/// What became of a grant (the parameter of GRANT_ACK).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Receipt {
    /// The page is mapped as granted.
    Mapped,
    /// Not mapped (no memory, no VMA, not understood); a copy the requester had, it still has.
    Refused,
    /// Not mapped, and the copy that the grant relied on is not there.
    Missing,
}

/// What the driver must do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a step that is not carried out leaves the page busy for ever"]
pub enum Step {
    /// Nothing began: the node holds enough already. Answer GRANTED_ALREADY; nothing is to be
    /// mapped or acknowledged, the access is simply tried again. At the origin a uffd-wp bit may be
    /// left over on a page that is Exclusive there: lift it with the lock of the entry held, while
    /// [`Entry::is_local`] is true, or nobody has an entry: else it might be shared again meanwhile.
    AlreadyGranted,
    /// Send FETCH to `supplier` and INVALIDATE to each of `invalidate`, and report each answer by
    /// [`Entry::answer`]. For the origin itself, do it to its own page table and report likewise.
    Gather {
        /// Who supplies the data and what it keeps; none if the requester has the data, and nobody
        /// else must be asked for it.
        supplier: Option<(NodeId, Keep)>,
        /// Who drops its copy without sending it.
        invalidate: NodeSet,
    },
    /// Nothing to do now: answers are outstanding, or the event changed nothing for the driver.
    Wait,
    /// Send GRANT to `to` and report its GRANT_ACK by [`Entry::receipt`]. If `to` is the origin,
    /// install the page (or lift its write protection) there and report likewise. Keep the data in
    /// hand, if any, until the operation ends. A GRANT to the origin may also come after the
    /// requester failed: the data comes home, and whoever runs the step must see it through.
    Grant {
        /// The node that gets the page.
        to: NodeId,
        /// [`Access::Read`] grants Shared, [`Access::Write`] grants Exclusive.
        access: Access,
        /// Whether the data goes along; otherwise `to` has it already and only changes its PTE.
        data: bool,
    },
    /// The operation is over. Drop the data in hand, wake local waiters; nobody waits for a message.
    Done,
    /// The operation is over without a grant, the page is intact: answer RETRY to `to`; else as Done.
    Retry {
        /// The requester.
        to: NodeId,
    },
    /// The operation is over without a grant, the page cannot be had: answer FAIL; else as Done.
    /// Whether for ever says [`Entry::is_lost`].
    Fail {
        /// The requester.
        to: NodeId,
    },
}

/// Why an operation could not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Another operation on the page is running: answer RETRY, or wait if local.
    Busy,
    /// The only copy of the page died with its node: answer FAIL.
    Lost,
}

/// An answer or receipt that nobody waits for: from a wrong node, or twice. The entry is unchanged.
/// From a peer it is a protocol error worth one log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unexpected;

/// How a node sees an idle page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageState {
    /// Holds nothing.
    Invalid,
    /// Holds a read copy.
    Shared,
    /// Holds the only copy, and may write.
    Exclusive,
}

/// How far an operation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// FETCH and INVALIDATE are out.
    Gather,
    /// GRANT is out, or the origin is installing the page.
    Grant,
}

/// The operation which makes a page busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Operation {
    requester: NodeId,
    access: Access,
    supplier: Option<NodeId>,
    phase: Phase,
    /// The data is in the hand of the origin's driver.
    held: bool,
    /// The requester died while answers were outstanding.
    requester_lost: bool,
}

/// The directory's knowledge of one page.
///
/// # Invariants
///
/// * `exclusive` implies that `copies` has exactly one member.
/// * Idle (`operation` is none): `awaiting` is empty; `copies` is empty only if the page is Lost.
/// * In Gather `awaiting` is not empty, does not contain the requester, and is a subset of `copies`.
/// * In Grant `awaiting` is empty, and for a write nobody but the requester is in `copies`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    copies: NodeSet,
    awaiting: NodeSet,
    origin: NodeId,
    exclusive: bool,
    operation: Option<Operation>,
}

// There is one per touched page: less than a percent of the memory it describes.
const _: () = assert!(core::mem::size_of::<Entry>() <= 32);

impl Entry {
    /// A page which so far only `origin` has: ordinary local memory there.
    pub fn new(origin: NodeId) -> Self {
        Self {
            copies: NodeSet::only(origin),
            awaiting: NodeSet::EMPTY,
            origin,
            exclusive: true,
            operation: None,
        }
    }

    /// Begins an operation: `node` wants `access` to the page.
    ///
    /// The driver has checked that the range is not frozen and that `node` is alive.
    ///
    /// # Errors
    ///
    /// [`Refusal::Busy`] while another operation runs, [`Refusal::Lost`] if the page is gone.
    pub fn begin(&mut self, node: NodeId, access: Access) -> Result<Step, Refusal> {
        if self.operation.is_some() {
            return Err(Refusal::Busy);
        }
        if self.copies.is_empty() {
            return Err(Refusal::Lost);
        }
        let has_copy = self.copies.contains(node);
        if has_copy && (access == Access::Read || self.exclusive) {
            return Ok(Step::AlreadyGranted);
        }
        let holders = self.copies.without(node);
        // The origin's copy costs no message. Even for an upgrade it is taken in hand, not dropped:
        // should the requester die or refuse, the page lives on.
        let supplier = if holders.contains(self.origin) {
            Some(self.origin)
        } else if has_copy {
            None
        } else {
            holders.first()
        };
        let asked = supplier.map_or(NodeSet::EMPTY, NodeSet::only);
        let (keep, invalidate) = match access {
            Access::Read => (Keep::ReadCopy, NodeSet::EMPTY),
            Access::Write => (
                Keep::Nothing,
                NodeSet::from_bits(holders.bits() & !asked.bits()),
            ),
        };
        self.awaiting = NodeSet::from_bits(asked.bits() | invalidate.bits());
        self.operation = Some(Operation {
            requester: node,
            access,
            supplier,
            phase: Phase::Gather,
            held: false,
            requester_lost: false,
        });
        if self.awaiting.is_empty() {
            return Ok(self.advance());
        }
        Ok(Step::Gather {
            supplier: supplier.map(|node| (node, keep)),
            invalidate,
        })
    }

    /// Begins to bring the page home: afterwards the origin has it for itself.
    ///
    /// Unlike [`Entry::begin`] this is meant for frozen ranges. When it ended with
    /// [`Entry::is_local`] the entry can be forgotten; after a Retry begin again.
    ///
    /// # Errors
    ///
    /// As [`Entry::begin`]. A Lost page needs no recall.
    pub fn begin_recall(&mut self) -> Result<Step, Refusal> {
        self.begin(self.origin, Access::Write)
    }

    /// Takes the answer of `from` to FETCH or INVALIDATE.
    ///
    /// # Errors
    ///
    /// [`Unexpected`] if `from` was not asked, has answered already, or answers another question.
    pub fn answer(&mut self, from: NodeId, answer: Answer) -> Result<Step, Unexpected> {
        let op = self.operation.as_mut().ok_or(Unexpected)?;
        if op.phase != Phase::Gather || !self.awaiting.contains(from) {
            return Err(Unexpected);
        }
        match (answer, op.supplier == Some(from)) {
            (Answer::Data, true) => {
                op.held = true;
                match op.access {
                    Access::Read => self.exclusive = false,
                    Access::Write => self.drop_copy(from),
                }
            }
            // Exclusive at the origin is ordinary memory, which may have no page for an address
            // (beyond the end of a file, say): an error for the requester, nothing lost.
            (Answer::Missing, true) if from == self.origin && self.exclusive => {}
            (Answer::Missing, true) | (Answer::Invalidated, false) => self.drop_copy(from),
            (Answer::Declined, _) => {}
            (Answer::Data | Answer::Missing, false) | (Answer::Invalidated, true) => {
                return Err(Unexpected)
            }
        }
        self.awaiting = self.awaiting.without(from);
        match self.advance() {
            // What a supplier declined may succeed later, what is missing will not.
            Step::Retry { to } if answer == Answer::Missing && self.is_local() => {
                Ok(Step::Fail { to })
            }
            step => Ok(step),
        }
    }

    /// Takes the receipt of `by` for its grant: the counterpart of [`Step::Grant`].
    ///
    /// # Errors
    ///
    /// [`Unexpected`] if no grant to `by` is under way.
    pub fn receipt(&mut self, by: NodeId, receipt: Receipt) -> Result<Step, Unexpected> {
        let op = self.operation.as_mut().ok_or(Unexpected)?;
        if op.phase != Phase::Grant || op.requester != by {
            return Err(Unexpected);
        }
        match receipt {
            Receipt::Mapped => {
                self.copies = self.copies.with(by);
                self.exclusive = op.access == Access::Write;
                self.operation = None;
                return Ok(Step::Done);
            }
            Receipt::Refused => {}
            Receipt::Missing => {
                // The origin's driver says so if it can keep the data no longer.
                if by == self.origin {
                    op.held = false;
                }
                self.drop_copy(by);
            }
        }
        Ok(self.settle())
    }

    /// Takes note that `node` died or that the process is gone there: its copies vanished.
    ///
    /// Call it once the node's messages are no longer delivered and it begins no operations.
    pub fn node_lost(&mut self, node: NodeId) -> Step {
        if node == self.origin {
            return Step::Wait;
        }
        self.drop_copy(node);
        self.awaiting = self.awaiting.without(node);
        let Some(op) = self.operation.as_mut() else {
            return Step::Wait;
        };
        let requested = op.requester == node;
        match op.phase {
            Phase::Gather => {
                op.requester_lost |= requested;
                self.advance()
            }
            Phase::Grant if requested => {
                // With write access it may have changed the page, and others may have seen what
                // it did next: the data in hand must not come back.
                if op.access == Access::Write {
                    op.held = false;
                }
                self.settle()
            }
            Phase::Grant => Step::Wait,
        }
    }

    /// [`Entry::node_lost`] of several nodes: of a requester last, so that what is in hand for it is known to be
    /// the only copy left. What is to be done for all of them.
    pub fn nodes_lost(&mut self, nodes: NodeSet) -> Step {
        let requester = self.operation.map(|op| op.requester);
        let is_requester = |node: &NodeId| Some(*node) == requester;
        let others = nodes.into_iter().filter(|node| !is_requester(node));
        let last = requester.filter(|node| nodes.contains(*node));
        let mut step = Step::Wait;
        for node in others.chain(last) {
            match self.node_lost(node) {
                Step::Wait => {}
                // In place of an earlier one, which was not carried out.
                next => step = next,
            }
        }
        step
    }

    /// Whether an operation runs.
    pub const fn is_busy(&self) -> bool {
        self.operation.is_some()
    }

    /// Whether the page is idle and the origin's alone: the entry may be forgotten.
    pub fn is_local(&self) -> bool {
        self.operation.is_none() && self.exclusive && self.copies.contains(self.origin)
    }

    /// Whether the only copy of the page died with its node.
    pub const fn is_lost(&self) -> bool {
        self.operation.is_none() && self.copies.is_empty()
    }

    /// The nodes that have a copy. While busy: as far as is known.
    pub const fn copies(&self) -> NodeSet {
        self.copies
    }

    /// The state in which `node` holds the page. While busy: as far as is known.
    pub fn state_at(&self, node: NodeId) -> PageState {
        match (self.copies.contains(node), self.exclusive) {
            (false, _) => PageState::Invalid,
            (true, false) => PageState::Shared,
            (true, true) => PageState::Exclusive,
        }
    }

    /// Who is waiting for the page, and for what, while it is busy.
    pub fn requester(&self) -> Option<(NodeId, Access)> {
        self.operation.map(|op| (op.requester, op.access))
    }

    fn drop_copy(&mut self, node: NodeId) {
        if self.copies.contains(node) {
            self.copies = self.copies.without(node);
            self.exclusive = false;
        }
    }

    /// Goes on to Grant, or ends the operation, once every answer is in.
    fn advance(&mut self) -> Step {
        let Some(op) = self.operation.as_mut() else {
            return Step::Wait;
        };
        if op.phase != Phase::Gather || !self.awaiting.is_empty() {
            return Step::Wait;
        }
        if op.requester_lost {
            return self.settle();
        }
        let to = op.requester;
        let access = op.access;
        let has_copy = self.copies.contains(to);
        let may_share = access == Access::Read || self.copies.without(to).is_empty();
        if may_share && (has_copy || op.held) {
            op.phase = Phase::Grant;
            return Step::Grant {
                to,
                access,
                data: !has_copy,
            };
        }
        self.operation = None;
        if self.copies.is_empty() {
            Step::Fail { to }
        } else {
            Step::Retry { to }
        }
    }

    /// Ends an operation whose requester takes no page. If the origin's hand holds the only copy, it
    /// is installed at home first.
    fn settle(&mut self) -> Step {
        let Some(op) = self.operation.as_mut() else {
            return Step::Wait;
        };
        if !self.copies.is_empty() || !op.held {
            self.operation = None;
            return Step::Done;
        }
        op.requester = self.origin;
        op.access = Access::Write;
        op.phase = Phase::Grant;
        op.requester_lost = false;
        Step::Grant {
            to: self.origin,
            access: Access::Write,
            data: true,
        }
    }
}
