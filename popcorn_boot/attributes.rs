// SPDX-License-Identifier: GPL-2.0
//! `/sys/kernel/config/popcorn_boot`: see `docs/uapi.md`.
//!
//! A directory is a kernel. Only what concerns a user is here: what may be written, and who may write.

use crate::memory::Memory;
use crate::partition::Partition;
use crate::partition::Setting;
use crate::partition::State;
use crate::registry::Registry;
use core::fmt::Write;
use kernel::c_str;
use kernel::prelude::*;
use kernel::sync::Arc;
use popcorn_core::acpi::BRIDGES_MAX;
use popcorn_core::boot_status::Report;
use popcorn_core::machine_id::MachineId;
use popcorn_core::partition::CPUS_MAX;
use popcorn_core::pci::Address;
use popcorn_core::resource_list;
use popcorn_core::resource_list::ListError;
use popcorn_kernel::boot::may_boot;
use popcorn_kernel::boot::memory::numa_node as memory_numa_node;
use popcorn_kernel::boot::name_too_long;
use popcorn_kernel::boot::processor;
use popcorn_kernel::configfs::Attribute;
use popcorn_kernel::configfs::Entry;
use popcorn_kernel::configfs::Group;
use popcorn_kernel::configfs::Item;
use popcorn_kernel::configfs::Text;

/// The longest command line that a user may give, in bytes.
const COMMAND_LINE_MAX: usize = 2047;

impl Group for Registry {
    type Item = Partition;

    fn make(&self, name: &CStr) -> Result<Arc<Partition>> {
        check_may_boot()?;
        Registry::make(self, name)
    }

    fn dropped(&self, kernel: &Arc<Partition>) {
        self.forget(kernel);
    }
}

impl Item for Partition {
    const ATTRIBUTES: &'static [Attribute<Self>] = &[
        // What it has.
        Attribute::read_write(c_str!("cpus"), show_cpus, store_cpus),
        Attribute::read_write(c_str!("possible_cpus"), show_possible, store_possible),
        Attribute::read_write(c_str!("memory"), show_memory, store_memory),
        Attribute::read_write(c_str!("low_memory"), show_low_memory, store_low_memory),
        Attribute::read_write(c_str!("devices"), show_devices, store_devices),
        // What it runs.
        Attribute::read_write(c_str!("kernel"), show_kernel, store_kernel),
        Attribute::read_write(c_str!("initrd"), show_initrd, store_initrd),
        Attribute::read_write(
            c_str!("command_line"),
            show_command_line,
            store_command_line,
        ),
        Attribute::read_write(c_str!("machine_id"), show_machine_id, store_machine_id),
        // What it is to do.
        Attribute::write_only(c_str!("load"), store_load),
        Attribute::write_only(c_str!("start"), store_start),
        Attribute::write_only(c_str!("stop"), store_stop),
        Attribute::write_only(c_str!("kill"), store_kill),
        // How it fares.
        Attribute::read_only(c_str!("state"), show_state),
        Attribute::read_only(c_str!("node"), show_node),
        Attribute::read_only(c_str!("hardware_ids"), show_hardware_ids),
        Attribute::read_only(c_str!("memory_ranges"), show_memory_ranges),
        Attribute::read_only(c_str!("numa_cpus"), show_numa_cpus),
        Attribute::read_only(c_str!("numa_memory"), show_numa_memory),
        Attribute::read_only(c_str!("memory_booted"), show_memory_booted),
        Attribute::read_only(c_str!("memory_portion"), show_memory_portion),
        Attribute::read_only(c_str!("window"), show_window),
        Attribute::read_only(c_str!("starts"), show_starts),
        Attribute::read_only(c_str!("started_ns"), show_started),
        Attribute::read_only(c_str!("boot_ns"), show_boot_time),
    ];
}

fn check_may_boot() -> Result {
    if may_boot() {
        Ok(())
    } else {
        Err(EPERM)
    }
}

