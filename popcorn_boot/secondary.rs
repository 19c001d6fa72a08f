// SPDX-License-Identifier: GPL-2.0
//! The side of a kernel that was started by another one.
//!
//! It tells the primary that it is up, and when it ends; and, for a debugger, where it describes itself and
//! which registers the processor had that panicked. An end must not be what a kernel understands by
//! it: a restart is done by hardware that would take the primary along, and so would a panic with a
//! timeout. So the last thing this kernel does is to park its processor, from where the primary fetches
//! it.
//!
//! Before this module is loaded a restart here still restarts the machine, so the first process must load
//! it soon; unloading it would bring that back and is refused.

mod memory;
mod terminal;

use crate::secondary::memory::MoreMemory;
use crate::secondary::terminal::Terminal;
use kernel::c_str;
use kernel::prelude::*;
use popcorn_core::boot_control::PrimaryState;
use popcorn_core::boot_control::Wish;
use popcorn_core::boot_control::HEARTBEAT;
use popcorn_core::boot_control::PRIMARY;
use popcorn_core::boot_control::WALL_CLOCK;
use popcorn_core::boot_control::WALL_CLOCK_TSC;
use popcorn_core::boot_control::WISH;
use popcorn_core::boot_status;
use popcorn_core::boot_status::Report;
use popcorn_core::boot_status::CRASH;
use popcorn_core::boot_status::CRASH_REGISTERS;
use popcorn_core::boot_status::NOTE_SIZE;
use popcorn_core::boot_status::NOTE_START;
use popcorn_core::boot_status::ONLINE_TSC;
use popcorn_core::boot_status::REPORT;
use popcorn_core::boot_status::STATUS_SIZE;
use popcorn_core::bootparams::Extent;
use popcorn_core::lent_cpus::LentCpus;
use popcorn_core::ring::Memory;
use popcorn_kernel::boot::crash;
use popcorn_kernel::boot::end::End;
use popcorn_kernel::boot::end::EndWatch;
use popcorn_kernel::boot::memory::PhysicalMemory;
use popcorn_kernel::boot::power_off;
use popcorn_kernel::boot::processor;
use popcorn_kernel::boot::processor::CpuGuard;
use popcorn_kernel::boot::set_wall_clock_ns;
use popcorn_kernel::kthread;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::module::Pinned;
use popcorn_kernel::shared_memory::SharedMemory;
use popcorn_kernel::wait::WaitQueue;

/// How often it gives a sign of life, and looks at what the primary wants.
const BEAT_MS: u32 = 100;

/// Keeps the primary informed.
pub(crate) struct Secondary {
    _beat: Kthread,
    _guard: CpuGuard,
    _watch: EndWatch,
    _terminal: Option<Terminal>,
    _memory: PhysicalMemory,
    _module: Pinned,
}

impl Secondary {
    /// Reports through the status page at physical address `status` that this kernel is online, and makes
    /// its terminal, whose zone is at physical address `zone` (0: none). May sleep.
    ///
    /// # Errors
    ///
    /// `ENODEV`: no primary of the same version has prepared the page. `EBUSY`: it is this kernel's own
    /// memory. `EINVAL`: no page's address. `ENOMEM`.
    pub(crate) fn new(status: u64, zone: u64, module: &'static ThisModule) -> Result<Self> {
        let extent = Extent::new(status, 4096);
        let refuse = |e: &Error| pr_err!("no status page at {:#x}: {:?}\n", status, e);
        let memory = PhysicalMemory::claim_unknown(extent, c_str!("Popcorn status page"))
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
        set_clock(&page);
        let cpus = page.clone();
        let guard = CpuGuard::new(move |id| {
            let list = LentCpus(&cpus).list();
            list.is_some_and(|list| list.ids().contains(&id))
        })?;
        let beat = beat(page.clone(), MoreMemory::new(page.clone())?)?;
        if let Some(note) = crash::note() {
            page.store(NOTE_START, note.start);
            page.store(NOTE_SIZE, note.size);
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
            match end {
                // The others are stopped already.
                End::Panic => leave_registers(&page),
                _ => processor::stop_others(),
            }
            page.store(REPORT, report.raw());
            processor::park()
        })?;
        // One can do without it.
        let terminal = (zone != 0)
            .then(|| Terminal::new(zone, module))
            .and_then(|terminal| {
                terminal
                    .inspect_err(|e| pr_err!("no terminal at {:#x}: {:?}\n", zone, e))
                    .ok()
            });
        Ok(Self {
            _beat: beat,
            _guard: guard,
            _watch: watch,
            _terminal: terminal,
            _memory: memory,
            _module: Pinned::new(module)?,
        })
    }
}

/// Sets this kernel's clock by the primary's, which it noted when it started us. The hardware's clock tells
/// only seconds, and may not be right.
fn set_clock(page: &SharedMemory) {
    let khz = u64::from(processor::tsc_khz());
    let (then, at) = (page.load(WALL_CLOCK), page.load(WALL_CLOCK_TSC));
    if then == 0 || khz == 0 {
        return;
    }
    let cycles = processor::tsc().saturating_sub(at);
    // In two steps, for the product of all would not fit.
    let since = (cycles / khz)
        .checked_mul(1_000_000)
        .and_then(|ns| ns.checked_add(cycles % khz * 1_000_000 / khz));
    let now = since.and_then(|ns| then.checked_add(ns));
    if now.map(set_wall_clock_ns) != Some(Ok(())) {
        pr_warn!("the primary's clock cannot be right\n");
    }
}

/// Gives signs of life from now on.
fn beat(page: SharedMemory, mut memory: Option<MoreMemory>) -> Result<Kthread> {
    let never = WaitQueue::boxed(c_str!("popcorn_boot beat"), kernel::static_lock_class!())?;
    Kthread::spawn(c_str!("popcorn_boot"), move || {
        let mut count = 0u64;
        let mut told = Wish::None;
        let mut panicked = false;
        let mut dealt_with = 0;
        while !never.wait_idle(Some(BEAT_MS), kthread::should_stop) {
            count += 1;
            page.store(HEARTBEAT, count);
            let wish = Wish::new(page.load(WISH));
            if wish == Wish::PowerOff && told != wish {
                pr_info!("the primary wants us to shut down\n");
                power_off();
            }
            told = wish;
            // Before processors, which cannot come or go while memory goes.
            if let Some(memory) = &mut memory {
                memory.look();
            }
            if let Some(list) = LentCpus(&page).list() {
                if list.number() != dealt_with {
                    dealt_with = list.number();
                    let result = processor::set_online(list.ids());
                    LentCpus(&page).answered(&list, result.err().map_or(0, Error::to_errno));
                }
            }
            let state = PrimaryState::new(page.load(PRIMARY));
            if state == PrimaryState::Panicked && !panicked {
                panicked = true;
                pr_emerg!("the primary kernel has panicked\n");
            }
        }
    })
}

/// For the core that the primary makes of this kernel's memory.
fn leave_registers(page: &SharedMemory) {
    let here = crash::here();
    for (i, register) in here.registers.iter().enumerate() {
        page.store(CRASH_REGISTERS + i * 8, *register);
    }
    page.store(CRASH, boot_status::crash_word(here.cpu, here.pid));
}
