// SPDX-License-Identifier: GPL-2.0
//! What lies in a second kernel's memory when it starts: the loader and the firmware of a machine that
//! has neither.
//!
//! Everything is written before the processor starts, from files that are in this kernel's own memory:
//! a user who changes them meanwhile changes nothing here.

use kernel::prelude::*;
use popcorn_core::acpi;
use popcorn_core::boot_command_line;
use popcorn_core::boot_command_line::LineError;
use popcorn_core::boot_command_line::Parameters;
use popcorn_core::bootparams::BootParams;
use popcorn_core::bootparams::Extent;
use popcorn_core::bootparams::Kernel;
use popcorn_core::bootparams::ENTRY_64;
use popcorn_core::bootparams::ZERO_PAGE_SIZE;
use popcorn_core::identity_map;
use popcorn_core::identity_map::TABLE_SIZE;
use popcorn_core::partition::PlaceError;
use popcorn_core::ring::Memory;
use popcorn_kernel::boot::file::FileContents;
use popcorn_kernel::boot::file::Purpose;
use popcorn_kernel::boot::memory::ReservedMemory;
use popcorn_kernel::boot::name_too_long;
use popcorn_kernel::boot::processor;
use popcorn_kernel::boot::processor::Trampoline;
use popcorn_kernel::current::cond_resched;
use popcorn_kernel::current::fatal_signal_pending;
use popcorn_kernel::shared_memory::SharedMemory;

/// Bytes copied between two looks at who else wants the processor.
const STEP: usize = 1 << 20;

/// The memory, as the loader needs it.
pub(crate) struct Target<'a> {
    /// Where everything goes.
    pub(crate) partition: &'a popcorn_core::partition::Partition,
    /// The partition.
    pub(crate) memory: &'a ReservedMemory,
    /// The low slice.
    pub(crate) low: &'a ReservedMemory,
}

/// What is to be started.
pub(crate) struct Image {
    kernel: FileContents,
    initrd: Option<FileContents>,
}

impl Image {
    /// Reads both files, of at most `max` bytes. May sleep.
    ///
    /// # Errors
    ///
    /// As [`FileContents::read`].
    pub(crate) fn read(kernel_fd: i32, initrd_fd: Option<i32>, max: usize) -> Result<Self> {
        let kernel = FileContents::read(kernel_fd, max, Purpose::Kernel)
            .inspect_err(|e| pr_err!("cannot read the kernel: {:?}\n", e))?;
        let initrd = initrd_fd
            .map(|fd| FileContents::read(fd, max, Purpose::Initrd))
            .transpose()
            .inspect_err(|e| pr_err!("cannot read the initramfs: {:?}\n", e))?;
        Ok(Self { kernel, initrd })
    }
}

/// Who the second kernel is.
pub(crate) struct Identity<'a> {
    /// Hardware id of its processor.
    pub(crate) processor: u32,
    /// Node id.
    pub(crate) node: u32,
    /// Number of nodes.
    pub(crate) nodes: u32,
    /// What the user adds to its command line.
    pub(crate) command_line: &'a [u8],
}

