// SPDX-License-Identifier: GPL-2.0
//! `/sys/kernel/config/popcorn_boot`: a directory for each kernel, a file for each of its attributes.

use super::core_dump;
use super::core_dump::CoreSource;
use super::refusal::refused;
use super::refusal::Action;
use crate::configfs::Configfs;
use crate::device;
use crate::failure::Failure;
use nix::errno::Errno;
use std::io::Read;

/// A file in the directory of a kernel; `docs/uapi.md` says what each holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    Cpus,
    PossibleCpus,
    Memory,
    LowMemory,
    Devices,
    Kernel,
    Initrd,
    CommandLine,
    MachineId,
    Load,
    Start,
    Stop,
    Kill,
    State,
    Node,
    HardwareIds,
    MemoryRanges,
    NumaCpus,
    NumaMemory,
    MemoryBooted,
    MemoryPortion,
    Window,
    Starts,
    StartedNs,
    BootNs,
}

impl Attribute {
    /// Its file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cpus => "cpus",
            Self::PossibleCpus => "possible_cpus",
            Self::Memory => "memory",
            Self::LowMemory => "low_memory",
            Self::Devices => "devices",
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
            Self::CommandLine => "command_line",
            Self::MachineId => "machine_id",
            Self::Load => "load",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::State => "state",
            Self::Node => "node",
            Self::HardwareIds => "hardware_ids",
            Self::MemoryRanges => "memory_ranges",
            Self::NumaCpus => "numa_cpus",
            Self::NumaMemory => "numa_memory",
            Self::MemoryBooted => "memory_booted",
            Self::MemoryPortion => "memory_portion",
            Self::Window => "window",
            Self::Starts => "starts",
            Self::StartedNs => "started_ns",
            Self::BootNs => "boot_ns",
        }
    }
}

/// What can be done with the kernels of this machine. Errors are the kernel's errno.
pub(crate) trait Kernels {
    /// Names of all, sorted.
    fn names(&self) -> Result<Vec<String>, Errno>;
    /// Makes one that has nothing yet.
    fn make(&self, name: &str) -> Result<(), Errno>;
    /// Removes one, which gives back what it has.
    fn remove(&self, name: &str) -> Result<(), Errno>;
    /// An attribute's text, without the newline at its end.
    fn read(&self, name: &str, attribute: Attribute) -> Result<String, Errno>;
    /// Writes an attribute; `text` has no newline.
    fn write(&self, name: &str, attribute: Attribute, text: &str) -> Result<(), Errno>;
    /// Its console log, from the first byte that is still there. At its end 0 bytes are read; later
    /// there may be more.
    fn log(&self, name: &str) -> Result<Box<dyn Read>, Failure>;
    /// Its memory as a core.
    fn core(&self, name: &str) -> Result<Box<dyn CoreSource>, Failure>;
}

/// The directory, as it is in the file system.
#[derive(Clone, Debug)]
pub(crate) struct Directory(Configfs);

impl Directory {
    /// Looks whether it is there.
    pub(crate) fn open() -> Result<Self, Failure> {
        Configfs::open("popcorn_boot").map(Self)
    }
}

impl Kernels for Directory {
    fn names(&self) -> Result<Vec<String>, Errno> {
        self.0.names()
    }

    fn make(&self, name: &str) -> Result<(), Errno> {
        self.0.make(name)
    }

    fn remove(&self, name: &str) -> Result<(), Errno> {
        self.0.remove(name)
    }

    fn read(&self, name: &str, attribute: Attribute) -> Result<String, Errno> {
        self.0.read(name, attribute.name())
    }

    fn write(&self, name: &str, attribute: Attribute, text: &str) -> Result<(), Errno> {
        self.0.write(name, attribute.name(), text)
    }

    fn log(&self, name: &str) -> Result<Box<dyn Read>, Failure> {
        let boot = device::open_boot()?;
        device::attach_log(&boot, name).map_err(|errno| refused(Action::Log, name, errno))?;
        Ok(Box::new(boot))
    }

    fn core(&self, name: &str) -> Result<Box<dyn CoreSource>, Failure> {
        Ok(Box::new(core_dump::open(name)?))
    }
}
