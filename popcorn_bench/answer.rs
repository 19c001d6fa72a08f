// SPDX-License-Identifier: GPL-2.0
//! The side that is measured with: echoes, counts what comes, and looks for messages all the time if it is asked to.
//!
//! Requests are answered, and streams counted, where messages are received, without sleeping, in their order. Nothing
//! that a peer sends makes this kernel keep more than what there is for each node from the start; it can have one
//! thread look for its messages, which ends by itself [`QUIET_MS`] after the latest of them.
//!
//! Lock: `Bench::pollers`.

use crate::Bench;
use crate::BENCH;

use kernel::c_str;
use kernel::prelude::*;
use kernel::sync::Arc;

use core::sync::atomic::AtomicBool;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;
use popcorn_core::ids::NodeId;
use popcorn_core::proto::BenchBegin;
use popcorn_core::proto::BenchCounted;
use popcorn_core::proto::BenchEcho;
use popcorn_core::proto::BenchEchoed;
use popcorn_core::proto::BenchEnd;
use popcorn_core::proto::BenchStream;
use popcorn_core::wire::Wire;
use popcorn_kernel::boot::processor::tsc;
use popcorn_kernel::errno;
use popcorn_kernel::kthread::should_stop;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::time;
use popcorn_msg::Handler;
use popcorn_msg::Request;

/// Who looks for messages of a run gives up when there were none for so long.
const QUIET_MS: u64 = 10_000;

/// What a node measures with this one. Messages of one node are handled one at a time; should it be otherwise, a
/// figure is wrong and nothing else.
#[derive(Default)]
pub(crate) struct Source {
    /// The run; 0: none yet.
    run: AtomicU64,
    /// The number that the next message of a stream should have.
    next: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
    in_order: AtomicU64,
    /// Somebody shall look for messages.
    polled: AtomicBool,
    /// When the latest message came.
    heard_ms: AtomicU64,
}

impl Source {
    fn begin(&self, begin: &BenchBegin) {
        for counter in [&self.next, &self.messages, &self.bytes, &self.in_order] {
            counter.store(0, Ordering::Relaxed);
        }
        self.heard();
        self.polled.store(begin.poll != 0, Ordering::Relaxed);
        self.run.store(begin.run, Ordering::Relaxed);
    }

    fn heard(&self) {
        self.heard_ms.store(time::now_ms(), Ordering::Relaxed);
    }

    fn is_of(&self, run: u64) -> bool {
        run != 0 && self.run.load(Ordering::Relaxed) == run
    }

    /// Whether somebody shall go on to look for messages.
    fn is_polled(&self) -> bool {
        let quiet_ms = time::now_ms().saturating_sub(self.heard_ms.load(Ordering::Relaxed));
        self.polled.load(Ordering::Relaxed) && quiet_ms < QUIET_MS
    }

    /// Counts one message of a stream.
    fn count(&self, message: &BenchStream, length: usize) {
        if !self.is_of(message.run) {
            return;
        }
        self.heard();
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(length as u64, Ordering::Relaxed);
        let next = message.number.wrapping_add(1);
        if self.next.swap(next, Ordering::Relaxed) == message.number {
            self.in_order.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What came of a stream; the run is over.
    fn end(&self, end: &BenchEnd) -> Result<BenchCounted> {
        if !self.is_of(end.run) {
            return Err(ESRCH);
        }
        self.polled.store(false, Ordering::Relaxed);
        Ok(BenchCounted {
            messages: self.messages.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            in_order: self.in_order.load(Ordering::Relaxed),
        })
    }
}

/// The service of the messages by which is measured.
pub(crate) struct Service;

impl Handler for Service {
    fn request(&self, from: NodeId, request: Request) {
        // What came where it could not be answered at once.
        let Some(request) = self.urgent(from, request) else {
            return;
        };
        let Some(bench) = BENCH.get() else {
            return;
        };
        let result = match request.kind() {
            BenchBegin::TYPE => {
                let begin = request.decode::<BenchBegin>();
                begin.and_then(|begin| bench.begin(from, &begin))
            }
            _ => Err(errno::not_supported()),
        };
        // If this fails, the sender is gone.
        match result {
            Ok(()) => request.reply(0, &[]).ok(),
            Err(error) => request.reply_error(error).ok(),
        };
    }

    fn urgent(&self, from: NodeId, request: Request) -> Option<Request> {
        let arrived = tsc();
        let Some(bench) = BENCH.get() else {
            return Some(request);
        };
        let Some(source) = bench.sources.get(from.index()) else {
            return Some(request);
        };
        match request.kind() {
            BenchEcho::TYPE => bench.answer(source, arrived, request),
            BenchStream::TYPE => {
                if let Ok((message, _)) = request.decode_prefix::<BenchStream>() {
                    source.count(&message, request.payload().len());
                }
            }
            BenchEnd::TYPE => {
                let end = request.decode::<BenchEnd>();
                // If this fails, the sender is gone.
                match end.and_then(|end| source.end(&end)) {
                    Ok(counted) => request.reply_with(&counted, &[]).ok(),
                    Err(error) => request.reply_error(error).ok(),
                };
            }
            _ => return Some(request),
        }
        None
    }
}

impl Bench {
    /// A run of another node begins, and the one before is over. May sleep.
    fn begin(self: &Arc<Self>, from: NodeId, begin: &BenchBegin) -> Result {
        let source = self.sources.get(from.index()).ok_or(EINVAL)?;
        if begin.run == 0 {
            return Err(errno::protocol());
        }
        let mut pollers = self.pollers.lock();
        let poller = pollers.get_mut(from.index()).ok_or(EINVAL)?;
        // Stops the one of the run before.
        *poller = None;
        source.begin(begin);
        if begin.poll != 0 {
            let bench = self.clone();
            let poll = move || bench.poll(from);
            *poller = Some(Kthread::spawn(c_str!("popcorn_bench"), poll)?);
        }
        Ok(())
    }

    /// The main function of who looks for messages of a node.
    fn poll(&self, from: NodeId) {
        if let Some(source) = self.sources.get(from.index()) {
            let mut go_on = || !should_stop() && source.is_polled();
            // An error: the node is gone.
            self.endpoint.poll_while(from, &mut go_on).ok();
        }
    }

    /// Ends all who look for messages. May sleep. Nobody must begin a run any more.
    pub(crate) fn stop_polling(&self) {
        for poller in self.pollers.lock().iter_mut() {
            *poller = None;
        }
    }

    /// Answers with as many bytes as came.
    fn answer(&self, source: &Source, arrived: u64, request: Request) {
        let length = request.payload().len();
        let number = match request.decode_prefix::<BenchEcho>() {
            Ok((message, _)) if source.is_of(message.run) => Ok(message.number),
            Ok(_) => Err(ESRCH),
            Err(error) => Err(error),
        };
        // It is declared to be no shorter than this answer, and is no longer than a payload.
        let tail = length.saturating_sub(BenchEchoed::SIZE);
        let tail = self.padding.get(..tail).unwrap_or(&[]);
        // If these fail, the sender is gone.
        match number {
            Ok(number) => {
                source.heard();
                let echoed = BenchEchoed {
                    number,
                    arrived,
                    answered: tsc(),
                };
                request.reply_with(&echoed, &[tail]).ok();
            }
            Err(error) => drop(request.reply_error(error)),
        }
    }
}
