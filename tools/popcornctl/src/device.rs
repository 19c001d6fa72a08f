// SPDX-License-Identifier: GPL-2.0
//! The calls of `/dev/popcorn` and `/dev/popcorn_boot`. All that is unsafe in this program is here, but
//! for a handler in `signals`.
//!
//! The commands see the trait [`Popcorn`] only, so that the tests can put a made-up
//! kernel in the place of the real one.

use crate::console;
use crate::console::Line;
use crate::failure::Failure;
use crate::uapi;
use crate::uapi::BootAttach;
use crate::uapi::Migrate;
use crate::uapi::MsgInfo;
use crate::uapi::MsgStats;
use crate::uapi::NodeInfo;
use crate::uapi::Nodes;
use crate::uapi::Ping;
use crate::uapi::ThreadInfo;
use crate::uapi::Threads;
use nix::errno::Errno;
use nix::libc;
use nix::pty::Winsize;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::OpenOptionsExt;

/// What `/dev/popcorn` can do. Errors are the kernel's errno.
pub(crate) trait Popcorn {
    /// Moves a thread, or asks for it.
    fn migrate(&self, request: Migrate) -> Result<(), Errno>;
    /// All nodes.
    fn nodes(&self) -> Result<Vec<NodeInfo>, Errno>;
    /// The threads that have migrated; of one process, or (0) of all.
    fn threads(&self, pid: i32) -> Result<Vec<ThreadInfo>, Errno>;
    /// Times round trips; the answer is the request with its times filled in, and the nanoseconds of
    /// each.
    fn ping(&self, request: Ping) -> Result<(Ping, Vec<u64>), Errno>;
    /// What was counted of messages, by node and type; of one node, or of all.
    fn messages(&self, node: Option<u32>) -> Result<Vec<MsgInfo>, Errno>;
}

const MAGIC: u8 = b'P';

#[allow(
    unsafe_code,
    missing_docs,
    clippy::undocumented_unsafe_blocks,
    reason = "the macros of nix expand to unsafe functions, each one call of ioctl(2)"
)]
mod ioctl {
    use super::*;

    nix::ioctl_write_ptr!(migrate, MAGIC, 0x81, Migrate);
    nix::ioctl_readwrite!(nodes, MAGIC, 0x82, Nodes);
    nix::ioctl_readwrite!(threads, MAGIC, 0x83, Threads);
    nix::ioctl_readwrite!(ping, MAGIC, 0x85, Ping);
    nix::ioctl_readwrite!(messages, MAGIC, 0x86, MsgStats);
    nix::ioctl_write_ptr!(boot_attach, MAGIC, 0xa1, BootAttach);
    nix::ioctl_read_bad!(get_window_size, libc::TIOCGWINSZ, Winsize);
    nix::ioctl_write_ptr_bad!(set_window_size, libc::TIOCSWINSZ, Winsize);
    nix::ioctl_read_bad!(get_modem_lines, libc::TIOCMGET, libc::c_int);
}

/// `/dev/popcorn`, open.
#[derive(Debug)]
pub(crate) struct Device(File);

impl Device {
    pub(crate) const PATH: &str = "/dev/popcorn";

    pub(crate) fn open() -> Result<Self, Failure> {
        open(Self::PATH).map(Self)
    }
}

const BOOT_PATH: &str = "/dev/popcorn_boot";

/// Opens `/dev/popcorn_boot`.
pub(crate) fn open_boot() -> Result<File, Failure> {
    open(BOOT_PATH)
}

/// Binds an open `/dev/popcorn_boot` to the console log of the kernel `name`, for reading.
pub(crate) fn attach_log(boot: &File, name: &str) -> Result<(), Errno> {
    attach(boot, uapi::BOOT_LOG, name)
}

/// Binds an open `/dev/popcorn_boot` to the memory of the kernel `name`, as a core.
pub(crate) fn attach_core(boot: &File, name: &str) -> Result<(), Errno> {
    attach(boot, uapi::BOOT_CORE, name)
}

/// Binds an open `/dev/popcorn_boot` to something of the kernel `name`.
#[allow(unsafe_code, reason = "ioctl(2)")]
fn attach(boot: &File, what: u32, name: &str) -> Result<(), Errno> {
    let request = BootAttach::new(what, name).ok_or(Errno::ENAMETOOLONG)?;
    // SAFETY: the descriptor is open, and the request a whole structure that outlives the call.
    unsafe { ioctl::boot_attach(boot.as_raw_fd(), &request) }.map(drop)
}

/// The terminal of a kernel, open; reads and writes do not wait.
#[derive(Debug)]
pub(crate) struct TerminalDevice(File);

impl TerminalDevice {
    pub(crate) fn open(name: &str) -> Result<Self, Failure> {
        let file = open_with(BOOT_PATH, libc::O_NONBLOCK)?;
        attach(&file, uapi::BOOT_TERMINAL, name).map_err(console::failure)?;
        Ok(Self(file))
    }
}

/// How large the window of the terminal behind `fd` is.
#[allow(unsafe_code, reason = "ioctl(2)")]
pub(crate) fn window_size(fd: BorrowedFd<'_>) -> Result<Winsize, Errno> {
    let mut size = Winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the descriptor is open, and the kernel fills a whole structure of integers.
    unsafe { ioctl::get_window_size(fd.as_raw_fd(), &mut size) }?;
    Ok(size)
}

