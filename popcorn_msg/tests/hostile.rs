// SPDX-License-Identifier: GPL-2.0
//! KUnit: a peer that means harm. It writes what it likes into the window, by the rules or against them,
//! while an honest third node talks with the same endpoint all the time.
//!
//! What must come of it: the endpoint drops that peer, and says so in one line of the log that names the
//! fault; it is told as dead once; another life of it is welcome; the honest node notices nothing; and no
//! call, request or worker is left over. What is no fault (an answer that nobody waits for) changes nothing.
//!
//! The suite is in `hostile_kunit.c`.

use super::check;
use super::eventually;
use super::node;
use super::Failure;
use super::Gate;
use super::Opens;
use super::Outcome;
use super::TestNode;
use super::LONG_MS;
use super::OPTIONS;
use super::PROTOCOL;
use super::WINDOW;
use crate::endpoint::CallOptions;
use crate::endpoint::Endpoint;
use crate::endpoint::Registration;
use crate::ping::ECHO;
use crate::ping::ECHO_BY_WORKER;
use crate::request::Request;
use crate::service::Handler;
use crate::service::NodeEvent;

use kernel::c_str;
use kernel::error::Error;
use kernel::prelude::*;
use kernel::sync::Arc;

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use popcorn_core::ids::Class;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::ids::RequestId;
use popcorn_core::ring;
use popcorn_core::ring::Consumer;
use popcorn_core::ring::Memory;
use popcorn_core::ring::Producer;
use popcorn_core::window;
use popcorn_core::window::Lane;
use popcorn_core::window::Layout;
use popcorn_core::window::Side;
use popcorn_core::wire;
use popcorn_kernel::errno;
use popcorn_kernel::kthread::should_stop;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::kunit_cases;
use popcorn_kernel::log;
use popcorn_kernel::shared_memory::SharedMemory;
use popcorn_kernel::time;

/// Node ids of a scene: who is attacked is the primary.
const HOSTILE: u64 = 1;
const HONEST: u64 = 2;
/// The log lets five lines of a place through in five seconds: if they come so far apart, none is suppressed.
const PACE_MS: u32 = 1100;
/// After so long, none that came before counts.
const RATE_LIMIT_MS: u32 = 5100;
/// Lines of one place that the log lets through in that time, at most.
const RATE_LIMIT_LINES: u64 = 5;
/// Rounds of honest traffic that prove that it goes on.
const ROUNDS: u32 = 4;

kunit_cases! {
    "popcorn_msg", "popcorn_msg/tests/hostile.rs";
    popcorn_msg_test_hostile_messages = bad_messages;
    popcorn_msg_test_hostile_window = bad_window;
    popcorn_msg_test_hostile_answers = answers_nobody_asked_for;
    popcorn_msg_test_hostile_late = late_and_double_answers;
    popcorn_msg_test_hostile_storm = storm;
    popcorn_msg_test_hostile_flood = flood_of_unknown_messages;
    popcorn_msg_test_hostile_random = random_messages;
}

// ---- the honest node's traffic, and what is told of nodes ----

/// What the thread of the honest traffic has seen.
struct Traffic {
    rounds: AtomicU32,
    wrong: AtomicU32,
}

static TRAFFIC: Traffic = Traffic {
    rounds: AtomicU32::new(0),
    wrong: AtomicU32::new(0),
};

/// Counts what is told of each node of a scene.
struct Told {
    online: [AtomicU32; 3],
    left: [AtomicU32; 3],
    dead: [AtomicU32; 3],
}

static TOLD: Told = Told {
    online: [const { AtomicU32::new(0) }; 3],
    left: [const { AtomicU32::new(0) }; 3],
    dead: [const { AtomicU32::new(0) }; 3],
};

impl Handler for Told {
    fn request(&self, _from: NodeId, _request: Request) {}

