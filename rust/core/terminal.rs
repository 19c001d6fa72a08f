// SPDX-License-Identifier: GPL-2.0

//! The terminal of a secondary kernel: a zone of memory that it shares with the primary.
//!
//! | bytes | what | written by |
//! |---|---|---|
//! | 0..8 | mark: what this zone is, and its version | primary, before the start |
//! | 8..16 | size of the window, see [`WindowSize`] | primary |
//! | 64..72 | answer: the mark, once there is a terminal | secondary |
//! | 4 KiB.. | keyboard: a [ring](crate::byte_ring) of 16 KiB | primary |
//! | 24 KiB.. | screen: a ring of 32 KiB | secondary |
//!
//! Nothing else is needed, neither messages nor interrupts: each side looks at the other's words from
//! time to time. So it works when everything else between the kernels does not. Either side may write
//! anything at any time; what comes of it is wrong text or an odd window size.

use crate::byte_ring;
use crate::byte_ring::BadGeometry;
use crate::byte_ring::Consumer;
use crate::byte_ring::Producer;
use crate::ring::Memory;

/// Bytes of the zone.
pub const ZONE_SIZE: usize = 64 << 10;

const MARK: usize = 0;
const SIZE: usize = 8;
const ANSWER: usize = 64;
const KEYBOARD: usize = 4 << 10;
const KEYBOARD_SIZE: usize = byte_ring::HEADER_SIZE + (16 << 10);
const SCREEN: usize = 24 << 10;
const SCREEN_SIZE: usize = byte_ring::HEADER_SIZE + (32 << 10);

const _: () = assert!(KEYBOARD + KEYBOARD_SIZE <= SCREEN && SCREEN + SCREEN_SIZE <= ZONE_SIZE);

/// A secondary of another version leaves the zone alone.
const VERSION: u32 = 1;
const MARK_VALUE: u64 = u32::from_le_bytes(*b"PCTY") as u64 | ((VERSION as u64) << 32);

/// Zeroed in one step: small enough for the stack.
const STEP: usize = 256;

/// Size of a terminal's window; 0: not known. In one word, so that it changes as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines of text.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
}

impl WindowSize {
    /// From the word. Any is valid.
    pub const fn from_raw(raw: u64) -> Self {
        Self {
            rows: raw as u16,
            columns: (raw >> 16) as u16,
            width: (raw >> 32) as u16,
            height: (raw >> 48) as u16,
        }
    }

    /// As the word.
    pub const fn raw(self) -> u64 {
        self.rows as u64
            | ((self.columns as u64) << 16)
            | ((self.width as u64) << 32)
            | ((self.height as u64) << 48)
    }
}

/// The primary's end: somebody sits at it.
#[derive(Debug)]
pub struct NearEnd<M> {
    memory: M,
    /// Where what is typed goes.
    pub keyboard: Producer<M>,
    /// Where what is printed comes from.
    pub screen: Consumer<M>,
}

impl<M: Memory + Clone> NearEnd<M> {
    /// Makes a zone ready for a kernel that is about to start, with a window of this size; what was in it
    /// is gone. The other kernel must not run yet.
    ///
    /// # Errors
    ///
    /// [`BadGeometry`]: the memory is smaller than [`ZONE_SIZE`].
    pub fn prepare(memory: M, size: WindowSize) -> Result<Self, BadGeometry> {
        if memory.size() < ZONE_SIZE {
            return Err(BadGeometry);
        }
        for offset in (0..ZONE_SIZE).step_by(STEP) {
            memory.write(offset, &[0; STEP]);
        }
        memory.store(SIZE, size.raw());
        memory.store(MARK, MARK_VALUE);
        Ok(Self {
            keyboard: Producer::new(memory.clone(), KEYBOARD, KEYBOARD_SIZE)?,
            screen: Consumer::new(memory.clone(), SCREEN, SCREEN_SIZE)?,
            memory,
        })
    }

    /// Whether the other kernel has a terminal here.
    pub fn is_answered(&self) -> bool {
        self.memory.load(ANSWER) == MARK_VALUE
    }

    /// Tells the other kernel how large the window is.
    pub fn set_window_size(&self, size: WindowSize) {
        self.memory.store(SIZE, size.raw());
    }

    /// What it was told last.
    pub fn window_size(&self) -> WindowSize {
        WindowSize::from_raw(self.memory.load(SIZE))
    }
}

/// Why a secondary has no terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachError {
    /// The memory is smaller than [`ZONE_SIZE`].
    Size,
    /// No primary of this version has prepared the zone.
    Mark,
}

impl From<BadGeometry> for AttachError {
    fn from(_: BadGeometry) -> Self {
        Self::Size
    }
}

/// The secondary's end: the terminal's line.
#[derive(Debug)]
pub struct FarEnd<M> {
    /// What was typed.
    pub keyboard: Consumer<M>,
    /// What is printed.
    pub screen: Producer<M>,
    /// How large the window is.
    pub window: Window<M>,
}

impl<M: Memory + Clone> FarEnd<M> {
    /// Takes the secondary's end of a zone that the primary has prepared.
    ///
    /// # Errors
    ///
    /// See [`AttachError`]; nothing was written.
    pub fn attach(memory: M) -> Result<Self, AttachError> {
        if memory.size() < ZONE_SIZE {
            return Err(AttachError::Size);
        }
        if memory.load(MARK) != MARK_VALUE {
            return Err(AttachError::Mark);
        }
        Ok(Self {
            keyboard: Consumer::new(memory.clone(), KEYBOARD, KEYBOARD_SIZE)?,
            screen: Producer::new(memory.clone(), SCREEN, SCREEN_SIZE)?,
            window: Window { memory },
        })
    }
}

/// What the primary says of its window.
#[derive(Debug)]
pub struct Window<M> {
    memory: M,
}

impl<M: Memory> Window<M> {
    /// Its size now.
    pub fn size(&self) -> WindowSize {
        WindowSize::from_raw(self.memory.load(SIZE))
    }

    /// Tells the primary that there is a terminal now.
    pub fn answer(&self) {
        self.memory.store(ANSWER, MARK_VALUE);
    }
}
