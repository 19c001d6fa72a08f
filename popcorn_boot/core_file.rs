// SPDX-License-Identifier: GPL-2.0
//! The memory of another kernel as an ELF core, for a debugger: [`popcorn_core::elf_core`].
//!
//! Only the header is kept. All else is read from the memory itself when a user reads, so nothing is
//! needed beforehand, and a kernel that runs can be read as well: then it is a picture of something that
//! moves. The header is of the moment when the core was opened.
//!
//! A kernel with this project's modules tells in its status page where it describes itself
//! (`VMCOREINFO`). For one that has none, or died before, all of its memory is searched: the note begins at
//! the start of a page. What another kernel has left there before is told apart by the kernel's release,
//! which must lie where the note says.
//!
//! Everything in that memory may be wrong or change while it is read, and is copied before it is checked.

use core::ops::Range;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::uaccess::UserSliceWriter;
use popcorn_core::boot_status;
use popcorn_core::boot_status::STATUS_SIZE;
use popcorn_core::bootparams::Extent;
use popcorn_core::elf_core;
use popcorn_core::elf_core::Core;
use popcorn_core::elf_core::Crash;
use popcorn_core::elf_core::Mapping;
use popcorn_core::elf_core::Place;
use popcorn_core::elf_core::DIRECT_MAP;
use popcorn_core::ring::Memory;
use popcorn_core::vmcoreinfo;
use popcorn_core::vmcoreinfo::VmcoreInfo;
use popcorn_core::vmcoreinfo::NOTE_HEAD;
use popcorn_core::vmcoreinfo::RELEASE_MAX;
use popcorn_kernel::boot::memory::PhysicalMemory;
use popcorn_kernel::current::cond_resched;
use popcorn_kernel::current::fatal_signal_pending;
use popcorn_kernel::shared_memory::SharedMemory;

const PAGE: usize = 4096;
/// Mapped in one step, in bytes; the steps are aligned to that, so that none is in two pieces of memory.
const STEP: u64 = 2 << 20;

/// Who has the memory that a core is made of.
pub(crate) trait Source {
    /// Maps `part`, which is of whole pages, between two multiples of 2 MiB. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`: it is not, or not any more, that kernel's. `ENOMEM`.
    fn map(&self, part: Extent) -> Result<Mapped>;
}

/// Memory of another kernel that is mapped here.
pub(crate) struct Mapped {
    memory: SharedMemory,
    /// What could be given back meanwhile. After what maps it.
    _keeps: Option<Arc<PhysicalMemory>>,
}

impl Mapped {
    /// `keeps` holds it, unless the source itself does as long as it lives.
    pub(crate) fn new(memory: SharedMemory, keeps: Option<Arc<PhysicalMemory>>) -> Self {
        Self {
            memory,
            _keeps: keeps,
        }
    }

    /// Copies what is there at `offset`. Any context.
    pub(crate) fn read(&self, offset: usize, bytes: &mut [u8]) {
        self.memory.read(offset, bytes);
    }
}

/// What is known of the kernel, besides its memory.
#[derive(Clone, Copy, Default)]
pub(crate) struct Known {
    /// Where it was loaded, and which address it was linked for.
    pub(crate) image: Option<Mapping>,
    /// Where it says that its `VMCOREINFO` note is.
    pub(crate) note: Option<Extent>,
    /// The processor that panicked.
    pub(crate) crash: Option<Crash>,
}

impl Known {
    /// What the status page tells of a kernel whose image is at `image`, if that is known:
    /// [`Mapping::of_loaded`].
    pub(crate) fn new(status: &[u8; STATUS_SIZE], image: Option<Mapping>) -> Self {
        Self {
            image,
            note: boot_status::decode_note(status),
            crash: boot_status::decode_crash(status),
        }
    }
}

/// A core, open for reading.
///
/// # Invariants
///
/// `ram` and the length of `header` are those that [`Core::header_size`] has checked.
pub(crate) struct CoreFile {
    ram: KVec<Extent>,
    header: VVec<u8>,
}

