// SPDX-License-Identifier: GPL-2.0
//! The memory of a second kernel, and what the two kernels share in it.

use crate::console::Console;
use crate::core_file::Mapped;
use crate::core_file::Source;
use crate::grown::Grown;
use crate::terminal::Terminal;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering;
use kernel::c_str;
use kernel::prelude::*;
use kernel::sync::Arc;
use popcorn_core::boot_control::PrimaryState;
use popcorn_core::boot_control::Wish;
use popcorn_core::boot_control::CONTROL;
use popcorn_core::boot_control::HEARTBEAT;
use popcorn_core::boot_control::PRIMARY;
use popcorn_core::boot_control::WISH;
use popcorn_core::boot_status;
use popcorn_core::boot_status::Report;
use popcorn_core::boot_status::STATUS_SIZE;
use popcorn_core::bootparams::seed_head;
use popcorn_core::bootparams::Extent;
use popcorn_core::bootparams::MemoryKind;
use popcorn_core::bootparams::SEED_HEAD;
use popcorn_core::lent_cpus::LentCpus;
use popcorn_core::lent_memory::LentMemory;
use popcorn_core::memory_plan::BLOCK;
use popcorn_core::partition::MemoryMap;
use popcorn_core::partition::Partition as Layout;
use popcorn_core::partition::PartitionError;
use popcorn_core::partition::LOW_SIZE;
use popcorn_core::partition::PARTITION_MAX;
use popcorn_core::partition::PARTITION_MIN;
use popcorn_core::partition::RANGES_MAX;
use popcorn_core::resource_list;
use popcorn_core::ring::Memory as _;
use popcorn_kernel::boot::end::End;
use popcorn_kernel::boot::end::EndWatch;
use popcorn_kernel::boot::end::StopAtEnd;
use popcorn_kernel::boot::memory::PhysicalMemory;
use popcorn_kernel::boot::processor::StartPages;
use popcorn_kernel::boot::sleep_killable;
use popcorn_kernel::shared_memory::SharedMemory;
use popcorn_kernel::system::random_u64;

/// How long a kernel may take to shut down when this one does.
const STOP_MS: u32 = 10_000;
const STOP_STEP_MS: u32 = 20;

/// All memory of one second kernel.
#[pin_data]
pub(crate) struct Memory {
    _watch: EndWatch,
    layout: Layout,
    #[pin]
    pub(crate) console: Console,
    pub(crate) terminal: Arc<Terminal>,
    pub(crate) status: Status,
    seed: Seed,
    start_pages: StartPages,
    hangs: AtomicBool,
    faulted: AtomicBool,
    panicked: AtomicBool,
    /// What it got while it ran.
    #[pin]
    pub(crate) grown: Grown,
    // After everything that maps them.
    ranges: KVec<PhysicalMemory>,
    low: PhysicalMemory,
}

