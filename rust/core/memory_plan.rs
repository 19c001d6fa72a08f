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

/// Why there is no memory; the source may have kept some, to be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Bytes that could be had.
    pub found: u64,
    /// The longest piece of them, which must have [`PARTITION_MIN`] at least.
    pub longest: u64,
}

/// Takes `total` bytes, a multiple of [`BLOCK`], out of `areas`, in at most [`RANGES_MAX`] ranges of
/// which one has [`PARTITION_MIN`] or more; as high up as possible, for what is low is more in demand.
///
/// # Errors
///
/// See [`Shortage`].
pub fn gather(total: u64, areas: &[Extent], source: &mut impl Source) -> Result<(), Shortage> {
    let mut runs = Runs::find(areas, source);
    if let Some(range) = in_one_piece(total, &runs, source) {
        debug_assert_eq!(range.size, total);
        return Ok(());
    }
    let mut plan = Pieces {
        source,
        left: total,
        slots: RANGES_MAX,
        longest: 0,
        smallest: (total / (2 * RANGES_MAX as u64)).next_multiple_of(BLOCK),
    };
    runs.longest_first();
    for run in runs.all() {
        plan.take_from(*run);
    }
    if plan.left > 0 || plan.longest < PARTITION_MIN {
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

/// The longest runs of movable blocks.
struct Runs {
    runs: [Extent; RUNS_MAX],
    count: usize,
}

impl Runs {
    fn find(areas: &[Extent], source: &mut impl Source) -> Self {
        let mut this = Self {
            runs: [Extent::new(0, 0); RUNS_MAX],
            count: 0,
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
        if run.size == 0 {
            return;
        }
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

fn in_one_piece(total: u64, runs: &Runs, source: &mut impl Source) -> Option<Extent> {
    if total < PARTITION_MIN {
        return None;
    }
    let step = (total / 4).next_multiple_of(BLOCK);
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
            let half = (piece.size / 2) / BLOCK * BLOCK;
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
