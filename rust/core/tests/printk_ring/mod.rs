// SPDX-License-Identifier: GPL-2.0
//! A kernel's image with a printk ring in it, written to by the kernel's rules.

#![allow(dead_code, reason = "each test uses what it needs")]

use popcorn_core::printk_log::VirtualMemory;
use std::cell::Cell;
use std::fmt::Write;

/// Where the image is.
pub(crate) const IMAGE: u64 = 0xffff_ffff_8100_0000;
/// Offsets in it.
const PRB: usize = 0x1f8;
pub(crate) const RING: usize = 0x400;
const ARRAYS: usize = 0x1000;

const ID_MASK: u64 = (1 << 62) - 1;
const DESCRIPTOR: usize = 24;
const INFO: usize = 88;
pub(crate) const COMMITTED: u64 = 1;
pub(crate) const FINALIZED: u64 = 2;
const REUSABLE: u64 = 3;

/// The image, and the kernel that writes to it.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
    /// How often it was read.
    pub(crate) reads: Cell<usize>,
    texts: usize,
    count: u64,
    size: u64,
    messages: u64,
    head: u64,
    tail: u64,
    data_head: u64,
    data_tail: u64,
}

impl VirtualMemory for Image {
    fn read(&self, address: u64, out: &mut [u8]) -> bool {
        self.reads.set(self.reads.get() + 1);
        let Some(start) = address
            .checked_sub(IMAGE)
            .and_then(|at| usize::try_from(at).ok())
        else {
            return false;
        };
        let bytes = start
            .checked_add(out.len())
            .and_then(|end| self.bytes.get(start..end));
        bytes.is_some_and(|bytes| {
            out.copy_from_slice(bytes);
            true
        })
    }
}

impl Image {
    /// A ring for `1 << count_bits` messages, as it is before the first. `texts`: where the ring of texts
    /// begins in its structure.
    pub(crate) fn new(count_bits: u32, texts: usize) -> Self {
        let (count, size) = (1u64 << count_bits, 1u64 << (count_bits + 5));
        let arrays = count as usize * (DESCRIPTOR + INFO) + size as usize;
        let mut image = Self {
            bytes: vec![0; ARRAYS + arrays],
            reads: Cell::new(0),
            texts,
            count,
            size,
            messages: 0,
            head: (count + 1).wrapping_neg() & ID_MASK,
            tail: (count + 1).wrapping_neg() & ID_MASK,
            data_head: size.wrapping_neg(),
            data_tail: size.wrapping_neg(),
        };
        image.put(PRB, IMAGE + RING as u64);
        image.put(RING, u64::from(count_bits));
        image.put(RING + 8, IMAGE + ARRAYS as u64);
        image.put(RING + 16, IMAGE + image.info_at(0) as u64);
        image.put(RING + texts, u64::from(count_bits + 5));
        image.put(RING + texts + 8, IMAGE + image.text_at(0) as u64);
        let first = image.descriptor_at(image.head);
        image.put(first, (REUSABLE << 62) | image.head);
        image.put(first + 8, 1);
        image.put(first + 16, 1);
        image.show();
        image
    }

    fn put(&mut self, at: usize, word: u64) {
        self.bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }

    fn get(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }

    fn index(&self, id: u64) -> usize {
        (id & (self.count - 1)) as usize
    }

    fn descriptor_at(&self, id: u64) -> usize {
        ARRAYS + self.index(id) * DESCRIPTOR
    }

    fn info_at(&self, id: u64) -> usize {
        ARRAYS + self.count as usize * DESCRIPTOR + self.index(id) * INFO
    }

    fn text_at(&self, position: u64) -> usize {
        let start = ARRAYS + self.count as usize * (DESCRIPTOR + INFO);
        start + (position & (self.size - 1)) as usize
    }

    fn show(&mut self) {
        self.put(RING + 24, self.head);
        self.put(RING + 32, self.tail);
        self.put(RING + self.texts + 16, self.data_head);
        self.put(RING + self.texts + 24, self.data_tail);
    }

