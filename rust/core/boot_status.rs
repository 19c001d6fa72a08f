// SPDX-License-Identifier: GPL-2.0

//! The page in which a secondary kernel tells the primary how it fares.
//!
//! | bytes | field | writer |
//! |---|---|---|
//! | 0..4 | magic | primary, before the start |
//! | 4..8 | version | primary |
//! | 8..16 | report | secondary |
//! | 16..24 | time-stamp counter at the report "online" | secondary |
//!
//! It is the least that works when everything else is broken: the secondary stores one word, from its
//! panic handler if need be, and the primary looks at it when it wants to know.

/// Bytes used.
pub const STATUS_SIZE: usize = 24;
/// Offset of [`Report`]; a 64-bit word, stored in one piece.
pub const REPORT: usize = 8;
/// Offset of the time-stamp counter; a 64-bit word, stored before the report.
pub const ONLINE_TSC: usize = 16;

const MAGIC: u32 = u32::from_le_bytes(*b"PCST");
const VERSION: u32 = 1;

/// What the secondary has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Report {
    /// Nothing yet.
    None = 0,
    /// Its modules are being loaded: the kernel has booted.
    Online = 1,
    /// It has panicked and stopped.
    Panic = 2,
    /// It was told to restart, and stopped instead.
    Restart = 3,
    /// It was told to halt, and has.
    Halt = 4,
    /// It was told to switch off, and stopped instead.
    PowerOff = 5,
}

impl Report {
    /// Decodes the word. A value that no secondary stores is `None` the option.
    pub const fn new(raw: u64) -> Option<Self> {
        Some(match raw {
            0 => Self::None,
            1 => Self::Online,
            2 => Self::Panic,
            3 => Self::Restart,
            4 => Self::Halt,
            5 => Self::PowerOff,
            _ => return None,
        })
    }

    /// As it is stored.
    pub const fn raw(self) -> u64 {
        self as u64
    }

    /// Whether nothing runs there any more.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::None | Self::Online)
    }

    /// For the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "silent",
            Self::Online => "online",
            Self::Panic => "panicked",
            Self::Restart => "asked for a restart",
            Self::Halt => "halted",
            Self::PowerOff => "asked to be switched off",
        }
    }
}

/// The page as it is before a start.
pub fn initial() -> [u8; STATUS_SIZE] {
    let mut page = [0; STATUS_SIZE];
    page[..4].copy_from_slice(&MAGIC.to_le_bytes());
    page[4..8].copy_from_slice(&VERSION.to_le_bytes());
    page
}

/// Whether a page was prepared by a primary of this version: only then may a secondary write to it.
pub fn is_valid(page: &[u8; STATUS_SIZE]) -> bool {
    page[..4] == MAGIC.to_le_bytes() && page[4..8] == VERSION.to_le_bytes()
}

/// Decodes a page that the secondary may have overwritten: the report and the time of "online".
/// `None` if it is no status page any more.
pub fn decode(page: &[u8; STATUS_SIZE]) -> Option<(Report, u64)> {
    if !is_valid(page) {
        return None;
    }
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&page[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    Some((Report::new(word(REPORT))?, word(ONLINE_TSC)))
}
