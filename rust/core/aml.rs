// SPDX-License-Identifier: GPL-2.0

//! The byte code in which a DSDT describes devices (ACPI 6.0, chapters 6 and 20), as far as a machine
//! without methods needs it: devices with names that have constant values, and the address ranges that
//! a device decodes.
//!
//! Lengths are written behind what they count, so they always have the three-byte form, and a buffer's
//! size is always a word: longer than need be now and then, but the writer never has to move anything.

use crate::bootparams::Extent;

// Operators.
const ZERO: u8 = 0x00;
const ONE: u8 = 0x01;
const NAME: u8 = 0x08;
const BYTE: u8 = 0x0a;
const WORD: u8 = 0x0b;
const DWORD: u8 = 0x0c;
const QWORD: u8 = 0x0e;
const SCOPE: u8 = 0x10;
const BUFFER: u8 = 0x11;
const DEVICE: [u8; 2] = [0x5b, 0x82];
const ROOT: u8 = b'\\';

/// Bytes of a length in the form used here.
const LENGTH: usize = 3;
/// The length's first byte: two more follow; its low half are the lowest four bits of the length.
const LENGTH_FORM: u8 = 2 << 6;
/// The first length that does not fit.
const LENGTH_END: usize = 1 << 20;

// Descriptors of address ranges.
const WORD_RANGE: u8 = 0x88;
const QWORD_RANGE: u8 = 0x8a;
const END: [u8; 2] = [0x79, 0]; // a checksum of zero is not checked
const TYPE_MEMORY: u8 = 0;
const TYPE_PORTS: u8 = 1;
const TYPE_BUSES: u8 = 2;
/// The device takes the range for itself; without it, it passes it on to those behind it.
const CONSUMED: u8 = 1 << 0;
/// The range cannot be moved.
const FIXED: u8 = (1 << 2) | (1 << 3);
const MEMORY_WRITABLE: u8 = 1 << 0;
const MEMORY_PREFETCHABLE: u8 = 3 << 1;
/// All ports of the range, not only those that an old ISA card would decode.
const PORTS_ENTIRE: u8 = 3;

/// The buffer is too small for the code, or a range does not fit its descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// Writes code into a buffer.
pub struct Writer<'a> {
    out: &'a mut [u8],
    used: usize,
}

impl<'a> Writer<'a> {
    /// Starts at the beginning of `out`.
    pub fn new(out: &'a mut [u8]) -> Self {
        Self { out, used: 0 }
    }

    /// Bytes written so far.
    pub fn length(&self) -> usize {
        self.used
    }

    /// Opens the predefined scope `name` below the root for what `content` writes.
    ///
    /// # Errors
    ///
    /// [`NoRoom`], also from `content`.
    pub fn scope(
        &mut self,
        name: &[u8; 4],
        content: impl FnOnce(&mut Self) -> Result<(), NoRoom>,
    ) -> Result<(), NoRoom> {
        self.bytes(&[SCOPE])?;
        self.package(|aml| {
            aml.bytes(&[ROOT])?;
            aml.bytes(name)?;
            content(aml)
        })
    }

    /// Defines the device `name`, of which `content` is the description.
    ///
    /// # Errors
    ///
    /// [`NoRoom`], also from `content`.
    pub fn device(
        &mut self,
        name: &[u8; 4],
        content: impl FnOnce(&mut Self) -> Result<(), NoRoom>,
    ) -> Result<(), NoRoom> {
        self.bytes(&DEVICE)?;
        self.package(|aml| {
            aml.bytes(name)?;
            content(aml)
        })
    }

    /// Gives `name` an integer as its value.
    ///
    /// # Errors
    ///
    /// [`NoRoom`].
    pub fn integer(&mut self, name: &[u8; 4], value: u64) -> Result<(), NoRoom> {
        self.bytes(&[NAME])?;
        self.bytes(name)?;
        match value {
            0 => self.bytes(&[ZERO]),
            1 => self.bytes(&[ONE]),
            2..=0xff => self.bytes(&[BYTE, value as u8]),
            0x100..=0xffff => self.constant(WORD, &(value as u16).to_le_bytes()),
            0x1_0000..=0xffff_ffff => self.constant(DWORD, &(value as u32).to_le_bytes()),
            _ => self.constant(QWORD, &value.to_le_bytes()),
        }
    }

    /// Gives `name` a device's identity as its value, packed as for EISA cards: three capital letters and
    /// a number.
    ///
    /// # Errors
    ///
    /// [`NoRoom`].
    pub fn identity(
        &mut self,
        name: &[u8; 4],
        maker: &[u8; 3],
        product: u16,
    ) -> Result<(), NoRoom> {
        let letters = maker
            .iter()
            .fold(0, |sum, &letter| (sum << 5) | u16::from(letter & 0x1f));
        let [a, b] = letters.to_be_bytes();
        let [c, d] = product.to_be_bytes();
        self.bytes(&[NAME])?;
        self.bytes(name)?;
        self.constant(DWORD, &[a, b, c, d])
    }

