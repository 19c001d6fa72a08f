// SPDX-License-Identifier: GPL-2.0
//! The command line: `popcornctl OBJECT COMMAND`, parsed by clap into plain data.

use crate::kernel::resources;
use crate::kernel::resources::Cpus;
use crate::kernel::resources::Device;
use crate::kernel::resources::Memory;
use crate::msg::types::Type;
use crate::node::address;
use clap::Args;
use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;
use popcorn_core::address::Address;
use popcorn_core::address::DEFAULT_PORT;
use popcorn_core::ids::NODE_MAX;
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
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

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// List all nodes: state, processors, memory, messages
    List,
    /// Tell everything about a node, with its messages by type
    Show(NodeShowArgs),
    /// Time message round trips to a node (needs CAP_SYS_ADMIN)
    Ping(PingArgs),
    /// Connect to a node of another machine, which accepts this one, and wait until it is online
    Join(JoinArgs),
    /// Let a node of another machine connect
    Accept(AcceptArgs),
    /// Part from a node of another machine: threads and pages come home first, on both sides
    Leave(LeaveArgs),
    /// Go on without machines that are gone, when too few are left to decide that: your word that they serve no more
    Force(ForceArgs),
}

#[derive(Debug, Args)]
pub(crate) struct NodeShowArgs {
    /// Node id
    pub(crate) node: u32,
}

#[derive(Debug, Args)]
pub(crate) struct PingArgs {
    /// Node id
    pub(crate) node: u32,
    /// Payload each way, in bytes
    #[arg(long, short = 's', visible_alias = "size", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=4096))]
    pub(crate) bytes: u32,
    /// Round trips to make (default: 1000; with --interval, until it is interrupted)
    #[arg(long, short, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) count: Option<u32>,
    /// Wait so long between two of them, in seconds, and print each; without, one follows the other
    #[arg(long, short, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) interval: Option<Duration>,
    /// Spin for each answer instead of sleeping; for a node of another machine the thread of the connection does, which
    /// wants a processor of its own on both
    #[arg(long)]
    pub(crate) poll: bool,
}

/// How messages travel between machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// Encrypted, between two that have proved who they are
    #[default]
    Tls,
    /// In the clear, and from whoever says so: for a network that nobody else is on
    Tcp,
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tls => "tls",
            Self::Tcp => "tcp",
        })
    }
}

/// What both sides of a connection must agree on.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct LinkArgs {
    /// How messages travel; the same on both machines
    #[arg(long, value_enum, default_value_t = Transport::Tls)]
    pub(crate) transport: Transport,
    /// For TLS: the key that both sides have, by its number in the keyring .popcorn (`keyctl padd`); without,
    /// certificates are used
    #[arg(long, value_name = "KEY", value_parser = key())]
    #[arg(conflicts_with_all = ["certificate", "private_key"])]
    pub(crate) psk: Option<u32>,
    /// For TLS: this side's certificate, by its number in that keyring; without, that of tlshd
    #[arg(long, value_name = "KEY", value_parser = key(), requires = "private_key")]
    pub(crate) certificate: Option<u32>,
    /// The private key of that certificate
    #[arg(long, value_name = "KEY", value_parser = key(), requires = "certificate")]
    pub(crate) private_key: Option<u32>,
}

/// The number of a key, as the kernel gives them.
fn key() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(i32::MAX))
}

