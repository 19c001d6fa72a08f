// SPDX-License-Identifier: GPL-2.0
//! The ACPI tables, read back by an independent reader, and by ACPICA's disassembler if it is there.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Command;

use popcorn_core::acpi;
use popcorn_core::acpi::Error;
use popcorn_core::acpi::Machine;
use proptest::prelude::*;

const PHYS: u64 = 0x2000_2000;
const DECOY: u64 = 0x7_1000;

fn build(machine: &Machine<'_>) -> Result<(Vec<u8>, u64), Error> {
    // Not zero before: the builder must not rely on it.
    let mut out = vec![0xa5; acpi::size_for(machine.cpus.len())];
    let rsdp = acpi::build(&mut out, PHYS, machine)?;
    Ok((out, rsdp))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |s, &b| s.wrapping_add(b))
}

/// The table at a physical address, with signature, length and checksum verified.
fn table<'a>(out: &'a [u8], phys: u64, signature: &[u8; 4]) -> &'a [u8] {
    let at = usize::try_from(phys - PHYS).unwrap();
    assert_eq!(&out[at..at + 4], signature);
    let table = &out[at..at + u32_at(out, at + 4) as usize];
    assert_eq!(
        sum(table),
        0,
        "checksum of {}",
        String::from_utf8_lossy(signature)
    );
    table
}

struct Tables<'a> {
    fadt: &'a [u8],
    dsdt: &'a [u8],
    madt: &'a [u8],
}

fn walk(out: &[u8], rsdp: u64) -> Tables<'_> {
    let root = &out[usize::try_from(rsdp - PHYS).unwrap()..];
    assert_eq!(&root[..8], b"RSD PTR ");
    assert_eq!(root[15], 2);
    assert_eq!(sum(&root[..20]), 0);
    assert_eq!(sum(&root[..u32_at(root, 20) as usize]), 0);
    let xsdt = table(out, u64_at(root, 24), b"XSDT");
    assert_eq!(xsdt.len(), 36 + 2 * 8);
    let fadt = table(out, u64_at(xsdt, 36), b"FACP");
    let madt = table(out, u64_at(xsdt, 44), b"APIC");
    let dsdt = table(out, u64_at(fadt, 140), b"DSDT");
    Tables { fadt, dsdt, madt }
}

#[derive(Debug, PartialEq)]
enum Entry {
    Processor { id: u32, enabled: bool },
    IoApic { address: u32 },
}

fn entries(madt: &[u8]) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut at = 44;
    while at < madt.len() {
        let length = usize::from(madt[at + 1]);
        let entry = &madt[at..at + length];
        found.push(match (entry[0], length) {
            (0, 8) => Entry::Processor {
                id: entry[3].into(),
                enabled: u32_at(entry, 4) == 1,
            },
            (9, 16) => Entry::Processor {
                id: u32_at(entry, 4),
                enabled: u32_at(entry, 8) == 1,
            },
            (1, 12) => Entry::IoApic {
                address: u32_at(entry, 4),
            },
            other => panic!("unknown entry {other:?}"),
        });
        at += length;
    }
    assert_eq!(at, madt.len(), "the entries fill the table");
    found
}

proptest! {
    #[test]
    fn tables_say_what_the_machine_is(
        ids in prop::collection::btree_set(prop_oneof![0u32..300, 0u32..u32::MAX], 2..=acpi::CPUS_MAX + 1),
        pick: prop::sample::Index,
    ) {
        let mut cpus: Vec<u32> = ids.into_iter().collect();
        let foreign = cpus.swap_remove(pick.index(cpus.len()));
        let (out, rsdp) = build(&Machine { foreign, cpus: &cpus, decoy_io_apic: DECOY }).unwrap();
        let tables = walk(&out, rsdp);

        let mut expected = vec![Entry::Processor { id: foreign, enabled: true }];
        expected.extend(cpus.iter().map(|&id| Entry::Processor { id, enabled: true }));
        expected.push(Entry::IoApic { address: DECOY as u32 });
        prop_assert_eq!(entries(tables.madt), expected);
        prop_assert_eq!(u32_at(tables.madt, 36), 0xfee0_0000);
        prop_assert_eq!(u32_at(tables.madt, 40), 0, "no PIC");

        prop_assert_eq!(tables.fadt.len(), 276);
        prop_assert_eq!(u32_at(tables.fadt, 112), 1 << 20 | 1 << 5 | 1 << 4);
        prop_assert_eq!(&tables.fadt[109..111], &[0b10_0100, 0]);
        prop_assert_eq!(tables.dsdt.len(), 36);
    }

    #[test]
    fn uids_are_unique(ids in prop::collection::btree_set(0u32..600, 2..=acpi::CPUS_MAX + 1)) {
        let cpus: Vec<u32> = ids.into_iter().collect();
        let (out, rsdp) = build(&Machine { foreign: cpus[0], cpus: &cpus[1..], decoy_io_apic: DECOY }).unwrap();
        let madt = walk(&out, rsdp).madt;
        let mut uids = BTreeSet::new();
        let mut at = 44;
        while at < madt.len() {
            match madt[at] {
                0 => prop_assert!(uids.insert(u32::from(madt[at + 2]))),
                9 => prop_assert!(uids.insert(u32_at(madt, at + 12))),
                _ => (),
            }
            at += usize::from(madt[at + 1]);
        }
    }

    #[test]
    fn no_room_is_an_error(cpus in 1usize..20, missing in 1usize..600) {
        let ids: Vec<u32> = (1..=cpus as u32).collect();
        let machine = Machine { foreign: 0, cpus: &ids, decoy_io_apic: DECOY };
        let (out, rsdp) = build(&machine).unwrap();
        let madt = walk(&out, rsdp).madt;
        let used = madt.as_ptr() as usize - out.as_ptr() as usize + madt.len();
        let mut small = vec![0; used - missing.min(used)];
        prop_assert_eq!(acpi::build(&mut small, PHYS, &machine), Err(Error::NoRoom));
    }
}

