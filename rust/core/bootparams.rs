// SPDX-License-Identifier: GPL-2.0

//! The x86 boot protocol, from the loader's side: what a bzImage says of itself, and the *zero page*
//! (`struct boot_params`) that is handed to it.
//!
//! Only the 64-bit entry of a relocatable kernel is served: it needs no real mode, no BIOS and no
//! particular load address. Offsets are those of `Documentation/arch/x86/boot.rst`, protocol 2.12
//! and later. The image comes from user space, so every field is checked before it is used.

/// Bytes of the zero page.
pub const ZERO_PAGE_SIZE: usize = 4096;
/// Where the 64-bit entry lies, from the start of the loaded kernel.
pub const ENTRY_64: u64 = 0x200;
/// Most entries that the zero page's memory map holds.
pub const MEMORY_MAP_MAX: usize = 128;

const SECTOR: usize = 512;
/// Number of set-up sectors that a zero stands for.
const SETUP_SECTORS_DEFAULT: usize = 4;

// In the file, and at the same offset in the zero page.
const SETUP_SECTORS: usize = 0x1f1;
const CODE_PARAGRAPHS: usize = 0x1f4;
const BOOT_FLAG: usize = 0x1fe;
const JUMP_LENGTH: usize = 0x201;
const SIGNATURE: usize = 0x202;
const VERSION: usize = 0x206;
const LOADER_TYPE: usize = 0x210;
const LOAD_FLAGS: usize = 0x211;
const INITRD_ADDRESS: usize = 0x218;
const INITRD_SIZE: usize = 0x21c;
const COMMAND_LINE: usize = 0x228;
const ALIGNMENT: usize = 0x230;
const RELOCATABLE: usize = 0x234;
const LOAD_FLAGS_EXTENDED: usize = 0x236;
const COMMAND_LINE_SIZE: usize = 0x238;
const SETUP_DATA: usize = 0x250;
const PREFERRED_ADDRESS: usize = 0x258;
const INIT_SIZE: usize = 0x260;
/// End of the newest field used.
const HEADER_NEEDED: usize = 0x264;
/// End of the room for the header in the zero page: the map of the BIOS's disks starts there.
const HEADER_END_MAX: usize = 0x290;

// In the zero page only.
const RSDP_ADDRESS: usize = 0x070;
const INITRD_ADDRESS_HIGH: usize = 0x0c0;
const INITRD_SIZE_HIGH: usize = 0x0c4;
const COMMAND_LINE_HIGH: usize = 0x0c8;
const MEMORY_MAP_ENTRIES: usize = 0x1e8;
const MEMORY_MAP: usize = 0x2d0;
const MEMORY_MAP_ENTRY: usize = 20;

const BOOT_FLAG_VALUE: u16 = 0xaa55;
/// The first version with `LOAD_FLAGS_EXTENDED`.
const VERSION_NEEDED: u16 = 0x020c;
const LOADED_HIGH: u8 = 1 << 0;
/// The reserved id of boot loaders without one of their own.
const LOADER_UNDEFINED: u8 = 0xff;
const HAS_ENTRY_64: u16 = 1 << 0;
const LOADABLE_ABOVE_4G: u16 = 1 << 1;
/// No sane kernel asks for more than this, in bytes.
const ALIGNMENT_MAX: u64 = 1 << 30;
const PAGE: u64 = 4096;
/// The kind of further data that is a seed for random numbers.
const RANDOM_SEED: u64 = 9;

/// Why a file is not a kernel that can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// It ends before its own header or code does.
    Truncated,
    /// The signatures of a bzImage are missing.
    NotBzImage,
    /// Its boot protocol is older than 2.12.
    TooOld,
    /// It has no 64-bit entry.
    No64BitEntry,
    /// It cannot run where it is loaded.
    NotRelocatable,
    /// Its header contradicts itself.
    BadHeader,
}

impl ImageError {
    /// A short description for the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "the image is truncated",
            Self::NotBzImage => "not a bzImage",
            Self::TooOld => "boot protocol older than 2.12",
            Self::No64BitEntry => "no 64-bit entry",
            Self::NotRelocatable => "not relocatable",
            Self::BadHeader => "the header contradicts itself",
        }
    }
}

/// A bzImage that has been checked.
///
/// # Invariants
///
/// `header` is the part of the file from [`SETUP_SECTORS`] to the header's end, at most
/// [`HEADER_END_MAX`]; `code` is not empty and not longer than `init_size`; `alignment` is a power of
/// two between a page and [`ALIGNMENT_MAX`].
#[derive(Clone, Copy, Debug)]
pub struct Kernel<'a> {
    header: &'a [u8],
    code: &'a [u8],
    init_size: u64,
    alignment: u64,
    command_line_max: usize,
    above_4g: bool,
    preferred_address: u64,
}

