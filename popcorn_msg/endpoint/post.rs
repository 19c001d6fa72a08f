// SPDX-License-Identifier: GPL-2.0
//! One-way messages.

use super::Endpoint;
use crate::link::SendError;

use kernel::prelude::*;

use core::sync::atomic::Ordering;
use popcorn_core::deadline::Deadline;
use popcorn_core::ids::Class;
use popcorn_core::ids::NodeId;
use popcorn_kernel::err_ratelimited;
use popcorn_kernel::errno;
use popcorn_kernel::time;
use popcorn_kernel::wait::Sleep;

/// So long a peer may take no message of who cannot wait for ever, while it is there...
const LAST_WAIT_S: u32 = 60;
/// ...which is looked at so often.
const LAST_LOOK_MS: u32 = 1000;

impl Endpoint {
    /// Sends a one-way message. Sleeps, killable, while the peer's ring is full.
    ///
    /// # Errors
    ///
    /// `ENODEV`: no such node. `EHOSTDOWN`: it is not online. `EPROTO`: it is of another build.
    /// `EMSGSIZE`: too long. `EINVAL`: too many parts. `EINTR`.
    pub(crate) fn post(&self, node: NodeId, kind: u16, parts: &[&[u8]]) -> Result {
        let (link, session) = self.online_link(node)?;
        link.send_request(
            session,
            kind,
            Class::OneWay,
            0,
            parts,
            Sleep::Killable,
            Deadline::NONE,
        )
    }

    /// [`Endpoint::post`] for the last that a thread has to say: no signal ends it. A peer that is heard all the time and
    /// has no room for a minute is dropped, for it would keep whatever ends here. May sleep.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::post`], but never `EINTR`.
    pub(crate) fn post_last(&self, node: NodeId, kind: u16, parts: &[&[u8]]) -> Result {
        let (link, session) = self.online_link(node)?;
        let mut waited_s = 0;
        loop {
            let sent = link.send_request(
                session,
                kind,
                Class::OneWay,
                0,
                parts,
                Sleep::Idle,
                Deadline::after(LAST_LOOK_MS, time::now_ns),
            );
            match sent {
                Err(error) if error == errno::timed_out() => {}
                sent => return sent,
            }
            // Of one that is not heard the machines decide.
            let is_there = !link.missing.load(Ordering::Acquire) && self.serves(node);
            waited_s += u32::from(is_there);
            if waited_s >= LAST_WAIT_S && link.online() == Ok(session) {
                if link.fault() {
                    err_ratelimited!(
                        "node {} is dropped: it took no message for {} s\n",
                        node,
                        LAST_WAIT_S
                    );
                }
                link.kick();
                return Err(errno::host_down());
            }
        }
    }

    /// Sends a one-way message without ever sleeping. Not in interrupt context.
    ///
    /// # Errors
    ///
    /// `EAGAIN`: the ring is full now. Else as [`Endpoint::post`].
    pub(crate) fn try_post(&self, node: NodeId, kind: u16, parts: &[&[u8]]) -> Result {
        let (link, session) = self.online_link(node)?;
        match link.try_send_request(session, kind, Class::OneWay, 0, parts, false) {
            Ok(()) => Ok(()),
            Err(SendError::Full) => {
                link.statistics().full(kind);
                Err(EAGAIN)
            }
            Err(SendError::Failed(error)) => Err(error),
        }
    }

    /// [`Endpoint::try_post`] for who sends much and can wait: leaves room in the ring for others.
    ///
    /// # Errors
    ///
    /// `EAGAIN`: the ring is too full now. Else as [`Endpoint::post`].
    pub(crate) fn try_post_bulk(&self, node: NodeId, kind: u16, parts: &[&[u8]]) -> Result {
        let length = parts.iter().map(|part| part.len()).sum();
        let (link, session) = self.online_link(node)?;
        if !link.has_room_for_bulk(length) {
            return Err(EAGAIN);
        }
        match link.try_send_bulk(session, kind, parts) {
            Ok(()) => Ok(()),
            Err(SendError::Full) => {
                link.statistics().full(kind);
                Err(EAGAIN)
            }
            Err(SendError::Failed(error)) => Err(error),
        }
    }
}
