// SPDX-License-Identifier: GPL-2.0
//! The ring beside rtrb, ringbuf and crossbeam's ArrayQueue: nanoseconds per message of 64 bytes.
//!
//! `cargo bench-rings -- [OPTION]...`, at the top of the tree
//!
//! * `--json FILE`: all figures, too.
//! * `--messages N`: of each sample; `--samples N`: of each figure in a process; `--processes N`.
//! * `--only NAME`, `--mode NAME`, `--batch N`: those alone (for a profiler, with one process, which is this one).
//!
//! *alternate*: one thread sends a batch and receives it. *threads*: one sends, one receives, each
//! on a processor of its own, if there are two. The samples of all rings are taken by turns, from rings that have been gone
//! around already: some are first touched then. *records* is our ring again, with each message pushed and read by itself.
//!
//! At the end, how ours stands to the best other one, by the medians of several processes ([`verdict`]): below 1 it is
//! faster. *again* is rtrb once more: how it differs from itself, in the batch of a mode where that is most, is noise
//! there. The exit status is 1 if ours is slower than the best other one by more than that anywhere, or if there is so much
//! noise that nothing can be told.

use nix::sched::sched_setaffinity;
use nix::sched::CpuSet;
use nix::unistd::Pid;
use popcorn_bench::contestants;
use popcorn_bench::contestants::Message;
use popcorn_bench::contestants::Receiver;
use popcorn_bench::contestants::Sender;
use popcorn_bench::contestants::SIZE;
use popcorn_bench::contestants::SLOTS;
use popcorn_bench::verdict;
use popcorn_bench::verdict::Point;
use popcorn_bench::verdict::Samples;
use popcorn_bench::verdict::Verdict;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Barrier;
use std::time::Instant;

const BATCHES: [usize; 4] = [1, 8, 32, 256];
/// The variable that tells a process to print all samples, and what each of those lines begins with.
const RAW: &str = "POPCORN_RINGS_RAW";
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

/// Goes around a ring: the first time some touch memory that they have not touched before.
fn warm(sender: &mut impl Sender, receiver: &mut impl Receiver) {
    let mut message = Message::filled(0);
    for _ in 0..SLOTS {
        assert!(sender.send(&message) && receiver.receive(&mut message));
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
    warm(&mut sender, &mut receiver);
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
    warm(&mut sender, &mut receiver);
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

#[derive(Clone)]
struct Options {
    json: Option<String>,
    only: Option<String>,
    mode: Option<String>,
    batch: Option<usize>,
    messages: u64,
    samples: usize,
    processes: usize,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        json: None,
        only: None,
        mode: None,
        batch: None,
        messages: 1 << 14,
        samples: 61,
        processes: 21,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--bench" {
            continue;
        }
        let value = arguments.next().ok_or(format!("{name}: no value"))?;
        let number = || {
            value
                .parse::<usize>()
                .map_err(|_| format!("{name}: no number"))
        };
        match name.as_str() {
            "--json" => options.json = Some(value),
            "--only" => options.only = Some(value),
            "--mode" => options.mode = Some(value),
            "--batch" => options.batch = Some(number()?.max(1)),
            "--messages" => options.messages = number()? as u64,
            "--samples" => options.samples = number()?.max(1),
            "--processes" => options.processes = number()?.max(1),
            _ => return Err(format!("{name}: no such option")),
        }
    }
    Ok(options)
}

/// Samples by mode and batch.
type Measured = BTreeMap<(String, usize), Samples>;

/// Measures in this process.
fn measure(options: &Options) -> Measured {
    let wanted =
        |choice: &Option<String>, name: &str| choice.as_ref().is_none_or(|wanted| wanted == name);
    let mut measured = Measured::new();
    let mut runs = runs();
    runs.retain(|(mode, ring, _)| wanted(&options.mode, mode) && wanted(&options.only, ring));
    for batch in options.batch.map_or(BATCHES.to_vec(), |batch| vec![batch]) {
        for turn in 0..options.samples {
            for (mode, ring, run) in &runs {
                let samples = measured.entry((mode.to_string(), batch)).or_default();
                let time = run(batch, options.messages, turn % PAGE);
                samples.entry(ring.to_string()).or_default().push(time);
            }
        }
    }
    measured
}

