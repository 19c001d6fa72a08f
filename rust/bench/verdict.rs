// SPDX-License-Identifier: GPL-2.0
//! How ours stands to the best of the others.
//!
//! Samples of all rings are taken by turns, so those of one turn are compared with each other: a machine has better and
//! worse moments, and where its processors are may change. Processes are compared, too: how fast a ring is depends on
//! where its code and its memory happen to lie, for as long as the process runs.

use std::collections::BTreeMap;

/// The one that is ours.
pub const OURS: &str = "popcorn";
/// One of the others, and the same once more, which is no contestant.
pub const TWICE: [&str; 2] = ["rtrb", "again"];
/// Ours, too, but no contestant; and that which is measured twice.
const NO_CONTESTANTS: [&str; 3] = [OURS, "records", TWICE[1]];

/// Nanoseconds per message, by ring, of each turn in one process.
pub type Samples = BTreeMap<String, Vec<f64>>;

/// How ours stands to the best other one in a mode and batch.
pub struct Point {
    pub mode: String,
    pub batch: usize,
    /// Our time by theirs: the median of all turns in a process, and of those the median; to the ring where that is most.
    pub to_best: f64,
    /// How much the ring that is measured twice differs from itself, by the medians of processes: in three quarters of them
    /// no more.
    pub to_itself: f64,
}

impl Point {
    /// None if a ring that is needed was not wanted.
    pub fn new(mode: &str, batch: usize, processes: &[Samples]) -> Option<Self> {
        let others = processes.first()?.keys();
        let others = others.filter(|ring| !NO_CONTESTANTS.contains(&ring.as_str()));
        let to_other = |other: &String| median(ratios(processes, OURS, other)?);
        let to_best = others
            .map(to_other)
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .reduce(f64::max)?;
        let differs = ratios(processes, TWICE[0], TWICE[1])?
            .into_iter()
            .map(|ratio| ratio.max(1.0 / ratio));
        let to_itself = quantile(differs.collect(), 3, 4)?;
        Some(Self {
            mode: mode.to_owned(),
            batch,
            to_best,
            to_itself,
        })
    }

    /// What is noise here: the most that a ring stood to itself in this mode.
    pub fn noise(&self, points: &[Self]) -> f64 {
        let of_mode = points.iter().filter(|point| point.mode == self.mode);
        of_mode.map(|point| point.to_itself).fold(1.0, f64::max)
    }
}

/// One ring by another: of each process the median of all turns.
fn ratios(processes: &[Samples], one: &str, other: &str) -> Option<Vec<f64>> {
    let of_process = |samples: &Samples| {
        let turns = samples.get(one)?.iter().zip(samples.get(other)?);
        median(turns.map(|(one, other)| one / other).collect())
    };
    processes.iter().map(of_process).collect()
}

/// The middle one; None if there is none.
pub fn median(values: Vec<f64>) -> Option<f64> {
    quantile(values, 1, 2)
}

/// The least one that so large a part of them does not exceed.
fn quantile(mut values: Vec<f64>, part: usize, of: usize) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() * part / of).copied()
}

/// How much a ring may differ from itself, so that a comparison with others says something.
pub const NOISE_MAX: f64 = 1.05;

/// How ours stands to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// In so many points it is slower than the best other one by more than noise.
    Slower(usize),
    /// In one or more points there was more noise than [`NOISE_MAX`]: the machine had other things to do.
    Unknown,
}

/// Says how ours stands to the best other one.
pub fn tell(points: &[Point]) -> Verdict {
    if points.is_empty() {
        return Verdict::Slower(0);
    }
    let [twice, _] = TWICE;
    let beside = format!("{twice} to itself");
    println!(
        "{:>10} {:>6} {:>20} {beside:>16} {:>8}",
        "mode", "batch", "ours to best other", "noise"
    );
    let mut slower = 0;
    for point in points {
        let noise = point.noise(points);
        let is_slower = point.to_best > noise;
        slower += usize::from(is_slower);
        println!(
            "{:>10} {:>6} {:>20.3} {:>16.3} {noise:>8.3}{}",
            point.mode,
            point.batch,
            point.to_best,
            point.to_itself,
            if is_slower { "  slower" } else { "" }
        );
    }
    if points.iter().any(|point| point.to_itself > NOISE_MAX) {
        println!("TOO MUCH NOISE: {twice} differs from itself by more than {NOISE_MAX}; try again on an idle machine");
        return Verdict::Unknown;
    }
    match slower {
        0 => println!("the ring is not slower than the best other one by more than noise"),
        _ => println!(
            "THE RING IS SLOWER than the best other one by more than noise, {slower} times"
        ),
    }
    Verdict::Slower(slower)
}
