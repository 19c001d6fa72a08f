// SPDX-License-Identifier: GPL-2.0
//! Machines, the sessions between them as `popcorn_msg/tcp/member/bond.rs` has them, and a network that fails.

use crate::xorshift::Xorshift;
use popcorn_core::directory::NodeSet;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::ids::NODE_MAX;
use popcorn_core::membership::agreement::Ballot;
use popcorn_core::membership::machine::Bond;
use popcorn_core::membership::machine::Machine;
use popcorn_core::membership::view::Said;
use popcorn_core::membership::view::View;
use popcorn_core::membership::view::SAID_MAX;
use popcorn_core::membership::ForceError;
use std::cell::RefCell;
use std::mem;

/// Ticks of silence until others are dead.
pub(crate) const DEAD: u64 = 20;
/// See [`Pair::lag`].
const LAG: u64 = 3;
/// How far ahead a machine looks whether it serves.
const AHEAD: u64 = 50;

thread_local!(static NUMBERS: RefCell<Xorshift> = const { RefCell::new(Xorshift::new(1)) });

/// Begins another sequence of random numbers.
pub(crate) fn seed(seed: u64) {
    NUMBERS.set(Xorshift::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1));
}

pub(crate) fn random() -> u64 {
    NUMBERS.with_borrow_mut(Xorshift::number)
}

pub(crate) fn below(limit: u64) -> u64 {
    (random() >> 20) % limit
}

/// What travels in a session.
enum Word {
    View(Box<Said>),
    /// The sender leaves.
    Goodbye,
}

/// One side of a session.
#[derive(Default)]
struct Half {
    own: Option<Incarnation>,
    peer: Option<Incarnation>,
    is_online: bool,
    /// What comes to it, and when, in order.
    coming: Vec<(u64, Word)>,
}

/// Two machines that look for each other.
struct Pair {
    ends: [usize; 2],
    halves: [Half; 2],
    retry_at: u64,
    is_cut: bool,
    /// One of them does not seek the other any more.
    is_over: bool,
    /// How many ticks it may take from one to the other, at most, and one more.
    lag: u64,
}

pub(crate) struct World {
    now: u64,
    /// Ticks of silence until others are dead, from now on.
    pub(crate) dead: u64,
    ids: Vec<u64>,
    machines: Vec<Option<Machine>>,
    /// How much later than here it is there.
    skews: Vec<u64>,
    pairs: Vec<Pair>,
    /// By machine, how often it said that another one is dead.
    pub(crate) deaths: Vec<u32>,
    /// By machine, how often it said that another one has left.
    pub(crate) leaves: Vec<u32>,
    /// By machine, how often others have dropped it for what it said.
    pub(crate) faults: Vec<u32>,
    /// What it says, in place of what it should.
    liar: Option<(usize, Lie)>,
}

/// To whom, and what would be the truth.
type Lie = Box<dyn FnMut(usize, &Said) -> Said>;

/// Which of the two it tells of.
#[derive(Clone, Copy)]
enum End {
    Dead,
    Left,
}

fn node(id: u64) -> NodeId {
    NodeId::new(id).expect("below 64")
}

impl World {
    /// Machines that are off, and do not know each other.
    pub(crate) fn new(ids: &[u64]) -> Self {
        Self {
            now: 1000,
            dead: DEAD,
            ids: ids.to_vec(),
            machines: ids.iter().map(|_| None).collect(),
            skews: vec![0; ids.len()],
            pairs: Vec::new(),
            deaths: vec![0; ids.len()],
            leaves: vec![0; ids.len()],
            faults: vec![0; ids.len()],
            liar: None,
        }
    }

    /// Machines that are switched on at once, and all know each other.
    pub(crate) fn mesh(ids: &[u64]) -> Self {
        let mut world = Self::new(ids);
        for n in 0..ids.len() {
            world.boot(n);
            for other in 0..n {
                world.link(n, other);
            }
        }
        world
    }

    fn with(&mut self, n: usize, what: impl FnOnce(&mut Machine, u64)) {
        let now = self.now + self.skews[n];
        if let Some(machine) = &mut self.machines[n] {
            what(machine, now);
            machine.conclude(now);
        }
    }

    pub(crate) fn is_on(&self, n: usize) -> bool {
        self.machines[n].is_some()
    }

