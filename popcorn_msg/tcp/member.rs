// SPDX-License-Identifier: GPL-2.0
//! The thread of a channel: connects, receives, sends.
//!
//! That of the urgent channel alone begins and ends sessions, and knows what the machines have agreed on about the
//! peer ([`bond`]); that of the bulk channel follows it.

mod bond;

use super::connection::Body;
use super::connection::Broken;
use super::connection::Connection;
use super::end::Arrival;
use super::end::End;
use super::end::Lives;
use super::security::HANDSHAKE_MS;
use super::Session;
use super::Tcp;
use crate::dispatch;
use crate::dispatch::takes_requests;
use crate::dispatch::Fault;
use crate::life;
use crate::life::new_life;
use crate::life::Progress;
use crate::life::TICK_MS;
use crate::link::Link;
use crate::link::LinkState;
use crate::service::NodeEvent;
use bond::Acquaintance;
use bond::Silence;

use kernel::error::Error;
use kernel::prelude::*;
use kernel::sync::Arc;

use core::sync::atomic::Ordering;
use popcorn_core::ids::Incarnation;
use popcorn_core::stream::frame::lane_index;
use popcorn_core::stream::hello::Checked;
use popcorn_core::stream::hello::Goodbye;
use popcorn_core::stream::hello::Mismatch;
use popcorn_core::stream::hello::Reason;
use popcorn_core::stream::lane::MESSAGES_MAX;
use popcorn_core::stream::meeting::meet;
use popcorn_core::stream::meeting::Greeting;
use popcorn_core::stream::meeting::Meeting;
use popcorn_core::stream::Channel;
use popcorn_core::stream::Head;
use popcorn_core::stream::Hello;
use popcorn_core::stream::Incoming;
use popcorn_core::window::Introduction;
use popcorn_core::window::Lane;
use popcorn_core::wire::Header;
use popcorn_core::wire::HEADER_SIZE;
use popcorn_kernel::current;
use popcorn_kernel::err_ratelimited;
use popcorn_kernel::errno;
use popcorn_kernel::kthread;
use popcorn_kernel::kthread::should_stop;
use popcorn_kernel::socket::Socket;
use popcorn_kernel::time;
use popcorn_kernel::warn_ratelimited;

/// Frames that are received in one go.
const BUDGET: usize = 64;
/// An acknowledgement is not put off for longer than so many messages of a lane, or so many bytes.
const UNSAID_MESSAGES: u64 = 64;
const UNSAID_BYTES: usize = 128 << 10;
/// For a connection to be made, and for the other side's hello.
const CONNECT_MS: u32 = 1000;
const HELLO_MS: u64 = 2000;
/// The longest attempt: connecting, proving who one is, a hello each way.
const ATTEMPT_MAX_MS: u64 = CONNECT_MS as u64 + HANDSHAKE_MS as u64 + 2 * HELLO_MS;
/// Between two attempts to connect: from, to.
const RETRY_MS: (u64, u64) = (100, 1000);
/// For what was sent to be acknowledged when this side leaves.
const DRAIN_MS: u64 = 1000;

/// Requests that have come and are not taken.
struct Lying {
    all: KVVec<Option<(Header, Result<KVVec<u8>>)>>,
    first: usize,
    length: usize,
}

impl Lying {
    fn new() -> Result<Self> {
        let mut all = KVVec::with_capacity(MESSAGES_MAX, GFP_KERNEL)?;
        for _ in 0..MESSAGES_MAX {
            all.push(None, GFP_KERNEL)?;
        }
        Ok(Self {
            all,
            first: 0,
            length: 0,
        })
    }

    /// There is room by the lane's window.
    fn push(&mut self, header: Header, payload: Result<KVVec<u8>>) {
        let at = (self.first + self.length) % MESSAGES_MAX;
        if let Some(slot) = self.all.get_mut(at) {
            *slot = Some((header, payload));
            self.length += 1;
        }
    }

    fn pop(&mut self) -> Option<(Header, Result<KVVec<u8>>)> {
        let taken = self.all.get_mut(self.first)?.take()?;
        self.first = (self.first + 1) % MESSAGES_MAX;
        self.length -= 1;
        Some(taken)
    }

