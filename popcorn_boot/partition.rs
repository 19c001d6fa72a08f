// SPDX-License-Identifier: GPL-2.0
//! One part of the machine, and the kernel that runs on it.
//!
//! The interface that a user sees is elsewhere; here is what may follow what:
//!
//! ```text
//! Empty --> Loaded --> Running --> Stopped --> Loaded --> ...
//! ```
//!
//! A start or a kill takes a *turn*: it has the processor to itself and no lock, since taking a processor
//! from Linux, reading files and waiting take their time. Somebody who comes meanwhile is told that it
//! is busy; only questions are answered. What a turn gets done it undoes in reverse if it fails.
//!
//! Lock order: [`Partition::inner`] is held for a few lines only and nothing is taken under it.

use crate::console::Console;
use crate::loader;
use crate::loader::Identity;
use crate::loader::Image;
use crate::loader::Target;
use crate::peer;
use crate::peer::Peer;
use core::mem;
use kernel::c_str;
use kernel::prelude::*;
use kernel::sync::new_mutex;
use kernel::sync::Arc;
use kernel::sync::Mutex;
use kernel::uaccess::UserSliceWriter;
use popcorn_core::boot_status;
use popcorn_core::boot_status::Report;
use popcorn_core::boot_status::STATUS_SIZE;
use popcorn_core::bootparams::Extent;
use popcorn_core::ids::NodeId;
use popcorn_core::partition;
use popcorn_core::partition::PartitionError;
use popcorn_core::ring::Memory;
use popcorn_kernel::boot::boot_time_ns;
use popcorn_kernel::boot::end::EndWatch;
use popcorn_kernel::boot::end::StopAtEnd;
use popcorn_kernel::boot::memory::ReservedMemory;
use popcorn_kernel::boot::processor;
use popcorn_kernel::boot::processor::LentProcessor;
use popcorn_kernel::boot::processor::Trampoline;
use popcorn_kernel::boot::sleep_killable;
use popcorn_kernel::boot::uapi::popcorn_boot_status;
use popcorn_kernel::boot::uapi::POPCORN_BOOT_EMPTY;
use popcorn_kernel::boot::uapi::POPCORN_BOOT_GARBLED;
use popcorn_kernel::boot::uapi::POPCORN_BOOT_LOADED;
use popcorn_kernel::boot::uapi::POPCORN_BOOT_NO_CPU;
use popcorn_kernel::boot::uapi::POPCORN_BOOT_RUNNING;
use popcorn_kernel::boot::uapi::POPCORN_BOOT_STOPPED;
use popcorn_kernel::errno;
use popcorn_kernel::module::Pinned;
use popcorn_kernel::shared_memory::SharedMemory;

/// The second kernel's node id, and how many nodes there are: this and the primary.
const NODE: u32 = 1;
const NODES: u32 = 2;

/// How long a processor may take from its start to a kernel's entry: some microseconds, but on an
/// emulated machine with more processors than the host has, it must first get its turn.
const ARRIVAL_MS: u64 = 10_000;
const ARRIVAL_STEP_MS: u32 = 5;

/// A second kernel's memory, processor and state.
#[pin_data]
pub(crate) struct Partition {
    layout: partition::Partition,
    #[pin]
    inner: Mutex<Inner>,
    #[pin]
    console: Console,
    status: SharedMemory,
    stop_at_end: StopAtEnd,
    _watch: EndWatch,
    module: &'static ThisModule,
    // After everything that maps them.
    memory: ReservedMemory,
    low: ReservedMemory,
}

/// What is asked of [`Partition::start`].
pub(crate) struct Request<'a> {
    /// The processor to take.
    pub(crate) cpu: u32,
    /// File descriptor of the kernel.
    pub(crate) kernel_fd: i32,
    /// File descriptor of the initramfs.
    pub(crate) initrd_fd: Option<i32>,
    /// Added to the command line.
    pub(crate) command_line: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Empty,
    Loaded,
    Running,
    Stopped,
}