    pub(crate) fn boot(&mut self, n: usize) {
        self.skews[n] = below(100_000);
        let now = self.now + self.skews[n];
        let me = node(self.ids[n]);
        let machine = Machine::new(me, now, DEAD, random, [None; NODE_MAX], [None; NODE_MAX]);
        self.machines[n] = Some(machine);
        let known: Vec<usize> = self.pairs.iter().filter_map(|pair| pair.other(n)).collect();
        for other in known {
            let peer = node(self.ids[other]);
            self.with(n, |machine, now| machine.link(now, peer, true));
        }
    }

    /// Switches it off.
    pub(crate) fn kill(&mut self, n: usize) {
        self.machines[n] = None;
        for pair in &mut self.pairs {
            if let Some(end) = pair.ends.iter().position(|end| *end == n) {
                pair.halves[end] = Half::default();
            }
        }
    }

    pub(crate) fn link(&mut self, a: usize, b: usize) {
        self.pairs.push(Pair {
            ends: [a, b],
            halves: Default::default(),
            retry_at: self.now + 1,
            is_cut: false,
            is_over: false,
            lag: LAG,
        });
        for (n, other) in [(a, b), (b, a)] {
            let peer = node(self.ids[other]);
            self.with(n, |machine, now| machine.link(now, peer, true));
        }
    }

    pub(crate) fn cut(&mut self, a: usize, b: usize, is_cut: bool) {
        for pair in &mut self.pairs {
            if pair.ends == [a, b] || pair.ends == [b, a] {
                pair.is_cut = is_cut;
            }
        }
    }

    /// How long it takes between these two, at most.
    pub(crate) fn slow(&mut self, a: usize, b: usize, ticks: u64) {
        for pair in &mut self.pairs {
            if pair.ends == [a, b] || pair.ends == [b, a] {
                pair.lag = ticks + 1;
            }
        }
    }

    /// One side ends a session; the other hears of it if it can.
    fn end(&mut self, at: usize, side: usize) {
        for end in [side, 1 - side] {
            if end == side || !self.pairs[at].is_cut {
                self.down(at, end, End::Dead);
            }
        }
    }

    /// The session is over for one side.
    fn down(&mut self, at: usize, side: usize, how: End) {
        let wait = 1 + below(5);
        let pair = &mut self.pairs[at];
        pair.retry_at = self.now + wait;
        let half = mem::take(&mut pair.halves[side]);
        let (n, other) = (pair.ends[side], pair.ends[1 - side]);
        let told = match how {
            End::Dead => &mut self.deaths,
            End::Left => &mut self.leaves,
        };
        told[n] += u32::from(half.is_online);
        if half.own.is_some() {
            let peer = node(self.ids[other]);
            self.with(n, |machine, now| machine.disconnected(now, peer));
        }
    }

    fn consider(&mut self, at: usize, side: usize) {
        let pair = &self.pairs[at];
        let half = &pair.halves[side];
        let peer = node(self.ids[pair.ends[1 - side]]);
        let (Some(own), Some(machine)) = (half.own, &self.machines[pair.ends[side]]) else {
            return;
        };
        match machine.bond(peer, half.peer, own) {
            Bond::Over => self.end(at, side),
            Bond::Stranger if half.is_online => self.end(at, side),
            Bond::Member { is_mutual: true } => self.pairs[at].halves[side].is_online = true,
            _ => {}
        }
    }

    fn say(&mut self, at: usize, side: usize) {
        let pair = &self.pairs[at];
        let peer = node(self.ids[pair.ends[1 - side]]);
        let (Some(own), Some(machine)) = (pair.halves[side].own, &self.machines[pair.ends[side]])
        else {
            return;
        };
        let Some(said) = machine.says(peer, own).filter(|_| !pair.is_cut) else {
            return;
        };
        let n = pair.ends[side];
        let said = match &mut self.liar {
            Some((liar, lie)) if *liar == n => lie(pair.ends[1 - side], &said),
            _ => said,
        };
        let mut bytes = [0; SAID_MAX];
        let length = said.encode(&mut bytes).expect("it fits");
        match Said::decode(&bytes[..length]) {
            Ok(said) => self.send(at, 1 - side, Word::View(Box::new(said))),
            Err(_) => self.drop_faulty(at, 1 - side),
        }
    }

