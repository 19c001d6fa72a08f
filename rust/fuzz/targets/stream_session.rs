// SPDX-License-Identifier: GPL-2.0
//! One side of a session between machines, whose peer says hello, acknowledges and sends what it likes.
//!
//! The side keeps, beside its lanes, what they count: each message that was sent and is not acknowledged, each that
//! has come and is not taken. Whatever the peer says: a message is let go once, in order, and only if it was sent on a
//! connection; a fault changes nothing; on a new connection nothing is left out and nothing comes twice; what is kept
//! and what lies here stays within its bounds; and a hello means what the table in `docs/protocol.md` says, if it is looked
//! at: not one of an earlier attempt than another, within a minute.

use super::Target;
use crate::source::Source;

use popcorn_core::ids::Incarnation;
use popcorn_core::stream::attempts::Attempts;
use popcorn_core::stream::attempts::REMEMBERED_MS;
use popcorn_core::stream::lane::Fault;
use popcorn_core::stream::lane::Full;
use popcorn_core::stream::lane::BYTES_MAX;
use popcorn_core::stream::lane::MESSAGES_MAX;
use popcorn_core::stream::meeting::meet;
use popcorn_core::stream::meeting::Greeting;
use popcorn_core::stream::meeting::Meeting;
use popcorn_core::stream::Incoming;
use popcorn_core::stream::Outgoing;
use std::collections::VecDeque;

pub(super) const TARGET: Target = Target {
    name: "stream_session",
    about: "a session with a machine that says hello, acknowledges and sends anything",
    most: 512,
    seeds,
    run,
};

/// Sizes of messages: the least, one with a page, the longest.
const SIZES: [usize; 4] = [64, 65, 4096 + 64, 65_600];
/// Messages of one input, at most: more tell nothing new.
const COUNT_MAX: usize = 2 * MESSAGES_MAX;
/// Lives of the peer.
const LIVES: u64 = 4;

fn seeds() -> Vec<Vec<u8>> {
    // Hello; then messages both ways, acknowledged and taken; the same peer again.
    let exchange = [
        &[6, 1, 0, 0, 0, 0][..],
        &[0, 0, 2, 0, 1, 0, 3, 0, 0, 1, 1, 0, 0, 1],
        &[2, 0, 0, 1, 2, 0, 0, 1, 2, 1, 0, 1],
        &[4, 0, 2, 0, 4, 0, 0, 0, 4, 1, 0, 0, 5, 0, 5, 0],
        &[6, 1, 1, 1, 0, 0, 1, 0],
    ]
    .concat();
    // A full lane, in one call and by its bytes.
    let full = [
        &[6, 1, 0, 0, 0, 0][..],
        &[0, 0, 0, 255, 255, 0, 0, 3, 20, 0, 4, 1, 0, 255, 255],
        &[7, 0, 6, 2, 0, 0, 0, 0],
    ]
    .concat();
    let again = [
        &exchange[..],
        &full,
        &[7, 0],
        &exchange,
        &[6, 1, 0, 0, 0, 0],
    ]
    .concat();
    vec![exchange, full, again]
}

fn life(raw: u64) -> Incarnation {
    Incarnation::new(raw).unwrap()
}

/// A lane out: what it must count, in another way.
#[derive(Default)]
struct Out {
    lane: Outgoing,
    /// Sent by the user and not acknowledged: number and size.
    kept: VecDeque<(u64, usize)>,
    /// Bytes of all these.
    bytes: usize,
    /// How many of them this connection has taken.
    sent: usize,
    /// The number of the next one.
    next: u64,
}

impl Out {
    fn push(&mut self, size: usize) -> bool {
        let fits = self.kept.len() < MESSAGES_MAX && self.bytes + size <= BYTES_MAX;
        let has_room = self.kept.is_empty() || fits;
        assert_eq!(self.lane.has_room(size), has_room);
        let pushed = self.lane.push(size);
        if has_room {
            assert_eq!(pushed, Ok(self.next), "a number is left out");
            self.kept.push_back((self.next, size));
            self.bytes += size;
            self.next += 1;
        } else {
            assert_eq!(pushed, Err(Full));
        }
        has_room
    }

    fn transmit(&mut self) {
        let next = self.kept.get(self.sent).map(|(number, _)| *number);
        assert_eq!(self.lane.unsent(), next);
        self.lane.mark_sent();
        self.sent += usize::from(next.is_some());
    }

    /// The numbers that the peer may name: the first one kept, and that behind the last one sent.
    fn bounds(&self) -> (u64, u64) {
        let first = self.next - self.kept.len() as u64;
        (first, first + self.sent as u64)
    }

