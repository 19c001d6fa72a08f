// SPDX-License-Identifier: GPL-2.0

//! A core of another kernel's memory: an ELF file that debuggers of kernels can open.
//!
//! It is what `/proc/vmcore` would be after a crash, so that the same programs read it (`drgn`, `crash`,
//! `gdb`). Nothing of it is stored: the header is made when the core is opened, and the rest is the
//! memory itself, read where it lies.
//!
//! ```text
//! ELF header, program headers, notes     made here, filled up with zeros to whole pages
//! first range of memory                  one PT_LOAD each
//! second range of memory
//! ...
//! ```
//!
//! Each `PT_LOAD` gives the physical address of its range, and the virtual one if it is known where the
//! kernel maps all of its memory. One more, the last, gives the virtual addresses of the kernel's own image; its
//! bytes are those of the range that the image lies in, for ELF allows that two share them.
//!
//! The notes: one `NT_PRSTATUS` for the processor that crashed, if its registers are known, and empty
//! ones for those with lower numbers, since readers take the first for processor 0; and `VMCOREINFO`
//! ([`crate::vmcoreinfo`]).

use crate::bootparams::{Extent, MEMORY_MAP_MAX};
use crate::vmcoreinfo;
use crate::vmcoreinfo::{VmcoreInfo, IMAGE_MAP, IMAGE_MAP_MAX};

/// Most ranges of memory in one core: what a memory map holds.
pub const RANGES_MAX: usize = MEMORY_MAP_MAX;
/// Most processors that the notes tell of; the registers of one beyond are left out.
pub const PROCESSORS_MAX: u32 = 64;
/// Registers of a processor, as in a note.
pub const REGISTERS: usize = 27;
/// Largest possible header, in bytes.
pub const HEADER_MAX: usize = {
    let notes = PROCESSORS_MAX as usize * STATUS_NOTE + NOTE_HEAD + 12 + vmcoreinfo::TEXT_MAX;
    (FILE_HEADER + (RANGES_MAX + 2) * PROGRAM_HEADER + notes).next_multiple_of(PAGE as usize)
};
/// Where an x86-64 kernel maps all memory, if it does not choose that place at random and has page
/// tables of four levels.
pub const DIRECT_MAP: u64 = 0xffff_8880_0000_0000;

const PAGE: u64 = 4096;
const FILE_HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;

const ET_CORE: u16 = 4;
const EM_X86_64: u16 = 62;
const EV_CURRENT: u8 = 1;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
/// Readable, writable, executable.
const ALL_ACCESS: u32 = 7;

const NOTE_HEAD: usize = 12;
const NT_PRSTATUS: u32 = 1;
/// `struct elf_prstatus` of x86-64, and what of it is set.
const STATUS_SIZE: usize = 336;
const STATUS_PID: usize = 32;
const STATUS_REGISTERS: usize = 112;
/// Such a note with its head and name.
const STATUS_NOTE: usize = NOTE_HEAD + 8 + STATUS_SIZE;

/// Why there is no such core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoreError {
    /// A range is empty, not of whole pages, or not behind the one before; or all of them are more than
    /// a file can hold.
    Range,
    /// No range, or more than [`RANGES_MAX`].
    Count,
    /// The text of `VMCOREINFO` is too long.
    Info,
    /// The buffer has not the header's size.
    Buffer,
}

/// A range of virtual addresses, and the memory behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The first virtual address.
    pub address: u64,
    /// The memory.
    pub memory: Extent,
}

impl Mapping {
    /// Where a kernel maps its image that was loaded into `memory`, linked for the load address
    /// `preferred`. `None` if that is no address of an image.
    pub fn of_loaded(memory: Extent, preferred: u64) -> Option<Self> {
        let size = memory.size.checked_next_multiple_of(PAGE)?;
        if preferred.checked_add(size)? > IMAGE_MAP_MAX {
            return None;
        }
        Some(Self {
            address: IMAGE_MAP + preferred,
            memory: Extent::new(memory.start, size),
        })
    }

    /// The same by what the kernel tells of itself: as much of it as lies in one range of `ram`.
    pub fn of_info(info: &VmcoreInfo<'_>, ram: &[Extent]) -> Option<Self> {
        let (address, start) = info.image_start()?;
        let size_max = info.image_size_max()?;
        let end = ram
            .iter()
            .filter(|range| range.start <= start)
            .filter_map(Extent::end)
            .find(|&end| start < end)?;
        Some(Self {
            address,
            memory: Extent::new(start, (end - start).min(size_max)),
        })
    }
}

