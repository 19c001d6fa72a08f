// SPDX-License-Identifier: GPL-2.0
//! Log lines whose number is bounded, for what a peer or a user can cause.

use crate::time::now_ms;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;

const INTERVAL_MS: u64 = 5000;
const BURST: u32 = 5;

/// Lets through a few events per interval. Any context but NMI.
pub struct RateLimit {
    begin_ms: AtomicU64,
    count: AtomicU32,
}

impl RateLimit {
    /// One that has seen nothing.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self {
            begin_ms: AtomicU64::new(0),
            count: AtomicU32::new(0),
        }
    }

    /// Whether this event may be reported. Two that race at the interval's end may both count for
    /// the old one; nothing depends on it.
    pub fn allow(&self) -> bool {
        let now = now_ms();
        if now.wrapping_sub(self.begin_ms.load(Ordering::Relaxed)) >= INTERVAL_MS {
            self.begin_ms.store(now, Ordering::Relaxed);
            self.count.store(0, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed) < BURST
    }
}

/// [`pr_err!`](kernel::pr_err), at most a few times per 5 seconds and place.
#[macro_export]
macro_rules! err_ratelimited {
    ($($arg:tt)*) => {{
        static LIMIT: $crate::print::RateLimit = $crate::print::RateLimit::new();
        if LIMIT.allow() {
            ::kernel::pr_err!($($arg)*);
        }
    }};
}

/// [`pr_warn!`](kernel::pr_warn), at most a few times per 5 seconds and place.
#[macro_export]
macro_rules! warn_ratelimited {
    ($($arg:tt)*) => {{
        static LIMIT: $crate::print::RateLimit = $crate::print::RateLimit::new();
        if LIMIT.allow() {
            ::kernel::pr_warn!($($arg)*);
        }
    }};
}

/// [`pr_info!`](kernel::pr_info), at most a few times per 5 seconds and place.
#[macro_export]
macro_rules! info_ratelimited {
    ($($arg:tt)*) => {{
        static LIMIT: $crate::print::RateLimit = $crate::print::RateLimit::new();
        if LIMIT.allow() {
            ::kernel::pr_info!($($arg)*);
        }
    }};
}
