// SPDX-License-Identifier: GPL-2.0
//! The ACPI tables, read back by an independent reader, and by ACPICA's tools.

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use popcorn_core::acpi;
use popcorn_core::acpi::Error;
use popcorn_core::acpi::HostBridge;
use popcorn_core::acpi::Machine;
use popcorn_core::bootparams::Extent;
use popcorn_core::pci;
use proptest::prelude::*;

const PHYS: u64 = 0x2000_2000;
const DECOY: u64 = 0x7_1000;

/// A bus as behind a port of QEMU's q35.
const BRIDGE: HostBridge = HostBridge {
    segment: 0,
    bus: 3,
    ecam: 0xb000_0000,
    memory: Some(Extent::new(0xfe80_0000, 0x20_0000)),
    prefetchable: Some(Extent::new(0x380_0000_0000, 8 << 30)),
    ports: Some(Extent::new(0xc000, 0x1000)),
};
/// One in another segment, with as little as can be.
const BARE: HostBridge = HostBridge {
    segment: 0x1234,
    bus: 255,
    ecam: 0x10_0000_0000,
    memory: Some(Extent::new(0x9000_0000, 0x10_0000)),
    prefetchable: None,
    ports: None,
};

fn build(machine: &Machine<'_>) -> Result<(Vec<u8>, u64), Error> {
    // Not zero before: the builder must not rely on it.
    let mut out = vec![0xa5; acpi::size_for(machine.cpus.len(), machine.bridges.len())];
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
    mcfg: Option<&'a [u8]>,
}

