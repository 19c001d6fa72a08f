// SPDX-License-Identifier: GPL-2.0
//! The two sides, the connection between them, and the judge.

use popcorn_core::ids::Incarnation;
use popcorn_core::stream::attempts;
use popcorn_core::stream::frame::lane_index;
use popcorn_core::stream::meeting::meet;
use popcorn_core::stream::meeting::Greeting;
use popcorn_core::stream::meeting::Meeting;
use popcorn_core::stream::Attempts;
use popcorn_core::stream::Incoming;
use popcorn_core::stream::Outgoing;
use popcorn_core::window::Lane;
use std::collections::VecDeque;

/// What may happen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    /// A side sends a message, if there is room.
    Send {
        side: usize,
        lane: Lane,
        size: usize,
    },
    /// What it has to send goes into the connection, one frame.
    Transmit(usize),
    /// It receives one frame.
    Deliver(usize),
    /// It takes the oldest request that lies there.
    Take(usize),
    /// It says how far it is.
    Beat(usize),
    /// Side 0 connects, if there is no connection.
    Connect,
    /// The connection breaks; what is under way is lost, but for a hello that side 1 has not heard.
    Break,
    /// Such a hello comes after all.
    Late,
    /// It gives the other up for dead.
    GiveUp(usize),
    /// It dies, and comes back knowing nothing.
    Restart(usize),
}

/// What a message is: the lives it was sent in, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Message {
    from: Incarnation,
    to: Incarnation,
    lane: Lane,
    sequence: u64,
    size: usize,
}

#[derive(Clone, Copy, Debug)]
enum Frame {
    Hello(Greeting),
    Message(Message),
    Beat,
    Refused,
}

#[derive(Debug)]
struct Side {
    greeting: Greeting,
    refused: Option<Incarnation>,
    outgoing: [Outgoing; 2],
    incoming: [Incoming; 2],
    /// What was not acknowledged, by lane.
    kept: [VecDeque<Message>; 2],
    /// Requests that have come and are not taken.
    lying: VecDeque<Message>,
    /// Whether the hellos of this connection are done with.
    ready: bool,
}

/// Frames, each with the acknowledgements in its head.
type Way = VecDeque<(Frame, [u64; 2])>;

