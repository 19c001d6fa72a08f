// SPDX-License-Identifier: GPL-2.0

//! Half-open intervals of addresses: which ranges are frozen, and which parts of a range are missing.
//!
//! Two uses. The origin keeps the ranges whose layout is being changed in an [`IntervalSet`]; there
//! are as many as threads inside such a call, hence a small fixed capacity and no allocation. A
//! remote maps only the gaps between what it has mapped of a VMA, which [`difference`] yields.
//!
//! The unit is the caller's (bytes of address space, page numbers); nothing is rounded. An address
//! space that ends at 2^64 is not representable, which no user address space does.

use core::iter::FusedIterator;

/// `start..end` with `start < end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    start: u64,
    end: u64,
}

impl Interval {
    /// The interval `start..end`; none if that is empty or reversed.
    pub const fn new(start: u64, end: u64) -> Option<Self> {
        if start < end {
            Some(Self { start, end })
        } else {
            None
        }
    }

    /// The interval of `len` from `start`; none if that is empty or wraps around.
    pub const fn with_len(start: u64, len: u64) -> Option<Self> {
        match start.checked_add(len) {
            Some(end) => Self::new(start, end),
            None => None,
        }
    }

    /// The first point.
    pub const fn start(self) -> u64 {
        self.start
    }

    /// The first point after it.
    pub const fn end(self) -> u64 {
        self.end
    }

    /// Whether `point` is inside.
    pub const fn contains(self, point: u64) -> bool {
        self.start <= point && point < self.end
    }

    /// Whether the two have a point in common.
    pub const fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The common part of the two.
    pub fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }
}

/// Why an interval was not inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertError {
    /// Part of it is in the set already: wait until that is removed.
    Overlaps,
    /// No free place: wait until any is removed.
    Full,
}

/// Up to `N` disjoint intervals, sorted.
///
/// Neighbours are not merged: each interval belongs to whoever inserted it, so that removing exactly
/// that one always succeeds and needs no room. (Out of a merged interval a part could only be cut by
/// storing two, and a thread that cannot unfreeze its range would be stuck.)
#[derive(Clone, Debug)]
pub struct IntervalSet<const N: usize> {
    /// Sorted, disjoint; the free places, all none, are at the end.
    slots: [Option<Interval>; N],
}

impl<const N: usize> Default for IntervalSet<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> IntervalSet<N> {
    /// The empty set.
    pub const fn new() -> Self {
        Self { slots: [None; N] }
    }

    /// The intervals in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Interval> + Clone + '_ {
        self.slots.iter().map_while(|slot| *slot)
    }

    /// How many intervals there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Whether `point` is inside one of the intervals.
    pub fn contains(&self, point: u64) -> bool {
        self.iter().any(|each| each.contains(point))
    }

    /// Whether any interval has a point in common with `range`.
    pub fn overlaps(&self, range: Interval) -> bool {
        self.iter().any(|each| each.overlaps(range))
    }

    /// The parts of `range` that are in no interval, in ascending order.
    pub fn difference(&self, range: Interval) -> impl Iterator<Item = Interval> + '_ {
        difference(range, self.iter())
    }

    /// Adds `range`.
    ///
    /// # Errors
    ///
    /// [`InsertError`]; the set is unchanged then.
    pub fn insert(&mut self, range: Interval) -> Result<(), InsertError> {
        if self.overlaps(range) {
            return Err(InsertError::Overlaps);
        }
        if self.slots.iter().all(Option::is_some) {
            return Err(InsertError::Full);
        }
        // Put it in its place and carry what was there up by one, until the first free place.
        let mut carried = range;
        for slot in &mut self.slots {
            match slot {
                Some(each) if each.start < carried.start => {}
                Some(each) => core::mem::swap(each, &mut carried),
                None => {
                    *slot = Some(carried);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Removes `range`, which must have been inserted as such. Returns whether it was there.
    pub fn remove(&mut self, range: Interval) -> bool {
        let Some(at) = self.slots.iter().position(|slot| *slot == Some(range)) else {
            return false;
        };
        let mut places = self.slots.iter_mut().skip(at).peekable();
        while let Some(place) = places.next() {
            *place = places.peek().and_then(|next| **next);
        }
        true
    }
}

/// The parts of `range` outside all `existing`, in ascending order.
///
/// `existing` must be sorted by start; it may overlap itself and reach beyond `range`. (Unsorted
/// intervals make some gaps too large, but never reach outside `range`, and the iterator ends.)
pub fn difference<I>(range: Interval, existing: I) -> Difference<I::IntoIter>
where
    I: IntoIterator<Item = Interval>,
{
    Difference {
        next: range.start,
        end: range.end,
        existing: existing.into_iter(),
    }
}

/// Iterator of [`difference`].
#[derive(Clone, Debug)]
pub struct Difference<I> {
    /// What remains to be looked at is `next..end`, possibly empty.
    next: u64,
    end: u64,
    existing: I,
}

impl<I: Iterator<Item = Interval>> Iterator for Difference<I> {
    type Item = Interval;

    fn next(&mut self) -> Option<Interval> {
        while self.next < self.end {
            let start = self.next;
            // Without a further interval the rest is the last gap; the loop ends by `next == end`.
            let (gap_end, resume) = match self.existing.next() {
                Some(each) => (each.start.min(self.end), each.end.max(start)),
                None => (self.end, self.end),
            };
            self.next = resume;
            if let Some(gap) = Interval::new(start, gap_end) {
                return Some(gap);
            }
        }
        None
    }
}

impl<I: Iterator<Item = Interval>> FusedIterator for Difference<I> {}
