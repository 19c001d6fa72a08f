// SPDX-License-Identifier: GPL-2.0
//! What is known of the nodes: this one and those that are sought.

use super::Endpoint;
use crate::link::Link;
use crate::link::LinkState;

use kernel::prelude::*;

use core::sync::atomic::Ordering;
use popcorn_core::directory::NodeSet;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_kernel::system;
use popcorn_kernel::uapi::popcorn_node_info;
use popcorn_kernel::uapi::POPCORN_NODE_DEAD;
use popcorn_kernel::uapi::POPCORN_NODE_MEMBER;
use popcorn_kernel::uapi::POPCORN_NODE_MISSING;
use popcorn_kernel::uapi::POPCORN_NODE_OFFLINE;
use popcorn_kernel::uapi::POPCORN_NODE_ONLINE;
use popcorn_kernel::uapi::POPCORN_NODE_SELF;
use popcorn_kernel::uapi::POPCORN_NODE_SUSPENDED;
use popcorn_kernel::wait::Sleep;

impl Endpoint {
    /// Whether messages can be sent to `node`.
    pub fn is_online(&self, node: NodeId) -> bool {
        self.link(node).is_some_and(|link| link.is_online())
    }

    /// The life of `node`, if messages can be sent to it: a node that was away meanwhile has another.
    pub fn life(&self, node: NodeId) -> Option<Incarnation> {
        let link = self.link(node).filter(|link| link.is_online())?;
        link.introduction().map(|peer| peer.incarnation)
    }

    /// All nodes that messages can be sent to now: without this one. For who asks them all.
    pub fn online_nodes(&self) -> NodeSet {
        let links = self.links.lock();
        links
            .iter()
            .flatten()
            .filter(|attached| attached.link.is_online())
            .fold(NodeSet::EMPTY, |nodes, attached| {
                nodes.with(attached.link.peer())
            })
    }

    /// Whether `node` is a kernel of this machine, whose memory can be read.
    pub fn shares_memory(&self, node: NodeId) -> bool {
        self.link(node)
            .is_some_and(|link| link.transport().shares_memory())
    }

    /// Waits until `node` is online. May sleep.
    ///
    /// # Errors
    ///
    /// `ENODEV`: it is not sought. `EINTR`: a fatal signal. `ETIMEDOUT`.
    pub fn wait_online(&self, node: NodeId, timeout_ms: u32) -> Result {
        let link = self.link(node).ok_or(ENODEV)?;
        self.core
            .online()
            .wait(Sleep::Killable, Some(timeout_ms), || link.is_online())
    }

    /// Somebody knows that `node` is dead: its calls fail, its services are told. May sleep.
    ///
    /// # Errors
    ///
    /// `ENODEV`: it is not sought.
    pub fn node_died(&self, node: NodeId) -> Result {
        let link = self.link(node).ok_or(ENODEV)?;
        link.killed.store(true, Ordering::Release);
        link.kick();
        Ok(())
    }

    /// All nodes that are sought, and this one, by id. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn nodes(&self) -> Result<KVec<popcorn_node_info>> {
        let mut nodes = KVec::new();
        let members = self.core.members();
        let list = members.describe().status.members;
        for id in NodeId::all() {
            let mut info = if id == self.node() {
                self.own_info()
            } else if let Some(link) = self.link(id) {
                link_info(&link)
            } else {
                continue;
            };
            // Without other machines there is no list to speak of.
            if list.len() > 1 && list.contains(id) {
                info.flags |= POPCORN_NODE_MEMBER;
            }
            if id == self.node() && !members.serves() {
                info.flags |= POPCORN_NODE_SUSPENDED;
            }
            nodes.push(info, GFP_KERNEL)?;
        }
        Ok(nodes)
    }

    fn own_info(&self) -> popcorn_node_info {
        let mut info = popcorn_node_info {
            id: u32::from(self.node().get()),
            state: POPCORN_NODE_ONLINE,
            cpus: system::cpus_online(),
            flags: POPCORN_NODE_SELF,
            memory: system::memory_bytes(),
            ..Default::default()
        };
        let name: [u8; 64] = system::host_name();
        copy_name(&mut info, &name);
        info
    }
}

fn copy_name(info: &mut popcorn_node_info, name: &[u8]) {
    let room = info.name.len() - 1;
    for (to, &from) in info.name.iter_mut().zip(name).take(room) {
        *to = from as _;
    }
}

fn link_info(link: &Link) -> popcorn_node_info {
    let totals = link.statistics().totals();
    let mut info = popcorn_node_info {
        id: u32::from(link.peer().get()),
        state: match link.state() {
            LinkState::Online => POPCORN_NODE_ONLINE,
            LinkState::Dead => POPCORN_NODE_DEAD,
            LinkState::Offline | LinkState::Mismatch => POPCORN_NODE_OFFLINE,
        },
        sent: totals.sent,
        received: totals.received,
        sent_bytes: totals.sent_bytes,
        received_bytes: totals.received_bytes,
        doorbells: link.statistics().doorbells.get(),
        flags: if link.missing.load(Ordering::Acquire) {
            POPCORN_NODE_MISSING
        } else {
            0
        },
        ..Default::default()
    };
    if let Some(peer) = link.introduction() {
        info.cpus = u32::try_from(peer.cpus).unwrap_or(u32::MAX);
        info.memory = peer.memory;
        copy_name(&mut info, &peer.name);
    }
    info
}
