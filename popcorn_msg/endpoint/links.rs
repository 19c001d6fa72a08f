// SPDX-License-Identifier: GPL-2.0
//! The links of a node: how they begin and end, and which one leads to a peer.

use super::Endpoint;
use crate::link::Link;
use crate::shm;
use crate::shm::Window;
use crate::tcp::setup::Role;
use crate::tcp::Setup;
use crate::tcp::Tcp;
use crate::tcp::Worker;

use kernel::c_str;
use kernel::prelude::*;
use kernel::sync::Arc;

use popcorn_core::ids::NodeId;
use popcorn_core::stream::Channel;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::shared_memory::SharedMemory;

/// A link and its threads, which stop first.
pub(super) struct Attached {
    pub(super) link: Arc<Link>,
    /// In the order in which they are stopped.
    threads: [Option<Kthread>; 2],
}

impl Endpoint {
    /// Begins to seek `peer` in a window. May sleep.
    ///
    /// # Errors
    ///
    /// `EEXIST`: there is a window for it. `EINVAL`: the peer is this node, or the window too small.
    pub(crate) fn attach(&self, peer: NodeId, memory: SharedMemory) -> Result {
        let window = Window::new(self.node(), peer, memory)?;
        let link = Link::new(self.core.clone(), peer, window.clone())?;
        if self.link(peer).is_some() {
            return Err(EEXIST);
        }
        let thread = shm::Thread::new(link.clone(), window);
        let thread = Kthread::spawn(c_str!("popcorn_msg"), move || thread.run())?;
        self.add(Attached {
            link,
            threads: [Some(thread), None],
        })
    }

    /// Begins to seek `peer` by TCP. May sleep.
    ///
    /// # Errors
    ///
    /// `EEXIST`: it is sought already. `EINVAL`: the peer is this node. `EADDRINUSE`, `EADDRNOTAVAIL`:
    /// the address to listen at cannot be had. `ENOMEM`.
    pub(crate) fn connect(&self, peer: NodeId, setup: Setup) -> Result {
        let role = setup.role;
        let tcp = Tcp::new(setup)?;
        let link = Link::new(self.core.clone(), peer, tcp.clone())?;
        // Others who come or go do so before or afterwards.
        let mut listeners = self.listeners.lock();
        if self.link(peer).is_some() {
            return Err(EEXIST);
        }
        if let Role::Listen(address) = role {
            listeners.add(self.core.roster(), address, &tcp.setup().security)?;
        }
        let spawn = |channel| {
            let worker = Worker::new(link.clone(), tcp.clone(), channel)?;
            Kthread::spawn(c_str!("popcorn_msg"), move || worker.run()).map(Some)
        };
        let threads = self
            .begin_ticking()
            .and_then(|()| Ok([spawn(Channel::Urgent)?, spawn(Channel::Bulk)?]));
        let result = threads.and_then(|threads| self.add(Attached { link, threads }));
        match result {
            Ok(()) => {
                self.core.roster().set(peer, Some(tcp));
                self.core.members().link(peer, true);
            }
            Err(_) => {
                listeners.leave_unused(self.core.roster());
                self.end_ticking();
            }
        }
        result
    }

    fn add(&self, attached: Attached) -> Result {
        let mut attached = Some(attached);
        {
            let mut links = self.links.lock();
            let peer = attached.as_ref().map(|attached| attached.link.peer());
            let slot = peer.and_then(|peer| links.get_mut(peer.index()));
            if let Some(slot) = slot.filter(|slot| slot.is_none()) {
                *slot = attached.take();
            }
        }
        // Somebody else was faster: stops the threads, which may sleep.
        match attached {
            Some(_) => Err(EEXIST),
            None => Ok(()),
        }
    }

    /// Leaves `peer` and gives its window or connections back; nothing touches them afterwards, though workers with
    /// requests of the peer may still run. All services know that it is gone. May sleep, but not for any node.
    ///
    /// # Errors
    ///
    /// `ENODEV`: it is not sought.
    pub(crate) fn detach(&self, peer: NodeId) -> Result {
        let attached = self
            .links
            .lock()
            .get_mut(peer.index())
            .and_then(Option::take);
        let Attached { link, threads } = attached.ok_or(ENODEV)?;
        self.core.roster().set(peer, None);
        // Closes the link: whoever holds it still finds that before touching what is behind it.
        drop(threads);
        {
            let mut listeners = self.listeners.lock();
            listeners.leave_unused(self.core.roster());
            if !link.transport().shares_memory() {
                self.core.members().link(peer, false);
            }
            self.end_ticking();
        }
        // Who seeks the peer anew has another link, which knows nothing of what this one has told. Workers are not
        // waited for: one may wait for yet another node, without end. What they hold is closed.
        self.core.flush_events();
        Ok(())
    }

    pub(crate) fn link(&self, peer: NodeId) -> Option<Arc<Link>> {
        let links = self.links.lock();
        let attached = links.get(peer.index())?.as_ref()?;
        Some(attached.link.clone())
    }

    /// The link to a peer that is online, and in which session that is.
    pub(super) fn online_link(&self, peer: NodeId) -> Result<(Arc<Link>, u64)> {
        let link = self.link(peer).ok_or(ENODEV)?;
        let session = link.online()?;
        Ok((link, session))
    }

    /// Ends everything: leaves all peers, waits for all workers. May sleep.
    pub(crate) fn shut_down(&self) {
        self.leave_members();
        for id in NodeId::all() {
            let attached = self.links.lock().get_mut(id.index()).and_then(Option::take);
            if let Some(Attached { link, threads }) = attached {
                self.core.roster().set(id, None);
                drop(threads);
                drop(link);
            }
        }
        {
            let mut listeners = self.listeners.lock();
            listeners.leave_unused(self.core.roster());
            self.end_ticking();
        }
        self.core.flush();
    }
}
