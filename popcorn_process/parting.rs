// SPDX-License-Identifier: GPL-2.0
//! This node parts from another one, or that from this: threads of ours that are there come home.
//!
//! They are recalled as by `popcorn_migrate()` to the origin, and what they sleep in is interrupted, as by a
//! stop and a continuation. Those of the other node's processes that are here are its own to bring home.

use kernel::prelude::*;
use popcorn_core::ids::NodeId;
use popcorn_msg::Limit;

use crate::registry::Registry;

/// Brings all threads of this node that are at `node` home. Whoever sets out for it from now on finds
/// out by itself that it may not: `popcorn_msg::takes_threads`. May sleep.
///
/// # Errors
///
/// Those of [`Limit::check`].
pub(crate) fn part(node: NodeId, limit: &Limit<'_>) -> Result {
    let registry = Registry::get()?;
    // Each look recalls whoever is there still: a signal handler may have come between, say.
    limit.wait(|| {
        let mut all_home = true;
        let mut from = 0;
        while let Some((id, thread)) = registry.threads.next(from) {
            from = id + 1;
            all_home &= thread.part(node);
        }
        all_home
    })
}
