// SPDX-License-Identifier: GPL-2.0
//! Physical memory that this kernel does not use, for another kernel, or another kernel's own.
//!
//! It may have been reserved when this kernel booted (`memmap=SIZE$ADDRESS`), be taken from its page
//! allocator at run time, or lie below 1 MiB, where Linux has memory that it never uses.
//!
//! C headers: `include/linux/ioport.h`, `include/linux/gfp.h`.

use super::processor;
use super::suspend::Awake;
use crate::bindings;
use crate::current::cond_resched;
use crate::current::fatal_signal_pending;
use crate::errno;
use crate::shared_memory::SharedMemory;
use kernel::error::to_result;
use kernel::ffi::c_int;
use kernel::ffi::c_void;
use kernel::prelude::*;
use popcorn_core::bootparams::Extent;
use popcorn_core::memory_plan;
use popcorn_core::memory_plan::Demand;
use popcorn_core::memory_plan::Source;
use popcorn_core::sort;

const PAGE: u64 = 4096;
/// Below this all memory is reserved by this kernel, and there are marks of our own.
const LOW_END: u64 = 1 << 20;
/// What processors in real mode, and firmware, leave alone.
const LOW_USABLE: core::ops::Range<u64> = 64 << 10..640 << 10;
/// Below this lies memory for devices of old, above this memory for devices that know 32 bits; a range
/// does not go across.
const ZONE_BORDERS: [u64; 2] = [16 << 20, 1 << 32];

/// A range of physical memory that nobody else uses.
///
/// # Invariants
///
/// The range does not wrap, and is held as `hold` says.
pub struct PhysicalMemory {
    extent: Extent,
    hold: Hold,
    _awake: Awake,
}

/// How nobody else comes by a range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// It is in the resource tree under our name, and no RAM of this kernel.
    Claimed,
    /// It lies below 1 MiB and is marked as lent.
    Low,
    /// It was allocated page by page.
    Allocated,
}

impl PhysicalMemory {
    /// Checks that `extent` was reserved at boot (`memmap=SIZE$ADDRESS`) and claims it under `name`,
    /// which appears in `/proc/iomem`. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`: empty, no whole pages, or it wraps. `ENXIO`: not reserved as a whole. `EBUSY`: part of it is
    /// System RAM or a device, or somebody else has claimed it.
    pub fn claim(extent: Extent, name: &'static CStr) -> Result<Self> {
        match Self::look(extent)? {
            true => Self::enter(extent, name),
            false => Err(ENXIO),
        }
    }

    /// Claims `extent`, which this kernel knows nothing of, since it is part of what another one keeps to
    /// itself. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `EBUSY`: as [`PhysicalMemory::claim`].
    pub fn claim_unknown(extent: Extent, name: &'static CStr) -> Result<Self> {
        Self::look(extent)?;
        Self::enter(extent, name)
    }

