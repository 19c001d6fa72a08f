// SPDX-License-Identifier: GPL-2.0
//! Memory in whole pages that can be sent without a copy.
//!
//! C code: `helpers/socket.c`.

use crate::bindings;
use core::ops::Deref;
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::AtomicBool;
#[cfg(CONFIG_KUNIT)]
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering;
use kernel::ffi::c_void;
use kernel::prelude::*;

/// The most bytes of a [`PageBuffer`]: more in one piece is hard to get.
pub const SIZE_MAX: usize = 1 << 20;

/// How many buffers there are. Neither kmemleak nor the counters of slabs know of pages, so kernels with tests count them.
#[cfg(CONFIG_KUNIT)]
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// How many buffers there are; 0 in a kernel without tests, which does not count them.
pub fn live() -> usize {
    #[cfg(CONFIG_KUNIT)]
    return LIVE.load(Ordering::Relaxed);
    #[cfg(not(CONFIG_KUNIT))]
    0
}

/// Pages in one piece, zeroed at first; it dereferences to their bytes.
///
/// A socket that they are [sent on](crate::socket::Socket::try_send_pages) refers to them until the peer has
/// acknowledged them. Dropping the buffer meanwhile gives up only this side's hold: they go when the socket is done.
///
/// # Invariants
///
/// `data` points to `size` bytes from `pcn_pages_new`, of which we hold one reference each. They are written only by
/// [`PageBuffer::writable`].
pub struct PageBuffer {
    data: NonNull<c_void>,
    size: usize,
    /// Somebody else may refer to them.
    is_lent: AtomicBool,
}

// SAFETY: it owns its bytes, and who refers to them otherwise only reads.
unsafe impl Send for PageBuffer {}
// SAFETY: a shared reference only reads.
unsafe impl Sync for PageBuffer {}

impl PageBuffer {
    /// At least `size` bytes, in whole pages. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`: 0, or more than [`SIZE_MAX`]. `ENOMEM`.
    pub fn new(size: usize) -> Result<Self> {
        if size == 0 || size > SIZE_MAX {
            return Err(EINVAL);
        }
        let size = size.next_multiple_of(kernel::page::PAGE_SIZE);
        // SAFETY: no requirement.
        let data = unsafe { bindings::pcn_pages_new(size) };
        let data = NonNull::new(data).ok_or(ENOMEM)?;
        #[cfg(CONFIG_KUNIT)]
        LIVE.fetch_add(1, Ordering::Relaxed);
        // INVARIANT: just allocated.
        Ok(Self {
            data,
            size,
            is_lent: AtomicBool::new(false),
        })
    }

    /// The bytes, to write them; `None` while a socket refers to some of them. That can be long: packets that are done
    /// with lie around on a processor until it has to do with the next ones. Who has no time takes another buffer.
    pub fn writable(&mut self) -> Option<&mut [u8]> {
        if *self.is_lent.get_mut() {
            // SAFETY: valid by the invariant. Whoever has no reference cannot get one: for that it takes `&self`, or a
            // socket that has one.
            if !unsafe { bindings::pcn_pages_are_ours(self.data.as_ptr(), self.size) } {
                return None;
            }
            *self.is_lent.get_mut() = false;
        }
        // SAFETY: valid by the invariant, initialised, and ours alone: no socket has them, and we have `&mut self`.
        Some(unsafe { slice::from_raw_parts_mut(self.data.as_ptr().cast(), self.size) })
    }

    /// Somebody else is about to refer to them.
    pub(crate) fn lend(&self) {
        self.is_lent.store(true, Ordering::Relaxed);
    }
}

impl Deref for PageBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: valid by the invariant, initialised, and nobody writes to them without `&mut self`.
        unsafe { slice::from_raw_parts(self.data.as_ptr().cast(), self.size) }
    }
}

impl Drop for PageBuffer {
    fn drop(&mut self) {
        #[cfg(CONFIG_KUNIT)]
        LIVE.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: from pcn_pages_new() by the invariant; drops our references.
        unsafe { bindings::pcn_pages_free(self.data.as_ptr(), self.size) };
    }
}