impl Memory {
    /// Takes what is wanted from this kernel, or claims what was reserved at boot. If it can be, near
    /// processor `cpu`. May sleep, for seconds.
    ///
    /// # Errors
    ///
    /// `EINVAL`: sizes or addresses that cannot be. `ENXIO`: memory that was not reserved at boot.
    /// `EBUSY`: memory that somebody uses. `ENOMEM`: there is not so much. `ENOSPC`: none below 1 MiB.
    /// `EINTR`. When this kernel ends, so does the one in there, and `stop_at_end` stops its processors.
    /// Positions of its log begin with `log_origin`.
    pub(crate) fn new(
        wanted: resource_list::Memory,
        low: Option<Extent>,
        cpu: Option<u32>,
        stop_at_end: StopAtEnd,
        log_origin: u64,
    ) -> Result<Arc<Self>> {
        let low = match low {
            Some(extent) => claim(extent, "low memory", c_str!("Popcorn low memory"))?,
            None => PhysicalMemory::take_low(LOW_SIZE).inspect_err(|_| {
                pr_err!("no {} KiB below 640 KiB that this kernel does not use: reserve some with memmap=64K$448K, and name it\n", LOW_SIZE >> 10);
            })?,
        };
        let ranges = match wanted {
            resource_list::Memory::At(extent) => {
                let mut ranges = KVec::with_capacity(1, GFP_KERNEL)?;
                let memory = claim(extent, "memory", c_str!("Popcorn memory"))?;
                ranges.push(memory, GFP_KERNEL)?;
                ranges
            }
            resource_list::Memory::Anywhere(size) => {
                if size % BLOCK != 0 || !(PARTITION_MIN..=PARTITION_MAX).contains(&size) {
                    pr_err!(
                        "a kernel's memory must be a multiple of 2 MiB, from 64 MiB to 256 GiB\n"
                    );
                    return Err(EINVAL);
                }
                PhysicalMemory::take(size, cpu).inspect_err(|&error| {
                    if error == ENOMEM {
                        pr_err!("{} MiB cannot be had: too little is free, or it is too scattered; free some, or reserve it at boot with memmap=SIZE$ADDRESS\n", size >> 20);
                    }
                })?
            }
        };
        let layout = layout(&ranges, &[], &low)?;
        let first = ranges.first().ok_or(EINVAL)?;
        let zone = first.map(layout.console())?;
        let terminal = Terminal::new(first.map(layout.terminal())?);
        let terminal = Arc::pin_init(terminal, GFP_KERNEL)?;
        let status = Status(first.map(layout.status())?);
        let seed = Seed(first.map(layout.seed())?);
        // What is in there now was somebody else's.
        status.clear();
        seed.clear();
        let start_pages = StartPages::new(&low, layout.trampoline(), layout.low_ram())?;
        let (its_status, its_pages) = (status.clone(), start_pages.clone());
        let watch = EndWatch::new(move |end| {
            this_kernel_ends(end, &its_status, &stop_at_end, &its_pages);
        })?;
        Arc::pin_init(
            try_pin_init!(Self {
                _watch: watch,
                layout,
                console <- Console::new(zone, log_origin)?,
                terminal,
                status,
                seed,
                start_pages,
                hangs: AtomicBool::new(false),
                faulted: AtomicBool::new(false),
                panicked: AtomicBool::new(false),
                grown <- Grown::new(),
                ranges,
                low,
            }? Error),
            GFP_KERNEL,
        )
        .inspect(|memory| {
            memory.console.clear();
            memory.terminal.clear();
        })
    }

    /// Notes that the kernel in it shows no sign of life, or does again.
    pub(crate) fn set_hangs(&self, hangs: bool) {
        self.hangs.store(hangs, Ordering::Relaxed);
    }

    /// Whether the kernel in it has shown no sign of life for a while.
    pub(crate) fn hangs(&self) -> bool {
        self.hangs.load(Ordering::Relaxed)
    }

    /// Notes that the kernel in it did not survive its first instructions, or that another one comes.
    pub(crate) fn set_faulted(&self, faulted: bool) {
        self.faulted.store(faulted, Ordering::Relaxed);
    }

    /// Whether the kernel in it did not survive its first instructions.
    pub(crate) fn has_faulted(&self) -> bool {
        self.faulted.load(Ordering::Relaxed)
    }

    /// Notes that the kernel in it has panicked, as its log says, or that another one comes.
    pub(crate) fn set_panicked(&self, panicked: bool) {
        self.panicked.store(panicked, Ordering::Relaxed);
    }

    /// How the kernel in it has ended; `None` if it has not, as far as is known. What it reports counts more
    /// than what its log says.
    pub(crate) fn end(&self) -> Option<Report> {
        match self.status.report()? {
            (Report::None, _) => self
                .panicked
                .load(Ordering::Relaxed)
                .then_some(Report::Panic),
            (report, _) => report.is_final().then_some(report),
        }
    }

    /// Where its processors start.
    pub(crate) fn start_pages(&self) -> &StartPages {
        &self.start_pages
    }

    /// The seed of its random numbers.
    pub(crate) fn seed(&self) -> &Seed {
        &self.seed
    }

    /// Where everything is in it.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Everything that it has is to be in the memory map of the kernel that is loaded now: what it got while
    /// another one ran, too. What is too scattered for that is given back. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`. `EINVAL`: ranges that cannot be.
    pub(crate) fn map_at_load(&self) -> Result<MemoryMap> {
        self.grown.settle_down(self.free_ranges())?;
        let all = layout(&self.ranges, &self.grown.ranges()?, &self.low)?;
        Ok(all.memory_map())
    }

