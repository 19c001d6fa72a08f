// SPDX-License-Identifier: GPL-2.0

//! The console log of a secondary kernel, read by the primary while it is written.
//!
//! An unpatched kernel can keep its console in a piece of memory: `ramoops`, made to survive a crash.
//! Its zone is a ring behind a header of three 32-bit words:
//!
//! | bytes | field |
//! |---|---|
//! | 0..4 | signature |
//! | 4..8 | where the next byte goes |
//! | 8..12 | valid bytes; once it equals the capacity the ring has wrapped |
//!
//! There is no count of all bytes ever written, so [`ConsoleLog`] keeps one, from what it sees at each
//! look. A *position* is such a count: it never goes back, not even when the secondary is started
//! again or gets another zone, so a reader that remembers one continues where it was. If a whole ring is written between
//! two looks, that much is lost unnoticed.
//!
//! The writer is another kernel and may be broken: every field is checked, and what comes of a lie is
//! wrong text, never an access outside the ring. It moves the header before it stores the text, so the
//! last bytes may be stale for an instant; a ring that is cleared before the start shows zeros there.

/// Bytes of the header.
pub const HEADER_SIZE: usize = 12;

const SIGNATURE: u32 = u32::from_le_bytes(*b"DBGC");
/// Longest text that the writer adds in one step. While it wraps, its two words do not fit each other.
const STEP_MAX: u32 = 4096;

/// The header does not describe a ring: the zone was overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// The header of the zone, as read at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where the next byte goes.
    next: u32,
    wrapped: bool,
}

impl Header {
    /// Decodes the header of a ring of `capacity` bytes; `None` if nothing was ever written.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if the words contradict the capacity.
    pub fn decode(bytes: &[u8; HEADER_SIZE], capacity: u32) -> Result<Option<Self>, Corrupt> {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let (signature, next, valid) = (word(0), word(4), word(8));
        if signature == 0 {
            return Ok(None);
        }
        // The valid bytes grow first, so they may be ahead of `next`, never behind before a wrap.
        if signature != SIGNATURE
            || next >= capacity
            || valid > capacity
            || (valid < capacity && next > valid)
        {
            return Err(Corrupt);
        }
        Ok(Some(Self {
            next,
            wrapped: valid == capacity,
        }))
    }
}

/// What a reader can have at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Position of the oldest byte still there.
    pub oldest: u64,
    /// Position behind the newest.
    pub end: u64,
}

/// Where a piece of the log lies in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The position it starts at: later than asked for if that is gone.
    pub position: u64,
    /// Offset in the ring's data.
    pub offset: usize,
    /// Length in bytes; 0 if there is nothing new.
    pub length: usize,
}

/// Follows the log of one partition, over any number of starts of its kernel.
#[derive(Clone, Debug)]
pub struct ConsoleLog {
    capacity: u32,
    /// Position at which the present boot's log starts.
    origin: u64,
    /// Bytes that the present boot has written.
    written: u64,
}

impl ConsoleLog {
    /// A log in a zone of `zone_size` bytes, header included. `None` if that is no room at all, or more
    /// than 32-bit words count.
    pub fn new(zone_size: usize) -> Option<Self> {
        let capacity = u32::try_from(zone_size.checked_sub(HEADER_SIZE)?).ok()?;
        (capacity > STEP_MAX).then_some(Self {
            capacity,
            origin: 0,
            written: 0,
        })
    }

    /// Goes on behind `position`: the zone takes the place of another one, whose positions ended there.
    pub fn follow(&mut self, position: u64) {
        self.origin = position;
        self.written = 0;
    }

    /// Bytes of text that the ring holds.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// The zone has been cleared for another boot.
    pub fn restart(&mut self) {
        self.origin += self.written;
        self.written = 0;
    }

    /// Takes note of what the header says now.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if it is no header; what was noted before stays.
    pub fn observe(&mut self, header: &[u8; HEADER_SIZE]) -> Result<Window, Corrupt> {
        if let Some(header) = Header::decode(header, self.capacity)? {
            let capacity = u64::from(self.capacity);
            let seen = self.written % capacity;
            let mut written = self.written + (u64::from(header.next) + capacity - seen) % capacity;
            // Wrapped, though this reader saw no wrap. Close to the end that may be the writer in the
            // middle of its first one: then the text is taken for not yet wrapped.
            if header.wrapped && written < capacity && header.next < self.capacity - STEP_MAX {
                written += capacity;
            }
            self.written = written;
        }
        Ok(self.window())
    }

    /// What can be read, as of the last [`observe`](Self::observe).
    pub fn window(&self) -> Window {
        let end = self.origin + self.written;
        Window {
            oldest: self.origin + self.written.saturating_sub(u64::from(self.capacity)),
            end,
        }
    }

    /// The longest contiguous piece from `position` on, at most `length` bytes.
    ///
    /// After its bytes have been copied out, look again with [`observe`](Self::observe) and ask
    /// [`kept`](Self::kept) whether they were overwritten meanwhile.
    pub fn piece(&self, position: u64, length: usize) -> Piece {
        let window = self.window();
        let position = position.clamp(window.oldest, window.end);
        let offset = ((position - self.origin) % u64::from(self.capacity)) as usize;
        let length = (window.end - position)
            .min(u64::from(self.capacity) - offset as u64)
            .min(length as u64) as usize;
        Piece {
            position,
            offset,
            length,
        }
    }

    /// Whether what was copied from `piece` is still the log's text.
    pub fn kept(&self, piece: Piece) -> bool {
        piece.position >= self.window().oldest
    }

    /// How many of the bytes copied from `piece` are text: near the end of the log the writer may have
    /// moved its words and not yet stored what they count.
    pub fn settled(&self, piece: Piece, bytes: &[u8]) -> usize {
        let recent = self.window().end.saturating_sub(u64::from(STEP_MAX));
        let old = recent
            .saturating_sub(piece.position)
            .min(bytes.len() as u64) as usize;
        let hole = bytes[old..].iter().position(|&b| b == 0);
        hole.map_or(bytes.len(), |hole| old + hole)
    }
}
