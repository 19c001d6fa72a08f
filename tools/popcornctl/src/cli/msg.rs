// SPDX-License-Identifier: GPL-2.0
//! `popcornctl msg`: the messages between the nodes.

use super::seconds;
use crate::msg::types::Type;
use clap::Args;
use clap::Subcommand;
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub(crate) enum MsgCommand {
    /// Count messages by node and type: how many, how long calls took, what went wrong
    Stat(StatArgs),
}

#[derive(Debug, Args)]
pub(crate) struct StatArgs {
    /// Only those from and to this node
    #[arg(long)]
    pub(crate) node: Option<u32>,
    /// Only this type: a name, as PageRequest, or a number, as 0x301
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<Type>,
    /// Go on, and print so often what came since, until it is interrupted
    #[arg(long, short, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) watch: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::error;
    use crate::cli::tests::parse;
    use crate::cli::Cli;
    use crate::cli::Command;
    use clap::error::ErrorKind;

    #[test]
    fn msg_stat_takes_names_and_numbers() {
        let stat = |line: &str| match parse(&format!("popcornctl msg stat {line}")) {
            Ok(Cli {
                command: Command::Msg(MsgCommand::Stat(args)),
                ..
            }) => args,
            other => panic!("{other:?}"),
        };
        let args = stat("--node 1 --type PageRequest --watch 1");
        assert_eq!((args.node, args.kind), (Some(1), Some(Type(0x301))));
        assert_eq!(args.watch, Some(Duration::from_secs(1)));
        assert_eq!(stat("--type 0x301").kind, Some(Type(0x301)));
        assert!(stat("").kind.is_none());
        assert_eq!(
            error("popcornctl msg stat --type nonsense"),
            ErrorKind::ValueValidation
        );
    }
}