/// The id of a node of another machine.
fn node_id() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(..NODE_MAX as i64)
}

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// Where it takes connections: an IP address; port 7411 unless another is named
    #[arg(value_name = "ADDRESS[:PORT]", value_parser = address::of_a_host)]
    pub(crate) address: Address,
    /// Its id, which no other node has
    #[arg(long, value_parser = node_id())]
    pub(crate) node: u32,
    #[command(flatten)]
    pub(crate) link: LinkArgs,
    /// For TLS with certificates: the name in its certificate; without, the address
    #[arg(long, value_name = "NAME", conflicts_with = "psk")]
    pub(crate) peer_name: Option<String>,
    /// Give up after this many seconds, and forget it again
    #[arg(long, default_value_t = 60)]
    pub(crate) timeout: u64,
    /// Do not wait: this kernel goes on looking for it until it is told to leave
    #[arg(long, conflicts_with = "timeout")]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AcceptArgs {
    /// Its id, which no other node has
    #[arg(value_parser = node_id())]
    pub(crate) node: u32,
    /// Where it connects to: an IP address of this machine, 0.0.0.0 or [::] for all
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = address::to_listen)]
    #[arg(default_value_t = Address::any(DEFAULT_PORT))]
    pub(crate) listen: Address,
    /// The only host from which it may connect
    #[arg(long, value_name = "ADDRESS", value_parser = address::host)]
    pub(crate) from: Option<IpAddr>,
    #[command(flatten)]
    pub(crate) link: LinkArgs,
    /// Wait until it is online
    #[arg(long)]
    pub(crate) wait: bool,
    /// With --wait: give up after this many seconds, and accept it no more
    #[arg(long, default_value_t = 60, requires = "wait")]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct ForceArgs {
    /// Ids of all machines that are missing: they are switched off, or were told to leave
    #[arg(required = true, value_parser = node_id())]
    pub(crate) nodes: Vec<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct LeaveArgs {
    /// Its id
    #[arg(value_parser = node_id())]
    pub(crate) node: u32,
    /// At once: what is on the other side ends as at a node's death
    #[arg(long)]
    pub(crate) force: bool,
    /// Give up after this many seconds; it stays a node then
    #[arg(long, default_value_t = 30)]
    pub(crate) timeout: u64,
}

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

/// A time in seconds, of a millisecond to a day.
fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.001..=86400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected seconds, as 1 or 0.2".into()),
    }
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
    /// Make a kernel of processors and memory of this machine (all that changes one needs CAP_SYS_BOOT)
    Create(CreateArgs),
    /// Give a kernel what it runs, and put it into its memory
    Load(LoadArgs),
    /// Start a kernel; it is loaded as before if need be
    Start(KernelStartArgs),
    /// Wait until a kernel that was started is online as a node
    Wait(WaitArgs),
    /// Ask a kernel to shut down, and wait until it has
    Stop(StopArgs),
    /// Stop a kernel at once, whatever it does
    Kill(NameArgs),
    /// Take a kernel apart: its processors, memory and devices come back
    Destroy(DestroyArgs),
    /// List all kernels but this one
    List,
    /// Tell everything about a kernel
    Show(NameArgs),
    /// Print the console of a kernel
    Log(LogArgs),
    /// Save the memory of a kernel as a core for crash, drgn or gdb; best when it has stopped
    Core(CoreArgs),
    /// Give a kernel more processors, memory, or devices; one that runs, processors or memory
    Add(ChangeArgs),
    /// Take processors, memory, or devices from a kernel; from one that runs, processors or memory
    Remove(ChangeArgs),
    /// Sit at the terminal of a kernel: a root shell there, which needs no network
    Console(ConsoleArgs),
}

