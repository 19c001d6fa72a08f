// SPDX-License-Identifier: GPL-2.0
//! A whole file of a user's, read into memory, as a kernel or its initramfs.
//!
//! The security modules see the read as one of a kernel image, as for `kexec_file_load`.
//!
//! C header: `include/linux/kernel_read_file.h`.

use crate::bindings;
use core::ops::Deref;
use core::ptr::null_mut;
use core::ptr::NonNull;
use core::slice;
use kernel::error::to_result;
use kernel::ffi::c_void;
use kernel::prelude::*;

/// What the file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A kernel.
    Kernel,
    /// An initramfs.
    Initrd,
}

/// The contents; it dereferences to the bytes.
///
/// # Invariants
///
/// `data` points to `size` bytes from `pcn_file_read`, which nobody else has.
pub struct FileContents {
    data: NonNull<u8>,
    size: usize,
}

// SAFETY: it owns its bytes.
unsafe impl Send for FileContents {}
// SAFETY: a shared reference only reads.
unsafe impl Sync for FileContents {}

impl FileContents {
    /// Reads the file at `path`, as the current task sees it, of at most `max` bytes. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOENT`, `EFBIG`, `ENOMEM`; `EINVAL`: it is empty or no ordinary file; what security modules and
    /// the file system say.
    pub fn read(path: &CStr, max: usize, purpose: Purpose) -> Result<Self> {
        let mut data: *mut c_void = null_mut();
        let mut size = 0;
        let kernel = purpose == Purpose::Kernel;
        // SAFETY: `path` is a string; writes to the two variables, which live.
        to_result(unsafe {
            bindings::pcn_file_read(path.as_char_ptr(), max, kernel, &mut data, &mut size)
        })?;
        // INVARIANT: just read.
        Ok(Self {
            data: NonNull::new(data.cast()).ok_or(EINVAL)?,
            size,
        })
    }
}

impl Deref for FileContents {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: valid by the invariant, and nobody writes to it.
        unsafe { slice::from_raw_parts(self.data.as_ptr(), self.size) }
    }
}

impl Drop for FileContents {
    fn drop(&mut self) {
        // SAFETY: from pcn_file_read() by the invariant.
        unsafe { bindings::pcn_file_free(self.data.as_ptr().cast()) };
    }
}
