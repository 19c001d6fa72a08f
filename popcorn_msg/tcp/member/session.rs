// SPDX-License-Identifier: GPL-2.0
//! Sessions: the urgent channel's thread alone begins and ends them; that of the bulk channel reports faults.

use super::Worker;
use crate::life;
use crate::life::new_life;
use crate::service::NodeEvent;
use crate::tcp::end::Lives;

use kernel::prelude::*;

use core::sync::atomic::Ordering;
use popcorn_core::stream::hello::Checked;
use popcorn_core::stream::hello::Goodbye;
use popcorn_core::stream::hello::Reason;
use popcorn_core::stream::Channel;
use popcorn_kernel::err_ratelimited;
use popcorn_kernel::time;

/// For what was sent to be acknowledged when this side leaves.
const DRAIN_MS: u64 = 1000;

impl Worker {
    /// Both have accepted each other.
    pub(super) fn up(&mut self, hello: &Checked) -> Result {
        if !life::may_begin(&self.link) {
            // It comes again.
            return Err(EAGAIN);
        }
        let peer = hello.greeting.own;
        let lives = Lives {
            own: self.tcp.session().own,
            peer,
        };
        let session = self.link.begin_session();
        for channel in Channel::ALL {
            if let Err(error) = self.tcp.end(channel).open(lives, session) {
                self.down(NodeEvent::Dead);
                return Err(error);
            }
        }
        self.reported = None;
        self.link.set_introduction(hello.introduction);
        self.begin(Some(lives));
        self.tcp.session.lock().peer = Some(peer);
        self.acquaint();
        self.tcp.end(Channel::Bulk).signal();
        Ok(())
    }

    /// That life of the peer counts as dead from here on, whatever it still says; another is welcome.
    pub(super) fn give_up(&mut self, reason: Reason) {
        let acknowledged = self.acknowledged();
        if let Some(mut connection) = self.connection.take() {
            connection.say_goodbye(&farewell(reason), acknowledged).ok();
        }
        {
            let mut session = self.tcp.session.lock();
            if session.peer.is_some() {
                session.refused = session.peer;
            }
        }
        self.down(NodeEvent::Dead);
    }

    /// The session is over: nobody sends or receives any more, every call to the peer fails.
    pub(super) fn down(&mut self, event: NodeEvent) {
        // However the session ends: its goodbye may be lost.
        let event = if self.has_left() {
            NodeEvent::Left
        } else {
            event
        };
        self.connection = None;
        let was = self.lives.filter(|_| self.acquaintance.is_online);
        if was.is_some() {
            life::close(&self.link, event);
        }
        self.part_from_machine();
        {
            let _gate = self.tcp.gate.lock();
            let mut session = self.tcp.session.lock();
            session.own = new_life();
            session.peer = None;
        }
        for channel in Channel::ALL {
            self.tcp.end(channel).close();
        }
        self.tcp.end(Channel::Bulk).signal();
        self.begin(None);
        self.link.faulty.store(false, Ordering::Release);
        match was {
            Some(lives) => life::end(&self.link, lives.peer, event),
            // Nobody was told of it; but a call that had begun in an earlier one may have come into this.
            None => self.link.core().pending().fail(self.link.peer()),
        }
    }

    pub(super) fn heard_goodbye(&mut self, goodbye: &Goodbye) {
        if !self.is_urgent() {
            return;
        }
        match Reason::new(goodbye.reason) {
            Some(Reason::Left) => self.down(NodeEvent::Left),
            Some(Reason::Refused | Reason::Fault) => self.down(NodeEvent::Dead),
            None => self.fault("it says goodbye for no reason"),
        }
    }

    /// The peer broke the protocol.
    pub(super) fn fault(&mut self, what: &str) {
        if self.link.fault() {
            err_ratelimited!("node {} is dropped: {}\n", self.link.peer(), what);
        }
        if !self.is_urgent() {
            self.connection = None;
        }
        self.link.kick();
    }

    /// Leaves, in order: after what was sent has come.
    pub(super) fn part(mut self) {
        if !self.is_urgent() {
            return;
        }
        let until = time::now_ms() + DRAIN_MS;
        while self.lives.is_some()
            && self.connection.is_some()
            && time::now_ms() < until
            && !Channel::ALL
                .iter()
                .all(|&one| self.tcp.end(one).is_drained())
        {
            self.end().heed();
            if !self.serve() {
                self.end().sleep(10, || false);
            }
        }
        let acknowledged = self.acknowledged();
        if let Some(mut connection) = self.connection.take() {
            let goodbye = farewell(Reason::Left);
            connection.say_goodbye(&goodbye, acknowledged).ok();
        }
        self.down(NodeEvent::Left);
    }
}

pub(super) fn farewell(reason: Reason) -> Goodbye {
    Goodbye {
        reason: reason.get(),
        reserved: 0,
    }
}