/// What there is to say of the partition.
#[derive(Clone, Copy)]
struct Facts {
    state: State,
    processor: Option<(u32, u32)>,
    started_ns: u64,
    started_tsc: u64,
    starts: u32,
}

struct Inner {
    /// Somebody has the turn, and with it `processor`, `module` and `peer`.
    busy: bool,
    processor: Option<LentProcessor>,
    /// Held while a kernel runs: this module must not go then.
    module: Option<Pinned>,
    /// From the first start on.
    peer: Option<Peer>,
    facts: Facts,
}

/// The right to change the partition's state, for one at a time.
struct Turn<'a> {
    partition: &'a Partition,
    processor: Option<LentProcessor>,
    module: Option<Pinned>,
    peer: Option<Peer>,
}

impl Partition {
    /// Claims the memory of a second kernel. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`: addresses or sizes that cannot be. `ENXIO`: memory that was not reserved at boot.
    /// `EBUSY`: memory that somebody uses. `ENOMEM`.
    pub(crate) fn new(
        memory: Extent,
        low: Extent,
        module: &'static ThisModule,
    ) -> Result<Arc<Self>> {
        let layout = partition::Partition::new(memory, low).map_err(|e| {
            let why = match e {
                PartitionError::Address => "not a multiple of 2 MiB, or out of range",
                PartitionError::Size => "less than 64 MiB or more than 256 GiB",
                PartitionError::Low => "not 48 KiB or more, in pages, between 64 and 640 KiB",
            };
            match e {
                PartitionError::Low => report_range("low memory", low, why),
                _ => report_range("memory", memory, why),
            }
            EINVAL
        })?;
        let memory = claim(memory, "memory", c_str!("Popcorn second kernel"))?;
        let low = claim(
            low,
            "low memory",
            c_str!("Popcorn second kernel, low memory"),
        )?;
        let status = memory.map(layout.status())?;
        let zone = memory.map(layout.console())?;
        let stop_at_end = StopAtEnd::new()?;
        let at_end = stop_at_end.clone();
        let watch = EndWatch::new(move |_| at_end.stop())?;
        Arc::pin_init(
            try_pin_init!(Self {
                layout,
                inner <- new_mutex!(Inner {
                    busy: false,
                    processor: None,
                    module: None,
                    peer: None,
                    facts: Facts {
                        state: State::Empty,
                        processor: None,
                        started_ns: 0,
                        started_tsc: 0,
                        starts: 0,
                    },
                }, "popcorn_boot partition"),
                console <- Console::new(zone),
                status,
                stop_at_end,
                _watch: watch,
                module,
                memory,
                low,
            }? Error),
            GFP_KERNEL,
        )
    }

    /// Starts a kernel; returns when its processor has entered it. May sleep.
    ///
    /// # Errors
    ///
    /// See `struct popcorn_boot_start`; the state is then as it was before.
    pub(crate) fn start(&self, request: &Request<'_>) -> Result {
        let mut turn = self.turn()?;
        if self.facts().state == State::Running && !self.has_ended() {
            return Err(EBUSY);
        }
        let max = usize::try_from(self.layout.memory().size)?;
        let image = Image::read(request.kernel_fd, request.initrd_fd, max)?;
        let had_it = turn
            .processor
            .as_ref()
            .filter(|p| p.cpu() == request.cpu)
            .map(LentProcessor::id);
        let id = match had_it {
            Some(id) => id,
            None => processor::hardware_id(request.cpu)?,
        };
        let module = Pinned::new(self.module)?;

        // One that has ended by itself sits in memory that is about to be overwritten.
        if let Some(processor) = &turn.processor {
            processor.reset();
            self.note(|facts| facts.state = State::Stopped);
        }
        let before = self.facts();
        let target = Target {
            partition: &self.layout,
            memory: &self.memory,
            low: &self.low,
        };
        let who = Identity {
            processor: id,
            node: NODE,
            nodes: NODES,
            command_line: request.command_line,
        };
        let trampoline = loader::load(&target, &image, &who)?;
        drop(image);

        if had_it.is_none() {
            let processor = LentProcessor::take(request.cpu).inspect_err(|e| {
                pr_err!("cannot take CPU {}: {:?}\n", request.cpu, e);
            })?;
            turn.set_processor(Some(processor));
        }
        match turn.bring_up(&trampoline) {
            Ok(()) => {
                turn.module = Some(module);
                self.note(|facts| {
                    facts.state = State::Running;
                    facts.starts = facts.starts.saturating_add(1);
                });
                pr_info!(
                    "second kernel started on CPU {} (APIC id {})\n",
                    request.cpu,
                    id
                );
                Ok(())
            }
            Err(e) => {
                pr_err!("CPU {} did not enter the kernel: {:?}\n", request.cpu, e);
                turn.reset();
                if had_it.is_none() {
                    turn.set_processor(None);
                }
                self.note(|facts| {
                    facts.state = before.state;
                    facts.started_ns = before.started_ns;
                    facts.started_tsc = before.started_tsc;
                });
                Err(e)
            }
        }
    }

