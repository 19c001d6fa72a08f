// SPDX-License-Identifier: GPL-2.0
//! What is counted for each queue: `ethtool -S` shows all of it, `ip -s link` the sums.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;
use kernel::c_str;
use kernel::str::CStr;
use popcorn_kernel::netdev::Totals;

/// Declares the counters, and their names in the same order.
macro_rules! counters {
    ($( $(#[$meta:meta])* $name:ident, )*) => {
        /// The counters of a queue. Nothing depends on them.
        #[derive(Default)]
        pub(crate) struct Counters { $( $(#[$meta])* pub(crate) $name: AtomicU64, )* }

        /// Their names.
        pub(crate) const NAMES: &[&CStr] = &[$( c_str!(stringify!($name)), )*];

        impl Counters {
            /// The value of the counter with this index in [`NAMES`].
            pub(crate) fn value(&self, index: usize) -> u64 {
                let all = [$( &self.$name, )*];
                all.get(index).map_or(0, |counter| counter.load(Ordering::Relaxed))
            }
        }
    };
}

counters! {
    /// Frames handed to the network stack.
    rx_frames,
    /// Their bytes.
    rx_bytes,
    /// Messages with frames, or pieces of frames.
    rx_pieces,
    /// Messages that make no sense.
    rx_malformed,
    /// Frames that say that they are from another node.
    rx_forged,
    /// Frames of which pieces are missing.
    rx_torn,
    /// Pieces of frames whose first piece is missing, or had no memory.
    rx_stray_pieces,
    /// Frames for which there was no memory.
    rx_no_memory,
    /// Frames that the network stack did not take: the interface is down, or it is slow.
    rx_not_taken,
    /// Frames for a node that is not there.
    rx_nobody,
    /// Frames of one node that were sent on to others.
    relayed,
    /// Frames that should have been, but too many waited.
    relay_lost,
    /// Frames that were sent, for each node that got one.
    tx_frames,
    /// Their bytes.
    tx_bytes,
    /// Messages for that.
    tx_pieces,
    /// How often there was nothing to do but to wait for room in rings.
    tx_waits,
    /// Frames for a node for which too many waited already, or that took nothing for too long.
    tx_full,
    /// Frames for a node that is not there.
    tx_nobody,
    /// Frames that cannot travel.
    tx_refused,
}

/// Counts one.
pub(crate) fn count(counter: &AtomicU64) {
    add(counter, 1);
}

/// Counts several.
pub(crate) fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

impl Counters {
    /// Adds what is counted here to what is counted elsewhere.
    pub(crate) fn add_to(&self, totals: &mut Totals) {
        let add = |total: &mut u64, counters: &[&AtomicU64]| {
            for counter in counters {
                *total = total.wrapping_add(counter.load(Ordering::Relaxed));
            }
        };
        add(&mut totals.rx_packets, &[&self.rx_frames]);
        add(&mut totals.rx_bytes, &[&self.rx_bytes]);
        add(
            &mut totals.rx_errors,
            &[&self.rx_malformed, &self.rx_forged, &self.rx_torn],
        );
        add(
            &mut totals.rx_dropped,
            &[
                &self.rx_no_memory,
                &self.rx_not_taken,
                &self.rx_nobody,
                &self.relay_lost,
            ],
        );
        add(&mut totals.tx_packets, &[&self.tx_frames]);
        add(&mut totals.tx_bytes, &[&self.tx_bytes]);
        add(&mut totals.tx_errors, &[&self.tx_refused]);
        add(&mut totals.tx_dropped, &[&self.tx_full, &self.tx_nobody]);
    }
}
