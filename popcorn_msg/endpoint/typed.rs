// SPDX-License-Identifier: GPL-2.0
//! What other modules send by: messages as they are declared (`popcorn_core::message`). The compiler sees that one-way
//! messages are posted and requests called with; a tail that is not as declared is not sent.

use super::Acknowledgement;
use super::CallOptions;
use super::Called;
use super::Endpoint;
use super::Response;
use crate::request::encoded;

use kernel::prelude::*;

use popcorn_core::directory::NodeSet;
use popcorn_core::ids::NodeId;
use popcorn_core::message::OneWay;
use popcorn_core::message::Request;

impl Endpoint {
    /// Sends a one-way message, followed by `tail`. Sleeps, killable, while the peer's ring is full.
    ///
    /// # Errors
    ///
    /// `ENODEV`: no such node. `EHOSTDOWN`: it is not online. `EPROTO`: it is of another build.
    /// `EMSGSIZE`: the tail is too long or too short. `EINVAL`: too many parts. `EINTR`.
    pub fn post_typed<Q: OneWay>(&self, node: NodeId, message: &Q, tail: &[&[u8]]) -> Result {
        encoded(message, tail, |parts| self.post(node, Q::TYPE, parts))
    }

    /// [`Endpoint::post_typed`] for the last that a thread has to say: no signal ends it. A peer that is heard all the
    /// time and has no room for a minute is dropped, for it would keep whatever ends here. May sleep.
    ///
    /// # Errors
    ///
    /// As there, but never `EINTR`.
    pub fn post_last_typed<Q: OneWay>(&self, node: NodeId, message: &Q) -> Result {
        encoded(message, &[], |parts| self.post_last(node, Q::TYPE, parts))
    }

    /// [`Endpoint::post_typed`] without ever sleeping. Not in interrupt context.
    ///
    /// # Errors
    ///
    /// `EAGAIN`: the ring is full now. Else as there.
    pub fn try_post_typed<Q: OneWay>(&self, node: NodeId, message: &Q, tail: &[&[u8]]) -> Result {
        encoded(message, tail, |parts| self.try_post(node, Q::TYPE, parts))
    }

    /// [`Endpoint::try_post_typed`] for who sends much and can wait: leaves room in the ring for others.
    ///
    /// # Errors
    ///
    /// `EAGAIN`: the ring is too full now. Else as there.
    pub fn try_post_bulk_typed<Q: OneWay>(
        &self,
        node: NodeId,
        message: &Q,
        tail: &[&[u8]],
    ) -> Result {
        encoded(message, tail, |parts| {
            self.try_post_bulk(node, Q::TYPE, parts)
        })
    }

    /// Sends a request, followed by `tail`, and waits for its answer. May sleep.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::post_typed`], and `ETIMEDOUT`, `EINTR` (by [`CallOptions::sleep`]), `EHOSTDOWN` (the
    /// peer died meanwhile; whether it did what was asked is not known), or the error that the peer
    /// answered with.
    pub fn request<Q: Request>(
        &self,
        node: NodeId,
        request: &Q,
        tail: &[&[u8]],
        options: CallOptions,
    ) -> Result<Response> {
        encoded(request, tail, |parts| {
            self.call(node, Q::TYPE, parts, options)
        })
    }

    /// As [`Endpoint::request`], but whoever is interrupted or out of time once the peer was asked gets what somebody
    /// else can wait with for the answer. May sleep.
    ///
    /// # Errors
    ///
    /// As there; `EINTR`, `ETIMEDOUT`: the peer was not asked.
    pub fn request_or_leave<Q: Request>(
        &self,
        node: NodeId,
        request: &Q,
        tail: &[&[u8]],
        options: CallOptions,
    ) -> Result<Called> {
        encoded(request, tail, |parts| {
            self.call_or_leave(node, Q::TYPE, parts, options)
        })
    }

    /// [`Endpoint::request`] for a request whose answer has no tail.
    ///
    /// # Errors
    ///
    /// As there; `EPROTO`: the answer has another length.
    pub fn call_typed<Q: Request>(
        &self,
        node: NodeId,
        request: &Q,
        tail: &[&[u8]],
        options: CallOptions,
    ) -> Result<Q::Answer> {
        self.request(node, request, tail, options)?.decode()
    }

    /// Sends a request, followed by `tail`, to all of `nodes`, and then waits for their responses: until all are there,
    /// or the time, which is one for all, is over, or a signal comes. May sleep.
    ///
    /// What became of each is in the acknowledgement: its response, or an error as of [`Endpoint::request`]. Who is
    /// interrupted, or out of time, may leave those answers that are yet to come to somebody else, or wait for them
    /// after all ([`Acknowledgement::wait`]); `EINTR` and `ETIMEDOUT` of other nodes say that they were not asked. Of
    /// this node itself it is `ENODEV`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`: nobody was asked.
    pub fn multicast_typed<Q: Request>(
        &self,
        nodes: NodeSet,
        request: &Q,
        tail: &[&[u8]],
        options: CallOptions,
    ) -> Result<Acknowledgement> {
        encoded(request, tail, |parts| {
            self.multicast(nodes, Q::TYPE, parts, options)
        })
    }
}
