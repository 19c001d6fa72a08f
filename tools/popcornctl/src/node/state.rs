// SPDX-License-Identifier: GPL-2.0
//! A node of another machine, as its directory describes it.

use super::directory::Attribute;
use super::directory::Peers;
use super::refusal::refused;
use super::refusal::Action;
use crate::failure::Failure;
use serde::Serialize;
use serde::Serializer;
use std::fmt;

/// How a node of another machine fares, as its file `state` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// One that this program does not know.
    Other(String),
}

impl State {
    const ALL: [(&'static str, Self); 7] = [
        ("configured", Self::Configured),
        ("offline", Self::Offline),
        ("waiting", Self::Waiting),
        ("online", Self::Online),
        ("missing", Self::Missing),
        ("dead", Self::Dead),
        ("mismatch", Self::Mismatch),
    ];

    pub(crate) fn new(text: &str) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|(name, _)| *name == text)
            .map_or_else(|| Self::Other(text.into()), |(_, state)| state)
    }

    pub(crate) fn read(peers: &impl Peers, node: u32) -> Result<Self, Failure> {
        read(peers, node, Attribute::State).map(|text| Self::new(&text))
    }

    /// How it fares, as the end of "node N ...".
    pub(crate) fn text(&self) -> String {
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
            Self::Other(text) => return format!("is {text}, which this popcornctl does not know"),
        }
        .into()
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Other(text) => text,
            known => {
                let mut all = Self::ALL.iter();
                all.find(|(_, state)| state == known)
                    .map_or("", |(name, _)| name)
            }
        };
        f.pad(name)
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// All that there is to say of one.
#[derive(Debug, Serialize)]
pub(crate) struct Peer {
    node: u32,
    state: State,
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
            state: State::read(peers, node)?,
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

    #[test]
    fn every_state_keeps_its_name() {
        for (name, state) in State::ALL {
            assert_eq!(State::new(name), state);
            assert_eq!(state.to_string(), name);
        }
        let other = State::new("levitating");
        assert_eq!(serde_json::to_value(&other).unwrap(), "levitating");
        assert!(other.text().contains("levitating"));
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