#[test]
fn bad_machines_are_refused() {
    let ok = Machine {
        foreign: 0,
        cpus: &[1, 2],
        decoy_io_apic: DECOY,
    };
    assert!(build(&ok).is_ok());
    assert_eq!(
        build(&Machine { cpus: &[], ..ok }).unwrap_err(),
        Error::CpuCount
    );
    assert_eq!(
        build(&Machine {
            cpus: &[1, 1],
            ..ok
        })
        .unwrap_err(),
        Error::CpuId
    );
    assert_eq!(
        build(&Machine { foreign: 2, ..ok }).unwrap_err(),
        Error::CpuId
    );
    assert_eq!(
        build(&Machine {
            cpus: &[u32::MAX],
            ..ok
        })
        .unwrap_err(),
        Error::CpuId
    );
    assert_eq!(
        build(&Machine {
            foreign: u32::MAX,
            ..ok
        })
        .unwrap_err(),
        Error::CpuId
    );
    assert_eq!(
        build(&Machine {
            decoy_io_apic: 1 << 32,
            ..ok
        })
        .unwrap_err(),
        Error::Address
    );
    assert_eq!(
        build(&Machine {
            decoy_io_apic: DECOY + 8,
            ..ok
        })
        .unwrap_err(),
        Error::Address
    );
    let many: Vec<u32> = (1..=acpi::CPUS_MAX as u32 + 1).collect();
    assert_eq!(
        build(&Machine { cpus: &many, ..ok }).unwrap_err(),
        Error::CpuCount
    );
    assert_eq!(
        acpi::build(&mut [0; 4096], PHYS + 8, &ok),
        Err(Error::Address)
    );
    assert_eq!(
        acpi::build(&mut [0; 4096], u64::MAX - 15, &ok),
        Err(Error::Address)
    );
}

#[test]
fn acpica_reads_the_tables() {
    if Command::new("iasl").arg("-v").output().is_err() {
        eprintln!("skipped: iasl is not installed (package acpica-tools)");
        return;
    }
    let (out, rsdp) = build(&Machine {
        foreign: 0,
        cpus: &[1, 254, 255, 4000],
        decoy_io_apic: DECOY,
    })
    .unwrap();
    let tables = walk(&out, rsdp);
    let folder = std::env::temp_dir().join(format!("popcorn-acpi-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, bytes, expected) in [
        ("facp", tables.fadt, "Hardware Reduced (V5) : 1"),
        ("apic", tables.madt, "I/O APIC"),
        ("dsdt", tables.dsdt, "DefinitionBlock"),
    ] {
        let file = folder.join(format!("{name}.dat"));
        std::fs::File::create(&file)
            .unwrap()
            .write_all(bytes)
            .unwrap();
        let run = Command::new("iasl").arg("-d").arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&run.stdout).into_owned()
            + &String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{name}: {said}");
        for complaint in ["Incorrect checksum", "Invalid", "Warning", "Error"] {
            assert!(!said.contains(complaint), "{name}: {said}");
        }
        let source = std::fs::read_to_string(folder.join(format!("{name}.dsl"))).unwrap();
        assert!(source.contains(expected), "{name}: {source}");
        assert!(!source.contains("Unknown"), "{name}: {source}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
