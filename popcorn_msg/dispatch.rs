// SPDX-License-Identifier: GPL-2.0
//! What becomes of a message that came: whatever transport brought it. Here alone is looked whether it is as declared.

use crate::link::Link;
use crate::request::Request;
use crate::service::Active;

use kernel::error::Error;
use kernel::prelude::*;
use kernel::sync::Arc;

use core::sync::atomic::Ordering;
use popcorn_core::ids::Class;
use popcorn_core::ids::Incarnation;
use popcorn_core::message::Unfit;
use popcorn_core::window::Lane;
use popcorn_core::wire::Header;
use popcorn_core::wire::HEADER_SIZE;
use popcorn_kernel::err_ratelimited;
use popcorn_kernel::errno;
use popcorn_kernel::warn_ratelimited;

/// The peer sent what it must not; what it was.
pub(crate) struct Fault(pub(crate) &'static str);

/// Looks whether a header is of the message that must come next: on that lane, from that life, with
/// that number; `length` is what came, header and payload.
pub(crate) fn check(
    link: &Link,
    bytes: &[u8; HEADER_SIZE],
    lane: Lane,
    life: Incarnation,
    sequence: u64,
    length: usize,
) -> core::result::Result<Header, Fault> {
    let header = Header::decode(bytes).map_err(|_| Fault("a header is malformed"))?;
    if header.source != link.peer() || header.destination != link.own() {
        return Err(Fault("a message is not from it or not for us"));
    }
    if header.incarnation != life || header.sequence != sequence {
        return Err(Fault("a message is of another life or out of sequence"));
    }
    if (header.class == Class::Response) != (lane == Lane::Responses) {
        return Err(Fault("a message is in the wrong lane"));
    }
    if header.length as usize + HEADER_SIZE != length {
        return Err(Fault("a message has a wrong length"));
    }
    Ok(header)
}

/// Counts a message that came.
pub(crate) fn counted(link: &Link, header: &Header) {
    link.statistics().received(header);
}

/// Whether another request of this peer may be taken now.
pub(crate) fn takes_requests(link: &Link) -> bool {
    link.queued.load(Ordering::Relaxed) < link.core().settings().queued_max()
}

/// The error that a peer answers with. `EINTR` would tell who asked that he is killed, or has a signal: no peer knows.
fn said(status: i32) -> Error {
    match errno::from_status(status) {
        Err(error) if error != EINTR => error,
        _ => EIO,
    }
}

/// Gives a response to who waits for it; its payload is an error if there was no memory for it.
pub(crate) fn response(link: &Link, header: &Header, payload: Result<KVVec<u8>>) {
    if payload.is_err() {
        link.statistics().lost(header.kind);
    }
    let result = payload.and_then(|payload| match header.status {
        0 => Ok(payload),
        status => Err(said(status)),
    });
    let waited = link
        .core()
        .pending()
        .finish(link.peer(), header.request, result);
    if !waited {
        link.statistics().late(header.kind);
    }
}

/// Why a request or one-way message does not reach a service.
enum Refusal {
    /// There is none, or no memory.
    Lost(Error),
    /// It is not what its service has declared.
    Unfit(Unfit),
}

/// Hands a request or one-way message to its service, if it is as that has declared it: at once if that can be, else
/// on a worker.
pub(crate) fn request(link: &Arc<Link>, header: Header, payload: Result<KVVec<u8>>) {
    let found = link.core().services().find(header.kind);
    let taken = match (found, payload) {
        (_, Err(error)) => Err(Refusal::Lost(error)),
        (None, Ok(_)) => Err(Refusal::Lost(errno::not_supported())),
        (Some((service, declared)), Ok(payload)) => declared
            .check(header.class, payload.len())
            .map(|()| (service, declared.is_urgent(), payload))
            .map_err(Refusal::Unfit),
    };
    match taken {
        Ok((service, is_urgent, payload)) => {
            let request = Request::new(link.clone(), header, payload, Some(service.clone()));
            hand_over(link, service, is_urgent, request);
        }
        Err(refusal) => refuse(link, header, refusal),
    }
}

/// Answers a request with why it does not reach a service; of a one-way message the log tells.
fn refuse(link: &Arc<Link>, header: Header, refusal: Refusal) {
    let (kind, peer) = (header.kind, link.peer());
    let request = Request::new(link.clone(), header, KVVec::new(), None);
    link.statistics().lost(kind);
    let error = match refusal {
        Refusal::Lost(error) => {
            if !request.wants_reply() {
                warn_ratelimited!(
                    "a message of type {:#x} from node {} is lost: {:?}\n",
                    kind,
                    peer,
                    error
                );
            }
            error
        }
        Refusal::Unfit(unfit) => {
            err_ratelimited!(
                "message {:#x} of node {} refused: {}\n",
                kind,
                peer,
                unfit.as_str()
            );
            errno::protocol()
        }
    };
    // If this fails, the peer is gone.
    request.reply_error(error).ok();
}

fn hand_over(link: &Arc<Link>, service: Active, is_urgent: bool, mut request: Request) {
    let (peer, kind) = (link.peer(), request.kind());
    if is_urgent && (!request.wants_reply() || link.has_room_for_response()) {
        match service.handler().urgent(peer, request) {
            None => return,
            Some(back) => request = back,
        }
    }
    // If this fails, the request was dropped, still here, and so answered.
    let spawned = link.spawn(move || {
        request.in_receiver = false;
        if request.wants_reply() && !request.is_live() {
            // Nobody is there to whom it would matter.
            return;
        }
        service.handler().request(peer, request);
    });
    if spawned.is_err() {
        link.statistics().lost(kind);
    }
}
