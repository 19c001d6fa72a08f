// SPDX-License-Identifier: GPL-2.0
//! The structures and calls of `include/uapi/linux/popcorn_boot.h`.

use crate::uapi::Plain;
use kernel::ioctl::_IOW;
use kernel::prelude::*;

pub use crate::bindings::popcorn_boot_attach;
pub use crate::bindings::POPCORN_BOOT_CORE;
pub use crate::bindings::POPCORN_BOOT_LOG;
pub use crate::bindings::POPCORN_BOOT_NAME_SIZE;
pub use crate::bindings::POPCORN_BOOT_TERMINAL;

const MAGIC: u32 = b'P' as u32;
/// Bind an open file to a kernel.
pub const POPCORN_BOOT_IOC_ATTACH: u32 = _IOW::<popcorn_boot_attach>(MAGIC, 0xa1);

// SAFETY: integers only; that they fill the size is checked here by the size that they add up to in the
// header.
unsafe impl Plain for popcorn_boot_attach {}
static_assert!(core::mem::size_of::<popcorn_boot_attach>() == 72);
