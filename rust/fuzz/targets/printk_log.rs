// SPDX-License-Identifier: GPL-2.0
//! The printk ring in the memory of a kernel that may have made anything of it, also while it is read.
//!
//! Each step is a bounded number of reads, whatever is there; in memory that stays as it is the end comes after no
//! more steps than the ring has messages; no text is longer than there is room for. As the kernel writes it, each
//! message that is still there comes, in order, as it was.

use super::Target;
use crate::source::Source;

use popcorn_core::printk_log;
use popcorn_core::printk_log::Cursor;
use popcorn_core::printk_log::Ring;
use popcorn_core::printk_log::Step;
use popcorn_core::printk_log::VirtualMemory;
use popcorn_core::printk_log::KNOWN;
use popcorn_core::vmcoreinfo::VmcoreInfo;
use printk_ring::Image;
use printk_ring::IMAGE;
use printk_ring::RING;
use std::cell::Cell;
use std::cell::RefCell;

/// The writer of the tests of `popcorn_core`.
#[path = "../../core/tests/printk_ring/mod.rs"]
mod printk_ring;

pub(super) const TARGET: Target = Target {
    name: "printk_log",
    about: "the printk ring in another kernel's memory",
    most: 600,
    seeds,
    run,
};

/// Reads of one step, at most.
const READS_MAX: usize = 20;
/// Reads of one search: of some places in a piece each.
const SEARCH_MAX: usize = 16 * 20;
/// The smallest ring that is taken for one, as a power of two of messages.
const COUNT_BITS: u32 = 7;
/// Searched, from the ring's own structure on.
const PIECE: usize = 256;

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for layout in [0, 1] {
        // Messages; then changes of some words; then who writes meanwhile.
        let mut plain = vec![layout, 12];
        for n in 0..12u8 {
            plain.extend([n * 17, n % 3]);
        }
        let mut changed = plain.clone();
        changed.extend([3, 0, 3, 7, 1, 5, 64, 9, 2, 200, 1, 2, 3, 4, 5, 6, 7, 8]);
        let mut disturbed = plain.clone();
        disturbed.push(0);
        disturbed.extend([10, 1, 40, 3, 200, 9, 9, 2, 70, 8, 1, 0, 5, 6]);
        let mut many = vec![layout, 255];
        many.extend((0..510).map(|n| (n * 7) as u8));
        seeds.extend([plain, changed, disturbed, many]);
    }
    seeds
}

/// The image as somebody writes to it between any two reads.
struct Disturbed<'a> {
    image: RefCell<Image>,
    writer: RefCell<Source<'a>>,
    reads: Cell<usize>,
}

impl VirtualMemory for Disturbed<'_> {
    fn read(&self, address: u64, out: &mut [u8]) -> bool {
        self.reads.set(self.reads.get() + 1);
        let mut writer = self.writer.borrow_mut();
        if !writer.is_empty() && writer.byte() < 128 {
            change(&mut self.image.borrow_mut(), &mut writer);
        }
        self.image.borrow().read(address, out)
    }
}

/// Writes a word somewhere, mostly where it hurts.
fn change(image: &mut Image, source: &mut Source<'_>) {
    let words = image.bytes.len() / 8;
    let at = match source.byte() {
        0..=127 => RING / 8 + source.below(12),
        // The descriptors, which come first of the arrays.
        128..=200 => 0x1000 / 8 + source.below(3 << COUNT_BITS),
        _ => source.below(words),
    };
    let at = 8 * at.min(words - 1);
    let old = u64::from_le_bytes(image.bytes[at..at + 8].try_into().unwrap());
    let new = match source.byte() % 4 {
        0 => source.word(),
        1 => old.wrapping_add(source.byte() as i8 as u64),
        2 => old ^ (1 << source.below(64)),
        // A kernel address, perhaps in the image.
        _ => IMAGE.wrapping_add(source.short().into()),
    };
    image.bytes[at..at + 8].copy_from_slice(&new.to_le_bytes());
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let texts = if source.flag() { 40 } else { 48 };
    let mut image = Image::new(COUNT_BITS, texts);
    let mut written = Vec::new();
    for _ in 0..source.byte() {
        let length = usize::from(source.byte());
        let first = source.byte();
        let text: Vec<u8> = (0..length).map(|n| first.wrapping_add(n as u8)).collect();
        image.write(&text);
        written.push(text);
    }
    let changes = source.byte() % 16;
    let is_honest = changes == 0;
    for _ in 0..changes {
        change(&mut image, &mut source);
    }
    let layout = &KNOWN[usize::from(texts == 40)];
    as_it_is(&image, layout, is_honest.then_some(&written[..]));
    let disturbed = Disturbed {
        image: RefCell::new(image),
        writer: RefCell::new(source),
        reads: Cell::new(0),
    };
    while_it_changes(&disturbed, layout);
}

