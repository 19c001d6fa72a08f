// SPDX-License-Identifier: GPL-2.0
//! The scene of a case: who is there, and what must be true of them at any time and in the end.

use super::peer::Hostile;
use super::witnesses::talk;
use super::witnesses::Told;
use super::witnesses::TOLD;
use super::witnesses::TRAFFIC;
use super::HONEST;
use super::HOSTILE;
use super::ROUNDS;
use crate::endpoint::Registration;
use crate::tests::node;
use crate::tests::TestNode;
use crate::tests::PROTOCOL;
use crate::tests::WINDOW;

use kernel::c_str;
use kernel::prelude::*;

use core::sync::atomic::Ordering;
use popcorn_core::ids::NodeId;
use popcorn_kernel::check;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::kunit::eventually;
use popcorn_kernel::kunit::Failure;
use popcorn_kernel::kunit::Outcome;
use popcorn_kernel::kunit::LONG_MS;
use popcorn_kernel::log;
use popcorn_kernel::shared_memory::SharedMemory;

/// The one that is attacked, node 0, between an honest node and a hostile one. What is dropped first stands first.
pub(super) struct Scene {
    traffic: Kthread,
    told: Registration,
    pub(super) hostile: Hostile,
    pub(super) honest: TestNode,
    pub(super) victim: TestNode,
}

impl Scene {
    pub(super) fn new(dead_ms: u32) -> core::result::Result<Self, Failure> {
        TOLD.reset();
        TRAFFIC.rounds.store(0, Ordering::SeqCst);
        TRAFFIC.wrong.store(0, Ordering::SeqCst);
        let victim = TestNode::new(0, PROTOCOL, dead_ms)?;
        let honest = TestNode::new(HONEST, PROTOCOL, LONG_MS)?;
        let told = victim.register(requests!(0x5f0), &TOLD)?;
        let memory = SharedMemory::allocate(WINDOW)?;
        victim.attach(node(HONEST), memory.clone())?;
        honest.attach(NodeId::PRIMARY, memory)?;
        victim.wait_online(node(HONEST), LONG_MS)?;
        honest.wait_online(NodeId::PRIMARY, LONG_MS)?;
        let mut hostile = Hostile::new(&victim)?;
        hostile.join()?;
        let (one, other) = (victim.0.clone(), honest.0.clone());
        let traffic = Kthread::spawn(c_str!("popcorn test"), move || talk(&one, &other))?;
        Ok(Self {
            traffic,
            told,
            hostile,
            honest,
            victim,
        })
    }

    /// The honest traffic goes on, without a fault so far.
    pub(super) fn honest_goes_on(&self) -> bool {
        let rounds = || TRAFFIC.rounds.load(Ordering::SeqCst);
        let before = rounds();
        eventually(|| rounds().wrapping_sub(before) >= ROUNDS)
            && TRAFFIC.wrong.load(Ordering::SeqCst) == 0
            && self.victim.is_online(node(HONEST))
            && self.honest.is_online(NodeId::PRIMARY)
            && Told::get(&TOLD.dead, HONEST) + Told::get(&TOLD.left, HONEST) == 0
    }

    /// How often the hostile node was told to be dead.
    pub(super) fn deaths(&self) -> u32 {
        Told::get(&TOLD.dead, HOSTILE)
    }

    /// Waits until it was told once more; then looks whether the log has one line with `reason`, and no other
    /// that says that it is dropped.
    pub(super) fn is_dropped(&mut self, before: u32, reason: &CStr) -> bool {
        let dropped = c_str!("node 1 is dropped: ");
        self.hostile
            .until(|_| Told::get(&TOLD.dead, HOSTILE) > before)
            && self.deaths() == before + 1
            && log::lines_since(MARK, dropped) == 1
            && log::lines_since(MARK, reason) == 1
            && log::lines_since(MARK, c_str!("node 1 is dead")) == 1
            && log::lines_since(MARK, c_str!("node 2 is d")) == 0
    }

    /// Nothing was dropped, and nothing is said of it.
    pub(super) fn is_untouched(&self) -> bool {
        self.victim.is_online(node(HOSTILE))
            && self.deaths() == 0
            && log::lines_since(MARK, c_str!("node 1 is d")) == 0
            && log::lines_since(MARK, c_str!("node 2 is d")) == 0
    }

    /// Messages of the hostile node that the victim has taken.
    pub(super) fn received(&self) -> u64 {
        let link = self.victim.link(node(HOSTILE));
        link.map_or(0, |link| link.statistics().totals().received)
    }

    /// Ends it, and looks whether anything is left over: a call, a request, an answer, a worker. A service could not
    /// even be taken back while there is a request of it.
    pub(super) fn end(self) -> Outcome {
        let Self {
            traffic,
            told,
            hostile,
            honest,
            victim,
        } = self;
        drop(traffic);
        check!(TRAFFIC.wrong.load(Ordering::SeqCst) == 0);
        for id in [HOSTILE, HONEST] {
            let link = victim.link(node(id)).ok_or(ENODEV)?;
            check!(eventually(|| link.queued.load(Ordering::Relaxed) == 0));
            check!(eventually(|| link.passed_while_waiting().is_none()));
            check!(link.core().pending().used() == 0);
        }
        drop(told);
        victim.detach(node(HOSTILE))?;
        check!(victim.link(node(HOSTILE)).is_none());
        drop(hostile);
        drop(honest);
        Ok(())
    }
}

pub(super) const MARK: &CStr = c_str!("hostile: the next case begins");

/// What is in the log before this does not count.
pub(super) fn mark() {
    pr_info!("hostile: the next case begins\n");
}
