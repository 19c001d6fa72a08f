// SPDX-License-Identifier: GPL-2.0

//! The ACPI tables of a secondary kernel.
//!
//! A secondary must leave every device of the machine to the primary: interrupt controllers, timers,
//! clock, keyboard controller. An unpatched kernel does so if its firmware says that the hardware is
//! not there, and firmware is what the loader plays. The tables describe a *hardware-reduced*
//! machine that has nothing but processors, and the buses it was given, if any:
//!
//! ```text
//! RSDP -> XSDT -> FADT -> DSDT (empty, or a host bridge for each bus)
//!             |-> MADT
//!             \-> MCFG (if there are buses)
//! ```
//!
//! Three entries of the MADT are there for a reason that the specification does not give:
//!
//! * The **first** processor listed is one that belongs to somebody else. The kernel takes the first
//!   entry for the machine's boot processor; when it finds itself running on that processor without
//!   the hardware's boot-processor flag it concludes that it is a crash kernel and uses one processor.
//!   Listed first, the foreign one is rejected instead, and all others are used.
//! * Then the secondary's own processors, the one it boots on first.
//! * A **decoy I/O APIC**, at a page that reads as all ones. The kernel rejects it, but its presence in
//!   the table stops the search for the firmware's MP table, which lists the real one, and the reset
//!   of the interrupt trigger modes.
//!
//! A flag in the FADT asks for interrupts by *physical* APIC ids. A kernel that may choose gives its first
//! eight processors logical ones, by its own count: the interrupts of a device, or of one processor to
//! another, would reach the processors of the same number in all kernels that do so.
//!
//! A bus (see [`crate::pci`]) is a host bridge of its own in the DSDT, with nothing but this bus and the
//! addresses that are forwarded to it, and an entry in the MCFG for its configuration registers. The
//! kernel believes the MCFG only if a *motherboard* device lists those registers as its own. There is no
//! routing of interrupt lines, which lead to the primary's interrupt controllers: a device that is given
//! away signals by messages. Nor is there an `_OSC`: what PCI Express leaves to the firmware is the port's
//! owner's, the primary's; a flag in the FADT says that also of the power management of links.
//!
//! This file is pure: it fills a buffer that will be at a known physical address.

use crate::aml;
use crate::bootparams::Extent;
use crate::pci::BUS_REGISTERS;
use crate::pci::MCFG_ENTRY;
use crate::pci::MCFG_FIXED;

pub use crate::pci::HostBridge;

/// Bytes that [`build`] needs at most for `cpus` own processors and `bridges` host bridges.
pub const fn size_for(cpus: usize, bridges: usize) -> usize {
    // The foreign processor's entry counts, too.
    let madt = MADT_FIXED + (cpus + 1) * X2APIC_ENTRY + IO_APIC_ENTRY;
    let (listed, code, mcfg) = match bridges {
        0 => (2, 0, 0),
        n => (3, AML_FIXED + n * AML_BRIDGE, MCFG_FIXED + n * MCFG_ENTRY),
    };
    align16(RSDP)
        + align16(HEADER + listed * XSDT_ENTRY)
        + align16(FADT)
        + align16(HEADER + code)
        + align16(madt)
        + mcfg
}

/// Most processors of its own that one secondary can be told of.
pub const CPUS_MAX: usize = 256;
/// Most host bridges that it can be told of.
pub const BRIDGES_MAX: usize = 16;

/// Physical address of the local APICs: the same in every x86 machine since reset.
const LOCAL_APIC_BASE: u32 = 0xfee0_0000;
/// Largest id that fits an entry of the older form; 255 is its broadcast address.
const LOCAL_APIC_ID_MAX: u32 = 254;
/// Processor entry is usable.
const PROCESSOR_ENABLED: u32 = 1;

const HEADER: usize = 36;
const RSDP: usize = 36;
const XSDT_ENTRY: usize = 8;
const FADT: usize = 276;
const MADT_FIXED: usize = HEADER + 8;
const LOCAL_APIC_ENTRY: usize = 8;
const X2APIC_ENTRY: usize = 16;
const IO_APIC_ENTRY: usize = 12;

const fn align16(n: usize) -> usize {
    (n + 15) & !15
}

/// Bytes of code for all bridges together, and at most for one.
const AML_FIXED: usize = 64;
const AML_BRIDGE: usize = 240;

