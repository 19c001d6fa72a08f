// SPDX-License-Identifier: GPL-2.0
//! How long it takes until the others know that a machine is dead: in milliseconds, with clocks, ticks and
//! heartbeats that have nothing to do with each other, as in `popcorn_msg` ([`NEWS_MAX`] and all), on a network of
//! small delay.

#![cfg(not(loom))]

#[path = "xorshift/mod.rs"]
mod xorshift;

use popcorn_core::ids::NodeId;
use popcorn_core::ids::NODE_MAX;
use popcorn_core::membership::machine::Machine;
use popcorn_core::membership::silence;
use popcorn_core::membership::view::Said;
use std::cell::RefCell;
use std::collections::BTreeMap;
use xorshift::Xorshift;

const TICK_MS: u64 = 100;
/// Within so many ticks of its last sign a death is to be known: `dead_ms` is 2000.
const WITHIN: u64 = 20;
const WITHIN_MS: u64 = WITHIN * TICK_MS;
/// On the way, at most; and until a thread runs that is woken.
const WAY_MS: u64 = 10;
const WAKE_MS: u64 = 3;
/// As `popcorn_msg/tcp/member/bond.rs` has it.
const NEWS_MAX: u32 = 4;
const SEEDS: u64 = 300;

thread_local!(static NUMBERS: RefCell<Xorshift> = const { RefCell::new(Xorshift::new(1)) });

fn random() -> u64 {
    NUMBERS.with_borrow_mut(Xorshift::number)
}

fn below(limit: u64) -> u64 {
    (random() >> 20) % limit
}

enum Event {
    /// The members' thread of this one.
    Tick(usize),
    /// The thread of the link from the first to the second.
    Beat(usize, usize),
    /// The same, woken for there are news.
    News(usize, usize),
    Comes(usize, usize, Box<Said>),
}

/// What a link's thread has told.
#[derive(Clone, Copy, Default)]
struct Told {
    stances: u64,
    number: u32,
}

struct World {
    now_ms: u64,
    machines: Vec<Option<Machine>>,
    /// How much later than here it is there.
    skews: Vec<u64>,
    stances: Vec<u64>,
    /// From, to.
    told: BTreeMap<(usize, usize), Told>,
    /// When the last that was sent arrives: what follows does not overtake it.
    arrivals: BTreeMap<(usize, usize), u64>,
    /// By time, and in the order in which they came to be.
    events: BTreeMap<(u64, u64), Event>,
    number: u64,
    tells_news: bool,
    /// When each was last said something by that one.
    last_sign: Vec<u64>,
    silence: u64,
}

fn node(n: usize) -> NodeId {
    NodeId::new(n as u64).expect("few")
}

impl World {
    fn new(count: usize, silence: u64, tells_news: bool) -> Self {
        let mut world = Self {
            now_ms: 0,
            machines: Vec::new(),
            skews: (0..count).map(|_| 1_000_000 + below(100_000)).collect(),
            stances: vec![0; count],
            told: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            events: BTreeMap::new(),
            number: 0,
            tells_news,
            last_sign: vec![0; count],
            silence,
        };
        for n in 0..count {
            let now = world.ticks(n);
            let mut machine = Machine::new(
                node(n),
                now,
                silence,
                random,
                [None; NODE_MAX],
                [None; NODE_MAX],
            );
            (0..count)
                .filter(|other| *other != n)
                .for_each(|other| machine.link(now, node(other), true));
            world.machines.push(Some(machine));
            world.add(below(TICK_MS), Event::Tick(n));
            for other in (0..count).filter(|other| *other != n) {
                world.add(below(TICK_MS), Event::Beat(n, other));
            }
        }
        world.run(10_000);
        let all = (1 << count) - 1;
        assert!((0..count).all(|n| world.members(n) == Some(all)));
        world
    }

    fn add(&mut self, after_ms: u64, event: Event) {
        self.number += 1;
        self.events
            .insert((self.now_ms + after_ms, self.number), event);
    }

    fn ticks(&self, n: usize) -> u64 {
        (self.now_ms + self.skews[n]) / TICK_MS
    }

    fn members(&self, n: usize) -> Option<u64> {
        let machine = self.machines[n].as_ref()?;
        Some(machine.status(self.ticks(n)).members.bits())
    }

