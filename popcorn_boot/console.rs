// SPDX-License-Identifier: GPL-2.0
//! The second kernel's console log, as long as its memory is not used for another one: also after its
//! death.

use kernel::prelude::*;
use kernel::sync::new_mutex;
use kernel::sync::Mutex;
use kernel::uaccess::UserSliceWriter;
use popcorn_core::console_log::ConsoleLog;
use popcorn_core::console_log::Piece;
use popcorn_core::console_log::HEADER_SIZE;
use popcorn_core::ring::Memory;
use popcorn_kernel::current::fatal_signal_pending;
use popcorn_kernel::shared_memory::SharedMemory;
use popcorn_kernel::warn_ratelimited;

/// Copied in one step: small enough for the stack.
const STEP: usize = 256;
/// How often a step is tried. An honest kernel does not write the whole ring anew while so little is copied;
/// one that moves its header to and fro could keep a reader here for ever.
const TRIES: u32 = 8;

/// The zone of the log and how far it was followed.
#[pin_data]
pub(crate) struct Console {
    zone: SharedMemory,
    #[pin]
    log: Mutex<ConsoleLog>,
}

impl Console {
    /// A log in `zone`, whose first position is `origin`.
    ///
    /// # Errors
    ///
    /// `EINVAL`: the zone is too small.
    pub(crate) fn new(zone: SharedMemory, origin: u64) -> Result<impl PinInit<Self, Error>> {
        let mut log = ConsoleLog::new(zone.size()).ok_or(EINVAL)?;
        log.follow(origin);
        Ok(try_pin_init!(Self {
            log <- new_mutex!(log, "popcorn_boot console"),
            zone,
        }))
    }

    /// Position behind its last byte, as far as can be told. May sleep.
    pub(crate) fn end(&self) -> u64 {
        let mut log = self.log.lock();
        // If the header is overwritten, what was seen before counts.
        self.observe(&mut log).ok();
        log.window().end
    }

    /// Makes the zone ready for another kernel: what it wrote before is gone. May sleep.
    pub(crate) fn clear(&self) {
        let mut log = self.log.lock();
        // What nobody has looked at counts as written, too.
        self.observe(&mut log).ok();
        log.restart();
        let zeros = [0; STEP];
        let mut offset = 0;
        while offset < self.zone.size() {
            let length = STEP.min(self.zone.size() - offset);
            self.zone.write(offset, &zeros[..length]);
            offset += length;
        }
    }

    /// Copies the log from `*position` on and advances it; the number of bytes copied, 0 if there is
    /// nothing more. May sleep.
    ///
    /// # Errors
    ///
    /// `EFAULT`: bad memory. `EIO`: the second kernel has overwritten the log's header. `EINTR`: killed.
    pub(crate) fn read(&self, to: &mut UserSliceWriter, position: &mut i64) -> Result<usize> {
        let mut copied = 0;
        while !to.is_empty() {
            let mut bytes = [0; STEP];
            let room = STEP.min(to.len());
            let (at, length) = self
                .copy(u64::try_from(*position)?, &mut bytes[..room])
                .inspect_err(|_| {
                    warn_ratelimited!("the second kernel has overwritten its console log\n");
                })?;
            if length == 0 {
                break;
            }
            // The other kernel may add text as fast as it is copied, to a large buffer.
            if fatal_signal_pending() {
                return Err(EINTR);
            }
            to.write_slice(&bytes[..length])?;
            copied += length;
            *position = i64::try_from(at)?
                .checked_add(length as i64)
                .ok_or(EINVAL)?;
        }
        Ok(copied)
    }

    /// Copies what there is at `position` or, if that is gone, as early as possible: the position and
    /// the number of bytes, 0 if there is nothing more, or nothing that stays for long enough. May sleep.
    ///
    /// # Errors
    ///
    /// `EIO`: as [`Console::read`].
    pub(crate) fn copy(&self, position: u64, bytes: &mut [u8]) -> Result<(u64, usize)> {
        let mut log = self.log.lock();
        self.observe(&mut log)?;
        for _ in 0..TRIES {
            let piece: Piece = log.piece(position, bytes.len());
            let bytes = &mut bytes[..piece.length];
            self.zone.read(HEADER_SIZE + piece.offset, bytes);
            self.observe(&mut log)?;
            if log.kept(piece) {
                return Ok((piece.position, log.settled(piece, bytes)));
            }
        }
        Ok((log.window().oldest, 0))
    }

    fn observe(&self, log: &mut ConsoleLog) -> Result {
        let mut header = [0; HEADER_SIZE];
        self.zone.read(0, &mut header);
        log.observe(&header).map(|_| ()).map_err(|_| EIO)
    }
}
