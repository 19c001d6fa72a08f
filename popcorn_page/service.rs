// SPDX-License-Identifier: GPL-2.0
//! The messages about pages: see `popcorn_core::proto`.
//!
//! All handlers run in a worker and may sleep, but for nothing that waits for a message itself,
//! with one exception that has no cycle: [`proto::PageRequest`] waits for holders' answers, and
//! those are given without waiting for a message.

use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::sync::UniqueArc;
use popcorn_core::directory::Access;
use popcorn_core::directory::Answer;
use popcorn_core::directory::Keep;
use popcorn_core::directory::NodeSet;
use popcorn_core::directory::Receipt;
use popcorn_core::ids::NodeId;
use popcorn_core::message::Empty;
use popcorn_core::proto;
use popcorn_core::proto::Content;
use popcorn_core::proto::Outcome;
use popcorn_core::wire::Wire;
use popcorn_kernel::current;
use popcorn_kernel::err_ratelimited;
use popcorn_kernel::errno;
use popcorn_kernel::mm::PAGE_SIZE;
use popcorn_kernel::time;
use popcorn_msg::Acknowledgement;
use popcorn_msg::Called;
use popcorn_msg::Handler;
use popcorn_msg::Limit;
use popcorn_msg::NodeEvent;
use popcorn_msg::Outstanding;
use popcorn_msg::Part;
use popcorn_msg::Registration;
use popcorn_msg::Request;
use popcorn_msg::Response;

use crate::away::Given;
use crate::hand::Fetched;
use crate::hand::Hand;
use crate::home::Ended;
use crate::space;
use crate::space::LeftPlaces;
use crate::space::Role;
use crate::space::Space;
use crate::talk;
use crate::waiting::too_many;
use crate::waiting::Waiting;

struct Service;

pub(crate) fn register() -> Result<Registration> {
    popcorn_msg::register(proto::PAGE_MESSAGES, &Service)
}

/// The origin's side of a space that `from` may ask about.
fn origin_of(id: u64, from: NodeId) -> Result<Arc<Space>> {
    let space = space::find(id).ok_or(ESRCH)?;
    if space.role != Role::Origin || !space.nodes().contains(from) {
        return Err(EPERM);
    }
    Ok(space)
}

/// The remote side of a space of `from`'s.
fn remote_of(id: u64, from: NodeId) -> Result<Arc<Space>> {
    let space = space::find(id).ok_or(ESRCH)?;
    if space.role != Role::Remote(from) {
        return Err(EPERM);
    }
    Ok(space)
}

/// How long who asks for a page is put off while this machine does not serve others, or too many of its requests wait,
/// or too many wait for the holder, or too many pages are on their way to it.
const PUT_OFF_MS: u32 = 20;

fn page_address(raw: u64) -> Result<usize> {
    let address = usize::try_from(raw).map_err(|_| errno::protocol())?;
    if address % PAGE_SIZE != 0 {
        return Err(errno::protocol());
    }
    Ok(address)
}

/// It asks again, and can be killed meanwhile.
fn put_off() -> Error {
    time::sleep_ms(PUT_OFF_MS);
    EAGAIN
}

fn page_request(request: &Request) -> Result<Reply> {
    if !popcorn_msg::serves(request.from()) {
        return Err(put_off());
    }
    let waiting = Waiting::begin(request.from()).ok_or_else(put_off)?;
    let (message, _) = request.decode_prefix::<proto::PageRequest>()?;
    let space = origin_of(message.space, request.from())?;
    let address = page_address(message.address)?;
    let access = if message.write != 0 {
        Access::Write
    } else {
        Access::Read
    };
    let mut grant = proto::Grant {
        content: Content::Nothing as u32,
        exclusive: 0,
        acknowledge: 0,
        ahead: 0,
        contents: [0; 16],
    };
    let served = space.serve(request, message.ticket, address, access);
    if matches!(served, Err(error) if error == too_many()) {
        // Others of its requests need not wait for that.
        drop(waiting);
        return Err(put_off());
    }
    match served? {
        Ended::Grant { access, hand } => {
            grant.exclusive = u32::from(access == Access::Write);
            grant.acknowledge = 1;
            grant.content = content_of(hand.as_ref()) as u32;
            // Whatever becomes of these, the page that was asked for is granted.
            let count = (message.ahead as usize).min(proto::AHEAD_MAX);
            let ahead = space
                .serve_ahead(request, message.ticket, address, access, count)
                .unwrap_or(KVec::new());
            grant.ahead = ahead.len() as u32;
            for (content, hand) in grant.contents.iter_mut().zip(&ahead) {
                *content = content_of(Some(hand)) as u8;
            }
            Ok(Reply::Grant(grant, hand, ahead))
        }
        Ended::AlreadyGranted => Ok(Reply::Grant(grant, None, KVec::new())),
        // The requester was lost meanwhile.
        Ended::Done => Err(EAGAIN),
    }
}

fn content_of(hand: Option<&Hand>) -> Content {
    match hand {
        None => Content::Nothing,
        Some(Hand::Zeros) => Content::Zeros,
        Some(Hand::Bytes(_) | Hand::Answer(_)) => Content::Bytes,
    }
}

