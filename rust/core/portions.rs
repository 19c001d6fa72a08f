// SPDX-License-Identifier: GPL-2.0

//! Sets of portions: the equal pieces in which a kernel takes memory in, or gives it back, while it runs.
//!
//! How large they are that kernel says (128 MiB, or 2 GiB on a large machine). A set is kept in *spans* of
//! 64 portions, aligned to their size, with a bit for each portion: so what is scattered within a few
//! gigabytes takes no more room than what is in one piece.

use crate::bootparams::Extent;
use crate::memory_plan::BLOCK;

/// Portions of a span.
pub const SPAN_PORTIONS: u64 = u64::BITS as u64;
/// Most spans of a set: 256 GiB in portions of 128 MiB.
pub const SPANS_MAX: usize = 32;
/// The largest portion: a processor's kernel knows none beyond.
pub const PORTION_MAX: u64 = 64 << 30;
/// Physical addresses end here.
const PHYSICAL_MAX: u64 = 1 << 52;

/// Why something cannot be in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortionError {
    /// It is not made of whole portions, or beyond all addresses.
    Address,
    /// There would be more than [`SPANS_MAX`] spans.
    Full,
}

/// Portions that lie together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Physical address.
    pub start: u64,
    /// Bit `b` stands for portion `b` from there.
    pub portions: u64,
}

/// A set of portions of one size.
///
/// # Invariants
///
/// `size` is a power of two between [`BLOCK`] and [`PORTION_MAX`]. The first `count` spans ascend, start at
/// multiples of the size of a span, end below [`PHYSICAL_MAX`], and are not empty; the others are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portions {
    size: u64,
    spans: [Span; SPANS_MAX],
    count: usize,
}

impl Portions {
    /// The empty set of portions of `size` bytes; `None` if no portion can have that size.
    pub fn new(size: u64) -> Option<Self> {
        let good = size.is_power_of_two() && (BLOCK..=PORTION_MAX).contains(&size);
        good.then_some(Self {
            size,
            spans: [Span::default(); SPANS_MAX],
            count: 0,
        })
    }

    /// The empty set of portions of the same size.
    pub fn none(&self) -> Self {
        self.change(|_| 0)
    }

    /// Bytes of a portion.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The spans that it has portions in, ascending.
    pub fn spans(&self) -> &[Span] {
        self.spans.get(..self.count).unwrap_or(&[])
    }

    /// Whether there is none in it.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of all.
    pub fn bytes(&self) -> u64 {
        let count: u32 = self.spans().iter().map(|s| s.portions.count_ones()).sum();
        u64::from(count) * self.size
    }

    /// Whether a span can start at `start`.
    pub fn is_span(&self, start: u64) -> bool {
        let bytes = self.span_bytes();
        start & (bytes - 1) == 0 && start.checked_add(bytes).is_some_and(|e| e <= PHYSICAL_MAX)
    }

    /// The portions that it has in the span that starts at `start`.
    pub fn of_span(&self, start: u64) -> u64 {
        let span = self.spans().iter().find(|span| span.start == start);
        span.map_or(0, |span| span.portions)
    }

    /// Whether the portion that starts at `start` is in it.
    pub fn has(&self, start: u64) -> bool {
        let (span, bit) = self.place(start);
        self.is_aligned(start) && self.of_span(span) & bit != 0
    }

    /// Puts portions of one span in.
    ///
    /// # Errors
    ///
    /// See [`PortionError`]. It is as before then.
    pub fn insert_span(&mut self, span: Span) -> Result<(), PortionError> {
        if !self.is_span(span.start) {
            return Err(PortionError::Address);
        }
        if span.portions == 0 {
            return Ok(());
        }
        let at = self.spans().partition_point(|each| each.start < span.start);
        match self.spans.get_mut(at) {
            Some(there) if at < self.count && there.start == span.start => {
                there.portions |= span.portions;
            }
            _ if self.count == SPANS_MAX => return Err(PortionError::Full),
            _ => {
                self.spans[at..=self.count].rotate_right(1);
                self.spans[at] = span;
                self.count += 1;
            }
        }
        Ok(())
    }

