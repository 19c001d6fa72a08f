// SPDX-License-Identifier: GPL-2.0
//! `node force`: a machine that has lost most of the others goes on without them, by an administrator's word.

use super::directory::Attribute;
use super::directory::Directory;
use super::directory::Peers;
use super::refusal::refused;
use super::refusal::Action;
use crate::cli::node::ForceArgs;
use crate::failure::Failure;
use crate::output::Output;
use serde::Serialize;

/// The result of `node force`.
#[derive(Debug, Serialize)]
struct Forced {
    without: Vec<u32>,
    /// What the machines that are left agree on now.
    members: String,
}

/// `node force`
pub(crate) fn run(args: &ForceArgs, output: &Output) -> Result<(), Failure> {
    force(&Directory::open()?, args, output)
}

fn force(peers: &impl Peers, args: &ForceArgs, output: &Output) -> Result<(), Failure> {
    for &node in &args.nodes {
        peers
            .write(node, Attribute::Force, "1")
            .map_err(|errno| refused(Action::Force, node, errno))?;
    }
    let mut members = String::new();
    if let Some(&node) = args.nodes.first() {
        members = peers
            .read(node, Attribute::Members)
            .map_err(|errno| refused(Action::Look, node, errno))?;
    }
    let forced = Forced {
        without: args.nodes.clone(),
        members,
    };
    output.result(&forced, || format!("this machine is {}", forced.members))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::FakePeers;
    use nix::errno::Errno;

    fn run(peers: &FakePeers, nodes: &[u32]) -> Result<(), Failure> {
        let args = ForceArgs {
            nodes: nodes.into(),
        };
        force(peers, &args, &Output::new(true))
    }

    #[test]
    fn the_word_is_given_of_each() {
        let peers = FakePeers::default();
        peers.make(0).unwrap();
        peers.make(2).unwrap();
        run(&peers, &[0, 2]).unwrap();
        assert_eq!(peers.written(), ["force=1"; 2]);
    }

    #[test]
    fn one_that_serves_has_nothing_to_force() {
        let peers = FakePeers::default();
        peers.make(1).unwrap();
        peers.refuse(Attribute::Force, Errno::EALREADY);
        let failure = run(&peers, &[1]).unwrap_err();
        assert!(failure.what.contains("not suspended"), "{}", failure.what);
        assert!(run(&peers, &[5]).is_err());
    }
}