    /// Something that the peer may say about the lane, close to what it should.
    fn claim(&self, source: &mut Source<'_>) -> u64 {
        let (first, behind) = self.bounds();
        let by = u64::from(source.byte() % 4);
        match source.byte() % 8 {
            0 | 1 => behind.saturating_sub(by),
            2 => first + by,
            3 => first.wrapping_sub(by),
            4 => behind + by,
            5 => source.word(),
            _ => behind,
        }
    }

    fn acknowledge(&mut self, to: u64) -> Result<(), Fault> {
        let (first, behind) = self.bounds();
        let before = self.lane;
        let mut released = Vec::new();
        let kept = &self.kept;
        let result = self.lane.acknowledge(to, |number| {
            let (_, size) = kept[(number - first) as usize];
            released.push(number);
            size
        });
        if (first..=behind).contains(&to) {
            assert_eq!(result, Ok(()));
            assert!(released.iter().copied().eq(first..to), "not each once");
            self.sent -= released.len();
            let gone = self.kept.drain(..released.len());
            self.bytes -= gone.map(|(_, size)| size).sum::<usize>();
        } else {
            assert_eq!(result, Err(Fault));
            assert!(released.is_empty() && self.lane == before);
        }
        result
    }

    fn rewind(&mut self, received: u64) -> Result<(), Fault> {
        let (first, behind) = self.bounds();
        let before = self.lane;
        let result = self.lane.rewind(received);
        if (first..=behind).contains(&received) {
            assert_eq!(result, Ok(()));
            self.sent = (received - first) as usize;
        } else {
            assert_eq!((result, self.lane), (Err(Fault), before));
        }
        result
    }

    fn check(&self) {
        assert!(self.kept.len() <= MESSAGES_MAX);
        let (first, _) = self.bounds();
        assert_eq!(self.lane.acknowledged(), first);
        assert_eq!(self.lane.taken(), self.next);
        let next = self.kept.get(self.sent).map(|(number, _)| *number);
        assert_eq!(self.lane.unsent(), next);
    }
}

/// A lane in.
#[derive(Default)]
struct In {
    lane: Incoming,
    /// Sizes of what lies here.
    lying: VecDeque<usize>,
    /// Bytes of all that.
    bytes: usize,
    received: u64,
}

impl In {
    fn receive(&mut self, sequence: u64, size: usize) -> Result<(), Fault> {
        let fits = self.lying.len() < MESSAGES_MAX && self.bytes + size <= BYTES_MAX;
        let is_good = sequence == self.received && (self.lying.is_empty() || fits);
        let before = self.lane;
        let result = self.lane.receive(sequence, size);
        if is_good {
            assert_eq!(result, Ok(()));
            self.lying.push_back(size);
            self.bytes += size;
            self.received += 1;
        } else {
            assert_eq!((result, self.lane), (Err(Fault), before));
        }
        result
    }

    fn take(&mut self) {
        if let Some(size) = self.lying.pop_front() {
            self.lane.take(size);
            self.bytes -= size;
        }
    }

    fn check(&self) {
        assert!(self.lying.len() <= MESSAGES_MAX);
        assert_eq!(self.lane.received(), self.received);
        let taken = self.received - self.lying.len() as u64;
        assert_eq!(self.lane.taken(), taken);
    }
}

/// The side.
struct Side {
    greeting: Greeting,
    refused: Option<Incarnation>,
    out: [Out; 2],
    come: [In; 2],
    lives: u64,
    attempts: Attempts,
    /// The latest attempt, and when it came.
    latest: Option<(u64, u64)>,
    now_ms: u64,
}

/// What a hello means, by the table.
fn meaning(own: &Greeting, refused: Option<Incarnation>, peer: &Greeting) -> Meeting {
    let has_received = peer.received != [0; 2];
    let means_another = peer.accepted.is_some_and(|life| life != own.own);
    match own.accepted {
        _ if refused == Some(peer.own) => Meeting::Refused,
        Some(life) if life != peer.own => Meeting::Replaced,
        _ if means_another => Meeting::Stale,
        // Received in no session.
        None if has_received => Meeting::Stale,
        Some(_) if has_received && peer.accepted.is_none() => Meeting::Stale,
        None => Meeting::Begin,
        Some(_) => Meeting::Resume(peer.received),
    }
}

impl Side {
    /// The session is over: nothing of it counts in the next life.
    fn renew(&mut self) {
        self.lives += 1;
        self.greeting = Greeting {
            own: life(1000 + self.lives),
            accepted: None,
            received: [0; 2],
        };
        self.out = Default::default();
        self.come = Default::default();
    }

