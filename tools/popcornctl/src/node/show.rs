// SPDX-License-Identifier: GPL-2.0
//! `popcornctl node show`: all that is known of one node.

use super::directory::Peers;
use super::transport;
use super::Node;
use crate::cli::node::NodeShowArgs;
use crate::device::Popcorn;
use crate::failure::Failure;
use crate::msg::counters;
use crate::msg::counters::Messages;
use crate::output;
use crate::output::Output;
use nix::errno::Errno;
use serde::Serialize;

/// A node with its messages by type.
#[derive(Debug, Serialize)]
struct Whole {
    #[serde(flatten)]
    node: Node,
    messages: Vec<Messages>,
}

/// `node show`; `peers` are the nodes of other machines.
pub(crate) fn show(
    device: &impl Popcorn,
    peers: Option<&impl Peers>,
    args: &NodeShowArgs,
    output: &Output,
) -> Result<(), Failure> {
    let whole = read(device, peers, args.node)
        .map_err(|errno| Failure::refused(format!("looking at node {}", args.node), errno))?;
    output.result(&whole, || text(&whole))
}

fn read(device: &impl Popcorn, peers: Option<&impl Peers>, id: u32) -> Result<Whole, Errno> {
    let nodes = device.nodes()?;
    let node = nodes.iter().find(|info| info.id == id);
    let mut node = Node::from(node.ok_or(Errno::ENODEV)?);
    if !node.is_self {
        node.transport = transport(peers, id);
    }
    let mut messages = device.messages(Some(id))?;
    messages.sort_by_key(|info| info.kind);
    Ok(Whole {
        node,
        messages: messages.iter().map(Messages::from).collect(),
    })
}

fn text(whole: &Whole) -> String {
    let node = &whole.node;
    let mut text = format!(
        "node {}{}\n",
        node.id,
        if node.is_self { " (this one)" } else { "" }
    );
    let mut line = |name: &str, value: String| text += &format!("  {name:<12} {value}\n");
    line("state", node.state.into());
    if let Some(transport) = &node.transport {
        line("transport", transport.clone());
    }
    line(
        "name",
        match node.name.as_str() {
            "" => "-".into(),
            name => name.into(),
        },
    );
    line("processors", node.cpus.to_string());
    line("memory", output::bytes(node.memory_bytes));
    if node.is_self {
        return text;
    }
    let messages =
        |number: u64, bytes| format!("{number} messages, {} of payload", output::bytes(bytes));
    line("sent", messages(node.sent, node.sent_bytes));
    line("received", messages(node.received, node.received_bytes));
    line("doorbells", node.doorbells.to_string());
    if !whole.messages.is_empty() {
        text.push('\n');
        text += &counters::table(&whole.messages);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::tests::FakeKernel;
    use crate::msg::counters::tests::info as messages;
    use crate::node::directory::Attribute;
    use crate::node::fake::FakePeers;
    use crate::node::tests::info;
    use crate::uapi;

    fn kernel() -> FakeKernel {
        FakeKernel {
            nodes: vec![
                info(0, uapi::NODE_ONLINE, uapi::NODE_SELF),
                info(1, uapi::NODE_DEAD, 0),
            ],
            messages: vec![messages(1, 0x302, &[]), messages(1, 0x301, &[5000])],
            ..FakeKernel::default()
        }
    }

    const NO_PEERS: Option<&FakePeers> = None;

    #[test]
    fn a_dead_node_keeps_what_was_counted() {
        let whole = read(&kernel(), NO_PEERS, 1).unwrap();
        let value = serde_json::to_value(&whole).unwrap();
        assert_eq!((&value["id"], &value["state"]), (&1.into(), &"dead".into()));
        assert_eq!(value["messages"][0]["name"], "PageRequest");
        assert_eq!(value["messages"].as_array().unwrap().len(), 2);
        let text = text(&whole);
        assert!(
            text.starts_with("node 1\n  state        dead\n  transport    shm\n"),
            "{text}"
        );
        assert!(
            text.contains("PageRequest") && text.contains("5.0 us"),
            "{text}"
        );
    }

    #[test]
    fn how_messages_get_to_another_machine() {
        let peers = FakePeers::default();
        peers.make(1).unwrap();
        peers.write(1, Attribute::Transport, "tls").unwrap();
        let whole = read(&kernel(), Some(&peers), 1).unwrap();
        assert_eq!(whole.node.transport.as_deref(), Some("tls"));
        assert!(text(&whole).contains("\n  transport    tls\n"));
    }

    #[test]
    fn this_node_has_no_messages_with_itself() {
        let whole = read(&kernel(), NO_PEERS, 0).unwrap();
        assert_eq!(whole.node.transport, None);
        let text = text(&whole);
        assert!(text.starts_with("node 0 (this one)\n"), "{text}");
        assert!(
            !text.contains("sent") && !text.contains("transport"),
            "{text}"
        );
    }

    #[test]
    fn a_node_that_is_not_there() {
        let args = NodeShowArgs { node: 7 };
        let failure = show(&kernel(), NO_PEERS, &args, &Output::new(true)).unwrap_err();
        assert_eq!(failure.errno, Some(Errno::ENODEV));
        assert!(failure.next.contains("node list"));
    }
}