    /// How many more ranges it could boot with than it was made with.
    fn free_ranges(&self) -> usize {
        RANGES_MAX.saturating_sub(self.ranges.len())
    }

    /// How many more ranges than it has now it could boot with. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn ranges_left(&self) -> Result<usize> {
        let grown = self.grown.ranges()?.len();
        Ok(self.free_ranges().saturating_sub(grown))
    }

    /// All that it has, the low slice last. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn extents(&self) -> Result<KVec<Extent>> {
        let mut all = KVec::new();
        for range in self.ranges() {
            all.push(range.extent(), GFP_KERNEL)?;
        }
        all.extend_from_slice(&self.grown.ranges()?, GFP_KERNEL)?;
        all.push(self.low.extent(), GFP_KERNEL)?;
        Ok(all)
    }

    /// What the kernel uses as RAM, ascending. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn ram(&self) -> Result<KVec<Extent>> {
        let mut ram = self.grown.ranges()?;
        let map = self.layout.memory_map();
        for entry in map.iter().filter(|entry| entry.kind == MemoryKind::Ram) {
            let at = ram.partition_point(|before| before.start < entry.extent.start);
            ram.push(entry.extent, GFP_KERNEL)?;
            if let Some(behind) = ram.get_mut(at..) {
                behind.rotate_right(1);
            }
        }
        Ok(ram)
    }

    /// The range that holds what the loader writes.
    pub(crate) fn first(&self) -> Result<&PhysicalMemory> {
        self.ranges.first().ok_or(EINVAL)
    }

    /// All ranges that it was made with, but the low slice.
    pub(crate) fn ranges(&self) -> &[PhysicalMemory] {
        &self.ranges
    }

    /// The memory below 1 MiB.
    pub(crate) fn low(&self) -> &PhysicalMemory {
        &self.low
    }

    /// Bytes of it, without the low slice.
    pub(crate) fn size(&self) -> u64 {
        let made: u64 = self.ranges.iter().map(|range| range.extent().size).sum();
        made + self.grown.size()
    }

    /// In what it takes memory in while it runs, in bytes; `None` if it does not, or is not up yet.
    pub(crate) fn portion(&self) -> Option<u64> {
        match self.status.report() {
            Some((Report::Online, _)) => self.status.memory().portion(),
            _ => None,
        }
    }

    /// Bytes of it that it keeps while it runs, for it has booted with them.
    pub(crate) fn booted_size(&self) -> u64 {
        self.size().saturating_sub(self.grown.lent_size())
    }
}

/// Where everything is in these ranges, of which the first holds what the loader writes.
fn layout(ranges: &[PhysicalMemory], grown: &[Extent], low: &PhysicalMemory) -> Result<Layout> {
    let mut extents = KVec::with_capacity(ranges.len() + grown.len(), GFP_KERNEL)?;
    for range in ranges {
        extents.push(range.extent(), GFP_KERNEL)?;
    }
    extents.extend_from_slice(grown, GFP_KERNEL)?;
    Layout::new(&extents, low.extent()).map_err(|error| {
        pr_err!("memory of a kernel: {}\n", why(error));
        EINVAL
    })
}

/// What becomes of another kernel when this one ends. One that panics leaves it alone: it may have work to
/// finish, and somebody to tell.
fn this_kernel_ends(end: End, status: &Status, stop_at_end: &StopAtEnd, pages: &StartPages) {
    if end == End::Panic {
        status.tell(PrimaryState::Panicked);
        return;
    }
    // The page of one that was killed still says that it is online.
    if stop_at_end.is_needed() && matches!(status.report(), Some((Report::Online, _))) {
        status.wish(Wish::PowerOff);
        for _ in 0..STOP_MS / STOP_STEP_MS {
            if status.end().is_some() || sleep_killable(STOP_STEP_MS).is_err() {
                break;
            }
        }
    }
    stop_at_end.stop(pages);
}

impl Source for Memory {
    fn map(&self, part: Extent) -> Result<Mapped> {
        let mut all = Iterator::chain(self.ranges.iter(), Some(&self.low));
        if let Some(range) = all.find(|range| range.contains(part)) {
            return Ok(Mapped::new(range.map(part)?, None));
        }
        let piece = self.grown.find(part).ok_or(EINVAL)?;
        Ok(Mapped::new(piece.map(part)?, Some(piece)))
    }
}

