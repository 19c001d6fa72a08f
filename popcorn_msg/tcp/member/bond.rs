// SPDX-License-Identifier: GPL-2.0
//! How the urgent channel's thread follows the list of members: when a session's peer is online, missing, dead.
//!
//! Without an agreement (tests of the transport) a peer is online as soon as there is a session, and dead after
//! silence. With one it is online when both are in one list. When it is silent, it is missing: its connections are
//! made anew, and the session, with all that was to be sent, goes on when it is heard again, or ends when the
//! machines have decided that it is no member any more.

use super::Worker;
use crate::dispatch::Fault;
use crate::life;
use crate::life::TICK_MS;
use crate::link::LinkState;
use crate::members::Members;

use kernel::sync::Arc;

use core::sync::atomic::Ordering;
use popcorn_core::ids::Incarnation;
use popcorn_core::membership::machine::Bond;
use popcorn_core::membership::view::BadView;
use popcorn_core::membership::view::Said;
use popcorn_core::stream::hello::Reason;
use popcorn_core::stream::Channel;
use popcorn_kernel::info_ratelimited;
use popcorn_kernel::time;
use popcorn_kernel::warn_ratelimited;

/// What is known in a session of the peer's machine.
#[derive(Default)]
pub(super) struct Acquaintance {
    /// This machine's life when the session began; `None`: there is no agreement.
    own: Option<Incarnation>,
    /// The life that the peer's says it has.
    peer: Option<Incarnation>,
    /// The services were told that it is online.
    pub(super) is_online: bool,
    /// It has not been heard for long, and nobody knows what that means.
    is_missing: bool,
}

/// Times in a tick that the peer is told of what this machine stands to, beside the heartbeat: an agreement takes
/// three of them, and one who never comes to an end does not make this machine talk without end.
const NEWS_MAX: u32 = 4;

/// What the peer has been told.
#[derive(Default)]
pub(super) struct News {
    /// [`Members::stances`] then.
    told: u64,
    /// How often in this tick.
    number: u32,
}

/// What to do about a peer that is silent.
pub(super) enum Silence {
    /// It counts as dead.
    Ends,
    /// The members decide.
    Waits,
}

impl Worker {
    fn members(&self) -> &Arc<Members> {
        self.link.core().members()
    }

    /// Whether machines agree on who is there.
    pub(super) fn agrees(&self) -> bool {
        self.link.core().settings().agrees
    }

    /// A session has begun.
    pub(super) fn acquaint(&mut self) {
        self.acquaintance = Acquaintance::default();
        if !self.agrees() {
            self.go_online();
            return;
        }
        self.acquaintance.own = Some(self.members().life());
        self.link.met.store(true, Ordering::Release);
        if self.link.state() == LinkState::Mismatch {
            self.link.set_state(LinkState::Offline);
        }
    }

    fn go_online(&mut self) {
        let Some(lives) = self.lives else {
            return;
        };
        self.acquaintance.is_online = true;
        life::begin(&self.link, lives.peer);
        self.link.core().online().wake_all();
        // Requests may have come to the other channel.
        self.tcp.end(Channel::Bulk).signal();
    }

    /// What to say in a heartbeat, beyond that this node lives.
    pub(super) fn says(&self) -> Option<Said> {
        let own = self.acquaintance.own.filter(|_| self.is_urgent())?;
        self.members().says(self.link.peer(), own)
    }

    /// A tick begins, in which the peer is told all that there is.
    pub(super) fn begin_telling(&mut self) {
        self.news = News {
            told: self.members().stances(),
            number: 0,
        };
    }

    /// Whether this machine stands to something that the peer is to be told before the next tick.
    pub(super) fn has_news(&mut self) -> bool {
        if self.acquaintance.own.is_none() || self.news.number >= NEWS_MAX {
            return false;
        }
        let now = self.members().stances();
        let has_news = now != core::mem::replace(&mut self.news.told, now);
        self.news.number += u32::from(has_news);
        has_news
    }

