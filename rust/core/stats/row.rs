// SPDX-License-Identifier: GPL-2.0
//! The counters of one message type.
//!
//! Those who send, those who receive and those who call are different processors as a rule: each
//! group has cache lines of its own, two for each, since processors fetch them in pairs.

use super::histogram::Histogram;
use crate::adaptive_poll::AdaptivePoll;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;

/// A number that only grows, and wraps after 2^64.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Zero.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds to it. Any context.
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// How much it is now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What was sent: one-way messages, requests and responses.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct Sent {
    /// Messages.
    pub messages: Counter,
    /// Bytes of their payloads.
    pub bytes: Counter,
    /// Times that a sender had to wait for room.
    pub stalls: Counter,
    /// How long they waited, in nanoseconds.
    pub stall_ns: Counter,
    /// Times that there was no room for a sender who would not wait.
    pub full: Counter,
    /// Messages that were sent again, because a broken link was made anew or nothing said that they
    /// had arrived.
    pub retries: Counter,
}

/// What was received.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct Received {
    /// Messages, also those that were lost afterwards.
    pub messages: Counter,
    /// Bytes of their payloads.
    pub bytes: Counter,
    /// Messages that reached nobody, for want of memory or of a service for their type; and answers
    /// that were not sent, for want of memory.
    pub lost: Counter,
    /// Responses for which nobody waited any more.
    pub late: Counter,
}

/// Calls made from here, and how they failed. Those that were answered are in [`Row::latency`].
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct Calls {
    /// Calls that have begun.
    pub begun: Counter,
    /// Answered with an error.
    pub errors: Counter,
    /// There was no answer in time.
    pub timed_out: Counter,
    /// A signal ended the wait.
    pub interrupted: Counter,
    /// The peer died, left, or was not online any more.
    pub host_down: Counter,
    /// They could not be sent: too long, no memory.
    pub failed: Counter,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The peer answered.
    Answered,
    /// The peer answered with an error.
    Error,
    /// There was no answer in time.
    TimedOut,
    /// A signal ended the wait.
    Interrupted,
    /// The peer is gone.
    HostDown,
    /// It could not be sent.
    Failed,
}

/// The counters of one message type.
#[derive(Debug, Default)]
pub struct Row {
    /// What was sent.
    pub sent: Sent,
    /// What was received.
    pub received: Received,
    /// Calls.
    pub calls: Calls,
    /// How long calls that were answered took, as their callers saw it.
    pub latency: Histogram,
    /// What callers have learned from that: how long it is worth to look for an answer.
    pub answers: AdaptivePoll,
}

impl Row {
    /// One that has counted nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A message was sent.
    pub fn count_sent(&self, bytes: u64) {
        self.sent.messages.add(1);
        self.sent.bytes.add(bytes);
    }

    /// A message came.
    pub fn count_received(&self, bytes: u64) {
        self.received.messages.add(1);
        self.received.bytes.add(bytes);
    }

    /// A call that was counted in [`Calls::begun`] has ended, `ns` after it had begun.
    pub fn count_end(&self, outcome: Outcome, ns: u64) {
        let failure = match outcome {
            Outcome::Answered => None,
            Outcome::Error => Some(&self.calls.errors),
            Outcome::TimedOut => Some(&self.calls.timed_out),
            Outcome::Interrupted => Some(&self.calls.interrupted),
            Outcome::HostDown => Some(&self.calls.host_down),
            Outcome::Failed => Some(&self.calls.failed),
        };
        if let Some(failure) = failure {
            failure.add(1);
        }
        if matches!(outcome, Outcome::Answered | Outcome::Error) {
            self.latency.record(ns);
        }
    }

    /// Whether it has counted anything.
    pub fn is_used(&self) -> bool {
        let counters = [
            &self.sent.messages,
            &self.sent.stalls,
            &self.sent.full,
            &self.sent.retries,
            &self.received.messages,
            &self.received.lost,
            &self.received.late,
            &self.calls.begun,
        ];
        counters.iter().any(|counter| counter.get() != 0)
    }
}
