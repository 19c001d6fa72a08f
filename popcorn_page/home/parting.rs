// SPDX-License-Identifier: GPL-2.0
//! A node is about to be left: pages that nobody has who stays come home.

use kernel::prelude::*;
use kernel::sync::Arc;
use popcorn_core::directory::NodeSet;
use popcorn_core::directory::Refusal;
use popcorn_core::directory::Step;
use popcorn_core::ids::NodeId;
use popcorn_kernel::task::sleep_us;
use popcorn_kernel::time;
use popcorn_kernel::wait::Sleep;
use popcorn_msg::Limit;

use crate::space::Space;
use crate::waiting::too_many;

use super::operation::Operation;
use super::operation::PAUSE_US;

/// How often to see whether there is time left while an operation on a page goes on.
const LOOK_MS: u32 = 50;
/// How long to wait for a holder before a worker does: from then on, how often to look. Those who answer do so sooner.
const PATIENCE_MS: u32 = 500;

impl Space {
    /// Brings each page of `node` home that nobody has who stays: other holders may be about to be left as well, before
    /// or after this one, or at the same time. No thread of ours is there any more, so nothing goes there meanwhile.
    /// May sleep; the caller holds no lock.
    ///
    /// # Errors
    ///
    /// Those of [`Limit::check`]; what came home by then is home.
    pub(crate) fn part(self: &Arc<Self>, node: NodeId, limit: &Limit<'_>) -> Result {
        let own = popcorn_msg::this_node();
        let stays = |holder: NodeId| holder == own || popcorn_msg::takes_threads(holder);
        let mut from = 0;
        while let Some(key) = self.next_page(from, u64::MAX) {
            limit.check()?;
            if self.mm.user().is_none() {
                // It ends, and its pages with it.
                return Ok(());
            }
            // Not with the directory's lock held. Who is shut out later looks himself.
            let leaving = self.holders(key).into_iter().filter(|one| !stays(*one));
            let leaving = leaving.fold(NodeSet::only(node), NodeSet::with);
            let begun = {
                let mut directory = self.directory.lock();
                match directory.pages.get_mut(&key) {
                    Some(page) if page.entry.is_busy() => Some(Err(Refusal::Busy)),
                    Some(page) if is_left(page.entry.copies(), node, leaving) => {
                        let begun = page.entry.begin_recall();
                        page.driven |= matches!(begun, Ok(step) if step != Step::AlreadyGranted);
                        Some(begun)
                    }
                    _ => None,
                }
            };
            match begun {
                Some(Ok(step)) if step != Step::AlreadyGranted => {
                    // A refusal (a pinned page, say) is tried again while there is time.
                    let operation = Operation::new(self, key as usize)
                        .with_patience(PATIENCE_MS.min(limit.left_ms()));
                    match operation.drive(step) {
                        Err(error) if error == too_many() => time::sleep_ms(LOOK_MS),
                        Err(_) => sleep_us(PAUSE_US),
                        Ok(_) => {}
                    }
                }
                Some(Err(Refusal::Busy)) => {
                    // Whatever ends it, the next turn looks again.
                    let idle = || !self.is_busy(key);
                    self.changed.wait(Sleep::Killable, Some(LOOK_MS), idle).ok();
                }
                _ => from = key + 1,
            }
        }
        Ok(())
    }

    fn holders(&self, key: u64) -> NodeSet {
        let directory = self.directory.lock();
        let page = directory.pages.get(&key);
        page.map_or(NodeSet::EMPTY, |page| page.entry.copies())
    }

    fn is_busy(&self, key: u64) -> bool {
        let directory = self.directory.lock();
        let page = directory.pages.get(&key);
        page.is_some_and(|page| page.entry.is_busy())
    }
}

/// Whether `node` is among the holders, and none of them is another one than those that are `leaving`.
fn is_left(holders: NodeSet, node: NodeId, leaving: NodeSet) -> bool {
    holders.contains(node) && holders.bits() & !leaving.bits() == 0
}
