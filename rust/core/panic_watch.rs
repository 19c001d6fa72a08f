// SPDX-License-Identifier: GPL-2.0

//! Knowing a kernel's panic by its log, where nothing else tells of it: it has no modules of ours, or has
//! not loaded them yet.
//!
//! A kernel says `Kernel panic - not syncing: WHY` at the start of a line when it panics, and once more at
//! the end of all that it has to say. Whoever may write to a kernel's log can make it say so, too: it is
//! that kernel's root, who can end it in better ways.

/// What a panic's first line begins with.
const BANNER: &[u8] = b"Kernel panic - not syncing";
/// What comes before that on its last line.
const END: &[u8] = b"---[ end ";
/// Bytes of a line that are looked at: time, thread, and the banner.
const LINE_MAX: usize = 96;

/// Whether a message is that of a panic; without time and other things that a console puts in front.
pub fn is_panic(message: &[u8]) -> bool {
    message
        .strip_prefix(END)
        .unwrap_or(message)
        .starts_with(BANNER)
}

/// Looks for the panic in a console's text that comes piece by piece.
#[derive(Clone, Debug)]
pub struct PanicWatch {
    /// The start of the line that is not complete yet.
    line: [u8; LINE_MAX],
    length: usize,
    seen: bool,
}

impl PanicWatch {
    /// Nothing seen yet.
    pub const fn new() -> Self {
        Self {
            line: [0; LINE_MAX],
            length: 0,
            seen: false,
        }
    }

    /// Takes note of what was added. Whether there was a panic, now or before.
    pub fn feed(&mut self, text: &[u8]) -> bool {
        for &byte in text {
            if byte == b'\n' {
                self.end_line();
            } else if let Some(room) = self.line.get_mut(self.length) {
                *room = byte;
                self.length += 1;
            }
        }
        self.seen
    }

    /// Some of the text was missed: what comes next may begin in the middle of a line, which then does not
    /// count.
    pub fn skip(&mut self) {
        self.line = [b'?'; LINE_MAX];
        self.length = LINE_MAX;
    }

    fn end_line(&mut self) {
        let line = self.line.get(..self.length).unwrap_or(&[]);
        self.seen |= is_panic(message_of(line));
        self.length = 0;
    }
}

impl Default for PanicWatch {
    fn default() -> Self {
        Self::new()
    }
}

/// A console's line without what is in front of the message: `[    0.123456][    T1] `.
fn message_of(mut line: &[u8]) -> &[u8] {
    let rest = |line: &[u8], end: u8| {
        let at = line.iter().position(|&byte| byte == end)?;
        Some(at + 1)
    };
    for _ in 0..2 {
        if line.first() == Some(&b'[') {
            line = rest(line, b']').map_or(&[], |at| &line[at..]);
        }
    }
    line.strip_prefix(b" ").unwrap_or(line)
}
