// SPDX-License-Identifier: GPL-2.0
//! A processor that this kernel lends to another one.
//!
//! Taking it is CPU hot-unplug plus two things: the processor is reset, so that it does not stay in this
//! kernel's idle loop, and it is marked as not present, so that nobody brings it online meanwhile.
//!
//! Lock order: takes a lock of its own, and below it those of CPU hot-plug; no lock that a hot-plug callback
//! takes may be held.
//!
//! C side: `helpers/boot.c`, `popcorn_boot/x86/processor.c`.

use super::memory::PhysicalMemory;
use super::suspend::Awake;
use crate::bindings;
use crate::shared_memory::SharedMemory;
use kernel::error::to_result;
use kernel::ffi::c_void;
use kernel::prelude::*;
use popcorn_core::bootparams::Extent;
use popcorn_core::ring::Memory;

const PAGE: usize = 4096;
/// Real mode reaches no further.
const REAL_MODE_END: u64 = 1 << 20;

/// The hardware's id of the processor that the machine booted on. Any context.
pub fn boot_processor_id() -> u32 {
    // SAFETY: reads a variable that does not change after boot.
    unsafe { bindings::pcn_processor_boot_id() }
}

/// The hardware's id of processor `cpu`, whoever has it now. Process context.
///
/// # Errors
///
/// As [`LentProcessor::take`], for what can be known beforehand; not that it is lent.
pub fn hardware_id(cpu: u32) -> Result<u32> {
    let mut id = 0;
    // SAFETY: compares the number with what there is.
    to_result(unsafe { bindings::pcn_cpu_exists(cpu) })?;
    // SAFETY: there is such a CPU; writes to `id`, which lives.
    to_result(unsafe { bindings::pcn_processor_id(cpu, &mut id) })?;
    Ok(id)
}

/// The NUMA node of processor `cpu`, which may be lent; `None` if it has none. Any context.
pub fn numa_node(cpu: u32) -> Option<u32> {
    // SAFETY: asks a table.
    let node = unsafe { bindings::pcn_cpu_numa_node(cpu) };
    u32::try_from(node).ok()
}

/// Frequency of the time-stamp counter in kHz; 0 if it is not known. Any context.
pub fn tsc_khz() -> u32 {
    // SAFETY: reads a variable.
    unsafe { bindings::pcn_processor_tsc_khz() }
}

/// The time-stamp counter; it is the same for all kernels of the machine. Any context.
pub fn tsc() -> u64 {
    // SAFETY: reads a register.
    unsafe { bindings::pcn_processor_tsc() }
}

/// Stops the processor that runs this, with interrupts off, until someone resets it.
#[inline]
pub fn park() -> ! {
    loop {
        // SAFETY: this never ends, so nothing goes on that did not expect interrupts to be off.
        unsafe { bindings::pcn_processor_halt() };
    }
}

/// Stops all other processors of this kernel, for good. Process context.
pub fn stop_others() {
    // SAFETY: the kernel is about to end.
    unsafe { bindings::pcn_processor_stop_others() };
}

/// Stops all processors of a kernel as [`reset_all`] does, but in any context.
///
/// Only for ids of [`LentProcessor`]s: resetting one of this kernel's own would take its work with it.
pub(crate) fn stop_all(ids: &[u32]) {
    // SAFETY: sends interrupts to processors that run nothing of this kernel; `ids` has so many elements.
    unsafe { bindings::pcn_processors_stop(ids.as_ptr(), ids.len() as u32) };
}

/// Stops all processors of a kernel, whose start pages are parked ([`StartPages::park`]), for good. May sleep.
pub fn reset_all(processors: &[LentProcessor]) {
    for _ in 0..bindings::PCN_STOP_PASSES {
        for processor in processors {
            processor.reset();
        }
    }
}

/// Brings those processors of this kernel online that have one of these hardware ids, and the others
/// offline. Process context.
///
/// # Errors
///
/// That of the first processor with which it did not work; all were tried.
pub fn set_online(ids: &[u32]) -> Result {
    // SAFETY: `ids` has so many elements.
    to_result(unsafe { bindings::pcn_cpus_set_online(ids.as_ptr(), ids.len() as u32) })
}

/// Keeps processors of this kernel from coming online that it must not use. Dropping it ends that; may sleep.
///
/// # Invariants
///
/// The guard is registered with `closure`, which is from `KBox::into_raw` and of the type that `free` frees.
pub struct CpuGuard {
    closure: *mut c_void,
    free: unsafe fn(*mut c_void),
}