fn mapped(request: &Request) -> Result<Reply> {
    let (message, _) = request.decode_prefix::<proto::Mapped>()?;
    let space = origin_of(message.space, request.from())?;
    let address = page_address(message.address)?;
    let outcome = Outcome::new(message.outcome).ok_or(errno::protocol())?;
    let receipt = match outcome {
        Outcome::Mapped => Receipt::Mapped,
        Outcome::Refused | Outcome::Unread => Receipt::Refused,
        Outcome::Missing => Receipt::Missing,
    };
    if message.ahead as usize > proto::AHEAD_MAX {
        return Err(errno::protocol());
    }
    let mapped = match outcome {
        Outcome::Unread => 0,
        _ => message.mapped,
    };
    // Each for itself: an error of one must not leave the others without theirs.
    let mut result = space.receipt(request, message.ticket, address, receipt);
    for index in 0..message.ahead as usize {
        let receipt = if (mapped >> index) & 1 != 0 {
            Receipt::Mapped
        } else {
            Receipt::Refused
        };
        let address = address
            .checked_add((index + 1) * PAGE_SIZE)
            .ok_or(errno::protocol())?;
        result = result.and(space.receipt(request, message.ticket, address, receipt));
    }
    match outcome {
        // Who says so does not know what was granted.
        Outcome::Unread => Ok(Reply::Empty),
        _ => result.map(|()| Reply::Empty),
    }
}

fn fetch(request: &Request) -> Result<Reply> {
    let (message, _) = request.decode_prefix::<proto::Fetch>()?;
    let space = remote_of(message.space, request.from())?;
    let given = space.give(page_address(message.address)?, message.keep != 0)?;
    let answer = proto::PageData {
        content: match &given {
            None => Content::Nothing,
            Some(Given::Zeros) => Content::Zeros,
            Some(Given::Bytes(_)) => Content::Bytes,
        } as u32,
        reserved: 0,
    };
    Ok(Reply::Data(answer, given))
}

fn invalidate(request: &Request) -> Result<Reply> {
    let (message, _) = request.decode_prefix::<proto::Invalidate>()?;
    let space = remote_of(message.space, request.from())?;
    space.drop_copy(page_address(message.address)?)?;
    Ok(Reply::Empty)
}

/// What is answered. It owns the page that goes along.
enum Reply {
    Empty,
    Grant(proto::Grant, Option<Hand>, KVec<Hand>),
    Data(proto::PageData, Option<Given>),
}

impl Reply {
    fn send(&self, request: Request) -> Result {
        match self {
            Reply::Empty => request.reply(0, &[]),
            Reply::Grant(grant, hand, ahead) => {
                let mut parts = [Part::Bytes(&[]); proto::AHEAD_MAX + 1];
                let hands = Iterator::chain(hand.iter(), ahead);
                for (part, hand) in parts.iter_mut().zip(hands) {
                    *part = hand.part();
                }
                request.reply_with_pages(grant, &parts)
            }
            Reply::Data(data, Some(Given::Bytes(page))) => {
                request.reply_with_pages(data, &[Part::Pages(page)])
            }
            Reply::Data(data, _) => request.reply_with(data, &[]),
        }
    }
}

impl Handler for Service {
    fn request(&self, from: NodeId, request: Request) {
        let result = match request.kind() {
            proto::PageRequest::TYPE => page_request(&request),
            proto::Mapped::TYPE => mapped(&request),
            proto::Fetch::TYPE => fetch(&request),
            proto::Invalidate::TYPE => invalidate(&request),
            _ => Err(errno::protocol()),
        };
        // A reply that cannot be sent has nobody who waits for it.
        let _ = match result {
            Ok(reply) => reply.send(request),
            Err(error) => {
                if error == errno::protocol() || error == EPERM {
                    let kind = request.kind();
                    err_ratelimited!(
                        "message {:#x} of node {} refused: {:?}\n",
                        kind,
                        from,
                        error
                    );
                }
                request.reply_error(error)
            }
        };
    }

    // For holders and sharers, who have to answer.
    fn waits(&self, kind: u16) -> bool {
        kind == proto::PageRequest::TYPE
    }

    fn node_event(&self, node: NodeId, event: NodeEvent) {
        let Some(spaces) = space::SPACES.get() else {
            return;
        };
        let mut from = 0;
        while let Some((id, space)) = spaces.table.next(from) {
            from = id + 1;
            if space.role != Role::Origin || !space.nodes().contains(node) {
                continue;
            }
            // Events come one after the other.
            match event {
                NodeEvent::Online => space.node_returned(node),
                _ => space.node_lost(node),
            }
        }
    }

    fn part(&self, node: NodeId, limit: &Limit<'_>) -> Result {
        let spaces = space::SPACES.get().ok_or(ENODEV)?;
        let mut from = 0;
        while let Some((id, space)) = spaces.table.next(from) {
            from = id + 1;
            if space.role == Role::Origin && space.nodes().contains(node) {
                space.part(node, limit)?;
            }
        }
        Ok(())
    }
}

