// SPDX-License-Identifier: GPL-2.0
//! The transport between machines: messages over TCP, two connections to each peer.
//!
//! | part | what |
//! |---|---|
//! | [`setup`] | what an administrator says of a peer |
//! | [`security`] | who it must prove to be |
//! | [`end`], [`queue`] | what is to be sent on a channel, and was not acknowledged |
//! | [`connection`] | frames over a socket |
//! | [`copies`] | what is copied of long payloads |
//! | [`member`] | the thread of a channel: connects, receives, sends; that of the urgent one knows who is a member |
//! | [`listener`] | takes connections that peers make |
//! | [`refusal`] | why it does not take one, for the log |
//!
//! The protocol is `popcorn_core::stream`.
//!
//! Locks: `gate`, a mutex, held by the bulk channel's thread while it hands out what came, and by the other
//! while it ends a session: so that nobody receives from a life that has ended. Nothing is waited for
//! under it but memory. `session`, a leaf; and those of [`end`].

mod connection;
mod copies;
mod end;
pub(crate) mod listener;
mod member;
mod queue;
mod refusal;
pub(crate) mod security;
pub(crate) mod setup;

#[cfg(CONFIG_KUNIT)]
pub(crate) use copies::Copied;
pub(crate) use member::Worker;
pub(crate) use setup::Setup;

use crate::life::new_life;
use crate::link::Link;
use crate::link::SendError;
use crate::transport::Outbound;
use crate::transport::Transport;
use end::Arrival;
use end::End;
use end::Lives;
use queue::Packet;
use queue::Payload;

use kernel::prelude::*;
use kernel::sync::new_mutex;
use kernel::sync::new_spinlock;
use kernel::sync::Arc;
use kernel::sync::Mutex;
use kernel::sync::SpinLock;

use popcorn_core::ids::Class;
use popcorn_core::ids::Incarnation;
use popcorn_core::stream::Channel;

/// Responses with a longer payload than this are bulk: they do not delay others.
const BULK_FROM: usize = 2048;

/// Who talks to whom.
#[derive(Clone, Copy)]
struct Session {
    own: Incarnation,
    /// The peer's life that was accepted: there is a session.
    peer: Option<Incarnation>,
    /// A life of the peer that we do not talk to any more.
    refused: Option<Incarnation>,
}

/// A peer that is reached by TCP.
#[pin_data]
pub(crate) struct Tcp {
    setup: Setup,
    ends: [Arc<End>; 2],
    #[pin]
    session: SpinLock<Session>,
    #[pin]
    gate: Mutex<()>,
}

impl Tcp {
    /// Not connected.
    pub(crate) fn new(setup: Setup) -> Result<Arc<Self>> {
        let ends = [End::new()?, End::new()?];
        let session = Session {
            own: new_life(),
            peer: None,
            refused: None,
        };
        Arc::pin_init(
            pin_init!(Self {
                setup,
                ends,
                session <- new_spinlock!(session, "popcorn_msg::Tcp::session"),
                gate <- new_mutex!((), "popcorn_msg::Tcp::gate"),
            }),
            GFP_KERNEL,
        )
    }

    pub(crate) fn setup(&self) -> &Setup {
        &self.setup
    }

    fn end(&self, channel: Channel) -> &Arc<End> {
        &self.ends[channel.index()]
    }

    fn session(&self) -> Session {
        *self.session.lock()
    }

    fn lives(&self) -> Option<Lives> {
        let Session { own, peer, .. } = self.session();
        Some(Lives { own, peer: peer? })
    }

    /// Hands over a connection that the peer has made.
    fn arrive(&self, arrival: Arrival) {
        self.end(arrival.hello.channel).arrive(arrival);
    }
}

impl Transport for Tcp {
    fn send(&self, link: &Link, message: &Outbound<'_>) -> core::result::Result<(), SendError> {
        let is_bulk =
            message.is_bulk || message.class == Class::Response && message.length > BULK_FROM;
        let channel = if is_bulk {
            Channel::Bulk
        } else {
            Channel::Urgent
        };
        let flags = if message.may_sleep {
            GFP_KERNEL
        } else {
            GFP_NOWAIT
        };
        // Number and life are set when they are known.
        let header = message.header(link, 0, self.session().own);
        let end = self.end(channel);
        let build = || {
            // For want of memory it waits as it does for want of room.
            let payload = Payload::new(message.parts, message.length, message.may_sleep)
                .map_err(|_| SendError::Full)?;
            end.copies().sent(payload.len(), payload.kept());
            Ok(Packet { header, payload })
        };
        end.push(message.lane(), message.meant, build, flags)
    }

    fn has_room_for_response(&self) -> bool {
        self.ends.iter().all(|end| end.has_room_for_response())
    }

    fn has_room_for_bulk(&self, _length: usize) -> bool {
        // It has a channel of its own.
        true
    }

    fn shares_memory(&self) -> bool {
        false
    }

    fn kick(&self) {
        self.ends.iter().for_each(|end| end.signal());
    }

    fn set_polling(&self, link: &Link, polling: bool) -> bool {
        // The threads do it: the connections are theirs.
        let is_online = link.is_online();
        for end in &self.ends {
            end.set_polled(polling && is_online);
        }
        is_online
    }

    fn poll(&self, _link: &Arc<Link>) -> usize {
        0
    }

    #[cfg(CONFIG_KUNIT)]
    fn copied(&self, channel: Channel) -> Copied {
        self.end(channel).copies().get()
    }
}