    fn give_up(&mut self) {
        self.refused = self.greeting.accepted.or(self.refused);
        self.renew();
    }

    /// Whether a hello is looked at; its attempt is mostly a later one.
    fn is_latest(&mut self, way: u8) -> bool {
        let latest = self.latest.map_or(0, |(latest, _)| latest);
        let attempt = match way % 8 {
            0..=4 => latest.saturating_add(1 + u64::from(way)),
            5 => latest,
            6 => latest.saturating_sub(1 + u64::from(way)),
            _ => u64::MAX,
        };
        // A few of these are the minute.
        self.now_ms += u64::from(way / 16) * (REMEMBERED_MS / 16);
        let is_old = self
            .latest
            .is_some_and(|(latest, at)| latest >= attempt && self.now_ms - at < REMEMBERED_MS);
        if !is_old {
            self.latest = Some((attempt, self.now_ms));
        }
        assert_eq!(self.attempts.is_latest(attempt, self.now_ms), !is_old);
        !is_old
    }

    fn hear_hello(&mut self, peer: &Greeting) {
        self.greeting.received = [0, 1].map(|lane| self.come[lane].received);
        let found = meet(&self.greeting, self.refused, peer);
        assert_eq!(found, meaning(&self.greeting, self.refused, peer));
        match found {
            Meeting::Begin => self.greeting.accepted = Some(peer.own),
            Meeting::Resume(received) => {
                let rewound = [0, 1].map(|lane| self.out[lane].rewind(received[lane]));
                if rewound.contains(&Err(Fault)) {
                    self.give_up();
                }
            }
            Meeting::Replaced => {
                self.renew();
                let again = meet(&self.greeting, self.refused, peer);
                assert!(again == Meeting::Begin || again == Meeting::Stale);
            }
            Meeting::Stale | Meeting::Refused => {}
        }
    }

    /// A hello of the peer, which may claim anything.
    fn hello(&self, source: &mut Source<'_>) -> Greeting {
        let own = life(1 + u64::from(source.byte()) % LIVES);
        let accepted = match source.byte() % 4 {
            0 => None,
            1 | 2 => Some(self.greeting.own),
            _ => Some(life(1000 + u64::from(source.byte() % 8))),
        };
        let received = match source.byte() % 4 {
            0 => [0; 2],
            1 | 2 => [0, 1].map(|lane: usize| self.out[lane].claim(source)),
            _ => [0; 2].map(|_| source.word()),
        };
        Greeting {
            own,
            accepted,
            received,
        }
    }
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let mut side = Side {
        greeting: Greeting {
            own: life(1000),
            accepted: None,
            received: [0; 2],
        },
        refused: None,
        out: Default::default(),
        come: Default::default(),
        lives: 0,
        attempts: Attempts::default(),
        latest: None,
        now_ms: 0,
    };
    let mut left = COUNT_MAX;
    while !source.is_empty() {
        let what = source.byte() % 8;
        let aside = source.byte();
        let lane = usize::from(aside % 2);
        let (out, come) = (&mut side.out[lane], &mut side.come[lane]);
        let is_fault = match what {
            0 | 4 => {
                let size = SIZES[source.below(SIZES.len())];
                // Alone, mostly; or as many as fill a lane.
                let many = match source.byte() {
                    255 => usize::from(source.byte()) * 8,
                    few => usize::from(few % 4) + 1,
                };
                let many = many.min(left);
                left -= many;
                if what == 0 {
                    (0..many).all(|_| out.push(size));
                    false
                } else {
                    let wrong = source.byte();
                    let off = if wrong < 240 {
                        0
                    } else {
                        u64::from(wrong).wrapping_sub(247)
                    };
                    let all = (0..many).try_for_each(|_| {
                        let sequence = come.received.wrapping_add(off);
                        come.receive(sequence, size)
                    });
                    all.is_err()
                }
            }
            1 => {
                (0..=source.byte()).for_each(|_| out.transmit());
                false
            }
            2 | 3 => {
                let to = out.claim(&mut source);
                out.acknowledge(to).is_err()
            }
            5 => {
                (0..=source.byte() % 64).for_each(|_| come.take());
                false
            }
            6 => {
                let peer = side.hello(&mut source);
                if side.is_latest(aside / 2) {
                    side.hear_hello(&peer);
                }
                false
            }
            // The peer is silent for too long.
            _ => true,
        };
        if is_fault {
            side.give_up();
        }
        side.out.iter().for_each(Out::check);
        side.come.iter().for_each(In::check);
    }
}