    fn node_event(&self, node: NodeId, event: NodeEvent) {
        let counters = match event {
            NodeEvent::Online => &self.online,
            NodeEvent::Left => &self.left,
            NodeEvent::Dead => &self.dead,
        };
        if let Some(counter) = counters.get(node.index()) {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Told {
    fn reset(&self) {
        for counters in [&self.online, &self.left, &self.dead] {
            for counter in counters {
                counter.store(0, Ordering::SeqCst);
            }
        }
    }

    fn get(counters: &[AtomicU32; 3], node: u64) -> u32 {
        counters
            .get(node as usize)
            .map_or(0, |counter| counter.load(Ordering::SeqCst))
    }
}

/// Calls in both directions, at once and by a worker, until it is stopped.
fn talk(one: &Endpoint, other: &Endpoint) {
    let mut number = 0u32;
    while !should_stop() {
        let bytes = number.to_le_bytes();
        let kind = [ECHO, ECHO_BY_WORKER][number as usize % 2];
        for (from, to) in [(one, other.node()), (other, one.node())] {
            match from.call(to, kind, &[&bytes], OPTIONS) {
                Ok(response) if response.payload() == bytes => {}
                _ => {
                    TRAFFIC.wrong.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
        TRAFFIC.rounds.fetch_add(1, Ordering::SeqCst);
        number = number.wrapping_add(1);
        time::sleep_ms(1);
    }
}

// ---- the hostile node ----

/// What the hostile node sends by.
struct Out {
    producer: Producer<SharedMemory>,
    sequence: u64,
}

/// A node that does nothing by itself. It can obey the protocol; every field is there to be misused.
struct Hostile {
    victim: Arc<Endpoint>,
    memory: SharedMemory,
    layout: Layout,
    own: window::Header<SharedMemory>,
    peer: window::Header<SharedMemory>,
    /// The incarnation that it says it has; each life has the next one.
    life: Incarnation,
    beats: u64,
    out: [Out; 2],
    requests: Consumer<SharedMemory>,
}

fn index(lane: Lane) -> usize {
    match lane {
        Lane::Requests => 0,
        Lane::Responses => 1,
    }
}

impl Hostile {
    /// Not online yet: see [`Hostile::join`].
    fn new(victim: &TestNode) -> core::result::Result<Self, Failure> {
        let memory = SharedMemory::allocate(WINDOW)?;
        let layout = Layout::new(WINDOW).ok_or(EINVAL)?;
        let hostile = Self {
            victim: victim.0.clone(),
            own: window::Header::new(memory.clone(), Side::High),
            peer: window::Header::new(memory.clone(), Side::Low),
            life: Incarnation::new(0x1_0000).ok_or(EINVAL)?,
            beats: 0,
            out: Self::senders(&memory, &layout)?,
            requests: Self::receiver(&memory, &layout, Lane::Requests)?,
            memory,
            layout,
        };
        victim.attach(node(HOSTILE), hostile.memory.clone())?;
        Ok(hostile)
    }

    fn senders(memory: &SharedMemory, layout: &Layout) -> Result<[Out; 2]> {
        let sender = |lane| {
            let base = layout.ring(Side::High, lane);
            let producer = Producer::new(memory, base, layout.capacity());
            Ok::<_, Error>(Out {
                producer: producer.map_err(|_| EINVAL)?,
                sequence: 0,
            })
        };
        Ok([sender(Lane::Requests)?, sender(Lane::Responses)?])
    }

    fn receiver(
        memory: &SharedMemory,
        layout: &Layout,
        lane: Lane,
    ) -> Result<Consumer<SharedMemory>> {
        let base = layout.ring(Side::Low, lane);
        Consumer::new(memory, base, layout.capacity()).map_err(|_| EINVAL)
    }

    /// Begins another life by the rules, until the victim finds it online.
    fn join(&mut self) -> Outcome {
        self.life = Incarnation::new(self.life.get() + 1).ok_or(EINVAL)?;
        // It counts as gone at once.
        self.own.retract();
        check!(self.until(|this| !this.victim.is_online(node(HOSTILE))));
        self.out = Self::senders(&self.memory, &self.layout)?;
        self.requests = Self::receiver(&self.memory, &self.layout, Lane::Requests)?;
        drop(Self::receiver(&self.memory, &self.layout, Lane::Responses)?);
        self.own.introduce(&self.introduction(), None);
        check!(self.until(|this| this.peer.accepts(this.life)));
        self.own.accept(Incarnation::new(self.peer.incarnation()));
        check!(self.until(|this| this.victim.is_online(node(HOSTILE))));
        Ok(())
    }

    fn introduction(&self) -> window::Introduction {
        window::Introduction {
            node: node(HOSTILE),
            incarnation: self.life,
            protocol: PROTOCOL,
            cpus: 1,
            memory: 1 << 20,
            name: [b'x'; window::NAME_LEN],
        }
    }

    /// Its heart beats, and the victim looks around at once: otherwise it does so every 100 ms.
    fn nudge(&mut self) {
        self.beats += 1;
        self.own.set_heartbeat(self.beats);
        if let Some(link) = self.victim.link(node(HOSTILE)) {
            link.kick();
        }
    }

    /// Waits for `condition`, with a beating heart; false only after a very long time.
    fn until(&mut self, mut condition: impl FnMut(&mut Self) -> bool) -> bool {
        eventually(|| {
            self.nudge();
            condition(self)
        })
    }

    /// A good header for the next message in a ring, without a payload.
    fn header(&self, lane: Lane) -> wire::Header {
        wire::Header {
            kind: ECHO,
            class: match lane {
                Lane::Requests => Class::Request,
                Lane::Responses => Class::Response,
            },
            flags: 0,
            source: node(HOSTILE),
            destination: NodeId::PRIMARY,
            length: 0,
            status: 0,
            sequence: self.out[index(lane)].sequence,
            request: RequestId::new(0, 1).to_wire(),
            incarnation: self.life,
        }
    }

    /// Puts a record into a ring, whatever it is; false: there is no room.
    fn put(&mut self, lane: Lane, parts: &[&[u8]]) -> bool {
        let out = &mut self.out[index(lane)];
        if out.producer.push(parts).is_err() {
            return false;
        }
        out.producer.publish();
        out.sequence += 1;
        true
    }

    /// Puts a good message with `payload`, after `change` has made of its header what it likes.
    fn send(
        &mut self,
        lane: Lane,
        payload: &[u8],
        change: impl FnOnce(&mut [u8; wire::HEADER_SIZE]),
    ) -> bool {
        let mut header = self.header(lane);
        header.length = payload.len() as u32;
        let mut bytes = header.encode();
        change(&mut bytes);
        self.put(lane, &[&bytes, payload])
    }

    /// The victim's next request; how to answer it.
    fn take_request(&mut self) -> Option<wire::Header> {
        let length = self.requests.front().ok()??;
        let mut bytes = [0; wire::HEADER_SIZE];
        let whole = length >= bytes.len() && self.requests.read(0, &mut bytes);
        self.requests.pop();
        self.requests.release();
        wire::Header::decode(&bytes).ok().filter(|_| whole)
    }

    /// Answers `request` with `payload`.
    fn answer(&mut self, request: &wire::Header, payload: &[u8]) -> bool {
        self.send(Lane::Responses, payload, |bytes| {
            bytes[6..8].copy_from_slice(&request.kind.to_le_bytes());
            bytes[32..40].copy_from_slice(&request.request.to_le_bytes());
        })
    }

    /// Where a ring of the window begins.
    fn ring(&self, from: Side, lane: Lane) -> usize {
        self.layout.ring(from, lane)
    }
}

// ---- the scene ----

/// The one that is attacked, node 0, between an honest node and a hostile one. What is dropped first stands first.
struct Scene {
    traffic: Kthread,
    told: Registration,
    hostile: Hostile,
    honest: TestNode,
    victim: TestNode,
}

impl Scene {
    fn new(dead_ms: u32) -> core::result::Result<Self, Failure> {
        TOLD.reset();
        TRAFFIC.rounds.store(0, Ordering::SeqCst);
        TRAFFIC.wrong.store(0, Ordering::SeqCst);
        let victim = TestNode::new(0, PROTOCOL, dead_ms)?;
        let honest = TestNode::new(HONEST, PROTOCOL, LONG_MS)?;
        let told = victim.register(0x5f0..=0x5f0, &TOLD)?;
        let memory = SharedMemory::allocate(WINDOW)?;
        victim.attach(node(HONEST), memory.clone())?;
        honest.attach(NodeId::PRIMARY, memory)?;
        victim.wait_online(node(HONEST), LONG_MS)?;
        honest.wait_online(NodeId::PRIMARY, LONG_MS)?;
        let mut hostile = Hostile::new(&victim)?;
        hostile.join()?;
        let (one, other) = (victim.0.clone(), honest.0.clone());
        let traffic = Kthread::spawn(c_str!("popcorn test"), move || talk(&one, &other))?;
        Ok(Self {
            traffic,
            told,
            hostile,
            honest,
            victim,
        })
    }

    /// The honest traffic goes on, without a fault so far.
    fn honest_goes_on(&self) -> bool {
        let rounds = || TRAFFIC.rounds.load(Ordering::SeqCst);
        let before = rounds();
        eventually(|| rounds().wrapping_sub(before) >= ROUNDS)
            && TRAFFIC.wrong.load(Ordering::SeqCst) == 0
            && self.victim.is_online(node(HONEST))
            && self.honest.is_online(NodeId::PRIMARY)
            && Told::get(&TOLD.dead, HONEST) + Told::get(&TOLD.left, HONEST) == 0
    }

    /// How often the hostile node was told to be dead.
    fn deaths(&self) -> u32 {
        Told::get(&TOLD.dead, HOSTILE)
    }

    /// Waits until it was told once more; then looks whether the log has one line with `reason`, and no other
    /// that says that it is dropped.
    fn is_dropped(&mut self, before: u32, reason: &CStr) -> bool {
        let dropped = c_str!("node 1 is dropped: ");
        self.hostile
            .until(|_| Told::get(&TOLD.dead, HOSTILE) > before)
            && self.deaths() == before + 1
            && log::lines_since(MARK, dropped) == 1
            && log::lines_since(MARK, reason) == 1
            && log::lines_since(MARK, c_str!("node 1 is dead")) == 1
            && log::lines_since(MARK, c_str!("node 2 is d")) == 0
    }

    /// Nothing was dropped, and nothing is said of it.
    fn is_untouched(&self) -> bool {
        self.victim.is_online(node(HOSTILE))
            && self.deaths() == 0
            && log::lines_since(MARK, c_str!("node 1 is d")) == 0
            && log::lines_since(MARK, c_str!("node 2 is d")) == 0
    }

    /// Messages of the hostile node that the victim has taken.
    fn received(&self) -> u64 {
        let link = self.victim.link(node(HOSTILE));
        link.map_or(0, |link| link.statistics().totals().received)
    }

    /// Ends it, and looks whether anything is left over: a call, a request, an answer, a worker. A service could not
    /// even be taken back while there is a request of it.
    fn end(self) -> Outcome {
        let Self {
            traffic,
            told,
            hostile,
            honest,
            victim,
        } = self;
        drop(traffic);
        check!(TRAFFIC.wrong.load(Ordering::SeqCst) == 0);
        for id in [HOSTILE, HONEST] {
            let link = victim.link(node(id)).ok_or(ENODEV)?;
            check!(eventually(|| link.queued.load(Ordering::Relaxed) == 0));
            check!(eventually(|| link.passed_while_waiting().is_none()));
            check!(link.core().pending().used() == 0);
        }
        drop(told);
        victim.detach(node(HOSTILE))?;
        check!(victim.link(node(HOSTILE)).is_none());
        drop(hostile);
        drop(honest);
        Ok(())
    }
}

const MARK: &CStr = c_str!("hostile: the next case begins");

/// What is in the log before this does not count.
fn mark() {
    pr_info!("hostile: the next case begins\n");
}

// ---- what a hostile node does ----

/// A fault, and what the log calls it.
struct Crime {
    reason: &'static CStr,
    commit: fn(&mut Hostile) -> bool,
}

const MALFORMED: &CStr = c_str!("node 1 is dropped: a header is malformed");
const OTHER_LIFE: &CStr =
    c_str!("node 1 is dropped: a message is of another life or out of sequence");
const STRAY: &CStr = c_str!("node 1 is dropped: a message is not from it or not for us");
const WRONG_RING: &CStr = c_str!("node 1 is dropped: a message is in the wrong lane");
const WRONG_LENGTH: &CStr = c_str!("node 1 is dropped: a message has a wrong length");
const TOO_SHORT: &CStr = c_str!("node 1 is dropped: a message is shorter than its header");
const CORRUPT: &CStr = c_str!("node 1 is dropped: its ring is corrupt");

/// A crime that consists of one header with other bytes at one place.
macro_rules! header {
    ($reason:expr, $lane:expr, $at:expr, $bytes:expr) => {
        Crime {
            reason: $reason,
            commit: |hostile| {
                hostile.send($lane, &[], |header| {
                    let bytes: &[u8] = $bytes;
                    header[$at..$at + bytes.len()].copy_from_slice(bytes);
                })
            },
        }
    };
}

/// An offset in a ring, as `popcorn_core::ring` documents it.
const TAIL: usize = 0;

/// The word of a run of `count` records of `length` bytes.
fn run_word(length: u32, count: u32) -> u64 {
    u64::from(length) | (u64::from(count) << 32)
}

/// Writes the word of a ring's first run by hand.
fn put_raw(hostile: &Hostile, lane: Lane, word: u64) -> bool {
    let base = hostile.ring(Side::High, lane);
    hostile.memory.store(base + ring::HEADER_SIZE, word);
    true
}

const CRIMES: &[Crime] = &[
    // Garbage.
    Crime {
        reason: MALFORMED,
        commit: |hostile| hostile.put(Lane::Requests, &[&[0xa5; 300]]),
    },
    Crime {
        reason: MALFORMED,
        commit: |hostile| hostile.put(Lane::Responses, &[&[0; wire::HEADER_SIZE]]),
    },
    header!(MALFORMED, Lane::Requests, 0, b"popc"),
    header!(MALFORMED, Lane::Requests, 4, &[2, 0]),
    header!(MALFORMED, Lane::Requests, 8, &[0]),
    header!(MALFORMED, Lane::Requests, 9, &[0x80]),
    header!(MALFORMED, Lane::Requests, 14, &[0, 1]),
    header!(MALFORMED, Lane::Responses, 63, &[1]),
    // Truncated: less than a header, or than the header says.
    Crime {
        reason: TOO_SHORT,
        commit: |hostile| {
            let header = hostile.header(Lane::Requests).encode();
            hostile.put(Lane::Requests, &[&header[..wire::HEADER_SIZE - 1]])
        },
    },
    header!(WRONG_LENGTH, Lane::Requests, 16, &[1, 0, 0, 0]),
    Crime {
        reason: WRONG_LENGTH,
        commit: |hostile| {
            // More than the header says.
            let header = hostile.header(Lane::Responses).encode();
            hostile.put(Lane::Responses, &[&header, &[0; 5000]])
        },
    },
    // Huge.
    header!(MALFORMED, Lane::Requests, 16, &u32::MAX.to_le_bytes()),
    Crime {
        reason: CORRUPT,
        commit: |hostile| {
            put_raw(
                hostile,
                Lane::Requests,
                run_word(ring::RECORD_MAX as u32 + 1, 1),
            )
        },
    },
    Crime {
        reason: CORRUPT,
        commit: |hostile| put_raw(hostile, Lane::Responses, run_word(u32::MAX, u32::MAX)),
    },
    // A run of nothing, of no records, and of more than there can be.
    Crime {
        reason: CORRUPT,
        commit: |hostile| put_raw(hostile, Lane::Requests, run_word(0, 1)),
    },
    Crime {
        reason: CORRUPT,
        commit: |hostile| put_raw(hostile, Lane::Responses, run_word(64, 0)),
    },
    Crime {
        reason: CORRUPT,
        commit: |hostile| put_raw(hostile, Lane::Requests, run_word(64, 1 << 16)),
    },
    // Replayed, lost, and late by a life.
    Crime {
        reason: OTHER_LIFE,
        commit: |hostile| {
            let message = hostile.header(Lane::Requests).encode();
            hostile.put(Lane::Requests, &[&message]) && hostile.put(Lane::Requests, &[&message])
        },
    },
    header!(OTHER_LIFE, Lane::Requests, 24, &[1]),
    Crime {
        reason: OTHER_LIFE,
        commit: |hostile| {
            let old = hostile.life.get() - 1;
            hostile.send(Lane::Requests, b"late", |header| {
                header[40..48].copy_from_slice(&old.to_le_bytes());
            })
        },
    },
    // In the name of another node, for another one, and from one that cannot be.
    header!(STRAY, Lane::Requests, 10, &[HONEST as u8, 0]),
    header!(STRAY, Lane::Responses, 12, &[HONEST as u8, 0]),
    header!(MALFORMED, Lane::Requests, 10, &[64, 0]),
    // Contradictory: ring and class, class and request id, class and status.
    header!(WRONG_RING, Lane::Requests, 8, &[3]),
    header!(WRONG_RING, Lane::Responses, 8, &[2]),
    header!(MALFORMED, Lane::Requests, 8, &[1]),
    header!(MALFORMED, Lane::Requests, 32, &[0; 8]),
    header!(MALFORMED, Lane::Requests, 20, &(-5i32).to_le_bytes()),
    header!(MALFORMED, Lane::Responses, 20, &5i32.to_le_bytes()),
    header!(MALFORMED, Lane::Responses, 20, &(-4096i32).to_le_bytes()),
    // The index of a ring that the victim fills: found out when that sends.
    Crime {
        reason: c_str!("node 1 is dropped: its index of our ring is corrupt"),
        commit: |hostile| {
            let base = hostile.ring(Side::Low, Lane::Requests);
            hostile.memory.store(base + TAIL, 1 << 40);
            let Ok(big) = KVec::from_elem(0u8, 60_000, GFP_KERNEL) else {
                return false;
            };
            // It looks at that index only when it knows of no room.
            (0..8).any(|_| {
                let sent = hostile.victim.try_post(node(HOSTILE), 0x7000, &[&big]);
                sent.err() == Some(errno::host_down())
            })
        },
    },
];

/// Each way in which a message can be wrong: dropped, one line, and nobody else notices.
fn bad_messages() -> Outcome {
    let mut scene = Scene::new(LONG_MS)?;
    // What others have logged does not suppress what is to come.
    time::sleep_ms(RATE_LIMIT_MS);
    for (number, crime) in CRIMES.iter().enumerate() {
        mark();
        let before = scene.deaths();
        let done = (crime.commit)(&mut scene.hostile) && scene.is_dropped(before, crime.reason);
        if !done {
            pr_err!("hostile: crime {} of this list\n", number);
        }
        check!(done);
        check!(scene.honest_goes_on());
        scene.hostile.join()?;
        time::sleep_ms(PACE_MS);
    }
    let lives = CRIMES.len() as u32 + 1;
    check!(eventually(|| Told::get(&TOLD.online, HOSTILE) == lives));
    scene.end()
}

/// Lies in the words of the window, and lives that begin and end against the rules.
fn bad_window() -> Outcome {
    /// Offsets in a header, as `popcorn_core::window` and `docs/protocol.md` have them.
    const INCARNATION: usize = 32;
    const ACCEPTED: usize = 40;
    const STATE: usize = 48;
    let own = window::HEADER_SIZE;
    let mut scene = Scene::new(LONG_MS)?;
    time::sleep_ms(RATE_LIMIT_MS);
    // Another life, or other words about ours, without leaving: it is dead.
    for (word, value) in [
        (INCARNATION, 0),
        (INCARNATION, 77),
        (ACCEPTED, 0),
        (ACCEPTED, 5),
    ] {
        mark();
        let before = scene.deaths();
        scene.hostile.memory.store(own + word, value);
        check!(scene
            .hostile
            .until(|_| Told::get(&TOLD.dead, HOSTILE) > before));
        check!(scene.deaths() == before + 1);
        check!(log::lines_since(MARK, c_str!("node 1 is d")) == 1);
        check!(scene.honest_goes_on());
        scene.hostile.join()?;
        time::sleep_ms(PACE_MS);
    }
    // Any state but "joined" is "left".
    for value in [0, 2, u64::MAX] {
        mark();
        let before = Told::get(&TOLD.left, HOSTILE);
        scene.hostile.memory.store(own + STATE, value);
        check!(scene
            .hostile
            .until(|_| Told::get(&TOLD.left, HOSTILE) > before));
        check!(log::lines_since(MARK, c_str!("node 1 has left")) == 1);
        scene.hostile.join()?;
        time::sleep_ms(PACE_MS);
    }
    // A doorbell that must not be rung is none.
    for vector in [0u64, 2, 0x80, 0xeb, 0xff, 0x100] {
        let word = (1 << 63) | (vector << 32);
        scene.hostile.memory.store(own + 256, word);
        scene.hostile.own.set_sleeping(true);
        let link = scene.victim.link(node(HOSTILE)).ok_or(ENODEV)?;
        check!(scene.victim.try_post(node(HOSTILE), 0x7000, &[]).is_ok());
        check!(link.statistics().doorbells.get() == 0);
    }
    // In the name of another node: a mismatch, said once, and then it may come as itself.
    time::sleep_ms(RATE_LIMIT_MS);
    mark();
    scene.hostile.own.leave();
    check!(scene
        .hostile
        .until(|this| !this.victim.is_online(node(HOSTILE))));
    let introduction = window::Introduction {
        node: node(HONEST),
        ..scene.hostile.introduction()
    };
    scene.hostile.own.introduce(&introduction, None);
    let mismatch = c_str!("node 1 does not match this one");
    check!(scene
        .hostile
        .until(|_| log::lines_since(MARK, mismatch) > 0));
    for _ in 0..20 {
        scene.hostile.nudge();
        time::sleep_ms(10);
    }
    check!(log::lines_since(MARK, mismatch) == 1);
    check!(!scene.victim.is_online(node(HOSTILE)));
    check!(scene.honest_goes_on());
    scene.hostile.join()?;
    scene.end()
}

/// Answers to no request, to requests of others, to slots that there are not: nobody gets them.
fn answers_nobody_asked_for() -> Outcome {
    static GATE: Gate = Gate::new();
    static RESULT: AtomicU32 = AtomicU32::new(0);
    const GENERATIONS: u32 = 200;
    GATE.reset();
    RESULT.store(0, Ordering::SeqCst);
    let mut scene = Scene::new(LONG_MS)?;
    let service = scene.honest.register(0x5c0..=0x5c0, &GATE)?;
    let opens = Opens(&GATE);
    mark();
    // A call to the honest node that waits, with an id that can be guessed.
    let victim = scene.victim.0.clone();
    let caller = Kthread::spawn(c_str!("popcorn test"), move || {
        let result = match victim.call(node(HONEST), 0x5c0, &[], OPTIONS) {
            Ok(response) if response.payload() == b"gate" => 1,
            _ => 2,
        };
        RESULT.store(result, Ordering::SeqCst);
    })?;
    check!(eventually(|| GATE.begun.load(Ordering::SeqCst) == 1));
    let before = scene.received();
    let mut sent = 0;
    for slot in [0, 1, 2, 3, 1023, 1024, 0x7fff_ffff, u32::MAX] {
        for generation in 0..GENERATIONS {
            let id = RequestId::new(slot, generation).to_wire();
            if id == RequestId::NONE {
                continue;
            }
            check!(scene.hostile.until(|this| {
                this.send(Lane::Responses, b"forged", |header| {
                    header[32..40].copy_from_slice(&id.to_le_bytes());
                })
            }));
            sent += 1;
        }
    }
    check!(scene.hostile.until(|_| true));
    check!(eventually(|| scene.received() == before + sent));
    check!(RESULT.load(Ordering::SeqCst) == 0);
    check!(scene.is_untouched() && scene.honest_goes_on());
    drop(opens);
    check!(eventually(|| RESULT.load(Ordering::SeqCst) != 0));
    drop(caller);
    check!(RESULT.load(Ordering::SeqCst) == 1);
    drop(service);
    scene.end()
}

/// An answer that comes when its caller has gone, and two to one request that contradict each other.
fn late_and_double_answers() -> Outcome {
    static RESULT: AtomicU32 = AtomicU32::new(0);
    const GONE: u32 = 1;
    const FIRST: u32 = 2;
    const OTHER: u32 = 3;
    let mut scene = Scene::new(LONG_MS)?;
    mark();
    for (options, expected) in [(CallOptions::killable(50), GONE), (OPTIONS, FIRST)] {
        RESULT.store(0, Ordering::SeqCst);
        let victim = scene.victim.0.clone();
        let caller = Kthread::spawn(c_str!("popcorn test"), move || {
            let result = match victim.call(node(HOSTILE), 0x5d0, &[], options) {
                Ok(response) if response.payload() == b"first" => FIRST,
                Err(error) if error == errno::timed_out() => GONE,
                _ => OTHER,
            };
            RESULT.store(result, Ordering::SeqCst);
        })?;
        let mut request = None;
        check!(scene.hostile.until(|this| {
            request = this.take_request();
            request.is_some()
        }));
        let request = request.ok_or(EIO)?;
        check!(request.kind == 0x5d0 && request.class == Class::Request);
        if expected == GONE {
            check!(eventually(|| RESULT.load(Ordering::SeqCst) != 0));
        }
        let before = scene.received();
        check!(scene.hostile.answer(&request, b"first"));
        check!(scene.hostile.answer(&request, b"second"));
        check!(scene.hostile.answer(&request, &[0; 4096]));
        check!(eventually(|| RESULT.load(Ordering::SeqCst) != 0));
        drop(caller);
        check!(RESULT.load(Ordering::SeqCst) == expected);
        check!(scene.hostile.until(|_| true));
        check!(eventually(|| scene.received() == before + 3));
    }
    check!(scene.is_untouched() && scene.honest_goes_on());
    scene.end()
}

/// Requests without end from one who takes no answers: it occupies so many workers and no more, others are served
/// meanwhile, and it does not stay.
fn storm() -> Outcome {
    const DEAD_MS: u32 = 4000;
    time::sleep_ms(RATE_LIMIT_MS);
    let mut scene = Scene::new(DEAD_MS)?;
    mark();
    let begin = TRAFFIC.rounds.load(Ordering::SeqCst);
    let payload = KVec::from_elem(0x5au8, 8192, GFP_KERNEL)?;
    let link = scene.victim.link(node(HOSTILE)).ok_or(ENODEV)?;
    let queued_max = link.core().settings().queued_max();
    let mut is_bounded = true;
    check!(scene.hostile.until(|this| {
        for number in 0..64 {
            let kind = [ECHO, ECHO_BY_WORKER, 0x7000][number % 3];
            this.send(Lane::Requests, &payload, |header| {
                header[6..8].copy_from_slice(&kind.to_le_bytes());
            });
        }
        // One that is being taken when the limit is reached may come on top.
        is_bounded &= link.queued.load(Ordering::Relaxed) <= queued_max + 1;
        Told::get(&TOLD.dead, HOSTILE) > 0
    }));
    check!(is_bounded);
    check!(scene.is_dropped(0, c_str!("node 1 is dropped: it took no response for ")));
    check!(TRAFFIC.rounds.load(Ordering::SeqCst).wrapping_sub(begin) >= ROUNDS);
    check!(scene.honest_goes_on());
    drop(link);
    // Another life is served as if nothing had been.
    scene.hostile.join()?;
    check!(scene.honest_goes_on());
    scene.end()
}

/// Messages that nobody knows and that want no answer: lost, and the log is not flooded.
fn flood_of_unknown_messages() -> Outcome {
    const MESSAGES: u64 = 2000;
    let mut scene = Scene::new(LONG_MS)?;
    mark();
    let begin = time::now_ms();
    let before = scene.received();
    for number in 0..MESSAGES {
        check!(scene.hostile.until(|this| {
            this.send(Lane::Requests, b"?", |header| {
                header[6..8].copy_from_slice(&(0x7000 + number as u16 % 16).to_le_bytes());
                header[8] = Class::OneWay.get();
                header[32..40].fill(0);
            })
        }));
    }
    check!(scene.hostile.until(|_| true));
    check!(eventually(|| scene.received() == before + MESSAGES));
    let intervals = 2 + time::now_ms().wrapping_sub(begin) / u64::from(RATE_LIMIT_MS);
    let lines = log::lines_since(MARK, c_str!("from node 1 is lost"));
    check!(lines > 0 && u64::from(lines) <= RATE_LIMIT_LINES * (intervals + 1));
    check!(scene.is_untouched() && scene.honest_goes_on());
    scene.end()
}

/// Good messages with some bytes changed, records of any length, words of the window: whatever comes of each,
/// the node is online again after it, is told as dead as often as it was dropped, and nobody else notices.
fn random_messages() -> Outcome {
    const MESSAGES: u32 = 300;
    let mut scene = Scene::new(LONG_MS)?;
    let mut state = 0x706f_7063_6f72_6e21u64;
    let mut random = move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    };
    for _ in 0..MESSAGES {
        let (deaths, taken) = (scene.deaths(), scene.received());
        let lane = [Lane::Requests, Lane::Responses][random() as usize % 2];
        let length = random() as usize % 200;
        let payload = KVec::from_elem(random() as u8, length, GFP_KERNEL)?;
        let changes = random() % 4;
        let (at, byte) = (random() as usize % wire::HEADER_SIZE, random() as u8);
        let cut = random() as usize % wire::HEADER_SIZE;
        let record = random() % 8;
        let sent = match record {
            // Less than a header, or no header at all.
            0 => {
                let header = scene.hostile.header(lane).encode();
                scene.hostile.put(lane, &[&header[..cut.max(1)], &payload])
            }
            // Any word of a run, wherever the victim looks.
            1 => {
                let words = scene.hostile.ring(Side::High, lane) + ring::HEADER_SIZE;
                let word = random() << (random() % 48);
                for cell in 0..scene.hostile.layout.capacity() / ring::CELL {
                    scene.hostile.memory.store(words + 8 * cell, word);
                }
                true
            }
            _ => scene.hostile.send(lane, &payload, |header| {
                if changes != 0 {
                    header[at] = byte;
                }
                if changes == 3 {
                    header[cut] ^= byte;
                }
            }),
        };
        check!(sent);
        // It is taken, or is the last that this life has sent. A word that says nothing is neither.
        scene.hostile.nudge();
        let is_same = record == 1;
        let mut looks = 0;
        check!(scene.hostile.until(|this| {
            looks += 1;
            let link = this.victim.link(node(HOSTILE));
            let received = link.map_or(0, |link| link.statistics().totals().received);
            Told::get(&TOLD.dead, HOSTILE) > deaths || received > taken || is_same && looks > 40
        }));
        check!(scene.deaths() <= deaths + 1);
        if scene.deaths() > deaths {
            scene.hostile.join()?;
        } else if is_same {
            // It happens to be good, or was not yet looked at: a new life, by the rules.
            scene.hostile.own.leave();
            check!(scene
                .hostile
                .until(|this| !this.victim.is_online(node(HOSTILE))));
            // It may have been dropped meanwhile: that is to be told before the next message.
            scene.victim.settle();
            scene.hostile.join()?;
        }
        check!(TRAFFIC.wrong.load(Ordering::SeqCst) == 0);
    }
    check!(scene.honest_goes_on());
    scene.end()
}