// SAFETY: it may be taken back from any thread; the closure is Send and Sync.
unsafe impl Send for CpuGuard {}
// SAFETY: a shared reference gives nothing.
unsafe impl Sync for CpuGuard {}

impl CpuGuard {
    /// From now on only processors come online for whose hardware id `may` says so. There is one guard at a
    /// time. May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY`: there is one. `ENOSPC`, `ENOMEM`.
    pub fn new<F: Fn(u32) -> bool + Send + Sync + 'static>(may: F) -> Result<Self> {
        let closure: *mut c_void = KBox::into_raw(KBox::new(may, GFP_KERNEL)?).cast();
        // SAFETY: `closure` stays until the guard is taken back, and is of the type that `may_come` expects.
        let result = to_result(unsafe { bindings::pcn_cpu_guard(Some(may_come::<F>), closure) });
        if let Err(error) = result {
            // SAFETY: from into_raw() above, and nobody has it.
            unsafe { free::<F>(closure) };
            return Err(error);
        }
        // INVARIANT: just registered.
        Ok(Self {
            closure,
            free: free::<F>,
        })
    }
}

impl Drop for CpuGuard {
    fn drop(&mut self) {
        // SAFETY: registered, by the invariant; nobody calls the closure afterwards.
        unsafe {
            bindings::pcn_cpu_unguard();
            (self.free)(self.closure);
        }
    }
}

/// # Safety
///
/// `closure` is from `KBox::<F>::into_raw`, and nobody uses it any more.
unsafe fn free<F>(closure: *mut c_void) {
    // SAFETY: as required of the caller.
    drop(unsafe { KBox::<F>::from_raw(closure.cast()) });
}

/// # Safety
///
/// `closure` is from `KBox::<F>::into_raw`, and is not freed meanwhile.
unsafe extern "C" fn may_come<F: Fn(u32) -> bool>(closure: *mut c_void, id: u32) -> bool {
    // SAFETY: as required of the caller.
    (unsafe { &*closure.cast::<F>() })(id)
}

/// A processor that is lent. Dropping it resets it and brings it online here again. May sleep.
///
/// # Invariants
///
/// Linux has let `cpu` go and cannot bring it online; its hardware id is `id`.
pub struct LentProcessor {
    cpu: u32,
    id: u32,
    was_online: bool,
    _awake: Awake,
}

impl LentProcessor {
    /// Takes processor `cpu` from this kernel and resets it. May sleep.
    ///
    /// # Errors
    ///
    /// `ENODEV`: there is no such processor, or it is lent. `EPERM`: it is the one that the machine booted on.
    /// `EOPNOTSUPP`: another kernel could not use it, or this one may not boot it, of which the log tells.
    /// `EBUSY`: it cannot go offline, or this kernel is about to suspend.
    pub fn take(cpu: u32) -> Result<Self> {
        let id = hardware_id(cpu)?;
        let awake = Awake::new()?;
        let mut was_online = false;
        // SAFETY: writes to `was_online`, which lives.
        to_result(unsafe { bindings::pcn_cpu_lend(cpu, &mut was_online) })?;
        // INVARIANT: pcn_cpu_lend() has taken it.
        let processor = Self {
            cpu,
            id,
            was_online,
            _awake: awake,
        };
        processor.reset();
        Ok(processor)
    }

    /// Its number in this kernel.
    pub fn cpu(&self) -> u32 {
        self.cpu
    }

    /// Its hardware id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Stops it in whatever it does; it then waits for a start. May sleep.
    pub fn reset(&self) {
        // SAFETY: nothing of this kernel runs on it, by the invariant.
        unsafe { bindings::pcn_processor_reset(self.id) };
    }

    /// Starts it in `trampoline`. May sleep.
    pub fn start(&self, trampoline: &Trampoline) {
        // SAFETY: nothing of this kernel runs on it, by the invariant; the page holds a trampoline in
        // memory that Linux does not use, by that of `Trampoline`.
        unsafe { bindings::pcn_processor_start(self.id, trampoline.page) };
    }
}

impl Drop for LentProcessor {
    fn drop(&mut self) {
        self.reset();
        // SAFETY: it was lent, by the invariant, and runs nothing now.
        let result = to_result(unsafe { bindings::pcn_cpu_take_back(self.cpu, self.was_online) });
        if let Err(error) = result {
            kernel::pr_warn!("CPU {} stays offline: {:?}\n", self.cpu, error);
        }
    }
}