    /// The other side has said what cannot be.
    fn drop_faulty(&mut self, at: usize, side: usize) {
        self.faults[self.pairs[at].ends[1 - side]] += 1;
        self.end(at, side);
    }

    /// From here on this one says something else than it should.
    pub(crate) fn lies(&mut self, n: usize, lie: impl FnMut(usize, &Said) -> Said + 'static) {
        self.liar = Some((n, Box::new(lie)));
    }

    /// It says what it should again.
    pub(crate) fn repents(&mut self) {
        self.liar = None;
    }

    fn send(&mut self, at: usize, to: usize, word: Word) {
        let pair = &mut self.pairs[at];
        let comes_at = self.now + below(pair.lag);
        pair.halves[to].coming.push((comes_at, word));
    }

    fn hear(&mut self, at: usize, side: usize) {
        loop {
            let pair = &mut self.pairs[at];
            let half = &mut pair.halves[side];
            let is_there = half
                .coming
                .first()
                .is_some_and(|(when, _)| *when <= self.now);
            if pair.is_cut || !is_there {
                return;
            }
            let (_, word) = half.coming.remove(0);
            if half.own.is_none() {
                continue;
            }
            let Word::View(said) = word else {
                return self.down(at, side, End::Left);
            };
            let known = half.peer.replace(said.life);
            let (n, other) = (pair.ends[side], pair.ends[1 - side]);
            if known.is_some_and(|known| known != said.life) {
                return self.end(at, side);
            }
            let from = node(self.ids[other]);
            let mut is_good = true;
            self.with(n, |machine, now| {
                is_good = machine.hear(now, from, &said).is_ok();
            });
            if !is_good {
                return self.drop_faulty(at, side);
            }
            self.consider(at, side);
        }
    }

    fn meet(&mut self, at: usize) {
        let pair = &self.pairs[at];
        let lives = pair
            .ends
            .map(|n| self.machines[n].as_ref().map(Machine::life));
        let [Some(first), Some(second)] = lives else {
            return;
        };
        let is_up = pair.halves.iter().all(|half| half.own.is_some());
        if is_up || pair.is_cut || pair.is_over || self.now < pair.retry_at {
            return;
        }
        for side in 0..2 {
            // Who still has a session learns that the other has none.
            if self.pairs[at].halves[side].own.is_some() {
                self.end(at, side);
            }
        }
        for (half, life) in self.pairs[at].halves.iter_mut().zip([first, second]) {
            half.own = Some(life);
            half.coming.clear();
        }
    }

    fn tick(&mut self) {
        self.now += 1;
        let dead = self.dead;
        for n in 0..self.machines.len() {
            self.with(n, |machine, now| machine.tick(now, dead));
        }
        for at in 0..self.pairs.len() {
            for side in 0..2 {
                self.consider(at, side);
                self.say(at, side);
                self.hear(at, 1 - side);
            }
            self.meet(at);
        }
    }

