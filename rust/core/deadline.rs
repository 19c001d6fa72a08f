// SPDX-License-Identifier: GPL-2.0
//! By when something is to be over that waits in several steps.
//!
//! The time counts once, from the beginning; each step gets what is left of it. So it is passed on instead of a
//! number of milliseconds, which would begin to count anew in each step. Clocks are monotonic, in nanoseconds from
//! any start, and are looked at only if there is a limit.

const NS_PER_MS: u64 = 1_000_000;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// `None`: there is no limit.
    until_ns: Option<u64>,
}

impl Deadline {
    /// Never.
    pub const NONE: Self = Self { until_ns: None };

    /// So many milliseconds from now; `u32::MAX` stands for no limit.
    pub fn after(timeout_ms: u32, now_ns: impl FnOnce() -> u64) -> Self {
        let is_limited = timeout_ms != u32::MAX;
        Self {
            until_ns: is_limited
                .then(|| now_ns().saturating_add(u64::from(timeout_ms).saturating_mul(NS_PER_MS))),
        }
    }

    /// How many milliseconds are left, at least: 0 only when it is over. `None`: there is no limit.
    pub fn left_ms(self, now_ns: impl FnOnce() -> u64) -> Option<u32> {
        let left_ns = self.until_ns?.saturating_sub(now_ns());
        Some(u32::try_from(left_ns.div_ceil(NS_PER_MS)).unwrap_or(u32::MAX))
    }

    /// `ns` nanoseconds, or what is left if that is less, in whole milliseconds as of [`Deadline::left_ms`].
    pub fn at_most_ns(self, ns: u64, now_ns: impl FnOnce() -> u64) -> u64 {
        match self.left_ms(now_ns) {
            Some(left_ms) => ns.min(u64::from(left_ms).saturating_mul(NS_PER_MS)),
            None => ns,
        }
    }

    /// Whether the time is over.
    pub fn is_over(self, now_ns: impl FnOnce() -> u64) -> bool {
        self.left_ms(now_ns) == Some(0)
    }
}
