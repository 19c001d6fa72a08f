// SPDX-License-Identifier: GPL-2.0
//! What can be set about messaging.

use crate::life::TICK_MS;

use popcorn_core::membership;
use popcorn_kernel::param;

/// Requests of one peer that, or whose answers, may be queued or in a worker before its ring is left alone.
pub const QUEUED_MAX: u32 = 256;

/// Fewer silent ticks are no sign of anything.
const SILENCE_MIN: u64 = 4;
/// The agreement needs that many (`popcorn_core::membership`), and its work grows with them.
const AGREED_SILENCE_MIN: u64 = 8;
const AGREED_SILENCE_MAX: u64 = 6000;

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
    /// Instead of the parameter; for tests.
    pub(crate) poll_us: Option<u32>,
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
            poll_us: None,
            agrees: true,
        }
    }

    /// Milliseconds from a node's last sign until its death is known.
    pub(crate) fn dead_ms(&self) -> u32 {
        self.dead_ms
            .unwrap_or_else(|| param!(popcorn_msg_dead_ms: u32))
    }

    /// How many ticks without a sign are too many, for a link: what is left of [`Settings::dead_ms`] when the
    /// time to notice it is taken off.
    pub(crate) fn silence(&self) -> u64 {
        self.silence_within().max(SILENCE_MIN)
    }

    /// The same for the agreement: what it can count with.
    pub(crate) fn agreed_silence(&self) -> u64 {
        self.silence_within()
            .clamp(AGREED_SILENCE_MIN, AGREED_SILENCE_MAX)
    }

    fn silence_within(&self) -> u64 {
        membership::silence(u64::from(self.dead_ms()) / TICK_MS)
    }

    /// Requests of one peer that, or whose answers, may be queued or in a worker before its ring is left
    /// alone.
    pub(crate) fn queued_max(&self) -> u32 {
        self.queued.unwrap_or(QUEUED_MAX)
    }

    /// Nanoseconds to look for more before sleeping, at most; no more than a millisecond.
    pub(crate) fn poll_ns(&self) -> u32 {
        let poll_us = self
            .poll_us
            .unwrap_or_else(|| param!(popcorn_msg_poll_us: u32));
        poll_us.min(1000) * 1000
    }
}