fn walk(out: &[u8], rsdp: u64) -> Tables<'_> {
    let root = &out[usize::try_from(rsdp - PHYS).unwrap()..];
    assert_eq!(&root[..8], b"RSD PTR ");
    assert_eq!(root[15], 2);
    assert_eq!(sum(&root[..20]), 0);
    assert_eq!(sum(&root[..u32_at(root, 20) as usize]), 0);
    let xsdt = table(out, u64_at(root, 24), b"XSDT");
    let mcfg = match (xsdt.len() - 36) / 8 {
        2 => None,
        3 => Some(table(out, u64_at(xsdt, 52), b"MCFG")),
        other => panic!("{other} tables"),
    };
    let fadt = table(out, u64_at(xsdt, 36), b"FACP");
    let madt = table(out, u64_at(xsdt, 44), b"APIC");
    let dsdt = table(out, u64_at(fadt, 140), b"DSDT");
    Tables {
        fadt,
        dsdt,
        madt,
        mcfg,
    }
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
        let (out, rsdp) = build(&Machine { foreign, cpus: &cpus, decoy_io_apic: DECOY, bridges: &[] }).unwrap();
        let tables = walk(&out, rsdp);

        let mut expected = vec![Entry::Processor { id: foreign, enabled: true }];
        expected.extend(cpus.iter().map(|&id| Entry::Processor { id, enabled: true }));
        expected.push(Entry::IoApic { address: DECOY as u32 });
        prop_assert_eq!(entries(tables.madt), expected);
        prop_assert_eq!(u32_at(tables.madt, 36), 0xfee0_0000);
        prop_assert_eq!(u32_at(tables.madt, 40), 0, "no PIC");

        prop_assert_eq!(tables.fadt.len(), 276);
        prop_assert_eq!(u32_at(tables.fadt, 112), (1 << 20) | (1 << 19) | (1 << 5) | (1 << 4));
        prop_assert_eq!(&tables.fadt[109..111], &[0b10_0100, 0]);
        prop_assert_eq!(tables.dsdt.len(), 36);
        prop_assert!(tables.mcfg.is_none());
    }

    #[test]
    fn uids_are_unique(ids in prop::collection::btree_set(0u32..600, 2..=acpi::CPUS_MAX + 1)) {
        let cpus: Vec<u32> = ids.into_iter().collect();
        let (out, rsdp) = build(&Machine { foreign: cpus[0], cpus: &cpus[1..], decoy_io_apic: DECOY, bridges: &[] }).unwrap();
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
        let machine = Machine { foreign: 0, cpus: &ids, decoy_io_apic: DECOY, bridges: &[] };
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
        bridges: &[],
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
    for bad in [
        HostBridge { bus: 0, ..BRIDGE },
        HostBridge { ecam: 0, ..BRIDGE },
        HostBridge {
            ecam: 0xb000_1000,
            ..BRIDGE
        },
        HostBridge {
            ecam: u64::MAX & !0xf_ffff,
            ..BRIDGE
        },
        HostBridge {
            ecam: 1 << 52,
            ..BRIDGE
        },
        HostBridge {
            memory: Some(Extent::new(0xfe80_0000, 0)),
            ..BRIDGE
        },
        HostBridge {
            memory: Some(Extent::new(u64::MAX, 2)),
            ..BRIDGE
        },
        HostBridge {
            prefetchable: Some(Extent::new((1 << 52) - 0x1000, 0x2000)),
            ..BRIDGE
        },
        HostBridge {
            ports: Some(Extent::new(0xf000, 0x1001)),
            ..BRIDGE
        },
        HostBridge {
            ports: Some(Extent::new(0, 0x1_0000)),
            ..BRIDGE
        },
    ] {
        let bridges = &[BARE, bad];
        assert_eq!(
            build(&Machine { bridges, ..ok }).unwrap_err(),
            Error::Bridge,
            "{bad:?}"
        );
    }
    let twice = &[BRIDGE, BARE, BRIDGE];
    assert_eq!(
        build(&Machine {
            bridges: twice,
            ..ok
        })
        .unwrap_err(),
        Error::Bridge
    );
    let many = bridges(acpi::BRIDGES_MAX + 1);
    assert_eq!(
        build(&Machine {
            bridges: &many,
            ..ok
        })
        .unwrap_err(),
        Error::Bridge
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

/// Several that differ, each with all that a bridge can have.
fn bridges(count: usize) -> Vec<HostBridge> {
    (0..count)
        .map(|i| HostBridge {
            segment: 0xf000 + i as u16,
            bus: 200 + i as u8,
            ..BRIDGE
        })
        .collect()
}

// --- a reader of the DSDT, after the specification ---

#[derive(Debug, PartialEq)]
enum Value {
    Integer(u64),
    Buffer(Vec<u8>),
}

#[derive(Debug, PartialEq)]
struct Device {
    name: String,
    values: Vec<(String, Value)>,
}

impl Device {
    fn integer(&self, name: &str) -> u64 {
        match self.value(name) {
            Value::Integer(n) => *n,
            other => panic!("{name} is {other:?}"),
        }
    }

    fn value(&self, name: &str) -> &Value {
        let mut found = self.values.iter().filter(|(n, _)| n == name);
        let (_, value) = found
            .next()
            .unwrap_or_else(|| panic!("no {name} in {self:?}"));
        assert!(found.next().is_none(), "{name} twice");
        value
    }

    fn ranges(&self) -> Vec<Range> {
        match self.value("_CRS") {
            Value::Buffer(bytes) => ranges(bytes),
            other => panic!("_CRS is {other:?}"),
        }
    }
}

fn take<'a>(code: &mut &'a [u8], n: usize) -> &'a [u8] {
    let (taken, rest) = code.split_at(n);
    *code = rest;
    taken
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |sum, &b| (sum << 8) | u64::from(b))
}

fn name(code: &mut &[u8]) -> String {
    String::from_utf8(take(code, 4).to_vec()).unwrap()
}

/// The bytes that a package length at the start of `code` counts, without itself.
fn package<'a>(code: &mut &'a [u8]) -> &'a [u8] {
    let lead = code[0];
    let more = usize::from(lead >> 6);
    let length = match more {
        0 => usize::from(lead & 0x3f),
        _ => number(&code[1..=more]) as usize * 16 + usize::from(lead & 0xf),
    };
    let all = take(code, length);
    &all[1 + more..]
}

fn integer(code: &mut &[u8]) -> u64 {
    match take(code, 1)[0] {
        0x00 => 0,
        0x01 => 1,
        0x0a => number(take(code, 1)),
        0x0b => number(take(code, 2)),
        0x0c => number(take(code, 4)),
        0x0e => number(take(code, 8)),
        other => panic!("integer {other:#x}"),
    }
}

