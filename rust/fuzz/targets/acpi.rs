// SPDX-License-Identifier: GPL-2.0
//! The ACPI tables of a machine that a user describes: refused, or tables whose lengths and checksums are right, that
//! lie beside each other, and that name just what the kernel was given. The code in them is made of whole packages.

use super::Target;
use crate::source::Source;

use popcorn_core::acpi;
use popcorn_core::acpi::Error;
use popcorn_core::acpi::HostBridge;
use popcorn_core::acpi::Machine;
use popcorn_core::acpi::BRIDGES_MAX;
use popcorn_core::acpi::CPUS_MAX;
use popcorn_core::bootparams::Extent;

pub(super) const TARGET: Target = Target {
    name: "acpi",
    about: "the machine that a kernel's ACPI tables describe",
    most: 400,
    seeds,
    run,
};

const PHYS: u64 = 0x2000_2000;

fn seeds() -> Vec<Vec<u8>> {
    let seed = |cpus: u8, bridges: u8| {
        let mut seed = vec![0, 1, cpus];
        for n in 0..cpus {
            seed.extend([n + 1, n / 3]);
        }
        seed.extend([7, 0, 0, bridges]);
        for n in 0..bridges {
            seed.extend([0, 0, n + 1, 5, 0, 0]);
            seed.extend([
                1, n, 1, 0, 4, 0, 0, 1, n, 9, 0, 8, 0, 0, 1, 192, 0, 16, 0, 0, 0,
            ]);
        }
        seed
    };
    vec![seed(1, 0), seed(4, 1), seed(40, 3), seed(2, 16)]
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let short = usize::from(source.byte());
    let foreign = u32::from(source.byte());
    let count = source.below(CPUS_MAX + 2);
    let mut cpus: Vec<u32> = Vec::new();
    for _ in 0..count {
        let id = u32::from(source.short());
        cpus.push(if id == 0xffff { u32::MAX } else { id });
    }
    let decoy_io_apic = source.multiple(4096);
    let mut bridges = Vec::new();
    for _ in 0..source.below(BRIDGES_MAX + 2) {
        let segment = source.short();
        let bus = source.byte();
        let ecam = source.multiple(1 << 20);
        let mut range = |unit| {
            let given = source.flag();
            given.then(|| Extent::new(source.multiple(unit), source.multiple(unit)))
        };
        bridges.push(HostBridge {
            segment,
            bus,
            ecam,
            memory: range(1 << 20),
            prefetchable: range(1 << 20),
            ports: range(0x100),
        });
    }
    let machine = Machine {
        foreign,
        cpus: &cpus,
        decoy_io_apic,
        bridges: &bridges,
    };
    let mut out = vec![0xa5; acpi::size_for(cpus.len(), bridges.len())];
    let rsdp = match acpi::build(&mut out, PHYS, &machine) {
        Ok(rsdp) => rsdp,
        Err(error) => {
            assert_ne!(error, Error::NoRoom, "there is as much as size_for() says");
            return;
        }
    };
    read(&out, rsdp, &machine);
    // With less room it says so, or needs no more.
    let mut less = vec![0; out.len().saturating_sub(short)];
    match acpi::build(&mut less, PHYS, &machine) {
        Ok(_) => assert_eq!(out[..less.len()], less),
        Err(error) => assert!(error == Error::NoRoom && short > 0),
    }
}

fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let bytes = bytes[at..at + length].iter().rev();
    bytes.fold(0, |sum, &byte| (sum << 8) | u64::from(byte))
}

fn is_sealed(bytes: &[u8]) -> bool {
    bytes.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte)) == 0
}

fn read(out: &[u8], rsdp: u64, machine: &Machine<'_>) {
    let mut taken: Vec<(usize, usize)> = Vec::new();
    let mut table = |address: u64, signature: &[u8; 4]| {
        let at = (address - PHYS) as usize;
        let length = number(out, at + 4, 4) as usize;
        let bytes = &out[at..at + length];
        assert!(&bytes[..4] == signature && is_sealed(bytes));
        assert!(taken
            .iter()
            .all(|&(start, end)| at >= end || at + length <= start));
        taken.push((at, at + length));
        bytes
    };
    assert_eq!(rsdp, PHYS);
    assert!(out.starts_with(b"RSD PTR ") && is_sealed(&out[..20]) && is_sealed(&out[..36]));
    let xsdt = table(number(out, 24, 8), b"XSDT");
    let listed = (xsdt.len() - 36) / 8;
    assert_eq!(listed, if machine.bridges.is_empty() { 2 } else { 3 });
    let fadt = table(number(xsdt, 36, 8), b"FACP");
    let dsdt = table(number(fadt, 140, 8), b"DSDT");
    let madt = table(number(xsdt, 44, 8), b"APIC");
    let mut ids = Vec::new();
    let mut at = 44;
    while at < madt.len() {
        match madt[at] {
            0 => ids.push(u32::from(madt[at + 3])),
            9 => ids.push(number(madt, at + 4, 4) as u32),
            kind => assert!(kind == 1 && number(madt, at + 4, 4) == machine.decoy_io_apic),
        }
        assert!(madt[at + 1] >= 8);
        at += usize::from(madt[at + 1]);
    }
    assert_eq!(at, madt.len());
    assert_eq!((ids[0], &ids[1..]), (machine.foreign, machine.cpus));
    if listed == 3 {
        let mcfg = table(number(xsdt, 52, 8), b"MCFG");
        assert_eq!(mcfg.len(), 44 + 16 * machine.bridges.len());
        for bridge in machine.bridges {
            let window = popcorn_core::pci::configuration_window(mcfg, bridge.segment, bridge.bus);
            assert_eq!(window, Some(bridge.ecam));
        }
    }
    code(&dsdt[36..], machine.bridges.len());
}

/// One scope with a device for each bridge and one for the registers of all; each of a length that fits.
fn code(code: &[u8], bridges: usize) {
    if bridges == 0 {
        assert!(code.is_empty());
        return;
    }
    /// The length of a package, and its content.
    fn package(code: &[u8]) -> (usize, &[u8]) {
        assert_eq!(code[0] >> 4, 8);
        let length =
            usize::from(code[0] & 15) | (usize::from(code[1]) << 4) | (usize::from(code[2]) << 12);
        (length, &code[3..length])
    }
    assert_eq!(code[0], 0x10);
    let (length, scope) = package(&code[1..]);
    assert_eq!(length + 1, code.len());
    let mut rest = scope.strip_prefix(b"\\_SB_").unwrap();
    let mut devices = 0;
    while !rest.is_empty() {
        assert_eq!(&rest[..2], &[0x5b, 0x82]);
        let (length, device) = package(&rest[2..]);
        assert!(device.starts_with(b"PCI") || device.starts_with(b"MBRD"));
        devices += 1;
        rest = &rest[2 + length..];
    }
    assert_eq!(devices, bridges + 1);
}
