// SPDX-License-Identifier: GPL-2.0

//! Breadth-first exploration of every reachable state of a finite system.
//!
//! Reports the shortest path to a state that breaks an invariant, or from which the goal cannot be
//! reached any more. The latter covers deadlock and livelock alike: after the forward search a
//! backward search from all goal states, along the steps which the system is sure to take
//! ([`Will::Own`]), must meet every state. Steps of an adversary (a node's death, say) are explored
//! but do not count as a way out.

use std::fmt::Debug;
use std::hash::BuildHasherDefault;
use std::hash::Hash;
use std::hash::Hasher;

/// Whose decision a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Will {
    /// The system takes it sooner or later if it stays possible.
    Own,
    /// It may happen or not.
    Adversary,
}

/// One step out of a state.
pub(crate) struct Successor<S, L> {
    pub(crate) label: L,
    pub(crate) will: Will,
    /// The next state, or what was wrong with the step.
    pub(crate) result: Result<S, String>,
}

/// A finite system of states and steps.
pub(crate) trait System {
    type State: Clone;
    type Label: Debug;
    /// An exact, compact stand-in for a state.
    type Key: Copy + Eq + Hash;

    fn initial(&self) -> Self::State;
    /// The key of `state`; states with equal keys may be taken for each other. `near` helps: the state
    /// that it was reached from differs little, and its key is known.
    fn pack(&mut self, state: &Self::State, near: Near<Self>) -> Self::Key;
    /// A state with that key.
    fn unpack(&self, key: Self::Key) -> Self::State;
    /// Appends every step out of `state`; the same ones in the same order each time.
    fn successors(&self, state: &Self::State, out: &mut Vec<Successor<Self::State, Self::Label>>);
    /// What is wrong with `state`, if anything.
    fn check(&self, state: &Self::State) -> Result<(), String>;
    /// Whether all work is done.
    fn is_goal(&self, state: &Self::State) -> bool;
}

/// A state and its key, if one is known.
pub(crate) type Near<'a, S> = Option<(<S as System>::Key, &'a <S as System>::State)>;

/// What was explored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) steps: usize,
    pub(crate) goals: usize,
}

/// What is wrong, and the steps that lead there.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) what: String,
    pub(crate) trace: Vec<String>,
}

/// The message of a [`Violation`] by which the goal cannot be reached.
pub(crate) const STUCK: &str = "the goal cannot be reached any more";

/// Explores `system` to the end, or to the first violation.
pub(crate) fn explore<S: System>(system: &mut S) -> Result<Explored, Violation> {
    let mut seen: FastMap<S::Key, u32> = FastMap::default();
    let mut keys: Vec<S::Key> = Vec::new();
    let mut parents: Vec<u32> = Vec::new();
    // Steps of the system's own will, as (from, to), for the backward search.
    let mut own: Vec<(u32, u32)> = Vec::new();
    let mut goals: Vec<u32> = Vec::new();
    let mut steps = 0;
    let mut out = Vec::new();

    let first = system.initial();
    let key = system.pack(&first, None);
    seen.insert(key, 0);
    keys.push(key);
    parents.push(0);

    let mut at = 0;
    while at < keys.len() {
        let state = system.unpack(keys[at]);
        let here = u32::try_from(at).expect("too many states for this explorer");
        if let Err(what) = system.check(&state) {
            return Err(violation(system, what, &keys, &parents, here, None));
        }
        if system.is_goal(&state) {
            goals.push(here);
        }
        system.successors(&state, &mut out);
        for step in out.drain(..) {
            steps += 1;
            let next = match step.result {
                Ok(next) => next,
                Err(what) => {
                    let last = Some(format!("{:?}", step.label));
                    return Err(violation(system, what, &keys, &parents, here, last));
                }
            };
            let key = system.pack(&next, Some((keys[at], &state)));
            let index = *seen.entry(key).or_insert_with(|| {
                keys.push(key);
                parents.push(here);
                u32::try_from(keys.len() - 1).expect("too many states for this explorer")
            });
            if step.will == Will::Own {
                own.push((here, index));
            }
        }
        at += 1;
    }
    drop(seen);

    if let Some(stuck) = first_stuck(keys.len(), &own, &goals) {
        let what = STUCK.to_string();
        return Err(violation(system, what, &keys, &parents, stuck, None));
    }
    Ok(Explored {
        states: keys.len(),
        steps,
        goals: goals.len(),
    })
}

/// The first state, in order of discovery, from which no goal can be reached along `edges`.
fn first_stuck(states: usize, edges: &[(u32, u32)], goals: &[u32]) -> Option<u32> {
    // Predecessors, grouped by state: those of n are at starts[n]..starts[n + 1].
    let mut starts = vec![0_u32; states + 1];
    for (_, to) in edges {
        starts[*to as usize + 1] += 1;
    }
    for n in 0..states {
        starts[n + 1] += starts[n];
    }
    let mut fill = starts.clone();
    let mut predecessors = vec![0_u32; edges.len()];
    for (from, to) in edges {
        let place = &mut fill[*to as usize];
        predecessors[*place as usize] = *from;
        *place += 1;
    }

    let mut reaches = vec![false; states];
    let mut work: Vec<u32> = goals.to_vec();
    for goal in goals {
        reaches[*goal as usize] = true;
    }
    while let Some(state) = work.pop() {
        let range = starts[state as usize] as usize..starts[state as usize + 1] as usize;
        for from in &predecessors[range] {
            if !std::mem::replace(&mut reaches[*from as usize], true) {
                work.push(*from);
            }
        }
    }
    let stuck = reaches.iter().position(|reaches| !reaches)?;
    Some(stuck as u32)
}

/// Finds the steps from the initial state to `at` again.
fn violation<S: System>(
    system: &mut S,
    what: String,
    keys: &[S::Key],
    parents: &[u32],
    mut at: u32,
    last: Option<String>,
) -> Violation {
    let mut path = vec![at];
    while at != 0 {
        at = parents[at as usize];
        path.push(at);
    }
    path.reverse();
    let mut trace = Vec::new();
    let mut out = Vec::new();
    for pair in path.windows(2) {
        let state = system.unpack(keys[pair[0] as usize]);
        system.successors(&state, &mut out);
        for step in out.drain(..) {
            let reached = match step.result {
                Ok(next) => system.pack(&next, None) == keys[pair[1] as usize],
                Err(_) => false,
            };
            if reached {
                trace.push(format!("{:?}", step.label));
                break;
            }
        }
    }
    trace.extend(last);
    Violation { what, trace }
}

/// A map with a hasher that is fast on the small keys used here; nothing hostile comes in.
pub(crate) type FastMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<Mix>>;

/// Multiply and fold, one word at a time.
#[derive(Default)]
pub(crate) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        // Any odd constants with well spread bits do.
        let product = u128::from(self.0 ^ word ^ 0x9e37_79b9_7f4a_7c15)
            * u128::from(0xd6e8_feb8_6659_fd93_u64);
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    fn write_u8(&mut self, n: u8) {
        self.write_u64(u64::from(n));
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }

    fn write_isize(&mut self, n: isize) {
        self.write_u64(n as u64);
    }
}