/// Reads what stays as it is.
fn as_it_is(image: &Image, layout: &printk_log::Layout, written: Option<&[Vec<u8>]>) {
    let address = IMAGE + RING as u64;
    let ring = Ring::open(image, layout, address);
    let piece = &image.bytes[RING..RING + PIECE];
    image.reads.set(0);
    let found = printk_log::find(image, piece, address);
    assert!(image.reads.get() <= SEARCH_MAX);
    let text = image.info();
    let info = VmcoreInfo::parse(text.as_bytes()).unwrap();
    let told = Ring::of_info(image, &info);
    for ring in [ring, found, told].into_iter().flatten() {
        assert!(ring.capacity().is_power_of_two() && ring.capacity() <= 1 << 20);
        // A lie about the number of messages may cost as many steps; each is bounded.
        let most = ring.capacity().min(1 << 12);
        let read = read_all(image, &ring, Cursor::default(), most);
        if ring.capacity() <= most {
            assert!(read.ended, "it has no end");
        }
        let mut cursor = Cursor::default();
        ring.only_newest(image, &mut cursor, 5);
        let newest = read_all(image, &ring, cursor, 6);
        assert!(newest.ended && newest.steps <= 6);
    }
    if let Some(written) = written {
        let ring = ring.unwrap();
        assert_eq!((found, told), (Some(ring), Some(ring)));
        let read = read_all(image, &ring, Cursor::default(), u64::MAX);
        // The latest ones: the others have made room for them.
        assert!(read.texts.len() <= written.len());
        assert!(written.ends_with(&read.texts));
        assert!(written.is_empty() || !read.texts.is_empty());
    }
}

struct ReadAll {
    ended: bool,
    steps: u64,
    texts: Vec<Vec<u8>>,
}

fn read_all(image: &Image, ring: &Ring, mut cursor: Cursor, most: u64) -> ReadAll {
    let mut all = ReadAll {
        ended: false,
        steps: 0,
        texts: Vec::new(),
    };
    let mut text = [0; 300];
    while all.steps <= most {
        image.reads.set(0);
        let step = ring.step(image, &mut cursor, &mut text);
        assert!(image.reads.get() <= READS_MAX);
        all.steps += 1;
        match step {
            Step::Record(record) => {
                assert!(record.length <= text.len());
                all.texts.push(text[..record.length].to_vec());
            }
            Step::Gap => {}
            Step::Pending => cursor.pass(),
            Step::End => {
                all.ended = true;
                break;
            }
        }
    }
    all
}

/// Reads what changes under its hands.
fn while_it_changes(memory: &Disturbed<'_>, layout: &printk_log::Layout) {
    let address = IMAGE + RING as u64;
    let piece = memory.image.borrow().bytes[RING..RING + PIECE].to_vec();
    let bounded = |most| assert!(memory.reads.replace(0) <= most, "too many reads");
    let ring = Ring::open(memory, layout, address);
    bounded(READS_MAX);
    let found = printk_log::find(memory, &piece, address);
    bounded(SEARCH_MAX);
    let Some(ring) = printk_log::larger(ring, found) else {
        return;
    };
    let mut cursor = Cursor::default();
    let mut text = [0; 40];
    for turn in 0..40 {
        if turn % 8 == 7 {
            ring.only_newest(memory, &mut cursor, 4);
            bounded(READS_MAX);
        }
        match ring.step(memory, &mut cursor, &mut text) {
            Step::Record(record) => assert!(record.length <= text.len()),
            Step::Pending => cursor.pass(),
            Step::Gap => {}
            Step::End => break,
        }
        bounded(READS_MAX);
    }
}
