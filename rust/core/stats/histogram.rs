// SPDX-License-Identifier: GPL-2.0
//! How long something took: a histogram of nanoseconds in a fixed array.
//!
//! The buckets are log-linear: eight for each power of two, none narrower than 16 ns. Bucket *i*
//! below 16 begins at `16 * i` ns; any other at `(8 + i % 8) << (i / 8 + 3)` ns; each ends where the
//! next begins. The last one has no end: what takes [`LONG_NS`] (64 s) or longer is in there.
//!
//! A percentile is told as the middle of its bucket, and never outside of what was seen. It is off
//! by at most 8 ns or a sixteenth of the true value, whichever is more; in the last bucket it is the
//! longest time that was seen.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;

/// Buckets of a histogram.
pub const BUCKETS: usize = 240;
/// What takes that long or longer is in the last bucket, in nanoseconds.
pub const LONG_NS: u64 = 15 << 32;

/// Width of the narrowest buckets, as a power of two of nanoseconds.
const UNIT_SHIFT: u32 = 4;
/// Buckets of each power of two, as a power of two.
const STEPS_SHIFT: u32 = 3;
const STEPS: u64 = 1 << STEPS_SHIFT;

/// The bucket of a time.
pub const fn bucket_of(ns: u64) -> usize {
    let units = ns >> UNIT_SHIFT;
    if units < STEPS {
        return units as usize;
    }
    let shift = units.ilog2() - STEPS_SHIFT;
    let bucket = ((shift as u64) << STEPS_SHIFT) + (units >> shift);
    if bucket < BUCKETS as u64 {
        bucket as usize
    } else {
        BUCKETS - 1
    }
}

/// Where a bucket begins, in nanoseconds; of one that there is not, where the last one begins.
pub const fn bucket_begin(bucket: usize) -> u64 {
    let bucket = if bucket < BUCKETS {
        bucket as u64
    } else {
        BUCKETS as u64 - 1
    };
    if bucket < 2 * STEPS {
        return bucket << UNIT_SHIFT;
    }
    let shift = (bucket >> STEPS_SHIFT) - 1;
    (STEPS + bucket % STEPS) << (shift + UNIT_SHIFT as u64)
}

const _: () = assert!(bucket_begin(BUCKETS - 1) == LONG_NS);

/// Times that are being recorded.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    total_ns: AtomicU64,
    /// `u64::MAX` while nothing was recorded.
    min_ns: AtomicU64,
    max_ns: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// An empty one.
    pub const fn new() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            total_ns: AtomicU64::new(0),
            min_ns: AtomicU64::new(u64::MAX),
            max_ns: AtomicU64::new(0),
        }
    }

    /// Records that something took `ns`. Two additions; two more operations if it is a record.
    pub fn record(&self, ns: u64) {
        if let Some(bucket) = self.buckets.get(bucket_of(ns)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.total_ns.fetch_add(ns, Ordering::Relaxed);
        // Mostly it is neither, and then nothing is written.
        if ns < self.min_ns.load(Ordering::Relaxed) {
            self.min_ns.fetch_min(ns, Ordering::Relaxed);
        }
        if ns > self.max_ns.load(Ordering::Relaxed) {
            self.max_ns.fetch_max(ns, Ordering::Relaxed);
        }
    }

    /// How many times were recorded.
    pub fn count(&self) -> u64 {
        self.buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed))
            .fold(0, u64::wrapping_add)
    }

    /// Copies the buckets out; also the sum, the shortest and the longest time, in nanoseconds. The
    /// shortest is 0 if nothing was recorded.
    pub fn read(&self, buckets: &mut [u64; BUCKETS]) -> (u64, u64, u64) {
        for (to, from) in buckets.iter_mut().zip(&self.buckets) {
            *to = from.load(Ordering::Relaxed);
        }
        let total = self.total_ns.load(Ordering::Relaxed);
        let max = self.max_ns.load(Ordering::Relaxed);
        match self.min_ns.load(Ordering::Relaxed) {
            u64::MAX => (total, 0, max),
            min => (total, min, max),
        }
    }

    /// As it is now.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        (snapshot.total_ns, snapshot.min_ns, snapshot.max_ns) = self.read(&mut snapshot.buckets);
        snapshot
    }
}

/// Times that were recorded, as they were at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// How many times there are in each bucket.
    pub buckets: [u64; BUCKETS],
    /// Their sum.
    pub total_ns: u64,
    /// The shortest; 0 if there is none.
    pub min_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            buckets: [0; BUCKETS],
            total_ns: 0,
            min_ns: 0,
            max_ns: 0,
        }
    }
}

impl Snapshot {
    /// How many times there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, n| sum.wrapping_add(*n))
    }

    /// Their mean; `None` if there is none.
    pub fn mean(&self) -> Option<u64> {
        self.total_ns.checked_div(self.count())
    }

    /// The time below which `per_mille` thousandths of them are: 500 is the median, 990 what is
    /// called p99, 1000 the longest. How exact that is: see the module. `None` if there is none.
    pub fn percentile(&self, per_mille: u32) -> Option<u64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let per_mille = u64::from(per_mille.min(1000));
        // In two parts, so that nothing overflows.
        let (thousands, rest) = (count / 1000, count % 1000);
        let rank = (thousands * per_mille + (rest * per_mille).div_ceil(1000)).max(1);
        if rank == count {
            return Some(self.max_ns);
        }
        let mut seen = 0u64;
        let bucket = self.buckets.iter().position(|number| {
            seen = seen.wrapping_add(*number);
            seen >= rank
        })?;
        let begin = bucket_begin(bucket);
        let middle = if bucket + 1 < BUCKETS {
            begin + (bucket_begin(bucket + 1) - begin) / 2
        } else {
            self.max_ns
        };
        // Not clamp(): of values that a peer or a racing reader made up, the least may be the greater.
        Some(middle.min(self.max_ns).max(self.min_ns))
    }

    /// Adds those of another.
    pub fn merge(&mut self, other: &Snapshot) {
        if other.count() == 0 {
            return;
        }
        self.min_ns = if self.count() == 0 {
            other.min_ns
        } else {
            self.min_ns.min(other.min_ns)
        };
        self.max_ns = self.max_ns.max(other.max_ns);
        self.total_ns = self.total_ns.wrapping_add(other.total_ns);
        for (to, from) in self.buckets.iter_mut().zip(&other.buckets) {
            *to = to.wrapping_add(*from);
        }
    }

    /// Those that came since an earlier snapshot of the same histogram. The shortest and the longest
    /// are those of the buckets then, if they were not records; so they are as exact as percentiles.
    pub fn since(&self, earlier: &Snapshot) -> Snapshot {
        let mut new = Snapshot {
            total_ns: self.total_ns.saturating_sub(earlier.total_ns),
            ..Snapshot::default()
        };
        let mut first = None;
        let mut last = None;
        for (index, to) in new.buckets.iter_mut().enumerate() {
            let at = |snapshot: &Snapshot| snapshot.buckets.get(index).copied().unwrap_or(0);
            *to = at(self).saturating_sub(at(earlier));
            if *to != 0 {
                first = first.or(Some(index));
                last = Some(index);
            }
        }
        if let (Some(first), Some(last)) = (first, last) {
            new.min_ns = bucket_begin(first).max(self.min_ns);
            new.max_ns = if self.max_ns > earlier.max_ns || last + 1 == BUCKETS {
                self.max_ns
            } else {
                (bucket_begin(last + 1) - 1).min(self.max_ns)
            };
        }
        new
    }
}
