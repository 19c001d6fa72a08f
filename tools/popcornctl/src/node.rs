// SPDX-License-Identifier: GPL-2.0
//! `popcornctl node`: the nodes, and the way to one of them.
//!
//! | file | job |
//! |---|---|
//! | `directory` | the files of a node of another machine, in configfs |
//! | `address` | addresses as people write them |
//! | `setup` | what the kernel is told before a node joins, and how that is taken back |
//! | `state` | how a node of another machine fares |
//! | `wait` | until it is online; and why it is not |
//! | `refusal` | what an errno means, and what to do |
//! | the others | one command each; `list` is here |

pub(crate) mod accept;
pub(crate) mod address;
pub(crate) mod directory;
#[cfg(test)]
pub(crate) mod fake;
pub(crate) mod force;
pub(crate) mod join;
pub(crate) mod leave;
pub(crate) mod ping;
mod refusal;
mod setup;
pub(crate) mod show;
mod state;
mod wait;

use crate::device::Popcorn;
use crate::failure::Failure;
use crate::output;
use crate::output::Output;
use crate::uapi;
use crate::uapi::NodeInfo;
use directory::Attribute;
use directory::Peers;
use nix::errno::Errno;
use serde::Serialize;

/// A node as it is printed.
#[derive(Debug, Serialize)]
struct Node {
    id: u32,
    #[serde(rename = "self")]
    is_self: bool,
    state: &'static str,
    /// Whether its machine is in the list that machines agree on; false without other machines.
    member: bool,
    /// How messages get there: not to this node, nor if that cannot be seen.
    transport: Option<String>,
    name: String,
    cpus: u32,
    memory_bytes: u64,
    sent: u64,
    received: u64,
    sent_bytes: u64,
    received_bytes: u64,
    doorbells: u64,
}

impl From<&NodeInfo> for Node {
    fn from(info: &NodeInfo) -> Self {
        Self {
            id: info.id,
            is_self: info.flags & uapi::NODE_SELF != 0,
            state: state_name(info),
            member: info.flags & uapi::NODE_MEMBER != 0,
            transport: None,
            name: uapi::name(&info.name),
            cpus: info.cpus,
            memory_bytes: info.memory,
            sent: info.sent,
            received: info.received,
            sent_bytes: info.sent_bytes,
            received_bytes: info.received_bytes,
            doorbells: info.doorbells,
        }
    }
}

fn state_name(info: &NodeInfo) -> &'static str {
    let is = |flag| info.flags & flag != 0;
    match info.state {
        uapi::NODE_OFFLINE => "offline",
        uapi::NODE_ONLINE if is(uapi::NODE_MISSING) => "missing",
        uapi::NODE_ONLINE if is(uapi::NODE_SUSPENDED) => "suspended",
        uapi::NODE_ONLINE => "online",
        uapi::NODE_DEAD => "dead",
        _ => "unknown",
    }
}

/// `node list`; `peers` are those of other machines.
pub(crate) fn list(
    device: &impl Popcorn,
    peers: Option<&impl Peers>,
    output: &Output,
) -> Result<(), Failure> {
    let infos = device
        .nodes()
        .map_err(|errno| Failure::refused("listing the nodes", errno))?;
    let mut nodes: Vec<Node> = infos.iter().map(Node::from).collect();
    for node in nodes.iter_mut().filter(|node| !node.is_self) {
        node.transport = transport(peers, node.id);
    }
    output.result(&nodes, || nodes_table(&nodes))
}

/// How messages get to another node.
fn transport(peers: Option<&impl Peers>, id: u32) -> Option<String> {
    const OF_THIS_MACHINE: &str = "shm";
    let Some(peers) = peers else {
        return Some(OF_THIS_MACHINE.into());
    };
    match peers.read(id, Attribute::Transport) {
        Err(Errno::ENOENT) => Some(OF_THIS_MACHINE.into()),
        answer => answer.ok(),
    }
}

fn nodes_table(nodes: &[Node]) -> String {
    let rows: Vec<Vec<String>> = nodes
        .iter()
        .map(|node| {
            vec![
                format!("{}{}", if node.is_self { "*" } else { "" }, node.id),
                node.state.into(),
                node.transport.clone().unwrap_or("-".into()),
                node.name.clone(),
                node.cpus.to_string(),
                output::bytes(node.memory_bytes),
                node.sent.to_string(),
                output::bytes(node.sent_bytes),
                node.received.to_string(),
                output::bytes(node.received_bytes),
                node.doorbells.to_string(),
            ]
        })
        .collect();
    output::table(
        &[
            "NODE",
            "<STATE",
            "<BY",
            "<NAME",
            "CPUS",
            "MEMORY",
            "SENT",
            "BYTES",
            "RECEIVED",
            "BYTES",
            "DOORBELLS",
        ],
        &rows,
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(super) fn info(id: u32, state: u32, flags: u32) -> NodeInfo {
        let mut name = [0; uapi::NAME_LEN];
        name[..5].copy_from_slice(b"nodeX");
        NodeInfo {
            id,
            state,
            flags,
            cpus: 1,
            memory: 512 << 20,
            sent: 3,
            name,
            ..NodeInfo::default()
        }
    }

    #[test]
    fn nodes_as_json() {
        let node = Node::from(&info(1, uapi::NODE_ONLINE, 0));
        let value = serde_json::to_value(&node).unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "id": 1, "self": false, "state": "online", "member": false, "transport": null, "name": "nodeX",
                "cpus": 1, "memory_bytes": 536_870_912u64, "sent": 3, "received": 0, "sent_bytes": 0,
                "received_bytes": 0, "doorbells": 0
            })
        );
    }

    #[test]
    fn what_the_machines_have_not_decided_is_told() {
        let state = |flags| Node::from(&info(1, uapi::NODE_ONLINE, flags)).state;
        assert_eq!(state(uapi::NODE_MEMBER), "online");
        assert_eq!(state(uapi::NODE_MEMBER | uapi::NODE_MISSING), "missing");
        assert_eq!(state(uapi::NODE_SELF | uapi::NODE_SUSPENDED), "suspended");
        let gone = info(1, uapi::NODE_DEAD, uapi::NODE_MISSING);
        assert_eq!(Node::from(&gone).state, "dead");
        assert!(Node::from(&info(1, uapi::NODE_ONLINE, uapi::NODE_MEMBER)).member);
    }

    #[test]
    fn nodes_as_a_table() {
        let nodes = [
            Node::from(&info(0, uapi::NODE_ONLINE, uapi::NODE_SELF)),
            Node::from(&info(1, uapi::NODE_DEAD, 0)),
            Node::from(&info(2, 77, 0)),
        ];
        let text = nodes_table(&nodes);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[1].trim_start().starts_with("*0  online"), "{text}");
        assert!(
            lines[2].contains("dead") && lines[2].contains("512.0 MiB"),
            "{text}"
        );
        assert!(lines[3].contains("unknown"), "{text}");
    }

    #[test]
    fn who_is_not_of_another_machine_is_of_this_one() {
        use fake::FakePeers;
        let peers = FakePeers::default();
        peers.make(1).unwrap();
        peers.write(1, Attribute::Transport, "tcp").unwrap();
        assert_eq!(transport(Some(&peers), 1).unwrap(), "tcp");
        assert_eq!(transport(Some(&peers), 2).unwrap(), "shm");
        assert_eq!(transport(None::<&FakePeers>, 1).unwrap(), "shm");
    }
}
