// SPDX-License-Identifier: GPL-2.0
//! A connection: frames in and out of a socket. It belongs to one thread.

mod ahead;
mod batch;
mod receiving;
mod sending;

use super::end::End;
use super::security::Opening;
use crate::dispatch::Fault;
use ahead::Ahead;
use batch::Batch;
use receiving::Reading;

use kernel::error::Error;
use kernel::prelude::*;
use kernel::sync::Arc;

use popcorn_core::membership::view::Said;
use popcorn_core::stream::frame::HEAD_SIZE;
use popcorn_core::stream::hello::Goodbye;
use popcorn_core::stream::Channel;
use popcorn_core::stream::Hello;
use popcorn_core::window::Lane;
use popcorn_core::wire::HEADER_SIZE;
use popcorn_kernel::socket::Options;
use popcorn_kernel::socket::Socket;

/// Bytes before a payload.
const FRONT: usize = HEAD_SIZE + HEADER_SIZE;
/// Between two looks, before the thread is woken by what happens to the socket.
const STEP_MS: u32 = 1;

/// Why a connection is no more.
pub(super) enum Broken {
    /// The network, or the other side closed it, or there is no memory for what comes: another may follow, on which that
    /// comes again.
    Lost(Error),
    /// The peer sent what it must not.
    Fault(&'static str),
}

impl From<Fault> for Broken {
    fn from(Fault(what): Fault) -> Self {
        Broken::Fault(what)
    }
}

/// What has come.
pub(super) enum Body {
    /// A message: its header, unchecked, and its payload; how many bytes of that had been read ahead.
    Message(Lane, [u8; HEADER_SIZE], KVVec<u8>, usize),
    Hello(Hello),
    Beat,
    Goodbye(Goodbye),
    View(KBox<Said>),
}

/// See the module.
pub(super) struct Connection {
    socket: Socket,
    reading: Reading,
    ahead: Ahead,
    /// See [`Connection::carry`].
    is_bulk: bool,
    /// Whether the payload of this message, or of the last one, is long.
    was_long: bool,
    batch: KBox<Batch>,
    /// How often something may yet be sent: with TLS a record or a few.
    sends_left: u64,
    /// See [`Connection::owes`].
    owes: bool,
}

impl Connection {
    /// Frames over `socket`. May sleep.
    pub(super) fn new(socket: Socket, opening: Opening) -> Result<Self> {
        Ok(Self {
            socket,
            reading: Reading::Head,
            ahead: Ahead::new()?,
            is_bulk: false,
            was_long: true,
            batch: KBox::new(Batch::new(), GFP_KERNEL)?,
            sends_left: match opening {
                Opening::Clear => u64::MAX,
                Opening::Key | Opening::X509(_) => sending::SENDS_MAX,
            },
            owes: false,
        })
    }

    /// From now on `end` is signalled when there is something to receive, or room to send. May sleep.
    pub(super) fn wake(&mut self, end: &Arc<End>) {
        self.socket.watch(end.clone());
    }

    /// From now on it is a connection of that channel: on bulk, messages are expected to be long.
    pub(super) fn carry(&mut self, channel: Channel) {
        self.is_bulk = channel == Channel::Bulk;
    }

    /// See [`Socket::set_options`].
    pub(super) fn set_options(&self, options: &Options) -> Result {
        self.socket.set_options(options)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.socket.unwatch();
        self.socket.shut_down();
    }
}
