// SPDX-License-Identifier: GPL-2.0
//! The side of a kernel that was started by another one.
//!
//! It tells the primary that it is up, and when it ends. An end must not be what a kernel understands by
//! it: a restart is done by hardware that would take the primary along, and so would a panic with a
//! timeout. So the last thing this kernel does is to park its processor, from where the primary fetches
//! it.
//!
//! Before this module is loaded a restart here still restarts the machine, so the first process must load
//! it early; unloading it would bring that back and is refused.

use kernel::c_str;
use kernel::prelude::*;
use popcorn_core::boot_status;
use popcorn_core::boot_status::Report;
use popcorn_core::boot_status::ONLINE_TSC;
use popcorn_core::boot_status::REPORT;
use popcorn_core::boot_status::STATUS_SIZE;
use popcorn_core::bootparams::Extent;
use popcorn_core::ring::Memory;
use popcorn_kernel::boot::end::End;
use popcorn_kernel::boot::end::EndWatch;
use popcorn_kernel::boot::memory::ReservedMemory;
use popcorn_kernel::boot::processor;
use popcorn_kernel::module::Pinned;

/// Keeps the primary informed.
pub(crate) struct Secondary {
    _watch: EndWatch,
    _memory: ReservedMemory,
    _module: Pinned,
}

impl Secondary {
    /// Reports through the status page at physical address `status` that this kernel is online. May sleep.
    ///
    /// # Errors
    ///
    /// `ENODEV`: no primary of the same version has prepared the page. `EBUSY`: it is this kernel's own
    /// memory. `EINVAL`: no page's address. `ENOMEM`.
    pub(crate) fn new(status: u64, module: &'static ThisModule) -> Result<Self> {
        let extent = Extent::new(status, 4096);
        let refuse = |e: &Error| pr_err!("no status page at {:#x}: {:?}\n", status, e);
        let memory = ReservedMemory::claim_unknown(extent, c_str!("Popcorn status page"))
            .inspect_err(refuse)?;
        let page = memory.map(extent).inspect_err(refuse)?;
        let mut bytes = [0; STATUS_SIZE];
        page.read(0, &mut bytes);
        if !boot_status::is_valid(&bytes) {
            pr_err!(
                "the page at {:#x} is not one of a primary of this version\n",
                status
            );
            return Err(ENODEV);
        }
        page.store(ONLINE_TSC, processor::tsc());
        page.store(REPORT, Report::Online.raw());
        let watch = EndWatch::new(move |end| {
            let report = match end {
                End::Panic => Report::Panic,
                End::Restart => Report::Restart,
                End::Halt => Report::Halt,
                End::PowerOff => Report::PowerOff,
            };
            page.store(REPORT, report.raw());
            processor::park()
        })?;
        Ok(Self {
            _watch: watch,
            _memory: memory,
            _module: Pinned::new(module)?,
        })
    }
}