    /// Stops the kernel, and with `release` gives its processor back. May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY`: somebody has the turn. `ESRCH`: there is nothing to stop, or to release.
    pub(crate) fn kill(&self, release: bool) -> Result {
        let mut turn = self.turn()?;
        let running = self.facts().state == State::Running;
        if turn.processor.is_none() || !(running || release) {
            return Err(ESRCH);
        }
        turn.reset();
        turn.module = None;
        if let Some(peer) = &mut turn.peer {
            peer.died();
        }
        if running {
            self.note(|facts| facts.state = State::Stopped);
            pr_info!("second kernel stopped\n");
        }
        if release {
            // Its messages are answered by interrupts, and none must reach the processor when it is
            // Linux's again.
            turn.peer = None;
            turn.set_processor(None);
        }
        Ok(())
    }

    /// How it fares; `size` is left zero.
    pub(crate) fn status(&self) -> popcorn_boot_status {
        let facts = self.facts();
        let (report, online_tsc) = match self.report() {
            Some((report, online_tsc)) => (report.raw() as u32, online_tsc),
            None if facts.started_ns == 0 => (Report::None.raw() as u32, 0),
            None => (POPCORN_BOOT_GARBLED, 0),
        };
        let state = match facts.state {
            State::Running if self.has_ended() => State::Stopped,
            state => state,
        };
        let (cpu, hardware_id) = facts
            .processor
            .unwrap_or((POPCORN_BOOT_NO_CPU, POPCORN_BOOT_NO_CPU));
        let (memory, window) = (self.layout.memory(), self.layout.window());
        popcorn_boot_status {
            size: 0,
            state: match state {
                State::Empty => POPCORN_BOOT_EMPTY,
                State::Loaded => POPCORN_BOOT_LOADED,
                State::Running => POPCORN_BOOT_RUNNING,
                State::Stopped => POPCORN_BOOT_STOPPED,
            },
            report,
            cpu,
            hardware_id,
            node: NODE,
            starts: facts.starts,
            reserved: 0,
            memory_base: memory.start,
            memory_size: memory.size,
            window_base: window.start,
            window_size: window.size,
            started_ns: facts.started_ns,
            boot_ns: match online_tsc {
                0 => 0,
                tsc => cycles_to_ns(tsc.saturating_sub(facts.started_tsc)),
            },
        }
    }

    /// Copies the console log to a user: see [`Console::read`].
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn read_console(
        &self,
        to: &mut UserSliceWriter,
        position: &mut i64,
    ) -> Result<usize> {
        self.console.read(to, position)
    }

    /// Stops the kernel if one runs, and gives everything back. For the end of the module. May sleep.
    pub(crate) fn close(&self) {
        self.stop_at_end.set(None);
        let mut inner = self.inner.lock();
        let (processor, mut peer, module) = (
            inner.processor.take(),
            inner.peer.take(),
            inner.module.take(),
        );
        inner.facts.processor = None;
        drop(inner);
        // Without the lock, for it sleeps long; and in the order of kill().
        if let Some(processor) = &processor {
            processor.reset();
        }
        if let Some(peer) = &mut peer {
            peer.died();
        }
        drop(peer);
        drop(processor);
        drop(module);
    }