    /// The oldest message is no more.
    fn drop_oldest(&mut self) {
        let at = self.descriptor_at(self.tail);
        self.put(at, (REUSABLE << 62) | self.tail);
        let (begin, next) = (self.get(at + 8), self.get(at + 16));
        if begin & 1 == 0 {
            self.data_tail = next;
        }
        self.tail = (self.tail + 1) & ID_MASK;
    }

    /// Where a block of this size ends.
    fn block_end(&self, size: u64) -> u64 {
        let next = self.data_head.wrapping_add(size);
        if next / self.size == self.data_head / self.size {
            return next;
        }
        (next & !(self.size - 1)).wrapping_add(size)
    }

    /// Writes a message that is in the given state afterwards; its number.
    pub(crate) fn write_as(&mut self, text: &[u8], time_ns: u64, facility: u8, state: u64) -> u64 {
        let id = (self.head + 1) & ID_MASK;
        let free = |image: &Self| id.wrapping_sub(image.tail) & ID_MASK < image.count;
        while !free(self) {
            self.drop_oldest();
        }
        let block = (8 + text.len() as u64).next_multiple_of(8);
        let (begin, next) = if text.is_empty() {
            (3, 3)
        } else {
            let next = self.block_end(block);
            while next.wrapping_sub(self.data_tail) > self.size {
                self.drop_oldest();
            }
            let begin = self.data_head;
            self.data_head = next;
            let wrapped = begin / self.size != next / self.size;
            self.put(self.text_at(begin), id);
            let start = self.text_at(if wrapped { 0 } else { begin });
            self.put(start, id);
            self.bytes[start + 8..start + 8 + text.len()].copy_from_slice(text);
            (begin, next)
        };
        let info = self.info_at(id);
        self.put(info, self.messages);
        self.put(info + 8, time_ns);
        self.bytes[info + 16..info + 18].copy_from_slice(&(text.len() as u16).to_le_bytes());
        self.bytes[info + 18] = facility;
        let at = self.descriptor_at(id);
        self.put(at + 8, begin);
        self.put(at + 16, next);
        self.put(at, (state << 62) | id);
        self.head = id;
        self.messages += 1;
        self.show();
        self.messages - 1
    }

    /// Writes a message of the kernel's.
    pub(crate) fn write(&mut self, text: &[u8]) -> u64 {
        self.write_as(text, self.messages * 1000, 0, FINALIZED)
    }

    /// Changes the state of the newest message.
    pub(crate) fn set_state(&mut self, state: u64) {
        let at = self.descriptor_at(self.head);
        self.put(at, (state << 62) | self.head);
    }

    /// What the kernel says of itself.
    pub(crate) fn info(&self) -> String {
        let mut text = format!("OSRELEASE=6.12.107\nSYMBOL(prb)={:x}\n", IMAGE + PRB as u64);
        for (name, size) in [("prb_desc", DESCRIPTOR), ("printk_info", INFO)] {
            writeln!(text, "SIZE({name})={size}").unwrap();
        }
        for (field, offset) in [
            ("printk_ringbuffer.desc_ring", 0),
            ("printk_ringbuffer.text_data_ring", self.texts),
            ("prb_desc_ring.count_bits", 0),
            ("prb_desc_ring.descs", 8),
            ("prb_desc_ring.infos", 16),
            ("prb_desc_ring.head_id", 24),
            ("prb_desc_ring.tail_id", 32),
            ("prb_desc.state_var", 0),
            ("prb_desc.text_blk_lpos", 8),
            ("prb_data_blk_lpos.begin", 0),
            ("prb_data_blk_lpos.next", 8),
            ("printk_info.seq", 0),
            ("printk_info.ts_nsec", 8),
            ("printk_info.text_len", 16),
            ("prb_data_ring.size_bits", 0),
            ("prb_data_ring.data", 8),
            ("atomic_long_t.counter", 0),
        ] {
            writeln!(text, "OFFSET({field})={offset}").unwrap();
        }
        text
    }
}
