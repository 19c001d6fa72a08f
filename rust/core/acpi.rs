// SPDX-License-Identifier: GPL-2.0

//! The ACPI tables of a secondary kernel.
//!
//! A secondary must leave every device of the machine to the primary: interrupt controllers, timers,
//! clock, keyboard controller. An unpatched kernel does so if its firmware says that the hardware is
//! not there, and firmware is what the loader plays. The tables describe a *hardware-reduced*
//! machine that has nothing but processors:
//!
//! ```text
//! RSDP -> XSDT -> FADT -> DSDT (empty)
//!             \-> MADT
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
//! This file is pure: it fills a buffer that will be at a known physical address.

/// Bytes that [`build`] needs at most for `cpus` own processors.
pub const fn size_for(cpus: usize) -> usize {
    // The foreign processor's entry counts, too; every table may lose up to 15 bytes to alignment.
    MADT_OFFSET + MADT_FIXED + (cpus + 1) * X2APIC_ENTRY + IO_APIC_ENTRY
}

/// Most processors of its own that one secondary can be told of.
pub const CPUS_MAX: usize = 256;

/// Physical address of the local APICs: the same in every x86 machine since reset.
const LOCAL_APIC_BASE: u32 = 0xfee0_0000;
/// Largest id that fits an entry of the older form; 255 is its broadcast address.
const LOCAL_APIC_ID_MAX: u32 = 254;
/// Processor entry is usable.
const PROCESSOR_ENABLED: u32 = 1;

const HEADER: usize = 36;
const RSDP: usize = 36;
const XSDT: usize = HEADER + 2 * 8;
const FADT: usize = 276;
const DSDT: usize = HEADER;
const MADT_FIXED: usize = HEADER + 8;
const LOCAL_APIC_ENTRY: usize = 8;
const X2APIC_ENTRY: usize = 16;
const IO_APIC_ENTRY: usize = 12;

const fn align16(n: usize) -> usize {
    (n + 15) & !15
}

const XSDT_OFFSET: usize = align16(RSDP);
const FADT_OFFSET: usize = XSDT_OFFSET + align16(XSDT);
const DSDT_OFFSET: usize = FADT_OFFSET + align16(FADT);
const MADT_OFFSET: usize = DSDT_OFFSET + align16(DSDT);

// FADT: offsets from the start of the table, and the flags used (ACPI 6.0, 5.2.9).
const FADT_BOOT_FLAGS: usize = 109;
const FADT_FLAGS: usize = 112;
const FADT_X_DSDT: usize = 140;
const BOOT_NO_VGA: u16 = 1 << 2;
const BOOT_NO_CMOS_CLOCK: u16 = 1 << 5;
const NO_FIXED_POWER_BUTTON: u32 = 1 << 4;
const NO_FIXED_SLEEP_BUTTON: u32 = 1 << 5;
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

    let rsdp = bytes(out, 0, RSDP)?;
    rsdp[..8].copy_from_slice(b"RSD PTR ");
    rsdp[9..15].copy_from_slice(OEM_ID);
    rsdp[15] = 2; // revision: has an XSDT
    put32(rsdp, 20, RSDP as u32);
    put64(rsdp, 24, at(XSDT_OFFSET));
    rsdp[8] = checksum(&rsdp[..20]);
    rsdp[32] = checksum(rsdp);

    let xsdt = table(out, XSDT_OFFSET, b"XSDT", XSDT, 1)?;
    put64(xsdt, HEADER, at(FADT_OFFSET));
    put64(xsdt, HEADER + 8, at(MADT_OFFSET));
    seal(xsdt);

    let fadt = table(out, FADT_OFFSET, b"FACP", FADT, 6)?;
    put16(fadt, FADT_BOOT_FLAGS, BOOT_NO_VGA | BOOT_NO_CMOS_CLOCK);
    put32(
        fadt,
        FADT_FLAGS,
        HARDWARE_REDUCED | NO_FIXED_POWER_BUTTON | NO_FIXED_SLEEP_BUTTON,
    );
    put64(fadt, FADT_X_DSDT, at(DSDT_OFFSET));
    seal(fadt);

    seal(table(out, DSDT_OFFSET, b"DSDT", DSDT, 2)?);

    let entries = processor_entry_size(machine.foreign)
        + machine
            .cpus
            .iter()
            .map(|&id| processor_entry_size(id))
            .sum::<usize>();
    let madt = table(
        out,
        MADT_OFFSET,
        b"APIC",
        MADT_FIXED + entries + IO_APIC_ENTRY,
        5,
    )?;
    put32(madt, HEADER, LOCAL_APIC_BASE);
    let mut offset = MADT_FIXED;
    for (uid, id) in core::iter::once(machine.foreign)
        .chain(machine.cpus.iter().copied())
        .enumerate()
    {
        offset += put_processor(&mut madt[offset..], uid as u32, id);
    }
    put_io_apic(&mut madt[offset..], machine.decoy_io_apic as u32);
    seal(madt);

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
    Ok(())
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
