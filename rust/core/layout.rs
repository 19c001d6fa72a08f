// SPDX-License-Identifier: GPL-2.0
//! System calls that change what is mapped, or what is in it, behind the directory's back.
//!
//! Before one of these runs at the origin of a distributed process, the pages in the ranges that
//! [`affected`] names must be home, and no other node may have them mapped. Calls that only add a
//! mapping where nothing was need no preparation: other nodes ask about it when they touch it.

use crate::interval::Interval;
use crate::proto::PAGE_SIZE;

/// Numbers of x86-64.
pub mod number {
    #![allow(missing_docs)]
    pub const MMAP: u64 = 9;
    pub const MPROTECT: u64 = 10;
    pub const MUNMAP: u64 = 11;
    pub const BRK: u64 = 12;
    pub const MREMAP: u64 = 25;
    pub const MADVISE: u64 = 28;
    pub const SHMAT: u64 = 30;
    pub const REMAP_FILE_PAGES: u64 = 216;
    pub const PKEY_MPROTECT: u64 = 329;
}

const MAP_FIXED: u64 = 0x10;
const MREMAP_FIXED: u64 = 2;
const MREMAP_DONTUNMAP: u64 = 4;
const SHM_REMAP: u64 = 0o40000;
/// Advice that changes what the pages hold, or how.
const MADV_DONTNEED: u64 = 4;
const MADV_FREE: u64 = 8;
const MADV_REMOVE: u64 = 9;
const MADV_MERGEABLE: u64 = 12;
const MADV_DONTNEED_LOCKED: u64 = 24;
const MADV_COLLAPSE: u64 = 25;

/// The end of user addresses with four-level page tables and five.
const ADDRESS_END: u64 = 1 << 56;

/// The whole pages of `length` bytes from `start`; `None` if there are none, or none that exist:
/// the call itself will say so.
fn pages(start: u64, length: u64) -> Option<Interval> {
    let mask = PAGE_SIZE as u64 - 1;
    let end = start.checked_add(length)?.checked_add(mask)? & !mask;
    let start = start & !mask;
    Interval::new(start, end.min(ADDRESS_END))
}

/// The ranges that system call `number` with these arguments may change, `brk` being the end of the
/// heap now.
pub fn affected(number: u64, arguments: &[u64; 6], brk: u64) -> [Option<Interval>; 2] {
    let [a, b, c, d, e, _] = *arguments;
    match number {
        number::MUNMAP | number::MPROTECT | number::PKEY_MPROTECT | number::REMAP_FILE_PAGES => {
            [pages(a, b), None]
        }
        number::MMAP if d & MAP_FIXED != 0 => [pages(a, b), None],
        number::BRK if a != 0 && a < brk => [pages(a, brk - a), None],
        number::MREMAP => {
            let old = pages(a, b.max(c));
            if d & (MREMAP_FIXED | MREMAP_DONTUNMAP) == 0 {
                return [old, None];
            }
            match (old, pages(e, c)) {
                // Not allowed by the call; but two overlapping ranges cannot be frozen at once.
                (Some(old), Some(new)) if old.overlaps(new) => {
                    let start = old.start().min(new.start());
                    let end = old.end().max(new.end());
                    [Interval::new(start, end), None]
                }
                ranges => ranges.into(),
            }
        }
        number::MADVISE
            if matches!(
                c,
                MADV_DONTNEED
                    | MADV_FREE
                    | MADV_REMOVE
                    | MADV_MERGEABLE
                    | MADV_DONTNEED_LOCKED
                    | MADV_COLLAPSE
            ) =>
        {
            [pages(a, b), None]
        }
        // How long the segment is, only the call knows.
        number::SHMAT if c & SHM_REMAP != 0 => [Interval::new(0, ADDRESS_END), None],
        _ => [None, None],
    }
}

/// All addresses.
pub fn everything() -> Option<Interval> {
    Interval::new(0, ADDRESS_END)
}
