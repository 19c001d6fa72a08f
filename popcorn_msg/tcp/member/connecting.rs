// SPDX-License-Identifier: GPL-2.0
//! Connections: the thread makes one, or takes one that the peer has made, and the two say hello.
//!
//! What both say of the lives that they know decides whether a session begins, goes on, or is over
//! (`popcorn_core::stream::meeting`).

use super::session::farewell;
use super::Worker;
use crate::life::TICK_MS;
use crate::link::LinkState;
use crate::service::NodeEvent;
use crate::tcp::connection::Body;
use crate::tcp::connection::Broken;
use crate::tcp::connection::Connection;
use crate::tcp::end::Arrival;
use crate::tcp::security::HANDSHAKE_MS;
use crate::tcp::setup;
use crate::tcp::Session;

use kernel::error::Error;
use kernel::prelude::*;

use popcorn_core::ids::Incarnation;
use popcorn_core::stream::attempts;
use popcorn_core::stream::hello::Checked;
use popcorn_core::stream::hello::Mismatch;
use popcorn_core::stream::hello::Reason;
use popcorn_core::stream::meeting::meet;
use popcorn_core::stream::meeting::Greeting;
use popcorn_core::stream::meeting::Meeting;
use popcorn_core::stream::Hello;
use popcorn_core::window::Introduction;
use popcorn_kernel::err_ratelimited;
use popcorn_kernel::errno;
use popcorn_kernel::kthread::should_stop;
use popcorn_kernel::socket::Socket;
use popcorn_kernel::time;
use popcorn_kernel::warn_ratelimited;

/// For a connection to be made, and for the other side's hello.
const CONNECT_MS: u32 = 1000;
const HELLO_MS: u64 = 2000;
/// The longest attempt: connecting, proving who one is, a hello each way.
pub(super) const ATTEMPT_MAX_MS: u64 = CONNECT_MS as u64 + HANDSHAKE_MS as u64 + 2 * HELLO_MS;
/// Between two attempts to connect: from, to.
pub(super) const RETRY_MS: (u64, u64) = (100, 1000);

impl Worker {
    fn introduction(&self, own: Incarnation) -> Introduction {
        self.link.introduce(own)
    }

    /// What this side says of itself on this channel.
    fn greeting(&self, session: &Session) -> Greeting {
        // That of the bulk channel may not have followed yet.
        let is_of_session = self
            .lives
            .is_some_and(|lives| lives.own == session.own && Some(lives.peer) == session.peer);
        Greeting {
            own: session.own,
            accepted: session.peer,
            received: if is_of_session {
                self.incoming.map(|lane| lane.received())
            } else {
                [0; 2]
            },
        }
    }

    fn hello(&self, session: &Session, attempt: u64) -> Hello {
        let checked = Checked {
            channel: self.channel,
            attempt,
            greeting: self.greeting(session),
            introduction: self.introduction(session.own),
        };
        Hello::of(&checked, self.link.peer())
    }

    /// Connects, if this side is the one to do so, and there is something to connect for.
    pub(super) fn dial(&mut self) {
        let Some(address) = self.tcp.setup().target() else {
            return;
        };
        if !self.is_urgent() && self.lives.is_none() {
            return;
        }
        let should_end = || should_stop() || self.is_decided();
        let connected = Socket::connect(&address, CONNECT_MS, should_end).and_then(|socket| {
            let security = &self.tcp.setup().security;
            let shown = security
                .connected(&socket, should_end)
                .inspect_err(|error| self.not_secure(*error))?;
            security.check(shown.as_ref()).map_err(|what| {
                self.not_meant(what);
                EACCES
            })?;
            let mut connection = Connection::new(socket, security.opening())?;
            connection.carry(self.channel);
            connection.set_options(&setup::options(self.channel))?;
            Ok(connection)
        });
        let met = connected.and_then(|connection| self.call(connection));
        if met.is_err() {
            self.next_dial_ms = time::now_ms() + self.retry_ms;
            self.retry_ms = (2 * self.retry_ms).min(RETRY_MS.1);
        } else {
            self.retry_ms = RETRY_MS.0;
        }
    }

    /// Somebody is there, but one side does not prove to the other who it is.
    fn not_secure(&self, error: Error) {
        if error == errno::canceled() {
            return;
        }
        warn_ratelimited!(
            "node {}: no secure connection ({:?}); does tlshd run on both sides, with the same key or authority?\n",
            self.link.peer(),
            error
        );
    }

    /// Somebody is there, and proves who it is, but is another.
    fn not_meant(&self, what: &str) {
        warn_ratelimited!(
            "node {}: no secure connection: {}\n",
            self.link.peer(),
            what
        );
    }

