// SPDX-License-Identifier: GPL-2.0
//! What a hello means for a session.
//!
//! Who connects says its hello first, and the other answers with its own when it has dealt with that. So
//! the one who connects is the last to know; if the answer is lost, it comes again and finds a session
//! that has been begun for it.

use crate::ids::Incarnation;

/// What a side says of itself on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Its life.
    pub own: Incarnation,
    /// The life of the other that it has accepted.
    pub accepted: Option<Incarnation>,
    /// What it has received in the session of the two, by lane; 0 if there is none.
    pub received: [u64; 2],
}

/// What is to be done with a peer that said hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// Accept that life: a session begins, with nothing sent or received.
    Begin,
    /// Go on: send again what comes after these, by lane.
    Resume([u64; 2]),
    /// The peer began another life: the session of the old one is dead. Afterwards, in a life of our own
    /// that is new, the hello can be looked at again.
    Replaced,
    /// The peer has a session with an earlier life of ours. Our own hello tells it so.
    Stale,
    /// That life of the peer was given up: it has to begin another one.
    Refused,
}

/// Looks at what the `peer` says of itself.
///
/// `refused`: the life of the peer that was given up last.
pub fn meet(own: &Greeting, refused: Option<Incarnation>, peer: &Greeting) -> Meeting {
    if refused == Some(peer.own) {
        return Meeting::Refused;
    }
    let knows_us = peer.accepted.is_none_or(|life| life == own.own);
    // Who has accepted nobody has received nothing.
    let is_sane = peer.accepted.is_some() || peer.received == [0; 2];
    match own.accepted {
        None if !knows_us || !is_sane => Meeting::Stale,
        // Received in a session with this life of ours, in which we never sent anything.
        None if peer.received != [0; 2] => Meeting::Stale,
        None => Meeting::Begin,
        Some(life) if life != peer.own => Meeting::Replaced,
        Some(_) if !knows_us || !is_sane => Meeting::Stale,
        Some(_) => Meeting::Resume(peer.received),
    }
}