    /// Whether all of `extent` was reserved.
    fn look(extent: Extent) -> Result<bool> {
        let (start, size) = (extent.start, extent.size);
        if size == 0 || extent.end().is_none() || (start | size) % PAGE != 0 {
            return Err(EINVAL);
        }
        // SAFETY: looks into the resource tree; the range does not wrap.
        let looked = to_result(unsafe { bindings::pcn_memory_is_reserved(start, size) });
        match looked {
            Err(e) if e == ENXIO => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Enters it in the resource tree, or marks it.
    fn enter(extent: Extent, name: &'static CStr) -> Result<Self> {
        let awake = Awake::new()?;
        let (start, size) = (extent.start, extent.size);
        let hold = if start < LOW_END {
            Hold::Low
        } else {
            Hold::Claimed
        };
        let got = match hold {
            // SAFETY: sets marks.
            Hold::Low => unsafe { bindings::pcn_low_claim(start, size) },
            // SAFETY: the name is static, so it outlives the claim.
            _ => unsafe { bindings::pcn_memory_claim(start, size, name.as_char_ptr()) },
        };
        if !got {
            return Err(EBUSY);
        }
        // INVARIANT: both callers have looked; just claimed.
        Ok(Self {
            extent,
            hold,
            _awake: awake,
        })
    }

    /// Takes `size` bytes below 1 MiB, whole pages, which Linux reserves and makes no use of. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOSPC`: there is no such place.
    pub fn take_low(size: u64) -> Result<Self> {
        let awake = Awake::new()?;
        loop {
            let mut areas = KVec::new();
            for address in LOW_USABLE.step_by(PAGE as usize) {
                // SAFETY: both look at what a page is; it lies below 1 MiB.
                let unused = unsafe {
                    bindings::pcn_low_page_is_unused(address)
                        && !bindings::pcn_low_is_claimed(address)
                };
                if !unused {
                    continue;
                }
                match areas.last_mut() {
                    Some(Extent { start, size }) if *start + *size == address => *size += PAGE,
                    _ => areas.push(Extent::new(address, PAGE), GFP_KERNEL)?,
                }
            }
            let extent =
                memory_plan::find_free(size, PAGE, &areas, &[]).ok_or_else(errno::no_space)?;
            // SAFETY: sets marks.
            if unsafe { bindings::pcn_low_claim(extent.start, extent.size) } {
                // INVARIANT: unused by Linux, and just marked.
                return Ok(Self {
                    extent,
                    hold: Hold::Low,
                    _awake: awake,
                });
            }
            // Somebody was faster; what is left is less, so this ends.
        }
    }

    /// Takes `total` bytes, a multiple of [`memory_plan::BLOCK`], from this kernel's memory, in few
    /// ranges of which the first is the longest; all of it from the NUMA node of processor `cpu` if that is
    /// possible, else the log says so. What is there moves elsewhere. May sleep, for seconds.
    ///
    /// # Errors
    ///
    /// `ENOMEM`: there is not so much, or too scattered. `EINTR`: killed.
    pub fn take(total: u64, cpu: Option<u32>) -> Result<KVec<Self>> {
        let mut taken = Self::take_as(&Demand::of_kernel(total), None, cpu)?;
        let key = |memory: &Self| core::cmp::Reverse(memory.extent.size);
        sort::by_key(&mut taken, key);
        Ok(taken)
    }

    /// The same for a kernel that runs: `total` bytes, a multiple of `portion`, in at most `ranges` ranges.
    /// Each element of what is returned is one portion, aligned to its size.
    ///
    /// # Errors
    ///
    /// As [`PhysicalMemory::take`].
    pub fn take_portions(
        total: u64,
        portion: u64,
        ranges: usize,
        cpu: Option<u32>,
    ) -> Result<KVec<Self>> {
        let demand = Demand {
            total,
            unit: portion,
            ranges,
            longest: 0,
        };
        Self::take_as(&demand, Some(portion), cpu)
    }

    /// Takes what is wanted, in elements of `piece` bytes; without that, an element for each range.
    fn take_as(demand: &Demand, piece: Option<u64>, cpu: Option<u32>) -> Result<KVec<Self>> {
        let mut areas = KVec::new();
        // SAFETY: add_area() gets what it expects, and nobody else uses it meanwhile.
        to_result(unsafe {
            bindings::pcn_ram_walk(Some(add_area), core::ptr::from_mut(&mut areas).cast())
        })?;
        let near = cpu.and_then(processor::numa_node);
        if let Some(taken) = Self::take_from(near, demand, piece, &areas)? {
            return Ok(taken);
        }
        let node = near.ok_or(ENOMEM)?;
        let taken = Self::take_from(None, demand, piece, &areas)?.ok_or(ENOMEM)?;
        if taken
            .iter()
            .any(|memory| numa_node(memory.extent.start) != near)
        {
            kernel::pr_info!(
                "NUMA node {}, that of its processor, has not {} MiB to give: memory of a kernel comes from elsewhere\n",
                node,
                demand.total >> 20
            );
        }
        Ok(taken)
    }

    /// `None` if there is not so much, of this NUMA node if one is given.
    fn take_from(
        node: Option<u32>,
        demand: &Demand,
        piece: Option<u64>,
        areas: &[Extent],
    ) -> Result<Option<KVec<Self>>> {
        let count = match piece {
            Some(piece) => usize::try_from(demand.total.checked_div(piece).ok_or(EINVAL)?)?,
            None => demand.ranges,
        };
        let mut taker = Taker {
            taken: KVec::with_capacity(count, GFP_KERNEL)?,
            piece,
            node: node
                .and_then(|node| c_int::try_from(node).ok())
                .unwrap_or(-1),
        };
        let gathered = memory_plan::gather(demand, areas, &mut taker);
        if fatal_signal_pending() {
            return Err(EINTR);
        }
        Ok(gathered.is_ok().then_some(taker.taken))
    }

    /// Where it is.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// Whether it was taken at run time.
    pub fn is_taken(&self) -> bool {
        self.hold == Hold::Allocated
    }

    /// Whether all of `part` lies inside.
    pub fn contains(&self, part: Extent) -> bool {
        match (part.end(), self.extent.end()) {
            (Some(part_end), Some(end)) => part.start >= self.extent.start && part_end <= end,
            _ => false,
        }
    }

    /// Maps `part`, whose start must be page-aligned; the last page is mapped as a whole. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`: it does not lie inside, or is not aligned. `ENOMEM`.
    pub fn map(&self, part: Extent) -> Result<SharedMemory> {
        if !self.contains(part) {
            return Err(EINVAL);
        }
        SharedMemory::map(part.start, part.size.next_multiple_of(PAGE) as usize)
    }
}

/// The NUMA node of the memory at `address`, which this kernel need not use; `None` if it has none. Any context.
pub fn numa_node(address: u64) -> Option<u32> {
    // SAFETY: looks at a table that does not change.
    let node = unsafe { bindings::pcn_memory_numa_node(address) };
    u32::try_from(node).ok()
}

impl Drop for PhysicalMemory {
    fn drop(&mut self) {
        let (start, size) = (self.extent.start, self.extent.size);
        // SAFETY: held so, by the invariant, and nobody else uses it.
        unsafe {
            match self.hold {
                Hold::Claimed => bindings::pcn_memory_release(start, size),
                Hold::Low => bindings::pcn_low_release(start, size),
                Hold::Allocated => bindings::pcn_ram_give(start, size),
            }
        }
    }
}

/// Adds a range of RAM to a list, cut where zones begin, without the lowest zone.
///
/// # Safety
///
/// `areas` points to a `KVec<Extent>` that nobody else uses.
unsafe extern "C" fn add_area(areas: *mut c_void, start: u64, size: u64) -> c_int {
    // SAFETY: as required of the caller.
    let areas = unsafe { &mut *areas.cast::<KVec<Extent>>() };
    let Some(end) = start.checked_add(size) else {
        return 0;
    };
    let [lowest, border] = ZONE_BORDERS;
    for (from, to) in [
        (start.max(lowest), end.min(border)),
        (start.max(border), end),
    ] {
        if from < to
            && areas
                .push(Extent::new(from, to - from), GFP_KERNEL)
                .is_err()
        {
            return ENOMEM.to_errno();
        }
    }
    0
}

/// What [`memory_plan::gather`] takes from.
struct Taker {
    /// With room for all that it takes.
    taken: KVec<PhysicalMemory>,
    /// Bytes of each element; without that a range is one.
    piece: Option<u64>,
    /// Only memory of this NUMA node, unless negative.
    node: c_int,
}

impl Source for Taker {
    fn is_movable(&mut self, block: u64) -> bool {
        cond_resched();
        if fatal_signal_pending() {
            return false;
        }
        // SAFETY: looks at the pages of a block in this kernel's RAM.
        unsafe { bindings::pcn_ram_is_movable(block, memory_plan::BLOCK, self.node) }
    }

    fn take(&mut self, range: Extent) -> bool {
        let piece = self.piece.unwrap_or(range.size);
        let count = range.size.checked_div(piece).unwrap_or(0);
        let room = (self.taken.capacity() - self.taken.len()) as u64;
        let whole = range.size.checked_rem(piece) == Some(0);
        if fatal_signal_pending() || count == 0 || !whole || room < count {
            return false;
        }
        let Ok(awake) = Awake::new() else {
            return false;
        };
        // SAFETY: the range is within one zone of this kernel's RAM.
        if to_result(unsafe { bindings::pcn_ram_take(range.start, range.size) }).is_err() {
            return false;
        }
        for number in 0..count {
            // INVARIANT: just allocated; the pieces are all of the range, and none is in another.
            let memory = PhysicalMemory {
                extent: Extent::new(range.start + number * piece, piece),
                hold: Hold::Allocated,
                _awake: awake.another(),
            };
            // There is room.
            let _ = self.taken.push(memory, GFP_KERNEL);
        }
        true
    }
}
