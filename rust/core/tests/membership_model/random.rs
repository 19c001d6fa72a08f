// SPDX-License-Identifier: GPL-2.0

//! Long runs with many actions, drawn from a seed.

use crate::cluster::Action;
use crate::cluster::Cluster;
use crate::cluster::Mutation;
use crate::cluster::DEAD;
use crate::xorshift::Xorshift;

/// Actions are this seldom, on average: once in so many ticks.
const SELDOM: u64 = DEAD;
const TICKS: u64 = 40 * DEAD;

/// `seeds` runs with `members` of `N` machines; each ends with all links up, and those that are
/// there must find each other if they can.
pub(crate) fn run<const N: usize>(members: usize, seeds: u64) {
    let mut whole = 0;
    let first = Cluster::<N>::new(members, Mutation::None);
    let repertoire = crate::all(N);
    for seed in 1..=seeds {
        let mut numbers = Xorshift::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut below = |bound: u64| numbers.number() % bound;
        let mut cluster = first.clone();
        let mut trace: Vec<(u64, Action)> = Vec::new();
        for _ in 0..TICKS {
            let action = repertoire[below(repertoire.len() as u64) as usize];
            // Kills and leaves are among few others when machines are few: fewer of those.
            let is_rare = matches!(action, Action::Kill(_) | Action::Leave(_));
            let is_due = below(if is_rare { 4 * SELDOM } else { SELDOM }) == 0;
            let action = Some(action).filter(|action| is_due && cluster.can(*action));
            trace.extend(action.map(|action| (cluster.now, action)));
            if let Err(what) = cluster.tick(action) {
                panic!("seed {seed}: {what}\n  {trace:?}");
            }
        }
        cluster.heal();
        for _ in 0..20 * DEAD {
            if let Err(what) = cluster.tick(None) {
                panic!("seed {seed}, healed: {what}\n  {trace:?}");
            }
        }
        if cluster.is_whole() {
            whole += 1;
        } else {
            assert!(
                !cluster.can_recover(),
                "seed {seed}: not whole\n  {trace:?}\n{}",
                cluster.describe()
            );
        }
    }
    println!("{members} of {N} machines: {seeds} runs, {whole} whole at the end");
    assert!(whole > 0);
}
