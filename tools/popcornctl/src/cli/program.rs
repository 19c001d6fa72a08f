// SPDX-License-Identifier: GPL-2.0
//! `popcornctl run`, `migrate` and `ps`: programs, and where they run.

use clap::Args;
use std::ffi::OsString;
use std::str::FromStr;

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Node whose processors shall run the program: an id, or "home"
    #[arg(long)]
    pub(crate) node: NodeChoice,
    /// The program and its arguments, after "--"
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) program: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Where to: a node id, or "home"
    #[arg(long)]
    pub(crate) node: NodeChoice,
    /// Wait until the thread (of a process: its main thread) is there. A thread that sleeps in a
    /// system call moves when the call ends
    #[arg(long)]
    pub(crate) wait: bool,
    /// With --wait: give up after this many seconds
    #[arg(long, default_value_t = 30, requires = "wait")]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Target {
    /// The process: all of its threads
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) pid: Option<i32>,
    /// One thread
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) tid: Option<i32>,
}

#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// Only the threads of this process
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) pid: Option<i32>,
}

/// A node as people name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeChoice {
    /// Where the process was created.
    Home,
    /// A node by its id.
    Id(u32),
}

impl NodeChoice {
    /// The value for `struct popcorn_migrate`.
    pub(crate) fn to_raw(self) -> i32 {
        match self {
            Self::Home => crate::uapi::NODE_ORIGIN,
            // An id that no i32 holds is no node's: so is the greatest, and the kernel says so.
            Self::Id(id) => i32::try_from(id).unwrap_or(i32::MAX),
        }
    }
}

impl FromStr for NodeChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "home" {
            return Ok(Self::Home);
        }
        text.parse()
            .map(Self::Id)
            .map_err(|_| "expected a node id (see `popcornctl node list`) or \"home\"".into())
    }
}

impl std::fmt::Display for NodeChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Home => f.write_str("home"),
            Self::Id(id) => write!(f, "{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::error;
    use crate::cli::tests::parse;
    use crate::cli::Command;
    use clap::error::ErrorKind;

    #[test]
    fn run_takes_the_program_whole() {
        let cli = parse("popcornctl run --node 1 -- ls --json -l").unwrap();
        assert!(!cli.json);
        let Command::Run(args) = cli.command else {
            panic!("not run")
        };
        assert_eq!(args.node, NodeChoice::Id(1));
        assert_eq!(args.program, ["ls", "--json", "-l"]);
    }

    #[test]
    fn run_needs_a_program_and_a_node() {
        assert_eq!(
            error("popcornctl run --node 1"),
            ErrorKind::MissingRequiredArgument
        );
        assert_eq!(
            error("popcornctl run -- true"),
            ErrorKind::MissingRequiredArgument
        );
        assert_eq!(
            error("popcornctl run --node one -- true"),
            ErrorKind::ValueValidation
        );
    }

    #[test]
    fn migrate_takes_exactly_one_target() {
        let cli = parse("popcornctl migrate --pid 12 --node home --json").unwrap();
        assert!(cli.json);
        let Command::Migrate(args) = cli.command else {
            panic!("not migrate")
        };
        assert_eq!((args.target.pid, args.target.tid), (Some(12), None));
        assert_eq!(args.node.to_raw(), -1);
        assert_eq!(
            error("popcornctl migrate --pid 1 --tid 2 --node 1"),
            ErrorKind::ArgumentConflict
        );
        assert_eq!(
            error("popcornctl migrate --node 1"),
            ErrorKind::MissingRequiredArgument
        );
        assert_eq!(
            error("popcornctl migrate --pid 0 --node 1"),
            ErrorKind::ValueValidation
        );
        assert_eq!(
            error("popcornctl migrate --pid 1 --node 1 --timeout 5"),
            ErrorKind::MissingRequiredArgument
        );
    }

    #[test]
    fn node_choice_never_turns_into_another_node() {
        assert_eq!(NodeChoice::Id(63).to_raw(), 63);
        assert_eq!(NodeChoice::Id(u32::MAX).to_raw(), i32::MAX);
        assert!("-1".parse::<NodeChoice>().is_err());
        assert!("".parse::<NodeChoice>().is_err());
        assert_eq!("home".parse::<NodeChoice>().unwrap().to_string(), "home");
    }
}