impl<'a> Kernel<'a> {
    /// Checks `file`.
    ///
    /// # Errors
    ///
    /// See [`ImageError`].
    pub fn parse(file: &'a [u8]) -> Result<Self, ImageError> {
        if get16(file, BOOT_FLAG)? != BOOT_FLAG_VALUE || get(file, SIGNATURE)? != *b"HdrS" {
            return Err(ImageError::NotBzImage);
        }
        if get16(file, VERSION)? < VERSION_NEEDED {
            return Err(ImageError::TooOld);
        }
        let header_end = SIGNATURE + usize::from(get::<1>(file, JUMP_LENGTH)?[0]);
        if !(HEADER_NEEDED..=HEADER_END_MAX).contains(&header_end) {
            return Err(ImageError::BadHeader);
        }
        let header = file
            .get(SETUP_SECTORS..header_end)
            .ok_or(ImageError::Truncated)?;

        let flags = get16(file, LOAD_FLAGS_EXTENDED)?;
        if flags & HAS_ENTRY_64 == 0 {
            return Err(ImageError::No64BitEntry);
        }
        if get::<1>(file, RELOCATABLE)?[0] == 0 {
            return Err(ImageError::NotRelocatable);
        }

        let sectors = match usize::from(get::<1>(file, SETUP_SECTORS)?[0]) {
            0 => SETUP_SECTORS_DEFAULT,
            n => n,
        };
        let code_start = (sectors + 1) * SECTOR;
        let code_length = get32(file, CODE_PARAGRAPHS)? as usize * 16;
        // What follows the code (a signature) is not part of it.
        let code = file
            .get(code_start..code_start + code_length)
            .ok_or(ImageError::Truncated)?;

        let init_size = u64::from(get32(file, INIT_SIZE)?);
        let alignment = u64::from(get32(file, ALIGNMENT)?);
        if (code_length as u64) <= ENTRY_64
            || (code_length as u64) > init_size
            || !alignment.is_power_of_two()
            || !(PAGE..=ALIGNMENT_MAX).contains(&alignment)
        {
            return Err(ImageError::BadHeader);
        }
        // INVARIANT: all checked above.
        Ok(Self {
            header,
            code,
            init_size,
            alignment,
            command_line_max: get32(file, COMMAND_LINE_SIZE)? as usize,
            above_4g: flags & LOADABLE_ABOVE_4G != 0,
            preferred_address: u64::from_le_bytes(get(file, PREFERRED_ADDRESS)?),
        })
    }

    /// What is to be copied to the load address.
    pub fn code(&self) -> &'a [u8] {
        self.code
    }

    /// Bytes of memory, from the load address, that the kernel uses before it reads the memory map.
    pub fn init_size(&self) -> u64 {
        self.init_size
    }

    /// What the load address must be a multiple of, in bytes.
    pub fn alignment(&self) -> u64 {
        self.alignment
    }

    /// Most bytes of command line, without the closing zero.
    pub fn command_line_max(&self) -> usize {
        self.command_line_max
    }

    /// The load address that the kernel was linked for: what lies there is mapped at the same distance from
    /// the start of the kernel's own mapping, wherever it is loaded. Not checked.
    pub fn preferred_address(&self) -> u64 {
        self.preferred_address
    }

    /// Whether the kernel, its initramfs, command line and zero page may lie above 4 GiB.
    pub fn loadable_above_4g(&self) -> bool {
        self.above_4g
    }
}

/// What a range of physical memory is, in the zero page's map. The values are the firmware's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MemoryKind {
    /// The kernel's to use.
    Ram = 1,
    /// Not the kernel's, but there.
    Reserved = 2,
    /// ACPI tables.
    Acpi = 3,
}

/// A range of physical memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Physical address of the first byte.
    pub start: u64,
    /// Length in bytes.
    pub size: u64,
}

impl Extent {
    /// The range from `start` that is `size` bytes long.
    pub const fn new(start: u64, size: u64) -> Self {
        Self { start, size }
    }

    /// The first address behind it; `None` if that does not exist.
    pub const fn end(&self) -> Option<u64> {
        self.start.checked_add(self.size)
    }
}

/// One entry of the memory map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryEntry {
    /// Where it is.
    pub extent: Extent,
    /// What it is.
    pub kind: MemoryKind,
}