/// In a line for each ring, mode and batch, as [`of_another_process`] reads them.
fn print(measured: &Measured) {
    for ((mode, batch), samples) in measured {
        for (ring, times) in samples {
            let times: Vec<_> = times.iter().map(f64::to_string).collect();
            println!("{RAW} {mode} {batch} {ring} {}", times.join(" "));
        }
    }
}

/// Measures in another process, which gets the same options.
fn of_another_process() -> Result<Measured, String> {
    let itself = std::env::current_exe().map_err(|error| error.to_string())?;
    let arguments = std::env::args().skip(1);
    let output = Command::new(itself)
        .args(arguments)
        .env(RAW, "1")
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("a process that measures: {}", output.status));
    }
    let text = String::from_utf8(output.stdout).map_err(|error| error.to_string())?;
    let mut measured = Measured::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let [Some(RAW), Some(mode), Some(batch), Some(ring)] = [(); 4].map(|()| words.next())
        else {
            return Err(format!("what is this? {line}"));
        };
        let batch = batch.parse().map_err(|_| format!("no batch: {line}"))?;
        let times: Result<Vec<f64>, _> = words.map(str::parse).collect();
        let times = times.map_err(|_| format!("no times: {line}"))?;
        let samples = measured.entry((mode.to_owned(), batch)).or_default();
        samples.insert(ring.to_owned(), times);
    }
    Ok(measured)
}

/// Prints the figures of all processes, and how ours stands to the others.
fn report(options: &Options, processes: &[Measured]) -> Result<Verdict, String> {
    let mut figures = Vec::new();
    let mut points = Vec::new();
    println!(
        "{:>10} {:>6} {:>10} {:>8} {:>8} {:>8}",
        "mode", "batch", "ring", "median", "min", "max"
    );
    for (mode, batch) in processes[0].keys() {
        let key = (mode.clone(), *batch);
        let of_processes: Vec<_> = processes
            .iter()
            .filter_map(|all| all.get(&key))
            .cloned()
            .collect();
        for ring in of_processes[0].keys() {
            let of_ring = of_processes.iter().filter_map(|samples| samples.get(ring));
            let times: Vec<f64> = of_ring.flatten().copied().collect();
            let min = times.iter().copied().fold(f64::INFINITY, f64::min);
            let max = times.iter().copied().fold(0.0, f64::max);
            let number = times.len();
            let median = verdict::median(times).unwrap_or(0.0);
            println!("{mode:>10} {batch:>6} {ring:>10} {median:>8.2} {min:>8.2} {max:>8.2}");
            figures.push(format!(
                "    \"{ring}_{mode}_{batch}\": {{ \"samples\": {number}, \"median\": {median:.2}, \"min\": {min:.2}, \"max\": {max:.2} }}",
            ));
        }
        points.extend(Point::new(mode, *batch, &of_processes));
    }
    let verdict = verdict::tell(&points);
    let slower = match verdict {
        Verdict::Slower(number) => number.to_string(),
        Verdict::Unknown => "null".to_owned(),
    };
    if let Some(path) = &options.json {
        let of_points = |value: &dyn Fn(&Point) -> f64| {
            let each = points.iter().map(|point| {
                let (mode, batch, value) = (&point.mode, point.batch, value(point));
                format!("    \"{mode}_{batch}\": {value:.3}")
            });
            each.collect::<Vec<_>>().join(",\n")
        };
        let text = format!(
            "{{\n  \"unit\": \"ns\",\n  \"bytes\": {SIZE},\n  \"processes\": {},\n  \"figures\": {{\n{}\n  }},\n  \"to_best\": {{\n{}\n  }},\n  \"to_itself\": {{\n{}\n  }},\n  \"noise\": {{\n{}\n  }},\n  \"slower\": {slower}\n}}\n",
            processes.len(),
            figures.join(",\n"),
            of_points(&|point| point.to_best),
            of_points(&|point| point.to_itself),
            of_points(&|point| point.noise(&points)),
        );
        std::fs::write(path, text).map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(verdict)
}

fn run() -> Result<Verdict, String> {
    let options = options()?;
    if std::env::var_os(RAW).is_some() {
        print(&measure(&options));
        return Ok(Verdict::Slower(0));
    }
    let mut processes = Vec::new();
    while processes.len() < options.processes {
        eprintln!("process {} of {}", processes.len() + 1, options.processes);
        processes.push(match options.processes {
            1 => measure(&options),
            _ => of_another_process()?,
        });
    }
    report(&options, &processes)
}

fn main() -> ExitCode {
    match run() {
        Ok(Verdict::Slower(0)) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
