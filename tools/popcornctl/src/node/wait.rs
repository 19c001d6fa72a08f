// SPDX-License-Identifier: GPL-2.0
//! Until a node of another machine is online; and why it is not.

use super::directory::Peers;
use super::setup::Setup;
use super::setup::Way;
use super::state::State;
use crate::failure::Failure;
use crate::output::Output;
use crate::patience::Patience;
use crate::patience::LOOK_AGAIN;
use crate::signals;
use crate::signals::Signals;
use crate::state::Named;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use popcorn_core::address::Address;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;

/// For the answer to a knock.
const KNOCK_WITHIN: Duration = Duration::from_secs(3);

/// What comes of a connection that this program makes, to find out why the kernel's do not lead to anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Knock {
    /// Somebody takes connections there.
    Taken,
    /// The machine is there, and nobody takes connections.
    Refused,
    /// There is no answer.
    Silent,
    /// There is no way to it.
    Unreachable(String),
}

/// What a wait has to do with beside the kernel.
pub(crate) trait World {
    /// Sleeps for a time; ended by a signal that is to end the command, which it returns.
    fn sleep(&self, time: Duration) -> Result<Option<Signal>, Errno>;
    /// Tries whether somebody takes connections there.
    fn knock(&self, address: &Address) -> Knock;
}

impl World for Signals {
    fn sleep(&self, time: Duration) -> Result<Option<Signal>, Errno> {
        Signals::sleep(self, time)
    }

    fn knock(&self, address: &Address) -> Knock {
        knock(address, KNOCK_WITHIN)
    }
}

fn knock(address: &Address, within: Duration) -> Knock {
    let address = SocketAddr::new(address.ip(), address.port());
    match TcpStream::connect_timeout(&address, within) {
        Ok(_) => Knock::Taken,
        Err(error) => match error.kind() {
            ErrorKind::ConnectionRefused => Knock::Refused,
            ErrorKind::TimedOut => Knock::Silent,
            _ => Knock::Unreachable(error.to_string()),
        },
    }
}

/// Waits until the node that was set up is online. What was set up stays as it is, however that ends.
pub(crate) fn wait_online(
    peers: &impl Peers,
    world: &impl World,
    setup: &Setup,
    limit: Duration,
    output: &Output,
) -> Result<(), Failure> {
    let node = setup.node;
    let mut patience = Patience::new(limit);
    loop {
        let state = Named::<State>::read(peers, node)?;
        match state.known() {
            Some(State::Online) => return Ok(()),
            // The next command may be what it waits for.
            Some(State::Waiting) => {
                output.progress(&format!("node {node} {}", state.text()));
                return Ok(());
            }
            Some(State::Mismatch) => return Err(mismatch(peers, setup)),
            Some(State::Configured) => {
                return Err(Failure::new(
                    format!("node {node} was told to leave, by another command"),
                    "try again",
                ))
            }
            _ if patience.is_over() => return Err(absent(peers, world, setup, limit)),
            _ => {}
        }
        if let Some(seconds) = patience.say_again() {
            output.progress(&format!(
                "{seconds} s: node {node} {}; on its machine: {}",
                state.text(),
                setup.counterpart(peers.own_node())
            ));
        }
        match world.sleep(LOOK_AGAIN) {
            Ok(None) => {}
            Ok(Some(signal)) => return Err(signals::ended_by(signal)),
            Err(errno) => return Err(Failure::refused("waiting", errno)),
        }
    }
}

/// Where the node is sought.
fn place(setup: &Setup) -> String {
    match setup.way {
        Way::Connect(address) => format!("at {address}"),
        Way::Listen(address, None) => format!("that is to connect to {address}"),
        Way::Listen(address, Some(host)) => {
            format!("that is to connect to {address} from {host}")
        }
    }
}

fn own_text(own: Option<u32>) -> String {
    own.map_or("its own (`popcornctl node list`)".into(), |id| {
        id.to_string()
    })
}

fn mismatch(peers: &impl Peers, setup: &Setup) -> Failure {
    Failure {
        errno: Some(Errno::EPROTO),
        ..Failure::new(
            format!(
                "the node {} does not match this kernel: it has modules of another build, or is not node {}, or expects another node than this one",
                place(setup),
                setup.node
            ),
            format!(
                "the kernel's log (dmesg) says which; load modules of the same build on both machines; the id of this node is {}",
                own_text(peers.own_node())
            ),
        )
    }
}