    fn turn(&self) -> Result<Turn<'_>> {
        let mut inner = self.inner.lock();
        if mem::replace(&mut inner.busy, true) {
            return Err(EBUSY);
        }
        Ok(Turn {
            partition: self,
            processor: inner.processor.take(),
            module: inner.module.take(),
            peer: inner.peer.take(),
        })
    }

    fn facts(&self) -> Facts {
        self.inner.lock().facts
    }

    fn note(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.inner.lock().facts);
    }

    fn report(&self) -> Option<(Report, u64)> {
        let mut page = [0; STATUS_SIZE];
        self.status.read(0, &mut page);
        boot_status::decode(&page)
    }

    /// Whether the second kernel has told that it has come to its end.
    fn has_ended(&self) -> bool {
        peer::end_of(&self.status).is_some()
    }
}

impl Turn<'_> {
    /// Changes the processor; a former one is given back to Linux. May sleep.
    fn set_processor(&mut self, processor: Option<LentProcessor>) {
        let partition = self.partition;
        partition.stop_at_end.set(processor.as_ref());
        partition.note(|facts| facts.processor = processor.as_ref().map(|p| (p.cpu(), p.id())));
        self.processor = processor;
    }

    fn reset(&self) {
        if let Some(processor) = &self.processor {
            processor.reset();
        }
    }

    /// Makes everything ready for the loaded kernel and starts it. May sleep.
    fn bring_up(&mut self, trampoline: &Trampoline) -> Result {
        let partition = self.partition;
        partition.console.clear();
        partition.status.write(0, &boot_status::initial());
        partition.note(|facts| facts.state = State::Loaded);

        // The old window goes before there is a new one.
        self.peer = None;
        let node = NodeId::new(NODE.into()).ok_or(EINVAL)?;
        let window = partition.layout.window();
        let mut peer = Peer::attach(&partition.memory, window, node, NODES as usize)
            .inspect_err(|e| pr_err!("no message window: {:?}\n", e))?;
        self.launch(trampoline)?;
        peer.watch(partition.status.clone())?;
        self.peer = Some(peer);
        Ok(())
    }

    /// Starts the processor and waits until it has entered the kernel. May sleep.
    fn launch(&self, trampoline: &Trampoline) -> Result {
        let processor = self.processor.as_ref().ok_or(ENODEV)?;
        let started_ns = boot_time_ns();
        self.partition.note(|facts| {
            facts.started_ns = started_ns;
            facts.started_tsc = processor::tsc();
        });
        processor.start(trampoline);
        let deadline = started_ns + ARRIVAL_MS * 1_000_000;
        while !trampoline.is_passed() {
            if boot_time_ns() > deadline {
                return Err(errno::timed_out());
            }
            sleep_killable(ARRIVAL_STEP_MS)?;
        }
        Ok(())
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut inner = self.partition.inner.lock();
        inner.processor = self.processor.take();
        inner.module = self.module.take();
        inner.peer = self.peer.take();
        inner.busy = false;
    }
}

fn claim(extent: Extent, what: &str, name: &'static CStr) -> Result<ReservedMemory> {
    ReservedMemory::claim(extent, name).inspect_err(|&e| {
        let why = if e == ENXIO {
            "not reserved: boot this kernel with memmap=SIZE$ADDRESS"
        } else {
            "in use by this kernel or a device"
        };
        report_range(what, extent, why);
    })
}

fn report_range(what: &str, extent: Extent, why: &str) {
    let (start, size) = (extent.start, extent.size);
    pr_err!("{} of {:#x} bytes at {:#x}: {}\n", what, size, start, why);
}

/// 0 if it is more than can be told.
fn cycles_to_ns(cycles: u64) -> u64 {
    match (cycles.checked_mul(1_000_000), processor::tsc_khz()) {
        (Some(scaled), khz) if khz != 0 => scaled / u64::from(khz),
        _ => 0,
    }
}