    pub(crate) fn run(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.tick();
        }
    }

    /// How long it takes until that holds.
    pub(crate) fn until(&mut self, what: &str, limit: u64, holds: impl Fn(&Self) -> bool) -> u64 {
        let begin = self.now;
        while !holds(self) {
            assert!(self.now - begin < limit, "never: {what}{}", self.describe());
            self.tick();
        }
        self.now - begin
    }

    /// How things stand, for a person.
    fn describe(&self) -> String {
        let machines = self.machines.iter().zip(&self.skews).zip(&self.ids);
        let each = machines.filter_map(|((machine, skew), id)| {
            let machine = machine.as_ref()?;
            let now = self.now + skew;
            let missing = machine.missing(now).bits();
            let status = machine.status(now);
            Some(format!("\n  {id}: {status:x?}, missing {missing:b}"))
        });
        each.collect()
    }

    pub(crate) fn members(&self, n: usize) -> u64 {
        let now = self.now + self.skews[n];
        self.machines[n]
            .as_ref()
            .map_or(0, |machine| machine.status(now).members.bits())
    }

    /// Members that it does not hear.
    pub(crate) fn missing(&self, n: usize) -> u64 {
        let now = self.now + self.skews[n];
        self.machines[n]
            .as_ref()
            .map_or(0, |machine| machine.missing(now).bits())
    }

    pub(crate) fn cluster(&self, n: usize) -> u64 {
        let now = self.now + self.skews[n];
        self.machines[n]
            .as_ref()
            .map_or(0, |machine| machine.status(now).cluster)
    }

    pub(crate) fn epoch(&self, n: usize) -> u64 {
        let now = self.now + self.skews[n];
        self.machines[n]
            .as_ref()
            .map_or(0, |machine| machine.status(now).epoch)
    }

    pub(crate) fn life(&self, n: usize) -> Option<Incarnation> {
        self.machines[n].as_ref().map(Machine::life)
    }

    /// It has promised an attempt to change its list.
    pub(crate) fn has_promised(&self, n: usize) -> bool {
        self.view(n)
            .is_some_and(|view| view.opinion.promised != Ballot::NONE)
    }

    /// It has accepted a change of its list.
    pub(crate) fn has_accepted(&self, n: usize) -> bool {
        self.view(n)
            .is_some_and(|view| view.opinion.accepted.is_some())
    }

    /// It has resigned, or leaves.
    pub(crate) fn has_resigned(&self, n: usize) -> bool {
        self.view(n).is_some_and(|view| view.is_leaving)
    }

    /// What it would say to itself.
    fn view(&self, n: usize) -> Option<View> {
        let machine = self.machines[n].as_ref()?;
        let said = machine.says(node(self.ids[n]), machine.life())?;
        Some(said.view)
    }

    pub(crate) fn serves(&self, n: usize) -> bool {
        let now = self.now + self.skews[n];
        self.machines[n]
            .as_ref()
            .is_some_and(|machine| machine.serves(now, AHEAD) != Some(0))
    }

    /// These are one system, all serve, and those of them that know each other are online.
    pub(crate) fn is_one(&self, who: &[usize]) -> bool {
        let all = who
            .iter()
            .fold(NodeSet::EMPTY, |set, n| set.with(node(self.ids[*n])));
        let is_of_it = |n: &usize| who.contains(n);
        who.iter()
            .all(|n| self.members(*n) == all.bits() && self.serves(*n))
            && self
                .pairs
                .iter()
                .filter(|pair| pair.ends.iter().all(is_of_it))
                .all(|pair| pair.halves.iter().all(|half| half.is_online))
    }

    pub(crate) fn force(&mut self, n: usize, absent: usize) -> Result<(), ForceError> {
        self.force_id(n, self.ids[absent])
    }

    /// [`World::force`], by the id, also of one that is not there.
    pub(crate) fn force_id(&mut self, n: usize, absent: u64) -> Result<(), ForceError> {
        let absent = node(absent);
        let mut result = Ok(());
        self.with(n, |machine, now| result = machine.force(now, absent));
        result
    }

    /// It begins to leave, if there are others.
    pub(crate) fn leave(&mut self, n: usize) -> bool {
        let mut has_others = false;
        self.with(n, |machine, _| has_others = machine.leave());
        has_others
    }

    /// One side says goodbye and ends its session.
    fn part(&mut self, at: usize, side: usize) {
        if self.pairs[at].halves[side].own.is_some() {
            self.send(at, 1 - side, Word::Goodbye);
            self.down(at, side, End::Left);
        }
    }

    /// Its links end, in order, and it is switched off.
    pub(crate) fn depart(&mut self, n: usize) {
        for at in 0..self.pairs.len() {
            if let Some(side) = self.pairs[at].ends.iter().position(|end| *end == n) {
                self.part(at, side);
            }
        }
        self.machines[n] = None;
    }

    /// The first one does not seek the second any more.
    pub(crate) fn unlink(&mut self, n: usize, other: usize) {
        for at in 0..self.pairs.len() {
            let ends = self.pairs[at].ends;
            if ends == [n, other] || ends == [other, n] {
                self.part(at, usize::from(ends[1] == n));
                self.pairs[at].is_over = true;
            }
        }
        let peer = node(self.ids[other]);
        self.with(n, |machine, now| machine.link(now, peer, false));
    }

    pub(crate) fn is_gone(&self, n: usize) -> bool {
        let now = self.now + self.skews[n];
        self.machines[n]
            .as_ref()
            .is_some_and(|machine| machine.is_gone(now))
    }
}

impl Pair {
    fn other(&self, n: usize) -> Option<usize> {
        let end = self.ends.iter().position(|end| *end == n)?;
        Some(self.ends[1 - end])
    }
}