/// The state of a processor when its kernel crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// The kernel's number of the processor.
    pub cpu: u32,
    /// Id of the thread that ran; 0 if it was idle.
    pub pid: u32,
    /// The registers, in the order of `struct user_regs_struct`.
    pub registers: [u64; REGISTERS],
}

/// What a core is made of.
#[derive(Clone, Copy, Debug)]
pub struct Core<'a> {
    /// The kernel's memory, ascending.
    pub ram: &'a [Extent],
    /// The virtual address of physical address 0, if the kernel maps its memory in one piece.
    pub direct_map: Option<u64>,
    /// Where the kernel's image is mapped. What does not lie in one range of `ram` is left out.
    pub image: Option<Mapping>,
    /// The processor that crashed.
    pub crash: Option<Crash>,
    /// Text of `VMCOREINFO`; may be empty.
    pub info: &'a [u8],
}

/// What there is at some offset of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The header, from this offset to its end.
    Header(usize),
    /// Memory: from this offset to the end of its range.
    Memory(Extent),
}

impl Core<'_> {
    /// Checks the ranges and tells how long the header is: a multiple of the page size, at most
    /// [`HEADER_MAX`].
    ///
    /// # Errors
    ///
    /// See [`CoreError`].
    pub fn header_size(&self) -> Result<usize, CoreError> {
        if !(1..=RANGES_MAX).contains(&self.ram.len()) {
            return Err(CoreError::Count);
        }
        if self.info.len() > vmcoreinfo::TEXT_MAX {
            return Err(CoreError::Info);
        }
        let mut free_from = 0;
        for range in self.ram {
            let end = range.end().ok_or(CoreError::Range)?;
            if range.size == 0
                || range.start % PAGE != 0
                || range.size % PAGE != 0
                || range.start < free_from
            {
                return Err(CoreError::Range);
            }
            free_from = end;
        }
        // The ranges do not overlap: so their sum is not beyond the last end.
        if free_from > i64::MAX as u64 - HEADER_MAX as u64 {
            return Err(CoreError::Range);
        }
        let used = self.notes_at() + self.notes_size();
        Ok(used.next_multiple_of(PAGE as usize))
    }

    /// Writes the header into `out`, which has exactly [`Core::header_size`] bytes.
    ///
    /// # Errors
    ///
    /// See [`CoreError`].
    pub fn write_header(&self, out: &mut [u8]) -> Result<(), CoreError> {
        let header_size = self.header_size()?;
        if out.len() != header_size {
            return Err(CoreError::Buffer);
        }
        out.fill(0);
        let mut writer = Writer { out, at: 0 };
        self.write_file_header(&mut writer);

        writer.program(&Program {
            kind: PT_NOTE,
            flags: 0,
            offset: self.notes_at() as u64,
            address: 0,
            physical: 0,
            size: self.notes_size() as u64,
            // That of the notes themselves: in 4-byte words.
            align: 4,
        });
        let mut offset = header_size as u64;
        for range in self.ram {
            let address = self
                .direct_map
                .map_or(0, |map| map.wrapping_add(range.start));
            writer.program(&Program::load(offset, address, range.start, range.size));
            offset += range.size;
        }
        // Last: crash(8) takes all before the first one for the header.
        if let Some((image, offset)) = self.image_in_file(header_size as u64) {
            writer.program(&Program::load(
                offset,
                image.address,
                image.memory.start,
                image.memory.size,
            ));
        }

        if let Some(crash) = self.noted_crash() {
            for cpu in 0..=crash.cpu {
                writer.status(if cpu == crash.cpu { Some(crash) } else { None });
            }
        }
        if !self.info.is_empty() {
            writer.note(vmcoreinfo::NOTE_NAME, vmcoreinfo::NOTE_TYPE, self.info);
        }
        Ok(())
    }

    fn write_file_header(&self, writer: &mut Writer<'_>) {
        const CLASS_64: u8 = 2;
        const LITTLE_ENDIAN: u8 = 1;

        writer.put(&[0x7f, b'E', b'L', b'F', CLASS_64, LITTLE_ENDIAN, EV_CURRENT]);
        writer.at = 16;
        writer.put(&ET_CORE.to_le_bytes());
        writer.put(&EM_X86_64.to_le_bytes());
        writer.put(&u32::from(EV_CURRENT).to_le_bytes());
        // No entry; program headers at once behind this one; no sections; no flags.
        writer.put(&0u64.to_le_bytes());
        writer.put(&(FILE_HEADER as u64).to_le_bytes());
        writer.put(&0u64.to_le_bytes());
        writer.put(&0u32.to_le_bytes());
        writer.put(&(FILE_HEADER as u16).to_le_bytes());
        writer.put(&(PROGRAM_HEADER as u16).to_le_bytes());
        writer.put(&(self.programs() as u16).to_le_bytes());
        writer.at = FILE_HEADER;
    }

    fn programs(&self) -> usize {
        1 + usize::from(self.image_in_file(0).is_some()) + self.ram.len()
    }

    fn notes_at(&self) -> usize {
        FILE_HEADER + self.programs() * PROGRAM_HEADER
    }

    fn notes_size(&self) -> usize {
        let status = self
            .noted_crash()
            .map_or(0, |crash| (crash.cpu as usize + 1) * STATUS_NOTE);
        let info = match self.info.len() {
            0 => 0,
            length => note_size(vmcoreinfo::NOTE_NAME, length),
        };
        status + info
    }

    fn noted_crash(&self) -> Option<&Crash> {
        self.crash
            .as_ref()
            .filter(|crash| crash.cpu < PROCESSORS_MAX)
    }

    /// The image, if it lies in one range, and where it is in a file whose header has `header_size`
    /// bytes.
    fn image_in_file(&self, header_size: u64) -> Option<(Mapping, u64)> {
        let image = self.image?;
        let end = image.memory.end()?;
        if image.memory.size == 0
            || (image.address | image.memory.start | image.memory.size) % PAGE != 0
            || image.address.checked_add(image.memory.size - 1).is_none()
        {
            return None;
        }
        let mut offset = header_size;
        for range in self.ram {
            if image.memory.start >= range.start && end <= range.end()? {
                return Some((image, offset + (image.memory.start - range.start)));
            }
            offset = offset.checked_add(range.size)?;
        }
        None
    }
}

