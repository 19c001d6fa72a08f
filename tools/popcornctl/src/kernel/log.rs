// SPDX-License-Identifier: GPL-2.0
//! `kernel log`: the console of a kernel.

use super::description;
use super::directory::Kernels;
use super::refusal::refused;
use super::refusal::Action;
use super::state::State;
use crate::cli::LogArgs;
use crate::failure::Failure;
use crate::output::Output;
use nix::errno::Errno;
use serde::Serialize;
use std::io;
use std::io::Read;
use std::io::Write;
use std::time::Duration;

/// How often to look whether it has written more.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Lines that a failure shows.
const LAST_LINES: usize = 15;

/// The result of `kernel log`.
#[derive(Debug, Serialize)]
struct Log {
    text: String,
}

/// `kernel log`
pub(crate) fn log(kernels: &impl Kernels, args: &LogArgs, output: &Output) -> Result<(), Failure> {
    let name = &args.name;
    if args.follow {
        // A stream has no end that JSON could wait for: it is always text.
        return follow(kernels, name, &mut std::io::stdout().lock());
    }
    let text =
        read_all(&mut kernels.log(name)?).map_err(|errno| refused(Action::Log, name, errno))?;
    let log = Log {
        text: String::from_utf8_lossy(&text).into_owned(),
    };
    output.result(&log, || log.text.clone())
}

/// Passes on what it writes until it has ended, or is no more.
fn follow(kernels: &impl Kernels, name: &str, to: &mut impl Write) -> Result<(), Failure> {
    let mut log = kernels.log(name)?;
    loop {
        // The state first: what was written before it ended is read after.
        let last = match description::state(kernels, name) {
            Ok(state) => state.is_ended() || state == State::Stopped,
            Err(failure) if is_gone(failure.errno) => true,
            Err(failure) => return Err(failure),
        };
        let text = match read_all(&mut log) {
            Ok(text) => text,
            Err(errno) if last && is_gone(Some(errno)) => return Ok(()),
            // It is about to go, which the next look at its state tells, or has no memory just now.
            Err(Errno::ENODEV | Errno::ENXIO) => Vec::new(),
            Err(errno) => return Err(refused(Action::Log, name, errno)),
        };
        to.write_all(&text)
            .and_then(|()| to.flush())
            .map_err(|error| Failure::new(format!("writing the log: {error}"), ""))?;
        if last {
            return Ok(());
        }
        std::thread::sleep(LOOK_AGAIN);
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
    let text = match kernels.log(name) {
        Ok(mut log) => read_all(&mut log).unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let text = String::from_utf8_lossy(&text);
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

    fn followed(kernels: &FakeKernels) -> String {
        let mut text = Vec::new();
        follow(kernels, "node1", &mut text).unwrap();
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
