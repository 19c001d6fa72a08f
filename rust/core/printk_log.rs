// SPDX-License-Identifier: GPL-2.0

//! The log that a Linux kernel keeps in its own memory, read from outside: by the primary while the other
//! kernel writes it, or after its death.
//!
//! It is the kernel's *printk ring* (`kernel/printk/printk_ringbuffer.h`): it is there from the first message
//! on, before any console, and needs nothing of that kernel. Three arrays of a power of two:
//!
//! ```text
//! struct printk_ringbuffer ──┬─> descriptors  id and state, where the text is; from `tail` to `head`
//!                            ├─> infos        number, time, length of the text; one for each descriptor
//!                            └─> text         blocks: the id of the descriptor, then the bytes
//! ```
//!
//! A newer message takes the place of the oldest. Its descriptor then has another id, by which a reader
//! that looks before and after it has copied the text knows that this was the message's.
//!
//! Where the ring is and what its structures look like, the kernel tells in `VMCOREINFO`
//! ([`Layout::of_info`]), but only late in its boot. Before that it is found by what it looks like
//! ([`find`]), if it has a layout known here ([`KNOWN`]).
//!
//! Everything in that memory may be wrong, or change while it is read: each step does a bounded amount of
//! work, whatever it finds, and what comes of a lie is wrong text.

use core::cmp::Ordering;

use crate::elf_core::DIRECT_MAP;
use crate::vmcoreinfo::{VmcoreInfo, IMAGE_MAP, IMAGE_MAP_MAX};

/// Longest text of one message that a kernel stores; longer ones it cuts.
pub const TEXT_MAX: usize = 1024;

/// Most messages of a ring.
const COUNT_BITS_MAX: u64 = 20;
/// Most bytes of its text.
const SIZE_BITS_MAX: u64 = 28;
/// A ring has so many bytes of text for each message, as a power of two.
const TEXT_BITS: u64 = 5;
/// The smallest ring that a kernel can be configured to have, as a power of two of messages.
const COUNT_BITS_MIN: u64 = 12 - TEXT_BITS;
/// A structure larger than this, in bytes, is none of these.
const STRUCTURE_MAX: u64 = 4096;
/// Below this, from [`DIRECT_MAP`] on, a kernel maps its memory.
const DIRECT_MAP_MAX: u64 = 1 << 46;
/// How many places in one piece of memory are looked at closely.
const TRIES_MAX: usize = 16;

const STATE_SHIFT: u32 = 62;
const ID_MASK: u64 = (1 << STATE_SHIFT) - 1;
/// States of a descriptor: [`Step::Pending`] until the writer is done with it.
const RESERVED: u64 = 0;
const COMMITTED: u64 = 1;
const FINALIZED: u64 = 2;
/// Bytes of the id before a text.
const BLOCK_HEAD: u64 = 8;

/// The memory of another kernel.
pub trait VirtualMemory {
    /// Copies what that kernel has at a virtual address; false if some of it cannot be had.
    fn read(&self, address: u64, out: &mut [u8]) -> bool;
}

/// Where the fields are in the structures of a ring, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    // From the start of `struct printk_ringbuffer`.
    count_bits: u64,
    descriptors: u64,
    infos: u64,
    head: u64,
    tail: u64,
    size_bits: u64,
    data: u64,
    // `struct prb_desc`
    descriptor_size: u64,
    state: u64,
    begin: u64,
    next: u64,
    // `struct printk_info`
    info_size: u64,
    number: u64,
    time: u64,
    length: u64,
}

/// Layouts of kernels for x86-64: of 6.8 and later, and of those from 5.10 on.
pub const KNOWN: [Layout; 2] = [Layout::with_texts_at(48), Layout::with_texts_at(40)];

impl Layout {
    const fn with_texts_at(texts: u64) -> Self {
        Self {
            count_bits: 0,
            descriptors: 8,
            infos: 16,
            head: 24,
            tail: 32,
            size_bits: texts,
            data: texts + 8,
            descriptor_size: 24,
            state: 0,
            begin: 8,
            next: 16,
            info_size: 88,
            number: 0,
            time: 8,
            length: 16,
        }
    }

    /// Whether a ring for `1 << count_bits` messages may begin where `bytes` do, as far as they reach.
    fn may_begin(&self, bytes: &[u8], count_bits: u64) -> bool {
        let word = |offset: u64| {
            let rest = bytes.get(offset as usize..)?;
            rest.get(..8).map(to_word)
        };
        let points = |offset| !matches!(word(offset), Some(at) if !is_kernel_address(at));
        points(self.descriptors)
            && points(self.infos)
            && points(self.data)
            && !matches!(word(self.size_bits), Some(bits) if bits != count_bits + TEXT_BITS)
    }

