// SPDX-License-Identifier: GPL-2.0
//! One part of the machine, and the kernel that runs on it.
//!
//! The interface that a user sees is elsewhere; here is what may follow what:
//!
//! ```text
//! Empty --> Loaded --> Running --> Stopped --> Loaded --> ...
//! ```
//!
//! What changes anything takes a *turn*: it has processors and memory to itself and no lock, since taking a
//! processor from Linux, moving memory, reading files and waiting take their time. Somebody who comes
//! meanwhile is told that it is busy; only questions are answered. What a turn gets done it undoes in
//! reverse if it fails.
//!
//! Lock order: [`Partition::inner`] is held for a few lines only and nothing is taken under it.

use crate::early::Early;
use crate::loader;
use crate::loader::Identity;
use crate::loader::Image;
use crate::memory::Memory;
use crate::peer::Peer;
use core::mem;
use exchange::Exchange;
use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::new_mutex;
use kernel::sync::Arc;
use kernel::sync::Mutex;
use popcorn_core::acpi::BRIDGES_MAX;
use popcorn_core::boot_control::Wish;
use popcorn_core::boot_status::Report;
use popcorn_core::bootparams::Extent;
use popcorn_core::elf_core::Mapping;
use popcorn_core::ids::NodeId;
use popcorn_core::lent_cpus::CpuLists;
use popcorn_core::machine_id::MachineId;
use popcorn_core::partition::CPUS_MAX;
use popcorn_core::pci::Address;
use popcorn_core::resource_list;
use popcorn_kernel::boot::boot_time_ns;
use popcorn_kernel::boot::end::StopAtEnd;
use popcorn_kernel::boot::pci::LentDevice;
use popcorn_kernel::boot::processor;
use popcorn_kernel::boot::processor::LentProcessor;
use popcorn_kernel::boot::processor::Trampoline;
use popcorn_kernel::boot::sleep_killable;
use popcorn_kernel::configfs::Hold;
use popcorn_kernel::errno;
use popcorn_kernel::system::random_u64;
use popcorn_kernel::task::sleep_us;

mod exchange;
mod hotplug;
mod more_memory;

/// How long a processor may take from its start to a kernel's entry: some microseconds, but on an
/// emulated machine with more processors than the host has, it must first get its turn.
const ARRIVAL_MS: u64 = 10_000;
const ARRIVAL_STEP_MS: u32 = 5;
/// How long a kernel may take to shut down in order.
const STOP_MS: u64 = 30_000;
const STOP_STEP_MS: u32 = 20;

/// A second kernel: its processors, its memory, and its state.
#[pin_data]
pub(crate) struct Partition {
    name: CString,
    node: NodeId,
    #[pin]
    inner: Mutex<Inner>,
    stop_at_end: StopAtEnd,
}

/// What has happened to the kernel, as far as this one has done it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// None was loaded, or it is out of date.
    Empty,
    /// It is in memory.
    Loaded,
    /// Its first processor has entered it.
    Running,
    /// It was stopped.
    Stopped,
}

/// What there is to say of a kernel.
#[derive(Clone, Copy)]
pub(crate) struct Facts {
    /// What was done to it.
    pub(crate) state: State,
    /// When it was started, by `CLOCK_BOOTTIME` in nanoseconds; 0: never.
    pub(crate) started_ns: u64,
    /// The same by the time-stamp counter.
    pub(crate) started_tsc: u64,
    /// How often.
    pub(crate) starts: u32,
    /// The text of the one that was started last, in memory and by its own addresses, if that is known.
    pub(crate) mapping: Option<Mapping>,
}

/// What is loaded at the next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// Path of the kernel.
    Kernel,
    /// Path of the initramfs; empty: none.
    Initrd,
    /// What is added to the command line.
    CommandLine,
}

struct Inner {
    /// Somebody has the turn, and with it `parts`.
    busy: bool,
    /// Nothing is to be done any more.
    closed: bool,
    parts: Parts,
    /// Also while somebody has the turn.
    memory: Option<Arc<Memory>>,
    /// Where the log of the memory before ended: who follows it goes on from there in the next.
    log_end: u64,
    /// The processors, by number here and hardware id; also then. Only the first `processor_count`.
    processors: [(u32, u32); CPUS_MAX],
    processor_count: usize,
    /// The devices; also then.
    devices: KVec<Address>,
    /// Processors that the next kernel may get later, by number here.
    possible: KVec<u32>,
    /// As C strings.
    settings: [Option<CString>; 3],
    /// The low slice, if it is to be at a certain place.
    low: Option<Extent>,
    machine_id: MachineId,
    facts: Facts,
}

