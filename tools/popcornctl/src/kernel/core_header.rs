// SPDX-License-Identifier: GPL-2.0
//! What a core says of itself: where each piece of memory is in the file, which kernel it is of.

/// The largest header that the module makes.
pub(crate) const HEADER_MAX: usize = 64 << 10;
/// Virtual addresses from here on are those of the kernel's image, a second view of its memory.
const IMAGE: u64 = 0xffff_ffff_8000_0000;

/// A range of memory in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// In the file.
    offset: u64,
    /// The kernel's own address of it; 0: it is not known.
    pub(crate) address: u64,
    pub(crate) size: u64,
}

/// A core's header.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Header {
    segments: Vec<Segment>,
    /// What the kernel tells of itself (`VMCOREINFO`).
    pub(crate) info: Option<Vec<u8>>,
    /// The processor that panicked.
    pub(crate) panic_cpu: Option<usize>,
}

impl Header {
    /// Reads the header at the beginning of `bytes`. `None` if it is not one that the module makes.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        const PT_LOAD: u64 = 1;
        const PT_NOTE: u64 = 4;

        if !bytes.starts_with(b"\x7fELF\x02\x01\x01") {
            return None;
        }
        let (table, count) = (word(bytes, 32, 8)?, word(bytes, 56, 2)?);
        let mut header = Self::default();
        for i in 0..count {
            let at = usize::try_from(table.checked_add(56 * i)?).ok()?;
            let field = |n: usize| word(bytes, at + 8 * n, 8);
            let (offset, address, size) = (field(1)?, field(2)?, field(4)?);
            let end = offset.checked_add(size)?;
            match word(bytes, at, 4)? {
                PT_LOAD => header.segments.push(Segment {
                    offset,
                    address,
                    size,
                }),
                PT_NOTE => {
                    let notes = usize::try_from(offset).ok()?..usize::try_from(end).ok()?;
                    header.read_notes(bytes.get(notes)?)?;
                }
                _ => {}
            }
        }
        let in_memory = header.segments.iter().filter(|s| s.address < IMAGE);
        in_memory.map(|s| s.size).try_fold(0u64, u64::checked_add)?;
        Some(header)
    }

    fn read_notes(&mut self, mut notes: &[u8]) -> Option<()> {
        const NT_PRSTATUS: u64 = 1;

        let mut processors = 0;
        while !notes.is_empty() {
            let length = |at| Some(word(notes, at, 4)? as usize);
            let text_at = 12 + length(0)?.next_multiple_of(4);
            let text = notes.get(text_at..text_at.checked_add(length(4)?)?)?;
            if notes[12..].starts_with(b"VMCOREINFO\0") {
                self.info = Some(text.to_vec());
            } else if word(notes, 8, 4)? == NT_PRSTATUS {
                // The last one is that of the processor that panicked.
                self.panic_cpu = Some(processors);
                processors += 1;
            }
            let end = text_at + text.len().next_multiple_of(4);
            notes = notes.get(end..)?;
        }
        Some(())
    }

    /// Bytes of the file.
    pub(crate) fn size(&self) -> u64 {
        let ends = self.segments.iter().map(|s| s.offset + s.size);
        ends.max().unwrap_or(0)
    }

    /// Bytes of memory in it.
    pub(crate) fn memory(&self) -> u64 {
        let in_memory = self.segments.iter().filter(|s| s.address < IMAGE);
        in_memory.map(|s| s.size).sum()
    }

    /// The kernel's release, if it tells.
    pub(crate) fn release(&self) -> Option<&str> {
        let mut lines = self.info.as_deref()?.split(|&byte| byte == b'\n');
        let release = lines.find_map(|line| line.strip_prefix(b"OSRELEASE="))?;
        std::str::from_utf8(release).ok()
    }

    /// The kernel's image.
    pub(crate) fn image(&self) -> Option<&Segment> {
        self.segments.iter().find(|s| s.address >= IMAGE)
    }

    /// Where in the file `length` bytes of a virtual address are; `None` if not all of them are there.
    pub(crate) fn offset(&self, address: u64, length: usize) -> Option<u64> {
        self.segments.iter().find_map(|segment| {
            let from = address.checked_sub(segment.address)?;
            let end = from.checked_add(length as u64)?;
            (segment.address != 0 && end <= segment.size).then_some(segment.offset + from)
        })
    }
}

