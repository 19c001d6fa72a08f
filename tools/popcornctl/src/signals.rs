// SPDX-License-Identifier: GPL-2.0
//! Signals that are to end a command in its own way.

use crate::failure::Failure;
use nix::errno::Errno;
use nix::libc;
use nix::poll::poll;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::sys::signal::sigaction;
use nix::sys::signal::SaFlags;
use nix::sys::signal::SigAction;
use nix::sys::signal::SigHandler;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SfdFlags;
use nix::sys::signalfd::SignalFd;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Those by which a user, or whoever shuts down the system, ends a program.
pub(crate) const ENDING: [Signal; 4] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
];

/// Status of a program that a signal ended, less the signal's number.
const STATUS_SIGNAL: u8 = 128;

/// The failure of a command that `signal` ended.
pub(crate) fn ended_by(signal: Signal) -> Failure {
    let status = STATUS_SIGNAL.wrapping_add(signal as u8);
    Failure::new(format!("ended by {signal}"), "").with_status(status)
}

/// Whether a signal has come of those that are [noted](note).
static NOTED: AtomicBool = AtomicBool::new(false);

extern "C" fn take_note(_signal: libc::c_int) {
    NOTED.store(true, Ordering::Relaxed);
}

/// From now on `signal` does no more than to end a call that sleeps, with `EINTR`, and to be noted.
#[allow(unsafe_code, reason = "sigaction(2)")]
pub(crate) fn note(signal: Signal) -> Result<(), Errno> {
    let handler = SigHandler::Handler(take_note);
    // Without SA_RESTART: the call is not made anew.
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler only writes to an atomic variable, which may be done in one.
    unsafe { sigaction(signal, &action) }.map(drop)
}

/// Whether one was.
pub(crate) fn is_noted() -> bool {
    NOTED.load(Ordering::Relaxed)
}

/// Some signals, kept from doing what they do.
pub(crate) struct Signals(SignalFd);

impl Signals {
    /// Keeps `signals` from this thread, and from those that it starts, from now on.
    pub(crate) fn take(signals: &[Signal]) -> Result<Self, Failure> {
        Self::block(signals).map_err(|errno| Failure::refused("waiting for signals", errno))
    }

    fn block(signals: &[Signal]) -> Result<Self, Errno> {
        let mut set = SigSet::empty();
        for &signal in signals {
            set.add(signal);
        }
        set.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        SignalFd::with_flags(&set, flags).map(Self)
    }

    /// The next one, if there is one.
    pub(crate) fn next(&self) -> Result<Option<Signal>, Errno> {
        let Some(info) = self.0.read_signal()? else {
            return Ok(None);
        };
        Signal::try_from(info.ssi_signo as i32).map(Some)
    }

    /// Sleeps for a time; ended by a signal, which it returns.
    pub(crate) fn sleep(&self, time: Duration) -> Result<Option<Signal>, Errno> {
        let ms = u16::try_from(time.as_millis()).unwrap_or(u16::MAX);
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::from(ms)) {
            Ok(_) | Err(Errno::EINTR) => self.next(),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_ends_with_a_signal() {
        // One that the other tests have no use for, sent to this thread alone.
        let signals = Signals::take(&[Signal::SIGURG]).unwrap();
        assert_eq!(signals.sleep(Duration::from_millis(1)), Ok(None));
        nix::sys::signal::raise(Signal::SIGURG).unwrap();
        let long = Duration::from_secs(60);
        assert_eq!(signals.sleep(long), Ok(Some(Signal::SIGURG)));
        assert_eq!(ended_by(Signal::SIGINT).status, 130);
    }
}