    /// What a kernel tells of its own ring; `None` if it does not, or nonsense.
    pub fn of_info(info: &VmcoreInfo<'_>) -> Option<Self> {
        let field = |names: &[&str]| {
            names.iter().try_fold(0u64, |sum, name| {
                let offset = info.offset(name).filter(|&offset| offset < STRUCTURE_MAX)?;
                sum.checked_add(offset)
            })
        };
        let size = |name| {
            info.size(name)
                .filter(|size| (8..=STRUCTURE_MAX).contains(size))
        };
        let messages = "printk_ringbuffer.desc_ring";
        let texts = "printk_ringbuffer.text_data_ring";
        let counter = "atomic_long_t.counter";
        let place = "prb_desc.text_blk_lpos";
        Some(Self {
            count_bits: field(&[messages, "prb_desc_ring.count_bits"])?,
            descriptors: field(&[messages, "prb_desc_ring.descs"])?,
            infos: field(&[messages, "prb_desc_ring.infos"])?,
            head: field(&[messages, "prb_desc_ring.head_id", counter])?,
            tail: field(&[messages, "prb_desc_ring.tail_id", counter])?,
            size_bits: field(&[texts, "prb_data_ring.size_bits"])?,
            data: field(&[texts, "prb_data_ring.data"])?,
            descriptor_size: size("prb_desc")?,
            state: field(&["prb_desc.state_var", counter])?,
            begin: field(&[place, "prb_data_blk_lpos.begin"])?,
            next: field(&[place, "prb_data_blk_lpos.next"])?,
            info_size: size("printk_info")?,
            number: field(&["printk_info.seq"])?,
            time: field(&["printk_info.ts_nsec"])?,
            length: field(&["printk_info.text_len"])?,
        })
    }
}

/// A message, without its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Counts all messages of that kernel, from 0.
    pub number: u64,
    /// When it was written, in nanoseconds on that kernel's clock.
    pub time_ns: u64,
    /// Who wrote it: 0 is the kernel itself, all else a program.
    pub facility: u8,
    /// Bytes of text that were copied.
    pub length: usize,
    /// Nothing will be added to it any more.
    pub is_final: bool,
}

/// What a look at the next message has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A message; its text was copied.
    Record(Record),
    /// There is nothing to be had of this one; the next may be there.
    Gap,
    /// Somebody writes to this one. It is the next again, until it is done or passed over with
    /// [`Cursor::pass`].
    Pending,
    /// There is no more.
    End,
}

/// How far a ring was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The id of the next message; `None`: the oldest.
    next: Option<u64>,
}

impl Cursor {
    /// Goes on behind a message that stays [`Step::Pending`]: its writer may be dead.
    pub fn pass(&mut self) {
        self.next = self.next.map(|id| id.wrapping_add(1) & ID_MASK);
    }
}

/// A ring that was found.
///
/// # Invariants
///
/// `count` and `size` are powers of two of at most [`COUNT_BITS_MAX`] and [`SIZE_BITS_MAX`] bits; the arrays
/// do not wrap around the end of the address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    layout: Layout,
    address: u64,
    descriptors: u64,
    infos: u64,
    data: u64,
    count: u64,
    size: u64,
}

impl Ring {
    /// The ring at virtual address `address`; `None` if there is nothing that could be one.
    pub fn open(memory: &impl VirtualMemory, layout: &Layout, address: u64) -> Option<Self> {
        let field = |offset| address.checked_add(offset);
        let count_bits = word32(memory, field(layout.count_bits)?)?;
        let size_bits = word32(memory, field(layout.size_bits)?)?;
        if !(1..=COUNT_BITS_MAX).contains(&count_bits) || !(8..=SIZE_BITS_MAX).contains(&size_bits)
        {
            return None;
        }
        let (count, size) = (1 << count_bits, 1 << size_bits);
        let array = |offset, bytes: u64| {
            let start = word(memory, field(offset)?)?;
            start.checked_add(bytes).map(|_| start)
        };
        // INVARIANT: checked above, and by array().
        Some(Self {
            layout: *layout,
            address,
            descriptors: array(layout.descriptors, count * layout.descriptor_size)?,
            infos: array(layout.infos, count * layout.info_size)?,
            data: array(layout.data, size)?,
            count,
            size,
        })
    }

