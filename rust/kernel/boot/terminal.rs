// SPDX-License-Identifier: GPL-2.0
//! A terminal of this kernel, `/dev/hvcN`, whose other end is ours; and the calls that a user makes on
//! the other end.
//!
//! C headers: `drivers/tty/hvc/hvc_console.h`, `include/uapi/asm-generic/ioctls.h`.

use crate::bindings;
use core::slice;
use kernel::ffi::c_void;
use kernel::prelude::*;
use kernel::uaccess::UserSlice;
use popcorn_core::terminal::WindowSize;

use crate::module::Pinned;

/// What the terminal is connected to.
///
/// Both functions run in any context, even in a panic, several at once: they must not wait, and take no
/// lock that others hold for long.
pub trait Line: Send + Sync + 'static {
    /// What was typed: copies it to the start of `to` and returns how many bytes; 0 if there are none.
    fn read(&self, to: &mut [u8]) -> usize;
    /// What is printed: takes it from the start of `from` and returns how many bytes; 0 if there is no
    /// room now.
    fn write(&self, from: &[u8]) -> usize;
}

/// What the C side keeps for good.
struct Forever<L> {
    line: L,
    /// The module that the code of `line` is in.
    _module: Pinned,
}

/// Makes the one terminal that there can be, connected to `line`, whose code is in the module that is
/// pinned. It stays for good, since it cannot be taken from those who have it open. Returns N of
/// `/dev/hvcN`. May sleep.
///
/// # Errors
///
/// `EBUSY`: there is one. `EOPNOTSUPP`: this kernel has no driver for it. `ENOMEM`.
pub fn register<L: Line>(line: L, module: Pinned) -> Result<u32> {
    let forever = Forever {
        line,
        _module: module,
    };
    let data = KBox::into_raw(KBox::new(forever, GFP_KERNEL)?);
    let operations = bindings::pcn_terminal_operations {
        read: Some(read::<L>),
        write: Some(write::<L>),
    };
    // SAFETY: the functions take what `data` points to, which stays for good if this succeeds, and so
    // does the module.
    let index = unsafe { bindings::pcn_terminal_register(&operations, data.cast()) };
    if index < 0 {
        // SAFETY: from into_raw() above; it was not registered, so nobody has it.
        drop(unsafe { KBox::from_raw(data) });
        return Err(Error::from_errno(index));
    }
    Ok(index as u32)
}

/// Something was typed: [`Line::read`] is called soon, if there is a terminal and somebody has it open.
/// Any context but NMI.
pub fn kick() {
    // SAFETY: wakes a thread, if there is a terminal.
    unsafe { bindings::pcn_terminal_kick() };
}

/// The window has this size now; `false` if there is no terminal yet. Any context but NMI.
#[must_use]
pub fn resize(size: WindowSize) -> bool {
    // SAFETY: looks whether there is a terminal, and takes its lock.
    unsafe { bindings::pcn_terminal_resize(size.rows, size.columns, size.width, size.height) }
}

/// # Safety
///
/// `data` points to a `Forever<L>`; `to` to `size` bytes for the callee alone.
unsafe extern "C" fn read<L: Line>(data: *mut c_void, to: *mut u8, size: usize) -> usize {
    // SAFETY: as required of the caller; zeroed first, since they need not be initialised.
    let (forever, to) = unsafe {
        to.write_bytes(0, size);
        (
            &*data.cast::<Forever<L>>(),
            slice::from_raw_parts_mut(to, size),
        )
    };
    forever.line.read(to).min(size)
}

/// # Safety
///
/// `data` points to a `Forever<L>`; `from` to `size` bytes that nobody writes meanwhile.
unsafe extern "C" fn write<L: Line>(data: *mut c_void, from: *const u8, size: usize) -> usize {
    // SAFETY: as required of the caller.
    let (forever, from) = unsafe {
        (
            &*data.cast::<Forever<L>>(),
            slice::from_raw_parts(from, size),
        )
    };
    forever.line.write(from).min(size)
}

/// A call that a user makes on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `TIOCGWINSZ`
    GetWindowSize,
    /// `TIOCSWINSZ`
    SetWindowSize,
    /// `TIOCMGET`
    GetModemLines,
}

impl Call {
    /// By its number; `None` if it is none of these.
    pub fn new(command: u32) -> Option<Self> {
        Some(match command {
            bindings::pcn_terminal_call_PCN_GET_WINDOW_SIZE => Self::GetWindowSize,
            bindings::pcn_terminal_call_PCN_SET_WINDOW_SIZE => Self::SetWindowSize,
            bindings::pcn_terminal_call_PCN_GET_MODEM_LINES => Self::GetModemLines,
            _ => return None,
        })
    }
}

/// Bytes of `struct winsize`.
const WINSIZE: usize = 8;

/// Reads a `struct winsize` at a user's address. May sleep.
///
/// # Errors
///
/// `EFAULT`.
pub fn read_window_size(user: usize) -> Result<WindowSize> {
    let mut bytes = [0; WINSIZE];
    UserSlice::new(user as _, WINSIZE)
        .reader()
        .read_slice(&mut bytes)?;
    let field = |n: usize| u16::from_ne_bytes([bytes[2 * n], bytes[2 * n + 1]]);
    Ok(WindowSize {
        rows: field(0),
        columns: field(1),
        width: field(2),
        height: field(3),
    })
}

/// Writes a `struct winsize` to a user's address. May sleep.
///
/// # Errors
///
/// `EFAULT`.
pub fn write_window_size(user: usize, size: WindowSize) -> Result {
    let mut bytes = [0; WINSIZE];
    let fields = [size.rows, size.columns, size.width, size.height];
    for (bytes, field) in bytes.chunks_exact_mut(2).zip(fields) {
        bytes.copy_from_slice(&field.to_ne_bytes());
    }
    UserSlice::new(user as _, WINSIZE)
        .writer()
        .write_slice(&bytes)
}

/// Writes the answer to [`Call::GetModemLines`]: whether there is somebody at the other end. May sleep.
///
/// # Errors
///
/// `EFAULT`.
pub fn write_modem_lines(user: usize, carrier: bool) -> Result {
    let lines: u32 = if carrier {
        bindings::pcn_modem_line_PCN_CARRIER
    } else {
        0
    };
    UserSlice::new(user as _, 4)
        .writer()
        .write_slice(&lines.to_ne_bytes())
}
