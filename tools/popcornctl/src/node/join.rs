// SPDX-License-Identifier: GPL-2.0
//! `node join`: this kernel connects to one of another machine.

use super::directory::Directory;
use super::directory::Peers;
use super::setup::Setup;
use super::setup::Way;
use super::state::Peer;
use super::wait::wait_online;
use super::wait::World;
use crate::cli::node::JoinArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::signals;
use crate::signals::Signals;
use std::time::Duration;

/// `node join`
pub(crate) fn run(args: &JoinArgs, output: &Output) -> Result<(), Failure> {
    let peers = Directory::open()?;
    // From here on a signal leaves time to take everything back.
    let signals = Signals::take(&signals::ENDING)?;
    join(&peers, &signals, args, output)
}

fn join(
    peers: &impl Peers,
    world: &impl World,
    args: &JoinArgs,
    output: &Output,
) -> Result<(), Failure> {
    let setup = Setup {
        node: args.node,
        way: Way::Connect(args.address),
        link: args.link,
        peer_name: args.peer_name.clone(),
    };
    setup.begin(peers)?;
    if !args.no_wait {
        let limit = Duration::from_secs(args.timeout);
        wait_online(peers, world, &setup, limit, output)
            .map_err(|failure| setup.undone(peers, failure))?;
    }
    let peer = Peer::read(peers, args.node)?;
    output.result(&peer, || {
        let line = peer.line();
        if args.no_wait {
            format!("{line}; this kernel goes on looking for it")
        } else {
            line
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
    use nix::sys::signal::Signal;
    use popcorn_core::address::Address;

    fn args(timeout: u64) -> JoinArgs {
        JoinArgs {
            address: Address::parse(b"192.0.2.1").unwrap(),
            node: 1,
            link: LinkArgs::default(),
            peer_name: None,
            timeout,
            no_wait: false,
        }
    }

    fn run(peers: &FakePeers, world: &FakeWorld, args: &JoinArgs) -> Result<(), Failure> {
        join(peers, world, args, &Output::new(true))
    }

    #[test]
    fn one_that_is_online_stays() {
        let peers = FakePeers::with_states(&["offline", "online"]);
        run(&peers, &FakeWorld::default(), &args(3600)).unwrap();
        assert_eq!(peers.nodes(), [1]);
        // Once more is not what was meant.
        let failure = run(&peers, &FakeWorld::default(), &args(3600)).unwrap_err();
        assert_eq!(failure.errno, Some(Errno::EEXIST));
        assert_eq!(peers.nodes(), [1]);
    }

    #[test]
    fn one_that_does_not_come_is_forgotten() {
        let peers = FakePeers::default();
        run(&peers, &FakeWorld::default(), &args(0)).unwrap_err();
        assert!(peers.nodes().is_empty());
        assert_eq!(peers.written().last().unwrap(), "leave=1");
    }

    #[test]
    fn so_is_one_that_nobody_waits_for_any_more() {
        let peers = FakePeers::default();
        let world = FakeWorld {
            signal: Some(Signal::SIGTERM),
            ..FakeWorld::default()
        };
        let failure = run(&peers, &world, &args(3600)).unwrap_err();
        assert_eq!(failure.status, 143);
        assert!(peers.nodes().is_empty());
    }

    #[test]
    fn without_waiting_it_is_left_to_the_kernel() {
        let peers = FakePeers::default();
        let args = JoinArgs {
            no_wait: true,
            ..args(0)
        };
        run(&peers, &FakeWorld::default(), &args).unwrap();
        assert_eq!(peers.nodes(), [1]);
    }

    #[test]
    fn a_kernel_without_tls_says_what_there_is() {
        let peers = FakePeers::default();
        peers.refuse(Attribute::Join, Errno::EOPNOTSUPP);
        let failure = run(&peers, &FakeWorld::default(), &args(0)).unwrap_err();
        assert!(failure.next.contains("--transport tcp"), "{failure:?}");
        assert!(peers.nodes().is_empty());
    }
}