/// Writes everything that the second kernel needs, and returns where its processor is to start. May
/// sleep.
///
/// # Errors
///
/// `ENOEXEC`: not a kernel that can be started. `EFBIG`: too big. `EINVAL`, `ENAMETOOLONG`: the command
/// line. `ENODEV`: the clock's frequency is not known. `EINTR`: killed. `ENOMEM`.
pub(crate) fn load(target: &Target<'_>, image: &Image, who: &Identity<'_>) -> Result<Trampoline> {
    let partition = target.partition;
    let kernel = Kernel::parse(&image.kernel).map_err(|e| {
        pr_err!("cannot start this kernel: {}\n", e.as_str());
        ENOEXEC
    })?;
    let initrd: &[u8] = image.initrd.as_deref().unwrap_or(&[]);
    let placement = partition
        .place(&kernel, initrd.len() as u64)
        .map_err(|e| match e {
            PlaceError::TooBig => {
                pr_err!(
                    "kernel ({} KiB when it starts) and initramfs ({} KiB) do not fit the memory\n",
                    kernel.init_size() >> 10,
                    initrd.len() >> 10
                );
                EFBIG
            }
            PlaceError::Above4G => {
                pr_err!("this kernel cannot run above 4 GiB\n");
                ENOEXEC
            }
        })?;

    let mut page = Buffer::new(ZERO_PAGE_SIZE)?;
    let length = command_line(&mut page, kernel.command_line_max(), target, who)?;
    write(target.memory, partition.command_line(), &page[..=length])?;

    let tables_phys = partition.acpi().start;
    let machine = acpi::Machine {
        foreign: processor::boot_processor_id(),
        cpus: &[who.processor],
        decoy_io_apic: partition.decoy_io_apic().start,
    };
    page.fill(0);
    let rsdp = acpi::build(&mut page, tables_phys, &machine).map_err(|e| {
        pr_err!("no tables for processor {}: {:?}\n", who.processor, e);
        EINVAL
    })?;
    write(target.memory, partition.acpi(), &page)?;

    page.fill(0xff);
    write(target.low, partition.decoy_io_apic(), &page)?;

    let params = BootParams {
        command_line: partition.command_line().start,
        initrd: placement.initrd,
        rsdp,
        memory_map: &partition.memory_map(),
    };
    params
        .write(&kernel, page.as_page()?)
        .map_err(|e| internal("memory map", e))?;
    write(target.memory, partition.zero_page(), &page)?;

    page_tables(target, &mut page)?;
    write(target.memory, placement.kernel, kernel.code())?;
    if let Some(extent) = placement.initrd {
        write(target.memory, extent, initrd)?;
    }
    Trampoline::write(
        target.low,
        partition.trampoline().start,
        partition.top_table().start,
        placement.kernel.start + ENTRY_64,
        partition.zero_page().start,
    )
}

fn command_line(
    out: &mut [u8],
    max: usize,
    target: &Target<'_>,
    who: &Identity<'_>,
) -> Result<usize> {
    let tsc_khz = processor::tsc_khz();
    if tsc_khz == 0 {
        pr_err!("the time-stamp counter's frequency is not known\n");
        return Err(ENODEV);
    }
    let parameters = Parameters {
        partition: target.partition,
        tsc_khz,
        node: who.node,
        nodes: who.nodes,
        user: who.command_line,
    };
    boot_command_line::build(out, max, &parameters).map_err(|e| match e {
        LineError::TooLong => {
            pr_err!("the command line is longer than {} bytes\n", max);
            name_too_long()
        }
        LineError::Character => {
            pr_err!("bad character or quote in the command line\n");
            EINVAL
        }
        LineError::Refused(parameter) => {
            pr_err!("a second kernel must not be started with {}\n", parameter);
            EINVAL
        }
    })
}

fn page_tables(target: &Target<'_>, top: &mut Buffer) -> Result {
    let partition = target.partition;
    let extent = partition.page_tables();
    let mut tables = Buffer::new(usize::try_from(extent.size)?)?;
    identity_map::build(
        top.as_page()?,
        &mut tables,
        extent.start,
        partition.memory(),
    )
    .map_err(|e| internal("page tables", e))?;
    write(target.low, partition.top_table(), top)?;
    write(target.memory, extent, &tables)
}

/// The layout has been checked, so this cannot happen.
fn internal(what: &str, error: impl core::fmt::Debug) -> Error {
    pr_err!("{}: {:?}\n", what, error);
    EINVAL
}

/// Copies `bytes` to the start of `extent`, which must hold them.
fn write(memory: &ReservedMemory, extent: Extent, bytes: &[u8]) -> Result {
    if bytes.len() as u64 > extent.size {
        return Err(EFBIG);
    }
    let to: SharedMemory = memory.map(Extent::new(extent.start, bytes.len() as u64))?;
    for (i, step) in bytes.chunks(STEP).enumerate() {
        if fatal_signal_pending() {
            return Err(EINTR);
        }
        to.write(i * STEP, step);
        cond_resched();
    }
    Ok(())
}

/// Zeroed memory of any size.
struct Buffer(VVec<u8>);

impl Buffer {
    fn new(size: usize) -> Result<Self> {
        let mut bytes = VVec::with_capacity(size, GFP_KERNEL)?;
        let zeros = [0; 256];
        while bytes.len() < size {
            let step = zeros.len().min(size - bytes.len());
            bytes.extend_from_slice(&zeros[..step], GFP_KERNEL)?;
        }
        Ok(Self(bytes))
    }

    /// As the array that a page is. Tables and zero page have the same size.
    fn as_page(&mut self) -> Result<&mut [u8; ZERO_PAGE_SIZE]> {
        const { assert!(ZERO_PAGE_SIZE == TABLE_SIZE) };
        self.0.as_mut_slice().try_into().map_err(|_| EINVAL)
    }
}

impl core::ops::Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl core::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}