// FADT: offsets from the start of the table, and the flags used (ACPI 6.0, 5.2.9).
const FADT_BOOT_FLAGS: usize = 109;
const FADT_FLAGS: usize = 112;
const FADT_X_DSDT: usize = 140;
const BOOT_NO_VGA: u16 = 1 << 2;
const BOOT_NO_ASPM: u16 = 1 << 4;
const BOOT_NO_CMOS_CLOCK: u16 = 1 << 5;
const NO_FIXED_POWER_BUTTON: u32 = 1 << 4;
const NO_FIXED_SLEEP_BUTTON: u32 = 1 << 5;
const PHYSICAL_APIC_IDS: u32 = 1 << 19;
const HARDWARE_REDUCED: u32 = 1 << 20;

/// What the tables describe.
#[derive(Clone, Copy, Debug)]
pub struct Machine<'a> {
    /// APIC id of a processor that the secondary must not use: one of the primary's.
    pub foreign: u32,
    /// APIC ids of the secondary's processors, the one it boots on first.
    pub cpus: &'a [u32],
    /// Physical address of a page of ones, page-aligned, below 4 GiB.
    pub decoy_io_apic: u64,
    /// The buses it has.
    pub bridges: &'a [HostBridge],
}

/// Why no tables were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The buffer is smaller than the tables.
    NoRoom,
    /// No processor of its own, or more than [`CPUS_MAX`].
    CpuCount,
    /// An APIC id is listed twice, or is the broadcast address.
    CpuId,
    /// A physical address is misaligned or out of range.
    Address,
    /// More than [`BRIDGES_MAX`] host bridges, one listed twice, one for the machine's own bus 0, or one
    /// with addresses that cannot be.
    Bridge,
}

impl From<aml::NoRoom> for Error {
    fn from(_: aml::NoRoom) -> Self {
        Self::NoRoom
    }
}

/// Writes the tables for `machine` into `out`, which will be at physical address `phys` (aligned to
/// 16 bytes), and returns the physical address of the RSDP.
///
/// # Errors
///
/// See [`Error`]; `out` is then unspecified.
pub fn build(out: &mut [u8], phys: u64, machine: &Machine<'_>) -> Result<u64, Error> {
    check(machine)?;
    if phys % 16 != 0 || phys.checked_add(out.len() as u64).is_none() {
        return Err(Error::Address);
    }
    out.fill(0);
    let at = |offset: usize| phys + offset as u64;
    let bridges = machine.bridges;
    let listed = if bridges.is_empty() { 2 } else { 3 };
    let xsdt_offset = align16(RSDP);
    let fadt_offset = xsdt_offset + align16(HEADER + listed * XSDT_ENTRY);
    let dsdt_offset = fadt_offset + align16(FADT);
    let dsdt_length = put_dsdt(out, dsdt_offset, bridges)?;
    let madt_offset = dsdt_offset + align16(dsdt_length);
    let madt_length = put_madt(out, madt_offset, machine)?;
    let mcfg_offset = madt_offset + align16(madt_length);
    if !bridges.is_empty() {
        put_mcfg(out, mcfg_offset, bridges)?;
    }

    let rsdp = bytes(out, 0, RSDP)?;
    rsdp[..8].copy_from_slice(b"RSD PTR ");
    rsdp[9..15].copy_from_slice(OEM_ID);
    rsdp[15] = 2; // revision: has an XSDT
    put32(rsdp, 20, RSDP as u32);
    put64(rsdp, 24, at(xsdt_offset));
    rsdp[8] = checksum(&rsdp[..20]);
    rsdp[32] = checksum(rsdp);

    let length = HEADER + listed * XSDT_ENTRY;
    let xsdt = table(out, xsdt_offset, b"XSDT", length, 1)?;
    let offsets = [fadt_offset, madt_offset, mcfg_offset];
    for (i, &offset) in offsets[..listed].iter().enumerate() {
        put64(xsdt, HEADER + i * XSDT_ENTRY, at(offset));
    }
    seal(xsdt);

    let fadt = table(out, fadt_offset, b"FACP", FADT, 6)?;
    let aspm = if bridges.is_empty() { 0 } else { BOOT_NO_ASPM };
    put16(
        fadt,
        FADT_BOOT_FLAGS,
        BOOT_NO_VGA | BOOT_NO_CMOS_CLOCK | aspm,
    );
    put32(
        fadt,
        FADT_FLAGS,
        HARDWARE_REDUCED | PHYSICAL_APIC_IDS | NO_FIXED_POWER_BUTTON | NO_FIXED_SLEEP_BUTTON,
    );
    put64(fadt, FADT_X_DSDT, at(dsdt_offset));
    seal(fadt);

    Ok(phys)
}

