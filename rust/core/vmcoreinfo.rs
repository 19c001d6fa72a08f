// SPDX-License-Identifier: GPL-2.0

//! `VMCOREINFO`: what a Linux kernel tells of itself to whoever reads its memory.
//!
//! It is text in lines `KEY=VALUE`: the release, addresses of some symbols, offsets in some structures
//! (`Documentation/admin-guide/kdump/vmcoreinfo.rst`). The kernel keeps it as an ELF note at the start of
//! a page, from early in its boot on, so that it can be found by looking at each page.
//!
//! It is read from the memory of a kernel that may have written anything there. What comes of a lie is a
//! core that a debugger cannot make sense of.

/// The note's name, with its closing zero.
pub const NOTE_NAME: &[u8] = b"VMCOREINFO\0";
/// The note's type.
pub const NOTE_TYPE: u32 = 0;
/// Bytes of the note before its text: three words, and the name filled up to a multiple of 4.
pub const NOTE_HEAD: usize = 24;
/// Most bytes of text.
pub const TEXT_MAX: usize = 4096;

/// Where every x86-64 kernel maps its own image, which begins somewhat behind that.
pub const IMAGE_MAP: u64 = 0xffff_ffff_8000_0000;
/// The mapping never reaches further than this, in bytes.
pub const IMAGE_MAP_MAX: u64 = 1 << 30;
/// Offset of the release in `struct new_utsname`: behind two names.
const UTS_RELEASE: u64 = 2 * 65;
/// Longest release, with its closing zero.
pub const RELEASE_MAX: usize = 65;

/// Bytes of text behind what may be the head of the note; `None` if it is none.
pub fn text_length(head: &[u8; NOTE_HEAD]) -> Option<usize> {
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let length = word(4) as usize;
    let named = word(0) as usize == NOTE_NAME.len() && head[12..].starts_with(NOTE_NAME);
    (named && word(8) == NOTE_TYPE && (1..=TEXT_MAX).contains(&length)).then_some(length)
}

/// The text, checked: whole lines of printable ASCII, each with a key, among them the release.
#[derive(Clone, Copy, Debug)]
pub struct VmcoreInfo<'a>(&'a str);

impl<'a> VmcoreInfo<'a> {
    /// Checks `text`. A last line that is cut off is left out: the kernel cuts when its room is used up.
    /// `None` if it is not what a kernel writes.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let end = text.iter().rposition(|&byte| byte == b'\n')?;
        if text.len() > TEXT_MAX || !text[end..].iter().skip(1).all(is_printable) {
            return None;
        }
        let whole = &text[..=end];
        let mut lines = whole[..end].split(|&byte| byte == b'\n');
        let sound = |line: &[u8]| {
            line.iter().all(is_printable) && line.iter().position(|&b| b == b'=') > Some(0)
        };
        if !lines.all(sound) {
            return None;
        }
        let info = Self(core::str::from_utf8(whole).ok()?);
        let release = info.release()?;
        ((1..RELEASE_MAX).contains(&release.len())).then_some(info)
    }

    /// All of it.
    pub fn text(&self) -> &'a str {
        self.0
    }

    /// The kernel's release, as `uname -r` prints it.
    pub fn release(&self) -> Option<&'a str> {
        self.get("OSRELEASE", "")
    }

    /// How far the image was moved from the address that it was linked for; `None` if it does not tell.
    pub fn image_offset(&self) -> Option<u64> {
        u64::from_str_radix(self.get("KERNELOFFSET", "")?, 16).ok()
    }

    /// The address of a symbol.
    pub fn symbol(&self, name: &str) -> Option<u64> {
        u64::from_str_radix(self.get("SYMBOL", name)?, 16).ok()
    }

    /// The offset of a field, as in `uts_namespace.name`.
    pub fn offset(&self, field: &str) -> Option<u64> {
        self.get("OFFSET", field)?.parse().ok()
    }

    /// The size of a structure, in bytes.
    pub fn size(&self, structure: &str) -> Option<u64> {
        self.get("SIZE", structure)?.parse().ok()
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.get("NUMBER", name)?.parse().ok()
    }

    /// The physical address of something in the kernel's image.
    pub fn physical(&self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(IMAGE_MAP)?;
        if offset >= IMAGE_MAP_MAX {
            return None;
        }
        offset.checked_add_signed(self.number("phys_base")?)
    }

    /// The image's first address, which is a page's, and the physical one behind it.
    pub fn image_start(&self) -> Option<(u64, u64)> {
        let start = self.symbol("_stext")? & !4095;
        Some((start, self.physical(start)?))
    }

    /// Bytes from the image's first address that its mapping may reach to.
    pub fn image_size_max(&self) -> Option<u64> {
        let (start, _) = self.image_start()?;
        let size = u64::try_from(self.number("KERNEL_IMAGE_SIZE")?).ok()?;
        size.min(IMAGE_MAP_MAX).checked_sub(start - IMAGE_MAP)
    }

    /// The physical address at which the kernel keeps its release. If it is found there, this text is that
    /// of the kernel in this memory, and not what one before it has left behind.
    pub fn release_address(&self) -> Option<u64> {
        self.physical(self.symbol("init_uts_ns")?)?
            .checked_add(self.offset("uts_namespace.name")?)?
            .checked_add(UTS_RELEASE)
    }

    /// Whether the bytes at [`VmcoreInfo::release_address`] are the release.
    pub fn is_release(&self, bytes: &[u8; RELEASE_MAX]) -> bool {
        let Some(release) = self.release() else {
            return false;
        };
        bytes.get(release.len()) == Some(&0) && bytes.starts_with(release.as_bytes())
    }

    /// The value of `KIND(NAME)`, or of `KIND` for no name.
    fn get(&self, kind: &str, name: &str) -> Option<&'a str> {
        self.0.lines().find_map(|line| {
            let rest = line.strip_prefix(kind)?;
            let rest = if name.is_empty() {
                rest
            } else {
                rest.strip_prefix('(')?
                    .strip_prefix(name)?
                    .strip_prefix(')')?
            };
            rest.strip_prefix('=')
        })
    }
}

fn is_printable(byte: &u8) -> bool {
    (b' '..=b'~').contains(byte)
}
