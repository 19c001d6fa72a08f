// SPDX-License-Identifier: GPL-2.0
//! `node leave`: this kernel and one of another machine part.

use super::directory::Attribute;
use super::directory::Directory;
use super::directory::Peers;
use super::refusal::refused;
use super::refusal::Action;
use crate::cli::node::LeaveArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::patience;
use nix::errno::Errno;
use serde::Serialize;
use std::time::Duration;

/// The result of `node leave`.
#[derive(Debug, Serialize)]
struct Left {
    left: u32,
}

/// `node leave`
pub(crate) fn run(args: &LeaveArgs, output: &Output) -> Result<(), Failure> {
    leave(&Directory::open()?, args, output)
}

fn leave(
    peers: &(impl Peers + Clone + Send + 'static),
    args: &LeaveArgs,
    output: &Output,
) -> Result<(), Failure> {
    let node = args.node;
    let (how, action) = match args.force {
        true => ("force", Action::LeaveByForce),
        false => ("1", Action::Leave),
    };
    let asked = {
        let peers = peers.clone();
        let limit = Duration::from_secs(args.timeout);
        patience::ask_until(limit, move || peers.write(node, Attribute::Leave, how))
    };
    match asked {
        // One that has not joined, or has left, still has its directory.
        Ok(()) | Err(Errno::ENOTCONN) => {}
        Err(errno) => return Err(refused(action, node, errno)),
    }
    peers
        .remove(node)
        .map_err(|errno| refused(Action::Remove, node, errno))?;
    output.result(&Left { left: node }, || {
        format!("this kernel and node {node} have parted")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::FakePeers;

    fn joined() -> FakePeers {
        let peers = FakePeers::with_states(&["online"]);
        peers.make(1).unwrap();
        peers.write(1, Attribute::Join, "1").unwrap();
        peers
    }

    fn run(peers: &FakePeers, force: bool, timeout: u64) -> Result<(), Failure> {
        let args = LeaveArgs {
            node: 1,
            force,
            timeout,
        };
        leave(peers, &args, &Output::new(true))
    }

    #[test]
    fn it_is_forgotten_when_it_has_left() {
        let peers = joined();
        peers.refuse_times(Attribute::Leave, Errno::ETIMEDOUT, 2);
        run(&peers, false, 3600).unwrap();
        assert_eq!(peers.written()[1..], ["leave=1"; 3]);
        assert!(peers.nodes().is_empty());
    }

    #[test]
    fn one_that_has_threads_to_wait_for_stays() {
        let peers = joined();
        peers.refuse(Attribute::Leave, Errno::ETIMEDOUT);
        let failure = run(&peers, false, 0).unwrap_err();
        assert_eq!(failure.errno, Some(Errno::ETIMEDOUT));
        assert!(failure.next.contains("--force"), "{failure:?}");
        assert_eq!(peers.nodes(), [1]);
    }

    #[test]
    fn force_is_asked_for_by_name() {
        let peers = joined();
        run(&peers, true, 3600).unwrap();
        assert_eq!(peers.written().last().unwrap(), "leave=force");
    }

    #[test]
    fn one_that_never_joined_is_forgotten_and_one_that_is_not_there_is_not() {
        let peers = FakePeers::default();
        peers.make(1).unwrap();
        run(&peers, false, 3600).unwrap();
        assert!(peers.nodes().is_empty());
        let failure = run(&peers, false, 3600).unwrap_err();
        assert!(failure.next.contains("kernel stop"), "{failure:?}");
    }
}
