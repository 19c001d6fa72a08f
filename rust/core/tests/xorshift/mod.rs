// SPDX-License-Identifier: GPL-2.0
//! Numbers that look random and are the same in each run with the same seed.

/// A generator (xorshift64*).
pub(crate) struct Xorshift(u64);

impl Xorshift {
    /// One that begins at `seed`, which is not 0.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(crate) fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
