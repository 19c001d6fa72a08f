// SPDX-License-Identifier: GPL-2.0
//! `kernel log`: what a kernel says.
//!
//! Its console is in memory that this kernel has prepared for it, if it has the driver for that (ramoops). Before
//! that is at work, and for a kernel that has none, its own log is looked for in its memory.

use super::description;
use super::directory::Kernels;
use super::memory_log::MemoryLog;
use super::memory_log::Way;
use super::refusal::refused;
use super::refusal::Action;
use super::state::State;
use crate::cli::kernel::LogArgs;
use crate::failure::Failure;
use crate::output::Output;
use nix::errno::Errno;
use serde::Serialize;
use std::io;
use std::io::Read;
use std::io::Write;
use std::time::Duration;
use std::time::Instant;

/// How often to look whether it has written more.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long a console may take to appear before the log is looked for elsewhere.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long to wait between two searches for a log, and for a message from the one that was found.
const SEARCH_AGAIN: Duration = Duration::from_secs(1);
const SILENCE: Duration = Duration::from_secs(10);
/// Lines that a failure shows.
const LAST_LINES: usize = 15;

/// Where a text is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Source {
    /// Its console.
    Console,
    /// The log in its memory.
    Memory,
}

/// The result of `kernel log`.
#[derive(Debug, Serialize)]
struct Log {
    text: String,
    /// `None`: there is no text.
    source: Option<Source>,
    /// How the log in its memory was found.
    found_by: Option<Way>,
}

impl Log {
    fn explain(&self) -> &'static str {
        match (self.source, self.found_by) {
            (Some(Source::Console), _) => "from its console",
            (_, Some(way)) => from_memory(way),
            _ => "there is no log yet",
        }
    }
}

fn from_memory(way: Way) -> &'static str {
    match way {
        Way::Vmcoreinfo => "from its memory, where it says that its log is (VMCOREINFO)",
        Way::Search => "from its memory, where something looks like a log",
    }
}

/// `kernel log`
pub(crate) fn log(kernels: &impl Kernels, args: &LogArgs, output: &Output) -> Result<(), Failure> {
    let name = &args.name;
    let say = |what: &str| {
        if args.verbose {
            output.progress(&format!("log of {name}: {what}"));
        }
    };
    if args.follow {
        // A stream has no end that JSON could wait for: it is always text.
        return follow(
            kernels,
            name,
            args.memory,
            &mut std::io::stdout().lock(),
            say,
        );
    }
    let log = read(kernels, name, args.memory)?;
    say(log.explain());
    output.result(&log, || log.text.clone())
}

/// All that there is; `memory`: not from the console.
fn read(kernels: &impl Kernels, name: &str, memory: bool) -> Result<Log, Failure> {
    let console = match memory {
        true => Ok(Vec::new()),
        false => read_all(&mut kernels.log(name)?),
    };
    let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    match &console {
        Ok(console) if !console.is_empty() => {
            return Ok(Log {
                text: text(console),
                source: Some(Source::Console),
                found_by: None,
            });
        }
        // One that has destroyed its console may have left the other one whole.
        Ok(_) | Err(Errno::EIO) => {}
        Err(errno) => return Err(refused(Action::Log, name, *errno)),
    }
    let log = kernels.core(name).and_then(|core| {
        let mut log = MemoryLog::open(core).map_err(|errno| refused(Action::Core, name, errno))?;
        // Whatever it is writing just now belongs to it, too.
        let text = log
            .read(true)
            .map_err(|errno| refused(Action::Core, name, errno))?;
        Ok((log.way(), text))
    });
    match (log, console) {
        (Ok((Some(way), bytes)), _) => Ok(Log {
            text: text(&bytes),
            source: Some(Source::Memory),
            found_by: Some(way),
        }),
        (Err(failure), _) if memory => Err(failure),
        (_, Err(errno)) => Err(refused(Action::Log, name, errno)),
        // It was never started, say: there is none.
        (Ok(_) | Err(_), Ok(_)) => Ok(Log {
            text: String::new(),
            source: None,
            found_by: None,
        }),
    }
}

