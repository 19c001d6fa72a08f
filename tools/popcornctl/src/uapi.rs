// SPDX-License-Identifier: GPL-2.0
//! The structures and constants of `include/uapi/linux/popcorn.h` and `popcorn_boot.h`.
//!
//! Plain data, laid out as C does; the headers say what each field means. Sizes are checked when this
//! is compiled; the ioctl numbers carry them too, so a mistake cannot pass unnoticed.

use std::mem::size_of;

/// Length of names, with the zero that ends a shorter one.
pub(crate) const NAME_LEN: usize = 16;
/// `Migrate::node`: where the process was created.
pub(crate) const NODE_ORIGIN: i32 = -1;
/// `Migrate::flags`: after the next successful execve.
pub(crate) const MIGRATE_ON_EXEC: u32 = 1 << 0;
/// `Migrate::flags`: every thread of the process.
pub(crate) const MIGRATE_PROCESS: u32 = 1 << 1;
/// `NodeInfo::state`: not there.
pub(crate) const NODE_OFFLINE: u32 = 0;
/// `NodeInfo::state`: takes threads.
pub(crate) const NODE_ONLINE: u32 = 1;
/// `NodeInfo::state`: has failed.
pub(crate) const NODE_DEAD: u32 = 2;
/// `NodeInfo::flags`: the kernel that answers.
pub(crate) const NODE_SELF: u32 = 1 << 0;
/// `ThreadInfo::flags`: it runs on another node than its origin.
pub(crate) const THREAD_AWAY: u32 = 1 << 0;
/// `Ping::flags`: spin for each answer.
pub(crate) const PING_POLL: u32 = 1 << 0;
/// `BootKill::flags`: bring the processor online here again.
pub(crate) const BOOT_KILL_RELEASE: u32 = 1 << 0;
/// `BootStatus::cpu`: none is lent.
pub(crate) const BOOT_NO_CPU: u32 = u32::MAX;

/// The size of a structure as its first field holds it.
const fn size<T>() -> u32 {
    size_of::<T>() as u32
}

/// `struct popcorn_migrate`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Migrate {
    pub(crate) size: u32,
    pub(crate) node: i32,
    pub(crate) tid: i32,
    pub(crate) flags: u32,
}

impl Migrate {
    pub(crate) const fn new(node: i32, tid: i32, flags: u32) -> Self {
        Self {
            size: size::<Self>(),
            node,
            tid,
            flags,
        }
    }
}

/// `struct popcorn_node_info`
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NodeInfo {
    pub(crate) id: u32,
    pub(crate) state: u32,
    pub(crate) cpus: u32,
    pub(crate) flags: u32,
    pub(crate) memory: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) doorbells: u64,
    pub(crate) reserved: u64,
    pub(crate) name: [u8; NAME_LEN],
}

/// `struct popcorn_nodes`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nodes {
    pub(crate) size: u32,
    pub(crate) count: u32,
    pub(crate) nodes: u64,
    info_size: u32,
    pub(crate) reserved: u32,
}

impl Nodes {
    pub(crate) const fn new(nodes: u64, count: u32) -> Self {
        Self {
            size: size::<Self>(),
            count,
            nodes,
            info_size: size::<NodeInfo>(),
            reserved: 0,
        }
    }
}

/// `struct popcorn_thread_info`
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ThreadInfo {
    pub(crate) pid: i32,
    pub(crate) tid: i32,
    pub(crate) node: u32,
    pub(crate) flags: u32,
    pub(crate) out: u64,
    pub(crate) back: u64,
    pub(crate) bounces: u64,
    pub(crate) syscalls: u64,
    pub(crate) pages_out: u64,
    pub(crate) pages_back: u64,
    pub(crate) grants: u64,
    pub(crate) out_ns_first: u64,
    pub(crate) out_ns_last: u64,
    pub(crate) back_ns_last: u64,
    pub(crate) reserved: u64,
    pub(crate) comm: [u8; NAME_LEN],
}

/// `struct popcorn_threads`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Threads {
    pub(crate) size: u32,
    pub(crate) count: u32,
    pub(crate) threads: u64,
    info_size: u32,
    pub(crate) pid: i32,
}

