// SPDX-License-Identifier: GPL-2.0
//! Calls: a request is sent, and its response waited for.

use super::Endpoint;
use crate::core::Core;
use crate::link::Link;
use crate::pending;
use crate::pending::Waiter;
use crate::request::malformed;
use crate::statistics;

use kernel::prelude::*;
use kernel::sync::Arc;

use popcorn_core::deadline::Deadline;
use popcorn_core::ids::Class;
use popcorn_core::ids::NodeId;
use popcorn_core::ids::RequestId;
use popcorn_core::message;
use popcorn_kernel::errno;
use popcorn_kernel::time;
use popcorn_kernel::wait::Sleep;

/// How to wait for a response.
#[derive(Clone, Copy, Debug)]
pub struct CallOptions {
    /// Milliseconds until the call fails with `ETIMEDOUT`, whatever it waits for by then; `u32::MAX`: no limit.
    pub timeout_ms: u32,
    /// Which signals end it.
    pub sleep: Sleep,
    /// Microseconds to look for the response before sleeping; `None`: as long as it is worth with such messages, at
    /// most as the parameter `poll_us` says, if the two share memory.
    pub poll_us: Option<u32>,
}

impl CallOptions {
    /// Killable, with a time limit.
    pub const fn killable(timeout_ms: u32) -> Self {
        Self {
            timeout_ms,
            sleep: Sleep::Killable,
            poll_us: None,
        }
    }

    /// Ended by any signal.
    pub const fn interruptible(timeout_ms: u32) -> Self {
        Self {
            timeout_ms,
            sleep: Sleep::Interruptible,
            poll_us: None,
        }
    }

    /// When a call that begins now is to be over.
    pub(super) fn deadline(&self) -> Deadline {
        Deadline::after(self.timeout_ms, time::now_ns)
    }
}

/// The payload of a successful response. From a peer: check every value.
pub struct Response {
    payload: KVVec<u8>,
}

impl Response {
    /// Its bytes.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// As a message without a tail; the message type is that of the request.
    ///
    /// # Errors
    ///
    /// `EPROTO`: the length is another.
    pub fn decode<T: message::Response>(&self) -> Result<T> {
        T::decode(&self.payload).map_err(malformed)
    }

    /// As the fixed part of a message and its tail.
    ///
    /// # Errors
    ///
    /// `EPROTO`: it is shorter or longer than declared.
    pub fn decode_prefix<T: message::Response>(&self) -> Result<(T, &[u8])> {
        let fits = T::DECLARED.check_length(self.payload.len());
        fits.map_err(|_| errno::protocol())?;
        T::decode_prefix(&self.payload).map_err(malformed)
    }

    /// The bytes themselves.
    pub fn into_payload(self) -> KVVec<u8> {
        self.payload
    }
}

/// What became of a call that its caller may leave to somebody else: see [`Endpoint::request_or_leave`].
pub enum Called {
    /// The peer has answered.
    Answered(Response),
    /// A signal came first (`EINTR`), or the time is over (`ETIMEDOUT`); the peer was asked, and will answer.
    Left(Error, Outstanding),
}

/// A call that nobody waits for now. If it is dropped, the answer reaches nobody.
pub struct Outstanding {
    core: Arc<Core>,
    id: RequestId,
    waiter: Arc<Waiter>,
}

impl Outstanding {
    /// Waits for the answer, whatever signals come. May sleep.
    ///
    /// # Errors
    ///
    /// `EHOSTDOWN`: the peer died meanwhile. Or the error that it answered with.
    pub fn wait(self) -> Result<Response> {
        while self.waiter.wait(Sleep::Idle, Deadline::NONE).is_err() {}
        let payload = self.waiter.take()?;
        Ok(Response { payload })
    }
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        self.core.pending().end(self.id);
    }
}

