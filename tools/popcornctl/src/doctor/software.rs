// SPDX-License-Identifier: GPL-2.0
//! Rights, kernel, modules, configfs.

use super::machine::Machine;
use super::Check;

/// `CAP_SYS_BOOT` in a set of capabilities.
const SYS_BOOT: u64 = 1 << 22;

/// Whether the caller may start kernels.
pub(super) fn rights(machine: &Machine) -> Check {
    const NAME: &str = "rights";
    let status = machine.text("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    match effective {
        Some(set) if set & SYS_BOOT != 0 => Check::ok(NAME, "you have CAP_SYS_BOOT"),
        Some(_) => Check::no(NAME, "you do not have CAP_SYS_BOOT", "run this as root"),
        None => Check::no(
            NAME,
            "your capabilities cannot be seen",
            "mount /proc, and run this as root",
        ),
    }
}

/// What the kernel must have been built with.
const NEEDED: [&str; 6] = [
    "CONFIG_POPCORN",
    "CONFIG_SMP",
    "CONFIG_MODULES",
    "CONFIG_HOTPLUG_CPU",
    "CONFIG_CONTIG_ALLOC",
    "CONFIG_CONFIGFS_FS",
];

/// Whether the kernel that runs has the patches.
pub(super) fn kernel(machine: &Machine) -> Check {
    const NAME: &str = "kernel";
    const BUILD: &str = "boot a kernel built with patches/6.12 and CONFIG_POPCORN=y";
    let Some(release) = machine.release() else {
        return Check::no(NAME, "its release cannot be seen", "mount /proc");
    };
    // The modules import what only a patched kernel exports.
    if machine.has("/sys/module/popcorn_boot") {
        return Check::ok(NAME, format!("{release}, which has taken the modules"));
    }
    if let Some(config) = config(machine, &release) {
        let missing: Vec<&str> = NEEDED
            .into_iter()
            .filter(|option| !is_set(&config, option))
            .collect();
        return match missing.as_slice() {
            [] => Check::ok(NAME, format!("{release}, built with CONFIG_POPCORN")),
            missing => Check::no(
                NAME,
                format!("{release} was built without {}", missing.join(", ")),
                BUILD,
            ),
        };
    }
    match machine.text("/proc/kallsyms") {
        Some(symbols) if is_symbol(&symbols, "popcorn_register") => Check::ok(
            NAME,
            format!("{release} has the patches; its configuration cannot be seen"),
        ),
        Some(_) => Check::no(NAME, format!("{release} does not have the patches"), BUILD),
        None => Check::warning(
            NAME,
            format!("neither the configuration nor the symbols of {release} can be seen"),
            format!("{BUILD}, or look at its configuration"),
        ),
    }
}

fn config(machine: &Machine, release: &str) -> Option<String> {
    machine
        .unpacked("/proc/config.gz")
        .or_else(|| machine.text(&format!("/boot/config-{release}")))
        .or_else(|| machine.text(&format!("/lib/modules/{release}/config")))
}

fn is_set(config: &str, option: &str) -> bool {
    config.lines().any(|line| {
        line.strip_prefix(option)
            .is_some_and(|value| matches!(value.trim_end(), "=y" | "=m"))
    })
}

fn is_symbol(symbols: &str, name: &str) -> bool {
    symbols
        .lines()
        .any(|line| line.split_whitespace().nth(2) == Some(name))
}

/// Whether the modules are loaded, or can be.
pub(super) fn modules(machine: &Machine) -> Check {
    const NAME: &str = "modules";
    let (boot, process) = ("popcorn_boot", "popcorn_process");
    let loaded = |module: &str| machine.has(&format!("/sys/module/{module}"));
    match (loaded(boot), loaded(process)) {
        (true, true) => return Check::ok(NAME, "loaded"),
        (true, false) => return Check::warning(
            NAME,
            "popcorn_boot is loaded, popcorn_process is not: kernels can run, but no thread moves",
            "modprobe popcorn_process",
        ),
        _ => {}
    }
    let release = machine.release().unwrap_or_default();
    let installed = machine
        .text(&format!("/lib/modules/{release}/modules.dep"))
        .unwrap_or_default();
    let is_installed = installed
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter_map(|(path, _)| path.rsplit('/').next())
        .any(|file| file.split('.').next() == Some(boot));
    if is_installed {
        Check::ok(NAME, "not loaded, but installed (modprobe popcorn_boot)")
    } else {
        Check::no(
            NAME,
            "neither loaded nor installed",
            format!("build them for this kernel and put them below /lib/modules/{release} (depmod), or insmod them"),
        )
    }
}

