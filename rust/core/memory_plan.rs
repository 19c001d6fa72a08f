// SPDX-License-Identifier: GPL-2.0

//! Which memory to take from a kernel that runs.
//!
//! What is in use as page cache or by processes can be moved elsewhere; what the kernel itself holds
//! cannot, and lies scattered all over. So memory is looked at in blocks, and a range is sought in which
//! no block looks unmovable. Whether it really can be had is known only once it is taken: then another
//! place is tried, and if there is none in one piece, smaller pieces.

use crate::bootparams::Extent;
use crate::partition::{PARTITION_ALIGN, PARTITION_MIN, RANGES_MAX};
use crate::sort;

/// What is looked at, and taken, as a whole.
pub const BLOCK: u64 = PARTITION_ALIGN;
/// Runs of movable blocks that are remembered: the longest ones.
const RUNS_MAX: usize = 32;
/// Places that are tried for all in one piece.
const ATTEMPTS: u32 = 8;
/// Halves of halves: more than a physical address has bits above those of a block.
const DEPTH: usize = 64;

/// The memory of a running kernel.
pub trait Source {
    /// Whether the block at this physical address looks as if it could be had. A guess.
    fn is_movable(&mut self, block: u64) -> bool;

    /// Takes a range, a multiple of [`BLOCK`], and keeps it. Whether that succeeded.
    fn take(&mut self, range: Extent) -> bool;
}

/// What is wanted of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// So many bytes, a multiple of `unit`.
    pub total: u64,
    /// What each range's start and size are multiples of; itself a multiple of [`BLOCK`].
    pub unit: u64,
    /// In at most so many ranges.
    pub ranges: usize,
    /// One of them must have so many bytes.
    pub longest: u64,
}

impl Demand {
    /// So much memory for a kernel to start in.
    pub fn of_kernel(total: u64) -> Self {
        Self {
            total,
            unit: BLOCK,
            ranges: RANGES_MAX,
            longest: PARTITION_MIN,
        }
    }
}

/// Why there is no memory; the source may have kept some, to be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Bytes that could be had.
    pub found: u64,
    /// The longest piece of them.
    pub longest: u64,
}

/// Takes what is wanted out of `areas`; as high up as possible, for what is low is more in demand.
///
/// # Errors
///
/// See [`Shortage`].
pub fn gather(demand: &Demand, areas: &[Extent], source: &mut impl Source) -> Result<(), Shortage> {
    let Demand { total, unit, .. } = *demand;
    let mut runs = Runs::find(areas, unit, source);
    if let Some(range) = in_one_piece(demand, &runs, source) {
        debug_assert_eq!(range.size, total);
        return Ok(());
    }
    let pieces = (demand.ranges as u64).saturating_mul(2).max(1);
    let mut plan = Pieces {
        source,
        left: total,
        slots: demand.ranges,
        longest: 0,
        unit,
        smallest: (total / pieces)
            .checked_next_multiple_of(unit)
            .unwrap_or(total),
    };
    runs.longest_first();
    for run in runs.all() {
        plan.take_from(*run);
    }
    if plan.left > 0 || plan.longest < demand.longest {
        return Err(Shortage {
            found: total - plan.left,
            longest: plan.longest,
        });
    }
    Ok(())
}

/// The highest place for `size` bytes in `areas` that touches nothing of `used`; both are multiples of
/// `align`.
pub fn find_free(size: u64, align: u64, areas: &[Extent], used: &[Extent]) -> Option<Extent> {
    let mut best: Option<Extent> = None;
    for area in areas {
        let Some(mut end) = area.end() else { continue };
        let first = area.start.checked_next_multiple_of(align)?;
        loop {
            let start = match end.checked_sub(size) {
                Some(start) if start - start % align >= first => start - start % align,
                _ => break,
            };
            let candidate = Extent::new(start, size);
            match used.iter().find(|other| overlap(candidate, **other)) {
                Some(other) => end = other.start,
                None => {
                    match best {
                        Some(best) if candidate.start <= best.start => {}
                        _ => best = Some(candidate),
                    }
                    break;
                }
            }
        }
    }
    best
}

fn overlap(one: Extent, two: Extent) -> bool {
    let end = |extent: Extent| extent.start.saturating_add(extent.size);
    one.start < end(two) && two.start < end(one)
}

/// The multiple of `unit` that is not above `number`; 0 if `unit` is.
fn align_down(number: u64, unit: u64) -> u64 {
    number.checked_rem(unit).map_or(0, |rest| number - rest)
}