impl Threads {
    pub(crate) const fn new(threads: u64, count: u32, pid: i32) -> Self {
        Self {
            size: size::<Self>(),
            count,
            threads,
            info_size: size::<ThreadInfo>(),
            pid,
        }
    }
}

/// `struct popcorn_ping`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ping {
    pub(crate) size: u32,
    pub(crate) node: u32,
    pub(crate) bytes: u32,
    pub(crate) count: u32,
    pub(crate) flags: u32,
    pub(crate) reserved: u32,
    pub(crate) total_ns: u64,
    pub(crate) min_ns: u64,
    pub(crate) max_ns: u64,
}

impl Ping {
    pub(crate) const fn new(node: u32, bytes: u32, count: u32, flags: u32) -> Self {
        let size = size::<Self>();
        Self {
            size,
            node,
            bytes,
            count,
            flags,
            reserved: 0,
            total_ns: 0,
            min_ns: 0,
            max_ns: 0,
        }
    }
}

/// `struct popcorn_boot_start`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct BootStart {
    pub(crate) size: u32,
    pub(crate) cpu: u32,
    pub(crate) kernel_fd: i32,
    pub(crate) initrd_fd: i32,
    pub(crate) cmdline: u64,
    pub(crate) cmdline_len: u32,
    flags: u32,
}

impl BootStart {
    pub(crate) const fn new(
        cpu: u32,
        kernel_fd: i32,
        initrd_fd: i32,
        cmdline: u64,
        cmdline_len: u32,
    ) -> Self {
        let size = size::<Self>();
        Self {
            size,
            cpu,
            kernel_fd,
            initrd_fd,
            cmdline,
            cmdline_len,
            flags: 0,
        }
    }
}

/// `struct popcorn_boot_kill`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct BootKill {
    pub(crate) size: u32,
    pub(crate) flags: u32,
}

impl BootKill {
    pub(crate) const fn new(flags: u32) -> Self {
        Self {
            size: size::<Self>(),
            flags,
        }
    }
}

/// `struct popcorn_boot_status`
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BootStatus {
    pub(crate) size: u32,
    pub(crate) state: u32,
    pub(crate) report: u32,
    pub(crate) cpu: u32,
    pub(crate) hardware_id: u32,
    pub(crate) node: u32,
    pub(crate) starts: u32,
    pub(crate) reserved: u32,
    pub(crate) memory_base: u64,
    pub(crate) memory_size: u64,
    pub(crate) window_base: u64,
    pub(crate) window_size: u64,
    pub(crate) started_ns: u64,
    pub(crate) boot_ns: u64,
}

impl BootStatus {
    pub(crate) fn new() -> Self {
        Self {
            size: size::<Self>(),
            ..Self::default()
        }
    }
}

const _: () = {
    assert!(size_of::<Migrate>() == 16);
    assert!(size_of::<NodeInfo>() == 88);
    assert!(size_of::<Nodes>() == 24);
    assert!(size_of::<ThreadInfo>() == 120);
    assert!(size_of::<Threads>() == 24);
    assert!(size_of::<Ping>() == 48);
    assert!(size_of::<BootStart>() == 32);
    assert!(size_of::<BootKill>() == 8);
    assert!(size_of::<BootStatus>() == 80);
};

/// A name of fixed length, which ends at its first zero, as text.
pub(crate) fn name(bytes: &[u8; NAME_LEN]) -> String {
    let length = bytes.iter().position(|&byte| byte == 0).unwrap_or(NAME_LEN);
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_at_the_zero_or_the_end() {
        assert_eq!(name(b"node1\0garbage\0\0\0"), "node1");
        assert_eq!(name(b"0123456789abcdef"), "0123456789abcdef");
        assert_eq!(name(&[0; NAME_LEN]), "");
        assert_eq!(name(&[0xff; NAME_LEN]).chars().count(), NAME_LEN);
    }

    #[test]
    fn structures_carry_their_size() {
        assert_eq!(Migrate::new(1, 2, 3).size, 16);
        assert_eq!(Nodes::new(0, 0).info_size, 88);
        assert_eq!(Threads::new(0, 0, 0).info_size, 120);
        assert_eq!(BootStatus::new().size, 80);
    }
}
