// SPDX-License-Identifier: GPL-2.0
//! The structures and calls of `include/uapi/linux/popcorn_boot.h`.

use crate::uapi::Plain;
use kernel::ioctl::_IOW;
use kernel::ioctl::_IOWR;
use kernel::prelude::*;

pub use crate::bindings::popcorn_boot_kill;
pub use crate::bindings::popcorn_boot_start;
pub use crate::bindings::popcorn_boot_status;
pub use crate::bindings::POPCORN_BOOT_CMDLINE_MAX;
pub use crate::bindings::POPCORN_BOOT_EMPTY;
pub use crate::bindings::POPCORN_BOOT_GARBLED;
pub use crate::bindings::POPCORN_BOOT_KILL_RELEASE;
pub use crate::bindings::POPCORN_BOOT_LOADED;
pub use crate::bindings::POPCORN_BOOT_NO_CPU;
pub use crate::bindings::POPCORN_BOOT_RUNNING;
pub use crate::bindings::POPCORN_BOOT_STOPPED;

const MAGIC: u32 = b'P' as u32;
/// Start the second kernel.
pub const POPCORN_BOOT_IOC_START: u32 = _IOW::<popcorn_boot_start>(MAGIC, 0xa1);
/// Stop it.
pub const POPCORN_BOOT_IOC_KILL: u32 = _IOW::<popcorn_boot_kill>(MAGIC, 0xa2);
/// How it fares.
pub const POPCORN_BOOT_IOC_STATUS: u32 = _IOWR::<popcorn_boot_status>(MAGIC, 0xa3);

macro_rules! plain {
    ($($name:ident = $size:literal),* $(,)?) => {$(
        // SAFETY: integers only; that they fill the size is checked here by the size that they add up
        // to in the header.
        unsafe impl Plain for $name {}
        static_assert!(core::mem::size_of::<$name>() == $size);
    )*};
}
plain! {
    popcorn_boot_start = 32,
    popcorn_boot_kill = 8,
    popcorn_boot_status = 80,
}
