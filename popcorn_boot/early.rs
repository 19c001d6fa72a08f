// SPDX-License-Identifier: GPL-2.0
//! The panic of a kernel that has not reported yet, or never will: it has not come to its modules, or has
//! none.
//!
//! Nothing but its log tells of it. If its console is in the zone that this kernel has prepared (ramoops),
//! what is added there is looked at; before that, or without that, its own log is looked for in its memory
//! and its newest messages are looked at ([`popcorn_core::printk_log`]). Once it reports, it tells of
//! its end itself, and its log is left alone.
//!
//! A look is a bounded amount of work, whatever is there. What it finds can be wrong if that kernel lies:
//! then one that lives is said to have panicked, until it reports.

use crate::core_file;
use crate::core_file::Source;
use crate::memory::Memory;
use kernel::prelude::*;
use popcorn_core::boot_status::Report;
use popcorn_core::bootparams::Extent;
use popcorn_core::elf_core::Mapping;
use popcorn_core::elf_core::DIRECT_MAP;
use popcorn_core::panic_watch;
use popcorn_core::panic_watch::PanicWatch;
use popcorn_core::printk_log;
use popcorn_core::printk_log::Cursor;
use popcorn_core::printk_log::Ring;
use popcorn_core::printk_log::Step;
use popcorn_core::printk_log::VirtualMemory;
use popcorn_kernel::current::cond_resched;

/// Copied from the console's log in one step, and so many steps in one look.
const TEXT: usize = 256;
const TEXTS: usize = 32;
/// Most messages in one look: a panic's is among the newest.
const MESSAGES: u64 = 32;
/// Bytes of a message that tell.
const MESSAGE: usize = 64;
/// Searched in one step, and in one look.
const PIECE: usize = 16 << 10;
const SEARCHED: u64 = 2 << 20;
/// Looks until the first search: before that there is no log, or there is a console in time.
const PATIENCE: u32 = 20;
/// Looks between two searches, at most. It doubles each time.
const PAUSE_MAX: u32 = 600;
/// Looks without a message after which the log may have moved elsewhere.
const SILENCE: u32 = 100;

/// What is known of its log.
pub(crate) struct Early {
    ram: KVec<Extent>,
    image: Option<Mapping>,
    piece: KVec<u8>,
    /// Behind what was seen of the console's log; `None`: nothing was.
    position: Option<u64>,
    console: PanicWatch,
    ring: Option<Ring>,
    cursor: Cursor,
    /// Looks since the last message.
    silence: u32,
    /// How far its image was searched.
    searched: u64,
    best: Option<Ring>,
    wait: u32,
    pause: u32,
    /// There is nothing more to be known.
    done: bool,
}

impl Early {
    /// Nothing known yet of the kernel in `memory`, whose image is at `image`, if that is known. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(memory: &Memory, image: Option<Mapping>) -> Result<Self> {
        Ok(Self {
            ram: memory.ram()?,
            image,
            piece: KVec::from_elem(0, PIECE, GFP_KERNEL)?,
            position: None,
            console: PanicWatch::new(),
            ring: None,
            cursor: Cursor::default(),
            silence: 0,
            searched: 0,
            best: None,
            wait: PATIENCE,
            pause: PATIENCE,
            done: false,
        })
    }

    /// Looks once; true the first time that a panic is seen. May sleep.
    pub(crate) fn has_panicked(&mut self, memory: &Memory) -> bool {
        if self.done || !matches!(memory.status.report(), Some((Report::None, _))) {
            self.done = true;
            return false;
        }
        self.done = self.look_at_console(memory);
        // What is in the console's log need not be looked for elsewhere.
        if self.position.is_none() {
            self.done |= self.look_at_ring(memory);
        }
        self.done
    }

    fn look_at_console(&mut self, memory: &Memory) -> bool {
        let mut text = [0; TEXT];
        for _ in 0..TEXTS {
            let from = self.position.unwrap_or(0);
            let Ok((at, length)) = memory.console.copy(from, &mut text) else {
                return false;
            };
            if length == 0 {
                return false;
            }
            if self.position.is_some_and(|position| position != at) {
                self.console.skip();
            }
            self.position = Some(at.saturating_add(length as u64));
            if self.console.feed(&text[..length]) {
                return true;
            }
        }
        false
    }

    fn look_at_ring(&mut self, memory: &Memory) -> bool {
        if self.ring.is_none() || self.silence > SILENCE {
            self.search(memory);
        }
        let Some(ring) = self.ring else {
            return false;
        };
        let view = View {
            memory,
            ram: &self.ram,
            image: self.image,
        };
        ring.only_newest(&view, &mut self.cursor, MESSAGES);
        self.silence = self.silence.saturating_add(1);
        let mut text = [0; MESSAGE];
        for _ in 0..MESSAGES {
            match ring.step(&view, &mut self.cursor, &mut text) {
                Step::Record(record) => {
                    self.silence = 0;
                    // Programs can write to the log, too, but not as the kernel.
                    if record.facility == 0 && panic_watch::is_panic(&text[..record.length]) {
                        return true;
                    }
                }
                // A panic comes through even if somebody else never finishes his message.
                Step::Pending => self.cursor.pass(),
                Step::Gap => {}
                Step::End => break,
            }
        }
        false
    }

    /// Searches some of its image.
    fn search(&mut self, memory: &Memory) {
        if self.wait > 0 {
            self.wait -= 1;
            return;
        }
        let Some(image) = self.image else {
            return;
        };
        let size = image
            .memory
            .size
            .saturating_sub(self.searched)
            .min(SEARCHED);
        if size == 0 {
            if self.best.is_some() && self.best != self.ring {
                self.ring = self.best;
                self.cursor = Cursor::default();
            }
            self.silence = 0;
            self.best = None;
            self.searched = 0;
            self.wait = self.pause;
            self.pause = (self.pause * 2).min(PAUSE_MAX);
            return;
        }
        let part = Extent::new(image.memory.start + self.searched, size);
        let address = image.address + self.searched;
        self.searched += size;
        // One that cannot be mapped now may be the next time.
        let Ok(mapped) = memory.map(part) else {
            return;
        };
        let view = View {
            memory,
            ram: &self.ram,
            image: self.image,
        };
        for offset in (0..size as usize).step_by(PIECE) {
            let length = PIECE.min(size as usize - offset);
            let piece = &mut self.piece[..length];
            mapped.read(offset, piece);
            let found = printk_log::find(&view, piece, address + offset as u64);
            self.best = printk_log::larger(self.best, found);
            cond_resched();
        }
        if self.ring.is_none() {
            self.ring = self.best;
        }
    }
}

/// A kernel's memory by its own addresses.
struct View<'a> {
    memory: &'a Memory,
    ram: &'a [Extent],
    image: Option<Mapping>,
}

impl VirtualMemory for View<'_> {
    fn read(&self, address: u64, out: &mut [u8]) -> bool {
        let in_image = self.image.and_then(|image| {
            let offset = address.checked_sub(image.address)?;
            (offset < image.memory.size).then_some(image.memory.start + offset)
        });
        let Some(physical) = in_image.or_else(|| address.checked_sub(DIRECT_MAP)) else {
            return false;
        };
        // An address that is none of its own, or a mapping that cannot be made: there is nothing.
        core_file::fetch(self.memory, self.ram, physical, out).unwrap_or(false)
    }
}
