// SPDX-License-Identifier: GPL-2.0
//! The command line: `popcornctl OBJECT COMMAND`, parsed by clap into plain data.

use clap::Args;
use clap::Parser;
use clap::Subcommand;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

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
    /// List the nodes, or measure the way to one
    #[command(subcommand)]
    Node(NodeCommand),
    /// Run a program on a node
    Run(RunArgs),
    /// Move a running process or thread
    Migrate(MigrateArgs),
    /// List the threads that have migrated, with their counters
    Ps(PsArgs),
    /// Start, stop and watch the second kernel of this machine
    #[command(subcommand)]
    Kernel(KernelCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// List all nodes: state, processors, memory, messages
    List,
    /// Time message round trips to a node (needs CAP_SYS_ADMIN)
    Ping(PingArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PingArgs {
    /// Node id
    pub(crate) node: u32,
    /// Payload each way, in bytes
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(0..=4096))]
    pub(crate) bytes: u32,
    /// Round trips to make
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) count: u32,
    /// Spin for each answer instead of sleeping
    #[arg(long)]
    pub(crate) poll: bool,
}

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

#[derive(Debug, Subcommand)]
pub(crate) enum KernelCommand {
    /// Start the second kernel on a processor of this machine (needs CAP_SYS_BOOT)
    Start(StartArgs),
    /// Stop the second kernel, whatever it does
    Kill(KillArgs),
    /// Tell how the second kernel fares
    Status,
    /// Print the console of the second kernel
    Log(LogArgs),
}

#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// Its kernel, a bzImage
    #[arg(long)]
    pub(crate) kernel: PathBuf,
    /// Its initramfs
    #[arg(long)]
    pub(crate) initrd: Option<PathBuf>,
    /// The processor that it gets; it leaves this kernel
    #[arg(long)]
    pub(crate) cpu: u32,
    /// Added to its command line; may be given several times
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) cmdline: Vec<String>,
    /// Wait until it is online as a node
    #[arg(long)]
    pub(crate) wait: bool,
    /// With --wait: give up after this many seconds
    #[arg(long, default_value_t = 120, requires = "wait")]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    /// Bring its processor online here again
    #[arg(long)]
    pub(crate) release: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Go on as it grows, until the second kernel stops
    #[arg(long, short)]
    pub(crate) follow: bool,
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
    use clap::error::ErrorKind;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    fn error(line: &str) -> ErrorKind {
        parse(line).expect_err("must be refused").kind()
    }

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }

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

    #[test]
    fn ping_has_bounds() {
        let cli = parse("popcornctl node ping 1").unwrap();
        let Command::Node(NodeCommand::Ping(args)) = cli.command else {
            panic!("not ping")
        };
        assert_eq!(
            (args.node, args.bytes, args.count, args.poll),
            (1, 64, 1000, false)
        );
        assert_eq!(
            error("popcornctl node ping 1 --bytes 4097"),
            ErrorKind::ValueValidation
        );
        assert_eq!(
            error("popcornctl node ping 1 --count 0"),
            ErrorKind::ValueValidation
        );
    }

    #[test]
    fn kernel_start_collects_the_command_line() {
        let cli = parse(
            "popcornctl kernel start --kernel bzImage --cpu 1 --cmdline quiet --cmdline loglevel=7 \
             --wait --timeout 9",
        )
        .unwrap();
        let Command::Kernel(KernelCommand::Start(args)) = cli.command else {
            panic!("not start")
        };
        assert_eq!(args.cmdline, ["quiet", "loglevel=7"]);
        assert_eq!(
            (args.cpu, args.wait, args.timeout, args.initrd),
            (1, true, 9, None)
        );
        assert_eq!(
            error("popcornctl kernel start --kernel bzImage"),
            ErrorKind::MissingRequiredArgument
        );
    }
}
