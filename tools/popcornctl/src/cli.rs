// SPDX-License-Identifier: GPL-2.0
//! The command line: `popcornctl OBJECT COMMAND`, parsed by clap into plain data.

pub(crate) mod kernel;
pub(crate) mod msg;
pub(crate) mod node;
pub(crate) mod program;

use clap::Parser;
use clap::Subcommand;
use kernel::KernelCommand;
use msg::MsgCommand;
use node::NodeCommand;
use program::MigrateArgs;
use program::PsArgs;
use program::RunArgs;
use std::time::Duration;

/// See and move what runs on a Popcorn system: several Linux kernels that act as one.
#[derive(Debug, Parser)]
#[command(name = "popcornctl", version, arg_required_else_help = true, after_help = EXIT_STATUS)]
pub(crate) struct Cli {
    /// Print JSON: results on stdout, errors on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_STATUS: &str = "\
Exit status: 0 done; 1 failed, stderr says why and what to do; 2 wrong usage.
`run` ends as its program does; 125 if it could not ask, 126 or 127 if the program could not be
started or found.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the nodes, tell everything about one, measure the way to it, or have those of other machines join
    #[command(subcommand)]
    Node(NodeCommand),
    /// Look at the messages between the nodes
    #[command(subcommand)]
    Msg(MsgCommand),
    /// Run a program on a node
    Run(RunArgs),
    /// Move a running process or thread
    Migrate(MigrateArgs),
    /// List the threads that have migrated, with their counters
    Ps(PsArgs),
    /// Tell whether this machine can run further kernels, and if not, why not
    Doctor,
    /// Make, start, stop and watch further kernels on this machine
    #[command(subcommand)]
    Kernel(KernelCommand),
}

/// A time in seconds, of a millisecond to a day.
fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.001..=86400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected seconds, as 1 or 0.2".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::error::ErrorKind;
    use clap::CommandFactory;

    pub(super) fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    pub(super) fn error(line: &str) -> ErrorKind {
        parse(line).expect_err("must be refused").kind()
    }

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
