// SPDX-License-Identifier: GPL-2.0
//! `/sys/kernel/config/popcorn_boot`: a directory for each kernel, a file for each of its attributes.

use super::core_dump;
use super::core_dump::CoreSource;
use super::refusal::refused;
use super::refusal::Action;
use crate::device;
use crate::failure::Failure;
use nix::errno::Errno;
use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

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
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) const PATH: &str = "/sys/kernel/config/popcorn_boot";

    /// Looks whether it is there.
    pub(crate) fn open() -> Result<Self, Failure> {
        Self::at(Path::new(Self::PATH))
    }

    fn at(path: &Path) -> Result<Self, Failure> {
        if path.is_dir() {
            return Ok(Self(path.into()));
        }
        let configfs = path.parent().unwrap_or(path);
        let next = if configfs.is_dir() {
            format!(
                "load the module popcorn_boot (modprobe popcorn_boot); if it is loaded: mount -t configfs configfs {}",
                configfs.display()
            )
        } else {
            "boot a kernel that has configfs (CONFIG_CONFIGFS_FS); `popcornctl doctor` tells what else is missing".into()
        };
        Err(Failure {
            errno: Some(Errno::ENOENT),
            ..Failure::new(
                format!("{}: there is no such directory", path.display()),
                next,
            )
        })
    }

    fn file(&self, name: &str, attribute: Attribute) -> PathBuf {
        self.0.join(name).join(attribute.name())
    }
}

fn errno(error: io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

impl Kernels for Directory {
    fn names(&self) -> Result<Vec<String>, Errno> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(errno)? {
            let entry = entry.map_err(errno)?;
            if entry.file_type().map_err(errno)?.is_dir() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn make(&self, name: &str) -> Result<(), Errno> {
        fs::create_dir(self.0.join(name)).map_err(errno)
    }

    fn remove(&self, name: &str) -> Result<(), Errno> {
        fs::remove_dir(self.0.join(name)).map_err(errno)
    }

    fn read(&self, name: &str, attribute: Attribute) -> Result<String, Errno> {
        let bytes = fs::read(self.file(name, attribute)).map_err(errno)?;
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if text.ends_with('\n') {
            text.pop();
        }
        Ok(text)
    }

    fn write(&self, name: &str, attribute: Attribute, text: &str) -> Result<(), Errno> {
        // One write is one value: what is written in two is two. The newline lets an empty one arrive.
        let line = format!("{text}\n");
        let mut file = OpenOptions::new()
            .write(true)
            .open(self.file(name, attribute))
            .map_err(errno)?;
        let written = loop {
            match file.write(line.as_bytes()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => break result.map_err(errno)?,
            }
        };
        if written == line.len() {
            Ok(())
        } else {
            Err(Errno::E2BIG)
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fake::Folder;

    #[test]
    fn names_are_directories_only_and_sorted() {
        let folder = Folder::new();
        let kernels = Directory::at(folder.path()).unwrap();
        kernels.make("node2").unwrap();
        kernels.make("node1").unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        assert_eq!(kernels.names().unwrap(), ["node1", "node2"]);
        assert_eq!(kernels.make("node1"), Err(Errno::EEXIST));
        kernels.remove("node1").unwrap();
        assert_eq!(kernels.remove("node1"), Err(Errno::ENOENT));
        assert_eq!(kernels.names().unwrap(), ["node2"]);
    }

    #[test]
    fn a_value_is_a_line() {
        let folder = Folder::new();
        let kernels = Directory::at(folder.path()).unwrap();
        kernels.make("node1").unwrap();
        // configfs makes the files; nothing else does.
        assert_eq!(
            kernels.write("node1", Attribute::Cpus, "1"),
            Err(Errno::ENOENT)
        );
        let file = folder.path().join("node1/cpus");
        fs::write(&file, "").unwrap();
        kernels.write("node1", Attribute::Cpus, "1-3").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"1-3\n");
        assert_eq!(kernels.read("node1", Attribute::Cpus).unwrap(), "1-3");
        fs::write(&file, "\n").unwrap();
        assert_eq!(kernels.read("node1", Attribute::Cpus).unwrap(), "");
        assert_eq!(kernels.read("node2", Attribute::Cpus), Err(Errno::ENOENT));
    }

    #[test]
    fn without_the_directory_it_says_what_to_load() {
        let folder = Folder::new();
        let failure = Directory::at(&folder.path().join("popcorn_boot")).unwrap_err();
        assert!(
            failure.next.contains("modprobe popcorn_boot"),
            "{}",
            failure.next
        );
        let failure = Directory::at(&folder.path().join("config/popcorn_boot")).unwrap_err();
        assert!(
            failure.next.contains("CONFIG_CONFIGFS_FS"),
            "{}",
            failure.next
        );
    }
}
