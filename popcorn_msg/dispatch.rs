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
use popcorn_core::window::Lane;
use popcorn_core::wire::Header;
use popcorn_core::wire::HEADER_SIZE;
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

/// Gives a response to who waits for it.
pub(crate) fn response(link: &Link, header: &Header, payload: KVVec<u8>) {
    let result = match header.status {
        0 => Ok(payload),
        status => Err(said(status)),
    };
    let waited = link
        .core()
        .pending()
        .finish(link.peer(), header.request, result);
    if !waited {
        link.statistics().late(header.kind);
    }
}

/// Hands a request or one-way message to its service, if it is as that has declared it: at once if that can be, else
/// on a worker.
///
/// # Errors
///
/// It is not as declared: both sides are built with the same declarations, so no honest peer sends such a message. Or
/// there is no memory for who deals with it: if the peer is not told, it waits for ever.
pub(crate) fn request(
    link: &Arc<Link>,
    header: Header,
    payload: KVVec<u8>,
) -> core::result::Result<(), Fault> {
    let Some((service, declared)) = link.core().services().find(header.kind) else {
        lose(link, header, errno::not_supported());
        return Ok(());
    };
    if let Err(unfit) = declared.check(header.class, payload.len()) {
        link.statistics().lost(header.kind);
        return Err(Fault(unfit.as_str()));
    }
    let request = Request::new(link.clone(), header, payload, Some(service.clone()));
    hand_over(link, service, declared.is_urgent(), request)
}

/// Answers a request with why it does not reach a service; of a one-way message the log tells.
fn lose(link: &Arc<Link>, header: Header, error: Error) {
    let (kind, peer) = (header.kind, link.peer());
    let request = Request::new(link.clone(), header, KVVec::new(), None);
    link.statistics().lost(kind);
    if !request.wants_reply() {
        warn_ratelimited!(
            "a message of type {:#x} from node {} is lost: {:?}\n",
            kind,
            peer,
            error
        );
    }
    // If this fails, the peer is gone.
    request.reply_error(error).ok();
}

fn hand_over(
    link: &Arc<Link>,
    service: Active,
    is_urgent: bool,
    mut request: Request,
) -> core::result::Result<(), Fault> {
    let (peer, kind) = (link.peer(), request.kind());
    if is_urgent && (!request.wants_reply() || link.has_room_for_response()) {
        match service.handler().urgent(peer, request) {
            None => return Ok(()),
            Some(back) => request = back,
        }
    }
    let waits = service.handler().waits(kind);
    let spawned = link.spawn(waits, move || {
        request.in_receiver = false;
        if request.wants_reply() && !request.is_live() {
            // Nobody is there to whom it would matter.
            return;
        }
        service.handler().request(peer, request);
    });
    spawned.map_err(|_| {
        link.statistics().lost(kind);
        Fault("there is no memory for its messages")
    })
}
