// SPDX-License-Identifier: GPL-2.0

//! Where everything lies in the memory that a secondary kernel is given.
//!
//! ```text
//! low slice (below 1 MiB)              partition
//!   +0      trampoline                   +0      loader: zero page, command line, ACPI tables,
//!   +4 KiB  decoy I/O APIC                       status page, seed, page tables     not RAM
//!   +8 KiB  top page table               +2 MiB  console log, +3 MiB terminal       not RAM
//!   +12 KiB RAM of the secondary         +4 MiB  message window                     not RAM
//!                                        +8 MiB  RAM of the secondary
//!                                        +16 MiB kernel
//!                                        end     initramfs
//! ```
//!
//! A partition may have further ranges, which are RAM and nothing else: where a machine has run for a
//! while, its free memory is seldom in one piece.
//!
//! What is "not RAM" is left out of the secondary's own memory, since the primary reads and writes it
//! while the secondary runs. The low slice is needed since a processor starts in real mode, and since
//! a kernel without RAM below 1 MiB has no place for its own trampoline and panics.

use crate::bootparams::{Extent, Kernel, MemoryEntry, MemoryKind};
use crate::sort;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const PAGE: u64 = 4 * KIB;

/// What a partition's address and size must be multiples of.
pub const PARTITION_ALIGN: u64 = 2 * MIB;
/// The smallest partition in which a kernel gets to its first process.
pub const PARTITION_MIN: u64 = 64 * MIB;
/// The largest: the page tables of more do not fit the loader's zone.
pub const PARTITION_MAX: u64 = 256 << 30;
/// Most ranges of memory, without the low slice.
pub const RANGES_MAX: usize = 16;
/// Most processors of one secondary.
pub const CPUS_MAX: usize = 64;
/// Entries of the memory map for the low slice and the first range.
const FIRST_ENTRIES: usize = 6;
/// The smallest low slice: three pages for the loader, the rest for the secondary's own trampoline,
/// which takes about 24 KiB.
pub const LOW_MIN: u64 = 48 * KIB;
/// What is taken if nobody says otherwise.
pub const LOW_SIZE: u64 = 64 * KIB;
/// Below this the kernel never allocates, lest it meets the BIOS's data.
const LOW_START_MIN: u64 = 64 * KIB;
/// Here the legacy video memory starts.
const LOW_END_MAX: u64 = 640 * KIB;

const TRAMPOLINE: u64 = 0;
const DECOY_IO_APIC: u64 = PAGE;
const TOP_TABLE: u64 = 2 * PAGE;
const LOW_RAM: u64 = 3 * PAGE;

const ZERO_PAGE: u64 = 0;
const COMMAND_LINE: u64 = 4 * KIB;
const ACPI: u64 = 8 * KIB;
const STATUS: u64 = 24 * KIB;
const SEED: u64 = 28 * KIB;
const PAGE_TABLES: u64 = 64 * KIB;
const CONSOLE: u64 = 2 * MIB;
const CONSOLE_SIZE: u64 = MIB;
const TERMINAL: u64 = 3 * MIB;
const TERMINAL_SIZE: u64 = 64 * KIB;
const WINDOW: u64 = 4 * MIB;
const WINDOW_SIZE: u64 = 4 * MIB;
const RAM: u64 = 8 * MIB;
const KERNEL: u64 = 16 * MIB;

/// Why memory cannot be a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionError {
    /// A range that is misaligned, empty, overlaps another or runs past the end of the address space.
    Address,
    /// The first range is smaller than [`PARTITION_MIN`], or all together are larger than
    /// [`PARTITION_MAX`].
    Size,
    /// More ranges than [`RANGES_MAX`].
    Count,
    /// The low slice is misaligned, too small, or not between 64 KiB and 640 KiB.
    Low,
}

/// Why a kernel does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceError {
    /// The partition is too small for kernel and initramfs.
    TooBig,
    /// The partition is above 4 GiB and the kernel must be below.
    Above4G,
}

