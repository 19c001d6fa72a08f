// SPDX-License-Identifier: GPL-2.0
//! `popcornctl node`: the nodes, of this machine and of others.

use super::seconds;
use crate::node::address;
use clap::Args;
use clap::Subcommand;
use clap::ValueEnum;
use popcorn_core::address::Address;
use popcorn_core::address::DEFAULT_PORT;
use popcorn_core::ids::NODE_MAX;
use std::net::IpAddr;
use std::time::Duration;

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
    #[arg(conflicts_with_all = ["certificate", "private_key", "peer_certificate"])]
    pub(crate) psk: Option<u32>,
    /// For TLS: this side's certificate, by its number in that keyring; without, that of tlshd
    #[arg(long, value_name = "KEY", value_parser = key(), requires = "private_key")]
    pub(crate) certificate: Option<u32>,
    /// The private key of that certificate
    #[arg(long, value_name = "KEY", value_parser = key(), requires = "certificate")]
    pub(crate) private_key: Option<u32>,
    /// For TLS with certificates: the other side's, by the number of its key in that keyring (`keyctl padd
    /// asymmetric`); that, or another for the same private key, must be shown. Without, any that is trusted will do
    #[arg(long, value_name = "KEY", value_parser = key())]
    pub(crate) peer_certificate: Option<u32>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::error;
    use crate::cli::tests::parse;
    use crate::cli::Cli;
    use crate::cli::Command;
    use clap::error::ErrorKind;
    use clap::CommandFactory;

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
        assert_eq!(args.link.peer_certificate, None);
        // It says nothing of this side's own.
        let NodeCommand::Join(args) = node("join 192.0.2.1 --node 2 --peer-certificate 7") else {
            panic!("not join")
        };
        assert_eq!(args.link.peer_certificate, Some(7));
        assert_eq!(args.link.certificate, None);
        let NodeCommand::Accept(args) = node("accept 2 --peer-certificate 7") else {
            panic!("not accept")
        };
        assert_eq!(args.link.peer_certificate, Some(7));
        for (wrong, kind) in [
            (
                "--psk 1 --certificate 2 --private-key 3",
                ErrorKind::ArgumentConflict,
            ),
            ("--psk 1 --peer-name a.example", ErrorKind::ArgumentConflict),
            ("--psk 1 --peer-certificate 2", ErrorKind::ArgumentConflict),
            ("--peer-certificate 0", ErrorKind::ValueValidation),
            ("--peer-certificate node.pem", ErrorKind::ValueValidation),
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
}
