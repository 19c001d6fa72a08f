// SPDX-License-Identifier: GPL-2.0
//! `node accept`: this kernel lets one of another machine connect.

use super::directory::Directory;
use super::directory::Peers;
use super::setup::Setup;
use super::setup::Way;
use super::state::Peer;
use super::wait::wait_online;
use super::wait::World;
use crate::cli::node::AcceptArgs;
use crate::cli::node::Transport;
use crate::failure::Failure;
use crate::output::Output;
use crate::signals;
use crate::signals::Signals;
use std::time::Duration;

/// `node accept`
pub(crate) fn run(args: &AcceptArgs, output: &Output) -> Result<(), Failure> {
    let peers = Directory::open()?;
    // From here on a signal leaves time to take everything back.
    let signals = Signals::take(&signals::ENDING)?;
    accept(&peers, &signals, args, output)
}

fn accept(
    peers: &impl Peers,
    world: &impl World,
    args: &AcceptArgs,
    output: &Output,
) -> Result<(), Failure> {
    let setup = Setup {
        node: args.node,
        way: Way::Listen(args.listen, args.from),
        link: args.link,
        peer_name: None,
    };
    if setup.is_anybodys() {
        return Err(Failure::new(
            format!(
                "accepting node {}: whoever has a certificate of the authority could be it",
                args.node
            ),
            "name its certificate by --peer-certificate, or at least its host by --from (docs/tls.md); or use a key, --psk",
        ));
    }
    setup.begin(peers)?;
    if let (Transport::Tcp, None) = (args.link.transport, args.from) {
        output.progress(&format!(
            "whoever reaches {} can be node {}; --from ADDRESS lets one host only",
            args.listen, args.node
        ));
    }
    if args.wait {
        let limit = Duration::from_secs(args.timeout);
        wait_online(peers, world, &setup, limit, output)
            .map_err(|failure| setup.undone(peers, failure))?;
    }
    let peer = Peer::read(peers, args.node)?;
    output.result(&peer, || {
        let line = peer.line();
        if args.wait {
            line
        } else {
            format!(
                "{line}; on its machine: {}",
                setup.counterpart(peers.own_node())
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::node::LinkArgs;
    use crate::node::directory::Attribute;
    use crate::node::fake::FakePeers;
    use crate::node::fake::FakeWorld;
    use nix::errno::Errno;
    use popcorn_core::address::Address;

    fn args(wait: bool, timeout: u64) -> AcceptArgs {
        AcceptArgs {
            node: 1,
            listen: Address::any(7411),
            from: Some([192, 0, 2, 2].into()),
            link: LinkArgs {
                transport: Transport::Tcp,
                ..LinkArgs::default()
            },
            wait,
            timeout,
        }
    }

    fn run(peers: &FakePeers, args: &AcceptArgs) -> Result<(), Failure> {
        accept(peers, &FakeWorld::default(), args, &Output::new(true))
    }

    #[test]
    fn waits_only_if_told_to() {
        let peers = FakePeers::default();
        run(&peers, &args(false, 0)).unwrap();
        assert_eq!(peers.nodes(), [1]);
        let peers = FakePeers::with_states(&["offline", "online"]);
        run(&peers, &args(true, 3600)).unwrap();
        assert_eq!(peers.nodes(), [1]);
    }

    #[test]
    fn one_that_does_not_come_in_time_is_accepted_no_more() {
        let peers = FakePeers::default();
        let failure = run(&peers, &args(true, 0)).unwrap_err();
        assert!(failure.what.contains("not online after 0 s"), "{failure:?}");
        assert!(peers.nodes().is_empty());
    }

    #[test]
    fn one_that_could_be_anybody_is_not_accepted() {
        let mut args = args(false, 0);
        args.link = LinkArgs::default();
        args.from = None;
        let peers = FakePeers::default();
        let failure = run(&peers, &args).unwrap_err();
        assert!(failure.next.contains("--peer-certificate"), "{failure:?}");
        assert!(peers.nodes().is_empty());
        args.link.peer_certificate = Some(7);
        run(&peers, &args).unwrap();
        assert!(peers.written().contains(&"peer_certificate=7".into()));
    }

    #[test]
    fn an_address_that_is_taken_is_said_to_be() {
        let peers = FakePeers::default();
        peers.refuse(Attribute::Join, Errno::EADDRINUSE);
        let failure = run(&peers, &args(false, 0)).unwrap_err();
        assert!(failure.next.contains("--listen"), "{failure:?}");
        assert!(peers.nodes().is_empty());
    }
}
