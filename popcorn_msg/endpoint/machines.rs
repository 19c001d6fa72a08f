// SPDX-License-Identifier: GPL-2.0
//! Other machines: while there are links to some, this one agrees with them on who is there
//! ([`members`](crate::members)). Whom it leaves when it leaves one, and with whom it may deal.

use super::Endpoint;
use crate::link::Link;

use kernel::c_str;
use kernel::prelude::*;
use kernel::sync::Arc;

use core::sync::atomic::Ordering;
use popcorn_core::directory::NodeSet;
use popcorn_core::ids::NodeId;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::wait::Sleep;

/// How long the others may take to shorten their list when this machine leaves: from, to.
const LEAVE_MS: (u32, u32) = (2_000, 10_000);

impl Endpoint {
    /// Links to other machines.
    fn links_to_machines(&self) -> usize {
        let links = self.links.lock();
        links
            .iter()
            .flatten()
            .filter(|attached| !attached.link.transport().shares_memory())
            .count()
    }

    /// Whom this machine leaves when it leaves `peer`: those that are in one list of members with both, for who is not
    /// connected to all of these can be no member. `None`: it stays with the others, if there are some: `peer` is no
    /// member, or is gone without having left.
    pub(crate) fn fellows(&self, peer: NodeId) -> Option<NodeSet> {
        let members = self.core.members().describe().status.members;
        let is_one = members.contains(self.node()) && members.contains(peer);
        let fellows = members.without(self.node()).without(peer);
        let is_heard = |link: Arc<Link>| link.is_online() && !link.missing.load(Ordering::Acquire);
        let goes = is_one && (fellows.is_empty() || self.link(peer).is_some_and(is_heard));
        (self.core.settings().agrees && goes).then_some(fellows)
    }

    /// Leaves `peer` at once, whatever comes of what is over there; and so all that are in one list with both.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::detach`].
    pub(crate) fn leave_at_once(&self, peer: NodeId) -> Result {
        // Of two it is left to the other to find out, as when this machine dies.
        if self
            .fellows(peer)
            .is_some_and(|fellows| !fellows.is_empty())
        {
            self.core.members().resign();
        }
        self.detach(peer)
    }

    /// From the first link to another machine on there is somebody to agree with.
    pub(super) fn begin_ticking(&self) -> Result {
        if !self.core.settings().agrees {
            return Ok(());
        }
        let mut ticker = self.ticker.lock();
        if ticker.is_none() {
            let core = self.core.clone();
            let thread = Kthread::spawn(c_str!("popcorn_members"), move || {
                core.members().run(core.settings());
            })?;
            *ticker = Some(thread);
        }
        Ok(())
    }

    /// Without a link to another machine there is nobody.
    pub(super) fn end_ticking(&self) {
        if self.links_to_machines() != 0 {
            return;
        }
        let ticker = self.ticker.lock().take();
        drop(ticker);
    }

    /// The last link to another machine is about to be left, in order: the others shorten their list first. May
    /// sleep.
    pub(crate) fn leave_members(&self) {
        if self.core.settings().agrees && self.links_to_machines() != 0 {
            let dead_ms = self.core.settings().dead_ms();
            let timeout_ms = dead_ms.saturating_mul(2).clamp(LEAVE_MS.0, LEAVE_MS.1);
            self.core.members().leave(timeout_ms);
        }
    }

    /// Waits until this machine may deal with `node`: at once with a kernel of its own, or one that is not online;
    /// else until this machine serves, which one does not that has lost most of the others.
    ///
    /// # Errors
    ///
    /// `EINTR`: by a signal that `sleep` heeds.
    pub fn wait_serving(&self, node: NodeId, sleep: Sleep) -> Result {
        if self.core.members().serves() {
            return Ok(());
        }
        match self.link(node) {
            Some(link) if !link.transport().shares_memory() => self
                .core
                .members()
                .wait_serving(sleep, || !link.is_online()),
            _ => Ok(()),
        }
    }

    /// Whether this machine may deal with `node` now; see [`Endpoint::wait_serving`].
    pub fn serves(&self, node: NodeId) -> bool {
        self.core.members().serves() || self.shares_memory(node)
    }
}