fn why(error: PartitionError) -> &'static str {
    match error {
        PartitionError::Address => "not a multiple of 2 MiB, or out of range",
        PartitionError::Size => "less than 64 MiB in one piece, or more than 256 GiB",
        PartitionError::Count => "in too many pieces",
        PartitionError::Low => {
            "the low memory is not 48 KiB or more, in pages, between 64 and 640 KiB"
        }
    }
}

fn claim(extent: Extent, what: &str, name: &'static CStr) -> Result<PhysicalMemory> {
    PhysicalMemory::claim(extent, name).inspect_err(|&error| {
        let why = match error {
            e if e == ENXIO => "not reserved as a whole: boot this kernel with memmap=SIZE$ADDRESS",
            e if e == EINVAL => "no whole pages",
            _ => "in use by this kernel or a device",
        };
        let (start, size) = (extent.start, extent.size);
        pr_err!("{} of {:#x} bytes at {:#x}: {}\n", what, size, start, why);
    })
}

/// The page in which the second kernel reports, and in which the primary tells what it wants.
#[derive(Clone)]
pub(crate) struct Status(SharedMemory);

impl Status {
    /// Makes it ready for a start. Any context, as all here.
    pub(crate) fn clear(&self) {
        for offset in CONTROL.step_by(8) {
            self.0.store(offset, 0);
        }
        self.0.write(0, &boot_status::initial());
    }

    /// All that it reports.
    pub(crate) fn page(&self) -> [u8; STATUS_SIZE] {
        let mut page = [0; STATUS_SIZE];
        self.0.read(0, &mut page);
        page
    }

    /// What it has reported and, if that is "online", since when by the time-stamp counter; `None` if
    /// it has destroyed the page.
    pub(crate) fn report(&self) -> Option<(Report, u64)> {
        boot_status::decode(&self.page())
    }

    /// How the kernel has ended; `None` if it has not.
    pub(crate) fn end(&self) -> Option<Report> {
        let (report, _) = self.report()?;
        report.is_final().then_some(report)
    }

    /// A count that goes on while it lives, once it is online.
    pub(crate) fn heartbeat(&self) -> u64 {
        self.0.load(HEARTBEAT)
    }

    /// Which processors it has.
    pub(crate) fn cpus(&self) -> LentCpus<&SharedMemory> {
        LentCpus(&self.0)
    }

    /// Which memory it gets while it runs.
    pub(crate) fn memory(&self) -> LentMemory<&SharedMemory> {
        LentMemory(&self.0)
    }

    /// Tells it what is wanted of it.
    pub(crate) fn wish(&self, wish: Wish) {
        self.0.store(WISH, wish as u64);
    }

    /// Tells it how this kernel fares.
    pub(crate) fn tell(&self, state: PrimaryState) {
        self.0.store(PRIMARY, state as u64);
    }

    /// Tells it the time.
    pub(crate) fn set_wall_clock(&self, nanoseconds: u64, tsc: u64) {
        self.0
            .store(popcorn_core::boot_control::WALL_CLOCK, nanoseconds);
        self.0
            .store(popcorn_core::boot_control::WALL_CLOCK_TSC, tsc);
    }
}

/// Words of random bits that a kernel begins with: more than its generator needs to be ready.
const SEED_WORDS: usize = 8;

/// The page with the seed for a kernel's random numbers, which the kernel wipes when it has read it. Nobody
/// keeps a copy.
pub(crate) struct Seed(SharedMemory);

impl Seed {
    /// Makes one that was never used before. Any context but NMI.
    pub(crate) fn renew(&self) {
        for (i, word) in seed_head(SEED_WORDS as u32 * 8).iter().enumerate() {
            self.0.store(i * 8, *word);
        }
        // Word by word from the generator to where it belongs, so that it is nowhere else.
        for i in 0..SEED_WORDS {
            self.0.store(SEED_HEAD + i * 8, random_u64());
        }
    }

    /// Wipes it: the kernel may have ended before it did. Any context.
    pub(crate) fn clear(&self) {
        for offset in (0..SEED_HEAD + SEED_WORDS * 8).step_by(8) {
            self.0.store(offset, 0);
        }
    }
}