    fn clear(&mut self) {
        while self.pop().is_some() {}
    }
}

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
    /// The acknowledgements that the peer was last told, and bytes that came since.
    said: [u64; 2],
    unsaid_bytes: usize,
    reported: Option<Mismatch>,
    beats: u64,
    /// Ticks of ours since the peer was last heard. Ticks, not time: if this whole machine was stopped
    /// for a while, both sides were.
    missed: u32,
    progress: Progress,
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
            said: [0; 2],
            unsaid_bytes: 0,
            reported: None,
            beats: 0,
            missed: 0,
            progress: Progress::default(),
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
        self.progress = Progress::default();
    }

    fn tick(&mut self, now_ms: u64) {
        self.next_tick_ms = now_ms + TICK_MS;
        self.beats += 1;
        self.consider(false);
        self.beat();
        if self.lives.is_none() {
            return;
        }
        self.missed = self.missed.saturating_add(1);
        let limit = u64::from(self.link.core().settings().dead_ms()).div_ceil(TICK_MS);
        let is_silent = u64::from(self.missed) > limit;
        if !self.is_urgent() {
            if is_silent && self.agrees() {
                self.drop_silent();
            }
            return;
        }
        // Who is not heard need not be stuck.
        if !self.agrees() || self.missed <= 1 {
            self.progress.tick(&self.link);
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
        } else if u64::from(self.progress.stuck()) > limit {
            // Its requests hold workers that others need, too.
            err_ratelimited!(
                "node {} is dropped: it took no response for {} ms\n",
                self.link.peer(),
                u64::from(self.progress.stuck()) * TICK_MS
            );
            self.give_up(Reason::Fault);
        }
    }

    /// An attempt to connect took that long: the peer was not heard meanwhile, either.
    fn waited(&mut self, time_ms: u64) {
        if self.connection.is_none() {
            // What is longer was a machine that stood still.
            let time_ms = time_ms.min(ATTEMPT_MAX_MS);
            self.missed = self.missed.saturating_add((time_ms / TICK_MS) as u32);
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

    // --- connections ---

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

    fn hello(&self, session: &Session) -> Hello {
        let checked = Checked {
            channel: self.channel,
            greeting: self.greeting(session),
            introduction: self.introduction(session.own),
        };
        Hello::of(&checked, self.link.peer())
    }

    /// Connects, if this side is the one to do so, and there is something to connect for.
    fn dial(&mut self) {
        let Some(address) = self.tcp.setup().target() else {
            return;
        };
        if !self.is_urgent() && self.lives.is_none() {
            return;
        }
        let should_end = || should_stop() || self.is_decided();
        let connected = Socket::connect(&address, CONNECT_MS, should_end).and_then(|socket| {
            let security = &self.tcp.setup().security;
            security
                .connected(&socket, should_end)
                .inspect_err(|error| self.not_secure(*error))?;
            let connection = Connection::new(socket)?;
            connection.set_options(&super::setup::options(self.channel))?;
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

    /// Says hello and hears the other's.
    fn call(&mut self, mut connection: Connection) -> Result {
        let session = self.tcp.session();
        connection.say_hello(&self.hello(&session), HELLO_MS)?;
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
    fn arrived(&mut self, arrival: Arrival) {
        let Arrival {
            mut connection,
            hello,
        } = arrival;
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
                let hello = self.hello(&self.tcp.session());
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
            let hello = self.hello(&self.tcp.session());
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
        match self.end().rewind(peer) {
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

    // --- sessions; the urgent channel's thread only ---

    /// Both have accepted each other.
    fn up(&mut self, hello: &Checked) -> Result {
        if !life::may_begin(&self.link) {
            // It comes again.
            return Err(EAGAIN);
        }
        let peer = hello.greeting.own;
        let lives = Lives {
            own: self.tcp.session().own,
            peer,
        };
        for channel in Channel::ALL {
            if let Err(error) = self.tcp.end(channel).open(lives) {
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
    fn give_up(&mut self, reason: Reason) {
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
    fn down(&mut self, event: NodeEvent) {
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

    fn heard_goodbye(&mut self, goodbye: &Goodbye) {
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
    fn fault(&mut self, what: &str) {
        if self.link.fault() {
            err_ratelimited!("node {} is dropped: {}\n", self.link.peer(), what);
        }
        if !self.is_urgent() {
            self.connection = None;
        }
        self.link.kick();
    }

    // --- messages ---

    /// Receives, takes and sends what there is; whether there was something.
    fn serve(&mut self) -> bool {
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
            Body::View(said) => {
                self.hear(&said);
                Ok(())
            }
            Body::Hello(_) => Err(Fault("it says hello twice")),
            Body::Goodbye(goodbye) => {
                self.heard_goodbye(&goodbye);
                Ok(())
            }
            Body::Message(lane, bytes, payload) => {
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
            dispatch::request(&self.link, header, payload);
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

    /// The connection is gone; the session is not.
    fn lost(&mut self, error: Error) {
        self.connection = None;
        if self.lives.is_some() && self.is_urgent() {
            warn_ratelimited!(
                "node {}: the connection is lost ({:?}); looking for another\n",
                self.link.peer(),
                error
            );
        }
        self.next_dial_ms = time::now_ms() + RETRY_MS.0;
    }

    /// Leaves, in order: after what was sent has come.
    fn part(mut self) {
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

fn farewell(reason: Reason) -> Goodbye {
    Goodbye {
        reason: reason.get(),
        reserved: 0,
    }
}