fn check(machine: &Machine<'_>) -> Result<(), Error> {
    if machine.cpus.is_empty() || machine.cpus.len() > CPUS_MAX {
        return Err(Error::CpuCount);
    }
    for (i, &id) in machine.cpus.iter().enumerate() {
        if id == u32::MAX || id == machine.foreign || machine.cpus[..i].contains(&id) {
            return Err(Error::CpuId);
        }
    }
    if machine.foreign == u32::MAX {
        return Err(Error::CpuId);
    }
    // The field of the I/O APIC's entry has 32 bits.
    if machine.decoy_io_apic % 4096 != 0 || machine.decoy_io_apic > u64::from(u32::MAX) {
        return Err(Error::Address);
    }
    if machine.bridges.len() > BRIDGES_MAX {
        return Err(Error::Bridge);
    }
    for (i, bridge) in machine.bridges.iter().enumerate() {
        let same = |other: &HostBridge| (other.segment, other.bus) == (bridge.segment, bridge.bus);
        if machine.bridges[..i].iter().any(same) || !may_exist(bridge) {
            return Err(Error::Bridge);
        }
    }
    Ok(())
}

/// Whether a bus can be where `bridge` says.
fn may_exist(bridge: &HostBridge) -> bool {
    const PHYSICAL_MAX: u64 = 1 << 52;
    const PORTS: u64 = 1 << 16;

    let within = |range: Option<Extent>, limit: u64| {
        let fits = |r: Extent| r.size > 0 && r.end().is_some_and(|end| end <= limit);
        range.into_iter().all(fits)
    };
    // The first bus of a segment is never behind a port.
    bridge.bus != 0
        && bridge.ecam != 0
        && bridge.ecam % BUS_REGISTERS == 0
        && bridge.registers().is_some()
        && within(bridge.registers(), PHYSICAL_MAX)
        && within(bridge.memory, PHYSICAL_MAX)
        && within(bridge.prefetchable, PHYSICAL_MAX)
        && within(bridge.ports, PORTS)
        && bridge.ports.into_iter().all(|ports| ports.size < PORTS)
}

const OEM_ID: &[u8; 6] = b"POPCRN";
const OEM_TABLE_ID: &[u8; 8] = b"SECONDRY";
const CREATOR_ID: &[u8; 4] = b"PCRN";

fn bytes(out: &mut [u8], offset: usize, length: usize) -> Result<&mut [u8], Error> {
    out.get_mut(offset..offset + length).ok_or(Error::NoRoom)
}

/// The bytes of a new table with its header filled in, but for the checksum.
fn table<'a>(
    out: &'a mut [u8],
    offset: usize,
    signature: &[u8; 4],
    length: usize,
    revision: u8,
) -> Result<&'a mut [u8], Error> {
    let t = bytes(out, offset, length)?;
    t[..4].copy_from_slice(signature);
    put32(t, 4, length as u32);
    t[8] = revision;
    t[10..16].copy_from_slice(OEM_ID);
    t[16..24].copy_from_slice(OEM_TABLE_ID);
    put32(t, 24, 1); // OEM revision
    t[28..32].copy_from_slice(CREATOR_ID);
    put32(t, 32, 1); // creator revision
    Ok(t)
}

/// Closes a table: the sum of all its bytes becomes zero.
fn seal(table: &mut [u8]) {
    table[9] = 0;
    table[9] = checksum(table);
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(0u8, |sum, &b| sum.wrapping_add(b))
        .wrapping_neg()
}

/// Writes the DSDT and returns its length.
fn put_dsdt(out: &mut [u8], offset: usize, bridges: &[HostBridge]) -> Result<usize, Error> {
    let code = out.get_mut(offset + HEADER..).ok_or(Error::NoRoom)?;
    let mut aml = aml::Writer::new(code);
    if !bridges.is_empty() {
        aml.scope(b"_SB_", |aml| {
            for (index, bridge) in bridges.iter().enumerate() {
                put_bridge(aml, index, bridge)?;
            }
            aml.device(b"MBRD", |aml| {
                aml.identity(b"_HID", b"PNP", MOTHERBOARD)?;
                aml.integer(b"_UID", 0)?;
                aml.ranges(b"_CRS", |aml| {
                    let mut registers = bridges.iter().filter_map(HostBridge::registers);
                    registers.try_for_each(|range| aml.own_memory(range))
                })
            })
        })?;
    }
    let length = HEADER + aml.length();
    seal(table(out, offset, b"DSDT", length, 2)?);
    Ok(length)
}