fn bad_list(kernel: &Partition, what: &str, error: ListError) -> Error {
    let (why, errno) = match error {
        ListError::Syntax => ("not written as it must be", EINVAL),
        ListError::Range => ("a number is too large", ERANGE),
        ListError::Twice => ("something is listed twice", EINVAL),
        ListError::TooMany => ("too many are listed", E2BIG),
    };
    pr_err!("{}: {}: {}\n", kernel.name(), what, why);
    errno
}

/// What is written to a file that does something when it is written to.
fn check_go(text: &[u8]) -> Result {
    check_may_boot()?;
    if text == b"1" {
        Ok(())
    } else {
        Err(EINVAL)
    }
}

fn memory_of(kernel: &Partition) -> Result<Arc<Memory>> {
    kernel.memory().ok_or(ENXIO)
}

// --- what it has ---

fn show_cpus(kernel: &Partition, text: &mut Text<'_>) -> Result {
    show_processors(kernel, text, |cpu, _| cpu.into())
}

fn show_hardware_ids(kernel: &Partition, text: &mut Text<'_>) -> Result {
    show_processors(kernel, text, |_, id| id.into())
}

fn show_processors(
    kernel: &Partition,
    text: &mut Text<'_>,
    which: impl Fn(u32, u32) -> i64,
) -> Result {
    let mut between = "";
    let mut result = Ok(());
    kernel.for_each_processor(|cpu, id| {
        result = result.and(write!(text, "{between}{}", which(cpu, id)));
        between = ",";
    });
    result?;
    Ok(writeln!(text)?)
}

fn store_cpus(kernel: &Entry<'_, Partition>, text: &[u8]) -> Result {
    check_may_boot()?;
    let mut list = [0; CPUS_MAX];
    let count = resource_list::cpus(text, &mut list).map_err(|e| bad_list(kernel, "cpus", e))?;
    kernel.set_processors(&list[..count])
}

fn show_possible(kernel: &Partition, text: &mut Text<'_>) -> Result {
    let mut between = "";
    let mut result = Ok(());
    kernel.for_each_possible(|cpu| {
        result = result.and(write!(text, "{between}{cpu}"));
        between = ",";
    });
    result?;
    Ok(writeln!(text)?)
}

fn store_possible(kernel: &Entry<'_, Partition>, text: &[u8]) -> Result {
    check_may_boot()?;
    let mut list = [0; CPUS_MAX];
    let count =
        resource_list::cpus(text, &mut list).map_err(|e| bad_list(kernel, "possible_cpus", e))?;
    for &cpu in &list[..count] {
        processor::hardware_id(cpu)?;
    }
    kernel.set_possible(&list[..count])
}

fn show_memory(kernel: &Partition, text: &mut Text<'_>) -> Result {
    let size = kernel.memory().map_or(0, |memory| memory.size());
    Ok(writeln!(text, "{size}")?)
}

fn store_memory(kernel: &Entry<'_, Partition>, text: &[u8]) -> Result {
    check_may_boot()?;
    let memory = resource_list::memory(text).map_err(|e| bad_list(kernel, "memory", e))?;
    kernel.set_memory(memory)
}

fn show_memory_ranges(kernel: &Partition, text: &mut Text<'_>) -> Result {
    let Some(memory) = kernel.memory() else {
        return Ok(());
    };
    for extent in memory.extents()? {
        writeln!(text, "{:#x} {:#x}", extent.start, extent.size)?;
    }
    Ok(())
}

/// As this kernel's own files have it.
fn numa(node: Option<u32>) -> i64 {
    node.map_or(-1, i64::from)
}

fn show_numa_cpus(kernel: &Partition, text: &mut Text<'_>) -> Result {
    show_processors(kernel, text, |cpu, _| numa(processor::numa_node(cpu)))
}

