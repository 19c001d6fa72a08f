// SPDX-License-Identifier: GPL-2.0
//! One-way messages.

use super::Endpoint;
use crate::link::SendError;

use kernel::prelude::*;

use popcorn_core::deadline::Deadline;
use popcorn_core::ids::Class;
use popcorn_core::ids::NodeId;
use popcorn_kernel::wait::Sleep;

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
