// SPDX-License-Identifier: GPL-2.0

//! The id by which the programs of a kernel know their machine: `/etc/machine-id`, `machine-id(5)`.

use core::fmt;
use core::fmt::Write;

/// 128 bits that are not all zero; printed as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineId(u128);

impl MachineId {
    /// An id of random bits.
    pub const fn random(bits: u128) -> Self {
        const VERSION: u128 = 0xf << 76;
        const VARIANT: u128 = 0x3 << 62;

        // As all such ids it says that it is a random one: a UUID of version 4. So it is not zero.
        Self((bits & !(VERSION | VARIANT)) | (0x4 << 76) | (0x2 << 62))
    }

    /// Reads 32 hexadecimal digits; `None` if that is not what `text` is, or all are zero.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != 32 {
            return None;
        }
        let mut id = 0;
        for &byte in text {
            id = (id << 4) | u128::from(char::from(byte).to_digit(16)?);
        }
        (id != 0).then_some(Self(id))
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One by one: the kernel's `core` has no printing of 128 bits.
        for byte in self.0.to_be_bytes() {
            for digit in [byte >> 4, byte & 15] {
                f.write_char(char::from_digit(digit.into(), 16).unwrap_or('0'))?;
            }
        }
        Ok(())
    }
}
