// SPDX-License-Identifier: GPL-2.0
//! What a machine tells of itself in files.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

/// A machine, as the files below a root describe it.
#[derive(Debug)]
pub(super) struct Machine(PathBuf);

impl Machine {
    pub(super) fn at(root: &Path) -> Self {
        Self(root.into())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    /// Whether there is such a file or directory.
    pub(super) fn has(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// A file, without blanks around it; `None` if it cannot be read.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let bytes = fs::read(self.path(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// A file that gzip has packed.
    pub(super) fn unpacked(&self, path: &str) -> Option<String> {
        let packed = fs::File::open(self.path(path)).ok()?;
        let output = Command::new("gzip")
            .arg("-dc")
            .stdin(packed)
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(text)
    }

    /// What is in a directory, sorted; nothing if it cannot be read.
    pub(super) fn names(&self, path: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(path))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The release of the kernel that runs.
    pub(super) fn release(&self) -> Option<String> {
        self.text("/proc/sys/kernel/osrelease")
    }

    /// The clock sources that this kernel could use.
    pub(super) fn clocks(&self) -> String {
        const CLOCKS: &str = "/sys/devices/system/clocksource/clocksource0/available_clocksource";
        self.text(CLOCKS).unwrap_or_default()
    }

    /// Whether the first processor has a feature.
    pub(super) fn has_feature(&self, feature: &str) -> bool {
        let info = self.text("/proc/cpuinfo").unwrap_or_default();
        let flags = info
            .lines()
            .find_map(|line| line.strip_prefix("flags")?.split_once(':'));
        flags.is_some_and(|(_, flags)| flags.split_whitespace().any(|flag| flag == feature))
    }
}

/// Machines that are files in a folder.
#[cfg(test)]
pub(super) mod fake {
    use crate::kernel::fake::Folder;
    use std::fs;

    pub(crate) fn write(folder: &Folder, path: &str, text: &str) {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn remove(folder: &Folder, path: &str) {
        fs::remove_file(folder.path().join(path)).unwrap();
    }

    /// One that can do it all.
    pub(crate) fn good() -> Folder {
        let folder = Folder::new();
        for (path, text) in [
            ("proc/self/status", "Name:\tpopcornctl\nCapEff:\t000001ffffffffff\n"),
            ("proc/sys/kernel/arch", "x86_64\n"),
            ("proc/sys/kernel/osrelease", "6.12.1-popcorn\n"),
            (
                "boot/config-6.12.1-popcorn",
                "CONFIG_SMP=y\nCONFIG_POPCORN=y\nCONFIG_MODULES=y\nCONFIG_HOTPLUG_CPU=y\n\
                 CONFIG_CONTIG_ALLOC=y\nCONFIG_CONFIGFS_FS=m\n# CONFIG_XEN is not set\n",
            ),
            ("sys/module/popcorn_boot/initstate", "live\n"),
            ("sys/module/popcorn_process/initstate", "live\n"),
            (
                "proc/mounts",
                "proc /proc proc rw 0 0\nconfigfs /sys/kernel/config configfs rw,relatime 0 0\n",
            ),
            ("sys/devices/system/node/online", "0\n"),
            ("sys/devices/system/cpu/present", "0-3\n"),
            ("sys/devices/system/cpu/cpu0/topology/core_id", "0\n"),
            ("sys/devices/system/cpu/cpu1/online", "1\n"),
            ("sys/devices/system/cpu/cpu2/online", "0\n"),
            ("sys/devices/system/cpu/cpu3/online", "1\n"),
            (
                "proc/cpuinfo",
                "processor\t: 0\napicid\t\t: 0\nflags\t\t: fpu tsc apic lm constant_tsc nonstop_tsc \
                 x2apic hypervisor\n\nprocessor\t: 1\napicid\t\t: 6\n",
            ),
            (
                "sys/devices/system/clocksource/clocksource0/current_clocksource",
                "tsc\n",
            ),
            ("sys/class/dmi/id/sys_vendor", "QEMU\n"),
            ("proc/meminfo", "MemTotal:  4000000 kB\nMemAvailable:  3000000 kB\n"),
            (
                "proc/buddyinfo",
                "Node 0, zone      DMA  0 0 0 0 0 0 0 0 1 1 3\n\
                 Node 0, zone   Normal  1 2 3 4 5 6 7 8 9 10 500\n",
            ),
            (
                "proc/iomem",
                "00000000-00000fff : Reserved\n00001000-0009fbff : System RAM\n\
                 0009fc00-000fffff : Reserved\n00100000-7fffffff : System RAM\n",
            ),
        ] {
            write(&folder, path, text);
        }
        folder
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fake::Folder;

    #[test]
    fn features_are_whole_words_of_the_flags() {
        let folder = Folder::new();
        fake::write(
            &folder,
            "proc/cpuinfo",
            "flags\t: constant_tsc lm\nbugs\t: tsc\n",
        );
        let machine = Machine::at(folder.path());
        assert!(machine.has_feature("constant_tsc") && machine.has_feature("lm"));
        assert!(!machine.has_feature("tsc") && !machine.has_feature("flags"));
    }

    #[test]
    fn what_is_not_there_is_nothing() {
        let folder = Folder::new();
        let machine = Machine::at(folder.path());
        assert_eq!(machine.text("/proc/none"), None);
        assert_eq!(machine.unpacked("/proc/none"), None);
        assert!(machine.names("/proc").is_empty() && !machine.has("/proc"));
        fake::write(&folder, "proc/config.gz", "this is not packed");
        assert_eq!(machine.unpacked("/proc/config.gz"), None);
    }
}
