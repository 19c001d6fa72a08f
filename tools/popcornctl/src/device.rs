// SPDX-License-Identifier: GPL-2.0
//! The calls of `/dev/popcorn` and `/dev/popcorn_boot`. All that is unsafe in this program is here.
//!
//! The commands see the traits [`Popcorn`] and [`Boot`] only, so that the tests can put a made-up
//! kernel in the place of the real one.

use crate::failure::Failure;
use crate::uapi::BootKill;
use crate::uapi::BootStart;
use crate::uapi::BootStatus;
use crate::uapi::Migrate;
use crate::uapi::NodeInfo;
use crate::uapi::Nodes;
use crate::uapi::Ping;
use crate::uapi::ThreadInfo;
use crate::uapi::Threads;
use nix::errno::Errno;
use std::fs::File;
use std::fs::OpenOptions;
use std::os::fd::AsRawFd;

/// What `/dev/popcorn` can do. Errors are the kernel's errno.
pub(crate) trait Popcorn {
    /// Moves a thread, or asks for it.
    fn migrate(&self, request: Migrate) -> Result<(), Errno>;
    /// All nodes.
    fn nodes(&self) -> Result<Vec<NodeInfo>, Errno>;
    /// The threads that have migrated; of one process, or (0) of all.
    fn threads(&self, pid: i32) -> Result<Vec<ThreadInfo>, Errno>;
    /// Times round trips; the answer is the request with its times filled in.
    fn ping(&self, request: Ping) -> Result<Ping, Errno>;
}

/// What `/dev/popcorn_boot` can do.
pub(crate) trait Boot {
    /// Starts the second kernel. The descriptors in the request must stay open meanwhile.
    fn start(
        &self,
        cpu: u32,
        kernel: &File,
        initrd: Option<&File>,
        cmdline: &str,
    ) -> Result<(), Errno>;
    /// Stops it.
    fn kill(&self, request: BootKill) -> Result<(), Errno>;
    /// How it fares.
    fn status(&self) -> Result<BootStatus, Errno>;
    /// Reads what follows of its console; 0 bytes: that was all, for now.
    fn read_log(&self, buffer: &mut [u8]) -> Result<usize, Errno>;
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
    nix::ioctl_write_ptr!(boot_start, MAGIC, 0xa1, BootStart);
    nix::ioctl_write_ptr!(boot_kill, MAGIC, 0xa2, BootKill);
    nix::ioctl_readwrite!(boot_status, MAGIC, 0xa3, BootStatus);
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

/// `/dev/popcorn_boot`, open.
#[derive(Debug)]
pub(crate) struct BootDevice(File);

impl BootDevice {
    pub(crate) const PATH: &str = "/dev/popcorn_boot";

    pub(crate) fn open() -> Result<Self, Failure> {
        open(Self::PATH).map(Self)
    }
}

/// Opens a device; std sets close-on-exec.
fn open(path: &str) -> Result<File, Failure> {
    OpenOptions::new()
        .read(true)
        .write(true)
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

    fn ping(&self, mut request: Ping) -> Result<Ping, Errno> {
        // SAFETY: the descriptor is open, and the request a whole structure that outlives the call.
        unsafe { ioctl::ping(self.0.as_raw_fd(), &mut request) }?;
        Ok(request)
    }
}

#[allow(unsafe_code, reason = "ioctl(2)")]
impl Boot for BootDevice {
    fn start(
        &self,
        cpu: u32,
        kernel: &File,
        initrd: Option<&File>,
        cmdline: &str,
    ) -> Result<(), Errno> {
        let initrd_fd = initrd.map_or(-1, AsRawFd::as_raw_fd);
        let length = u32::try_from(cmdline.len()).map_err(|_| Errno::ENAMETOOLONG)?;
        let request = BootStart::new(
            cpu,
            kernel.as_raw_fd(),
            initrd_fd,
            cmdline.as_ptr() as u64,
            length,
        );
        // SAFETY: the descriptor is open; the request, the files and the string that it names are
        // borrowed for longer than the call.
        unsafe { ioctl::boot_start(self.0.as_raw_fd(), &request) }.map(drop)
    }

    fn kill(&self, request: BootKill) -> Result<(), Errno> {
        // SAFETY: the descriptor is open, and the request a whole structure that outlives the call.
        unsafe { ioctl::boot_kill(self.0.as_raw_fd(), &request) }.map(drop)
    }

    fn status(&self) -> Result<BootStatus, Errno> {
        let mut status = BootStatus::new();
        // SAFETY: as in `kill`; every bit pattern is a valid status.
        unsafe { ioctl::boot_status(self.0.as_raw_fd(), &mut status) }?;
        Ok(status)
    }

    fn read_log(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        use std::io::Read;
        (&self.0)
            .read(buffer)
            .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    }
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