    /// Says hello and hears the other's.
    fn call(&mut self, mut connection: Connection) -> Result {
        let session = self.tcp.session();
        self.attempt = attempts::next(self.attempt, time::wall_clock_ns());
        connection.say_hello(&self.hello(&session, self.attempt), HELLO_MS)?;
        let body = connection.hear(HELLO_MS, || !should_stop() && !self.is_decided());
        let hello = match body {
            Ok(Body::Hello(hello)) => hello,
            Ok(Body::Goodbye(goodbye)) => {
                self.heard_goodbye(&goodbye);
                return Err(errno::connection_refused());
            }
            Ok(_) => return Err(EINVAL),
            Err(Broken::Lost(error)) => return Err(error),
            Err(Broken::Fault(_)) => return Err(EINVAL),
        };
        let core = self.link.core();
        let checked = match hello.check(self.link.own(), core.protocol()) {
            Ok(checked) if checked.introduction.node == self.link.peer() => checked,
            Ok(checked) => {
                let other = u32::from(checked.introduction.node.get());
                self.report(Mismatch::Node(other));
                return Err(EINVAL);
            }
            Err(mismatch) => {
                self.report(mismatch);
                return Err(EINVAL);
            }
        };
        if checked.channel != self.channel {
            return Err(EINVAL);
        }
        match self.meet(&checked) {
            Meeting::Begin if self.is_urgent() => self.up(&checked)?,
            Meeting::Resume(_) => self.resume(&checked.greeting)?,
            Meeting::Replaced if self.is_urgent() => {
                self.down(NodeEvent::Dead);
                return Err(EAGAIN);
            }
            Meeting::Refused => {
                let goodbye = farewell(Reason::Refused);
                connection.say_goodbye(&goodbye, [0; 2]).ok();
                return Err(EAGAIN);
            }
            _ => return Err(EAGAIN),
        }
        self.connected(connection)
    }

    /// The peer has connected and said hello.
    pub(super) fn arrived(&mut self, arrival: Arrival) {
        let Arrival {
            mut connection,
            hello,
        } = arrival;
        if !self.attempts.is_latest(hello.attempt, time::now_ms()) {
            warn_ratelimited!(
                "node {}: a connection is refused that is older than the one before\n",
                self.link.peer()
            );
            return;
        }
        connection.carry(self.channel);
        let mut meeting = self.meet(&hello);
        if meeting == Meeting::Replaced && self.is_urgent() {
            self.down(NodeEvent::Dead);
            meeting = self.meet(&hello);
        }
        let met = match meeting {
            Meeting::Begin if self.is_urgent() => self.up(&hello),
            Meeting::Resume(_) => {
                // So that nothing more is received than what is said below.
                self.connection = None;
                self.resume(&hello.greeting)
            }
            // It sees by our hello that the life it knows is over.
            Meeting::Stale if self.is_urgent() => {
                let hello = self.hello(&self.tcp.session(), 0);
                connection.say_hello(&hello, HELLO_MS).ok();
                return;
            }
            Meeting::Refused => {
                let goodbye = farewell(Reason::Refused);
                connection.say_goodbye(&goodbye, [0; 2]).ok();
                return;
            }
            _ => return,
        };
        let answered = met.and_then(|()| {
            let hello = self.hello(&self.tcp.session(), 0);
            connection.say_hello(&hello, HELLO_MS)?;
            self.connected(connection)
        });
        // If it did not hear us it will come again.
        answered.ok();
    }

    fn connected(&mut self, mut connection: Connection) -> Result {
        connection.wake(self.end());
        self.missed = 0;
        self.connection = Some(connection);
        Ok(())
    }

    fn meet(&self, hello: &Checked) -> Meeting {
        let session = self.tcp.session();
        meet(&self.greeting(&session), session.refused, &hello.greeting)
    }

    /// The session that the peer means goes on. For that of the bulk channel it may have ended meanwhile, and
    /// another begun: what the peer says is not of that one.
    fn resume(&mut self, peer: &Greeting) -> Result {
        let statistics = self.link.statistics();
        match self.end().rewind(peer, |kind| statistics.retry(kind)) {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) => {
                self.fault("it claims to have received what was not sent");
                Err(EINVAL)
            }
            None => Err(EAGAIN),
        }
    }

    /// A hello that is not of a node that we can talk to.
    fn report(&mut self, mismatch: Mismatch) {
        if self.lives.is_none() {
            self.link.set_state(LinkState::Mismatch);
        }
        if self.reported != Some(mismatch) {
            self.reported = Some(mismatch);
            err_ratelimited!(
                "node {} does not match this one ({:x?}): it stays offline; load modules of the same build on both\n",
                self.link.peer(),
                mismatch
            );
        }
    }

    /// An attempt to connect took that long: the peer was not heard meanwhile, either.
    pub(super) fn waited(&mut self, time_ms: u64) {
        if self.connection.is_none() {
            // What is longer was a machine that stood still.
            let time_ms = time_ms.min(ATTEMPT_MAX_MS);
            self.missed = self.missed.saturating_add((time_ms / TICK_MS) as u32);
        }
    }

    /// The connection is gone; the session is not.
    pub(super) fn lost(&mut self, error: Error) {
        self.connection = None;
        if error == errno::stale() {
            // Its keys were used for long enough.
            self.next_dial_ms = time::now_ms();
            return;
        }
        if self.lives.is_some() && self.is_urgent() {
            warn_ratelimited!(
                "node {}: the connection is lost ({:?}); looking for another\n",
                self.link.peer(),
                error
            );
        }
        self.next_dial_ms = time::now_ms() + RETRY_MS.0;
    }
}