/// The memory of one secondary kernel.
///
/// # Invariants
///
/// `memory` is aligned to [`PARTITION_ALIGN`], between [`PARTITION_MIN`] and [`PARTITION_MAX`] and
/// within the 52 bits of a physical address; so is each of the first `count` of `more`, of any size.
/// No two of them overlap. `low` is page-aligned, at least [`LOW_MIN`], and between 64 KiB and 640 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    memory: Extent,
    low: Extent,
    more: [Extent; RANGES_MAX - 1],
    count: usize,
}

/// The memory map of a secondary: at most [`RANGES_MAX`] ranges, and what [`Partition::memory_map`]
/// makes of the first and of the low slice.
#[derive(Clone, Copy, Debug)]
pub struct MemoryMap {
    entries: [MemoryEntry; FIRST_ENTRIES + RANGES_MAX - 1],
    count: usize,
}

impl core::ops::Deref for MemoryMap {
    type Target = [MemoryEntry];

    fn deref(&self) -> &[MemoryEntry] {
        self.entries.get(..self.count).unwrap_or(&[])
    }
}

/// Where kernel and initramfs go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Load address of the kernel's code, and all that it uses at first.
    pub kernel: Extent,
    /// The initramfs; `None` if there is none.
    pub initrd: Option<Extent>,
}

impl Partition {
    /// Checks the ranges: `memory`, of which the first holds the kernel, and the low slice.
    ///
    /// # Errors
    ///
    /// See [`PartitionError`].
    pub fn new(memory: &[Extent], low: Extent) -> Result<Self, PartitionError> {
        let (&first, others) = memory.split_first().ok_or(PartitionError::Size)?;
        if others.len() >= RANGES_MAX {
            return Err(PartitionError::Count);
        }
        for (index, range) in memory.iter().enumerate() {
            check_range(*range)?;
            let overlaps = |other: &Extent| {
                other.start < range.start + range.size && range.start < other.start + other.size
            };
            if memory[..index].iter().any(overlaps) {
                return Err(PartitionError::Address);
            }
        }
        let total = memory
            .iter()
            .fold(0u64, |sum, each| sum.saturating_add(each.size));
        if first.size < PARTITION_MIN || total > PARTITION_MAX {
            return Err(PartitionError::Size);
        }
        let low_end = low.end().ok_or(PartitionError::Low)?;
        if low.start % PAGE != 0
            || low.size % PAGE != 0
            || low.size < LOW_MIN
            || low.start < LOW_START_MIN
            || low_end > LOW_END_MAX
        {
            return Err(PartitionError::Low);
        }
        let mut more = [Extent::new(0, 0); RANGES_MAX - 1];
        more[..others.len()].copy_from_slice(others);
        // INVARIANT: all checked above.
        Ok(Self {
            memory: first,
            low,
            more,
            count: others.len(),
        })
    }

    /// The first range, which holds all that the loader writes.
    pub fn memory(&self) -> Extent {
        self.memory
    }

    /// The other ranges.
    pub fn more(&self) -> &[Extent] {
        self.more.get(..self.count).unwrap_or(&[])
    }

    /// The low slice.
    pub fn low(&self) -> Extent {
        self.low
    }

    /// What of the low slice is the secondary's RAM: it puts its own trampoline there, and in Linux nothing
    /// else.
    pub fn low_ram(&self) -> Extent {
        Extent::new(self.low.start + LOW_RAM, self.low.size - LOW_RAM)
    }

    /// What of the partition the primary goes on using while the secondary runs.
    pub fn shared(&self) -> Extent {
        Extent::new(self.memory.start, RAM)
    }

    /// The page that the processor starts in.
    pub fn trampoline(&self) -> Extent {
        Extent::new(self.low.start + TRAMPOLINE, PAGE)
    }

    /// The page of ones.
    pub fn decoy_io_apic(&self) -> Extent {
        Extent::new(self.low.start + DECOY_IO_APIC, PAGE)
    }

    /// The topmost page table: below 4 GiB, since the trampoline loads it with 32-bit code.
    pub fn top_table(&self) -> Extent {
        Extent::new(self.low.start + TOP_TABLE, PAGE)
    }

    /// The zero page.
    pub fn zero_page(&self) -> Extent {
        Extent::new(self.memory.start + ZERO_PAGE, PAGE)
    }

