// SPDX-License-Identifier: GPL-2.0
//! Looking for messages without sleeping: for the answer to a call, or for as long as a caller wants.

use super::Endpoint;
use crate::link::Link;
use crate::pending::Waiter;

use kernel::prelude::*;
use kernel::sync::Arc;

use popcorn_core::ids::NodeId;
use popcorn_kernel::current;
use popcorn_kernel::errno;
use popcorn_kernel::time;

/// In [`Endpoint::poll_while`]: after so many looks in vain it says again that it does not sleep.
const IDLE_LOOKS: u32 = 256;
/// In [`Endpoint::poll_while`], where another thread looks for messages: between two looks whether it shall go on.
const LOOK_MS: u32 = 1;

impl Endpoint {
    /// Drains the links of calls oneself for a while: no switch to their threads and back, and no doorbells. Ends when
    /// each call has its result or its peer is gone; `of` says what to look at, if a call is looked at.
    pub(super) fn poll_for<C>(
        &self,
        calls: &[C],
        of: impl Fn(&C) -> Option<(&Arc<Link>, &Waiter)>,
        poll_ns: u64,
    ) {
        let polled = || calls.iter().filter_map(&of);
        let mut is_polling = false;
        for (link, _) in polled() {
            is_polling |= link.transport().set_polling(link, true);
        }
        if !is_polling {
            return;
        }
        let begin = time::now_ns();
        while polled().any(|(link, waiter)| !waiter.is_done() && link.is_online()) {
            // Who is being killed gets no memory for a message, and then somebody else would be without it.
            if current::signal_pending() {
                break;
            }
            // Also those with a result: nobody rings for what else comes from there.
            let number: usize = polled().map(|(link, _)| link.transport().poll(link)).sum();
            if number == 0 {
                current::cpu_relax();
            }
            if time::now_ns().wrapping_sub(begin) > poll_ns || current::need_resched() {
                break;
            }
        }
        for (link, _) in polled() {
            link.transport().set_polling(link, false);
        }
    }

    /// Looks for messages of `node` without sleeping, for as long as `go_on` says and the node is online: in the
    /// calling thread if the two share memory, so that it need not ring meanwhile, else in the connection's own.
    /// Others run if it is their turn. May sleep.
    ///
    /// # Errors
    ///
    /// `ENODEV`, `EHOSTDOWN`, `EPROTO` as [`Endpoint::post_typed`].
    pub fn poll_while(&self, node: NodeId, go_on: &mut dyn FnMut() -> bool) -> Result {
        let (link, _) = self.online_link(node)?;
        let transport = link.transport();
        if !transport.set_polling(&link, true) {
            return Err(errno::host_down());
        }
        let mut idle = 0u32;
        while link.is_online() && go_on() {
            if !transport.shares_memory() {
                time::sleep_ms(LOOK_MS);
                // Somebody else, who polled for an answer, has ended it.
                transport.set_polling(&link, true);
            } else if transport.poll(&link) == 0 {
                idle = idle.wrapping_add(1);
                // The link's own thread wakes up from time to time, and says then that it sleeps again.
                if idle % IDLE_LOOKS == 0 && !transport.set_polling(&link, true) {
                    break;
                }
                current::cpu_relax();
            }
            if current::need_resched() {
                current::cond_resched();
            }
        }
        transport.set_polling(&link, false);
        Ok(())
    }
}