impl CoreFile {
    /// Opens a core of the kernel whose RAM is `ram`, ascending and in whole pages, all of which `source`
    /// can map. May sleep, and takes a while where the memory must be searched.
    ///
    /// # Errors
    ///
    /// `EINVAL`: ranges that cannot be, or that `source` refuses. `EINTR`: killed. `ENOMEM`.
    pub(crate) fn new<S: Source + ?Sized>(
        source: &S,
        ram: &[Extent],
        known: &Known,
    ) -> Result<Self> {
        let published = match known.note {
            Some(note) if inside(ram, note) => note_at(source, ram, note.start)?,
            _ => None,
        };
        let text = match published {
            Some(text) => Some(text),
            None => search(source, ram)?,
        };
        let info = text.as_deref().and_then(VmcoreInfo::parse);
        // One that has chosen its addresses at random, though told not to, is not where it was loaded.
        let offset = info.and_then(|info| info.image_offset());
        let moved = offset.is_some_and(|offset| offset != 0);
        let told = info.and_then(|info| Mapping::of_info(&info, ram));
        let core = Core {
            ram,
            direct_map: (!moved).then_some(DIRECT_MAP),
            image: if moved { told } else { known.image.or(told) },
            crash: known.crash,
            info: info.map_or(&[], |info| info.text().as_bytes()),
        };
        let refuse = |error| {
            pr_err!("no core of this memory: {:?}\n", error);
            EINVAL
        };
        let mut header = VVec::from_elem(0, core.header_size().map_err(refuse)?, GFP_KERNEL)?;
        core.write_header(&mut header).map_err(refuse)?;
        let mut ranges = KVec::with_capacity(ram.len(), GFP_KERNEL)?;
        ranges.extend_from_slice(ram, GFP_KERNEL)?;
        // INVARIANT: checked by header_size().
        Ok(Self {
            ram: ranges,
            header,
        })
    }

    /// Copies the core from `*position` on and advances it; the number of bytes copied, 0 behind its end.
    /// `source` is that of [`CoreFile::new`]. May sleep.
    ///
    /// # Errors
    ///
    /// `EFAULT`: bad memory of the user's. `EINVAL`: a position before the start, or the memory is that
    /// kernel's no more. `EINTR`: killed. `ENOMEM`. Nothing was copied then.
    pub(crate) fn read<S: Source + ?Sized>(
        &self,
        source: &S,
        to: &mut UserSliceWriter,
        position: &mut i64,
    ) -> Result<usize> {
        let start = *position;
        u64::try_from(start)?;
        let result = self.copy(source, to, position);
        match (result, (*position - start) as usize) {
            // What was copied before the error counts; the next read meets it again.
            (Err(error), 0) => Err(error),
            (_, copied) => Ok(copied),
        }
    }

    fn copy<S: Source + ?Sized>(
        &self,
        source: &S,
        to: &mut UserSliceWriter,
        position: &mut i64,
    ) -> Result {
        let mut page = KVec::from_elem(0u8, PAGE, GFP_KERNEL)?;
        while !to.is_empty() {
            let place = elf_core::locate(&self.ram, self.header.len(), *position as u64);
            match place {
                None => break,
                Some(Place::Header(from)) => {
                    let rest = self.header.get(from..).ok_or(EINVAL)?;
                    let bytes = &rest[..rest.len().min(to.len())];
                    to.write_slice(bytes)?;
                    advance(position, bytes.len())?;
                }
                Some(Place::Memory(rest)) => {
                    let window = Window::map(source, rest)?;
                    let mut wanted = window.wanted.clone();
                    while !wanted.is_empty() && !to.is_empty() {
                        if fatal_signal_pending() {
                            return Err(EINTR);
                        }
                        let length = wanted.len().min(PAGE).min(to.len());
                        let bytes = &mut page[..length];
                        window.memory.read(wanted.start, bytes);
                        to.write_slice(bytes)?;
                        advance(position, length)?;
                        wanted.start += length;
                        cond_resched();
                    }
                }
            }
        }
        Ok(())
    }
}

