// SPDX-License-Identifier: GPL-2.0
//! The ring beside rtrb, ringbuf and crossbeam's ArrayQueue: nanoseconds per message of 64 bytes.
//!
//! `cargo bench-rings -- [OPTION]...`, at the top of the tree
//!
//! * `--json FILE`: all figures, too.
//! * `--messages N`: of each sample; `--samples N`: of each figure.
//! * `--only NAME`, `--mode NAME`, `--batch N`: those alone (for a profiler).
//!
//! *alternate*: one thread sends a batch and receives it. *threads*: one sends, one receives, each
//! on a processor of its own, if there are two. The samples of all rings are taken by turns, since
//! a machine has better and worse moments. They are short: where other work takes the processors from
//! time to time, the lowest of many short ones is what the ring itself costs. *records* is our ring
//! again, with each message pushed and read by itself.
//!
//! At the end, how ours stands to the best other one, by the lowest samples: below 1 it is faster. *again*
//! is rtrb once more: the most that it differs from itself, in any batch of a mode, is noise there. The exit
//! status is 1 if ours is slower than the best other one by more than that anywhere.

use nix::sched::sched_setaffinity;
use nix::sched::CpuSet;
use nix::unistd::Pid;
use popcorn_bench::contestants;
use popcorn_bench::contestants::Message;
use popcorn_bench::contestants::Receiver;
use popcorn_bench::contestants::Sender;
use popcorn_bench::contestants::SIZE;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::Barrier;
use std::time::Instant;

const BATCHES: [usize; 4] = [1, 8, 32, 256];
/// Messages in a page.
const PAGE: usize = 4096 / SIZE;

/// Keeps this thread on a processor; without that many, anywhere.
fn pin(processor: usize) {
    let mut set = CpuSet::new();
    if set.set(processor).is_ok() {
        sched_setaffinity(Pid::from_raw(0), &set).ok();
    }
}

/// Sends what there is room for: a message that is alone as such.
#[inline]
fn send<const ALONE: bool>(sender: &mut impl Sender, batch: &[Message]) -> usize {
    match batch {
        [message] if ALONE => usize::from(sender.send(message)),
        _ => sender.send_batch(batch),
    }
}

/// Receives what is there.
#[inline]
fn receive<const ALONE: bool>(receiver: &mut impl Receiver, batch: &mut [Message]) -> usize {
    match batch {
        [message] if ALONE => usize::from(receiver.receive(message)),
        _ => receiver.receive_batch(batch),
    }
}

/// Nanoseconds per message, sent and received in batches by this thread, from and to this place in a
/// page.
fn alternate<const ALONE: bool>(
    (mut sender, mut receiver): (impl Sender, impl Receiver),
    batch: usize,
    messages: u64,
    place: usize,
) -> f64 {
    pin(0);
    let mut from = vec![Message::filled(0); place + batch];
    let mut to = vec![Message::filled(1); place + batch];
    let (from, to) = (&mut from[place..], &mut to[place..]);
    let rounds = messages / batch as u64;
    let begin = Instant::now();
    for round in 0..rounds {
        from[0].0[..8].copy_from_slice(&round.to_le_bytes());
        assert_eq!(send::<ALONE>(&mut sender, black_box(&*from)), batch);
        assert_eq!(receive::<ALONE>(&mut receiver, black_box(&mut *to)), batch);
    }
    let time = begin.elapsed();
    assert_eq!(to, from);
    time.as_nanos() as f64 / (rounds * batch as u64) as f64
}

