// SPDX-License-Identifier: GPL-2.0
//! The side that measures: one run with a node at a time.
//!
//! No lock is held. Waits end by any signal, by the other node's death, or in time; only a stream that finds the ring
//! full waits killable, until the node takes more or is gone.

use crate::Bench;

use kernel::prelude::*;

use core::sync::atomic::Ordering;
use popcorn_core::ids::NodeId;
use popcorn_core::proto::BenchBegin;
use popcorn_core::proto::BenchCounted;
use popcorn_core::proto::BenchEcho;
use popcorn_core::proto::BenchEchoed;
use popcorn_core::proto::BenchEnd;
use popcorn_core::proto::BenchStream;
use popcorn_core::wire::Wire;
use popcorn_core::wire::PAYLOAD_MAX;
use popcorn_kernel::boot::processor::tsc;
use popcorn_kernel::current;
use popcorn_kernel::errno;
use popcorn_kernel::time;
use popcorn_kernel::wait::Sleep;
use popcorn_msg::CallOptions;

/// An answer may take this long before the run fails.
const TIMEOUT_MS: u32 = 10_000;
/// With polling: look this long for an answer before sleeping after all.
const POLL_US: u32 = 1_000_000;
/// The shortest payload: the fixed parts of both ways fit.
pub(crate) const BYTES_MIN: usize = BenchEchoed::SIZE;
/// The longest payload.
pub(crate) const BYTES_MAX: usize = PAYLOAD_MAX;
/// The most messages of a run.
pub(crate) const COUNT_MAX: u32 = 1_000_000;
/// Messages of a stream between two looks whether others want to run.
const STREAM_TURN: u32 = 32;

/// What is to be measured.
pub(crate) struct Wish {
    /// With whom.
    pub(crate) node: NodeId,
    /// Of each payload.
    pub(crate) bytes: usize,
    /// Of messages.
    pub(crate) count: u32,
    /// Nobody sleeps.
    pub(crate) poll: bool,
}

/// One request and its answer, by the time-stamp counters of both sides.
pub(crate) struct Sample {
    /// Here.
    pub(crate) sent: u64,
    /// There.
    pub(crate) arrived: u64,
    /// There.
    pub(crate) answered: u64,
    /// Here.
    pub(crate) received: u64,
}

/// A run that has begun on both sides; dropping it lets another begin.
struct Run<'a> {
    bench: &'a Bench,
    wish: &'a Wish,
    number: u64,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let bit = 1 << self.wish.node.index();
        self.bench.busy.fetch_and(!bit, Ordering::Release);
    }
}

impl Bench {
    /// Begins a run. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`: something of the wish is out of range. `EBUSY`: there is a run with that node. `EOPNOTSUPP`: it
    /// has not loaded the module. Else as [`popcorn_msg::Endpoint::request`].
    fn run<'a>(&'a self, wish: &'a Wish) -> Result<Run<'a>> {
        let in_range = (BYTES_MIN..=BYTES_MAX).contains(&wish.bytes)
            && (1..=COUNT_MAX).contains(&wish.count)
            && wish.node != self.endpoint.node();
        if !in_range {
            return Err(EINVAL);
        }
        let bit = 1 << wish.node.index();
        if self.busy.fetch_or(bit, Ordering::Acquire) & bit != 0 {
            return Err(EBUSY);
        }
        let run = Run {
            bench: self,
            wish,
            number: self.runs.fetch_add(1, Ordering::Relaxed) + 1,
        };
        let begin = BenchBegin {
            run: run.number,
            poll: u32::from(wish.poll),
            reserved: 0,
        };
        let options = CallOptions::interruptible(TIMEOUT_MS);
        self.endpoint.call_typed(wish.node, &begin, &[], options)?;
        Ok(run)
    }

    /// Sends one request after the other, and tells `each` of the number of each exchange, from 0, and of its
    /// times, before the next one; it may sleep. Nanoseconds of all. May sleep.
    ///
    /// # Errors
    ///
    /// As [`Bench::run`], and `EIO`: a wrong answer; `ESRCH`: another run took its place there; or what `each`
    /// returns, which ends it.
    pub(crate) fn echo(
        &self,
        wish: &Wish,
        each: &mut dyn FnMut(u32, &Sample) -> Result,
    ) -> Result<u64> {
        let run = self.run(wish)?;
        let begin = time::now_ns();
        let result: Result = (0..wish.count).try_for_each(|number| {
            let sample = run.exchange(number)?;
            each(number, &sample)?;
            current::cond_resched();
            Ok(())
        });
        let ns = time::now_ns().wrapping_sub(begin);
        // Also when it failed, so that the other side does not go on to poll.
        let ended = run.end();
        result?;
        ended?;
        Ok(ns)
    }

    /// Sends one-way messages, as fast as they are taken, and asks at the end how many came. That, and
    /// nanoseconds until the answer. May sleep.
    ///
    /// # Errors
    ///
    /// As [`Bench::echo`].
    pub(crate) fn stream(&self, wish: &Wish) -> Result<(BenchCounted, u64)> {
        let run = self.run(wish)?;
        let begin = time::now_ns();
        let result: Result = (0..wish.count).try_for_each(|number| run.send(number));
        let ended = run.end();
        let ns = time::now_ns().wrapping_sub(begin);
        result?;
        Ok((ended?, ns))
    }
}

impl Run<'_> {
    /// What fills a payload behind a fixed part of so many bytes.
    fn padding(&self, fixed: usize) -> Result<&[u8]> {
        let length = self.wish.bytes.checked_sub(fixed).ok_or(EINVAL)?;
        self.bench.padding.get(..length).ok_or(EINVAL)
    }

    /// How to wait for an answer.
    fn options(&self) -> CallOptions {
        CallOptions {
            timeout_ms: TIMEOUT_MS,
            sleep: Sleep::Interruptible,
            poll_us: Some(if self.wish.poll { POLL_US } else { 0 }),
        }
    }

    /// A request and its answer.
    fn exchange(&self, number: u32) -> Result<Sample> {
        let (bench, node) = (self.bench, self.wish.node);
        let request = BenchEcho {
            run: self.number,
            number: number.into(),
        };
        let padding = self.padding(BenchEcho::SIZE)?;
        let options = self.options();
        let sent = tsc();
        let response = bench
            .endpoint
            .request(node, &request, &[padding], options)?;
        let received = tsc();
        let (echoed, tail) = response.decode_prefix::<BenchEchoed>()?;
        if echoed.number != u64::from(number) || tail != self.padding(BenchEchoed::SIZE)? {
            return Err(EIO);
        }
        Ok(Sample {
            sent,
            arrived: echoed.arrived,
            answered: echoed.answered,
            received,
        })
    }

    /// A message of a stream.
    fn send(&self, number: u32) -> Result {
        if current::signal_pending() {
            return Err(EINTR);
        }
        let message = BenchStream {
            run: self.number,
            number: number.into(),
        };
        let padding = self.padding(BenchStream::SIZE)?;
        self.bench
            .endpoint
            .post_typed(self.wish.node, &message, &[padding])?;
        if number % STREAM_TURN == 0 {
            current::cond_resched();
        }
        Ok(())
    }

    /// Ends it on the other side, too, which tells what came of a stream.
    fn end(&self) -> Result<BenchCounted> {
        let end = BenchEnd { run: self.number };
        let options = self.options();
        let counted = self
            .bench
            .endpoint
            .call_typed(self.wish.node, &end, &[], options)?;
        if counted.messages > u64::from(self.wish.count) || counted.in_order > counted.messages {
            return Err(errno::protocol());
        }
        Ok(counted)
    }
}