/// The time is over.
fn absent(peers: &impl Peers, world: &impl World, setup: &Setup, limit: Duration) -> Failure {
    let what = format!(
        "node {} {} is not online after {} s",
        setup.node,
        place(setup),
        limit.as_secs()
    );
    let typed = setup.counterpart(peers.own_node());
    let Way::Connect(address) = setup.way else {
        return Failure::new(
            what,
            format!("on its machine: `{typed}`; who connected and was refused, this kernel's log (dmesg) tells"),
        );
    };
    let (why, next) = match world.knock(&address) {
        Knock::Refused => (
            "nobody takes connections there".into(),
            format!("on its machine: `{typed}`; then try again"),
        ),
        Knock::Silent => (
            "nobody answers there".into(),
            format!(
                "is the address right, and does no firewall on the way keep TCP port {} closed?",
                address.port()
            ),
        ),
        Knock::Unreachable(why) => (
            format!("there is no way to it ({why})"),
            format!("see `ip route get {}`", address.ip()),
        ),
        Knock::Taken => (
            "somebody takes connections there, but not ours".into(),
            format!("the log (dmesg) of that machine, or of this one, says why: it must expect this node (`{typed}`), from here, by the same transport and keys, and have modules of the same build"),
        ),
    };
    Failure::new(format!("{what}: {why}"), next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::node::LinkArgs;
    use crate::cli::node::Transport;
    use crate::node::directory::Attribute;
    use crate::node::fake::FakePeers;
    use crate::node::fake::FakeWorld;
    use std::net::TcpListener;

    const HOUR: Duration = Duration::from_secs(3600);

    fn setup(way: Way) -> Setup {
        Setup {
            node: 1,
            way,
            link: LinkArgs {
                transport: Transport::Tcp,
                ..LinkArgs::default()
            },
            peer_name: None,
        }
    }

    fn connect() -> Setup {
        setup(Way::Connect(Address::parse(b"192.0.2.1").unwrap()))
    }

    fn wait(
        peers: &FakePeers,
        world: &FakeWorld,
        setup: &Setup,
        limit: Duration,
    ) -> Result<(), Failure> {
        setup.begin(peers).unwrap();
        wait_online(peers, world, setup, limit, &Output::new(true))
    }

    #[test]
    fn one_that_comes_and_goes_is_waited_for() {
        let peers = FakePeers::with_states(&["offline", "offline", "dead", "offline", "online"]);
        wait(&peers, &FakeWorld::default(), &connect(), HOUR).unwrap();
    }

    #[test]
    fn another_build_is_not_waited_for() {
        let peers = FakePeers::with_states(&["offline", "mismatch"]);
        let failure = wait(&peers, &FakeWorld::default(), &connect(), HOUR).unwrap_err();
        assert_eq!(failure.errno, Some(Errno::EPROTO));
        assert!(failure.next.contains("same build"), "{failure:?}");
        assert!(failure.next.contains("this node is 0"), "{failure:?}");
    }

    #[test]
    fn who_is_absent_is_knocked_at() {
        for (knock, what, next) in [
            (
                Knock::Refused,
                "nobody takes",
                "node accept 0 --transport tcp",
            ),
            (Knock::Silent, "nobody answers", "port 7411"),
            (
                Knock::Unreachable("no route".into()),
                "(no route)",
                "ip route get 192.0.2.1",
            ),
            (Knock::Taken, "not ours", "dmesg"),
        ] {
            let world = FakeWorld {
                knock,
                ..FakeWorld::default()
            };
            let peers = FakePeers::default();
            let failure = wait(&peers, &world, &connect(), Duration::ZERO).unwrap_err();
            let start = "node 1 at 192.0.2.1:7411 is not online after 0 s: ";
            assert!(failure.what.starts_with(start), "{failure:?}");
            assert!(failure.what.contains(what), "{failure:?}");
            assert!(failure.next.contains(next), "{failure:?}");
        }
    }

    #[test]
    fn who_does_not_come_is_not_knocked_at() {
        let world = FakeWorld::default();
        let way = Way::Listen(Address::any(7411), Some([192, 0, 2, 2].into()));
        let peers = FakePeers::default();
        let failure = wait(&peers, &world, &setup(way), Duration::ZERO).unwrap_err();
        assert!(
            failure.what.contains("0.0.0.0:7411 from 192.0.2.2"),
            "{failure:?}"
        );
        assert!(
            failure.next.contains("node join ADDRESS --node 0"),
            "{failure:?}"
        );
        assert!(world.knocked.borrow().is_empty());
    }

    #[test]
    fn a_signal_ends_the_wait() {
        let world = FakeWorld {
            signal: Some(Signal::SIGINT),
            ..FakeWorld::default()
        };
        let failure = wait(&FakePeers::default(), &world, &connect(), HOUR).unwrap_err();
        assert_eq!(failure.status, 130);
    }

    #[test]
    fn so_does_another_command() {
        let peers = FakePeers::default();
        let setup = connect();
        setup.begin(&peers).unwrap();
        peers.write(1, Attribute::Leave, "1").unwrap();
        let world = FakeWorld::default();
        let wait = || wait_online(&peers, &world, &setup, HOUR, &Output::new(true));
        assert!(wait().unwrap_err().what.contains("another command"));
        peers.remove(1).unwrap();
        assert_eq!(wait().unwrap_err().errno, Some(Errno::ENOENT));
    }

    #[test]
    fn a_knock_finds_who_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::loopback(listener.local_addr().unwrap().port());
        assert_eq!(knock(&address, HOUR), Knock::Taken);
        drop(listener);
        assert_eq!(knock(&address, HOUR), Knock::Refused);
    }
}