/// Passes on what it writes until it has ended, or is no more. `memory`: not from the console.
fn follow(
    kernels: &impl Kernels,
    name: &str,
    memory: bool,
    to: &mut impl Write,
    say: impl Fn(&str),
) -> Result<(), Failure> {
    let mut console = kernels.log(name)?;
    let mut elsewhere = Elsewhere::new(memory);
    let mut has_console = false;
    loop {
        // The state first: what was written before it ended is read after.
        let last = match description::state(kernels, name) {
            Ok(state) => state.is_ended() || state.known() == Some(State::Stopped),
            Err(failure) if is_gone(failure.errno) => true,
            Err(failure) => return Err(failure),
        };
        let mut text = match read_all(&mut console) {
            // Once it is read elsewhere the console would say it all again.
            Ok(_) if elsewhere.is_used() => Vec::new(),
            Ok(text) => text,
            Err(errno) if last && is_gone(Some(errno)) => return Ok(()),
            // It is about to go, which the next look at its state tells, or has no memory just now.
            Err(Errno::ENODEV | Errno::ENXIO) => Vec::new(),
            Err(errno) => return Err(refused(Action::Log, name, errno)),
        };
        if !text.is_empty() && !has_console {
            has_console = true;
            say("from its console");
        }
        if !has_console {
            text = elsewhere.read(kernels, name, last, &say);
        }
        to.write_all(&text)
            .and_then(|()| to.flush())
            .map_err(|error| Failure::new(format!("writing the log: {error}"), ""))?;
        if last {
            return Ok(());
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// The log in its memory, while there is no console.
struct Elsewhere {
    log: Option<MemoryLog>,
    /// Something was read from it.
    used: bool,
    /// When to look for it again.
    again: Instant,
}

impl Elsewhere {
    fn new(at_once: bool) -> Self {
        let patience = if at_once { Duration::ZERO } else { PATIENCE };
        Self {
            log: None,
            used: at_once,
            again: Instant::now() + patience,
        }
    }

    fn is_used(&self) -> bool {
        self.used
    }

    /// What was added. Whatever goes wrong: there is nothing just now.
    fn read(
        &mut self,
        kernels: &impl Kernels,
        name: &str,
        last: bool,
        say: &impl Fn(&str),
    ) -> Vec<u8> {
        let is_time = last || Instant::now() >= self.again;
        match &mut self.log {
            Some(log) if is_time => {
                if log.look().is_err() {
                    self.log = None;
                }
            }
            Some(_) => {}
            None if is_time => {
                self.again = Instant::now() + SEARCH_AGAIN;
                let core = kernels.core(name).ok();
                let log = core.and_then(|core| MemoryLog::open(core).ok());
                // One that is not found may be as soon as the kernel tells where it is, in another core.
                self.log = log.filter(|log| log.way().is_some());
                if let Some(way) = self.log.as_ref().and_then(MemoryLog::way) {
                    say(from_memory(way));
                }
            }
            None => {}
        }
        let Some(log) = &mut self.log else {
            return Vec::new();
        };
        let Ok(text) = log.read(last) else {
            // It was started again, or is no more.
            self.log = None;
            return Vec::new();
        };
        if is_time || !text.is_empty() {
            self.again = Instant::now() + SILENCE;
        }
        self.used |= !text.is_empty();
        text
    }
}

fn is_gone(errno: Option<Errno>) -> bool {
    matches!(errno, Some(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO))
}

fn read_all(log: &mut impl Read) -> Result<Vec<u8>, Errno> {
    let mut text = Vec::new();
    let mut buffer = [0; 16384];
    loop {
        match log.read(&mut buffer) {
            Ok(0) => return Ok(text),
            Ok(length) => text.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)),
        }
    }
}

fn lines(kernels: &impl Kernels, name: &str) -> Vec<String> {
    // Who asks has something worse to tell than that there is no log.
    let text = read(kernels, name, false).map_or(String::new(), |log| log.text);
    text.lines().map(str::to_owned).collect()
}

/// How its console ends, as further lines of a failure.
pub(crate) fn last_lines(kernels: &impl Kernels, name: &str) -> String {
    let lines = lines(kernels, name);
    let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
    last.iter().flat_map(|line| ["\n  | ", line]).collect()
}

/// The last line of its console.
pub(crate) fn last_line(kernels: &impl Kernels, name: &str) -> Option<String> {
    lines(kernels, name).pop()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::directory::Attribute;
    use crate::kernel::fake::FakeKernels;
    use crate::kernel::memory_log::tests::Live;

    fn followed(kernels: &FakeKernels) -> String {
        let mut text = Vec::new();
        follow(kernels, "node1", false, &mut text, |_| {}).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn follows_to_the_end_and_reads_what_came_last() {
        let kernels = FakeKernels::with("node1", 1);
        kernels.set("node1", Attribute::State, "panicked");
        kernels.before("node1", Attribute::State, &["loaded", "booting", "running"]);
        kernels.set_log("node1", "one\ntwo\n");
        assert_eq!(followed(&kernels), "one\ntwo\n");
        assert_eq!(kernels.read("node1", Attribute::State).unwrap(), "panicked");
    }

    #[test]
    fn without_a_console_its_memory_is_read() {
        let kernels = FakeKernels::with("node1", 1);
        kernels.set("node1", Attribute::State, "panicked");
        let live = Live::new(false);
        live.write("Linux version 6.12");
        live.write("Kernel panic - not syncing: x");
        kernels.set_core("node1", &live);
        let text = "[    0.000000] Linux version 6.12\n\
                    [    0.000001] Kernel panic - not syncing: x\n";
        let log = read(&kernels, "node1", false).unwrap();
        assert_eq!(log.text, text);
        assert_eq!(
            (log.source, log.found_by),
            (Some(Source::Memory), Some(Way::Search))
        );
        assert_eq!(followed(&kernels), text);
        assert!(last_lines(&kernels, "node1").ends_with("syncing: x"));

        kernels.set_log("node1", "console\n");
        let log = read(&kernels, "node1", false).unwrap();
        assert_eq!(
            (log.text.as_str(), log.source),
            ("console\n", Some(Source::Console))
        );
        assert_eq!(read(&kernels, "node1", true).unwrap().text, text);
        assert_eq!(followed(&kernels), "console\n");
    }

    #[test]
    fn without_both_there_is_no_log() {
        let kernels = FakeKernels::with("node1", 1);
        let log = read(&kernels, "node1", false).unwrap();
        assert_eq!((log.text.as_str(), log.source), ("", None));
        let failure = read(&kernels, "node1", true).unwrap_err();
        assert_eq!(failure.errno, Some(Errno::ESRCH));
    }

    #[test]
    fn what_comes_later_is_followed_in_its_memory() {
        let kernels = FakeKernels::with("node1", 1);
        kernels.set("node1", Attribute::State, "booting");
        let live = Live::new(true);
        live.write("one");
        kernels.set_core("node1", &live);
        let other = kernels.clone();
        let end = std::thread::spawn(move || {
            std::thread::sleep(LOOK_AGAIN * 4);
            live.write("two");
            other.set("node1", Attribute::State, "panicked");
        });
        let mut text = Vec::new();
        follow(&kernels, "node1", true, &mut text, |_| {}).unwrap();
        assert_eq!(text, b"[    0.000000] one\n[    0.000001] two\n");
        end.join().unwrap();
    }

    #[test]
    fn one_that_is_destroyed_ends_it() {
        let kernels = FakeKernels::with("node1", 1);
        kernels.set("node1", Attribute::State, "running");
        kernels.set_log("node1", "one\n");
        let other = kernels.clone();
        let end = std::thread::spawn(move || {
            std::thread::sleep(LOOK_AGAIN * 2);
            other.forget("node1");
        });
        assert_eq!(followed(&kernels), "one\n");
        end.join().unwrap();
    }

    #[test]
    fn a_failure_shows_the_last_lines_only() {
        let kernels = FakeKernels::with("node1", 1);
        let lines: Vec<String> = (0..100).map(|i| format!("line {i}")).collect();
        kernels.set_log("node1", &lines.join("\n"));
        let last = last_lines(&kernels, "node1");
        assert_eq!(last.lines().count(), LAST_LINES + 1);
        assert!(last.ends_with("| line 99"), "{last}");
        assert_eq!(last_line(&kernels, "node1").unwrap(), "line 99");
        assert_eq!(last_lines(&kernels, "node2"), "");
    }
}