// Numbers in the names of devices that every system knows: they begin with "PNP".
const PCI_EXPRESS_ROOT: u16 = 0x0a08;
const PCI_ROOT: u16 = 0x0a03;
const MOTHERBOARD: u16 = 0x0c02;

fn put_bridge(
    aml: &mut aml::Writer<'_>,
    index: usize,
    bridge: &HostBridge,
) -> Result<(), aml::NoRoom> {
    const { assert!(BRIDGES_MAX <= 26) };
    let letter = b'A' + index as u8;
    aml.device(&[b'P', b'C', b'I', letter], |aml| {
        aml.identity(b"_HID", b"PNP", PCI_EXPRESS_ROOT)?;
        aml.identity(b"_CID", b"PNP", PCI_ROOT)?;
        aml.integer(b"_UID", index as u64)?;
        aml.integer(b"_SEG", bridge.segment.into())?;
        aml.integer(b"_BBN", bridge.bus.into())?;
        aml.ranges(b"_CRS", |aml| {
            aml.buses(bridge.bus, bridge.bus)?;
            if let Some(range) = bridge.memory {
                aml.memory(range, false)?;
            }
            if let Some(range) = bridge.prefetchable {
                aml.memory(range, true)?;
            }
            bridge.ports.map_or(Ok(()), |range| aml.ports(range))
        })
    })
}

/// Writes the MADT and returns its length.
fn put_madt(out: &mut [u8], offset: usize, machine: &Machine<'_>) -> Result<usize, Error> {
    let ids = || core::iter::once(machine.foreign).chain(machine.cpus.iter().copied());
    let entries: usize = ids().map(processor_entry_size).sum();
    let length = MADT_FIXED + entries + IO_APIC_ENTRY;
    let madt = table(out, offset, b"APIC", length, 5)?;
    put32(madt, HEADER, LOCAL_APIC_BASE);
    let mut at = MADT_FIXED;
    for (uid, id) in ids().enumerate() {
        at += put_processor(&mut madt[at..], uid as u32, id);
    }
    put_io_apic(&mut madt[at..], machine.decoy_io_apic as u32);
    seal(madt);
    Ok(length)
}

fn put_mcfg(out: &mut [u8], offset: usize, bridges: &[HostBridge]) -> Result<(), Error> {
    let length = MCFG_FIXED + bridges.len() * MCFG_ENTRY;
    let mcfg = table(out, offset, b"MCFG", length, 1)?;
    let entries = mcfg[MCFG_FIXED..].chunks_exact_mut(MCFG_ENTRY);
    for (entry, bridge) in entries.zip(bridges) {
        put64(entry, 0, bridge.ecam);
        put16(entry, 8, bridge.segment);
        entry[10] = bridge.bus; // first
        entry[11] = bridge.bus; // last
    }
    seal(mcfg);
    Ok(())
}

const fn processor_entry_size(id: u32) -> usize {
    if id <= LOCAL_APIC_ID_MAX {
        LOCAL_APIC_ENTRY
    } else {
        X2APIC_ENTRY
    }
}

fn put_processor(out: &mut [u8], uid: u32, id: u32) -> usize {
    let size = processor_entry_size(id);
    out[1] = size as u8;
    // The short form has a uid of 8 bits, of which 255 means all: more entries than that need ids
    // beyond 254 themselves, so the uid of a short entry is its APIC id, which is as unique.
    if size == LOCAL_APIC_ENTRY {
        out[0] = 0; // processor local APIC
        out[2] = id as u8;
        out[3] = id as u8;
        put32(out, 4, PROCESSOR_ENABLED);
    } else {
        out[0] = 9; // processor local x2APIC
        put32(out, 4, id);
        put32(out, 8, PROCESSOR_ENABLED);
        put32(out, 12, LOCAL_APIC_ID_MAX + 1 + uid);
    }
    size
}

fn put_io_apic(out: &mut [u8], address: u32) {
    out[0] = 1; // I/O APIC
    out[1] = IO_APIC_ENTRY as u8;
    put32(out, 4, address);
    put32(out, 8, 0); // first global interrupt
}

fn put16(out: &mut [u8], offset: usize, value: u16) {
    out[offset..offset + 2].copy_from_slice(&value.to_le_bytes());
}

fn put32(out: &mut [u8], offset: usize, value: u32) {
    out[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
}

fn put64(out: &mut [u8], offset: usize, value: u64) {
    out[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
}
