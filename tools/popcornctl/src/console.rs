// SPDX-License-Identifier: GPL-2.0
//! `popcornctl kernel console`: sit at the terminal of another kernel.
//!
//! The user's terminal is made transparent, so that every key goes to the other kernel, whose own terminal
//! gives it its meaning. If standard input is no terminal, its bytes go there as they are.

use crate::failure::Failure;
use crate::signals;
use crate::signals::Signals;
use nix::errno::Errno;
use nix::poll::poll;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::pty::Winsize;
use nix::sys::signal::Signal;
use nix::sys::termios;
use nix::sys::termios::SetArg;
use nix::sys::termios::Termios;
use nix::unistd;
use std::io::IsTerminal;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;

/// How often to look for something new on the screen, in ms: nothing tells us.
const LOOK_MS: u16 = 20;
/// Read from the screen at once.
const SCREEN_MAX: usize = 16 << 10;
/// Written to standard output at once: what a pipe that is ready takes without waiting.
const OUTPUT_MAX: usize = 1024;
/// Typed ahead at most; more stays with whoever types it.
const KEYS_MAX: usize = 4096;

/// The terminal of another kernel; nothing waits.
pub(crate) trait Line {
    /// What it has printed; 0 bytes: it has ended and will print no more.
    fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno>;
    /// Types; the number of bytes that went there.
    fn write(&self, bytes: &[u8]) -> Result<usize, Errno>;
    /// Tells it how large the window is.
    fn set_window_size(&self, size: &Winsize) -> Result<(), Errno>;
    /// Whether it has a terminal by now.
    fn is_answered(&self) -> Result<bool, Errno>;
}

/// How large the window of a terminal is.
pub(crate) type GetWindowSize = fn(BorrowedFd<'_>) -> Result<Winsize, Errno>;

/// Why the console ends, if all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The user wants it.
    Left,
    /// There is nothing more to type, or nobody to show it to.
    Closed,
    /// The kernel runs no more.
    KernelEnded,
    /// We were told to.
    Signal(Signal),
}

/// `kernel console`
pub(crate) fn console(
    line: &impl Line,
    name: &str,
    window_size: GetWindowSize,
) -> Result<(), Failure> {
    let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
    // From here on signals wait for the relay, so nothing ends us while the terminal is not ours alone.
    let wanted = [&signals::ENDING[..], &[Signal::SIGWINCH, Signal::SIGCONT]].concat();
    let signals = Signals::take(&wanted)?;
    let raw = if stdin.is_terminal() {
        let raw = RawMode::enter(stdin.as_fd());
        Some(raw.map_err(|errno| Failure::refused("setting up the terminal", errno))?)
    } else {
        None
    };
    let interactive = raw.is_some();
    if interactive {
        note(format_args!(
            "[terminal of kernel {name}: Ctrl-] q leaves it, Ctrl-] Ctrl-] types Ctrl-]]\r\n"
        ));
        if line.is_answered() == Ok(false) {
            note(format_args!("[it has none yet]\r\n"));
        }
    }
    let relay = Relay {
        line,
        input: stdin.as_fd(),
        output: stdout.as_fd(),
        signals: Some(&signals),
        raw: raw.as_ref(),
        window: interactive.then_some(window_size),
        escape: interactive.then(Escape::default),
        keys: Vec::new(),
        screen: Vec::new(),
    };
    let end = relay.run();
    drop(raw);
    let end = end.map_err(failure)?;
    let why = match end {
        End::Signal(signal) => return Err(signals::ended_by(signal)),
        End::Left => "left",
        End::Closed => "end of input",
        End::KernelEnded => "the kernel does not run",
    };
    if interactive {
        note(format_args!("\n[{why}]\n"));
    }
    Ok(())
}

/// Tells the user something. If that fails, the terminal is gone, and so is the user.
fn note(text: std::fmt::Arguments<'_>) {
    let _ = std::io::stderr().write_fmt(text);
}

/// The terminal could not be opened or used.
pub(crate) fn failure(errno: Errno) -> Failure {
    match errno {
        Errno::EBUSY => Failure {
            errno: Some(errno),
            ..Failure::new(
                "somebody else sits at this terminal",
                "leave the other console (Ctrl-] q) first",
            )
        },
        other => Failure::refused("using the kernel's terminal", other),
    }
}

/// The user's terminal, transparent for every key until this is dropped.
struct RawMode<'a> {
    terminal: BorrowedFd<'a>,
    before: Termios,
}

impl<'a> RawMode<'a> {
    fn enter(terminal: BorrowedFd<'a>) -> Result<Self, Errno> {
        let before = termios::tcgetattr(terminal)?;
        let raw = Self { terminal, before };
        raw.again()?;
        Ok(raw)
    }