impl Endpoint {
    /// Sends a request and waits for its response. May sleep.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::post`], and `ETIMEDOUT`, `EINTR` (by [`CallOptions::sleep`]), `EHOSTDOWN` (the
    /// peer died meanwhile; whether it did what was asked is not known), or the error that the peer
    /// answered with.
    pub(crate) fn call(
        &self,
        node: NodeId,
        kind: u16,
        parts: &[&[u8]],
        options: CallOptions,
    ) -> Result<Response> {
        match self.call_or_leave(node, kind, parts, options)? {
            Called::Answered(response) => Ok(response),
            Called::Left(why, _) => Err(why),
        }
    }

    /// As [`Endpoint::call`], but whoever is interrupted or out of time once the peer was asked gets what somebody
    /// else can wait with for the answer. May sleep.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::call`]; `EINTR`, `ETIMEDOUT`: the peer was not asked.
    pub(crate) fn call_or_leave(
        &self,
        node: NodeId,
        kind: u16,
        parts: &[&[u8]],
        options: CallOptions,
    ) -> Result<Called> {
        let deadline = options.deadline();
        let online = self.online_link(node)?;
        let mut counted = online.0.statistics().call(kind);
        let call = match self.ask(&online, kind, parts, options, deadline, &mut counted) {
            Ok(call) => call,
            Err(error) => {
                counted.end(Err(error), time::now_ns());
                return Err(error);
            }
        };
        match self.answer(call, counted, options.sleep, deadline) {
            (Ok(response), _) => Ok(Called::Answered(response)),
            (Err(why), Some(outstanding)) => Ok(Called::Left(why, outstanding)),
            (Err(error), None) => Err(error),
        }
    }

    /// The first half of [`Endpoint::call`]: the peer is asked, and may have answered already.
    fn ask(
        &self,
        (link, session): &(Arc<Link>, u64),
        kind: u16,
        parts: &[&[u8]],
        options: CallOptions,
        deadline: Deadline,
        counted: &mut statistics::Call<'_>,
    ) -> Result<pending::Call<'_>> {
        let sleep = options.sleep;
        // If the session ends from here on, this call does, too, and the next one is not asked: what is asked may be
        // done once only, and who hears that it failed may do it himself.
        let call = self.core.pending().begin(link.peer(), sleep, deadline)?;
        counted.sending(call.id(), parts);
        let id = call.id();
        link.send_request(*session, kind, Class::Request, id, parts, sleep, deadline)?;
        let poll_ns = self.poll_ns(link, options, deadline, counted);
        if poll_ns != 0 {
            let polled = [(link, &*call.waiter)];
            self.poll_for(&polled, |&of| Some(of), poll_ns);
        }
        Ok(call)
    }

    /// For how long to look for an answer of `link` before sleeping, in nanoseconds, within the deadline; 0: not at all.
    pub(super) fn poll_ns(
        &self,
        link: &Link,
        options: CallOptions,
        deadline: Deadline,
        counted: &mut statistics::Call<'_>,
    ) -> u64 {
        let poll_ns = match options.poll_us {
            Some(us) => u64::from(us) * 1000,
            None if link.transport().shares_memory() => {
                u64::from(counted.poll_ns(self.core.settings().poll_ns()))
            }
            // A round trip takes longer.
            None => 0,
        };
        if poll_ns == 0 {
            return 0;
        }
        deadline.at_most_ns(poll_ns, time::now_ns)
    }

    /// The second half: waits for the answer of a peer that was asked. If it does not come, because of a signal or the
    /// time, it is left.
    pub(super) fn answer(
        &self,
        call: pending::Call<'_>,
        mut counted: statistics::Call<'_>,
        sleep: Sleep,
        deadline: Deadline,
    ) -> (Result<Response>, Option<Outstanding>) {
        let waited = call.waiter.wait(sleep, deadline);
        let result = waited.and_then(|()| {
            if call.waiter.is_answered() {
                counted.answered();
            }
            call.waiter.take()
        });
        let length = result.as_ref().map(|payload| payload.len());
        counted.end(length.map_err(|error| *error), call.waiter.done_ns());
        let core = &self.core;
        let left = waited.err().and_then(|_| call.leave());
        let outstanding = left.map(|(id, waiter)| Outstanding {
            core: core.clone(),
            id,
            waiter,
        });
        (result.map(|payload| Response { payload }), outstanding)
    }
}