/// The longest runs of movable blocks, in whole units.
struct Runs {
    runs: [Extent; RUNS_MAX],
    count: usize,
    unit: u64,
}

impl Runs {
    fn find(areas: &[Extent], unit: u64, source: &mut impl Source) -> Self {
        let mut this = Self {
            runs: [Extent::new(0, 0); RUNS_MAX],
            count: 0,
            unit,
        };
        for area in areas {
            let (Some(first), Some(end)) = (
                area.start.checked_next_multiple_of(BLOCK),
                area.end().map(|end| end - end % BLOCK),
            ) else {
                continue;
            };
            let mut run = Extent::new(first, 0);
            let mut block = first;
            while block < end {
                if source.is_movable(block) {
                    run.size += BLOCK;
                } else {
                    this.keep(run);
                    run = Extent::new(block + BLOCK, 0);
                }
                block += BLOCK;
            }
            this.keep(run);
        }
        this
    }

    /// Remembers a run, if need be in place of the shortest one.
    fn keep(&mut self, run: Extent) {
        let end = align_down(run.start + run.size, self.unit);
        let run = match run.start.checked_next_multiple_of(self.unit) {
            Some(start) if start < end => Extent::new(start, end - start),
            _ => return,
        };
        if let Some(free) = self.runs.get_mut(self.count) {
            *free = run;
            self.count += 1;
            return;
        }
        if let Some(shortest) = self.runs.iter_mut().min_by_key(|each| each.size) {
            if shortest.size < run.size {
                *shortest = run;
            }
        }
    }

    fn all(&self) -> &[Extent] {
        self.runs.get(..self.count).unwrap_or(&[])
    }

    fn longest_first(&mut self) {
        let count = self.count;
        sort::by_key(&mut self.runs[..count], |run| core::cmp::Reverse(run.size));
    }
}

fn in_one_piece(demand: &Demand, runs: &Runs, source: &mut impl Source) -> Option<Extent> {
    let total = demand.total;
    if total < demand.longest || demand.ranges == 0 {
        return None;
    }
    let step = (total / 4).checked_next_multiple_of(demand.unit)?;
    let mut attempts = ATTEMPTS;
    // The highest ones first.
    let mut below = u64::MAX;
    while let Some(run) = runs
        .all()
        .iter()
        .filter(|run| run.size >= total && run.start < below)
        .max_by_key(|run| run.start)
    {
        below = run.start;
        let mut start = run.start + run.size - total;
        while start >= run.start {
            if attempts == 0 {
                return None;
            }
            attempts -= 1;
            let range = Extent::new(start, total);
            if source.take(range) {
                return Some(range);
            }
            match start.checked_sub(step) {
                Some(next) => start = next,
                None => break,
            }
        }
    }
    None
}

/// Taking memory in pieces.
struct Pieces<'a, S> {
    source: &'a mut S,
    /// Bytes that are still wanted.
    left: u64,
    /// Ranges that there may still be.
    slots: usize,
    longest: u64,
    /// What pieces are multiples of.
    unit: u64,
    /// Pieces are not halved below this, lest there be more than there may.
    smallest: u64,
}

impl<S: Source> Pieces<'_, S> {
    /// Takes as much of `run` as is wanted; halves what cannot be had as a whole.
    fn take_from(&mut self, run: Extent) {
        let mut stack = [Extent::new(0, 0); DEPTH];
        stack[0] = run;
        let mut depth = 1;
        while depth > 0 && self.left > 0 && self.slots > 0 {
            depth -= 1;
            let mut piece = stack[depth];
            if piece.size > self.left {
                // The upper part first; there is room: see below.
                let rest = piece.size - self.left;
                stack[depth] = Extent::new(piece.start, rest);
                depth += 1;
                piece = Extent::new(piece.start + rest, self.left);
            }
            if piece.size < self.smallest.min(self.left) {
                continue;
            }
            if self.source.take(piece) {
                self.left -= piece.size;
                self.slots -= 1;
                self.longest = self.longest.max(piece.size);
                continue;
            }
            let half = align_down(piece.size / 2, self.unit);
            if half < self.smallest.min(self.left) || half == 0 || depth + 3 > DEPTH {
                continue;
            }
            // The upper half comes first. One more place is left free, for a rest.
            stack[depth] = Extent::new(piece.start, half);
            stack[depth + 1] = Extent::new(piece.start + half, piece.size - half);
            depth += 2;
        }
    }
}