/// Whether the directory in which kernels are made can be seen.
pub(super) fn configfs(machine: &Machine) -> Check {
    const NAME: &str = "configfs";
    const PLACE: &str = "/sys/kernel/config";
    let mounts = machine.text("/proc/mounts").unwrap_or_default();
    let is_mounted = mounts.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        (words.next(), words.next()) == (Some(PLACE), Some("configfs"))
    });
    if is_mounted {
        return Check::ok(NAME, format!("mounted at {PLACE}"));
    }
    let known = machine.text("/proc/filesystems").unwrap_or_default();
    let mount = format!("mount -t configfs configfs {PLACE}");
    if known.split_whitespace().any(|name| name == "configfs") {
        Check::no(NAME, "not mounted", mount)
    } else {
        let next = format!("modprobe popcorn_boot, which brings it along, and {mount}");
        Check::no(NAME, "neither mounted nor known to the kernel", next)
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::fake;
    use super::super::Verdict;
    use super::*;

    #[test]
    fn another_capability_is_not_enough() {
        let folder = fake::good();
        let machine = Machine::at(folder.path());
        for (set, verdict) in [
            ("0000000000400000", Verdict::Ok),
            ("000001ffffbfffff", Verdict::No),
            ("nonsense", Verdict::No),
        ] {
            fake::write(&folder, "proc/self/status", &format!("CapEff:\t{set}\n"));
            assert_eq!(rights(&machine).verdict, verdict, "{set}");
        }
    }

    #[test]
    fn the_kernel_is_known_by_modules_configuration_or_symbols() {
        let folder = fake::good();
        let machine = Machine::at(folder.path());
        std::fs::remove_dir_all(folder.path().join("sys/module")).unwrap();
        assert_eq!(kernel(&machine).verdict, Verdict::Ok);

        let config = "boot/config-6.12.1-popcorn";
        let text = machine.text(config).unwrap();
        for option in NEEDED {
            let without = text.replace(&format!("{option}="), &format!("# {option}="));
            fake::write(&folder, config, &without);
            let check = kernel(&machine);
            assert_eq!(check.verdict, Verdict::No);
            assert!(check.finding.ends_with(option), "{}", check.finding);
        }
        // One whose name only begins like it does not count.
        fake::write(&folder, config, &text.replace("POPCORN=", "POPCORN_MORE="));
        assert_eq!(kernel(&machine).verdict, Verdict::No);

        fake::remove(&folder, config);
        assert_eq!(kernel(&machine).verdict, Verdict::Warning);
        fake::write(
            &folder,
            "proc/kallsyms",
            "0000000000000000 T popcorn_registered\n",
        );
        assert_eq!(kernel(&machine).verdict, Verdict::No);
        fake::write(
            &folder,
            "proc/kallsyms",
            "0 T start\n0 T popcorn_register\n",
        );
        assert_eq!(kernel(&machine).verdict, Verdict::Ok);
    }

    #[test]
    fn modules_may_be_installed_only() {
        let folder = fake::good();
        let machine = Machine::at(folder.path());
        std::fs::remove_dir_all(folder.path().join("sys/module/popcorn_process")).unwrap();
        assert_eq!(modules(&machine).verdict, Verdict::Warning);
        std::fs::remove_dir_all(folder.path().join("sys/module")).unwrap();
        assert_eq!(modules(&machine).verdict, Verdict::No);
        let list = "lib/modules/6.12.1-popcorn/modules.dep";
        fake::write(&folder, list, "kernel/other.ko: extra/popcorn_boot.ko\n");
        assert_eq!(modules(&machine).verdict, Verdict::No);
        fake::write(
            &folder,
            list,
            "updates/popcorn_boot.ko.xz: updates/popcorn.ko.xz\n",
        );
        let check = modules(&machine);
        assert_eq!(check.verdict, Verdict::Ok);
        assert!(check.finding.contains("modprobe"), "{}", check.finding);
    }

    #[test]
    fn configfs_must_be_mounted_where_we_look() {
        let folder = fake::good();
        let machine = Machine::at(folder.path());
        fake::write(&folder, "proc/mounts", "configfs /mnt configfs rw 0 0\n");
        fake::write(
            &folder,
            "proc/filesystems",
            "nodev\tproc\nnodev\tconfigfs\n\text4\n",
        );
        let check = configfs(&machine);
        assert_eq!(check.verdict, Verdict::No);
        assert!(check.next.starts_with("mount"), "{}", check.next);
        fake::remove(&folder, "proc/filesystems");
        assert!(configfs(&machine).next.starts_with("modprobe"));
    }
}