    /// Gives `name` a list of ranges as its value, which `content` writes.
    ///
    /// # Errors
    ///
    /// [`NoRoom`], also from `content`.
    pub fn ranges(
        &mut self,
        name: &[u8; 4],
        content: impl FnOnce(&mut Self) -> Result<(), NoRoom>,
    ) -> Result<(), NoRoom> {
        self.bytes(&[NAME])?;
        self.bytes(name)?;
        self.bytes(&[BUFFER])?;
        self.package(|aml| {
            let size = aml.used;
            aml.constant(WORD, &[0; 2])?;
            let start = aml.used;
            content(aml)?;
            aml.bytes(&END)?;
            let bytes = u16::try_from(aml.used - start).map_err(|_| NoRoom)?;
            aml.put(size + 1, &bytes.to_le_bytes())
        })
    }

    /// A range of buses that the device passes on. Only within [`Writer::ranges`].
    ///
    /// # Errors
    ///
    /// [`NoRoom`].
    pub fn buses(&mut self, first: u8, last: u8) -> Result<(), NoRoom> {
        let count = u16::from(last) + 1;
        let count = count.checked_sub(first.into()).ok_or(NoRoom)?;
        self.word_range(TYPE_BUSES, 0, first.into(), count)
    }

    /// A range of ports that the device passes on. Only within [`Writer::ranges`].
    ///
    /// # Errors
    ///
    /// [`NoRoom`]: also if it is empty or ends behind the last port.
    pub fn ports(&mut self, range: Extent) -> Result<(), NoRoom> {
        let first = u16::try_from(range.start).map_err(|_| NoRoom)?;
        let count = u16::try_from(range.size).map_err(|_| NoRoom)?;
        self.word_range(TYPE_PORTS, PORTS_ENTIRE, first, count)
    }

    /// A range of memory addresses that the device passes on. Only within [`Writer::ranges`].
    ///
    /// # Errors
    ///
    /// [`NoRoom`]: also if it is empty or wraps.
    pub fn memory(&mut self, range: Extent, prefetchable: bool) -> Result<(), NoRoom> {
        let cache = if prefetchable { MEMORY_PREFETCHABLE } else { 0 };
        self.memory_range(FIXED, cache, range)
    }

    /// A range of memory addresses that the device takes for itself. Only within [`Writer::ranges`].
    ///
    /// # Errors
    ///
    /// [`NoRoom`]: also if it is empty or wraps.
    pub fn own_memory(&mut self, range: Extent) -> Result<(), NoRoom> {
        self.memory_range(FIXED | CONSUMED, 0, range)
    }

    fn word_range(&mut self, kind: u8, flags: u8, first: u16, count: u16) -> Result<(), NoRoom> {
        let more = count.checked_sub(1).ok_or(NoRoom)?;
        let last = first.checked_add(more).ok_or(NoRoom)?;
        self.bytes(&[WORD_RANGE, 13, 0, kind, FIXED, flags])?;
        // Granularity, first, last, translation, count.
        for field in [0, first, last, 0, count] {
            self.bytes(&field.to_le_bytes())?;
        }
        Ok(())
    }

    fn memory_range(&mut self, general: u8, cache: u8, range: Extent) -> Result<(), NoRoom> {
        let more = range.size.checked_sub(1).ok_or(NoRoom)?;
        let last = range.start.checked_add(more).ok_or(NoRoom)?;
        let flags = MEMORY_WRITABLE | cache;
        self.bytes(&[QWORD_RANGE, 43, 0, TYPE_MEMORY, general, flags])?;
        for field in [0, range.start, last, 0, range.size] {
            self.bytes(&field.to_le_bytes())?;
        }
        Ok(())
    }

    fn constant(&mut self, form: u8, value: &[u8]) -> Result<(), NoRoom> {
        self.bytes(&[form])?;
        self.bytes(value)
    }

    /// A length, and what it counts: itself, too.
    fn package(
        &mut self,
        content: impl FnOnce(&mut Self) -> Result<(), NoRoom>,
    ) -> Result<(), NoRoom> {
        let start = self.used;
        self.bytes(&[0; LENGTH])?;
        content(self)?;
        let length = self.used - start;
        if length >= LENGTH_END {
            return Err(NoRoom);
        }
        let form = LENGTH_FORM | (length & 0xf) as u8;
        self.put(start, &[form, (length >> 4) as u8, (length >> 12) as u8])
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        self.put(self.used, bytes)?;
        self.used += bytes.len();
        Ok(())
    }

    fn put(&mut self, at: usize, bytes: &[u8]) -> Result<(), NoRoom> {
        let to = self.out.get_mut(at..at + bytes.len()).ok_or(NoRoom)?;
        to.copy_from_slice(bytes);
        Ok(())
    }
}
