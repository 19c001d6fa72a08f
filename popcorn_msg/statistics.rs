// SPDX-License-Identifier: GPL-2.0
//! What is counted of a link, by message type, from when it was made: the peer's lives come and go.
//! The trace events `popcorn:msg_*` are raised at the same places.
//!
//! No lock: relaxed atomics, in rows that are found by hashing the type. A message costs two additions,
//! as much as to count them all together would, and some 2 ns to find its row; a call, three more and
//! two looks at the clock. Any context, nothing sleeps.

use crate::service::NodeEvent;

use kernel::error::Error;
use kernel::prelude::*;
use kernel::sync::Arc;

use popcorn_core::ids::Class;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::stats::row::Counter;
use popcorn_core::stats::row::Outcome;
use popcorn_core::stats::row::Row;
use popcorn_core::stats::table::Table;
use popcorn_core::wire::Header;
use popcorn_kernel::errno;
use popcorn_kernel::time;
use popcorn_kernel::trace;
use popcorn_kernel::trace::NodeChange;

/// Message types of a link that are counted each by itself. About 150 KiB for each link.
pub(crate) const ROWS: usize = 64;

type Rows = Table<KVVec<Row>, KBox<Row>, ROWS>;

/// What is counted of one link. Counted for itself, so that who reads it does not keep the link.
pub(crate) struct Statistics {
    peer: NodeId,
    table: Rows,
    /// Interrupts sent to it.
    pub(crate) doorbells: Counter,
}

/// All types together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
}

impl Statistics {
    /// Nothing was counted yet. May sleep.
    pub(crate) fn new(peer: NodeId) -> Result<Arc<Self>> {
        let mut rows = KVVec::with_capacity(ROWS, GFP_KERNEL)?;
        for _ in 0..ROWS {
            rows.push(Row::new(), GFP_KERNEL)?;
        }
        let overflow = KBox::new(Row::new(), GFP_KERNEL)?;
        let table = Table::new(rows, overflow);
        let statistics = Self {
            peer,
            table,
            doorbells: Counter::new(),
        };
        Ok(Arc::new(statistics, GFP_KERNEL)?)
    }

    /// The row of a message type.
    pub(crate) fn row(&self, kind: u16) -> &Row {
        self.table.row(kind)
    }

    /// All rows that have counted something; the one without a type is that of all others.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (Option<u16>, &Row)> {
        let typed = self.table.rows().map(|(kind, row)| (Some(kind), row));
        let others = core::iter::once((None, self.table.overflow()));
        // By name: pinned initializers have a chain(), too.
        Iterator::chain(typed, others).filter(|(_, row)| row.is_used())
    }

    /// What was sent and received.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for (_, row) in self.rows() {
            for (total, counter) in [
                (&mut totals.sent, &row.sent.messages),
                (&mut totals.sent_bytes, &row.sent.bytes),
                (&mut totals.received, &row.received.messages),
                (&mut totals.received_bytes, &row.received.bytes),
            ] {
                *total = total.wrapping_add(counter.get());
            }
        }
        totals
    }

    /// A message was sent.
    pub(crate) fn sent(&self, kind: u16, class: Class, request: u64, bytes: usize, status: i32) {
        self.row(kind).count_sent(bytes as u64);
        trace::msg_send(trace::Message {
            node: self.peer,
            kind,
            class,
            request,
            bytes: bytes as u32,
            status,
        });
    }

    /// A message came.
    pub(crate) fn received(&self, header: &Header) {
        self.row(header.kind)
            .count_received(u64::from(header.length));
        trace::msg_receive(trace::Message {
            node: self.peer,
            kind: header.kind,
            class: header.class,
            request: header.request,
            bytes: header.length,
            status: header.status,
        });
    }

    /// A message that came reached nobody, or an answer could not be sent.
    pub(crate) fn lost(&self, kind: u16) {
        self.row(kind).received.lost.add(1);
    }

    /// A response came for which nobody waits any more.
    pub(crate) fn late(&self, kind: u16) {
        self.row(kind).received.late.add(1);
    }

    /// There was no room, and the sender does not wait.
    pub(crate) fn full(&self, kind: u16) {
        self.row(kind).sent.full.add(1);
    }

    /// A message that was sent on a connection which is lost is sent again.
    pub(crate) fn retry(&self, kind: u16) {
        self.row(kind).sent.retries.add(1);
    }

    /// A sender begins to wait for room.
    pub(crate) fn stall(&self, kind: u16) -> Stall<'_> {
        let row = self.row(kind);
        row.sent.stalls.add(1);
        Stall {
            row,
            begin_ns: time::now_ns(),
        }
    }

    /// A call begins.
    pub(crate) fn call(&self, kind: u16) -> Call<'_> {
        let row = self.row(kind);
        row.calls.begun.add(1);
        Call {
            peer: self.peer,
            kind,
            row,
            begin_ns: time::now_ns(),
            request: 0,
            poll_most_ns: None,
            answered: false,
        }
    }

    /// The peer came or went, in that life.
    pub(crate) fn node_event(&self, event: NodeEvent, life: Incarnation) {
        let change = match event {
            NodeEvent::Online => NodeChange::Online,
            NodeEvent::Left => NodeChange::Left,
            NodeEvent::Dead => NodeChange::Dead,
        };
        trace::msg_node(self.peer, change, life.get());
    }
}