    /// The ring that the kernel itself names.
    pub fn of_info(memory: &impl VirtualMemory, info: &VmcoreInfo<'_>) -> Option<Self> {
        let address = word(memory, info.symbol("prb")?)?;
        Self::open(memory, &Layout::of_info(info)?, address)
    }

    /// Most messages that it can hold.
    pub fn capacity(&self) -> u64 {
        self.count
    }

    /// The ids of the oldest message and of the newest.
    fn ids(&self, memory: &impl VirtualMemory) -> Option<(u64, u64)> {
        let id = |offset| {
            let value = word(memory, self.address.checked_add(offset)?)?;
            Some(value & ID_MASK)
        };
        let (tail, head) = (id(self.layout.tail)?, id(self.layout.head)?);
        // Seen at two moments, or nonsense: never more than there is room for.
        let oldest = head.wrapping_sub(self.count - 1) & ID_MASK;
        let all = distance(tail, head) < self.count;
        Some((if all { tail } else { oldest }, head))
    }

    /// Goes back to the newest `count` messages, if the cursor is not among them: what was before is passed
    /// over.
    pub fn only_newest(&self, memory: &impl VirtualMemory, cursor: &mut Cursor, count: u64) {
        let Some((tail, head)) = self.ids(memory) else {
            return;
        };
        let there = distance(tail, head) + 1;
        let next = cursor.next.unwrap_or(tail);
        // One that is not in the ring any more is left to `step`.
        let left = there.checked_sub(distance(tail, next)).unwrap_or(there);
        if left > count {
            cursor.next = Some(head.wrapping_sub(count).wrapping_add(1) & ID_MASK);
        }
    }

    /// Looks at the message behind `cursor`, copies as much of its text as `text` has room for, and moves the
    /// cursor on unless it is [`Step::Pending`].
    pub fn step(&self, memory: &impl VirtualMemory, cursor: &mut Cursor, text: &mut [u8]) -> Step {
        let Some((tail, head)) = self.ids(memory) else {
            return Step::End;
        };
        let there = distance(tail, head) + 1;
        let mut id = cursor.next.unwrap_or(tail);
        match distance(tail, id).cmp(&there) {
            // Overwritten since, or the ring is another one.
            Ordering::Greater => id = tail,
            Ordering::Equal => return Step::End,
            Ordering::Less => {}
        }
        cursor.next = Some(id);
        let step = self.look(memory, id, text).unwrap_or(Step::Gap);
        if step != Step::Pending {
            cursor.pass();
        }
        step
    }

    /// The message `id`; `None` if it is gone or makes no sense.
    fn look(&self, memory: &impl VirtualMemory, id: u64, text: &mut [u8]) -> Option<Step> {
        // The arrays do not wrap, by the invariant; a field may, if the layout is a lie.
        let index = id & (self.count - 1);
        let descriptor = self.descriptors + index * self.layout.descriptor_size;
        let info = self.infos + index * self.layout.info_size;
        let of = |start: u64, offset| start.checked_add(offset);
        let state_at = of(descriptor, self.layout.state)?;

        let state = word(memory, state_at)?;
        if state & ID_MASK != id {
            return None;
        }
        match state >> STATE_SHIFT {
            RESERVED => return Some(Step::Pending),
            COMMITTED | FINALIZED => {}
            _ => return None,
        }
        let begin = word(memory, of(descriptor, self.layout.begin)?)?;
        let next = word(memory, of(descriptor, self.layout.next)?)?;
        let mut length = [0; 3];
        read(memory, of(info, self.layout.length)?, &mut length)?;
        // In every version the facility follows the length.
        let [low, high, facility] = length;
        let wanted = u64::from(u16::from_le_bytes([low, high]));
        let (start, room) = self.block(begin, next)?;
        if room != 0 {
            let owner = word(memory, self.data + start)?;
            if owner & ID_MASK != id {
                return None;
            }
        }
        let length = wanted
            .min(room.saturating_sub(BLOCK_HEAD))
            .min(text.len() as u64) as usize;
        read(
            memory,
            self.data + start + BLOCK_HEAD.min(room),
            &mut text[..length],
        )?;
        let record = Record {
            number: word(memory, of(info, self.layout.number)?)?,
            time_ns: word(memory, of(info, self.layout.time)?)?,
            facility,
            length,
            is_final: state >> STATE_SHIFT == FINALIZED,
        };
        // Still the same: so all of it was that message's.
        match word(memory, state_at)? {
            now if now == state => Some(Step::Record(record)),
            now if now & ID_MASK == id => Some(Step::Pending),
            _ => None,
        }
    }