/// Opens a device; std sets close-on-exec.
fn open(path: &str) -> Result<File, Failure> {
    open_with(path, 0)
}

fn open_with(path: &str, flags: i32) -> Result<File, Failure> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|error| Failure::open_device(path, &error))
}

/// Asks for a list, with more room until all of it fits. `ask` fills the array and returns how many
/// entries there are, which may be more than there is room for.
fn list<T: Clone + Default>(
    mut ask: impl FnMut(&mut [T]) -> Result<u32, Errno>,
) -> Result<Vec<T>, Errno> {
    let mut entries = vec![T::default(); 64];
    loop {
        let count = ask(&mut entries)? as usize;
        if count <= entries.len() {
            entries.truncate(count);
            return Ok(entries);
        }
        // Some slack: there may be still more the next time.
        entries.resize(count + count / 4 + 1, T::default());
    }
}

#[allow(unsafe_code, reason = "ioctl(2)")]
impl Popcorn for Device {
    fn migrate(&self, request: Migrate) -> Result<(), Errno> {
        // SAFETY: the descriptor is open, and the request a whole structure that outlives the call.
        unsafe { ioctl::migrate(self.0.as_raw_fd(), &request) }.map(drop)
    }

    fn nodes(&self) -> Result<Vec<NodeInfo>, Errno> {
        list(|entries: &mut [NodeInfo]| {
            let mut request = Nodes::new(entries.as_mut_ptr() as u64, entries.len() as u32);
            // SAFETY: the request names an exclusively borrowed array and its length; the kernel
            // writes no more than that, and every bit pattern is a valid entry.
            unsafe { ioctl::nodes(self.0.as_raw_fd(), &mut request) }?;
            Ok(request.count)
        })
    }

    fn threads(&self, pid: i32) -> Result<Vec<ThreadInfo>, Errno> {
        list(|entries: &mut [ThreadInfo]| {
            let mut request = Threads::new(entries.as_mut_ptr() as u64, entries.len() as u32, pid);
            // SAFETY: as in `nodes`.
            unsafe { ioctl::threads(self.0.as_raw_fd(), &mut request) }?;
            Ok(request.count)
        })
    }

    fn ping(&self, mut request: Ping) -> Result<(Ping, Vec<u64>), Errno> {
        let mut samples = vec![0; request.count as usize];
        request.samples = samples.as_mut_ptr() as u64;
        // SAFETY: the descriptor is open, and the request a whole structure that outlives the call. The
        // array that it names is exclusively borrowed and has `count` entries, as many as are written.
        unsafe { ioctl::ping(self.0.as_raw_fd(), &mut request) }?;
        Ok((request, samples))
    }

    fn messages(&self, node: Option<u32>) -> Result<Vec<MsgInfo>, Errno> {
        // An id that no i32 holds is no node's: so is the greatest, and the kernel says so.
        let node = node.map_or(uapi::NODE_ANY, |id| i32::try_from(id).unwrap_or(i32::MAX));
        list(|entries: &mut [MsgInfo]| {
            let mut request =
                MsgStats::new(entries.as_mut_ptr() as u64, entries.len() as u32, node);
            // SAFETY: as in `nodes`.
            unsafe { ioctl::messages(self.0.as_raw_fd(), &mut request) }?;
            Ok(request.count)
        })
    }
}

#[allow(unsafe_code, reason = "ioctl(2)")]
impl Line for TerminalDevice {
    fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        (&self.0).read(buffer).map_err(errno_of)
    }

    fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        (&self.0).write(bytes).map_err(errno_of)
    }

    fn set_window_size(&self, size: &Winsize) -> Result<(), Errno> {
        // SAFETY: the descriptor is open, and the size a whole structure that outlives the call.
        unsafe { ioctl::set_window_size(self.0.as_raw_fd(), size) }.map(drop)
    }

    fn is_answered(&self) -> Result<bool, Errno> {
        let mut lines = 0;
        // SAFETY: the descriptor is open; the kernel fills an integer.
        unsafe { ioctl::get_modem_lines(self.0.as_raw_fd(), &mut lines) }?;
        Ok(lines & libc::TIOCM_CAR != 0)
    }
}

fn errno_of(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_grows_until_all_fits() {
        let mut calls = Vec::new();
        let got = list(|entries: &mut [u8]| {
            calls.push(entries.len());
            entries.fill(7);
            Ok(200)
        })
        .unwrap();
        assert_eq!(got, vec![7; 200]);
        assert_eq!(calls, [64, 251]);
    }

    #[test]
    fn list_passes_errors_on() {
        assert_eq!(list(|_: &mut [u8]| Err(Errno::EPERM)), Err(Errno::EPERM));
    }

    #[test]
    fn a_missing_device_says_what_to_load() {
        let failure = open("/dev/popcorn-that-does-not-exist").unwrap_err();
        assert_eq!(failure.errno, Some(Errno::ENOENT));
        assert!(failure.next.contains("load"), "{}", failure.next);
    }
}
