// SPDX-License-Identifier: GPL-2.0

//! The page in which a secondary kernel tells the primary how it fares.
//!
//! | bytes | field | writer |
//! |---|---|---|
//! | 0..4 | magic | primary, before the start |
//! | 4..8 | version | primary |
//! | 8..16 | report | secondary |
//! | 16..24 | time-stamp counter at the report "online" | secondary |
//! | 24..32 | physical address of its `VMCOREINFO` note; 0: none | secondary |
//! | 32..40 | bytes there, at most | secondary |
//! | 40..48 | who panicked: see [`crash_word`]; 0: the registers are not known | secondary |
//! | 48..264 | the registers of that processor | secondary |
//!
//! It is the least that works when everything else is broken: the secondary stores one word, from its
//! panic handler if need be, and the primary looks at it when it wants to know.

use crate::bootparams::Extent;
use crate::elf_core::{Crash, REGISTERS};
use crate::vmcoreinfo;

/// Bytes used.
pub const STATUS_SIZE: usize = CRASH_REGISTERS + REGISTERS * 8;
/// Offset of [`Report`]; a 64-bit word, stored in one piece.
pub const REPORT: usize = 8;
/// Offset of the time-stamp counter; a 64-bit word, stored before the report.
pub const ONLINE_TSC: usize = 16;
/// Offset of the note's address; a 64-bit word, stored before the report "online".
pub const NOTE_START: usize = 24;
/// Offset of the note's size; as its address.
pub const NOTE_SIZE: usize = 32;
/// Offset of the word that tells who panicked, stored behind the registers and before the report.
pub const CRASH: usize = 40;
/// Offset of the registers, 64-bit words in the order of [`Crash::registers`].
pub const CRASH_REGISTERS: usize = 48;

const MAGIC: u32 = u32::from_le_bytes(*b"PCST");
const VERSION: u32 = 2;

const CRASH_KNOWN: u64 = 1 << 63;
/// The largest note, and another head that closes it.
const NOTE_MAX: u64 = (2 * vmcoreinfo::NOTE_HEAD + vmcoreinfo::TEXT_MAX) as u64;
const PAGE: u64 = 4096;

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
    Some((Report::new(word(page, REPORT))?, word(page, ONLINE_TSC)))
}

/// Where the secondary says that its `VMCOREINFO` note is: something at the start of a page that is not
/// larger than a note can be, but maybe not its memory. `None` if it has not said, or nonsense.
pub fn decode_note(page: &[u8; STATUS_SIZE]) -> Option<Extent> {
    let note = Extent::new(word(page, NOTE_START), word(page, NOTE_SIZE));
    let sound = note.start != 0
        && note.start % PAGE == 0
        && note.end().is_some()
        && (vmcoreinfo::NOTE_HEAD as u64..=NOTE_MAX).contains(&note.size);
    (is_valid(page) && sound).then_some(note)
}

/// The word at [`CRASH`] for thread `pid` on processor `cpu`.
pub const fn crash_word(cpu: u32, pid: u32) -> u64 {
    CRASH_KNOWN | ((cpu as u64) << 32) | pid as u64
}

/// The state of the processor that panicked; `None` if there was no panic, or it is not known.
pub fn decode_crash(page: &[u8; STATUS_SIZE]) -> Option<Crash> {
    let (report, _) = decode(page)?;
    let who = word(page, CRASH);
    if report != Report::Panic || who & CRASH_KNOWN == 0 {
        return None;
    }
    let mut registers = [0; REGISTERS];
    for (i, register) in registers.iter_mut().enumerate() {
        *register = word(page, CRASH_REGISTERS + i * 8);
    }
    Some(Crash {
        cpu: ((who & !CRASH_KNOWN) >> 32) as u32,
        pid: who as u32,
        registers,
    })
}

fn word(page: &[u8; STATUS_SIZE], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&page[at..at + 8]);
    u64::from_le_bytes(bytes)
}