/// A sender that waits for room, until this is dropped.
pub(crate) struct Stall<'a> {
    row: &'a Row,
    begin_ns: u64,
}

impl Stall<'_> {
    fn ns(&self) -> u64 {
        time::now_ns().wrapping_sub(self.begin_ns)
    }
}

impl Drop for Stall<'_> {
    fn drop(&mut self) {
        self.row.sent.stall_ns.add(self.ns());
    }
}

/// A call, from its begin to its end.
pub(crate) struct Call<'a> {
    peer: NodeId,
    kind: u16,
    row: &'a Row,
    begin_ns: u64,
    /// 0 until it has one.
    request: u64,
    /// If what others have learned says how long to look for the answer: at most so long.
    poll_most_ns: Option<u32>,
    answered: bool,
}

impl Call<'_> {
    /// Its request is about to be sent.
    pub(crate) fn sending(&mut self, request: u64, parts: &[&[u8]]) {
        self.request = request;
        trace::msg_call_begin(self.peer, self.kind, request, || {
            parts.iter().map(|part| part.len()).sum()
        });
    }

    /// How long to look for the answer before sleeping, at most `most_ns`: as long as it is worth with messages of this
    /// type. 0: not at all.
    pub(crate) fn poll_ns(&mut self, most_ns: u32) -> u32 {
        self.poll_most_ns = Some(most_ns);
        self.row.answers.budget(most_ns)
    }

    /// The peer has answered.
    pub(crate) fn answered(&mut self) {
        self.answered = true;
    }

    /// It has ended for its caller, at that time.
    ///
    /// `result`: the length of the response, or what its caller is told.
    pub(crate) fn end(self, result: Result<usize>, now_ns: u64) {
        let ns = now_ns.wrapping_sub(self.begin_ns);
        let outcome = match result {
            Ok(_) => Outcome::Answered,
            Err(_) if self.answered => Outcome::Error,
            Err(error) if error == EINTR => Outcome::Interrupted,
            Err(error) if error == errno::timed_out() => Outcome::TimedOut,
            Err(error) if error == errno::host_down() => Outcome::HostDown,
            Err(_) => Outcome::Failed,
        };
        self.row.count_end(outcome, ns);
        if let (true, Some(most_ns)) = (self.answered, self.poll_most_ns) {
            self.row.answers.came_after(ns, most_ns);
        }
        if self.request != 0 {
            let bytes = result.unwrap_or(0);
            let status = result.err().map_or(0, Error::to_errno);
            trace::msg_call_end(self.peer, self.kind, self.request, bytes, ns, status);
        }
    }
}
