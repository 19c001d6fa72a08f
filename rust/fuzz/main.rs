// SPDX-License-Identifier: GPL-2.0
//! See `scripts/fuzz`, which builds this for coverage and has the help.

use popcorn_fuzz::coverage::Coverage;
use popcorn_fuzz::engine;
use popcorn_fuzz::engine::Finding;
use popcorn_fuzz::engine::Limit;
use popcorn_fuzz::engine::Progress;
use popcorn_fuzz::hex;
use popcorn_fuzz::targets::Target;
use popcorn_fuzz::targets::TARGETS;

use std::env;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// For the targets that read what a peer wrote, together.
const INPUTS: u64 = 10_000_000;

/// What was asked for.
struct Options {
    /// Inputs: see [`each`]. Time: for all targets together.
    limit: Limit,
    seed: u64,
    findings: PathBuf,
    input: Option<PathBuf>,
    targets: Vec<&'static Target>,
}

fn options() -> Result<Options, String> {
    let seed = match env::var("POPCORN_FUZZ_SEED") {
        Ok(text) => text
            .parse()
            .map_err(|_| format!("POPCORN_FUZZ_SEED={text}: not a number"))?,
        Err(_) => engine::SEED,
    };
    let mut options = Options {
        limit: Limit::Inputs(INPUTS),
        seed,
        findings: PathBuf::from("."),
        input: None,
        targets: Vec::new(),
    };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            let value = arguments.next();
            value.ok_or_else(|| format!("{argument} wants a value"))
        };
        let number = |text: String| {
            let number = text.replace('_', "").parse::<u64>();
            number.map_err(|_| format!("{text}: not a number"))
        };
        match argument.as_str() {
            "--inputs" => options.limit = Limit::Inputs(number(value()?)?),
            "--seconds" => options.limit = Limit::Time(Duration::from_secs(number(value()?)?)),
            "--findings" => options.findings = value()?.into(),
            "--input" => options.input = Some(value()?.into()),
            "--list" => {
                for target in TARGETS {
                    let of = if target.is_of_peers() {
                        "peers"
                    } else {
                        "others"
                    };
                    println!("{:<20} {of:<6} {}", target.name, target.about);
                }
                std::process::exit(0);
            }
            name => {
                let target = TARGETS.iter().find(|target| target.name == name);
                let target = target.ok_or_else(|| format!("there is no target or option '{name}'"));
                options.targets.push(target?);
            }
        }
    }
    if options.targets.is_empty() {
        options.targets = TARGETS.iter().collect();
    }
    Ok(options)
}

fn main() -> ExitCode {
    let result = options().and_then(|options| match &options.input {
        Some(path) => repeat(&options, path),
        None => run(&options),
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("popcorn_fuzz: {message}");
            ExitCode::from(2)
        }
    }
}

/// One input again, for one target; whether it bears it.
fn repeat(options: &Options, path: &Path) -> Result<bool, String> {
    let [target] = options.targets[..] else {
        return Err("--input wants just one target".into());
    };
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let input = hex::decode(&text).ok_or_else(|| format!("{}: no input", path.display()))?;
    match engine::try_once(target, &input) {
        None => {
            println!("{}: {} bytes, and all holds", target.name, input.len());
            Ok(true)
        }
        Some((place, message)) => {
            println!("{}: {place}: {message}", target.name);
            Ok(false)
        }
    }
}

/// How many inputs each target gets. Those of them that read what a peer wrote get `inputs` together, or somewhat
/// more, and each of the others as many as one of these. Are there no such ones, `inputs` is for all.
fn each(inputs: u64, targets: &[&Target]) -> u64 {
    let peers = targets.iter().filter(|target| target.is_of_peers()).count();
    let sharing = if peers == 0 { targets.len() } else { peers };
    inputs.div_ceil(sharing as u64)
}

/// All targets, one after the other; whether nothing was found.
fn run(options: &Options) -> Result<bool, String> {
    let count = options.targets.len() as u64;
    let guide = if Coverage::new().is_guiding() {
        "guided by what they reach"
    } else {
        "not guided by what they reach"
    };
    println!("seed {}, {count} targets, inputs {guide}", options.seed);
    println!(
        "{:<20} {:>10} {:>6} {:>8} {:>8} {:>10}",
        "target", "inputs", "kept", "branches", "seconds", "inputs/s"
    );
    let (mut inputs, mut of_peers, mut time, mut found) = (0, 0, Duration::ZERO, 0);
    for target in &options.targets {
        let limit = match options.limit {
            Limit::Inputs(most) => Limit::Inputs(each(most, &options.targets)),
            Limit::Time(most) => Limit::Time(most / count as u32),
        };
        let outcome = engine::fuzz(target, limit, options.seed, &mut |progress| {
            eprintln!("{}", row(target.name, progress));
        });
        println!("{}", row(target.name, &outcome.progress));
        inputs += outcome.progress.inputs;
        if target.is_of_peers() {
            of_peers += outcome.progress.inputs;
        }
        time += outcome.progress.time;
        if let Some(finding) = outcome.finding {
            found += 1;
            tell(options, target, &finding)?;
        }
    }
    let all = Progress {
        inputs,
        kept: 0,
        reached: 0,
        time,
    };
    let per_second = per_second(&all);
    println!(
        "{inputs} inputs, {of_peers} of them as from peers, in {:.0} s, {per_second:.0} inputs/s, {found} findings",
        time.as_secs_f64()
    );
    Ok(found == 0)
}

fn per_second(progress: &Progress) -> f64 {
    progress.inputs as f64 / progress.time.as_secs_f64().max(0.001)
}

fn row(name: &str, progress: &Progress) -> String {
    format!(
        "{name:<20} {:>10} {:>6} {:>8} {:>8.1} {:>10.0}",
        progress.inputs,
        progress.kept,
        progress.reached,
        progress.time.as_secs_f64(),
        per_second(progress)
    )
}

/// Says what was found, and writes it to a file.
fn tell(options: &Options, target: &Target, finding: &Finding) -> Result<(), String> {
    let path = options.findings.join(format!("{}.hex", target.name));
    let (length, number) = (finding.length, finding.number);
    let text = hex::encode(&finding.input);
    println!("  {}", finding.message);
    println!(
        "  input {number}, {} bytes (of {length}):",
        finding.input.len()
    );
    for line in text.lines() {
        println!("  {line}");
    }
    let message = finding.message.replace('\n', "\n# ");
    let seed = options.seed;
    let contents = format!(
        "# {}, seed {seed}, input {number}\n# {message}\n{text}\n",
        target.name
    );
    fs::create_dir_all(&options.findings)
        .and_then(|()| fs::write(&path, contents))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    println!(
        "  again: scripts/fuzz --input {} {}",
        path.display(),
        target.name
    );
    Ok(())
}
