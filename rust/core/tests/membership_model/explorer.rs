// SPDX-License-Identifier: GPL-2.0

//! Every way in which an adversary can spend a number of actions on a cluster, one in a tick at
//! most.

use crate::cluster::Action;
use crate::cluster::Cluster;
use crate::cluster::Mutation;
use crate::cluster::Wrong;
use crate::cluster::DEAD;
use std::collections::HashMap;

/// What is explored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) members: usize,
    /// What the adversary may do.
    pub(crate) repertoire: fn(usize) -> Vec<Action>,
    /// How often.
    pub(crate) actions: u8,
    /// In how many ticks, from the beginning.
    pub(crate) ticks: u64,
    /// Only what leaves a majority, and then nobody may notice.
    pub(crate) is_calm: bool,
    /// After the last action, with all links up, those that are there must find each other.
    pub(crate) must_recover: bool,
    pub(crate) mutation: Mutation,
}

/// Ticks from the last action until all is well again.
const RECOVERY: u64 = 16 * DEAD;

/// What is wrong, and what led there: each action with its tick.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) what: Wrong,
    pub(crate) trace: Vec<(u64, Action)>,
    pub(crate) state: String,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) recovered: usize,
    /// Too many were gone.
    pub(crate) lost: usize,
}

/// Explores all of `config`, tick by tick: states that are equal after a tick are one.
pub(crate) fn explore<const N: usize>(config: Config) -> Result<Explored, Violation> {
    let mut first = Cluster::<N>::new(config.members, config.mutation);
    first.has_faltered();
    let begin = first.now;
    let repertoire = (config.repertoire)(N);
    // With each state the shortest trace to it, and so how many actions are left.
    let mut level: HashMap<Cluster<N>, Vec<(u64, Action)>> = HashMap::new();
    level.insert(first, Vec::new());
    let mut explored = Explored::default();
    for _ in 0..config.ticks {
        let mut next: HashMap<Cluster<N>, Vec<(u64, Action)>> = HashMap::new();
        for (state, trace) in level {
            explored.states += 1;
            let others = repertoire
                .iter()
                .copied()
                .filter(|_| trace.len() < usize::from(config.actions))
                .filter(|action| state.can(*action))
                .filter(|action| !config.is_calm || state.is_of_a_minority(*action))
                .map(Some);
            for action in std::iter::once(None).chain(others) {
                let mut after = state.clone();
                let mut trace = trace.clone();
                trace.extend(action.map(|action| (state.now - begin, action)));
                let result = after.tick(action);
                if let Err(what) = result {
                    let state = after.describe();
                    return Err(Violation { what, trace, state });
                }
                if config.is_calm && after.has_faltered() {
                    let what = "a machine stopped serving though most were there";
                    let state = after.describe();
                    return Err(Violation { what, trace, state });
                }
                let place = next.entry(after).or_insert_with(|| trace.clone());
                if trace.len() < place.len() {
                    *place = trace;
                }
            }
        }
        level = next;
    }
    for (mut state, trace) in level {
        state.heal();
        for _ in 0..RECOVERY {
            if let Err(what) = state.tick(None) {
                let state = state.describe();
                return Err(Violation { what, trace, state });
            }
        }
        if state.is_whole() {
            explored.recovered += 1;
        } else if config.must_recover && state.can_recover() {
            let what = "those that are there do not find each other";
            let state = state.describe();
            return Err(Violation { what, trace, state });
        } else {
            explored.lost += 1;
        }
    }
    Ok(explored)
}
