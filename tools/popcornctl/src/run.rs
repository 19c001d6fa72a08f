// SPDX-License-Identifier: GPL-2.0
//! `popcornctl run`: run an unmodified program on a node.
//!
//! This process asks to be moved at its next execve, and becomes the program: so the program has the
//! pid, the files, the terminal and the exit status that it would have without us.

use crate::cli::program::RunArgs;
use crate::device::Popcorn;
use crate::failure::Failure;
use crate::uapi;
use crate::uapi::Migrate;
use nix::errno::Errno;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Exit statuses of programs that run programs, as of env(1).
const STATUS_OURS: u8 = 125;
const STATUS_CANNOT_RUN: u8 = 126;
const STATUS_NOT_FOUND: u8 = 127;

/// A failure before the program was there to give an exit status.
pub(crate) fn before_exec(failure: Failure) -> Failure {
    failure.with_status(STATUS_OURS)
}

/// `run`. Does not return if all is well.
pub(crate) fn run(device: &impl Popcorn, args: &RunArgs) -> Result<(), Failure> {
    let Some((program, rest)) = args.program.split_first() else {
        return Err(before_exec(Failure::new(
            "no program given",
            "name it after \"--\"",
        )));
    };
    ask(device, args)?;
    let error = Command::new(program).args(rest).exec();
    let status = match error.kind() {
        ErrorKind::NotFound => STATUS_NOT_FOUND,
        _ => STATUS_CANNOT_RUN,
    };
    let what = format!("{}: {error}", program.to_string_lossy());
    Err(Failure::new(what, "check the name and that it may be executed").with_status(status))
}

/// Asks to be moved at the next execve. A program that shall run where we are needs no move.
fn ask(device: &impl Popcorn, args: &RunArgs) -> Result<(), Failure> {
    let request = Migrate::new(args.node.to_raw(), 0, uapi::MIGRATE_ON_EXEC);
    match device.migrate(request) {
        Ok(()) | Err(Errno::EALREADY) => Ok(()),
        Err(errno) => Err(before_exec(Failure::refused(
            format!("running on node {}", args.node),
            errno,
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::program::NodeChoice;
    use crate::migrate::tests::FakeKernel;

    fn args(node: u32) -> RunArgs {
        RunArgs {
            node: NodeChoice::Id(node),
            program: vec!["/no/such/program".into()],
        }
    }

    #[test]
    fn asks_for_the_next_exec_of_itself() {
        let kernel = FakeKernel::default();
        let failure = run(&kernel, &args(1)).unwrap_err();
        assert_eq!(failure.status, STATUS_NOT_FOUND);
        let asked = kernel.asked.borrow();
        assert_eq!((asked[0].node, asked[0].tid), (1, 0));
        assert_eq!(asked[0].flags, uapi::MIGRATE_ON_EXEC);
    }

    #[test]
    fn where_we_are_needs_no_move() {
        let kernel = FakeKernel {
            refuse: Some(Errno::EALREADY),
            ..FakeKernel::default()
        };
        assert_eq!(run(&kernel, &args(0)).unwrap_err().status, STATUS_NOT_FOUND);
    }

    #[test]
    fn nothing_runs_at_home_in_secret() {
        let kernel = FakeKernel {
            refuse: Some(Errno::EHOSTDOWN),
            ..FakeKernel::default()
        };
        let failure = run(&kernel, &args(1)).unwrap_err();
        assert_eq!(failure.status, STATUS_OURS);
        assert_eq!(failure.errno, Some(Errno::EHOSTDOWN));
    }
}