/// Everything that the zero page tells the kernel.
#[derive(Clone, Copy, Debug)]
pub struct BootParams<'a> {
    /// Physical address of the command line, which ends in a zero byte.
    pub command_line: u64,
    /// The initramfs, if there is one.
    pub initrd: Option<Extent>,
    /// Physical address of the ACPI RSDP.
    pub rsdp: u64,
    /// Physical address of a seed for the kernel's random numbers, behind [`seed_head`].
    pub seed: Option<u64>,
    /// All memory that the kernel may know of, ascending and without overlap.
    pub memory_map: &'a [MemoryEntry],
}

/// Why no zero page was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// The kernel ignores a map of fewer than two entries, and there is room for
    /// [`MEMORY_MAP_MAX`].
    Entries,
    /// An entry is empty, runs past the end of the address space or is not behind the one before.
    Order,
}

impl BootParams<'_> {
    /// Writes the zero page for `kernel`.
    ///
    /// Everything that is not set stays zero, in particular the description of the screen: the kernel
    /// then has no display and does not look for one.
    ///
    /// # Errors
    ///
    /// See [`MapError`]; `page` is then unspecified.
    pub fn write(
        &self,
        kernel: &Kernel<'_>,
        page: &mut [u8; ZERO_PAGE_SIZE],
    ) -> Result<(), MapError> {
        if !(2..=MEMORY_MAP_MAX).contains(&self.memory_map.len()) {
            return Err(MapError::Entries);
        }
        page.fill(0);
        page[SETUP_SECTORS..SETUP_SECTORS + kernel.header.len()].copy_from_slice(kernel.header);
        page[LOADER_TYPE] = LOADER_UNDEFINED;
        page[LOAD_FLAGS] |= LOADED_HIGH;
        put(page, SETUP_DATA, self.seed.unwrap_or(0).to_le_bytes());
        put_split(page, COMMAND_LINE, COMMAND_LINE_HIGH, self.command_line);
        let initrd = self.initrd.unwrap_or(Extent::new(0, 0));
        put_split(page, INITRD_ADDRESS, INITRD_ADDRESS_HIGH, initrd.start);
        put_split(page, INITRD_SIZE, INITRD_SIZE_HIGH, initrd.size);
        put(page, RSDP_ADDRESS, self.rsdp.to_le_bytes());

        page[MEMORY_MAP_ENTRIES] = self.memory_map.len() as u8;
        let mut free_from = 0;
        for (i, entry) in self.memory_map.iter().enumerate() {
            let end = entry.extent.end().ok_or(MapError::Order)?;
            if entry.extent.size == 0 || entry.extent.start < free_from {
                return Err(MapError::Order);
            }
            free_from = end;
            let at = MEMORY_MAP + i * MEMORY_MAP_ENTRY;
            put(page, at, entry.extent.start.to_le_bytes());
            put(page, at + 8, entry.extent.size.to_le_bytes());
            put(page, at + 16, (entry.kind as u32).to_le_bytes());
        }
        Ok(())
    }
}

/// Bytes of [`seed_head`].
pub const SEED_HEAD: usize = 16;

/// What comes before a seed of `length` bytes (`struct setup_data`), as two 64-bit words: no other data
/// follows; kind and length. The kernel wipes both seed and length when it has read them.
pub const fn seed_head(length: u32) -> [u64; 2] {
    [0, RANDOM_SEED | ((length as u64) << 32)]
}

/// Stores the halves of a 64-bit value whose upper one got its place later in the protocol's life.
fn put_split(page: &mut [u8; ZERO_PAGE_SIZE], low: usize, high: usize, value: u64) {
    put(page, low, (value as u32).to_le_bytes());
    put(page, high, ((value >> 32) as u32).to_le_bytes());
}

fn put<const N: usize>(page: &mut [u8; ZERO_PAGE_SIZE], at: usize, value: [u8; N]) {
    page[at..at + N].copy_from_slice(&value);
}

fn get<const N: usize>(file: &[u8], at: usize) -> Result<[u8; N], ImageError> {
    let bytes = file.get(at..at + N).ok_or(ImageError::Truncated)?;
    bytes.try_into().map_err(|_| ImageError::Truncated)
}

fn get16(file: &[u8], at: usize) -> Result<u16, ImageError> {
    get(file, at).map(u16::from_le_bytes)
}

fn get32(file: &[u8], at: usize) -> Result<u32, ImageError> {
    get(file, at).map(u32::from_le_bytes)
}
