// SPDX-License-Identifier: GPL-2.0
//! A message that came from a peer, and the answer to it.

use crate::link::length_of;
use crate::link::Link;
use crate::link::SendError;
use crate::link::PARTS_MAX;
use crate::parts::Part;
use crate::parts::Parts;
use crate::patience::patiently;
use crate::service::Active;

use kernel::error::Error;
use kernel::prelude::*;
use kernel::sync::Arc;

use core::mem;
use popcorn_core::ids::Class;
use popcorn_core::ids::NodeId;
use popcorn_core::message;
use popcorn_core::message::Message;
use popcorn_core::wire::Header;
use popcorn_core::wire::Wire;
use popcorn_core::wire::WireError;
use popcorn_kernel::bytes::unwarned;
use popcorn_kernel::err_ratelimited;
use popcorn_kernel::errno;
use popcorn_kernel::warn_ratelimited;

/// Bytes that the fixed part of a message may have in the typed functions: it is encoded on the
/// stack.
const FIXED_MAX: usize = 512;
/// Most have no more.
const FIXED_USUAL: usize = 64;

/// A request or one-way message, with its payload. Dropping a request answers it with `EIO`.
pub struct Request {
    link: Arc<Link>,
    header: Header,
    payload: KVVec<u8>,
    /// In the receiving thread: sending must not wait.
    pub(crate) in_receiver: bool,
    answered: bool,
    /// Keeps the service until the last of its requests is gone.
    _service: Option<Active>,
}

/// `EPROTO` for a payload that is not what its type says.
pub(crate) fn malformed(_: WireError) -> Error {
    errno::protocol()
}

impl Request {
    pub(crate) fn new(
        link: Arc<Link>,
        header: Header,
        payload: KVVec<u8>,
        service: Option<Active>,
    ) -> Self {
        Self {
            link,
            header,
            payload,
            in_receiver: true,
            answered: header.class != Class::Request,
            _service: service,
        }
    }

    /// The link that it came by.
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Whether the life of the peer that sent it goes on, as far as is known.
    pub(crate) fn is_of_present_life(&self) -> bool {
        let present = self.link.introduction().map(|peer| peer.incarnation);
        present.is_none_or(|life| life == self.header.incarnation)
    }

    /// Whether the life of the peer that sent it goes on. If it does under a lock that also who deals with that
    /// life's end ([`Handler::node_event`](crate::Handler::node_event)) takes, he will find what is begun there for
    /// the peer; if not, he may have been there already. Takes a leaf; process context.
    pub fn is_live(&self) -> bool {
        self.link.is_online()
            && self
                .link
                .introduction()
                .is_some_and(|peer| peer.incarnation == self.header.incarnation)
    }

    /// Who sent it.
    pub fn from(&self) -> NodeId {
        self.header.source
    }

    /// Its message type.
    pub fn kind(&self) -> u16 {
        self.header.kind
    }

    /// Whether the sender waits for a reply.
    pub fn wants_reply(&self) -> bool {
        self.header.class == Class::Request
    }

    /// Its payload. From a peer: check every value.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The payload as a message without a tail.
    ///
    /// # Errors
    ///
    /// `EPROTO`: the type or length is another.
    pub fn decode<T: Wire>(&self) -> Result<T> {
        if self.header.kind != T::TYPE {
            return Err(errno::protocol());
        }
        T::decode(&self.payload).map_err(malformed)
    }

    /// The payload as the fixed part of a message and its tail.
    ///
    /// # Errors
    ///
    /// `EPROTO`: the type is another, or it is too short.
    pub fn decode_prefix<T: Wire>(&self) -> Result<(T, &[u8])> {
        if self.header.kind != T::TYPE {
            return Err(errno::protocol());
        }
        T::decode_prefix(&self.payload).map_err(malformed)
    }

    /// Answers: a status (0 or a negative errno) and a payload. For a one-way message it does
    /// nothing. May sleep until there is room, except in [`Handler::urgent`](crate::Handler::urgent).
    ///
    /// # Errors
    ///
    /// `EHOSTDOWN`: the requester is gone. `EMSGSIZE`, `EINVAL`: the payload is too long, the status
    /// positive or too small. In these last cases the requester gets `EIO`.
    pub fn reply(mut self, status: i32, parts: &[&[u8]]) -> Result {
        self.answer(status, Parts::copied(parts))
    }

    /// [`Request::reply`] with status 0 and what came.
    ///
    /// # Errors
    ///
    /// As [`Request::reply`].
    pub(crate) fn echo(mut self) -> Result {
        let payload = mem::replace(&mut self.payload, KVVec::new());
        self.answer(0, Parts::copied(&[&payload]))
    }

    /// [`Request::reply`] with status 0 and a typed payload, followed by `tail`.
    ///
    /// # Errors
    ///
    /// As [`Request::reply`]; `EMSGSIZE`, too, for a tail that is declared otherwise.
    pub fn reply_with<T: message::Response>(self, message: &T, tail: &[&[u8]]) -> Result {
        encoded(message, tail, |parts| self.reply(0, parts))
    }