    /// The peer's machine says this.
    pub(super) fn hear(&mut self, said: &Said) -> core::result::Result<(), Fault> {
        if self.acquaintance.own.is_none() {
            return Ok(());
        }
        let known = self.acquaintance.peer.replace(said.life);
        if known.is_some_and(|known| known != said.life) {
            // It has begun anew, and so will the session.
            self.give_up(Reason::Refused);
            return Ok(());
        }
        self.members()
            .heard(self.link.peer(), said)
            .map_err(|BadView| Fault("it has a list of members that cannot be"))?;
        self.consider(false);
        Ok(())
    }

    /// Looks how the two stand; `is_addressed`: the peer has sent a message, so it counts on this node.
    pub(super) fn consider(&mut self, is_addressed: bool) {
        let Acquaintance {
            own,
            peer,
            is_online,
            ..
        } = self.acquaintance;
        let Some(own) = own.filter(|_| self.lives.is_some()) else {
            return;
        };
        match self.members().bond(self.link.peer(), peer, own) {
            Bond::Member { is_mutual }
                if !is_online && (is_mutual || is_addressed) && life::is_told(&self.link) =>
            {
                self.go_online();
            }
            Bond::Over => self.give_up(Reason::Refused),
            Bond::Stranger if is_online => self.give_up(Reason::Refused),
            // Who has left says goodbye.
            Bond::Member { .. } | Bond::Stranger | Bond::Left => {}
        }
    }

    /// Whether the peer's machine has left the others in order, or this one leaves.
    pub(super) fn has_left(&self) -> bool {
        let Acquaintance { own, peer, .. } = self.acquaintance;
        own.is_some_and(|own| self.members().bond(self.link.peer(), peer, own) == Bond::Left)
    }

    /// Whether the session is about to end, whatever the peer says.
    pub(super) fn is_decided(&self) -> bool {
        let Acquaintance {
            own,
            peer,
            is_online,
            ..
        } = self.acquaintance;
        let bond = own
            .filter(|_| is_online)
            .map(|own| self.members().bond(self.link.peer(), peer, own));
        matches!(bond, Some(Bond::Over | Bond::Stranger))
    }

    /// Somebody knows that the peer is dead.
    pub(super) fn is_surely_dead(&self) {
        if let Some(life) = self.acquaintance.peer {
            self.members().surely_dead(self.link.peer(), life);
        }
    }

    /// The session is over: it is forgotten.
    pub(super) fn part_from_machine(&mut self) {
        self.link.met.store(false, Ordering::Release);
        self.link.missing.store(false, Ordering::Release);
        let was = core::mem::take(&mut self.acquaintance);
        if was.own.is_some() {
            self.members().disconnected(self.link.peer());
        }
    }

    /// The peer is silent for longer than it may be.
    pub(super) fn fall_silent(&mut self) -> Silence {
        let Acquaintance {
            own,
            peer,
            is_online,
            ..
        } = self.acquaintance;
        let Some(own) = own.filter(|_| is_online) else {
            return Silence::Ends;
        };
        let bond = self.members().bond(self.link.peer(), peer, own);
        if !matches!(bond, Bond::Member { .. }) {
            return Silence::Ends;
        }
        if !self.acquaintance.is_missing {
            self.acquaintance.is_missing = true;
            self.link.missing.store(true, Ordering::Release);
            warn_ratelimited!(
                "node {} is missing: no heartbeat for {} ms\n",
                self.link.peer(),
                u64::from(self.missed) * TICK_MS
            );
        }
        self.drop_silent();
        Silence::Waits
    }

    /// The network may have forgotten this connection; another is made at once.
    pub(super) fn drop_silent(&mut self) {
        if self.connection.take().is_some() {
            self.next_dial_ms = time::now_ms();
        }
    }

    /// Something came.
    pub(super) fn is_heard(&mut self) {
        self.missed = 0;
        self.end().count_heard();
        if self.acquaintance.is_missing {
            self.acquaintance.is_missing = false;
            self.link.missing.store(false, Ordering::Release);
            info_ratelimited!("node {} is heard again\n", self.link.peer());
        }
    }
}