    /// After somebody else has had the terminal.
    fn again(&self) -> Result<(), Errno> {
        let mut raw = self.before.clone();
        termios::cfmakeraw(&mut raw);
        termios::tcsetattr(self.terminal, SetArg::TCSANOW, &raw)
    }
}

impl Drop for RawMode<'_> {
    fn drop(&mut self) {
        // There is nothing else to be done if it fails: then the terminal is gone.
        let _ = termios::tcsetattr(self.terminal, SetArg::TCSANOW, &self.before);
    }
}

/// Looks for the keys by which the user leaves.
#[derive(Debug, Default)]
struct Escape {
    armed: bool,
}

impl Escape {
    /// Ctrl-]
    const KEY: u8 = 0x1d;

    /// Appends to `keys` what of `input` is for the other kernel; whether the user leaves.
    fn filter(&mut self, input: &[u8], keys: &mut Vec<u8>) -> bool {
        for &key in input {
            match (std::mem::take(&mut self.armed), key) {
                (false, Self::KEY) => self.armed = true,
                (true, b'q' | b'Q') => return true,
                (true, Self::KEY) | (false, _) => keys.push(key),
                // It was not meant for us.
                (true, _) => keys.extend([Self::KEY, key]),
            }
        }
        false
    }
}

/// Carries bytes to and fro.
struct Relay<'a, L> {
    line: &'a L,
    input: BorrowedFd<'a>,
    output: BorrowedFd<'a>,
    signals: Option<&'a Signals>,
    raw: Option<&'a RawMode<'a>>,
    window: Option<GetWindowSize>,
    escape: Option<Escape>,
    /// Read from the input and not yet typed.
    keys: Vec<u8>,
    /// Printed by the other kernel and not yet shown.
    screen: Vec<u8>,
}

impl<L: Line> Relay<'_, L> {
    fn run(mut self) -> Result<End, Errno> {
        self.tell_window_size();
        let mut input_ended = false;
        loop {
            self.type_keys()?;
            if self.screen.is_empty() && !self.look()? {
                return Ok(End::KernelEnded);
            }
            if input_ended && self.keys.is_empty() && self.screen.is_empty() {
                return Ok(End::Closed);
            }
            let ready = self.wait(!input_ended && self.keys.len() < KEYS_MAX)?;
            if ready.signal {
                if let Some(end) = self.heed_signals()? {
                    return Ok(end);
                }
            }
            if ready.output && !self.show()? {
                return Ok(End::Closed);
            }
            if ready.input {
                match self.read_input()? {
                    Input::Keys => {}
                    Input::Ended => input_ended = true,
                    Input::Leave => return Ok(End::Left),
                }
            }
        }
    }

    /// Looks what was printed; `false`: nothing more ever will be.
    fn look(&mut self) -> Result<bool, Errno> {
        let mut buffer = [0; SCREEN_MAX];
        match self.line.read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(length) => self.screen.extend_from_slice(&buffer[..length]),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        Ok(true)
    }

    fn type_keys(&mut self) -> Result<(), Errno> {
        if self.keys.is_empty() {
            return Ok(());
        }
        match self.line.write(&self.keys) {
            Ok(length) => drop(self.keys.drain(..length)),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // It runs no more; what it had to say is still to be read.
            Err(Errno::EIO) => self.keys.clear(),
            Err(errno) => return Err(errno),
        }
        Ok(())
    }

    /// Sleeps until something can be done, or it is time to look.
    fn wait(&self, wants_input: bool) -> Result<Ready, Errno> {
        let mut fds = Vec::with_capacity(3);
        let mut add = |fd, wanted: bool, events| {
            wanted.then(|| {
                fds.push(PollFd::new(fd, events));
                fds.len() - 1
            })
        };
        let input = add(self.input, wants_input, PollFlags::POLLIN);
        let output = add(self.output, !self.screen.is_empty(), PollFlags::POLLOUT);
        let signal = self
            .signals
            .and_then(|signals| add(signals.as_fd(), true, PollFlags::POLLIN));
        match poll(&mut fds, PollTimeout::from(LOOK_MS)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        // An error or a hang-up is found by trying.
        let is_ready = |index: Option<usize>| index.is_some_and(|i| fds[i].any().unwrap_or(true));
        Ok(Ready {
            input: is_ready(input),
            output: is_ready(output),
            signal: is_ready(signal),
        })
    }

    /// Shows some of what was printed; `false`: nobody looks any more.
    fn show(&mut self) -> Result<bool, Errno> {
        let length = self.screen.len().min(OUTPUT_MAX);
        match unistd::write(self.output, &self.screen[..length]) {
            Ok(length) => drop(self.screen.drain(..length)),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(Errno::EPIPE | Errno::EIO) => return Ok(false),
            Err(errno) => return Err(errno),
        }
        Ok(true)
    }

    fn read_input(&mut self) -> Result<Input, Errno> {
        let mut buffer = [0; KEYS_MAX];
        let input = match unistd::read(self.input, &mut buffer) {
            Ok(length) => &buffer[..length],
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Input::Keys),
            // The terminal is gone.
            Err(Errno::EIO) => &[],
            Err(errno) => return Err(errno),
        };
        if input.is_empty() {
            return Ok(Input::Ended);
        }
        let leave = match &mut self.escape {
            Some(escape) => escape.filter(input, &mut self.keys),
            None => {
                self.keys.extend_from_slice(input);
                false
            }
        };
        Ok(if leave { Input::Leave } else { Input::Keys })
    }

    fn heed_signals(&self) -> Result<Option<End>, Errno> {
        let Some(signals) = self.signals else {
            return Ok(None);
        };
        while let Some(signal) = signals.next()? {
            match signal {
                Signal::SIGWINCH => self.tell_window_size(),
                // We were stopped, and the shell has had the terminal.
                Signal::SIGCONT => {
                    if let Some(raw) = self.raw {
                        raw.again()?;
                    }
                    self.tell_window_size();
                }
                other => return Ok(Some(End::Signal(other))),
            }
        }
        Ok(None)
    }

    /// A terminal whose size is not known is of use, too.
    fn tell_window_size(&self) {
        if let Some(size) = self.window.and_then(|get| get(self.input).ok()) {
            let _ = self.line.set_window_size(&size);
        }
    }
}

