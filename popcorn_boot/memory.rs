// SPDX-License-Identifier: GPL-2.0
//! The memory of a second kernel, and what the two kernels share in it.

use crate::console::Console;
use crate::core_file::Source;
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
use popcorn_core::bootparams::SEED_HEAD;
use popcorn_core::lent_cpus::LentCpus;
use popcorn_core::memory_plan::BLOCK;
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
    hangs: AtomicBool,
    faulted: AtomicBool,
    panicked: AtomicBool,
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
    pub(crate) fn new(
        wanted: resource_list::Memory,
        low: Option<Extent>,
        cpu: Option<u32>,
        stop_at_end: StopAtEnd,
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
        let mut extents = KVec::with_capacity(RANGES_MAX, GFP_KERNEL)?;
        for range in &ranges {
            extents.push(range.extent(), GFP_KERNEL)?;
        }
        let layout = Layout::new(&extents, low.extent()).map_err(|error| {
            pr_err!("memory of a kernel: {}\n", why(error));
            EINVAL
        })?;
        let first = ranges.first().ok_or(EINVAL)?;
        let zone = first.map(layout.console())?;
        let terminal = Terminal::new(first.map(layout.terminal())?);
        let terminal = Arc::pin_init(terminal, GFP_KERNEL)?;
        let status = Status(first.map(layout.status())?);
        let seed = Seed(first.map(layout.seed())?);
        // What is in there now was somebody else's.
        status.clear();
        seed.clear();
        let its_status = status.clone();
        let watch = EndWatch::new(move |end| this_kernel_ends(end, &its_status, &stop_at_end))?;
        Arc::pin_init(
            try_pin_init!(Self {
                _watch: watch,
                layout,
                console <- Console::new(zone),
                terminal,
                status,
                seed,
                hangs: AtomicBool::new(false),
                faulted: AtomicBool::new(false),
                panicked: AtomicBool::new(false),
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

    /// The seed of its random numbers.
    pub(crate) fn seed(&self) -> &Seed {
        &self.seed
    }

    /// Where everything is in it.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The range that holds what the loader writes.
    pub(crate) fn first(&self) -> Result<&PhysicalMemory> {
        self.ranges.first().ok_or(EINVAL)
    }

    /// All ranges but the low slice.
    pub(crate) fn ranges(&self) -> &[PhysicalMemory] {
        &self.ranges
    }

    /// The memory below 1 MiB.
    pub(crate) fn low(&self) -> &PhysicalMemory {
        &self.low
    }

    /// Bytes of it, without the low slice.
    pub(crate) fn size(&self) -> u64 {
        self.ranges.iter().map(|range| range.extent().size).sum()
    }
}

/// What becomes of another kernel when this one ends. One that panics leaves it alone: it may have work to
/// finish, and somebody to tell.
fn this_kernel_ends(end: End, status: &Status, stop_at_end: &StopAtEnd) {
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
    stop_at_end.stop();
}

impl Source for Memory {
    fn map(&self, part: Extent) -> Result<SharedMemory> {
        let mut all = Iterator::chain(self.ranges.iter(), Some(&self.low));
        all.find(|range| range.contains(part))
            .ok_or(EINVAL)?
            .map(part)
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
        let why = if error == ENXIO {
            "not reserved: boot this kernel with memmap=SIZE$ADDRESS"
        } else {
            "in use by this kernel or a device"
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