#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// The kernel
    #[arg(value_parser = resources::name)]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Its name, which is its host name, too
    #[arg(value_parser = resources::name)]
    pub(crate) name: String,
    /// Its processors, as 1-3,7; they leave this kernel. It boots on the first
    #[arg(long, value_name = "LIST")]
    pub(crate) cpus: Cpus,
    /// Processors that it may get while it runs (`kernel add --cpus`)
    #[arg(long, value_name = "LIST")]
    pub(crate) possible_cpus: Option<Cpus>,
    /// Its memory, as 512M; or SIZE@ADDRESS, if that was reserved at boot (memmap=)
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Memory,
    /// Its memory below 640 KiB, if it must be a certain one, reserved at boot
    #[arg(long, value_name = "SIZE@ADDRESS", value_parser = resources::place)]
    pub(crate) low_memory: Option<Memory>,
    /// A PCI device, as 0000:01:00.0, which leaves this kernel; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) device: Vec<Device>,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// The kernel
    #[arg(value_parser = resources::name)]
    pub(crate) name: String,
    /// What it runs, a bzImage
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel: PathBuf,
    /// Its initramfs
    #[arg(long, value_name = "FILE")]
    pub(crate) initrd: Option<PathBuf>,
    /// Added to its command line; may be given several times
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) cmdline: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct KernelStartArgs {
    /// The kernel
    #[arg(value_parser = resources::name)]
    pub(crate) name: String,
    /// Wait until it is online as a node
    #[arg(long)]
    pub(crate) wait: bool,
    /// With --wait: give up after this many seconds
    #[arg(long, default_value_t = 120, requires = "wait")]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// The kernel
    #[arg(value_parser = resources::name)]
    pub(crate) name: String,
    /// Give up after this many seconds
    #[arg(long, default_value_t = 120)]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// The kernel
    #[arg(value_parser = resources::name)]
    pub(crate) name: String,
    /// Give up after this many seconds; if it is shutting down, it goes on doing so
    #[arg(long, default_value_t = 30)]
    pub(crate) timeout: u64,
    /// Do not bring threads and pages home first: who has any there loses them
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DestroyArgs {
    /// The kernel
    #[arg(value_parser = resources::name)]
    pub(crate) name: String,
    /// Also if it runs: kill it first
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// The kernel
    #[arg(value_parser = resources::name)]
    pub(crate) name: String,
    /// Go on as it grows, until the kernel has ended
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Read the log that the kernel keeps in its own memory, also if it has a console: all messages, with those
    /// that the console leaves out, but none that are too old
    #[arg(long, short)]
    pub(crate) memory: bool,
    /// Tell on stderr where it is read from
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CoreArgs {
    /// The kernel
    #[arg(value_parser = resources::name)]
    pub(crate) name: String,
    /// The file, which must not be there yet (default: NAME.core)
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// The kernel
    #[arg(value_parser = resources::name)]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) what: Change,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Change {
    /// Processors, as 1-3,7
    #[arg(long, value_name = "LIST")]
    pub(crate) cpus: Option<Cpus>,
    /// So much memory more or less; if it does not run, all of its memory may be other memory then
    #[arg(long, value_name = "SIZE", value_parser = resources::size)]
    pub(crate) memory: Option<u64>,
    /// A PCI device, as 0000:01:00.0; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) device: Vec<Device>,
}

#[derive(Debug, Args)]
#[command(after_help = CONSOLE_HELP)]
pub(crate) struct ConsoleArgs {
    /// Its name
    pub(crate) name: String,
}

const CONSOLE_HELP: &str = "\
Every key goes to the other kernel, but for Ctrl-]: Ctrl-] q leaves, Ctrl-] Ctrl-] types Ctrl-].
The shell there goes on; what it prints meanwhile is kept, up to 32 KiB, and then makes it wait.

If standard input is no terminal, its bytes are typed as they are, and the console ends with them; keep
it open as long as there is something to be seen:

    (echo uname -n; sleep 1) | popcornctl kernel console NAME";

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
            (1, 64, None, false)
        );
        let cli = parse("popcornctl node ping 1 -c 5 -s 100 -i 0.2").unwrap();
        let Command::Node(NodeCommand::Ping(args)) = cli.command else {
            panic!("not ping")
        };
        assert_eq!((args.bytes, args.count), (100, Some(5)));
        assert_eq!(args.interval, Some(Duration::from_millis(200)));
        for wrong in ["0", "-1", "nan", "inf", "86401", "soon"] {
            assert_eq!(
                error(&format!("popcornctl node ping 1 --interval={wrong}")),
                ErrorKind::ValueValidation,
                "{wrong}"
            );
        }
        assert_eq!(
            error("popcornctl node ping 1 --bytes 4097"),
            ErrorKind::ValueValidation
        );
        assert_eq!(
            error("popcornctl node ping 1 --count 0"),
            ErrorKind::ValueValidation
        );
    }

    fn node(line: &str) -> NodeCommand {
        match parse(&format!("popcornctl node {line}")).unwrap().command {
            Command::Node(command) => command,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn node_join_waits_unless_told_otherwise() {
        let NodeCommand::Join(args) = node("join 192.0.2.1 --node 2") else {
            panic!("not join")
        };
        assert_eq!(args.address.to_string(), "192.0.2.1:7411");
        assert_eq!((args.node, args.timeout, args.no_wait), (2, 60, false));
        assert_eq!(args.link.transport, Transport::Tls);
        let NodeCommand::Join(args) = node("join [::1]:9 --node 2 --transport tcp --no-wait")
        else {
            panic!("not join")
        };
        assert_eq!(args.address.port(), 9);
        assert_eq!((args.link.transport, args.no_wait), (Transport::Tcp, true));
        assert_eq!(
            error("popcornctl node join 192.0.2.1"),
            ErrorKind::MissingRequiredArgument
        );
        assert_eq!(
            error("popcornctl node join 192.0.2.1 --node 2 --no-wait --timeout 9"),
            ErrorKind::ArgumentConflict
        );
        for wrong in [
            "machine2 --node 2",
            "0.0.0.0 --node 2",
            "192.0.2.1:0 --node 2",
            "192.0.2.1 --node 64",
        ] {
            let line = format!("popcornctl node join {wrong}");
            assert_eq!(error(&line), ErrorKind::ValueValidation, "{wrong}");
        }
        assert_eq!(
            error("popcornctl node join 192.0.2.1 --node 2 --transport udp"),
            ErrorKind::InvalidValue
        );
    }

    #[test]
    fn node_join_takes_a_key_or_certificates() {
        let NodeCommand::Join(args) = node("join 192.0.2.1 --node 2 --psk 12345") else {
            panic!("not join")
        };
        assert_eq!(args.link.psk, Some(12345));
        let NodeCommand::Join(args) =
            node("join 192.0.2.1 --node 2 --certificate 1 --private-key 2 --peer-name a.example")
        else {
            panic!("not join")
        };
        assert_eq!(
            (args.link.certificate, args.link.private_key),
            (Some(1), Some(2))
        );
        assert_eq!(args.peer_name.as_deref(), Some("a.example"));
        for (wrong, kind) in [
            (
                "--psk 1 --certificate 2 --private-key 3",
                ErrorKind::ArgumentConflict,
            ),
            ("--psk 1 --peer-name a.example", ErrorKind::ArgumentConflict),
            ("--certificate 2", ErrorKind::MissingRequiredArgument),
            ("--private-key 2", ErrorKind::MissingRequiredArgument),
            ("--psk 0", ErrorKind::ValueValidation),
            ("--psk popcorn.psk", ErrorKind::ValueValidation),
        ] {
            let line = format!("popcornctl node join 192.0.2.1 --node 2 {wrong}");
            assert_eq!(error(&line), kind, "{wrong}");
        }
    }

    #[test]
    fn node_accept_listens_everywhere_and_waits_only_if_told_to() {
        let NodeCommand::Accept(args) = node("accept 2") else {
            panic!("not accept")
        };
        assert_eq!(args.listen.to_string(), "0.0.0.0:7411");
        assert_eq!((args.from, args.wait), (None, false));
        let NodeCommand::Accept(args) =
            node("accept 2 --listen [::] --from 2001:db8::1 --wait --timeout 9")
        else {
            panic!("not accept")
        };
        assert_eq!(args.listen.to_string(), "[::]:7411");
        assert_eq!(args.from.unwrap().to_string(), "2001:db8::1");
        assert_eq!((args.wait, args.timeout), (true, 9));
        assert_eq!(
            error("popcornctl node accept 2 --timeout 9"),
            ErrorKind::MissingRequiredArgument
        );
        assert_eq!(
            error("popcornctl node accept 2 --from 192.0.2.1:7411"),
            ErrorKind::ValueValidation
        );
        let help = Cli::command()
            .find_subcommand_mut("node")
            .and_then(|node| node.find_subcommand_mut("accept"))
            .map(|accept| accept.render_help().to_string());
        assert!(help.unwrap().contains("0.0.0.0:7411"));
    }

    #[test]
    fn node_force_names_machines() {
        let NodeCommand::Force(args) = node("force 0 16") else {
            panic!("not force")
        };
        assert_eq!(args.nodes, [0, 16]);
        assert_eq!(
            error("popcornctl node force"),
            ErrorKind::MissingRequiredArgument
        );
    }

    #[test]
    fn node_leave_is_gentle_by_default() {
        let NodeCommand::Leave(args) = node("leave 2") else {
            panic!("not leave")
        };
        assert_eq!((args.node, args.force, args.timeout), (2, false, 30));
        assert_eq!(
            error("popcornctl node leave"),
            ErrorKind::MissingRequiredArgument
        );
    }

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

    fn kernel(line: &str) -> KernelCommand {
        match parse(&format!("popcornctl kernel {line}")).unwrap().command {
            Command::Kernel(command) => command,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn kernel_create_reads_lists_and_sizes() {
        let KernelCommand::Create(args) = kernel(
            "create node1 --cpus 2-3,1 --memory 1G --low-memory 64K@0x70000 --possible-cpus 7",
        ) else {
            panic!("not create")
        };
        assert_eq!(args.cpus.0, [2, 3, 1]);
        assert_eq!((args.memory.bytes, args.memory.start), (1 << 30, None));
        assert_eq!(args.possible_cpus.unwrap().0, [7]);
        assert_eq!(args.low_memory.unwrap().start, Some(0x70000));
        for wrong in [
            "create node/1 --cpus 1 --memory 1G",
            "create .. --cpus 1 --memory 1G",
            "create node1 --cpus 1,1 --memory 1G",
            "create node1 --cpus 1 --memory plenty",
            "create node1 --cpus 1 --memory 1G --low-memory 64K",
            "create node1 --cpus 1 --memory 1G --device disk",
        ] {
            let line = format!("popcornctl kernel {wrong}");
            assert_eq!(error(&line), ErrorKind::ValueValidation, "{wrong}");
        }
        assert_eq!(
            error("popcornctl kernel create node1 --cpus 1"),
            ErrorKind::MissingRequiredArgument
        );
    }

    #[test]
    fn kernel_load_collects_the_command_line() {
        let KernelCommand::Load(args) =
            kernel("load node1 --kernel bzImage --cmdline quiet --cmdline --loglevel=7")
        else {
            panic!("not load")
        };
        assert_eq!(args.cmdline, ["quiet", "--loglevel=7"]);
        assert_eq!((args.name.as_str(), args.initrd), ("node1", None));
    }

    #[test]
    fn kernel_start_waits_only_if_told_to() {
        let KernelCommand::Start(args) = kernel("start node1 --wait --timeout 9") else {
            panic!("not start")
        };
        assert_eq!((args.wait, args.timeout), (true, 9));
        assert_eq!(
            error("popcornctl kernel start node1 --timeout 9"),
            ErrorKind::MissingRequiredArgument
        );
    }

    #[test]
    fn kernel_core_names_a_kernel() {
        let KernelCommand::Core(args) = kernel("core node1 --output /tmp/core") else {
            panic!("not core")
        };
        assert_eq!(args.name, "node1");
        assert_eq!(args.output, Some("/tmp/core".into()));
        assert_eq!(
            error("popcornctl kernel core"),
            ErrorKind::MissingRequiredArgument
        );
    }

    #[test]
    fn kernel_add_changes_one_thing() {
        let KernelCommand::Add(args) = kernel("add node1 --memory 512M") else {
            panic!("not add")
        };
        assert_eq!((args.what.cpus, args.what.memory), (None, Some(512 << 20)));
        let KernelCommand::Remove(args) = kernel("remove node1 --device 01:00.0 --device 02:00.0")
        else {
            panic!("not remove")
        };
        assert_eq!(args.what.device.len(), 2);
        assert_eq!(
            error("popcornctl kernel add node1 --device 01:00.0 --cpus 1"),
            ErrorKind::ArgumentConflict
        );
        assert_eq!(
            error("popcornctl kernel add node1"),
            ErrorKind::MissingRequiredArgument
        );
        assert_eq!(
            error("popcornctl kernel remove node1 --cpus 1 --memory 1G"),
            ErrorKind::ArgumentConflict
        );
        assert_eq!(
            error("popcornctl kernel remove node1 --memory 1G@0x40000000"),
            ErrorKind::ValueValidation
        );
    }
}
