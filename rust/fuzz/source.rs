// SPDX-License-Identifier: GPL-2.0
//! Decisions out of an input: what a target does next, with which values.

/// The rest of an input. When it is used up, all is zero.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    rest: &'a [u8],
}

impl<'a> Source<'a> {
    /// All of `input`.
    pub fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    /// Whether nothing is left: time for a target to end.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// All that is left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `length` bytes, or as many as there are.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// A number of as many bytes as there are in an array.
    fn number<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let taken = self.take(N);
        bytes[..taken.len()].copy_from_slice(taken);
        bytes
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        u8::from_le_bytes(self.number())
    }

    /// 16 bits.
    pub fn short(&mut self) -> u16 {
        u16::from_le_bytes(self.number())
    }

    /// 64 bits, as they are.
    pub fn raw(&mut self) -> u64 {
        u64::from_le_bytes(self.number())
    }

    /// A number below `limit`, which is at most 65,536; 0 if that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        let number = if limit <= 256 {
            usize::from(self.byte())
        } else {
            usize::from(self.short())
        };
        number.checked_rem(limit).unwrap_or(0)
    }

    /// Yes or no.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 != 0
    }

    /// A number that may be at a border: small, close to a power of two, close to 0 from below, or any.
    pub fn word(&mut self) -> u64 {
        let kind = self.byte();
        match kind >> 6 {
            0 => u64::from(kind & 63),
            1 => {
                let power = 1u64 << (kind & 63);
                power.wrapping_add(self.byte() as i8 as u64)
            }
            2 => u64::from(kind & 63).wrapping_neg(),
            _ => self.raw(),
        }
    }

    /// An address or size that is mostly a multiple of `unit`.
    pub fn multiple(&mut self, unit: u64) -> u64 {
        let number = u64::from(self.short());
        match self.byte() {
            0..=239 => number.wrapping_mul(unit),
            240..=247 => number.wrapping_mul(unit).wrapping_add(1),
            _ => self.word(),
        }
    }
}