/// The page in which a processor starts, on its way to a kernel's 64-bit entry.
///
/// # Invariants
///
/// `page` is page-aligned below 1 MiB, in memory that is reserved, and `memory` maps it.
pub struct Trampoline {
    memory: SharedMemory,
    page: u64,
    stage: usize,
}

impl Trampoline {
    /// Writes a trampoline into the page at `page` of `low`. The processor will use the page tables
    /// whose topmost is at `top_table` and jump to `entry` with `zero_page` as its argument, all of them
    /// physical addresses. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`: `page` or `top_table` is not a whole page of `low`, or `low` is not below 1 MiB.
    /// `ENOMEM`.
    pub fn write(
        low: &PhysicalMemory,
        page: u64,
        top_table: u64,
        entry: u64,
        zero_page: u64,
    ) -> Result<Self> {
        let one = PAGE as u64;
        if !low.contains(Extent::new(top_table, one))
            || !low.contains(Extent::new(page, one))
            || (page | top_table) % one != 0
            || page.max(top_table) + one > REAL_MODE_END
        {
            return Err(EINVAL);
        }
        let memory = low.map(Extent::new(page, one))?;
        let mut copy = KVec::with_capacity(PAGE, GFP_KERNEL)?;
        copy.extend_from_slice(&[0u8; 512], GFP_KERNEL)?;
        while copy.len() < PAGE {
            copy.extend_from_slice(&[0u8; 512], GFP_KERNEL)?;
        }
        // SAFETY: `copy` has a page's bytes.
        unsafe {
            bindings::pcn_trampoline_write(
                copy.as_mut_ptr().cast(),
                page,
                top_table as u32,
                entry,
                zero_page,
            )
        };
        memory.write(0, &copy);
        // INVARIANT: checked above.
        Ok(Self {
            memory,
            page,
            // SAFETY: returns a constant.
            stage: unsafe { bindings::pcn_trampoline_stage_offset() } as usize,
        })
    }

    /// Whether a processor has passed it and entered the kernel. Any context.
    pub fn is_passed(&self) -> bool {
        let stage = self.memory.load(self.stage) as u32;
        // SAFETY: compares with a constant.
        unsafe { bindings::pcn_trampoline_left(stage) }
    }

    /// Whether it had an exception before the kernel took care of its own: it is parked. Any context.
    pub fn is_faulted(&self) -> bool {
        let stage = self.memory.load(self.stage) as u32;
        // SAFETY: compares with a constant.
        unsafe { bindings::pcn_trampoline_faulted(stage) }
    }
}

/// All pages in which processors of another kernel may start: this kernel's trampoline, and its own.
///
/// One reset is not enough to stop a kernel with several processors. They are reset one after the other, and
/// one whose turn is yet to come may start one that was reset: it is just bringing it online, say. So:
///
/// 1. These pages are parked. A processor that starts from now on halts at its first instruction. One that has
///    started before is as good as running.
/// 2. Each processor is reset. After that it does not run the kernel: it waits for a start or, if somebody
///    whose turn was later has started it, it has halted. So when all are through none runs the kernel, however
///    many there are and whoever has started whom, and none is left to start another.
/// 3. Each is reset once more, and now all wait for a start. One that has halted must not stay: the memory that
///    holds its instructions is about to be somebody else's.
///
/// This goes for a kernel that starts its processors as Linux does.
#[derive(Clone)]
pub struct StartPages {
    trampoline: SharedMemory,
    own: SharedMemory,
}

impl StartPages {
    /// Those of the kernel with this memory below 1 MiB, of which this kernel's trampoline and that kernel's
    /// own RAM are parts. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`: they are not. `ENOMEM`.
    pub fn new(low: &PhysicalMemory, trampoline: Extent, own: Extent) -> Result<Self> {
        Ok(Self {
            trampoline: low.map(trampoline)?,
            own: low.map(own)?,
        })
    }

    /// A processor that starts in one of them from now on does nothing. What is loaded cannot be started any
    /// more. Any context.
    pub fn park(&self) {
        let mut code = [0; bindings::PCN_TRAMPOLINE_PARK_SIZE as usize];
        // SAFETY: `code` has so many bytes.
        unsafe { bindings::pcn_trampoline_park(code.as_mut_ptr()) };
        self.trampoline.write(0, &code);
        for page in (0..self.own.size()).step_by(PAGE) {
            let mut first = [0];
            self.own.read(page, &mut first);
            // SAFETY: compares with a constant.
            let parked = unsafe { bindings::pcn_start_parked(first[0]) };
            if parked != first[0] {
                self.own.write(page, &[parked]);
            }
        }
    }
}
