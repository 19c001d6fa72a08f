// SPDX-License-Identifier: GPL-2.0
//! The structures and constants of `include/uapi/linux/popcorn.h` and `popcorn_boot.h`.
//!
//! Plain data, laid out as C does; the headers say what each field means. Sizes are checked when this
//! is compiled; the ioctl numbers carry them too, so a mistake cannot pass unnoticed.

use popcorn_core::stats::histogram::BUCKETS;
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
/// `NodeInfo::flags`: its machine is in the list that machines agree on.
pub(crate) const NODE_MEMBER: u32 = 1 << 1;
/// `NodeInfo::flags`: it is silent, and the machines have yet to decide what that means.
pub(crate) const NODE_MISSING: u32 = 1 << 2;
/// `NodeInfo::flags`: the kernel that answers does not serve other machines now.
pub(crate) const NODE_SUSPENDED: u32 = 1 << 3;
/// `MsgStats::node`: of all nodes.
pub(crate) const NODE_ANY: i32 = -1;
/// `MsgInfo::kind`: all types together for which there was no room of their own.
pub(crate) const MSG_OTHERS: u32 = 0x10000;
/// `ThreadInfo::flags`: it runs on another node than its origin.
pub(crate) const THREAD_AWAY: u32 = 1 << 0;
/// `Ping::flags`: spin for each answer.
pub(crate) const PING_POLL: u32 = 1 << 0;
/// `BootAttach::what`: the console log.
pub(crate) const BOOT_LOG: u32 = 1;
/// `BootAttach::what`: the memory, as a core.
pub(crate) const BOOT_CORE: u32 = 2;
/// `BootAttach::what`: the terminal.
pub(crate) const BOOT_TERMINAL: u32 = 3;
/// Room for a kernel's name, with the zero behind it.
pub(crate) const BOOT_NAME_SIZE: usize = 64;

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
    pub(crate) samples: u64,
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
            samples: 0,
        }
    }
}

/// `struct popcorn_msg_info`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct MsgInfo {
    pub(crate) node: u32,
    pub(crate) kind: u32,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) stalls: u64,
    pub(crate) stall_ns: u64,
    pub(crate) full: u64,
    pub(crate) retries: u64,
    pub(crate) lost: u64,
    pub(crate) late: u64,
    pub(crate) calls: u64,
    pub(crate) errors: u64,
    pub(crate) timed_out: u64,
    pub(crate) interrupted: u64,
    pub(crate) host_down: u64,
    pub(crate) failed: u64,
    pub(crate) latency_ns: u64,
    pub(crate) latency_min_ns: u64,
    pub(crate) latency_max_ns: u64,
    pub(crate) reserved: [u64; 3],
    pub(crate) latency: [u64; BUCKETS],
}

impl Default for MsgInfo {
    fn default() -> Self {
        Self {
            node: 0,
            kind: 0,
            sent: 0,
            received: 0,
            sent_bytes: 0,
            received_bytes: 0,
            stalls: 0,
            stall_ns: 0,
            full: 0,
            retries: 0,
            lost: 0,
            late: 0,
            calls: 0,
            errors: 0,
            timed_out: 0,
            interrupted: 0,
            host_down: 0,
            failed: 0,
            latency_ns: 0,
            latency_min_ns: 0,
            latency_max_ns: 0,
            reserved: [0; 3],
            latency: [0; BUCKETS],
        }
    }
}

/// `struct popcorn_msg_stats`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct MsgStats {
    pub(crate) size: u32,
    pub(crate) count: u32,
    pub(crate) stats: u64,
    info_size: u32,
    pub(crate) node: i32,
    pub(crate) reserved: u64,
}

impl MsgStats {
    pub(crate) const fn new(stats: u64, count: u32, node: i32) -> Self {
        Self {
            size: size::<Self>(),
            count,
            stats,
            info_size: size::<MsgInfo>(),
            node,
            reserved: 0,
        }
    }
}

/// `struct popcorn_boot_attach`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct BootAttach {
    pub(crate) size: u32,
    pub(crate) what: u32,
    name: [u8; BOOT_NAME_SIZE],
}

impl BootAttach {
    /// `None`: the name is too long for one.
    pub(crate) fn new(what: u32, name: &str) -> Option<Self> {
        let mut bytes = [0; BOOT_NAME_SIZE];
        // A zero must follow.
        let room = bytes
            .get_mut(..name.len())
            .filter(|room| room.len() < BOOT_NAME_SIZE)?;
        room.copy_from_slice(name.as_bytes());
        Some(Self {
            size: size::<Self>(),
            what,
            name: bytes,
        })
    }
}

const _: () = {
    assert!(size_of::<Migrate>() == 16);
    assert!(size_of::<NodeInfo>() == 88);
    assert!(size_of::<Nodes>() == 24);
    assert!(size_of::<ThreadInfo>() == 120);
    assert!(size_of::<Threads>() == 24);
    assert!(size_of::<Ping>() == 56);
    assert!(size_of::<MsgInfo>() == 2104);
    assert!(size_of::<MsgStats>() == 32);
    assert!(size_of::<BootAttach>() == 72);
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
        assert_eq!(MsgStats::new(0, 0, NODE_ANY).info_size, 2104);
        assert_eq!(BootAttach::new(1, "").unwrap().size, 72);
    }

    #[test]
    fn a_kernels_name_ends_with_a_zero() {
        let longest = "x".repeat(63);
        let attach = BootAttach::new(BOOT_LOG, &longest).unwrap();
        assert_eq!(&attach.name[..63], longest.as_bytes());
        assert_eq!(attach.name[63], 0);
        assert!(BootAttach::new(BOOT_LOG, &"x".repeat(64)).is_none());
        assert!(BootAttach::new(BOOT_LOG, &"x".repeat(100)).is_none());
    }
}
