// SPDX-License-Identifier: GPL-2.0
//! A node of another machine, as its directory describes it.

use super::directory::Attribute;
use super::directory::Peers;
use super::refusal::refused;
use super::refusal::Action;
use crate::failure::Failure;
use crate::state::Known;
use crate::state::Named;
use serde::Serialize;

/// How a node of another machine fares, as its file `state` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Configured,
    Offline,
    /// There is a connection; this machine joins when it has one to each machine of that system.
    Waiting,
    Online,
    /// It is silent, and the machines have yet to decide what that means.
    Missing,
    Dead,
    Mismatch,
}

impl Known for State {
    const ALL: &'static [(&'static str, Self)] = &[
        ("configured", Self::Configured),
        ("offline", Self::Offline),
        ("waiting", Self::Waiting),
        ("online", Self::Online),
        ("missing", Self::Missing),
        ("dead", Self::Dead),
        ("mismatch", Self::Mismatch),
    ];

    /// How it fares, as the end of "node N ...".
    fn text(self) -> &'static str {
        match self {
            Self::Configured => "is set up, and not joined",
            Self::Offline => "is not there",
            Self::Waiting => {
                "is connected, and waits until this machine has joined all others of its system, too"
            }
            Self::Online => "is online",
            Self::Missing => "is silent",
            Self::Dead => "was online, and is gone",
            Self::Mismatch => "does not match this one",
        }
    }
}

impl Named<State> {
    pub(crate) fn read(peers: &impl Peers, node: u32) -> Result<Self, Failure> {
        read(peers, node, Attribute::State).map(|text| Self::new(&text))
    }
}

/// All that there is to say of one.
#[derive(Debug, Serialize)]
pub(crate) struct Peer {
    node: u32,
    state: Named<State>,
    transport: String,
    connect: Option<String>,
    listen: Option<String>,
    from: Option<String>,
}

impl Peer {
    pub(crate) fn read(peers: &impl Peers, node: u32) -> Result<Self, Failure> {
        let text = |attribute| read(peers, node, attribute);
        let some =
            |attribute| text(attribute).map(|text| Some(text).filter(|text| !text.is_empty()));
        Ok(Self {
            node,
            state: Named::read(peers, node)?,
            transport: text(Attribute::Transport)?,
            connect: some(Attribute::Connect)?,
            listen: some(Attribute::Listen)?,
            from: some(Attribute::From)?,
        })
    }

    /// In one line, for people.
    pub(crate) fn line(&self) -> String {
        let mut way = self.transport.clone();
        if let Some(address) = &self.connect {
            way += &format!(" to {address}");
        }
        if let Some(address) = &self.listen {
            way += &format!(" at {address}");
        }
        if let Some(host) = &self.from {
            way += &format!(", from {host} only");
        }
        format!("node {} {} ({way})", self.node, self.state.text())
    }
}

fn read(peers: &impl Peers, node: u32, attribute: Attribute) -> Result<String, Failure> {
    peers
        .read(node, attribute)
        .map_err(|errno| refused(Action::Look, node, errno))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::FakePeers;
    use crate::state::tests::assert_names_are_kept;

    #[test]
    fn every_state_keeps_its_name() {
        assert_names_are_kept::<State>();
    }

    #[test]
    fn what_is_not_set_is_null() {
        let peers = FakePeers::with_states(&["offline"]);
        peers.make(1).unwrap();
        peers
            .write(1, Attribute::Connect, "192.0.2.1:7411")
            .unwrap();
        peers.write(1, Attribute::Join, "1").unwrap();
        let peer = Peer::read(&peers, 1).unwrap();
        assert_eq!(
            serde_json::to_value(&peer).unwrap(),
            serde_json::json!({
                "node": 1, "state": "offline", "transport": "tls", "connect": "192.0.2.1:7411",
                "listen": null, "from": null
            })
        );
        assert_eq!(peer.line(), "node 1 is not there (tls to 192.0.2.1:7411)");
        assert!(Peer::read(&peers, 2).unwrap_err().what.contains("node 2"));
    }
}