    /// Where a block of text is in the data, and its bytes; (0, 0) if the message has none.
    fn block(&self, begin: u64, next: u64) -> Option<(u64, u64)> {
        let index = |position: u64| position & (self.size - 1);
        let turn = |position: u64| position & !self.size.wrapping_sub(1);
        if begin & 1 != 0 {
            return Some((0, 0));
        }
        let (start, room) = if turn(begin) == turn(next) && begin < next {
            (index(begin), next - begin)
        } else if turn(begin.wrapping_add(self.size)) == turn(next) {
            // One that would reach over the end lies at the beginning.
            (0, index(next))
        } else {
            return None;
        };
        (start % 8 == 0 && room >= BLOCK_HEAD).then_some((start, room))
    }

    /// Whether it is consistent with itself as only a ring is.
    fn is_sound(&self, memory: &impl VirtualMemory) -> bool {
        let ids = || {
            let head = word(memory, self.address.checked_add(self.layout.head)?)? & ID_MASK;
            let tail = word(memory, self.address.checked_add(self.layout.tail)?)? & ID_MASK;
            let index = tail & (self.count - 1);
            let descriptor = self.descriptors + index * self.layout.descriptor_size;
            let oldest = word(memory, descriptor.checked_add(self.layout.state)?)? & ID_MASK;
            // While it is looked at, the oldest one may make room for a newer one.
            let is_there = oldest == tail || distance(tail, oldest) == self.count;
            Some(distance(tail, head) < self.count && is_there)
        };
        let arrays = [self.descriptors, self.infos, self.data];
        self.count >= 1 << COUNT_BITS_MIN
            && self.size == self.count << TEXT_BITS
            && arrays
                .iter()
                .all(|&array| array % 8 == 0 && is_kernel_address(array))
            && ids() == Some(true)
    }
}

/// Looks for rings of a [`KNOWN`] layout that begin in `piece`, which lies at virtual address `address`, a
/// multiple of 8. A kernel has two, of which it uses the larger: that one is the result.
pub fn find(memory: &impl VirtualMemory, piece: &[u8], address: u64) -> Option<Ring> {
    let mut found: Option<Ring> = None;
    let mut tries = 0;
    for (i, first) in piece.chunks_exact(8).enumerate() {
        let bits = to_word(first);
        // Nearly all of memory is passed over by this.
        if !(COUNT_BITS_MIN..=COUNT_BITS_MAX).contains(&bits) {
            continue;
        }
        let at = i * 8;
        let Some(start) = address.checked_add(at as u64) else {
            break;
        };
        for layout in &KNOWN {
            if tries == TRIES_MAX {
                return found;
            }
            if !layout.may_begin(&piece[at..], bits) {
                continue;
            }
            tries += 1;
            let ring = Ring::open(memory, layout, start).filter(|ring| ring.is_sound(memory));
            found = larger(found, ring);
        }
    }
    found
}

/// The larger of two rings of one kernel, which is the one that it uses.
pub fn larger(one: Option<Ring>, other: Option<Ring>) -> Option<Ring> {
    match (one, other) {
        (Some(one), Some(other)) if other.count > one.count => Some(other),
        (None, other) => other,
        (one, _) => one,
    }
}

/// How far `id` is behind `from`.
fn distance(from: u64, id: u64) -> u64 {
    id.wrapping_sub(from) & ID_MASK
}

fn is_kernel_address(address: u64) -> bool {
    (IMAGE_MAP..IMAGE_MAP + IMAGE_MAP_MAX).contains(&address)
        || (DIRECT_MAP..DIRECT_MAP + DIRECT_MAP_MAX).contains(&address)
}

fn to_word(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |word, &byte| (word << 8) | u64::from(byte))
}

fn read(memory: &impl VirtualMemory, address: u64, out: &mut [u8]) -> Option<()> {
    let is_there = out.is_empty() || memory.read(address, out);
    is_there.then_some(())
}

fn word(memory: &impl VirtualMemory, address: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    read(memory, address, &mut bytes)?;
    Some(u64::from_le_bytes(bytes))
}

fn word32(memory: &impl VirtualMemory, address: u64) -> Option<u64> {
    let mut bytes = [0; 4];
    read(memory, address, &mut bytes)?;
    Some(u64::from(u32::from_le_bytes(bytes)))
}