/// Everything.
pub(crate) struct World {
    sides: [Side; 2],
    /// `connection[i]`: what is on its way to side `i`.
    connection: Option<[Way; 2]>,
    lives: u64,
    /// Of side 0, through all its lives.
    attempt: u64,
    /// What side 1 knows of that, until it restarts.
    attempts: Attempts,
    /// Hellos of connections that were given up.
    late: VecDeque<(Greeting, u64)>,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut lives = 0;
        let sides = [0, 1].map(|_| Side::new(next_life(&mut lives)));
        Self {
            sides,
            connection: None,
            lives,
            attempt: 0,
            attempts: Attempts::default(),
            late: VecDeque::new(),
        }
    }

    pub(crate) fn do_it(&mut self, deed: Deed) {
        match deed {
            Deed::Send { side, lane, size } => self.sides[side].send(lane, size),
            Deed::Transmit(side) => self.transmit(side),
            Deed::Deliver(side) => self.deliver(side),
            Deed::Take(side) => self.sides[side].take(),
            Deed::Beat(side) => {
                if self.sides[side].ready {
                    self.put(side, Frame::Beat);
                }
            }
            Deed::Connect => self.connect(),
            Deed::Break => self.disconnect(),
            Deed::Late => self.late(),
            Deed::GiveUp(side) => {
                self.sides[side].refused = self.sides[side].greeting.accepted;
                self.renew(side);
            }
            Deed::Restart(side) => {
                self.disconnect();
                if side == 1 {
                    // It does not get what was sent to it before.
                    self.late.clear();
                    self.attempts = Attempts::default();
                }
                self.sides[side] = Side::new(next_life(&mut self.lives));
            }
        }
        self.sides.iter().for_each(Side::check);
    }

    /// Connects and delivers until nothing is under way; then all that was sent has come.
    pub(crate) fn calm_down(&mut self) {
        for _ in 0..20_000 {
            self.do_it(Deed::Connect);
            for side in 0..2 {
                self.do_it(Deed::Transmit(side));
                self.do_it(Deed::Deliver(side));
                self.do_it(Deed::Take(side));
                self.do_it(Deed::Beat(side));
                self.do_it(Deed::Deliver(side));
            }
            if self.is_calm() {
                break;
            }
        }
        assert!(self.is_calm(), "{:?}", self.sides);
        for (side, other) in [(0, 1), (1, 0)] {
            for lane in [0, 1] {
                let sent = self.sides[side].outgoing[lane].taken();
                assert_eq!(self.sides[other].incoming[lane].received(), sent);
            }
        }
    }

    pub(crate) fn sessions(&self) -> [Greeting; 2] {
        [0, 1].map(|side| Greeting {
            received: [0; 2],
            ..self.sides[side].greeting
        })
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    pub(crate) fn received(&self, side: usize, lane: Lane) -> u64 {
        self.sides[side].incoming[lane_index(lane)].received()
    }

    fn is_calm(&self) -> bool {
        let [a, b] = &self.sides;
        a.greeting.accepted == Some(b.greeting.own)
            && b.greeting.accepted == Some(a.greeting.own)
            && a.ready
            && b.ready
            && self
                .sides
                .iter()
                .all(|side| side.lying.is_empty() && side.kept.iter().all(VecDeque::is_empty))
    }

    fn connect(&mut self) {
        if self.connection.is_none() {
            self.connection = Some([VecDeque::new(), VecDeque::new()]);
            self.sides.iter_mut().for_each(|side| side.ready = false);
            // The clock stands still: it is the count that makes it rise.
            self.attempt = attempts::next(self.attempt, 0);
            let hello = self.sides[0].hello();
            self.put(0, Frame::Hello(hello));
        }
    }

    fn disconnect(&mut self) {
        let connection = self.connection.take();
        if let Some((Frame::Hello(hello), _)) = connection.and_then(|mut way| way[1].pop_front()) {
            self.late.push_back((hello, self.attempt));
        }
        self.sides.iter_mut().for_each(|side| side.ready = false);
    }

    /// Who listens takes it for a new connection. Nobody hears what it answers.
    fn late(&mut self) {
        let Some((hello, attempt)) = self.late.pop_front() else {
            return;
        };
        if self.attempts.is_latest(attempt, 0) {
            self.disconnect();
            self.hello(1, hello);
            self.sides[1].ready = false;
        }
    }

    /// Another life of that side; its connection goes with the session.
    fn renew(&mut self, side: usize) {
        self.disconnect();
        let refused = self.sides[side].refused;
        self.sides[side] = Side::new(next_life(&mut self.lives));
        self.sides[side].refused = refused;
    }

    /// Side `from` puts a frame into the connection.
    fn put(&mut self, from: usize, frame: Frame) {
        let acknowledged = self.sides[from].incoming.map(|lane| lane.taken());
        if let Some(connection) = &mut self.connection {
            connection[1 - from].push_back((frame, acknowledged));
        }
    }

    fn transmit(&mut self, side: usize) {
        if !self.sides[side].ready || self.connection.is_none() {
            return;
        }
        for lane in [1, 0] {
            let this = &mut self.sides[side];
            if let Some(sequence) = this.outgoing[lane].unsent() {
                let first = this.outgoing[lane].acknowledged();
                let message = this.kept[lane][(sequence - first) as usize];
                assert_eq!(message.sequence, sequence);
                this.outgoing[lane].mark_sent();
                self.put(side, Frame::Message(message));
                return;
            }
        }
    }

    fn deliver(&mut self, side: usize) {
        let Some((frame, acknowledged)) = self
            .connection
            .as_mut()
            .and_then(|connection| connection[side].pop_front())
        else {
            return;
        };
        match frame {
            Frame::Hello(peer) => {
                // There is none that is later.
                assert!(side == 0 || self.attempts.is_latest(self.attempt, 0));
                return self.hello(side, peer);
            }
            Frame::Refused => return self.renew(side),
            Frame::Message(message) => self.sides[side].receive(message),
            Frame::Beat => {}
        }
        self.sides[side].acknowledged(acknowledged);
    }

    fn hello(&mut self, side: usize, peer: Greeting) {
        let mut own = self.sides[side].hello();
        let mut meeting = meet(&own, self.sides[side].refused, &peer);
        if meeting == Meeting::Replaced {
            // Keeps the connection if its own hello is still to come.
            let connection = self.connection.take();
            self.renew(side);
            if side == 0 {
                return;
            }
            self.connection = connection;
            own = self.sides[side].hello();
            meeting = meet(&own, self.sides[side].refused, &peer);
        }
        match meeting {
            Meeting::Begin => self.sides[side].greeting.accepted = Some(peer.own),
            Meeting::Resume(received) => {
                for (lane, &received) in self.sides[side].outgoing.iter_mut().zip(&received) {
                    lane.rewind(received).expect("the peer is honest");
                }
            }
            Meeting::Stale if side == 1 => {
                let hello = self.sides[1].hello();
                return self.put(1, Frame::Hello(hello));
            }
            Meeting::Stale => return self.disconnect(),
            Meeting::Refused => return self.put(side, Frame::Refused),
            Meeting::Replaced => panic!("twice"),
        }
        self.sides[side].ready = true;
        if side == 1 {
            let hello = self.sides[1].hello();
            self.put(1, Frame::Hello(hello));
        }
    }
}