/// What belongs to who has the turn.
#[derive(Default)]
struct Parts {
    processors: KVec<LentProcessor>,
    devices: KVec<LentDevice>,
    /// Processors that the kernel that is loaded, or runs, may get later, by number here.
    possible: KVec<u32>,
    /// The way into the kernel that is loaded.
    trampoline: Option<Trampoline>,
    /// Its text, in memory and by its own addresses.
    mapping: Option<Mapping>,
    /// Which processors the kernel that runs has, as it is told.
    lists: CpuLists,
    /// Held while a kernel runs: its directory must not go then.
    hold: Option<Hold>,
    /// From the first start on.
    peer: Option<Peer>,
}

/// The right to change the partition's state, for one at a time.
struct Turn<'a> {
    partition: &'a Partition,
    parts: Parts,
}

impl Partition {
    /// One that has nothing yet. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(name: &CStr, node: NodeId) -> Result<Arc<Self>> {
        let name = CString::try_from(name)?;
        let stop_at_end = StopAtEnd::new()?;
        let bits = (u128::from(random_u64()) << 64) | u128::from(random_u64());
        let machine_id = MachineId::random(bits);
        Arc::pin_init(
            pin_init!(Self {
                name,
                node,
                inner <- new_mutex!(Inner {
                    busy: false,
                    closed: false,
                    parts: Parts::default(),
                    memory: None,
                    log_end: 0,
                    processors: [(0, 0); CPUS_MAX],
                    processor_count: 0,
                    devices: KVec::new(),
                    possible: KVec::new(),
                    settings: [const { None }; 3],
                    low: None,
                    machine_id,
                    facts: Facts {
                        state: State::Empty,
                        started_ns: 0,
                        started_tsc: 0,
                        starts: 0,
                        mapping: None,
                    },
                }, "popcorn_boot partition"),
                stop_at_end,
            }),
            GFP_KERNEL,
        )
    }

    /// What it is called, also as a host.
    pub(crate) fn name(&self) -> &CStr {
        &self.name
    }

    /// Its node id.
    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// Its memory, if it has any.
    pub(crate) fn memory(&self) -> Option<Arc<Memory>> {
        self.inner.lock().memory.clone()
    }

    /// As [`Partition::memory`].
    ///
    /// # Errors
    ///
    /// `ENODEV`: the kernel is gone. `ENXIO`: it has no memory.
    pub(crate) fn memory_or_error(&self) -> Result<Arc<Memory>> {
        let inner = self.inner.lock();
        match &inner.memory {
            _ if inner.closed => Err(ENODEV),
            Some(memory) => Ok(memory.clone()),
            None => Err(ENXIO),
        }
    }

    /// What happened to it.
    pub(crate) fn facts(&self) -> Facts {
        self.inner.lock().facts
    }

    /// Calls `each` with the number here and the hardware id of each of its processors, under a lock.
    pub(crate) fn for_each_processor(&self, mut each: impl FnMut(u32, u32)) {
        let inner = self.inner.lock();
        for &(cpu, id) in inner.processors.iter().take(inner.processor_count) {
            each(cpu, id);
        }
    }

    /// How it has ended by itself; `None` if it has not, or was not started.
    pub(crate) fn end(&self) -> Option<Report> {
        match self.facts().state {
            State::Running => self.memory()?.end(),
            _ => None,
        }
    }

    /// Whether it runs, as far as is known.
    pub(crate) fn is_running(&self) -> bool {
        self.facts().state == State::Running && self.end().is_none()
    }

    /// Gives it these processors and no others, the one that it boots on first. They go offline here; those
    /// that it had and that are not listed come back. While it runs: see `hotplug.rs`. May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY`: somebody has the turn, or a processor cannot go offline. `ENODEV`: there is
    /// no such processor. `EPERM`: it is the one that the machine booted on. `ENOMEM`. It has then what it
    /// had before.
    pub(crate) fn set_processors(&self, wanted: &[u32]) -> Result {
        if wanted.len() > CPUS_MAX {
            return Err(E2BIG);
        }
        let mut turn = self.turn()?;
        if self.is_running() {
            return self.change_processors(&mut turn, wanted);
        }
        turn.kill();
        let exchange = Exchange::begin(&turn.parts.processors, wanted)?;
        turn.forget_image();
        // Its messages are answered by interrupts, and none must reach a processor that is Linux's again.
        turn.parts.peer = None;
        let back = exchange.finish(&mut turn.parts.processors, wanted);
        self.processors_changed(&turn);
        drop(back);
        Ok(())
    }

    /// Lets others see which processors it has now.
    fn processors_changed(&self, turn: &Turn<'_>) {
        let processors = &turn.parts.processors;
        let mut inner = self.inner.lock();
        for (to, from) in inner.processors.iter_mut().zip(processors) {
            *to = (from.cpu(), from.id());
        }
        inner.processor_count = processors.len();
    }

    /// Gives it memory, instead of what it has; none: takes that away. While it runs: see `more_memory.rs`.
    /// May sleep, for seconds.
    ///
    /// # Errors
    ///
    /// `EBUSY`: somebody has the turn. Those of [`Memory::new`]: it has then none.
    pub(crate) fn set_memory(&self, wanted: resource_list::Memory) -> Result {
        let mut turn = self.turn()?;
        if self.is_running() {
            return self.change_memory(&turn, wanted);
        }
        turn.kill();
        turn.forget_image();
        turn.parts.peer = None;
        for device in &turn.parts.devices {
            device.revoke_all();
        }
        let former = self.inner.lock().memory.take();
        if let Some(former) = former {
            let end = former.console.end();
            self.inner.lock().log_end = end;
        }
        if matches!(wanted, resource_list::Memory::Anywhere(0)) {
            return Ok(());
        }
        let (low, log_end) = {
            let inner = self.inner.lock();
            (inner.low, inner.log_end)
        };
        let cpu = turn.parts.processors.first().map(LentProcessor::cpu);
        let memory = Memory::new(wanted, low, cpu, self.stop_at_end.clone(), log_end)?;
        self.inner.lock().memory = Some(memory);
        Ok(())
    }

    /// Gives it these PCI devices and no others; the primary's drivers lose them. Those that it had and that
    /// are not listed come back. May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY`: it runs, or somebody has the turn, or the device. `E2BIG`. Those of [`LentDevice::take`]. It
    /// has then what it had before.
    pub(crate) fn set_devices(&self, wanted: &[Address]) -> Result {
        let mut turn = self.idle_turn()?;
        if wanted.len() > BRIDGES_MAX {
            return Err(E2BIG);
        }
        let exchange = Exchange::begin(&turn.parts.devices, wanted)?;
        let mut list = KVec::with_capacity(wanted.len(), GFP_KERNEL)?;
        list.extend_from_slice(wanted, GFP_KERNEL)?;
        turn.forget_image();
        let back = exchange.finish(&mut turn.parts.devices, wanted);
        let old = mem::replace(&mut self.inner.lock().devices, list);
        drop((old, back));
        Ok(())
    }

    /// Which processors the next kernel may get while it runs. May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY`: it runs, or somebody has the turn. `E2BIG`. `ENOMEM`.
    pub(crate) fn set_possible(&self, cpus: &[u32]) -> Result {
        let mut turn = self.idle_turn()?;
        if cpus.len() > CPUS_MAX {
            return Err(E2BIG);
        }
        let mut list = KVec::with_capacity(cpus.len(), GFP_KERNEL)?;
        list.extend_from_slice(cpus, GFP_KERNEL)?;
        turn.forget_image();
        let former = mem::replace(&mut self.inner.lock().possible, list);
        drop(former);
        Ok(())
    }

    /// Calls `each` with the number of each of those processors, under a lock.
    pub(crate) fn for_each_possible(&self, mut each: impl FnMut(u32)) {
        for &cpu in &self.inner.lock().possible {
            each(cpu);
        }
    }

    /// Calls `each` with the address of each of its devices, under a lock.
    pub(crate) fn for_each_device(&self, mut each: impl FnMut(Address)) {
        for &address in &self.inner.lock().devices {
            each(address);
        }
    }

    /// Where its low slice shall be, from the next memory on; `None`: wherever there is room.
    pub(crate) fn set_low(&self, low: Option<Extent>) {
        self.inner.lock().low = low;
    }

    /// See [`Partition::set_low`].
    pub(crate) fn low(&self) -> Option<Extent> {
        self.inner.lock().low
    }

    /// Changes what is loaded; an image that is loaded is out of date then. `value` has no zero byte. May
    /// sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY`: somebody has the turn. `ENOMEM`.
    pub(crate) fn set(&self, setting: Setting, value: &[u8]) -> Result {
        let value = core::str::from_utf8(value).map_err(|_| EINVAL)?;
        let value = CString::try_from_fmt(kernel::fmt!("{value}"))?;
        let mut turn = self.turn()?;
        turn.forget_image();
        let former = self.inner.lock().settings[setting as usize].replace(value);
        drop(former);
        Ok(())
    }

    /// How the programs of the next kernel know their machine; an image that is loaded is out of date then.
    ///
    /// # Errors
    ///
    /// `EBUSY`: somebody has the turn.
    pub(crate) fn set_machine_id(&self, id: MachineId) -> Result {
        let mut turn = self.turn()?;
        turn.forget_image();
        self.inner.lock().machine_id = id;
        Ok(())
    }

    /// See [`Partition::set_machine_id`]. Random, if nobody has set it.
    pub(crate) fn machine_id(&self) -> MachineId {
        self.inner.lock().machine_id
    }

    /// A setting, as it is. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn setting(&self, setting: Setting) -> Result<Option<CString>> {
        match &self.inner.lock().settings[setting as usize] {
            Some(value) => Ok(Some(CString::try_from(&**value)?)),
            None => Ok(None),
        }
    }

    /// Reads kernel and initramfs, checks them and puts all into its memory. May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY`: it runs, or somebody has the turn. `ENXIO`: it has no memory or no processor, or no kernel
    /// was named. Those of [`Image::read`] and of [`loader::load`].
    pub(crate) fn load(&self) -> Result {
        self.idle_turn()?.load()
    }

    /// Starts the kernel, after loading it if need be; returns when its processor has entered it. `hold` is
    /// kept until it is stopped. May sleep.
    ///
    /// # Errors
    ///
    /// As [`Partition::load`]. `ETIMEDOUT`: the processor did not enter the kernel. `EIO`: it did not
    /// get far. `EINTR`: killed.
    pub(crate) fn start(&self, hold: Hold) -> Result {
        let mut turn = self.idle_turn()?;
        if turn.parts.trampoline.is_none() {
            turn.load()?;
        }
        turn.bring_up(hold)
    }

    /// Stops the kernel, whatever it does. It keeps its memory and processors. May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY`: somebody has the turn. `ESRCH`: none runs.
    pub(crate) fn kill(&self) -> Result {
        let mut turn = self.turn()?;
        if self.facts().state != State::Running {
            return Err(ESRCH);
        }
        turn.kill();
        Ok(())
    }

    /// Parts from the kernel in order (`in_order`), asks it to shut down, waits until it has, and stops it. May
    /// sleep, long.
    ///
    /// # Errors
    ///
    /// `EBUSY`: somebody has the turn. `ESRCH`: none runs. `ETIMEDOUT`: something does not go home from
    /// there, or to there, and nothing was done; or it has not shut down yet. `EINTR`: killed.
    pub(crate) fn stop(&self, in_order: bool) -> Result {
        let mut turn = self.turn()?;
        let memory = self.memory().ok_or(ESRCH)?;
        if self.facts().state != State::Running {
            return Err(ESRCH);
        }
        // Kept until it runs no more: nobody sends it anything while it ends.
        let _parting = match &turn.parts.peer {
            Some(peer) if in_order => peer.part()?,
            _ => None,
        };
        memory.status.wish(Wish::PowerOff);
        let deadline = boot_time_ns() + STOP_MS * 1_000_000;
        while memory.end().is_none() {
            if boot_time_ns() > deadline {
                return Err(errno::timed_out());
            }
            sleep_killable(STOP_STEP_MS)?;
        }
        turn.kill();
        Ok(())
    }

    /// Stops the kernel if it runs, and gives everything back. Nothing can be done with it afterwards. May
    /// sleep.
    pub(crate) fn close(&self) {
        let mut turn = loop {
            match self.turn() {
                Ok(turn) => break turn,
                Err(error) if error == EBUSY => {
                    // Whoever has it comes to an end. Not killable: what it has must not be lost.
                    sleep_us(STOP_STEP_MS * 1000);
                }
                Err(_) => return,
            }
        };
        turn.kill();
        turn.parts.peer = None;
        // None of them writes to memory that is not the kernel's any more.
        drop(mem::take(&mut turn.parts.devices));
        let mut inner = self.inner.lock();
        inner.closed = true;
        let memory = inner.memory.take();
        inner.processor_count = 0;
        let devices = mem::take(&mut inner.devices);
        drop(inner);
        drop((memory, devices));
        // Processors go with the turn's parts.
        let parts = mem::take(&mut turn.parts);
        drop(turn);
        drop(parts);
    }

    fn turn(&self) -> Result<Turn<'_>> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(ENODEV);
        }
        if mem::replace(&mut inner.busy, true) {
            return Err(EBUSY);
        }
        Ok(Turn {
            partition: self,
            parts: mem::take(&mut inner.parts),
        })
    }

    /// A turn while no kernel runs. One that has ended by itself is put to rest: it sits in memory that is
    /// about to be used otherwise.
    fn idle_turn(&self) -> Result<Turn<'_>> {
        let mut turn = self.turn()?;
        if self.is_running() {
            return Err(EBUSY);
        }
        turn.kill();
        Ok(turn)
    }

    fn note(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.inner.lock().facts);
    }
}

