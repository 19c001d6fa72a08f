// SPDX-License-Identifier: GPL-2.0
//! The second kernel's terminal, as the primary has it: there is one seat in front of it. Who has it sees
//! the screen by reading and types by writing.
//!
//! All goes through one zone of memory (`rust/core/terminal.rs`), without messages and interrupts. So
//! whoever waits here looks again from time to time.
//!
//! Lock order: [`Terminal::inner`] is held for a few lines only, copies up to [`STEP`] bytes, and nothing
//! is taken under it. [`Terminal::reading`] and the seat are not waited for.

use core::sync::atomic::AtomicBool;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use kernel::prelude::*;
use kernel::sync::new_mutex;
use kernel::sync::Arc;
use kernel::sync::Mutex;
use kernel::uaccess::UserSliceReader;
use kernel::uaccess::UserSliceWriter;
use popcorn_core::ring::Memory;
use popcorn_core::terminal::NearEnd;
use popcorn_core::terminal::WindowSize;
use popcorn_core::terminal::ZONE_SIZE;
use popcorn_kernel::boot::terminal::read_window_size;
use popcorn_kernel::boot::terminal::write_modem_lines;
use popcorn_kernel::boot::terminal::write_window_size;
use popcorn_kernel::boot::terminal::Call;
use popcorn_kernel::new_waitqueue;
use popcorn_kernel::shared_memory::SharedMemory;
use popcorn_kernel::try_lock::TryLock;
use popcorn_kernel::wait::Sleep;
use popcorn_kernel::wait::WaitQueue;

/// Copied in one step: small enough for the stack.
const STEP: usize = 256;
/// How often somebody who waits looks again: not noticed by who types, and little work.
const LOOK_MS: u32 = 10;

/// The primary's end of the terminal, over any number of starts of the second kernel.
#[pin_data]
pub(crate) struct Terminal {
    zone: SharedMemory,
    #[pin]
    inner: Mutex<Inner>,
    /// Somebody has the [`Seat`].
    taken: AtomicBool,
    /// Who takes from the screen's ring has it.
    reading: TryLock<()>,
    /// How often the zone was cleared.
    life: AtomicU32,
    /// Waits for the next look, or for another life.
    #[pin]
    changed: WaitQueue,
}

struct Inner {
    /// From the first start on.
    end: Option<NearEnd<SharedMemory>>,
    size: WindowSize,
}

impl Terminal {
    /// A terminal in `zone`, of no kernel yet.
    ///
    /// # Errors
    ///
    /// `EINVAL`: the zone is too small.
    pub(crate) fn new(zone: SharedMemory) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            inner <- new_mutex!(Inner {
                end: None,
                size: WindowSize::default(),
            }, "popcorn_boot terminal"),
            taken: AtomicBool::new(false),
            reading: TryLock::new(()),
            life: AtomicU32::new(0),
            changed <- new_waitqueue!("popcorn_boot terminal"),
            zone: if zone.size() >= ZONE_SIZE { zone } else { return Err(EINVAL) },
        })
    }

    /// Makes the zone ready for another kernel, which must not run yet: what was typed or printed is
    /// gone, and reads that wait end. May sleep.
    pub(crate) fn clear(&self) {
        let mut inner = self.inner.lock();
        inner.end = NearEnd::prepare(self.zone.clone(), inner.size).ok();
        self.life.fetch_add(1, Ordering::Relaxed);
        drop(inner);
        self.changed.wake_all();
    }

    /// Takes the seat. Any context.
    ///
    /// # Errors
    ///
    /// `EBUSY`: somebody has it. What two would read is of no use to either.
    pub(crate) fn sit(self: Arc<Self>) -> Result<Seat> {
        if self.taken.swap(true, Ordering::Acquire) {
            return Err(EBUSY);
        }
        Ok(Seat(self))
    }

    /// Copies as much of the screen as there is and `to` holds. Only by who has `reading`.
    fn copy_screen(&self, to: &mut UserSliceWriter) -> Result<usize> {
        let mut copied = 0;
        while !to.is_empty() {
            let mut bytes = [0; STEP];
            let room = STEP.min(to.len());
            let length = match &mut self.inner.lock().end {
                Some(end) => end.screen.peek(&mut bytes[..room]),
                None => 0,
            };
            if length == 0 {
                break;
            }
            // Without the lock, since the user's memory may take its time; nobody else takes from the
            // ring, and of a ring that was cleared meanwhile nothing is consumed.
            match to.write_slice(&bytes[..length]) {
                Err(error) if copied == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => {}
            }
            if let Some(end) = &mut self.inner.lock().end {
                end.screen.consume(length);
            }
            copied += length;
        }
        Ok(copied)
    }

    fn push(&self, bytes: &[u8]) -> usize {
        match &mut self.inner.lock().end {
            Some(end) => end.keyboard.push(bytes),
            None => 0,
        }
    }

    /// Sleeps until the next look.
    fn pause(&self, life: u32) -> Result {
        let cleared = || self.life.load(Ordering::Relaxed) != life;
        match self
            .changed
            .wait(Sleep::Interruptible, Some(LOOK_MS), cleared)
        {
            Err(error) if error == EINTR => Err(ERESTARTSYS),
            // Time to look, or another life.
            _ => Ok(()),
        }
    }
}

