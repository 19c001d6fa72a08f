// SPDX-License-Identifier: GPL-2.0
//! Memory of the machine that is not Linux's: reserved when it booted, for another kernel, or another
//! kernel's own.
//!
//! C header: `include/linux/ioport.h`.

use crate::bindings;
use crate::shared_memory::SharedMemory;
use kernel::error::to_result;
use kernel::prelude::*;
use popcorn_core::bootparams::Extent;

/// Below this the kernel itself holds all that is not RAM: it cannot be claimed, nor can anybody else.
const CLAIMABLE_FROM: u64 = 1 << 20;

/// A range of physical memory that belongs to nobody else.
///
/// # Invariants
///
/// The range does not wrap and is neither this kernel's RAM nor a device; if `claimed`, it is in the
/// resource tree under our name.
pub struct ReservedMemory {
    extent: Extent,
    claimed: bool,
}

impl ReservedMemory {
    /// Checks that `extent` was reserved at boot (`memmap=SIZE$ADDRESS`) and claims it under `name`,
    /// which appears in `/proc/iomem`. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`: empty, or it wraps. `ENXIO`: not reserved. `EBUSY`: part of it is System RAM or a
    /// device, or somebody else has claimed it.
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
    /// `EINVAL`, `EBUSY`: as [`ReservedMemory::claim`].
    pub fn claim_unknown(extent: Extent, name: &'static CStr) -> Result<Self> {
        Self::look(extent)?;
        Self::enter(extent, name)
    }

    /// Whether `extent` was reserved.
    fn look(extent: Extent) -> Result<bool> {
        if extent.size == 0 || extent.end().is_none() {
            return Err(EINVAL);
        }
        let (start, size) = (extent.start, extent.size);
        // SAFETY: looks into the resource tree; the range does not wrap.
        let looked = to_result(unsafe { bindings::pcn_memory_is_reserved(start, size) });
        match looked {
            Err(e) if e == ENXIO => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Enters it in the resource tree.
    fn enter(extent: Extent, name: &'static CStr) -> Result<Self> {
        let claimed = extent.start >= CLAIMABLE_FROM;
        if claimed {
            // SAFETY: the name is static, so it outlives the claim.
            let got = unsafe {
                bindings::pcn_memory_claim(extent.start, extent.size, name.as_char_ptr())
            };
            if !got {
                return Err(EBUSY);
            }
        }
        // INVARIANT: both callers have looked; just claimed.
        Ok(Self { extent, claimed })
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
        SharedMemory::map(part.start, part.size.next_multiple_of(4096) as usize)
    }
}

impl Drop for ReservedMemory {
    fn drop(&mut self) {
        if self.claimed {
            // SAFETY: claimed, by the invariant.
            unsafe { bindings::pcn_memory_release(self.extent.start, self.extent.size) };
        }
    }
}
