// SPDX-License-Identifier: GPL-2.0
//! The thread of a channel: connects, receives, sends.
//!
//! That of the urgent channel alone begins and ends sessions, and knows what the machines have agreed on about the
//! peer ([`bond`]); that of the bulk channel follows it.

mod bond;
mod connecting;
mod lying;
mod messages;
mod session;
mod taking;

use super::connection::Connection;
use super::end::End;
use super::end::Lives;
use super::Tcp;
use crate::life::next_tick_ms;
use crate::life::TICK_MS;
use crate::link::Link;
use crate::link::LinkState;
use bond::Acquaintance;
use bond::News;
use bond::Silence;
use connecting::RETRY_MS;
use lying::Lying;
use taking::Taking;

use kernel::prelude::*;
use kernel::sync::Arc;

use core::sync::atomic::Ordering;
use popcorn_core::stream::attempts::Attempts;
use popcorn_core::stream::hello::Mismatch;
use popcorn_core::stream::hello::Reason;
use popcorn_core::stream::Channel;
use popcorn_core::stream::Incoming;
use popcorn_kernel::current;
use popcorn_kernel::err_ratelimited;
use popcorn_kernel::kthread;
use popcorn_kernel::kthread::should_stop;
use popcorn_kernel::time;

/// The thread's own state.
pub(crate) struct Worker {
    link: Arc<Link>,
    tcp: Arc<Tcp>,
    channel: Channel,
    connection: Option<Connection>,
    /// The session that the rest is of.
    lives: Option<Lives>,
    acquaintance: Acquaintance,
    incoming: [Incoming; 2],
    lying: Lying,
    news: News,
    /// The acknowledgements that the peer was last told, and bytes that came since.
    said: [u64; 2],
    unsaid_bytes: usize,
    reported: Option<Mismatch>,
    /// The last attempt to connect, and the latest of the peer.
    attempt: u64,
    attempts: Attempts,
    beats: u64,
    /// Ticks of ours since the peer was last heard. Ticks, not time: if this whole machine was stopped
    /// for a while, both sides were.
    missed: u32,
    taking: Taking,
    next_tick_ms: u64,
    next_dial_ms: u64,
    retry_ms: u64,
}

impl Worker {
    /// Not started. May sleep.
    pub(crate) fn new(link: Arc<Link>, tcp: Arc<Tcp>, channel: Channel) -> Result<Self> {
        Ok(Self {
            link,
            tcp,
            channel,
            connection: None,
            lives: None,
            acquaintance: Acquaintance::default(),
            incoming: [Incoming::new(); 2],
            lying: Lying::new()?,
            news: News::default(),
            said: [0; 2],
            unsaid_bytes: 0,
            reported: None,
            attempt: 0,
            attempts: Attempts::default(),
            beats: 0,
            missed: 0,
            taking: Taking::default(),
            next_tick_ms: 0,
            next_dial_ms: 0,
            retry_ms: RETRY_MS.0,
        })
    }

    fn end(&self) -> &Arc<End> {
        self.tcp.end(self.channel)
    }

    fn is_urgent(&self) -> bool {
        self.channel == Channel::Urgent
    }

    /// The thread's main function.
    pub(crate) fn run(mut self) {
        // A node may have one processor, busy with a program that waits for nothing.
        kthread::prefer(true);
        let mut is_polled = false;
        while !should_stop() {
            self.end().heed();
            self.look();
            let now = time::now_ms();
            if now >= self.next_tick_ms {
                self.tick(now);
            } else if self.has_news() {
                self.consider(false);
                self.beat();
            }
            if let Some(arrival) = self.end().arrived() {
                self.arrived(arrival);
            } else if self.connection.is_none() && time::now_ms() >= self.next_dial_ms {
                let before = time::now_ms();
                self.dial();
                self.waited(time::now_ms() - before);
            }
            if self.end().is_polled() != is_polled {
                is_polled = !is_polled;
                // Who does not sleep leaves the processor to others as often as they do.
                kthread::prefer(!is_polled);
            }
            if self.serve() || is_polled {
                current::cond_resched();
            } else {
                let left = self.next_tick_ms.saturating_sub(time::now_ms());
                self.end().sleep(left.clamp(1, TICK_MS) as u32, should_stop);
            }
        }
        self.part();
    }

    /// What others have found out: the peer is dead, or at fault; the session is another.
    fn look(&mut self) {
        if self.is_urgent() {
            self.link.kicked.store(false, Ordering::Release);
            let killed = self.link.killed.swap(false, Ordering::AcqRel);
            let faulty = self.link.faulty.swap(false, Ordering::AcqRel);
            if killed {
                self.is_surely_dead();
            }
            if killed && self.lives.is_none() {
                self.link.set_state(LinkState::Dead);
            } else if killed || faulty {
                self.give_up(if faulty {
                    Reason::Fault
                } else {
                    Reason::Refused
                });
            }
        } else if self.lives != self.tcp.lives() {
            self.connection = None;
            self.begin(self.tcp.lives());
            self.next_dial_ms = 0;
        }
    }

    /// Everything that is of a session begins anew.
    fn begin(&mut self, lives: Option<Lives>) {
        self.lives = lives;
        self.incoming = [Incoming::new(); 2];
        self.lying.clear();
        self.said = [0; 2];
        self.unsaid_bytes = 0;
        self.missed = 0;
        self.taking = Taking::default();
    }

    fn tick(&mut self, now_ms: u64) {
        self.next_tick_ms = next_tick_ms(self.next_tick_ms, now_ms);
        self.beats += 1;
        self.begin_telling();
        self.consider(false);
        self.beat();
        if self.lives.is_none() {
            return;
        }
        self.missed = self.missed.saturating_add(1);
        let limit = self.link.core().settings().silence();
        let is_silent = u64::from(self.missed) >= limit;
        if !self.is_urgent() {
            if is_silent && self.agrees() {
                self.drop_silent();
            }
            return;
        }
        if is_silent {
            let missed_ms = u64::from(self.missed) * TICK_MS;
            if let Silence::Ends = self.fall_silent() {
                err_ratelimited!(
                    "node {}: no heartbeat for {} ms\n",
                    self.link.peer(),
                    missed_ms
                );
                self.give_up(Reason::Refused);
            }
        } else if let Some(ticks) = self.taking.tick(&self.tcp, limit) {
            // Its requests hold workers that others need, too.
            err_ratelimited!(
                "node {} is dropped: it took no response for {} ms\n",
                self.link.peer(),
                u64::from(ticks) * TICK_MS
            );
            self.give_up(Reason::Fault);
        }
    }

    fn beat(&mut self) {
        let acknowledged = self.acknowledged();
        let said = self.says();
        if let (Some(connection), Some(_)) = (&mut self.connection, self.lives) {
            let is_sent = match said {
                Some(said) => connection.view(acknowledged, &said),
                None => connection.beat(acknowledged, self.beats),
            };
            if is_sent {
                self.said = acknowledged;
                self.unsaid_bytes = 0;
            }
        }
    }

    fn acknowledged(&self) -> [u64; 2] {
        self.incoming.map(|lane| lane.taken())
    }
}
