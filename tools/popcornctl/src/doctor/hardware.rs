// SPDX-License-Identifier: GPL-2.0
//! Processors, clock, interrupts, hypervisor, IOMMU.

use super::machine::Machine;
use super::Check;
use crate::kernel::resources::Cpus;

/// Whether this is a machine that we know.
pub(super) fn architecture(machine: &Machine) -> Check {
    const NAME: &str = "machine";
    const NEXT: &str = "use a machine with x86-64 processors, and a 64-bit kernel";
    match machine.text("/proc/sys/kernel/arch") {
        Some(arch) if arch == "x86_64" => Check::ok(NAME, arch),
        Some(arch) => Check::no(NAME, arch, NEXT),
        // Older kernels do not say.
        None if machine.has_feature("lm") => Check::ok(NAME, "x86_64"),
        None => Check::no(NAME, "not known to be x86-64", NEXT),
    }
}

/// Which processors can be lent.
pub(super) fn processors(machine: &Machine) -> Check {
    const NAME: &str = "processors";
    const FOLDER: &str = "/sys/devices/system/cpu";
    let Some(Ok(present)) = machine
        .text(&format!("{FOLDER}/present"))
        .map(|text| text.parse::<Cpus>())
    else {
        return Check::no(NAME, "they cannot be seen", "mount /sys");
    };
    // The processor that the machine booted on cannot go offline, and has no such file.
    let (lendable, fixed): (Vec<u32>, Vec<u32>) = present
        .0
        .iter()
        .partition(|&&cpu| cpu != 0 && machine.has(&format!("{FOLDER}/cpu{cpu}/online")));
    if !lendable.is_empty() {
        let count = lendable.len();
        return Check::ok(NAME, format!("{count} can be lent: {}", Cpus(lendable)));
    }
    match fixed.len() {
        0 | 1 => Check::no(
            NAME,
            "this kernel has no processor to spare",
            "give the machine more, or destroy a kernel that has some (`popcornctl kernel list`)",
        ),
        count => Check::no(
            NAME,
            format!("this kernel has {count}, and none can go offline"),
            "boot a kernel with CONFIG_HOTPLUG_CPU",
        ),
    }
}

/// Whether all kernels can keep time by the time-stamp counter.
pub(super) fn clock(machine: &Machine) -> Check {
    const NAME: &str = "clock";
    const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    if !machine.has_feature("tsc") {
        return Check::no(
            NAME,
            "the processors are not known to have a time-stamp counter",
            "use other processors; a virtual machine must show its guest what they have",
        );
    }
    let missing: Vec<&str> = ["constant_tsc", "nonstop_tsc"]
        .into_iter()
        .filter(|flag| !machine.has_feature(flag))
        .collect();
    let source = machine.text(SOURCE).unwrap_or("not known".into());
    // kvm-clock is made of the time-stamp counter.
    let trusted = matches!(source.as_str(), "tsc" | "kvm-clock");
    match (missing.as_slice(), trusted) {
        ([], true) => Check::ok(NAME, format!("{source}, at a constant rate")),
        (missing, true) => Check::warning(
            NAME,
            format!("{source}, but the processors do not promise {}", missing.join(", ")),
            "clocks of the kernels may drift apart; on an emulated machine they do not",
        ),
        (_, false) => Check::warning(
            NAME,
            format!("this kernel's clock source is {source}: it does not trust the time-stamp counter, which the others use"),
            "find out why (dmesg); if the counter is good after all, boot with tsc=reliable",
        ),
    }
}

/// The largest APIC id that fits into 8 bits; 255 means all.
const XAPIC_ID_MAX: u32 = 254;