    /// Puts all portions of `extent` in.
    ///
    /// # Errors
    ///
    /// See [`PortionError`]. It is as before then.
    pub fn insert(&mut self, extent: Extent) -> Result<(), PortionError> {
        let end = extent.end().ok_or(PortionError::Address)?;
        if !self.is_aligned(extent.start | extent.size) || end > PHYSICAL_MAX {
            return Err(PortionError::Address);
        }
        let mut all = *self;
        let mut at = extent.start;
        while at < end {
            let (start, bit) = all.place(at);
            let portions = bit;
            all.insert_span(Span { start, portions })?;
            at += all.size;
        }
        *self = all;
        Ok(())
    }

    /// What is in one of both, which have portions of the same size.
    ///
    /// # Errors
    ///
    /// [`PortionError::Full`].
    pub fn with(&self, other: &Self) -> Result<Self, PortionError> {
        let mut all = *self;
        for span in other.spans() {
            all.insert_span(*span)?;
        }
        Ok(all)
    }

    /// What is in this one but not in the other.
    pub fn without(&self, other: &Self) -> Self {
        self.change(|span| span.portions & !other.of_span(span.start))
    }

    /// What is in both.
    pub fn common(&self, other: &Self) -> Self {
        self.change(|span| span.portions & other.of_span(span.start))
    }

    /// Those with the highest addresses, of at most so many bytes.
    pub fn highest(&self, bytes: u64) -> Self {
        let count = |bytes: u64| bytes >> self.size.trailing_zeros();
        let mut skipped = count(self.bytes()).saturating_sub(count(bytes));
        self.change(|span| {
            let mut portions = span.portions;
            while skipped > 0 && portions != 0 {
                // Without its lowest bit.
                portions &= portions - 1;
                skipped -= 1;
            }
            portions
        })
    }

    /// Each portion, ascending.
    pub fn each(&self) -> impl Iterator<Item = Extent> + '_ {
        self.spans().iter().flat_map(move |span| {
            let is_in = move |&n: &u64| span.portions & (1 << n) != 0;
            (0..SPAN_PORTIONS)
                .filter(is_in)
                .map(move |n| Extent::new(span.start + n * self.size, self.size))
        })
    }

    /// Whether `extent` is one portion.
    pub fn is_portion(&self, extent: Extent) -> bool {
        let end = extent.end();
        let good = extent.size == self.size && self.is_aligned(extent.start);
        good && end.is_some_and(|end| end <= PHYSICAL_MAX)
    }

    /// Whether this is a multiple of the size.
    fn is_aligned(&self, number: u64) -> bool {
        number & (self.size - 1) == 0
    }

    fn span_bytes(&self) -> u64 {
        self.size * SPAN_PORTIONS
    }

    /// The start of the span that the portion at `start` is in, and its bit there.
    fn place(&self, start: u64) -> (u64, u64) {
        let within = start & (self.span_bytes() - 1);
        (start - within, 1 << (within >> self.size.trailing_zeros()))
    }

    /// Another set, of some of the portions of each span.
    fn change(&self, mut portions_of: impl FnMut(&Span) -> u64) -> Self {
        let mut all = Self {
            size: self.size,
            spans: [Span::default(); SPANS_MAX],
            count: 0,
        };
        for span in self.spans() {
            let portions = portions_of(span);
            if portions != 0 {
                // INVARIANT: in the order of the old ones, and not more.
                all.spans[all.count] = Span {
                    start: span.start,
                    portions,
                };
                all.count += 1;
            }
        }
        all
    }
}

/// Ranges of memory, with those that touch made one; `each` is ascending.
pub fn runs(each: impl Iterator<Item = Extent>) -> impl Iterator<Item = Extent> {
    let mut each = each.peekable();
    core::iter::from_fn(move || {
        let mut run = each.next()?;
        while let Some(next) = each.next_if(|next| run.end() == Some(next.start)) {
            run.size += next.size;
        }
        Some(run)
    })
}
