// SPDX-License-Identifier: GPL-2.0
//! Why somebody who has connected is refused, in words for the log.

use core::fmt;

use popcorn_core::ids::NodeId;
use popcorn_core::stream::hello::Mismatch;
use popcorn_core::stream::Hello;
use popcorn_core::stream::VERSION;

/// What the log says of it.
#[derive(Clone, Copy)]
pub(super) enum Refusal {
    /// Nothing depends on what he said.
    Because(&'static str),
    /// His hello is not one that we can do with; this node's id, and the hash of its protocol.
    Hello(Mismatch, NodeId, u64),
    /// He means the node with that id; this node's.
    Means(u32, NodeId),
}

impl Refusal {
    /// That of a hello which did not pass the check of node `own`, of that protocol, because of a mismatch.
    pub(super) fn of(hello: &Hello, mismatch: Mismatch, own: NodeId, protocol: u64) -> Self {
        let source = NodeId::new(u64::from(hello.source));
        match mismatch {
            // What is wrong is not the sender's id, so it is the receiver's.
            Mismatch::Node(node) if source.is_some_and(|node| node != own) => {
                Self::Means(node, own)
            }
            _ => Self::Hello(mismatch, own, protocol),
        }
    }
}

impl From<&'static str> for Refusal {
    fn from(what: &'static str) -> Self {
        Self::Because(what)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Because(what) => f.write_str(what),
            Self::Hello(Mismatch::Magic, ..) => f.write_str("what it says is no hello of a node"),
            Self::Hello(Mismatch::Version(version), ..) => write!(
                f,
                "it is of another build: it has version {} of frames, this node {}",
                version, VERSION
            ),
            Self::Hello(Mismatch::Protocol(theirs), _, ours) => write!(
                f,
                "it is of another build: its protocol is {:016x}, that of this node {:016x}",
                theirs, ours
            ),
            Self::Hello(Mismatch::Node(node), own, _)
                if u64::from(own.get()) == u64::from(node) =>
            {
                write!(f, "it says that it is node {}, which is this one", node)
            }
            Self::Hello(Mismatch::Node(node), ..) => {
                write!(f, "it says that it is node {}, which none can be", node)
            }
            Self::Hello(Mismatch::Field(what), ..) => {
                write!(f, "its hello has a wrong field: {}", what)
            }
            Self::Means(node, own) => {
                write!(f, "it means node {}, and this is node {}", node, own)
            }
        }
    }
}