    /// [`Request::reply_with`] with a tail of which some lies in pages: between machines they are kept and sent as they
    /// are, in shared memory copied as all else.
    ///
    /// # Errors
    ///
    /// As there; `EINVAL`: too many parts.
    pub fn reply_with_pages<T: message::Response>(
        mut self,
        message: &T,
        tail: &[Part<'_>],
    ) -> Result {
        let mut slices: [&[u8]; PARTS_MAX] = [&[]; PARTS_MAX];
        let mut owners = [None; PARTS_MAX];
        let slices = slices.get_mut(..tail.len()).ok_or(EINVAL)?;
        let owners = owners.get_mut(..tail.len()).ok_or(EINVAL)?;
        for ((slice, owner), part) in slices.iter_mut().zip(owners.iter_mut()).zip(tail) {
            *slice = part.bytes();
            *owner = part.owner();
        }
        encoded(message, slices, |parts| {
            self.answer(0, Parts::owned(parts, owners))
        })
    }

    /// [`Request::reply`] with an error and no payload.
    ///
    /// # Errors
    ///
    /// As [`Request::reply`].
    pub fn reply_error(self, error: Error) -> Result {
        self.reply(error.to_errno(), &[])
    }

    fn answer(&mut self, status: i32, parts: Parts<'_>) -> Result {
        if self.answered {
            return Ok(());
        }
        errno::from_status(status).ok();
        if !(-4095..=0).contains(&status) {
            return Err(EINVAL);
        }
        let (kind, id) = (self.header.kind, self.header.request);
        let life = self.header.incarnation;
        let may_sleep = !self.in_receiver;
        let sent = self
            .link
            .try_respond(life, kind, status, id, parts, may_sleep);
        match sent {
            Err(SendError::Full) if self.in_receiver => {
                // The peer may be waiting in the same way for us: let a worker wait.
                self.answered = true;
                let queued = self.answer_in_worker(status, parts.slices());
                if queued.is_err() {
                    self.link.statistics().lost(kind);
                    // Who waits for the answer shall not do so for ever.
                    if self.link.fault() {
                        err_ratelimited!(
                            "node {} is dropped: there is no memory for an answer to it\n",
                            self.link.peer()
                        );
                    }
                    self.link.kick();
                }
                queued
            }
            Err(SendError::Full) => {
                self.answered = true;
                self.link.respond(life, kind, status, id, parts)
            }
            Err(SendError::Failed(error)) => Err(error),
            Ok(()) => {
                self.answered = true;
                Ok(())
            }
        }
    }

    fn answer_in_worker(&self, status: i32, parts: &[&[u8]]) -> Result {
        let (kind, id) = (self.header.kind, self.header.request);
        let life = self.header.incarnation;
        let room = || KVVec::with_capacity(length_of(parts), unwarned(GFP_KERNEL));
        let mut copy = patiently((), |()| room().map_err(|_| ())).map_err(|()| ENOMEM)?;
        for part in parts {
            copy.extend_from_slice(part, GFP_KERNEL)?;
        }
        let link = self.link.clone();
        self.link.spawn(false, move || {
            let sent = link.respond(life, kind, status, id, Parts::copied(&[&copy]));
            if sent.is_err() && link.is_online() {
                warn_ratelimited!("a response to node {} was lost\n", link.peer());
            }
        })
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !self.answered {
            // Nobody is left to tell if even this fails: the peer is gone.
            self.answer(EIO.to_errno(), Parts::copied(&[])).ok();
        }
    }
}

/// Encodes a message on the stack and calls `then` with it and its tail.
///
/// # Errors
///
/// `EMSGSIZE`: the tail is shorter or longer than declared. `EINVAL`: too many parts. Else what `then` returns.
pub(crate) fn encoded<T: Message, R>(
    message: &T,
    tail: &[&[u8]],
    then: impl FnOnce(&[&[u8]]) -> Result<R>,
) -> Result<R> {
    const { assert!(T::SIZE <= FIXED_MAX, "raise FIXED_MAX or send it as a tail") };
    // To clear what is not needed would take longer than all else here.
    if const { T::SIZE <= FIXED_USUAL } {
        encoded_within::<FIXED_USUAL, T, R>(message, tail, then)
    } else {
        encoded_within::<FIXED_MAX, T, R>(message, tail, then)
    }
}

fn encoded_within<const ROOM: usize, T: Message, R>(
    message: &T,
    tail: &[&[u8]],
    then: impl FnOnce(&[&[u8]]) -> Result<R>,
) -> Result<R> {
    let mut fixed = [0; ROOM];
    let length = message.encode(&mut fixed).map_err(malformed)?;
    T::DECLARED
        .check_length(length.saturating_add(length_of(tail)))
        .map_err(|_| errno::message_size())?;
    let mut parts: [&[u8]; PARTS_MAX] = [&[]; PARTS_MAX];
    let (first, rest) = parts.split_first_mut().ok_or(EINVAL)?;
    *first = fixed.get(..length).ok_or(EINVAL)?;
    let rest = rest.get_mut(..tail.len()).ok_or(EINVAL)?;
    rest.copy_from_slice(tail);
    then(parts.get(..=tail.len()).ok_or(EINVAL)?)
}
