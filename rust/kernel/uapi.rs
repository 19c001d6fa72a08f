// SPDX-License-Identifier: GPL-2.0
//! The structures and calls of `include/uapi/linux/popcorn.h`, and copying them from and to a user
//! by the rule of that header: structures start with their size and can grow.

use kernel::ioctl::_IO;
use kernel::ioctl::_IOC_NR;
use kernel::ioctl::_IOC_TYPE;
use kernel::ioctl::_IOW;
use kernel::ioctl::_IOWR;
use kernel::prelude::*;
use kernel::uaccess::UserSlice;

pub use crate::bindings::popcorn_bench_run;
pub use crate::bindings::popcorn_bench_sample;
pub use crate::bindings::popcorn_migrate;
pub use crate::bindings::popcorn_msg_info;
pub use crate::bindings::popcorn_msg_stats;
pub use crate::bindings::popcorn_node_info;
pub use crate::bindings::popcorn_nodes;
pub use crate::bindings::popcorn_ping;
pub use crate::bindings::popcorn_thread_info;
pub use crate::bindings::popcorn_threads;
pub use crate::bindings::POPCORN_BENCH_ECHO;
pub use crate::bindings::POPCORN_BENCH_ONE_CLOCK;
pub use crate::bindings::POPCORN_BENCH_POLL;
pub use crate::bindings::POPCORN_BENCH_STREAM;
pub use crate::bindings::POPCORN_MIGRATE_ON_EXEC;
pub use crate::bindings::POPCORN_MIGRATE_PROCESS;
pub use crate::bindings::POPCORN_MSG_OTHERS;
pub use crate::bindings::POPCORN_NAME_LEN;
pub use crate::bindings::POPCORN_NODE_ANY;
pub use crate::bindings::POPCORN_NODE_DEAD;
pub use crate::bindings::POPCORN_NODE_MAX;
pub use crate::bindings::POPCORN_NODE_MEMBER;
pub use crate::bindings::POPCORN_NODE_MISSING;
pub use crate::bindings::POPCORN_NODE_OFFLINE;
pub use crate::bindings::POPCORN_NODE_ONLINE;
pub use crate::bindings::POPCORN_NODE_ORIGIN;
pub use crate::bindings::POPCORN_NODE_SELF;
pub use crate::bindings::POPCORN_NODE_SUSPENDED;
pub use crate::bindings::POPCORN_PING_POLL;
pub use crate::bindings::POPCORN_THREAD_AWAY;

const MAGIC: u32 = b'P' as u32;
/// Move a thread.
pub const POPCORN_IOC_MIGRATE: u32 = _IOW::<popcorn_migrate>(MAGIC, 0x81);
/// List the nodes.
pub const POPCORN_IOC_NODES: u32 = _IOWR::<popcorn_nodes>(MAGIC, 0x82);
/// List the distributed threads.
pub const POPCORN_IOC_THREADS: u32 = _IOWR::<popcorn_threads>(MAGIC, 0x83);
/// Where the caller runs.
pub const POPCORN_IOC_WHERE: u32 = _IO(MAGIC, 0x84);
/// Time message round trips.
pub const POPCORN_IOC_PING: u32 = _IOWR::<popcorn_ping>(MAGIC, 0x85);
/// Count messages by node and type.
pub const POPCORN_IOC_MSG_STATS: u32 = _IOWR::<popcorn_msg_stats>(MAGIC, 0x86);

/// Measure messages (`include/uapi/linux/popcorn_bench.h`).
pub const POPCORN_BENCH_IOC_RUN: u32 = _IOWR::<popcorn_bench_run>(MAGIC, 0xb1);

/// Whether an ioctl's number stands for `call`: by type and number alone, for the size of a structure
/// may grow.
pub fn is_call(command: u32, call: u32) -> bool {
    _IOC_TYPE(command) == _IOC_TYPE(call) && _IOC_NR(command) == _IOC_NR(call)
}

/// A structure of the user interface: integers only, without padding.
///
/// # Safety
///
/// Every bit pattern is valid, and there are no padding bytes.
pub unsafe trait Plain: Copy + Default {
    /// Bytes of its first version; none is shorter.
    const FIRST: usize = core::mem::size_of::<Self>();
}

macro_rules! plain {
    ($($name:ident = $size:literal $(since $first:literal)?),* $(,)?) => {$(
        // SAFETY: integers and arrays of integers; that the fields fill the size is checked here
        // by the size that they add up to in the header.
        unsafe impl Plain for $name {
            $(const FIRST: usize = $first;)?
        }
        static_assert!(core::mem::size_of::<$name>() == $size);
    )*};
}
plain! {
    popcorn_bench_run = 80,
    popcorn_bench_sample = 32,
    popcorn_migrate = 16,
    popcorn_msg_info = 2104,
    popcorn_msg_stats = 32,
    popcorn_node_info = 88,
    popcorn_nodes = 24,
    popcorn_thread_info = 120,
    popcorn_threads = 24,
    popcorn_ping = 56 since 48,
}

// SAFETY: an integer.
unsafe impl Plain for u64 {}

fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: T has no padding, so all its bytes are initialised.
    unsafe { core::slice::from_raw_parts((value as *const T).cast(), core::mem::size_of::<T>()) }
}

fn bytes_of_mut<T: Plain>(value: &mut T) -> &mut [u8] {
    // SAFETY: T has no padding and bears any bytes.
    unsafe { core::slice::from_raw_parts_mut((value as *mut T).cast(), core::mem::size_of::<T>()) }
}

/// How much longer than known a user's structure may be.
const SIZE_MAX: usize = 4096;

/// Reads a structure whose first field is its size. May sleep.
///
/// # Errors
///
/// `EFAULT`; `EINVAL`: shorter than it ever was; `E2BIG`: longer than known, and not zeros there.
pub fn read_sized<T: Plain>(user: usize) -> Result<T> {
    let mut size = [0; 4];
    UserSlice::new(user as _, 4)
        .reader()
        .read_slice(&mut size)?;
    let size = u32::from_ne_bytes(size) as usize;
    if size < T::FIRST {
        return Err(EINVAL);
    }
    if size > SIZE_MAX {
        return Err(E2BIG);
    }
    let mut value = T::default();
    let known = size.min(core::mem::size_of::<T>());
    let mut reader = UserSlice::new(user as _, size).reader();
    reader.read_slice(&mut bytes_of_mut(&mut value)[..known])?;
    let mut rest = [0; 64];
    while !reader.is_empty() {
        let part = reader.len().min(rest.len());
        reader.read_slice(&mut rest[..part])?;
        if rest[..part].iter().any(|&byte| byte != 0) {
            return Err(E2BIG);
        }
    }
    // The size was read a second time just now; the first one counts.
    bytes_of_mut(&mut value)[..4].copy_from_slice(&(size as u32).to_ne_bytes());
    Ok(value)
}

/// Writes `value` to a user's structure (or array element) of `size` bytes: what it does not know
/// is left out, what we do not know is left as it is. May sleep.
///
/// # Errors
///
/// `EFAULT`.
pub fn write_sized<T: Plain>(user: usize, size: usize, value: &T) -> Result {
    let known = size.min(core::mem::size_of::<T>());
    UserSlice::new(user as _, known)
        .writer()
        .write_slice(&bytes_of(value)[..known])
}
