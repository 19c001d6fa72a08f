// SPDX-License-Identifier: GPL-2.0
//! Runs a target on one input after the other, and tells the first that it does not bear.
//!
//! All follows from a seed: which inputs, in which order. Only the time limit and a hang are not so.

use crate::coverage::Coverage;
use crate::hex;
use crate::mutate::mutate;
use crate::random::Random;
use crate::targets::Target;

use std::cell::Cell;
use std::cell::RefCell;
use std::panic;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::Once;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// The seed if nobody gives another one.
pub const SEED: u64 = 1;
/// A target that works on one input for so long hangs.
pub const HANG: Duration = Duration::from_secs(60);

/// Inputs that are kept to make others of.
const KEPT_MAX: usize = 4096;
/// Inputs between two looks at the clock.
const BETWEEN_LOOKS: u64 = 256;
const BETWEEN_REPORTS: Duration = Duration::from_secs(2);
/// Attempts to make a bad input smaller.
const SHRINK_TRIES: usize = 20_000;

/// When to end.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// After so many inputs.
    Inputs(u64),
    /// After so much time.
    Time(Duration),
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Inputs that were tried.
    pub inputs: u64,
    /// Inputs that are kept to make others of.
    pub kept: usize,
    /// Branches of the program that were taken; 0 without counters.
    pub reached: usize,
    /// How long that took.
    pub time: Duration,
}

/// An input that the target does not bear.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The input, made as small as it could be.
    pub input: Vec<u8>,
    /// Its length before that, in bytes.
    pub length: usize,
    /// How many inputs it took.
    pub number: u64,
    /// What the target said, and where.
    pub message: String,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How far it came.
    pub progress: Progress,
    /// What it found.
    pub finding: Option<Finding>,
}

thread_local! {
    /// Whether a panic of this thread is a target's.
    static IS_TARGET: Cell<bool> = const { Cell::new(false) };
    /// Where the latest of those was, and what it said.
    static PANIC: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// Panics of targets are noted instead of printed.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_TARGET.get() {
                usual(info);
                return;
            }
            let payload = info.payload();
            let what = payload
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| payload.downcast_ref::<String>().cloned());
            let place = info.location().map(|place| place.to_string());
            PANIC.set(Some((place.unwrap_or_default(), what.unwrap_or_default())));
        }));
    });
}

/// Runs the target once: where it failed and why, if it did.
pub fn try_once(target: &Target, input: &[u8]) -> Option<(String, String)> {
    note_panics();
    IS_TARGET.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    IS_TARGET.set(false);
    match result {
        Ok(()) => None,
        Err(_) => Some(PANIC.take().unwrap_or_default()),
    }
}

/// Ends the program if the target takes too long for an input.
struct Watch {
    begun: Instant,
    /// When the present input's turn came, in milliseconds since `begun`; 0: none.
    since: Arc<AtomicU64>,
    input: Arc<Mutex<Vec<u8>>>,
    _end: mpsc::Sender<()>,
}

impl Watch {
    fn new(name: &'static str) -> Self {
        let (end, ended) = mpsc::channel();
        let watch = Self {
            begun: Instant::now(),
            since: Arc::default(),
            input: Arc::default(),
            _end: end,
        };
        let (begun, since, input) = (watch.begun, watch.since.clone(), watch.input.clone());
        thread::spawn(move || {
            while ended.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                let since = since.load(Ordering::Relaxed);
                let now = begun.elapsed().as_millis() as u64;
                if since != 0 && now.saturating_sub(since) > HANG.as_millis() as u64 {
                    let input = input.lock().map(|input| hex::encode(&input));
                    eprintln!(
                        "{name}: hangs for {} s at the input\n{}",
                        HANG.as_secs(),
                        input.unwrap_or_default()
                    );
                    std::process::exit(1);
                }
            }
        });
        watch
    }

    fn begin(&self, input: &[u8]) {
        if let Ok(mut copy) = self.input.lock() {
            copy.clear();
            copy.extend_from_slice(input);
        }
        self.touch();
    }

    fn touch(&self) {
        let now = self.begun.elapsed().as_millis() as u64;
        self.since.store(now.max(1), Ordering::Relaxed);
    }
}

/// Inputs to make others of: the seeds, and what reached something new.
struct Kept {
    inputs: Vec<Vec<u8>>,
    seeds: usize,
}