/// The interrupt controllers of the processors.
pub(super) fn interrupts(machine: &Machine) -> Check {
    const NAME: &str = "interrupts";
    if !machine.has_feature("apic") {
        return Check::no(
            NAME,
            "the processors have no local APIC, or it is off",
            "boot without nolapic; switch it on in the firmware",
        );
    }
    let info = machine.text("/proc/cpuinfo").unwrap_or_default();
    let largest = info
        .lines()
        .filter_map(|line| line.strip_prefix("apicid")?.split_once(':'))
        .filter_map(|(_, id)| id.trim().parse::<u32>().ok())
        .max();
    let kind = match machine.has_feature("x2apic") {
        true => "local APICs that know x2APIC",
        false => "local APICs without x2APIC",
    };
    match largest {
        // kvm-clock: KVM, on which a kernel may use them by itself.
        Some(id) if id > XAPIC_ID_MAX && !machine.clocks().contains("kvm-clock") => Check::warning(
            NAME,
            format!("{kind}, ids up to {id}: those above {XAPIC_ID_MAX} cannot be lent"),
            "lend other processors: a kernel uses large ids only where it can remap interrupts itself",
        ),
        Some(id) => Check::ok(NAME, format!("{kind}, ids up to {id}")),
        None => Check::ok(NAME, kind),
    }
}

/// What lies below this kernel.
pub(super) fn hypervisor(machine: &Machine) -> Check {
    const NAME: &str = "hypervisor";
    const TRY: &str = "nobody has tried; begin where a reset of the whole machine does no harm";
    if machine.text("/sys/hypervisor/type").as_deref() == Some("xen") {
        return Check::warning(NAME, "Xen", format!("INIT must reach processors: {TRY}"));
    }
    if !machine.has_feature("hypervisor") {
        return Check::warning(NAME, "none: this is the hardware itself", TRY);
    }
    match machine.text("/sys/class/dmi/id/sys_vendor") {
        Some(vendor) if vendor == "QEMU" => Check::ok(NAME, "QEMU, where all this is tested"),
        Some(vendor) => Check::warning(NAME, vendor, TRY),
        None => Check::warning(NAME, "one that does not tell its name", TRY),
    }
}