/// What [`Relay::wait`] has found.
struct Ready {
    input: bool,
    output: bool,
    signal: bool,
}

/// What came from the input.
enum Input {
    Keys,
    Ended,
    Leave,
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::pty::openpty;
    use std::cell::Cell;
    use std::cell::RefCell;
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::panic::AssertUnwindSafe;

    /// A kernel whose terminal echoes, through room for so many bytes at a time, and which ends when it
    /// reads a zero byte.
    struct Echo {
        room: usize,
        printed: RefCell<Vec<u8>>,
        ended: Cell<bool>,
        sizes: RefCell<Vec<(u16, u16)>>,
        /// Every other call finds nothing.
        odd: Cell<bool>,
    }

    impl Echo {
        fn new(room: usize) -> Self {
            Self {
                room,
                printed: RefCell::default(),
                ended: Cell::default(),
                sizes: RefCell::default(),
                odd: Cell::default(),
            }
        }

        fn turn(&self) -> Result<(), Errno> {
            self.odd.set(!self.odd.get());
            if self.odd.get() {
                Err(Errno::EAGAIN)
            } else {
                Ok(())
            }
        }
    }

    impl Line for Echo {
        fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
            let mut printed = self.printed.borrow_mut();
            if printed.is_empty() && !self.ended.get() {
                return Err(Errno::EAGAIN);
            }
            let length = printed.len().min(buffer.len());
            buffer[..length].copy_from_slice(&printed[..length]);
            printed.drain(..length);
            Ok(length)
        }

        fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
            self.turn()?;
            if self.ended.get() {
                return Err(Errno::EIO);
            }
            let mut printed = self.printed.borrow_mut();
            let length = bytes.len().min(self.room - printed.len());
            if length == 0 {
                return Err(Errno::EAGAIN);
            }
            let (text, rest) = bytes[..length].split_at(
                bytes[..length]
                    .iter()
                    .position(|&b| b == 0)
                    .unwrap_or(length),
            );
            printed.extend_from_slice(text);
            self.ended.set(!rest.is_empty());
            Ok(length)
        }

        fn set_window_size(&self, size: &Winsize) -> Result<(), Errno> {
            self.sizes.borrow_mut().push((size.ws_row, size.ws_col));
            Ok(())
        }

        fn is_answered(&self) -> Result<bool, Errno> {
            Ok(true)
        }
    }

    fn relay<'a>(line: &'a Echo, input: &'a OwnedFd, output: &'a OwnedFd) -> Relay<'a, Echo> {
        Relay {
            line,
            input: input.as_fd(),
            output: output.as_fd(),
            signals: None,
            raw: None,
            window: None,
            escape: None,
            keys: Vec::new(),
            screen: Vec::new(),
        }
    }

    /// Sends `input` through the relay; what came out, and how it ended.
    fn through(line: &Echo, input: &[u8], escape: bool) -> (Vec<u8>, End) {
        let (input_read, input_write) = unistd::pipe().unwrap();
        let (output_read, output_write) = unistd::pipe().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || File::from(input_write).write_all(input));
            let reader = scope.spawn(move || {
                let mut output = Vec::new();
                File::from(output_read).read_to_end(&mut output).unwrap();
                output
            });
            let mut relay = relay(line, &input_read, &output_write);
            relay.escape = escape.then(Escape::default);
            let end = relay.run().unwrap();
            drop(output_write);
            (reader.join().unwrap(), end)
        })
    }

    #[test]
    fn every_byte_comes_back_through_small_buffers() {
        let input: Vec<u8> = (0..100 * 1024).map(|n| 1 + (n % 255) as u8).collect();
        let line = Echo::new(3000);
        let (output, end) = through(&line, &input, false);
        assert!(output == input, "{} of {}", output.len(), input.len());
        assert_eq!(end, End::Closed);
    }

    #[test]
    fn what_a_kernel_says_before_its_end_is_shown() {
        let line = Echo::new(1000);
        let (output, end) = through(&line, b"last words\0more", false);
        assert_eq!(output, b"last words");
        assert_eq!(end, End::KernelEnded);
    }

    #[test]
    fn the_user_leaves_by_the_escape_and_by_nothing_else() {
        let line = Echo::new(1000);
        let (output, end) = through(&line, b"q\x1d\x1dq\x1dx", true);
        assert_eq!(output, b"q\x1dq\x1dx");
        assert_eq!(end, End::Closed);
        let (_, end) = through(&line, b"text\x1dqmore", true);
        assert_eq!(end, End::Left);
        // Without a user at a terminal there is no escape.
        let (output, end) = through(&Echo::new(1000), b"\x1dq", false);
        assert_eq!((output.as_slice(), end), (b"\x1dq".as_slice(), End::Closed));
    }

    #[test]
    fn the_escape_may_come_in_two_pieces() {
        let mut escape = Escape::default();
        let mut keys = Vec::new();
        assert!(!escape.filter(b"a\x1d", &mut keys));
        assert_eq!(keys, b"a");
        assert!(escape.filter(b"q", &mut keys));
    }

    #[test]
    fn nobody_who_looks_ends_it() {
        let line = Echo::new(1000);
        line.printed.borrow_mut().extend_from_slice(b"text");
        let (input_read, _input_write) = unistd::pipe().unwrap();
        let (output_read, output_write) = unistd::pipe().unwrap();
        drop(output_read);
        let end = relay(&line, &input_read, &output_write).run().unwrap();
        assert_eq!(end, End::Closed);
    }

    #[test]
    fn the_window_size_is_told_at_the_beginning() {
        let line = Echo::new(10);
        line.ended.set(true);
        let (input_read, _input_write) = unistd::pipe().unwrap();
        let (_output_read, output_write) = unistd::pipe().unwrap();
        let mut relay = relay(&line, &input_read, &output_write);
        relay.window = Some(|_| {
            Ok(Winsize {
                ws_row: 50,
                ws_col: 132,
                ws_xpixel: 0,
                ws_ypixel: 0,
            })
        });
        assert_eq!(relay.run(), Ok(End::KernelEnded));
        assert_eq!(*line.sizes.borrow(), [(50, 132)]);
    }

    #[test]
    fn errors_of_the_line_end_it_and_are_told() {
        struct Busy;
        impl Line for Busy {
            fn read(&self, _: &mut [u8]) -> Result<usize, Errno> {
                Err(Errno::EBUSY)
            }
            fn write(&self, _: &[u8]) -> Result<usize, Errno> {
                Err(Errno::EBUSY)
            }
            fn set_window_size(&self, _: &Winsize) -> Result<(), Errno> {
                Err(Errno::EBUSY)
            }
            fn is_answered(&self) -> Result<bool, Errno> {
                Err(Errno::EBUSY)
            }
        }
        let (input, _other) = unistd::pipe().unwrap();
        let relay = Relay {
            line: &Busy,
            input: input.as_fd(),
            output: input.as_fd(),
            signals: None,
            raw: None,
            window: None,
            escape: None,
            keys: Vec::new(),
            screen: Vec::new(),
        };
        let failure = super::failure(relay.run().unwrap_err());
        assert_eq!(failure.errno, Some(Errno::EBUSY));
        assert!(failure.what.contains("somebody else"), "{}", failure.what);
    }

    #[test]
    fn the_terminal_is_restored_also_by_a_panic() {
        let pty = openpty(None, None).unwrap();
        let flags = || termios::tcgetattr(&pty.slave).unwrap().local_flags;
        let before = flags();
        assert!(before.contains(termios::LocalFlags::ICANON | termios::LocalFlags::ECHO));
        let raw = RawMode::enter(pty.slave.as_fd()).unwrap();
        assert!(!flags().intersects(termios::LocalFlags::ICANON | termios::LocalFlags::ECHO));
        drop(raw);
        assert_eq!(flags(), before);
        let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let _raw = RawMode::enter(pty.slave.as_fd()).unwrap();
            assert_ne!(flags(), before);
            std::panic::resume_unwind(Box::new("on purpose"));
        }));
        assert!(panicked.is_err());
        assert_eq!(flags(), before);
    }
}
