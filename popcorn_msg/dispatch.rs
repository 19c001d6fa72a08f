// SPDX-License-Identifier: GPL-2.0
//! What becomes of a message that came: whatever transport brought it.

use crate::link::Link;
use crate::request::Request;

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

/// Gives a response to who waits for it; its payload is an error if there was no memory for it.
pub(crate) fn response(link: &Link, header: &Header, payload: Result<KVVec<u8>>) {
    if payload.is_err() {
        link.statistics().lost(header.kind);
    }
    let result = payload.and_then(|payload| match header.status {
        0 => Ok(payload),
        status => Err(errno::from_status(status).err().unwrap_or(EIO)),
    });
    let waited = link
        .core()
        .pending()
        .finish(link.peer(), header.request, result);
    if !waited {
        link.statistics().late(header.kind);
    }
}

/// Hands a request to its service: at once if that can be, else on a worker.
pub(crate) fn request(link: &Arc<Link>, header: Header, payload: Result<KVVec<u8>>) {
    let service = link.core().services().find(header.kind);
    let (payload, error) = match (payload, &service) {
        (Ok(payload), Some(_)) => (payload, None),
        (Ok(_), None) => (KVVec::new(), Some(errno::not_supported())),
        (Err(error), _) => (KVVec::new(), Some(error)),
    };
    let mut request = Request::new(link.clone(), header, payload, service.clone());
    let (None, Some(service)) = (error, service) else {
        let error = error.unwrap_or(EIO);
        link.statistics().lost(header.kind);
        if !request.wants_reply() {
            warn_ratelimited!(
                "a message of type {:#x} from node {} is lost: {:?}\n",
                header.kind,
                link.peer(),
                error
            );
        }
        // If this fails, the peer is gone.
        request.reply_error(error).ok();
        return;
    };
    if header.class == Class::OneWay || link.has_room_for_response() {
        match service.handler().urgent(link.peer(), request) {
            None => return,
            Some(back) => request = back,
        }
    }
    let peer = link.peer();
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
        link.statistics().lost(header.kind);
    }
}