fn show_numa_memory(kernel: &Partition, text: &mut Text<'_>) -> Result {
    let extents = match kernel.memory() {
        Some(memory) => memory.extents()?,
        None => KVec::new(),
    };
    let mut between = "";
    // The low slice comes last.
    for extent in extents.split_last().map_or(&[][..], |(_, ranges)| ranges) {
        write!(text, "{between}{}", numa(memory_numa_node(extent.start)))?;
        between = ",";
    }
    Ok(writeln!(text)?)
}

fn show_memory_booted(kernel: &Partition, text: &mut Text<'_>) -> Result {
    let size = kernel.memory().map_or(0, |memory| memory.booted_size());
    Ok(writeln!(text, "{size}")?)
}

fn show_memory_portion(kernel: &Partition, text: &mut Text<'_>) -> Result {
    let portion = match kernel.is_running() {
        true => kernel.memory().and_then(|memory| memory.portion()),
        false => None,
    };
    Ok(writeln!(text, "{}", portion.unwrap_or(0))?)
}

fn show_low_memory(kernel: &Partition, text: &mut Text<'_>) -> Result {
    match kernel.low() {
        Some(extent) => writeln!(text, "{}@{:#x}", extent.size, extent.start)?,
        None => writeln!(text, "any")?,
    }
    Ok(())
}

fn store_low_memory(kernel: &Entry<'_, Partition>, text: &[u8]) -> Result {
    check_may_boot()?;
    if text == b"any" {
        kernel.set_low(None);
        return Ok(());
    }
    match resource_list::memory(text).map_err(|e| bad_list(kernel, "low_memory", e))? {
        resource_list::Memory::At(extent) => kernel.set_low(Some(extent)),
        resource_list::Memory::Anywhere(_) => return Err(EINVAL),
    }
    Ok(())
}

fn show_devices(kernel: &Partition, text: &mut Text<'_>) -> Result {
    let mut between = "";
    let mut result = Ok(());
    kernel.for_each_device(|address| {
        result = result.and(write!(text, "{between}{address}"));
        between = ",";
    });
    result?;
    Ok(writeln!(text)?)
}

fn store_devices(kernel: &Entry<'_, Partition>, text: &[u8]) -> Result {
    check_may_boot()?;
    let mut list = KVec::with_capacity(BRIDGES_MAX, GFP_KERNEL)?;
    for word in text
        .split(|&byte| byte == b',')
        .filter(|_| !text.is_empty())
    {
        let address = Address::parse(word).ok_or(EINVAL)?;
        if list.len() == BRIDGES_MAX || list.contains(&address) {
            return Err(EINVAL);
        }
        list.push(address, GFP_KERNEL)?;
    }
    kernel.set_devices(&list)
}

// --- what it runs ---

fn show_setting(kernel: &Partition, setting: Setting, text: &mut Text<'_>) -> Result {
    if let Some(value) = kernel.setting(setting)? {
        text.put(value.as_bytes())?;
    }
    Ok(writeln!(text)?)
}

fn show_kernel(kernel: &Partition, text: &mut Text<'_>) -> Result {
    show_setting(kernel, Setting::Kernel, text)
}

fn store_kernel(kernel: &Entry<'_, Partition>, text: &[u8]) -> Result {
    check_may_boot()?;
    kernel.set(Setting::Kernel, text)
}

fn show_initrd(kernel: &Partition, text: &mut Text<'_>) -> Result {
    show_setting(kernel, Setting::Initrd, text)
}

fn store_initrd(kernel: &Entry<'_, Partition>, text: &[u8]) -> Result {
    check_may_boot()?;
    kernel.set(Setting::Initrd, text)
}

fn show_command_line(kernel: &Partition, text: &mut Text<'_>) -> Result {
    show_setting(kernel, Setting::CommandLine, text)
}

fn store_command_line(kernel: &Entry<'_, Partition>, text: &[u8]) -> Result {
    check_may_boot()?;
    if text.len() > COMMAND_LINE_MAX {
        return Err(name_too_long());
    }
    kernel.set(Setting::CommandLine, text)
}