/// A question to the holder of a page for it, which who asked has left since he was killed, or had no more time; and
/// room for the answer.
pub(crate) struct LeftFetch(LeftPlaces, Outstanding, UniqueArc<Fetched>);

impl LeftFetch {
    /// Waits for the answer, as [`Space::fetch_from`] does; not killable. May sleep.
    pub(crate) fn wait(self) -> (Result<Answer>, Option<Hand>) {
        let Self(_places, outstanding, room) = self;
        let answered = outstanding.wait();
        given(answered.and_then(|response| Fetched::hand(room, response)))
    }
}

/// What sharers of a page say to the question to drop their copies.
pub(crate) struct Invalidated {
    sharers: NodeSet,
    /// The error is that of all.
    answers: Result<Acknowledgement>,
}

impl Invalidated {
    /// What each answers.
    ///
    /// # Errors
    ///
    /// As [`Space::fetch_from`].
    pub(crate) fn answers(&self) -> impl Iterator<Item = (NodeId, Result<Answer>)> + '_ {
        self.sharers.into_iter().map(|node| {
            let answer = match &self.answers {
                Ok(answers) => answers.answer(node).unwrap_or(Err(EIO)),
                Err(error) => Err(*error),
            };
            let answer = answer.and_then(Response::decode::<Empty>);
            (node, answer.map(|Empty {}| Answer::Invalidated))
        })
    }
}

/// That question, which who asked has left since he was killed, or had no more time: some have not answered yet.
pub(crate) struct LeftInvalidation {
    sharers: NodeSet,
    answers: Acknowledgement,
    _places: LeftPlaces,
}

impl LeftInvalidation {
    /// Waits for the answers, as [`Space::invalidate_at`] does; not killable. May sleep.
    pub(crate) fn wait(self) -> Invalidated {
        Invalidated {
            sharers: self.sharers,
            answers: Ok(self.answers.wait()),
        }
    }
}

/// What a supplier has answered, for the directory, and the page.
pub(crate) fn given(fetched: Result<Option<Hand>>) -> (Result<Answer>, Option<Hand>) {
    match fetched {
        Ok(Some(hand)) => (Ok(Answer::Data), Some(hand)),
        Ok(None) => (Ok(Answer::Missing), None),
        Err(error) => (Err(error), None),
    }
}

/// Whether who waits for a holder may be killed: a worker goes on with what it leaves, since the page is in the
/// answer. A kernel thread is that worker, or the like of it.
pub(crate) fn is_killable() -> bool {
    !current::is_kernel_thread()
}

impl Space {
    /// Fetches a page from its holder: what that answers, or what is left if the caller is killed, or it takes longer
    /// than `patience_ms`.
    ///
    /// # Errors
    ///
    /// In the answer: those of which [`talk::is_gone`] says that it is. Others: it has it still.
    pub(crate) fn fetch_from(
        &self,
        node: NodeId,
        address: usize,
        keep: Keep,
        patience_ms: u32,
    ) -> core::result::Result<(Result<Answer>, Option<Hand>), LeftFetch> {
        let message = proto::Fetch {
            space: self.id,
            address: address as u64,
            keep: u32::from(keep == Keep::ReadCopy),
            reserved: 0,
        };
        // Before the page leaves its holder: it must not get lost for want of memory.
        let room = match Fetched::room() {
            Ok(room) => room,
            Err(error) => return Ok((Err(error), None)),
        };
        match talk::call_or_leave(node, &message, is_killable(), patience_ms) {
            Ok(Called::Answered(response)) => Ok(given(Fetched::hand(room, response))),
            Ok(Called::Left(_, outstanding)) => match LeftPlaces::find(1) {
                Some(places) => Err(LeftFetch(places, outstanding, room)),
                None => {
                    let answered = outstanding.wait();
                    Ok(given(
                        answered.and_then(|response| Fetched::hand(room, response)),
                    ))
                }
            },
            Err(error) => Ok((Err(error), None)),
        }
    }

    /// Makes sharers drop their copies, all at once: what they answer, or what is left as of [`Self::fetch_from`].
    ///
    /// # Errors
    ///
    /// In the answers: as [`Self::fetch_from`].
    pub(crate) fn invalidate_at(
        &self,
        sharers: NodeSet,
        address: usize,
        patience_ms: u32,
    ) -> core::result::Result<Invalidated, LeftInvalidation> {
        let message = proto::Invalidate {
            space: self.id,
            address: address as u64,
        };
        let answers = match talk::multicast(sharers, &message, is_killable(), patience_ms) {
            Ok(answers) => answers,
            Err(error) => {
                let answers = Err(error);
                return Ok(Invalidated { sharers, answers });
            }
        };
        let places = match answers.outstanding().len() {
            0 => None,
            number => LeftPlaces::find(number),
        };
        match places {
            Some(places) => Err(LeftInvalidation {
                sharers,
                answers,
                _places: places,
            }),
            None => {
                let answers = Ok(answers.wait());
                Ok(Invalidated { sharers, answers })
            }
        }
    }
}