impl Kept {
    fn new(target: &Target) -> Self {
        let mut inputs = (target.seeds)();
        inputs.push(Vec::new());
        Self {
            seeds: inputs.len(),
            inputs,
        }
    }

    /// One of them, the latest ones more often.
    fn choose(&self, random: &mut Random) -> &[u8] {
        let count = self.inputs.len();
        let at = if random.one_in(3) {
            count - 1 - random.below(count.min(32))
        } else {
            random.below(count)
        };
        &self.inputs[at]
    }

    fn add(&mut self, input: &[u8], random: &mut Random) {
        if self.inputs.len() < KEPT_MAX {
            self.inputs.push(input.to_vec());
        } else {
            let at = self.seeds + random.below(KEPT_MAX - self.seeds);
            self.inputs[at] = input.to_vec();
        }
    }
}

/// Tries inputs until the limit, or one that the target does not bear. Tells `report` now and then how far it is.
pub fn fuzz(
    target: &Target,
    limit: Limit,
    seed: u64,
    report: &mut dyn FnMut(&Progress),
) -> Outcome {
    let mut random = Random::new(seed);
    let mut coverage = Coverage::new();
    let mut kept = Kept::new(target);
    let watch = Watch::new(target.name);
    let begin = Instant::now();
    let mut next_report = BETWEEN_REPORTS;
    let mut input = Vec::new();
    let mut number = 0;
    let progress = |inputs, kept: &Kept, coverage: &Coverage| Progress {
        inputs,
        kept: kept.inputs.len(),
        reached: coverage.reached(),
        time: begin.elapsed(),
    };
    loop {
        let is_over = match limit {
            Limit::Inputs(most) => number >= most,
            Limit::Time(most) => number % BETWEEN_LOOKS == 0 && begin.elapsed() >= most,
        };
        if is_over {
            return Outcome {
                progress: progress(number, &kept, &coverage),
                finding: None,
            };
        }
        if number % BETWEEN_LOOKS == 0 && begin.elapsed() >= next_report {
            next_report = begin.elapsed() + BETWEEN_REPORTS;
            report(&progress(number, &kept, &coverage));
        }
        input.clear();
        // Each seed once as it is, then what becomes of them.
        match kept.inputs.get(number as usize) {
            Some(seed) if (number as usize) < kept.seeds => input.extend_from_slice(seed),
            _ => {
                input.extend_from_slice(kept.choose(&mut random));
                let other = kept.choose(&mut random);
                mutate(&mut input, other, target.most, &mut random);
            }
        }
        number += 1;
        watch.begin(&input);
        coverage.clear();
        let failure = try_once(target, &input);
        if failure.is_none() && coverage.look() {
            kept.add(&input, &mut random);
        }
        if let Some((place, message)) = failure {
            let length = input.len();
            shrink(target, &mut input, &place, &watch);
            return Outcome {
                progress: progress(number, &kept, &coverage),
                finding: Some(Finding {
                    input,
                    length,
                    number,
                    message: format!("{place}: {message}"),
                }),
            };
        }
    }
}

/// Makes a bad input smaller and simpler, as long as it fails at the same place.
fn shrink(target: &Target, input: &mut Vec<u8>, place: &str, watch: &Watch) {
    let mut tries = 0;
    let mut fails = |candidate: &[u8]| {
        tries += 1;
        watch.begin(candidate);
        tries <= SHRINK_TRIES
            && try_once(target, candidate).is_some_and(|(other, _)| other == place)
    };
    loop {
        let before = input.clone();
        let mut block = input.len().next_power_of_two();
        while block > 0 {
            let mut at = 0;
            while at < input.len() {
                let mut candidate = input.clone();
                candidate.drain(at..(at + block).min(input.len()));
                if fails(&candidate) {
                    *input = candidate;
                } else {
                    at += block;
                }
            }
            block /= 2;
        }
        for at in 0..input.len() {
            loop {
                let old = input[at];
                let less = [0, old / 2, old & old.wrapping_sub(1), old.wrapping_sub(1)];
                let smaller = less
                    .into_iter()
                    .chain([old.wrapping_sub(2)])
                    .find(|&value| {
                        let mut candidate = input.clone();
                        candidate[at] = value;
                        value < old && fails(&candidate)
                    });
                match smaller {
                    Some(value) => input[at] = value,
                    None => break,
                }
            }
        }
        if *input == before {
            return;
        }
    }
}