/// A little-endian number of `length` bytes.
fn word(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |n, &byte| (n << 8) | u64::from(byte)),
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const MEMORY: usize = 5 << 20;

    /// A core of an image at `address` and nothing else, with that `VMCOREINFO`, if any.
    pub(crate) fn core_of(info: &str, address: u64, image: &[u8]) -> Vec<u8> {
        let mut notes = Vec::new();
        if !info.is_empty() {
            for word in [11u32, info.len() as u32, 0] {
                notes.extend(word.to_le_bytes());
            }
            notes.extend(b"VMCOREINFO\0\0");
            notes.extend(info.as_bytes());
            notes.resize(notes.len().next_multiple_of(4), 0);
        }
        let mut core = b"\x7fELF\x02\x01\x01".to_vec();
        core.resize(64, 0);
        core[32] = 64;
        core[56] = 3;
        let (at, size) = (64 + 3 * 56, image.len() as u64);
        for words in [
            [4, at, 0, 0, notes.len() as u64, notes.len() as u64, 4],
            [1, 8192, 0xffff_8880_0100_0000, 0x100_0000, size, size, 0],
            [1, 8192, address, 0x100_0000, size, size, 0],
        ] {
            core.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        }
        core.extend(notes);
        assert!(core.len() <= 8192);
        core.resize(8192, 0);
        core.extend(image);
        core
    }

    /// A core with notes and two ranges, and the image in the second; `MEMORY` bytes.
    pub(crate) fn made_up() -> Vec<u8> {
        let info = b"PAGESIZE=4096\nOSRELEASE=6.12.1\n";
        let mut notes = Vec::new();
        let mut note = |name: &[u8], kind: u32, text: &[u8]| {
            for word in [name.len() as u32, text.len() as u32, kind] {
                notes.extend(word.to_le_bytes());
            }
            for part in [name, text] {
                notes.extend(part);
                notes.resize(notes.len().next_multiple_of(4), 0);
            }
        };
        note(b"CORE\0", 1, &[0; 336]);
        note(b"CORE\0", 1, &[7; 336]);
        note(b"VMCOREINFO\0", 0, info);

        let mut core = b"\x7fELF\x02\x01\x01".to_vec();
        core.resize(64, 0);
        core[32] = 64;
        core[56] = 4;
        let mut program = |words: [u64; 7]| {
            for word in words {
                core.extend(word.to_le_bytes());
            }
        };
        let (low, size) = (8192, MEMORY as u64 - 8192);
        let at = 64 + 4 * 56;
        program([4, at, 0, 0, notes.len() as u64, notes.len() as u64, 4]);
        program([1, 12288 + 4096, 0xffff_ffff_8100_0000, 0, 4096, 4096, 4096]);
        program([1, 4096, 0xffff_8880_0000_1000, 0, low, low, 4096]);
        program([1, 12288, 0xffff_8880_0010_0000, 0, size, size, 4096]);
        core.extend(notes);
        core.resize(4096 + MEMORY, 0);
        core
    }

    #[test]
    fn the_header_tells_size_release_and_processor() {
        let core = made_up();
        let header = Header::parse(&core[..4096]).unwrap();
        assert_eq!(header.size(), core.len() as u64);
        assert_eq!(header.memory(), MEMORY as u64);
        assert_eq!(header.release(), Some("6.12.1"));
        assert_eq!(header.panic_cpu, Some(1));
        let image = header.image().unwrap();
        assert_eq!((image.address, image.size), (0xffff_ffff_8100_0000, 4096));
    }

    #[test]
    fn virtual_addresses_lead_into_the_file() {
        let header = Header::parse(&made_up()[..4096]).unwrap();
        let offset = |address, length| header.offset(address, length);
        assert_eq!(offset(0xffff_ffff_8100_0010, 16), Some(12288 + 4096 + 16));
        assert_eq!(
            offset(0xffff_ffff_8100_0ff0, 16),
            Some(12288 + 4096 + 0xff0)
        );
        assert_eq!(offset(0xffff_ffff_8100_0ff1, 16), None, "over its end");
        assert_eq!(offset(0xffff_8880_0000_1000, 8192), Some(4096));
        assert_eq!(offset(0xffff_8880_0000_1000, 8193), None);
        assert_eq!(offset(0xffff_8880_0000_0fff, 1), None);
        assert_eq!(offset(0, 1), None);
        assert_eq!(offset(u64::MAX, usize::MAX), None);
    }

    #[test]
    fn no_header_is_trusted() {
        let core = made_up();
        for length in 0..64 + 4 * 56 + 356 {
            assert_eq!(Header::parse(&core[..length]), None, "{length}");
        }
        for at in 0..2048 {
            for value in [0, 1, 0x7f, 0xff] {
                let mut core = core[..4096].to_vec();
                core[at] = value;
                // Whatever comes of it: it comes to an end.
                Header::parse(&core);
            }
        }
    }
}