    fn with(&mut self, n: usize, what: impl FnOnce(&mut Machine, u64)) {
        let now = self.ticks(n);
        let Some(machine) = &mut self.machines[n] else {
            return;
        };
        let stance = machine.stance();
        what(machine, now);
        machine.conclude(now);
        if machine.stance() == stance {
            return;
        }
        self.stances[n] += 1;
        for other in (0..self.machines.len()).filter(|other| *other != n) {
            if self.tells_news {
                self.add(below(WAKE_MS + 1), Event::News(n, other));
            }
        }
    }

    fn say(&mut self, from: usize, to: usize) {
        let Some(machine) = &self.machines[from] else {
            return;
        };
        let Some(said) = machine.says(node(to), machine.life()) else {
            return;
        };
        self.last_sign[from] = self.now_ms;
        let before = self.arrivals.get(&(from, to)).copied().unwrap_or(0);
        let at = before.max(self.now_ms + below(WAY_MS + 1));
        self.arrivals.insert((from, to), at);
        self.add(at - self.now_ms, Event::Comes(from, to, Box::new(said)));
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Tick(n) => {
                let silence = self.silence;
                self.with(n, |machine, now| machine.tick(now, silence));
                self.add(TICK_MS, Event::Tick(n));
            }
            Event::Beat(from, to) => {
                let stances = self.stances[from];
                self.told.insert((from, to), Told { stances, number: 0 });
                self.say(from, to);
                self.add(TICK_MS, Event::Beat(from, to));
            }
            Event::News(from, to) => {
                let stances = self.stances[from];
                let told = self.told.entry((from, to)).or_default();
                if told.stances != stances && told.number < NEWS_MAX {
                    told.stances = stances;
                    told.number += 1;
                    self.say(from, to);
                }
            }
            Event::Comes(from, to, said) => self.with(to, |machine, now| {
                machine.hear(now, node(from), &said).expect("it is honest");
            }),
        }
    }

    fn run(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while let Some(entry) = self.events.first_entry() {
            let (at, _) = *entry.key();
            if at > end {
                break;
            }
            let event = entry.remove();
            self.now_ms = at;
            self.happens(event);
        }
        self.now_ms = end;
    }
}

/// One dies at any time. How long after its last sign the last of the others knows; none of them notices anything else.
fn takes(count: usize, victim: usize, silence: u64, tells_news: bool) -> u64 {
    let mut world = World::new(count, silence, tells_news);
    world.run(below(5000));
    world.machines[victim] = None;
    let rest = ((1 << count) - 1) & !(1 << victim);
    let knows =
        |world: &World| (0..count).all(|n| world.members(n).is_none_or(|members| members == rest));
    while !knows(&world) {
        world.run(1);
        assert!(
            world.now_ms - world.last_sign[victim] < 4 * WITHIN_MS,
            "never"
        );
    }
    for n in (0..count).filter(|n| *n != victim) {
        let machine = world.machines[n].as_ref().expect("alive");
        assert_ne!(machine.serves(world.ticks(n), 1), Some(0));
    }
    world.now_ms - world.last_sign[victim]
}

/// The longest that it takes, whoever dies of so many of which the others can go on.
fn longest(silence: u64, tells_news: bool) -> u64 {
    (1..=SEEDS)
        .map(|seed| {
            NUMBERS.set(Xorshift::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1));
            let count = 2 + below(4) as usize;
            let victim = match count {
                2 => 1,
                _ => below(count as u64) as usize,
            };
            takes(count, victim, silence, tells_news)
        })
        .max()
        .unwrap_or(0)
}

#[test]
fn a_death_is_known_in_time() {
    let longest = longest(silence(WITHIN), true);
    println!("{longest} ms");
    assert!(longest <= WITHIN_MS);
    // It is as seldom false as it can be.
    assert!(longest > WITHIN_MS - 2 * TICK_MS);
}

#[test]
fn not_if_all_of_the_time_is_silence() {
    assert!(longest(WITHIN, true) > WITHIN_MS);
}

#[test]
fn nor_if_everything_waits_for_heartbeats() {
    assert!(longest(silence(WITHIN), false) > WITHIN_MS);
}

/// Of one machine a node looks once a tick whether the other's heartbeat goes on (`popcorn_msg/shm/receiver.rs`).
#[test]
fn of_one_machine_too() {
    for phase in 0..TICK_MS {
        // The last beat is seen at the next look, and the looks after that count.
        let seen_at = TICK_MS - phase;
        assert!(seen_at + silence(WITHIN) * TICK_MS <= WITHIN_MS);
    }
}
