// SPDX-License-Identifier: GPL-2.0
//! What lies in a second kernel's memory when it starts: the loader and the firmware of a machine that
//! has neither.
//!
//! Everything is written before the processor starts, from files that are in this kernel's own memory:
//! a user who changes them meanwhile changes nothing here.

use crate::memory::Memory;
use kernel::prelude::*;
use popcorn_core::acpi;
use popcorn_core::acpi::HostBridge;
use popcorn_core::boot_command_line;
use popcorn_core::boot_command_line::LineError;
use popcorn_core::boot_command_line::Parameters;
use popcorn_core::bootparams::BootParams;
use popcorn_core::bootparams::Extent;
use popcorn_core::bootparams::Kernel;
use popcorn_core::bootparams::ENTRY_64;
use popcorn_core::bootparams::ZERO_PAGE_SIZE;
use popcorn_core::elf_core::Mapping;
use popcorn_core::identity_map;
use popcorn_core::identity_map::TABLE_SIZE;
use popcorn_core::ids::NodeId;
use popcorn_core::machine_id::MachineId;
use popcorn_core::partition::PlaceError;
use popcorn_core::ring::Memory as _;
use popcorn_kernel::boot::file::FileContents;
use popcorn_kernel::boot::file::Purpose;
use popcorn_kernel::boot::memory::PhysicalMemory;
use popcorn_kernel::boot::name_too_long;
use popcorn_kernel::boot::processor;
use popcorn_kernel::boot::processor::Trampoline;
use popcorn_kernel::current::cond_resched;
use popcorn_kernel::current::fatal_signal_pending;
use popcorn_kernel::shared_memory::SharedMemory;

/// Bytes copied between two looks at who else wants the processor.
const STEP: usize = 1 << 20;

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
    pub(crate) fn read(kernel: &CStr, initrd: Option<&CStr>, max: usize) -> Result<Self> {
        let read = |path: &CStr, purpose| {
            FileContents::read(path, max, purpose)
                .inspect_err(|e| pr_err!("cannot read {}: {:?}\n", path, e))
        };
        let kernel = read(kernel, Purpose::Kernel)?;
        let initrd = initrd.map(|path| read(path, Purpose::Initrd)).transpose()?;
        Ok(Self { kernel, initrd })
    }
}

/// Who the second kernel is.
pub(crate) struct Identity<'a> {
    /// Its host name.
    pub(crate) name: &'a [u8],
    /// How its programs know their machine.
    pub(crate) machine_id: MachineId,
    /// Hardware ids of its processors, the one that it boots on first, and behind them of those that it may
    /// get later.
    pub(crate) processors: &'a [u32],
    /// How many of them it has.
    pub(crate) online: usize,
    /// The buses of its own devices.
    pub(crate) bridges: &'a [HostBridge],
    /// Node id.
    pub(crate) node: NodeId,
    /// What the user adds to its command line.
    pub(crate) command_line: &'a [u8],
}

/// Writes everything that the second kernel needs, and returns where its processor is to start, and where
/// its text will be if that can be told. May sleep.
///
/// # Errors
///
/// `ENOEXEC`: not a kernel that can be started. `EFBIG`: too big. `EINVAL`, `ENAMETOOLONG`: the command
/// line. `ENODEV`: the clock's frequency is not known. `EINTR`: killed. `ENOMEM`.
pub(crate) fn load(
    target: &Memory,
    image: &Image,
    who: &Identity<'_>,
) -> Result<(Trampoline, Option<Mapping>)> {
    let partition = target.layout();
    let (memory, low) = (target.first()?, target.low());
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
    write(memory, partition.command_line(), &page[..=length])?;

    let tables_phys = partition.acpi().start;
    let machine = acpi::Machine {
        foreign: processor::boot_processor_id(),
        cpus: who.processors,
        decoy_io_apic: partition.decoy_io_apic().start,
        bridges: who.bridges,
    };
    let mut tables = Buffer::new(acpi::size_for(who.processors.len(), who.bridges.len()))?;
    let rsdp = acpi::build(&mut tables, tables_phys, &machine).map_err(|e| {
        pr_err!("no tables for these processors: {:?}\n", e);
        EINVAL
    })?;
    write(memory, partition.acpi(), &tables)?;

    page.fill(0xff);
    write(low, partition.decoy_io_apic(), &page)?;

    let params = BootParams {
        command_line: partition.command_line().start,
        initrd: placement.initrd,
        rsdp,
        seed: Some(partition.seed().start),
        memory_map: &target.map_at_load()?,
    };
    params
        .write(&kernel, page.as_page()?)
        .map_err(|e| internal("memory map", e))?;
    write(memory, partition.zero_page(), &page)?;

    page_tables(target, &mut page)?;
    write(memory, placement.kernel, kernel.code())?;
    // Where its variables will be a former kernel's may still lie, with its log.
    clear(memory, placement.kernel, kernel.code().len())?;
    if let Some(extent) = placement.initrd {
        write(memory, extent, initrd)?;
    }
    let trampoline = Trampoline::write(
        low,
        partition.trampoline().start,
        partition.top_table().start,
        placement.kernel.start + ENTRY_64,
        partition.zero_page().start,
    )?;
    let mapping = Mapping::of_loaded(placement.kernel, kernel.preferred_address());
    Ok((trampoline, mapping))
}

fn command_line(out: &mut [u8], max: usize, target: &Memory, who: &Identity<'_>) -> Result<usize> {
    let tsc_khz = processor::tsc_khz();
    if tsc_khz == 0 {
        pr_err!("the time-stamp counter's frequency is not known\n");
        return Err(ENODEV);
    }
    let parameters = Parameters {
        partition: target.layout(),
        tsc_khz,
        name: who.name,
        machine_id: who.machine_id,
        cpus: who.online,
        node: who.node.get(),
        peer: popcorn_msg::this_node().get(),
        devices: !who.bridges.is_empty(),
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

fn page_tables(target: &Memory, top: &mut Buffer) -> Result {
    let partition = target.layout();
    let (memory, low) = (target.first()?, target.low());
    let extent = partition.page_tables();
    let mut tables = Buffer::new(usize::try_from(extent.size)?)?;
    identity_map::build(
        top.as_page()?,
        &mut tables,
        extent.start,
        partition.memory(),
    )
    .map_err(|e| internal("page tables", e))?;
    write(low, partition.top_table(), top)?;
    write(memory, extent, &tables)
}

/// The layout has been checked, so this cannot happen.
fn internal(what: &str, error: impl core::fmt::Debug) -> Error {
    pr_err!("{}: {:?}\n", what, error);
    EINVAL
}

/// Copies `bytes` to the start of `extent`, which must hold them.
fn write(memory: &PhysicalMemory, extent: Extent, bytes: &[u8]) -> Result {
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

/// Clears `extent` from `offset` on.
fn clear(memory: &PhysicalMemory, extent: Extent, offset: usize) -> Result {
    let zeros = Buffer::new(STEP)?;
    let to: SharedMemory = memory.map(extent)?;
    let size = usize::try_from(extent.size)?;
    for from in (offset..size).step_by(STEP) {
        if fatal_signal_pending() {
            return Err(EINTR);
        }
        to.write(from, &zeros[..STEP.min(size - from)]);
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
