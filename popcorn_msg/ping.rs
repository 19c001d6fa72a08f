// SPDX-License-Identifier: GPL-2.0
//! The service that every node has: echo, and timing it; and what is asked of nodes themselves, which
//! `parting.rs` answers.

use crate::endpoint::CallOptions;
use crate::endpoint::Endpoint;
use crate::parting;
use crate::request::Request;
use crate::service::Handler;

use kernel::prelude::*;

use popcorn_core::ids::NodeId;
use popcorn_core::proto;
use popcorn_core::wire::Wire;
use popcorn_kernel::bytes::zeroed;
use popcorn_kernel::current;
use popcorn_kernel::errno;
use popcorn_kernel::time;
use popcorn_kernel::wait::Sleep;

/// Answers with the payload of the request.
pub(crate) const ECHO: u16 = proto::Echo::TYPE;
/// As [`ECHO`], but from a worker.
pub(crate) const ECHO_BY_WORKER: u16 = proto::EchoByWorker::TYPE;

/// A round trip may take this long before the ping fails.
const TIMEOUT_MS: u32 = 10_000;
/// In polling mode: look this long before sleeping after all.
const POLL_US: u32 = 1_000_000;
/// The longest payload of a ping.
const BYTES_MAX: usize = 4096;
/// The most round trips of a ping.
const COUNT_MAX: u32 = 100_000;

/// The service of the types that belong to this module.
pub(crate) struct Echo;

impl Handler for Echo {
    fn request(&self, _from: NodeId, request: Request) {
        match request.kind() {
            // It fails only when the requester is gone.
            ECHO | ECHO_BY_WORKER => drop(request.echo()),
            proto::Part::TYPE => parting::asked(request),
            // One that makes no sense is nothing that anybody waits for.
            proto::Stay::TYPE => drop(parting::stays(&request)),
            // As above.
            _ => drop(request.reply_error(errno::not_supported())),
        }
    }

    // To part is to wait until what is over there has come home.
    fn waits(&self, kind: u16) -> bool {
        kind == proto::Part::TYPE
    }

    fn urgent(&self, _from: NodeId, request: Request) -> Option<Request> {
        // As above.
        request.echo().ok();
        None
    }
}

/// What a ping measured, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// All round trips together.
    pub total_ns: u64,
    /// The fastest.
    pub min_ns: u64,
    /// The slowest.
    pub max_ns: u64,
}

impl Endpoint {
    /// Times `count` round trips to `node` with `bytes` of payload each way; with `poll` it spins
    /// for each answer. May sleep. Who may do this is for the caller to decide.
    ///
    /// # Errors
    ///
    /// `EINVAL`: `bytes` over 4096, `count` not 1 to 100000. `EIO`: a wrong answer. Else as
    /// [`Endpoint::request`].
    pub fn ping(&self, node: NodeId, bytes: usize, count: u32, poll: bool) -> Result<Ping> {
        self.ping_each(node, bytes, count, poll, &mut |_, _| Ok(()))
    }

    /// [`Endpoint::ping`] that tells `each` of the number of every round trip, from 0, and its
    /// nanoseconds, before the next one begins. It may sleep.
    ///
    /// # Errors
    ///
    /// As there, or what `each` returns, which ends it.
    pub fn ping_each(
        &self,
        node: NodeId,
        bytes: usize,
        count: u32,
        poll: bool,
        each: &mut dyn FnMut(u32, u64) -> Result,
    ) -> Result<Ping> {
        if bytes > BYTES_MAX || count == 0 || count > COUNT_MAX {
            return Err(EINVAL);
        }
        let mut payload = zeroed(bytes)?;
        let options = CallOptions {
            timeout_ms: TIMEOUT_MS,
            sleep: Sleep::Interruptible,
            poll_us: Some(if poll { POLL_US } else { 0 }),
        };
        let mut ping = Ping {
            total_ns: 0,
            min_ns: u64::MAX,
            max_ns: 0,
        };
        for round in 0..count {
            for (byte, value) in payload.iter_mut().zip(round.to_le_bytes()) {
                *byte = value;
            }
            let begin = time::now_ns();
            let response = self.request(node, &proto::Echo {}, &[&payload], options)?;
            let ns = time::now_ns().wrapping_sub(begin);
            if response.payload() != &payload[..] {
                return Err(EIO);
            }
            ping.total_ns += ns;
            ping.min_ns = ping.min_ns.min(ns);
            ping.max_ns = ping.max_ns.max(ns);
            each(round, ns)?;
            current::cond_resched();
        }
        Ok(ping)
    }
}