fn show_machine_id(kernel: &Partition, text: &mut Text<'_>) -> Result {
    Ok(writeln!(text, "{}", kernel.machine_id())?)
}

fn store_machine_id(kernel: &Entry<'_, Partition>, text: &[u8]) -> Result {
    check_may_boot()?;
    kernel.set_machine_id(MachineId::parse(text).ok_or(EINVAL)?)
}

// --- what it is to do ---

fn store_load(kernel: &Entry<'_, Partition>, text: &[u8]) -> Result {
    check_go(text)?;
    // So that nobody who removes the directory has to wait for it.
    let _hold = kernel.hold()?;
    kernel.load()
}

fn store_start(kernel: &Entry<'_, Partition>, text: &[u8]) -> Result {
    check_go(text)?;
    kernel.start(kernel.hold()?)
}

fn store_stop(kernel: &Entry<'_, Partition>, text: &[u8]) -> Result {
    check_may_boot()?;
    let in_order = match text {
        b"1" => true,
        b"force" => false,
        _ => return Err(EINVAL),
    };
    let _hold = kernel.hold()?;
    kernel.stop(in_order)
}

fn store_kill(kernel: &Entry<'_, Partition>, text: &[u8]) -> Result {
    check_go(text)?;
    let _hold = kernel.hold()?;
    kernel.kill()
}

// --- how it fares ---

fn show_state(kernel: &Partition, text: &mut Text<'_>) -> Result {
    Ok(writeln!(text, "{}", state(kernel))?)
}

fn state(kernel: &Partition) -> &'static str {
    match kernel.facts().state {
        State::Empty => return "empty",
        State::Loaded => return "loaded",
        State::Stopped => return "stopped",
        State::Running => (),
    }
    let Some(memory) = kernel.memory() else {
        return "empty";
    };
    match memory.status.report() {
        Some((Report::None, _)) if memory.has_faulted() => "faulted",
        Some((Report::None, _)) if memory.end().is_some() => "panicked",
        Some((Report::None, _)) => "booting",
        Some((Report::Online, _)) if memory.hangs() => "hung",
        Some((Report::Online, _)) => "running",
        Some((Report::Panic, _)) => "panicked",
        Some((Report::Restart, _)) => "restarted",
        Some((Report::Halt, _)) => "halted",
        Some((Report::PowerOff, _)) => "off",
        None => "garbled",
    }
}

fn show_node(kernel: &Partition, text: &mut Text<'_>) -> Result {
    Ok(writeln!(text, "{}", kernel.node())?)
}

fn show_window(kernel: &Partition, text: &mut Text<'_>) -> Result {
    let window = memory_of(kernel)?.layout().window();
    Ok(writeln!(text, "{:#x} {:#x}", window.start, window.size)?)
}

fn show_starts(kernel: &Partition, text: &mut Text<'_>) -> Result {
    Ok(writeln!(text, "{}", kernel.facts().starts)?)
}

fn show_started(kernel: &Partition, text: &mut Text<'_>) -> Result {
    Ok(writeln!(text, "{}", kernel.facts().started_ns)?)
}

fn show_boot_time(kernel: &Partition, text: &mut Text<'_>) -> Result {
    let online = memory_of(kernel)?.status.report().map_or(0, |(_, tsc)| tsc);
    let ns = match online {
        0 => 0,
        tsc => cycles_to_ns(tsc.saturating_sub(kernel.facts().started_tsc)),
    };
    Ok(writeln!(text, "{ns}")?)
}

/// 0 if it is more than can be told.
fn cycles_to_ns(cycles: u64) -> u64 {
    match (cycles.checked_mul(1_000_000), processor::tsc_khz()) {
        (Some(scaled), khz) if khz != 0 => scaled / u64::from(khz),
        _ => 0,
    }
}
