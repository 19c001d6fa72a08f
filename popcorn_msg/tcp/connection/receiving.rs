// SPDX-License-Identifier: GPL-2.0
//! Frames out of the socket.

use super::ahead::AHEAD;
use super::Body;
use super::Broken;
use super::Connection;
use super::FRONT;
use super::STEP_MS;
use crate::dispatch::Fault;
use crate::tcp::copies::LONG;

use kernel::prelude::*;

use popcorn_core::membership::view::Said;
use popcorn_core::stream::frame::HEAD_SIZE;
use popcorn_core::stream::hello::Beat;
use popcorn_core::stream::hello::Goodbye;
use popcorn_core::stream::Frame;
use popcorn_core::stream::Head;
use popcorn_core::stream::Hello;
use popcorn_core::window::Lane;
use popcorn_core::wire::Wire;
use popcorn_core::wire::WireError;
use popcorn_core::wire::HEADER_SIZE;
use popcorn_kernel::bytes::zeroed;
use popcorn_kernel::errno;
use popcorn_kernel::time;

/// Where in a frame the reader is.
pub(super) enum Reading {
    Head,
    /// Behind the head of a frame that is no message.
    Small(Head),
    /// Behind the head of a message.
    Header(Head, Lane),
    /// In its payload: so many bytes of it are there.
    Payload {
        head: Head,
        lane: Lane,
        header: [u8; HEADER_SIZE],
        payload: KVVec<u8>,
        have: usize,
        /// Of them, so many were read ahead.
        read_ahead: usize,
    },
}

/// What a peer says of the members. Without memory for that it is a heartbeat like any other.
fn view(bytes: &[u8]) -> Option<Body> {
    let said = Said::decode(bytes).ok()?;
    Some(KBox::new(said, GFP_KERNEL).map_or(Body::Beat, Body::View))
}

impl Connection {
    /// The next frame, if it is there. Does not wait.
    pub(in crate::tcp) fn next(&mut self) -> core::result::Result<Option<(Head, Body)>, Broken> {
        loop {
            if let Some(frame) = self.parse()? {
                return Ok(Some(frame));
            }
            match self.receive() {
                Ok(0) => return Err(Broken::Lost(errno::connection_reset())),
                Ok(_) => {}
                Err(error) if error == EAGAIN => return Ok(None),
                Err(error) => return Err(Broken::Lost(error)),
            }
        }
    }

    /// How many bytes may be read ahead, once all that are there were looked at.
    ///
    /// In general as many as there are: with small messages a call of the socket costs more than a copy. But on the bulk
    /// channel a long message is followed by another: there nothing of its payload is read before it has a place. The
    /// first short one after a long one costs a call more for that, and what long ones after a short one were read
    /// ahead a copy.
    fn most_ahead(&self) -> usize {
        if !(self.is_bulk && self.was_long) {
            return AHEAD;
        }
        match &self.reading {
            Reading::Head | Reading::Payload { .. } => FRONT,
            Reading::Small(head) => head.length as usize,
            Reading::Header(..) => HEADER_SIZE,
        }
    }

    /// Reads more: a long payload to its place, and what follows it in the same call; all else ahead.
    fn receive(&mut self) -> Result<usize> {
        let most = self.most_ahead();
        if let Reading::Payload { payload, have, .. } = &mut self.reading {
            if payload.len() >= LONG && self.ahead.len() == 0 {
                let room = payload.get_mut(*have..).unwrap_or(&mut []);
                let left = room.len();
                let number = self.socket.receive_both_now(room, self.ahead.room(most))?;
                let placed = number.min(left);
                *have += placed;
                self.ahead.add(number - placed);
                return Ok(number);
            }
        }
        self.ahead.fill(&self.socket, most)
    }

    fn parse(&mut self) -> core::result::Result<Option<(Head, Body)>, Broken> {
        loop {
            match &mut self.reading {
                Reading::Head => {
                    let Some(bytes) = self.ahead.take::<HEAD_SIZE>() else {
                        return Ok(None);
                    };
                    let head = Head::decode(&bytes).map_err(|_| Fault("a frame is malformed"))?;
                    self.reading = match head.frame {
                        Frame::Message(lane) => Reading::Header(head, lane),
                        _ => Reading::Small(head),
                    };
                }
                Reading::Small(head) => {
                    let head = *head;
                    let body = match head.frame {
                        Frame::Hello => self
                            .ahead
                            .take_all(head.length as usize)
                            .map(|bytes| Hello::read(bytes).map(Body::Hello)),
                        Frame::Beat => self
                            .ahead
                            .take::<{ Beat::SIZE }>()
                            .map(|bytes| Beat::decode(&bytes).map(|_| Body::Beat)),
                        Frame::View => self
                            .ahead
                            .take_all(head.length as usize)
                            .map(|bytes| view(bytes).ok_or(WireError::Field("view"))),
                        _ => self
                            .ahead
                            .take::<{ Goodbye::SIZE }>()
                            .map(|bytes| Goodbye::decode(&bytes).map(Body::Goodbye)),
                    };
                    let Some(body) = body else {
                        return Ok(None);
                    };
                    let body = body.map_err(|_| Fault("a frame is malformed"))?;
                    self.reading = Reading::Head;
                    return Ok(Some((head, body)));
                }
                Reading::Header(head, lane) => {
                    let Some(header) = self.ahead.take::<HEADER_SIZE>() else {
                        return Ok(None);
                    };
                    let length = (head.length as usize).saturating_sub(HEADER_SIZE);
                    self.was_long = length >= LONG;
                    let payload = zeroed(length).map_err(|_| Broken::Lost(ENOMEM))?;
                    self.reading = Reading::Payload {
                        head: *head,
                        lane: *lane,
                        header,
                        payload,
                        have: 0,
                        read_ahead: 0,
                    };
                }
                Reading::Payload {
                    head,
                    payload,
                    have,
                    read_ahead,
                    ..
                } => {
                    let length = (head.length as usize).saturating_sub(HEADER_SIZE);
                    let number = self.ahead.take_some(&mut payload[*have..]);
                    *have += number;
                    *read_ahead += number;
                    if *have < length {
                        return Ok(None);
                    }
                    let whole = core::mem::replace(&mut self.reading, Reading::Head);
                    if let Reading::Payload {
                        head,
                        lane,
                        header,
                        payload,
                        read_ahead,
                        ..
                    } = whole
                    {
                        let body = Body::Message(lane, header, payload, read_ahead);
                        return Ok(Some((head, body)));
                    }
                }
            }
        }
    }

    /// Waits for the first frame of the other side, while `goes_on`. May sleep.
    pub(in crate::tcp) fn hear(
        &mut self,
        timeout_ms: u64,
        goes_on: impl Fn() -> bool,
    ) -> core::result::Result<Body, Broken> {
        let until = time::now_ms() + timeout_ms;
        loop {
            if let Some((_, body)) = self.next()? {
                return Ok(body);
            }
            if time::now_ms() >= until || !goes_on() {
                return Err(Broken::Lost(errno::timed_out()));
            }
            time::sleep_ms(STEP_MS);
        }
    }
}