    /// Room for the command line and its closing zero.
    pub fn command_line(&self) -> Extent {
        Extent::new(self.memory.start + COMMAND_LINE, ACPI - COMMAND_LINE)
    }

    /// Room for the ACPI tables.
    pub fn acpi(&self) -> Extent {
        Extent::new(self.memory.start + ACPI, STATUS - ACPI)
    }

    /// The page in which the secondary tells how it fares.
    pub fn status(&self) -> Extent {
        Extent::new(self.memory.start + STATUS, PAGE)
    }

    /// Room for the seed of its random numbers.
    pub fn seed(&self) -> Extent {
        Extent::new(self.memory.start + SEED, PAGE)
    }

    /// Room for the page tables below the topmost.
    pub fn page_tables(&self) -> Extent {
        Extent::new(self.memory.start + PAGE_TABLES, CONSOLE - PAGE_TABLES)
    }

    /// The console log.
    pub fn console(&self) -> Extent {
        Extent::new(self.memory.start + CONSOLE, CONSOLE_SIZE)
    }

    /// The terminal.
    pub fn terminal(&self) -> Extent {
        Extent::new(self.memory.start + TERMINAL, TERMINAL_SIZE)
    }

    /// The message window.
    pub fn window(&self) -> Extent {
        Extent::new(self.memory.start + WINDOW, WINDOW_SIZE)
    }

    /// The memory map of the secondary: nothing but what it owns, ascending.
    pub fn memory_map(&self) -> MemoryMap {
        let entry = |start, end, kind| MemoryEntry {
            extent: Extent::new(start, end - start),
            kind,
        };
        let (low, base) = (self.low.start, self.memory.start);
        let low_ram = self.low_ram().start;
        let first = [
            entry(low, low_ram, MemoryKind::Reserved),
            entry(low_ram, low + self.low.size, MemoryKind::Ram),
            entry(base, base + ACPI, MemoryKind::Reserved),
            entry(base + ACPI, base + STATUS, MemoryKind::Acpi),
            entry(base + STATUS, base + RAM, MemoryKind::Reserved),
            entry(base + RAM, base + self.memory.size, MemoryKind::Ram),
        ];
        let mut map = MemoryMap {
            entries: [first[0]; FIRST_ENTRIES + RANGES_MAX - 1],
            count: FIRST_ENTRIES + self.count,
        };
        map.entries[..FIRST_ENTRIES].copy_from_slice(&first);
        for (to, range) in map.entries[FIRST_ENTRIES..].iter_mut().zip(self.more()) {
            *to = entry(range.start, range.start + range.size, MemoryKind::Ram);
        }
        sort::by_key(&mut map.entries[..map.count], |entry| entry.extent.start);
        map
    }

    /// Finds places for `kernel` and an initramfs of `initrd_size` bytes.
    ///
    /// # Errors
    ///
    /// See [`PlaceError`].
    pub fn place(&self, kernel: &Kernel<'_>, initrd_size: u64) -> Result<Placement, PlaceError> {
        let end = self.memory.start + self.memory.size;
        if end > 1 << 32 && !kernel.loadable_above_4g() {
            return Err(PlaceError::Above4G);
        }
        let load = (self.memory.start + KERNEL).next_multiple_of(kernel.alignment());
        let load_end = load
            .checked_add(kernel.init_size())
            .ok_or(PlaceError::TooBig)?;
        let initrd_start = end.checked_sub(initrd_size).ok_or(PlaceError::TooBig)? & !(PAGE - 1);
        if load_end > initrd_start {
            return Err(PlaceError::TooBig);
        }
        Ok(Placement {
            kernel: Extent::new(load, kernel.init_size()),
            initrd: (initrd_size > 0).then_some(Extent::new(initrd_start, initrd_size)),
        })
    }
}

fn check_range(range: Extent) -> Result<(), PartitionError> {
    const PHYSICAL_MAX: u64 = 1 << 52;

    let end = range.end().ok_or(PartitionError::Address)?;
    if range.start % PARTITION_ALIGN != 0
        || range.size % PARTITION_ALIGN != 0
        || range.size == 0
        || range.start < MIB
        || end > PHYSICAL_MAX
    {
        return Err(PartitionError::Address);
    }
    Ok(())
}