/// Whether devices can be lent, and what keeps them from memory.
pub(super) fn iommu(machine: &Machine) -> Check {
    const NAME: &str = "iommu";
    let units = machine.names("/sys/class/iommu").join(", ");
    let interrupts = machine.text("/proc/interrupts").unwrap_or_default();
    // The chips have other names then.
    let remaps = |line: &str| {
        line.split_whitespace()
            .any(|word| word.starts_with("IR-") || word.starts_with("AMD-Vi-IR"))
    };
    if interrupts.lines().any(remaps) {
        return Check::warning(
            NAME,
            "it remaps interrupts: devices cannot be lent",
            "to lend devices boot with intremap=off; all else works",
        );
    }
    Check::ok(
        NAME,
        match units.as_str() {
            "" => "none in use: devices can be lent, and nothing keeps them from any memory".into(),
            units => format!("{units}: devices that are lent reach their kernel's memory only"),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::machine::fake;
    use super::super::Verdict;
    use super::*;

    #[test]
    fn only_processors_that_are_there_and_can_go_count() {
        let folder = fake::good();
        let machine = Machine::at(folder.path());
        let present = "sys/devices/system/cpu/present";
        assert!(processors(&machine).finding.ends_with("3 can be lent: 1-3"));
        // One that is lent is not present.
        fake::write(&folder, present, "0-1,3\n");
        assert!(processors(&machine).finding.ends_with("2 can be lent: 1,3"));
        fake::write(&folder, present, "0\n");
        let check = processors(&machine);
        assert_eq!(check.verdict, Verdict::No);
        assert!(check.finding.contains("to spare"), "{}", check.finding);
        fake::write(&folder, present, "0-1\n");
        fake::remove(&folder, "sys/devices/system/cpu/cpu1/online");
        let check = processors(&machine);
        assert_eq!(check.verdict, Verdict::No);
        assert!(check.next.contains("HOTPLUG"), "{}", check.next);
        // The processor that the machine booted on is never lent.
        fake::write(&folder, "sys/devices/system/cpu/cpu0/online", "1\n");
        assert_eq!(processors(&machine).verdict, Verdict::No);
    }

    #[test]
    fn a_clock_that_is_not_trusted_is_told() {
        let folder = fake::good();
        let machine = Machine::at(folder.path());
        let source = "sys/devices/system/clocksource/clocksource0/current_clocksource";
        fake::write(&folder, source, "kvm-clock\n");
        assert_eq!(clock(&machine).verdict, Verdict::Ok);
        fake::write(&folder, source, "hpet\n");
        assert_eq!(clock(&machine).verdict, Verdict::Warning);
        fake::write(&folder, source, "tsc\n");
        fake::write(&folder, "proc/cpuinfo", "flags\t: tsc apic constant_tsc\n");
        let check = clock(&machine);
        assert_eq!(check.verdict, Verdict::Warning);
        assert!(check.finding.ends_with("nonstop_tsc"), "{}", check.finding);
        fake::write(
            &folder,
            "proc/cpuinfo",
            "flags\t: apic constant_tsc nonstop_tsc\n",
        );
        assert_eq!(clock(&machine).verdict, Verdict::No);
    }

    #[test]
    fn the_largest_hardware_id_is_told() {
        let folder = fake::good();
        let machine = Machine::at(folder.path());
        assert!(interrupts(&machine).finding.ends_with("ids up to 6"));
        fake::write(&folder, "proc/cpuinfo", "flags\t: tsc\n");
        assert_eq!(interrupts(&machine).verdict, Verdict::No);
    }

    #[test]
    fn ids_that_need_more_than_eight_bits_are_told() {
        let folder = fake::good();
        let machine = Machine::at(folder.path());
        let info = |id| format!("apicid\t\t: {id}\nflags\t\t: apic x2apic\n");
        fake::write(&folder, "proc/cpuinfo", &info(254));
        assert_eq!(interrupts(&machine).verdict, Verdict::Ok);
        fake::write(&folder, "proc/cpuinfo", &info(256));
        assert_eq!(interrupts(&machine).verdict, Verdict::Warning);
        fake::write(
            &folder,
            "sys/devices/system/clocksource/clocksource0/available_clocksource",
            "tsc kvm-clock acpi_pm\n",
        );
        assert_eq!(interrupts(&machine).verdict, Verdict::Ok);
    }

    #[test]
    fn an_iommu_is_good_unless_it_remaps_interrupts() {
        let folder = fake::good();
        let machine = Machine::at(folder.path());
        assert!(iommu(&machine).finding.contains("nothing keeps them"));
        fake::write(&folder, "sys/class/iommu/dmar0/name", "");
        let check = iommu(&machine);
        assert_eq!(check.verdict, Verdict::Ok);
        assert!(check.finding.starts_with("dmar0: "), "{}", check.finding);
        let line = " 24: 5 IR-PCI-MSIX-0000:00:01.0 0-edge virtio0\n";
        fake::write(&folder, "proc/interrupts", line);
        assert_eq!(iommu(&machine).verdict, Verdict::Warning);
    }

    #[test]
    fn only_what_is_tested_passes_without_a_word() {
        let folder = fake::good();
        let machine = Machine::at(folder.path());
        let vendor = "sys/class/dmi/id/sys_vendor";
        fake::write(&folder, vendor, "Somebody Else\n");
        let check = hypervisor(&machine);
        assert_eq!(check.verdict, Verdict::Warning);
        assert_eq!(check.finding, "Somebody Else");
        fake::write(&folder, "proc/cpuinfo", "flags\t: tsc apic lm\n");
        assert!(hypervisor(&machine).finding.starts_with("none"));
        fake::write(&folder, "sys/hypervisor/type", "xen\n");
        assert_eq!(hypervisor(&machine).finding, "Xen");
    }

    #[test]
    fn an_old_kernel_is_known_by_its_processor() {
        let folder = fake::good();
        let machine = Machine::at(folder.path());
        fake::remove(&folder, "proc/sys/kernel/arch");
        assert_eq!(architecture(&machine).verdict, Verdict::Ok);
        fake::write(&folder, "proc/cpuinfo", "flags\t: tsc\n");
        assert_eq!(architecture(&machine).verdict, Verdict::No);
    }
}