fn next_life(lives: &mut u64) -> Incarnation {
    *lives += 1;
    Incarnation::new(*lives).expect("not zero")
}

impl Side {
    fn new(own: Incarnation) -> Self {
        Self {
            greeting: Greeting {
                own,
                accepted: None,
                received: [0; 2],
            },
            refused: None,
            outgoing: [Outgoing::new(); 2],
            incoming: [Incoming::new(); 2],
            kept: Default::default(),
            lying: VecDeque::new(),
            ready: false,
        }
    }

    fn hello(&self) -> Greeting {
        Greeting {
            received: self.incoming.map(|lane| lane.received()),
            ..self.greeting
        }
    }

    fn send(&mut self, lane: Lane, size: usize) {
        let Some(to) = self.greeting.accepted else {
            return;
        };
        let index = lane_index(lane);
        if let Ok(sequence) = self.outgoing[index].push(size) {
            self.kept[index].push_back(Message {
                from: self.greeting.own,
                to,
                lane,
                sequence,
                size,
            });
        }
    }

    fn receive(&mut self, message: Message) {
        assert!(self.ready, "a message before the hello");
        assert_eq!(Some(message.from), self.greeting.accepted);
        assert_eq!(message.to, self.greeting.own);
        let lane = &mut self.incoming[lane_index(message.lane)];
        lane.receive(message.sequence, message.size)
            .expect("the next one, and room for it");
        if message.lane == Lane::Responses {
            lane.take(message.size);
        } else {
            self.lying.push_back(message);
        }
    }

    fn take(&mut self) {
        if let Some(message) = self.lying.pop_front() {
            self.incoming[0].take(message.size);
        }
    }

    fn acknowledged(&mut self, acknowledged: [u64; 2]) {
        for ((lane, kept), to) in self
            .outgoing
            .iter_mut()
            .zip(&mut self.kept)
            .zip(acknowledged)
        {
            let release = |sequence| {
                let message = kept.pop_front().expect("it is kept");
                assert_eq!(message.sequence, sequence);
                message.size
            };
            lane.acknowledge(to, release).expect("it was sent");
        }
    }

    fn check(&self) {
        for (lane, kept) in self.outgoing.iter().zip(&self.kept) {
            assert_eq!(lane.taken() - lane.acknowledged(), kept.len() as u64);
            assert!(kept.len() <= popcorn_core::stream::lane::MESSAGES_MAX);
        }
        assert_eq!(
            self.incoming[0].received() - self.incoming[0].taken(),
            self.lying.len() as u64
        );
    }
}