fn devices(dsdt: &[u8]) -> Vec<Device> {
    let mut code = &dsdt[36..];
    if code.is_empty() {
        return Vec::new();
    }
    assert_eq!(take(&mut code, 1), [0x10], "a scope");
    let mut scope = package(&mut code);
    assert!(code.is_empty(), "and nothing else");
    assert_eq!(take(&mut scope, 5), b"\\_SB_");
    let mut found = Vec::new();
    while !scope.is_empty() {
        assert_eq!(take(&mut scope, 2), [0x5b, 0x82], "a device");
        let mut content = package(&mut scope);
        let mut device = Device {
            name: name(&mut content),
            values: Vec::new(),
        };
        while !content.is_empty() {
            assert_eq!(take(&mut content, 1), [0x08], "a name");
            let name = name(&mut content);
            let value = if content[0] == 0x11 {
                take(&mut content, 1);
                let mut buffer = package(&mut content);
                let size = integer(&mut buffer);
                assert_eq!(size, buffer.len() as u64);
                Value::Buffer(buffer.to_vec())
            } else {
                Value::Integer(integer(&mut content))
            };
            device.values.push((name, value));
        }
        found.push(device);
    }
    found
}

#[derive(Debug, PartialEq)]
struct Range {
    kind: &'static str,
    consumed: bool,
    start: u64,
    size: u64,
}

fn ranges(mut bytes: &[u8]) -> Vec<Range> {
    let mut found = Vec::new();
    loop {
        let tag = take(&mut bytes, 1)[0];
        let width = match tag {
            0x79 => {
                assert_eq!(bytes, [0], "the end is the end");
                return found;
            }
            0x88 => 2,
            0x8a => 8,
            other => panic!("descriptor {other:#x}"),
        };
        let length = number(take(&mut bytes, 2)) as usize;
        let mut body = take(&mut bytes, length);
        let head = take(&mut body, 3);
        assert_eq!(head[1] & 0b1110, 0b1100, "fixed at both ends, decoded");
        let fields: Vec<u64> = body.chunks_exact(width).map(number).collect();
        let [0, start, last, 0, size] = fields[..] else {
            panic!("fields {fields:x?}");
        };
        assert_eq!(start + (size - 1), last);
        found.push(Range {
            kind: match (head[0], head[2]) {
                (0, 0b001) => "memory",
                (0, 0b111) => "prefetchable",
                (1, 0b11) => "ports",
                (2, 0) => "buses",
                other => panic!("kind {other:?}"),
            },
            consumed: head[1] & 1 == 1,
            start,
            size,
        });
    }
}

/// The ranges that a bridge must have.
fn expected_ranges(bridge: &HostBridge) -> Vec<Range> {
    let bus = Some(Extent::new(bridge.bus.into(), 1));
    [
        ("buses", bus),
        ("memory", bridge.memory),
        ("prefetchable", bridge.prefetchable),
        ("ports", bridge.ports),
    ]
    .into_iter()
    .filter_map(|(kind, range)| {
        range.map(|range| Range {
            kind,
            consumed: false,
            start: range.start,
            size: range.size,
        })
    })
    .collect()
}

fn any_bridge() -> impl Strategy<Value = HostBridge> {
    let range = |unit: u64, units: u64| {
        prop::option::of((0..units, 1..units).prop_map(move |(start, size)| {
            Extent::new(start * unit, size.min(units - start) * unit)
        }))
    };
    (
        any::<u16>(),
        1u8..,
        1u64..1 << 20,
        range(1 << 20, 4 << 10),
        range(1 << 20, 1 << 32),
        range(1 << 12, 15),
    )
        .prop_map(
            |(segment, bus, ecam, memory, prefetchable, ports)| HostBridge {
                segment,
                bus,
                ecam: ecam << 28,
                memory,
                prefetchable,
                ports,
            },
        )
}