/// The right to use the terminal, until this is dropped.
pub(crate) struct Seat(Arc<Terminal>);

impl Seat {
    /// Whether it is at this terminal.
    pub(crate) fn is_of(&self, terminal: &Arc<Terminal>) -> bool {
        Arc::ptr_eq(&self.0, terminal)
    }

    /// Copies what was printed, at least one byte unless `to` is empty; 0 bytes: the kernel has ended
    /// (`is_alive`), or another one was started meanwhile, and there is nothing more. Sleeps until there
    /// is something; signals end that.
    ///
    /// # Errors
    ///
    /// `EBUSY`: another thread reads. `EAGAIN`: there is nothing, and `nonblocking`. `ERESTARTSYS`: a
    /// signal. `EFAULT`.
    pub(crate) fn read(
        &self,
        to: &mut UserSliceWriter,
        nonblocking: bool,
        is_alive: impl Fn() -> bool,
    ) -> Result<usize> {
        let terminal = &self.0;
        let _reading = terminal.reading.try_lock().ok_or(EBUSY)?;
        let life = terminal.life.load(Ordering::Relaxed);
        loop {
            // First of all: what was printed before the end is there afterwards.
            let alive = is_alive() && terminal.life.load(Ordering::Relaxed) == life;
            let copied = terminal.copy_screen(to)?;
            if copied > 0 || to.is_empty() || !alive {
                return Ok(copied);
            }
            if nonblocking {
                return Err(EAGAIN);
            }
            terminal.pause(life)?;
        }
    }

    /// Types all of `from`; sleeps while there is no room, but for signals. With `nonblocking`, or after
    /// a signal, it may be less, but not nothing. The number of bytes.
    ///
    /// # Errors
    ///
    /// Nothing was typed. `EIO`: the kernel does not run (`is_alive`), or ended, or another one was
    /// started meanwhile. `EAGAIN`: there is no room, and `nonblocking`. `ERESTARTSYS`: a signal.
    /// `EFAULT`.
    pub(crate) fn write(
        &self,
        from: &mut UserSliceReader,
        nonblocking: bool,
        is_alive: impl Fn() -> bool,
    ) -> Result<usize> {
        let terminal = &self.0;
        let life = terminal.life.load(Ordering::Relaxed);
        let mut typed = 0;
        let result = (|| {
            while !from.is_empty() {
                let mut bytes = [0; STEP];
                let length = STEP.min(from.len());
                from.read_slice(&mut bytes[..length])?;
                let mut rest = &bytes[..length];
                while !rest.is_empty() {
                    if !is_alive() || terminal.life.load(Ordering::Relaxed) != life {
                        return Err(EIO);
                    }
                    let pushed = terminal.push(rest);
                    typed += pushed;
                    rest = &rest[pushed..];
                    match (rest.is_empty(), nonblocking) {
                        (true, _) => {}
                        (false, true) => return Err(EAGAIN),
                        (false, false) => terminal.pause(life)?,
                    }
                }
            }
            Ok(())
        })();
        match result {
            Err(error) if typed == 0 => Err(error),
            _ => Ok(typed),
        }
    }

    /// The calls of a terminal: get and set the size of the window (`TIOCGWINSZ`, `TIOCSWINSZ`), which
    /// outlives a kernel; and ask whether the kernel has a terminal by now (`TIOCMGET`, `TIOCM_CAR`). May
    /// sleep.
    ///
    /// # Errors
    ///
    /// `ENOTTY`: another call. `EFAULT`.
    pub(crate) fn ioctl(&self, command: u32, argument: usize) -> Result {
        match Call::new(command).ok_or(ENOTTY)? {
            Call::GetWindowSize => {
                let size = self.0.inner.lock().size;
                write_window_size(argument, size)
            }
            Call::SetWindowSize => {
                let size = read_window_size(argument)?;
                let mut inner = self.0.inner.lock();
                inner.size = size;
                if let Some(end) = &inner.end {
                    end.set_window_size(size);
                }
                Ok(())
            }
            Call::GetModemLines => {
                let end = |inner: &Inner| inner.end.as_ref().is_some_and(NearEnd::is_answered);
                let carrier = end(&self.0.inner.lock());
                write_modem_lines(argument, carrier)
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}