/// What is at `offset` of a file with a header of `header_size` bytes before the memory in `ram`, both as
/// checked by [`Core::header_size`]; `None` behind its end.
pub fn locate(ram: &[Extent], header_size: usize, offset: u64) -> Option<Place> {
    let Some(mut left) = offset.checked_sub(header_size as u64) else {
        return Some(Place::Header(offset as usize));
    };
    for range in ram {
        if left < range.size {
            let start = range.start.checked_add(left)?;
            return Some(Place::Memory(Extent::new(start, range.size - left)));
        }
        left -= range.size;
    }
    None
}

/// Bytes of a note, padding included; `name` with its closing zero.
fn note_size(name: &[u8], length: usize) -> usize {
    NOTE_HEAD + name.len().next_multiple_of(4) + length.next_multiple_of(4)
}

struct Program {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    physical: u64,
    size: u64,
    align: u64,
}

impl Program {
    fn load(offset: u64, address: u64, physical: u64, size: u64) -> Self {
        Self {
            kind: PT_LOAD,
            flags: ALL_ACCESS,
            offset,
            address,
            physical,
            size,
            // "None", as in /proc/vmcore: crash(8) knows it by that.
            align: 0,
        }
    }
}

/// Fills a buffer that is large enough, as was calculated before.
struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len();
        if let Some(room) = self.out.get_mut(self.at..end) {
            room.copy_from_slice(bytes);
        }
        self.at = end;
    }

    fn align(&mut self) {
        self.at = self.at.next_multiple_of(4);
    }

    fn program(&mut self, program: &Program) {
        self.put(&program.kind.to_le_bytes());
        self.put(&program.flags.to_le_bytes());
        self.put(&program.offset.to_le_bytes());
        self.put(&program.address.to_le_bytes());
        self.put(&program.physical.to_le_bytes());
        // In the file, and in memory.
        self.put(&program.size.to_le_bytes());
        self.put(&program.size.to_le_bytes());
        self.put(&program.align.to_le_bytes());
    }

    fn note(&mut self, name: &[u8], kind: u32, contents: &[u8]) {
        self.put(&(name.len() as u32).to_le_bytes());
        self.put(&(contents.len() as u32).to_le_bytes());
        self.put(&kind.to_le_bytes());
        self.put(name);
        self.align();
        self.put(contents);
        self.align();
    }

    /// The note of a processor that crashed, or of one of which nothing is known.
    fn status(&mut self, crash: Option<&Crash>) {
        let mut status = [0; STATUS_SIZE];
        if let Some(crash) = crash {
            status[STATUS_PID..STATUS_PID + 4].copy_from_slice(&crash.pid.to_le_bytes());
            let registers = status[STATUS_REGISTERS..].chunks_exact_mut(8);
            for (register, value) in registers.zip(crash.registers) {
                register.copy_from_slice(&value.to_le_bytes());
            }
        }
        self.note(b"CORE\0", NT_PRSTATUS, &status);
    }
}
