// SPDX-License-Identifier: GPL-2.0
//! Messages and all else that comes and goes on a connection while there is a session.

use super::Worker;
use crate::dispatch;
use crate::dispatch::takes_requests;
use crate::dispatch::Fault;
use crate::tcp::connection::Body;
use crate::tcp::connection::Broken;
use crate::tcp::connection::Connection;

use popcorn_core::stream::frame::lane_index;
use popcorn_core::stream::Head;
use popcorn_core::window::Lane;
use popcorn_core::wire::HEADER_SIZE;

/// Frames that are received in one go.
const BUDGET: usize = 64;
/// An acknowledgement is not put off for longer than so many messages of a lane, or so many bytes.
const UNSAID_MESSAGES: u64 = 64;
const UNSAID_BYTES: usize = 128 << 10;

impl Worker {
    /// Receives, takes and sends what there is; whether there was something.
    pub(super) fn serve(&mut self) -> bool {
        let mut worked = false;
        {
            let tcp = self.tcp.clone();
            // The other thread may end the session, but not while messages of it are handed out.
            let _gate = (!self.is_urgent()).then(|| tcp.gate.lock());
            if self.lives.is_none() || self.lives != self.tcp.lives() {
                return false;
            }
            worked |= self.receive();
            worked |= self.take();
        }
        worked | self.send()
    }

    fn receive(&mut self) -> bool {
        for number in 0..BUDGET {
            let Some(connection) = &mut self.connection else {
                return number != 0;
            };
            match connection.next() {
                Ok(None) => return number != 0,
                Ok(Some((head, body))) => {
                    self.is_heard();
                    if let Err(Fault(what)) = self.handle(&head, body) {
                        self.fault(what);
                        return true;
                    }
                }
                Err(Broken::Lost(error)) => {
                    self.lost(error);
                    return true;
                }
                Err(Broken::Fault(what)) => {
                    self.fault(what);
                    return true;
                }
            }
        }
        true
    }

    fn handle(&mut self, head: &Head, body: Body) -> core::result::Result<(), Fault> {
        let Some(lives) = self.lives else {
            return Ok(());
        };
        self.end()
            .acknowledge(head.acknowledged)
            .map_err(|_| Fault("it acknowledges what was not sent"))?;
        match body {
            Body::Beat => Ok(()),
            Body::View(_) if !self.is_urgent() => {
                Err(Fault("it says who is a member in the wrong place"))
            }
            Body::View(said) => self.hear(&said),
            Body::Hello(_) => Err(Fault("it says hello twice")),
            Body::Goodbye(goodbye) => {
                self.heard_goodbye(&goodbye);
                Ok(())
            }
            Body::Message(lane, bytes, payload, read_ahead) => {
                if self.is_urgent() && !self.acquaintance.is_online {
                    self.consider(true);
                    if self.lives != Some(lives) {
                        return Ok(());
                    }
                }
                let length = head.length as usize;
                let incoming = &mut self.incoming[lane_index(lane)];
                let next = incoming.received();
                let header = dispatch::check(&self.link, &bytes, lane, lives.peer, next, length)?;
                incoming
                    .receive(header.sequence, length)
                    .map_err(|_| Fault("it sends more than there is room for"))?;
                dispatch::counted(&self.link, &header);
                let end = self.tcp.end(self.channel);
                end.copies().received(header.length as usize, read_ahead);
                self.unsaid_bytes += length;
                if lane == Lane::Responses {
                    incoming.take(length);
                    dispatch::response(&self.link, &header, payload);
                } else {
                    self.lying.push(header, payload);
                }
                Ok(())
            }
        }
    }

    /// Takes requests, while they may be: of a node that is online, so that the services have heard of it, and
    /// will hear of its end.
    fn take(&mut self) -> bool {
        let mut number = 0;
        while number < BUDGET && self.link.is_online() && takes_requests(&self.link) {
            let Some((header, payload)) = self.lying.pop() else {
                break;
            };
            let length = HEADER_SIZE + header.length as usize;
            self.incoming[lane_index(Lane::Requests)].take(length);
            if let Err(Fault(what)) = dispatch::request(&self.link, header, payload) {
                self.fault(what);
                return true;
            }
            number += 1;
        }
        number == BUDGET
    }

    fn send(&mut self) -> bool {
        if self.connection.as_ref().is_some_and(Connection::owes) {
            self.beat();
        }
        let acknowledged = self.acknowledged();
        let end = self.end().clone();
        let Some(connection) = &mut self.connection else {
            return false;
        };
        let unsaid = acknowledged
            .iter()
            .zip(&self.said)
            .any(|(now, said)| now - said >= UNSAID_MESSAGES);
        if (unsaid || self.unsaid_bytes >= UNSAID_BYTES)
            && connection.beat(acknowledged, self.beats)
        {
            self.said = acknowledged;
            self.unsaid_bytes = 0;
        }
        match connection.send(&end, acknowledged) {
            Ok(sent) => sent,
            Err(Broken::Lost(error)) => {
                self.lost(error);
                true
            }
            Err(Broken::Fault(what)) => {
                self.fault(what);
                true
            }
        }
    }
}
