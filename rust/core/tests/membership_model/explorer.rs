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
        match recover(&mut state, config.must_recover) {
            Ok(true) => explored.recovered += 1,
            Ok(false) => explored.lost += 1,
            Err(what) => {
                let state = state.describe();
                return Err(Violation { what, trace, state });
            }
        }
    }
    Ok(explored)
}

/// All links are up from here on: whether all that are alive come to serve together. `must_recover`: it is
/// wrong if they do not, though they can.
fn recover<const N: usize>(state: &mut Cluster<N>, must_recover: bool) -> Result<bool, Wrong> {
    state.heal();
    for _ in 0..RECOVERY {
        state.tick(None)?;
    }
    if state.is_whole() {
        return Ok(true);
    }
    if must_recover && state.can_recover() {
        return Err("those that are there do not find each other");
    }
    Ok(false)
}

/// One way of `config` again: `trace` is as in [`Violation`]. Whether all serve together at its end.
pub(crate) fn replay<const N: usize>(
    config: Config,
    trace: &[(u64, Action)],
) -> Result<bool, Violation> {
    let mut state = Cluster::<N>::new(config.members, config.mutation);
    let mut due = trace.iter().copied().peekable();
    let mut run = |state: &mut Cluster<N>| {
        for tick in 0..config.ticks {
            state.tick(due.next_if(|(at, _)| *at == tick).map(|(_, action)| action))?;
        }
        assert_eq!(due.next(), None, "it is in order and within the time");
        recover(state, config.must_recover)
    };
    run(&mut state).map_err(|what| Violation {
        what,
        trace: trace.to_vec(),
        state: state.describe(),
    })
}