proptest! {
    #[test]
    fn buses_are_bridges_with_nothing_else(list in prop::collection::vec(any_bridge(), 1..=acpi::BRIDGES_MAX)) {
        let distinct: BTreeSet<_> = list.iter().map(|b| (b.segment, b.bus)).collect();
        prop_assume!(distinct.len() == list.len());
        let machine = Machine { foreign: 0, cpus: &[1, 300], decoy_io_apic: DECOY, bridges: &list };
        let (out, rsdp) = build(&machine).unwrap();
        let tables = walk(&out, rsdp);

        let found = devices(tables.dsdt);
        let (board, roots) = found.split_last().unwrap();
        prop_assert_eq!(roots.len(), list.len());
        let names: BTreeSet<_> = found.iter().map(|device| &device.name).collect();
        prop_assert_eq!(names.len(), found.len());
        for (i, (root, bridge)) in roots.iter().zip(&list).enumerate() {
            prop_assert_eq!(root.integer("_HID"), 0x080a_d041, "PNP0A08");
            prop_assert_eq!(root.integer("_CID"), 0x030a_d041, "PNP0A03");
            prop_assert_eq!(root.integer("_UID"), i as u64);
            prop_assert_eq!(root.integer("_SEG"), u64::from(bridge.segment));
            prop_assert_eq!(root.integer("_BBN"), u64::from(bridge.bus));
            prop_assert_eq!(root.ranges(), expected_ranges(bridge));
            prop_assert_eq!(root.values.len(), 6, "no _PRT, no _OSC");
        }
        prop_assert_eq!(board.integer("_HID"), 0x020c_d041, "PNP0C02");
        let registers: Vec<_> = list
            .iter()
            .map(|b| Range { kind: "memory", consumed: true, start: b.ecam + (u64::from(b.bus) << 20), size: 1 << 20 })
            .collect();
        prop_assert_eq!(board.ranges(), registers);

        let mcfg = tables.mcfg.unwrap();
        prop_assert_eq!(mcfg.len(), 44 + 16 * list.len());
        for (entry, bridge) in mcfg[44..].chunks_exact(16).zip(&list) {
            prop_assert_eq!(number(&entry[..8]), bridge.ecam);
            prop_assert_eq!(number(&entry[8..10]), u64::from(bridge.segment));
            prop_assert_eq!(&entry[10..], &[bridge.bus, bridge.bus, 0, 0, 0, 0]);
            prop_assert_eq!(pci::configuration_window(mcfg, bridge.segment, bridge.bus), Some(bridge.ecam));
        }
        prop_assert_eq!(&tables.fadt[109..111], &[0b11_0100, 0], "links are not its own");
        prop_assert_eq!(entries(tables.madt).len(), 4);
    }

    #[test]
    fn bridges_need_room(missing in 1usize..1000) {
        let list = bridges(3);
        let machine = Machine { foreign: 0, cpus: &[1], decoy_io_apic: DECOY, bridges: &list };
        let (out, rsdp) = build(&machine).unwrap();
        let mcfg = walk(&out, rsdp).mcfg.unwrap();
        let used = mcfg.as_ptr() as usize - out.as_ptr() as usize + mcfg.len();
        prop_assert_eq!(acpi::build(&mut vec![0; used - missing], PHYS, &machine), Err(Error::NoRoom));
    }
}

#[test]
fn the_size_is_enough() {
    let cpus: Vec<u32> = (1000..1000 + acpi::CPUS_MAX as u32).collect();
    for count in 0..=acpi::BRIDGES_MAX {
        let list = bridges(count);
        assert!(build(&Machine {
            foreign: 999,
            cpus: &cpus,
            decoy_io_apic: DECOY,
            bridges: &list,
        })
        .is_ok());
    }
}

// --- ACPICA ---

/// A folder that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("popcorn-acpi-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a tool of ACPICA says; it must succeed.
fn acpica(folder: &Path, tool: &str, arguments: &[&str]) -> String {
    let run = Command::new(tool)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|e| panic!("{tool}, of the package acpica-tools: {e}"));
    let said =
        String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{tool} {arguments:?}: {said}");
    said
}