impl Turn<'_> {
    /// What is loaded must be loaded again.
    fn forget_image(&mut self) {
        self.parts.trampoline = None;
        self.partition.note(|facts| {
            if facts.state == State::Loaded {
                facts.state = State::Empty;
            }
        });
    }

    fn load(&mut self) -> Result {
        let partition = self.partition;
        self.forget_image();
        let memory = partition
            .memory()
            .ok_or_else(|| missing(partition, "memory"))?;
        let path = partition.setting(Setting::Kernel)?;
        let path = path
            .filter(|path| !path.is_empty())
            .ok_or_else(|| missing(partition, "kernel"))?;
        let initrd = partition
            .setting(Setting::Initrd)?
            .filter(|path| !path.is_empty());
        let command_line = partition.setting(Setting::CommandLine)?;
        let mut ids = self.hardware_ids()?;
        if ids.is_empty() {
            return Err(missing(partition, "processor"));
        }
        let count = ids.len();
        let mut possible = KVec::with_capacity(CPUS_MAX, GFP_KERNEL)?;
        possible.extend_from_slice(&partition.inner.lock().possible, GFP_KERNEL)?;
        for &cpu in &possible {
            let id = processor::hardware_id(cpu)?;
            if ids.len() < CPUS_MAX && !ids.contains(&id) {
                ids.push(id, GFP_KERNEL)?;
            }
        }
        let mut bridges = KVec::with_capacity(self.parts.devices.len(), GFP_KERNEL)?;
        for device in &self.parts.devices {
            // It must be quiet before anything is written to memory that it may still write to.
            device.reset()?;
            device.revoke_all();
            bridges.push(device.bridge(), GFP_KERNEL)?;
        }
        let max = usize::try_from(memory.layout().memory().size)?;
        let image = Image::read(&path, initrd.as_deref(), max)?;
        let who = Identity {
            name: partition.name.as_bytes(),
            machine_id: partition.machine_id(),
            processors: &ids,
            online: count,
            bridges: &bridges,
            node: partition.node,
            command_line: command_line.as_ref().map_or(&[], |line| line.as_bytes()),
        };
        let (trampoline, mapping) = loader::load(&memory, &image, &who)?;
        for &extent in &memory.extents()? {
            self.allow_devices(extent)?;
        }
        self.parts.trampoline = Some(trampoline);
        self.parts.mapping = mapping;
        self.parts.possible = possible;
        partition.note(|facts| facts.state = State::Loaded);
        Ok(())
    }

    /// Lets its devices reach `range`, which is the kernel's and which they were not allowed yet. May sleep.
    ///
    /// # Errors
    ///
    /// As [`LentDevice::allow`]; some may reach it then.
    fn allow_devices(&self, range: Extent) -> Result {
        self.parts
            .devices
            .iter()
            .try_for_each(|device| device.allow(range))
    }

    /// Takes `range`, which was allowed as a whole if at all, out of their reach. May sleep.
    fn revoke_devices(&self, range: Extent) {
        for device in &self.parts.devices {
            device.revoke(range);
        }
    }

    /// Those of the processors that it has.
    fn hardware_ids(&self) -> Result<KVec<u32>> {
        let mut ids = KVec::with_capacity(self.parts.processors.len(), GFP_KERNEL)?;
        for processor in &self.parts.processors {
            ids.push(processor.id(), GFP_KERNEL)?;
        }
        Ok(ids)
    }

    /// Makes everything ready for the loaded kernel and starts it. May sleep.
    fn bring_up(&mut self, hold: Hold) -> Result {
        let partition = self.partition;
        let memory = partition.memory().ok_or(ENXIO)?;
        let trampoline = self.parts.trampoline.take().ok_or(ENXIO)?;
        memory.console.clear();
        memory.terminal.clear();
        memory.status.clear();
        let ids = self.hardware_ids()?;
        self.parts.lists.begin(&memory.status.cpus(), &ids);
        memory.status.memory().begin();
        memory.set_panicked(false);
        memory.seed().renew();
        // Whatever comes of it, it is not what was loaded any more.
        let mapping = self.parts.mapping;
        partition.note(|facts| {
            facts.state = State::Stopped;
            facts.mapping = mapping;
            facts.starts = facts.starts.saturating_add(1);
        });

        // The old window goes before there is a new one.
        self.parts.peer = None;
        let mut peer = Peer::attach(&memory, partition.node)
            .inspect_err(|e| pr_err!("{}: no message window: {:?}\n", partition.name(), e))?;
        partition.stop_at_end.set(self.parts.processors.iter());
        if let Err(error) = self.launch(&memory, &trampoline) {
            pr_err!(
                "{}: its processor did not enter the kernel: {:?}\n",
                partition.name(),
                error
            );
            self.reset();
            return Err(error);
        }
        let early = Early::new(&memory, mapping);
        let watched = early.and_then(|early| peer.watch(memory.clone(), trampoline, early));
        if let Err(error) = watched {
            self.reset();
            return Err(error);
        }
        self.parts.peer = Some(peer);
        self.parts.hold = Some(hold);
        partition.note(|facts| {
            facts.state = State::Running;
        });
        pr_info!("{}: started as node {}\n", partition.name(), partition.node);
        Ok(())
    }

    /// Starts the processor and waits until it has entered the kernel. May sleep.
    fn launch(&self, memory: &Memory, trampoline: &Trampoline) -> Result {
        let processor = self.parts.processors.first().ok_or(ENXIO)?;
        let started_ns = boot_time_ns();
        let tsc = processor::tsc();
        memory
            .status
            .set_wall_clock(popcorn_kernel::time::wall_clock_ns(), tsc);
        self.partition.note(|facts| {
            facts.started_ns = started_ns;
            facts.started_tsc = tsc;
        });
        processor.start(trampoline);
        let deadline = started_ns + ARRIVAL_MS * 1_000_000;
        while !trampoline.is_passed() {
            if trampoline.is_faulted() {
                pr_err!(
                    "{}: an exception at the kernel's first instructions\n",
                    self.partition.name()
                );
                return Err(EIO);
            }
            if boot_time_ns() > deadline {
                return Err(errno::timed_out());
            }
            sleep_killable(ARRIVAL_STEP_MS)?;
        }
        Ok(())
    }

    /// Stops processors, and after them devices, which they could start again.
    fn reset(&self) {
        if let Some(memory) = self.partition.memory() {
            memory.start_pages().park();
        }
        processor::reset_all(&self.parts.processors);
        for device in &self.parts.devices {
            if let Err(error) = device.reset() {
                pr_err!("device {} does not stop: {:?}\n", device.address(), error);
            }
        }
        self.partition.stop_at_end.set(core::iter::empty());
        if let Some(memory) = self.partition.memory() {
            memory.seed().clear();
        }
    }

    /// Stops the kernel, if one was started and not stopped since. May sleep.
    fn kill(&mut self) {
        if self.partition.facts().state != State::Running {
            return;
        }
        self.reset();
        self.parts.hold = None;
        if let Some(peer) = &mut self.parts.peer {
            peer.died();
        }
        self.partition.note(|facts| facts.state = State::Stopped);
        pr_info!("{}: stopped\n", self.partition.name());
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut inner = self.partition.inner.lock();
        inner.parts = mem::take(&mut self.parts);
        inner.busy = false;
    }
}

fn missing(partition: &Partition, what: &str) -> Error {
    pr_err!("{}: give it a {} first\n", partition.name(), what);
    ENXIO
}
