// SPDX-License-Identifier: GPL-2.0
//! What can be set about messaging.

use crate::life::TICK_MS;

use popcorn_kernel::param;

/// See [`Settings::queued_max`].
pub(crate) const QUEUED_MAX: u32 = 256;

/// The agreement needs that many (`popcorn_core::membership`), and its work grows with them.
const DEAD_TICKS_MIN: u64 = 8;
const DEAD_TICKS_MAX: u64 = 6000;

include!("protocol_generated.rs");

/// How an endpoint behaves. The times are read each time they are used, for their parameters can
/// be changed while the module is loaded.
pub(crate) struct Settings {
    /// What both nodes must agree on.
    pub(crate) protocol: u64,
    /// Instead of the parameter; for tests.
    pub(crate) dead_ms: Option<u32>,
    /// Instead of the default; for tests.
    pub(crate) queued: Option<u32>,
    /// Machines agree on who is a member. Tests of the transport do without.
    pub(crate) agrees: bool,
}

impl Settings {
    /// As the module's parameters say.
    pub(crate) fn from_parameters() -> Self {
        Self {
            protocol: PROTOCOL_HASH,
            dead_ms: None,
            queued: None,
            agrees: true,
        }
    }

    /// Milliseconds without a heartbeat until a node counts as dead.
    pub(crate) fn dead_ms(&self) -> u32 {
        self.dead_ms
            .unwrap_or_else(|| param!(popcorn_msg_dead_ms: u32))
    }

    /// As many ticks, for the agreement: what it can count with.
    pub(crate) fn dead_ticks(&self) -> u64 {
        u64::from(self.dead_ms())
            .div_ceil(TICK_MS)
            .clamp(DEAD_TICKS_MIN, DEAD_TICKS_MAX)
    }

    /// Requests of one peer that, or whose answers, may be queued or in a worker before its ring is left
    /// alone.
    pub(crate) fn queued_max(&self) -> u32 {
        self.queued.unwrap_or(QUEUED_MAX)
    }

    /// Nanoseconds to look for more before sleeping, at most; no more than a millisecond.
    pub(crate) fn poll_ns(&self) -> u32 {
        param!(popcorn_msg_poll_us: u32).min(1000) * 1000
    }
}