/// Nanoseconds per message from one thread to another.
fn threads<const ALONE: bool>(
    (mut sender, mut receiver): (impl Sender, impl Receiver),
    batch: usize,
    messages: u64,
) -> f64 {
    let rounds = messages / batch as u64;
    let total = rounds * batch as u64;
    let ready = Arc::new(Barrier::new(2));
    let other = ready.clone();
    let sink = std::thread::spawn(move || {
        pin(1);
        let mut to = vec![Message::filled(0); batch];
        let mut received = 0_u64;
        let mut last: Option<Message> = None;
        other.wait();
        while received < total {
            let number = receive::<ALONE>(&mut receiver, black_box(&mut to));
            received += number as u64;
            match number.checked_sub(1) {
                Some(newest) => last = Some(to[newest]),
                None => std::hint::spin_loop(),
            }
        }
        last
    });
    pin(0);
    let mut from = vec![Message::filled(0); batch];
    ready.wait();
    let begin = Instant::now();
    for round in 0..rounds {
        from[batch - 1].0[..8].copy_from_slice(&round.to_le_bytes());
        let mut sent = 0;
        while sent < batch {
            match send::<ALONE>(&mut sender, black_box(&from[sent..])) {
                0 => std::hint::spin_loop(),
                number => sent += number,
            }
        }
    }
    let last = sink.join().expect("no panic");
    let time = begin.elapsed();
    assert_eq!(last, from.last().copied());
    time.as_nanos() as f64 / total as f64
}

/// The one that is ours.
const OURS: &str = "popcorn";
/// Ours, too, but no contestant.
const OURS_BY_RECORD: &str = "records";
/// One of the others, and the same once more, which is no contestant.
const TWICE: [&str; 2] = ["rtrb", "again"];

/// A way to measure one ring: batch, messages, place.
type Run = Box<dyn Fn(usize, u64, usize) -> f64>;

/// A mode, a ring, and how to run it.
fn runs() -> Vec<(&'static str, &'static str, Run)> {
    macro_rules! of {
        ($($called:ident: $name:ident),*) => {
            vec![$(
                ("alternate", stringify!($called), Box::new(|batch, messages, place| {
                    match batch {
                        1 => alternate::<true>(contestants::$name(), batch, messages, place),
                        _ => alternate::<false>(contestants::$name(), batch, messages, place),
                    }
                }) as Run),
                ("threads", stringify!($called), Box::new(|batch, messages, _| {
                    match batch {
                        1 => threads::<true>(contestants::$name(), batch, messages),
                        _ => threads::<false>(contestants::$name(), batch, messages),
                    }
                }) as Run),
            )*]
        };
    }
    of!(
        popcorn: popcorn,
        records: records,
        rtrb: rtrb,
        ringbuf: ringbuf,
        crossbeam: crossbeam,
        again: rtrb
    )
}

/// How ours stands to the best other one in a mode and batch.
struct Point {
    mode: &'static str,
    batch: usize,
    /// Our lowest sample by theirs.
    to_best: f64,
    /// The greater one of the lowest samples of the ring that is measured twice by the smaller one.
    to_itself: f64,
}

impl Point {
    /// `lowest`: each ring's lowest sample. None if one that is needed was not wanted.
    fn new(mode: &'static str, batch: usize, lowest: &[(&str, f64)]) -> Option<Self> {
        let of = |wanted: &str| {
            let found = lowest.iter().find(|(ring, _)| *ring == wanted);
            found.map(|(_, time)| *time)
        };
        let others = lowest
            .iter()
            .filter(|(ring, _)| ![OURS, OURS_BY_RECORD, TWICE[1]].contains(ring));
        let best = others.map(|(_, time)| *time).reduce(f64::min)?;
        let (once, again) = (of(TWICE[0])?, of(TWICE[1])?);
        Some(Self {
            mode,
            batch,
            to_best: of(OURS)? / best,
            to_itself: once.max(again) / once.min(again),
        })
    }

    /// What is noise here: the most that a ring stood to itself in this mode.
    fn noise(&self, points: &[Self]) -> f64 {
        let of_mode = points.iter().filter(|point| point.mode == self.mode);
        of_mode.map(|point| point.to_itself).fold(1.0, f64::max)
    }
}