fn advance(position: &mut i64, length: usize) -> Result {
    *position = position.checked_add(length as i64).ok_or(EINVAL)?;
    Ok(())
}

/// A mapped piece of memory.
struct Window {
    memory: Mapped,
    /// The bytes of it that were asked for.
    wanted: Range<usize>,
}

impl Window {
    /// Maps the first bytes of `extent`, at most [`STEP`].
    fn map<S: Source + ?Sized>(source: &S, extent: Extent) -> Result<Self> {
        let first = extent.start - extent.start % PAGE as u64;
        let before = extent.start - first;
        let length = extent.size.min(STEP - extent.start % STEP);
        let size = (before + length).next_multiple_of(PAGE as u64);
        Ok(Self {
            memory: source.map(Extent::new(first, size))?,
            wanted: before as usize..(before + length) as usize,
        })
    }
}

/// Whether `part` lies in one range of `ram`.
fn inside(ram: &[Extent], part: Extent) -> bool {
    let Some(part_end) = part.end() else {
        return false;
    };
    let holds = |range: &Extent| {
        range.start <= part.start && range.end().is_some_and(|end| part_end <= end)
    };
    ram.iter().any(holds)
}

/// Copies what lies at `from`; false if that is not in `ram`. May sleep.
///
/// # Errors
///
/// `EINVAL`: `source` refuses it. `ENOMEM`.
pub(crate) fn fetch<S: Source + ?Sized>(
    source: &S,
    ram: &[Extent],
    from: u64,
    bytes: &mut [u8],
) -> Result<bool> {
    let extent = Extent::new(from, bytes.len() as u64);
    if !inside(ram, extent) {
        return Ok(false);
    }
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let window = Window::map(source, Extent::new(from + done as u64, rest.len() as u64))?;
        let length = window.wanted.len().min(rest.len());
        window.memory.read(window.wanted.start, &mut rest[..length]);
        done += length;
    }
    Ok(true)
}

/// The text of the note at `start`, if one is there. May sleep.
fn note_at<S: Source + ?Sized>(source: &S, ram: &[Extent], start: u64) -> Result<Option<KVec<u8>>> {
    let mut head = [0; NOTE_HEAD];
    if !fetch(source, ram, start, &mut head)? {
        return Ok(None);
    }
    let Some(length) = vmcoreinfo::text_length(&head) else {
        return Ok(None);
    };
    let mut text = KVec::from_elem(0, length, GFP_KERNEL)?;
    let there = fetch(source, ram, start + NOTE_HEAD as u64, &mut text)?;
    Ok((there && VmcoreInfo::parse(&text).is_some()).then_some(text))
}

/// The text of the first note in `ram` that is this kernel's. May sleep.
fn search<S: Source + ?Sized>(source: &S, ram: &[Extent]) -> Result<Option<KVec<u8>>> {
    for range in ram {
        let mut rest = *range;
        while rest.size != 0 {
            let window = Window::map(source, rest)?;
            let size = window.wanted.len() as u64;
            for offset in window.wanted.step_by(PAGE) {
                let mut head = [0; NOTE_HEAD];
                window.memory.read(offset, &mut head);
                if vmcoreinfo::text_length(&head).is_none() {
                    continue;
                }
                if let Some(text) = note_at(source, ram, rest.start + offset as u64)? {
                    if is_this_kernel(source, ram, &text)? {
                        return Ok(Some(text));
                    }
                }
            }
            if fatal_signal_pending() {
                return Err(EINTR);
            }
            cond_resched();
            rest = Extent::new(rest.start + size, rest.size - size);
        }
    }
    Ok(None)
}

/// Whether the kernel's release lies where `text` says.
fn is_this_kernel<S: Source + ?Sized>(source: &S, ram: &[Extent], text: &[u8]) -> Result<bool> {
    let mut release = [0; RELEASE_MAX];
    let Some(info) = VmcoreInfo::parse(text) else {
        return Ok(false);
    };
    let Some(at) = info.release_address() else {
        return Ok(false);
    };
    Ok(fetch(source, ram, at, &mut release)? && info.is_release(&release))
}