fn disassemble(folder: &Path, name: &str, bytes: &[u8]) -> String {
    std::fs::write(folder.join(format!("{name}.dat")), bytes).unwrap();
    let said = acpica(folder, "iasl", &["-d", &format!("{name}.dat")]);
    for complaint in ["Incorrect checksum", "Invalid", "Warning", "Error"] {
        assert!(!said.contains(complaint), "{name}: {said}");
    }
    let source = std::fs::read_to_string(folder.join(format!("{name}.dsl"))).unwrap();
    for complaint in ["Unknown", "Invalid", "Error", "Warning"] {
        assert!(!source.contains(complaint), "{name}: {source}");
    }
    source
}

#[test]
fn acpica_reads_the_tables() {
    let folder = Folder::new("tables");
    for list in [&[][..], &[BRIDGE, BARE], &bridges(acpi::BRIDGES_MAX)] {
        let (out, rsdp) = build(&Machine {
            foreign: 0,
            cpus: &[1, 254, 255, 4000],
            decoy_io_apic: DECOY,
            bridges: list,
        })
        .unwrap();
        let tables = walk(&out, rsdp);
        let fadt = disassemble(&folder.0, "facp", tables.fadt);
        assert!(fadt.contains("Hardware Reduced (V5) : 1"), "{fadt}");
        let madt = disassemble(&folder.0, "apic", tables.madt);
        assert!(madt.contains("I/O APIC"), "{madt}");
        assert_eq!(
            madt.matches("[Processor Local x2APIC]").count(),
            2,
            "{madt}"
        );
        let dsdt = disassemble(&folder.0, "dsdt", tables.dsdt);
        assert!(dsdt.contains("DefinitionBlock"), "{dsdt}");
        assert_eq!(dsdt.matches("PNP0A08").count(), list.len(), "{dsdt}");
        assert_eq!(dsdt.matches("WordBusNumber").count(), list.len(), "{dsdt}");
        let Some(mcfg) = tables.mcfg else {
            continue;
        };
        let mcfg = disassemble(&folder.0, "mcfg", mcfg);
        assert_eq!(mcfg.matches("Base Address").count(), list.len(), "{mcfg}");
        // What it read is what its own compiler understands; of an empty table there is nothing to compile.
        let said = acpica(&folder.0, "iasl", &["dsdt.dsl"]);
        assert!(said.contains(" 0 Errors, 0 Warnings"), "{said}\n{dsdt}");
    }
}

#[test]
fn acpica_runs_the_code() {
    let folder = Folder::new("code");
    let list = [BRIDGE, BARE];
    let (out, rsdp) = build(&Machine {
        foreign: 0,
        cpus: &[1],
        decoy_io_apic: DECOY,
        bridges: &list,
    })
    .unwrap();
    std::fs::write(folder.0.join("dsdt.dat"), walk(&out, rsdp).dsdt).unwrap();
    let resources = |device: &str| {
        let command = format!("resources \\_SB.{device},quit");
        let said = acpica(&folder.0, "acpiexec", &["-b", &command, "dsdt.dat"]);
        assert!(!said.to_lowercase().contains("mismatch"), "{said}");
        said.split_once("Evaluating _CRS").unwrap().1.to_owned()
    };
    let root = resources("PCIA");
    for (field, value) in [
        ("Address Minimum : ", "0003"),
        ("Address Maximum : ", "0003"),
        ("Address Minimum : ", "00000000FE800000"),
        ("Address Maximum : ", "00000000FE9FFFFF"),
        ("Caching : ", "Prefetchable"),
        ("Address Minimum : ", "0000038000000000"),
        ("Address Length : ", "0000000200000000"),
        ("Address Minimum : ", "C000"),
        ("Consumer/Producer : ", "ResourceProducer"),
    ] {
        assert!(
            root.contains(&format!("{field}{value}\n")),
            "{field}{value} in {root}"
        );
    }
    assert!(!root.contains("ResourceConsumer"), "{root}");
    let board = resources("MBRD");
    assert!(
        board.contains("ResourceConsumer") && !board.contains("ResourceProducer"),
        "{board}"
    );
    assert!(
        board.contains("Address Maximum : 00000000B03FFFFF\n"),
        "{board}"
    );
    assert!(
        board.contains("Address Minimum : 000000100FF00000\n"),
        "{board}"
    );
}