struct Options {
    json: Option<String>,
    only: Option<String>,
    mode: Option<String>,
    batch: Option<usize>,
    messages: u64,
    samples: usize,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        json: None,
        only: None,
        mode: None,
        batch: None,
        messages: 1 << 14,
        samples: 201,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--bench" {
            continue;
        }
        let value = arguments.next().ok_or(format!("{name}: no value"))?;
        let number = || value.parse().map_err(|_| format!("{name}: no number"));
        match name.as_str() {
            "--json" => options.json = Some(value),
            "--only" => options.only = Some(value),
            "--mode" => options.mode = Some(value),
            "--batch" => options.batch = Some(number()?),
            "--messages" => options.messages = number()? as u64,
            "--samples" => options.samples = number()?.max(1),
            _ => return Err(format!("{name}: no such option")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let wanted =
        |choice: &Option<String>, name: &str| choice.as_ref().is_none_or(|wanted| wanted == name);
    let batches = options
        .batch
        .map_or(BATCHES.to_vec(), |batch| vec![batch.max(1)]);
    let mut figures = Vec::new();
    let mut points = Vec::new();
    println!(
        "{:>10} {:>6} {:>10} {:>8} {:>8} {:>8}",
        "mode", "batch", "ring", "median", "min", "max"
    );
    for mode in ["alternate", "threads"] {
        for batch in &batches {
            let runs = runs();
            let runs: Vec<_> = runs
                .iter()
                .filter(|(of, ring, _)| {
                    *of == mode && wanted(&options.mode, of) && wanted(&options.only, ring)
                })
                .collect();
            let mut samples = vec![Vec::new(); runs.len()];
            for turn in 0..options.samples {
                for ((_, _, run), samples) in runs.iter().zip(&mut samples) {
                    samples.push(run(*batch, options.messages, turn % PAGE));
                }
            }
            let mut lowest = Vec::new();
            for ((_, ring, _), samples) in runs.iter().zip(&mut samples) {
                samples.sort_by(f64::total_cmp);
                let (min, max) = (samples[0], samples[samples.len() - 1]);
                let median = samples[samples.len() / 2];
                println!("{mode:>10} {batch:>6} {ring:>10} {median:>8.2} {min:>8.2} {max:>8.2}");
                figures.push(format!(
                    "    \"{ring}_{mode}_{batch}\": {{ \"samples\": {}, \"median\": {median:.2}, \"min\": {min:.2}, \"max\": {max:.2} }}",
                    samples.len(),
                ));
                lowest.push((*ring, min));
            }
            points.extend(Point::new(mode, *batch, &lowest));
        }
    }
    let slower = tell(&points);
    if let Some(path) = options.json {
        let of_points = |value: &dyn Fn(&Point) -> f64| {
            let each = points.iter().map(|point| {
                let (mode, batch, value) = (point.mode, point.batch, value(point));
                format!("    \"{mode}_{batch}\": {value:.3}")
            });
            each.collect::<Vec<_>>().join(",\n")
        };
        let text = format!(
            "{{\n  \"unit\": \"ns\",\n  \"bytes\": {SIZE},\n  \"figures\": {{\n{}\n  }},\n  \"to_best\": {{\n{}\n  }},\n  \"to_itself\": {{\n{}\n  }},\n  \"noise\": {{\n{}\n  }},\n  \"slower\": {slower}\n}}\n",
            figures.join(",\n"),
            of_points(&|point| point.to_best),
            of_points(&|point| point.to_itself),
            of_points(&|point| point.noise(&points)),
        );
        if let Err(error) = std::fs::write(&path, text) {
            eprintln!("{path}: {error}");
            return ExitCode::from(2);
        }
    }
    if slower == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Says how ours stands to the best other one; in how many points it is slower by more than noise.
fn tell(points: &[Point]) -> usize {
    if points.is_empty() {
        return 0;
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
        let verdict = if point.to_best > noise {
            "  slower"
        } else {
            ""
        };
        slower += usize::from(point.to_best > noise);
        println!(
            "{:>10} {:>6} {:>20.3} {:>16.3} {noise:>8.3}{verdict}",
            point.mode, point.batch, point.to_best, point.to_itself
        );
    }
    match slower {
        0 => println!("the ring is not slower than the best other one by more than noise"),
        _ => println!(
            "THE RING IS SLOWER than the best other one by more than noise, {slower} times"
        ),
    }
    slower
}
