// SPDX-License-Identifier: GPL-2.0
//! The log in another kernel's memory: found, read while it is written, and never believed.

mod printk_ring;

use popcorn_core::printk_log;
use popcorn_core::printk_log::Cursor;
use popcorn_core::printk_log::Layout;
use popcorn_core::printk_log::Ring;
use popcorn_core::printk_log::Step;
use popcorn_core::printk_log::VirtualMemory;
use popcorn_core::printk_log::KNOWN;
use popcorn_core::printk_log::TEXT_MAX;
use popcorn_core::vmcoreinfo::VmcoreInfo;
use printk_ring::Image;
use printk_ring::COMMITTED;
use printk_ring::FINALIZED;
use printk_ring::IMAGE;
use printk_ring::RING;
use proptest::prelude::*;

fn found(image: &Image) -> Option<Ring> {
    printk_log::find(image, &image.bytes, IMAGE)
}

/// All that is there from the cursor on: number and text of each.
fn read(image: &impl VirtualMemory, ring: &Ring, cursor: &mut Cursor) -> Vec<(u64, Vec<u8>)> {
    let mut all = Vec::new();
    let mut text = [0; TEXT_MAX];
    for _ in 0..2 * ring.capacity() {
        match ring.step(image, cursor, &mut text) {
            Step::Record(record) => all.push((record.number, text[..record.length].to_vec())),
            Step::Gap => {}
            Step::Pending | Step::End => break,
        }
    }
    all
}

#[test]
fn the_first_message_is_seen() {
    let mut image = Image::new(7, 48);
    let ring = found(&image).unwrap();
    let mut cursor = Cursor::default();
    assert_eq!(read(&image, &ring, &mut cursor), []);
    image.write(b"Linux version");
    assert_eq!(
        read(&image, &ring, &mut cursor),
        [(0, b"Linux version".to_vec())]
    );
    assert_eq!(read(&image, &ring, &mut cursor), []);
    image.write(b"");
    image.write(b"Command line");
    let more = [(1, Vec::new()), (2, b"Command line".to_vec())];
    assert_eq!(read(&image, &ring, &mut cursor), more);
    assert_eq!(read(&image, &ring, &mut Cursor::default()).len(), 3);
}

#[test]
fn time_and_writer_are_told() {
    let mut image = Image::new(7, 48);
    image.write_as(b"hello", 1_500_000_000, 3, FINALIZED);
    let ring = found(&image).unwrap();
    let mut cursor = Cursor::default();
    let mut text = [0; 3];
    let step = loop {
        match ring.step(&image, &mut cursor, &mut text) {
            Step::Gap => {}
            step => break step,
        }
    };
    let Step::Record(record) = step else {
        panic!("{step:?}")
    };
    assert_eq!((record.time_ns, record.facility), (1_500_000_000, 3));
    assert_eq!(&text[..record.length], b"hel", "cut to the room there is");
}

#[test]
fn both_ways_to_the_ring_lead_to_the_same() {
    for (layout, texts) in KNOWN.iter().zip([48, 40]) {
        let image = Image::new(8, texts);
        let text = image.info();
        let info = VmcoreInfo::parse(text.as_bytes()).unwrap();
        assert_eq!(Layout::of_info(&info).as_ref(), Some(layout));
        let ring = Ring::of_info(&image, &info);
        assert!(ring.is_some());
        assert_eq!(found(&image), ring, "{texts}");
    }
}

#[test]
fn a_kernel_that_tells_nonsense_has_no_layout() {
    let good = Image::new(8, 48).info();
    for line in good.lines().skip(2) {
        let without = good.replace(&format!("{line}\n"), "");
        let info = VmcoreInfo::parse(without.as_bytes()).unwrap();
        assert_eq!(Layout::of_info(&info), None, "{line}");
        let (name, _) = line.split_once('=').unwrap();
        for value in ["4096000", "-1", "18446744073709551615", "x"] {
            let wrong = good.replace(line, &format!("{name}={value}"));
            let info = VmcoreInfo::parse(wrong.as_bytes()).unwrap();
            assert_eq!(Layout::of_info(&info), None, "{name}={value}");
        }
    }
}

#[test]
fn a_message_that_is_not_complete_is_waited_for() {
    let mut image = Image::new(7, 48);
    let ring = found(&image).unwrap();
    let mut cursor = Cursor::default();
    let mut text = [0; TEXT_MAX];
    image.write(b"one");
    image.write_as(b"two", 0, 0, 0);
    assert_eq!(
        read(&image, &ring, &mut cursor),
        [(0, b"one".to_vec())],
        "reserved"
    );
    assert_eq!(ring.step(&image, &mut cursor, &mut text), Step::Pending);
    image.set_state(COMMITTED);
    let mut other = cursor;
    let Step::Record(record) = ring.step(&image, &mut cursor, &mut text) else {
        panic!("committed")
    };
    assert!(!record.is_final);
    image.set_state(FINALIZED);
    assert_eq!(read(&image, &ring, &mut other), [(1, b"two".to_vec())]);

    // One whose writer has died does not hold up the rest.
    image.write_as(b"three", 0, 0, 0);
    image.write(b"four");
    assert_eq!(read(&image, &ring, &mut other), []);
    other.pass();
    assert_eq!(read(&image, &ring, &mut other), [(3, b"four".to_vec())]);
}

#[test]
fn only_the_newest_are_looked_at_if_there_are_many() {
    let mut image = Image::new(7, 48);
    let ring = found(&image).unwrap();
    let mut cursor = Cursor::default();
    let numbers = |image: &Image, cursor: &mut Cursor| {
        ring.only_newest(image, cursor, 4);
        let all = read(image, &ring, cursor);
        all.into_iter().map(|(n, _)| n).collect::<Vec<_>>()
    };
    (0..100).for_each(|_| _ = image.write(b"x"));
    assert_eq!(numbers(&image, &mut cursor), [96, 97, 98, 99]);
    (0..3).for_each(|_| _ = image.write(b"x"));
    assert_eq!(numbers(&image, &mut cursor), [100, 101, 102]);
    (0..1000).for_each(|_| _ = image.write(b"x"));
    assert_eq!(numbers(&image, &mut cursor), [1099, 1100, 1101, 1102]);
    assert_eq!(numbers(&image, &mut cursor), []);
}

#[test]
fn the_ring_in_use_is_the_larger_one() {
    let small = found(&Image::new(7, 48));
    let large = found(&Image::new(9, 48));
    assert!(small.is_some() && large.is_some());
    assert_eq!(printk_log::larger(small, large), large);
    assert_eq!(printk_log::larger(large, small), large);
    assert_eq!(printk_log::larger(None, small), small);
    assert_eq!(printk_log::larger(small, None), small);
    assert_eq!(printk_log::larger(None, None), None);
}

#[test]
fn what_only_resembles_a_ring_is_none() {
    let good = Image::new(7, 48);
    assert!(found(&good).is_some());
    for (at, word) in [
        (0, 6),                      // too few messages
        (0, 21),                     // too many
        (0, 7 | (1 << 32)),          // a wider number
        (8, 0x40_0000),              // a user's address
        (8, IMAGE + 0x1001),         // not aligned
        (16, 0),                     // no address
        (24, 5),                     // a newest message far from the oldest
        (32, 0),                     // an oldest that is not there
        (48, 13),                    // another size of the texts
        (56, 0xffff_ffff_7fff_f000), // an address below the image
    ] {
        let mut image = good.clone();
        image.bytes[RING + at..RING + at + 8].copy_from_slice(&u64::to_le_bytes(word));
        assert_eq!(found(&image), None, "{at} {word:#x}");
    }
}

#[test]
fn memory_full_of_decoys_costs_little() {
    let mut image = Image::new(7, 48);
    let (head, arrays) = (7u64.to_le_bytes(), IMAGE.to_le_bytes());
    image.bytes.resize(1 << 20, 0);
    for ring in image.bytes[0x8000..].chunks_exact_mut(88) {
        for word in ring.chunks_exact_mut(8) {
            word.copy_from_slice(&arrays);
        }
        ring[..8].copy_from_slice(&head);
        ring[48..56].copy_from_slice(&12u64.to_le_bytes());
    }
    printk_log::find(&image, &image.bytes[0x8000..], IMAGE + 0x8000);
    assert!(image.reads.get() < 1000, "{}", image.reads.get());
}

#[test]
fn it_is_found_among_much_that_resembles_it() {
    let mut image = Image::new(7, 48);
    let (small, address) = (7u64.to_le_bytes(), IMAGE.to_le_bytes());
    for at in (0..RING - 16).chain(RING + 88..0x1000 - 16).step_by(8) {
        let words = if at % 16 == 0 {
            [small, address]
        } else {
            [address, small]
        };
        image.bytes[at..at + 16].copy_from_slice(&words.concat());
    }
    let all = found(&image);
    assert!(all.is_some());
    // Also by pieces, wherever they begin.
    for size in [8, 64, 256, 1024] {
        let pieces = image.bytes.chunks(size).enumerate();
        let each =
            pieces.map(|(i, piece)| printk_log::find(&image, piece, IMAGE + (i * size) as u64));
        assert_eq!(each.fold(None, printk_log::larger), all, "{size}");
    }
}

fn messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let text = prop::collection::vec(any::<u8>(), 0..200);
    prop::collection::vec(text, 1..400)
}

proptest! {
    #[test]
    fn what_is_read_is_the_end_of_what_was_written(texts in messages(), at_once in 1usize..300) {
        let mut image = Image::new(7, 48);
        let ring = found(&image).unwrap();
        let mut cursor = Cursor::default();
        let mut next = 0;
        for part in texts.chunks(at_once) {
            for text in part {
                image.write(text);
            }
            prop_assert_eq!(found(&image), Some(ring), "it is found at any time");
            let got = read(&image, &ring, &mut cursor);
            // The last is always there; and of those before it, a piece without holes.
            let end = texts.chunks(at_once).take_while(|&p| !std::ptr::eq(p, part)).map(<[_]>::len).sum::<usize>() + part.len();
            prop_assert_eq!(got.last().map(|(n, _)| *n as usize), Some(end - 1));
            let first = got[0].0 as usize;
            prop_assert!(first >= next);
            for (i, (number, text)) in got.iter().enumerate() {
                prop_assert_eq!(*number as usize, first + i);
                prop_assert_eq!(text, &texts[*number as usize]);
            }
            next = end;
        }
    }

    #[test]
    fn any_memory_is_safe(
        texts in messages(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 1..64),
        only_ring: bool,
    ) {
        let mut image = Image::new(7, 48);
        for text in &texts {
            image.write(text);
        }
        let ring = found(&image).unwrap();
        for (at, word) in changes {
            let room = if only_ring { RING + 88 } else { image.bytes.len() - 8 };
            let at = at.index(room) / 8 * 8;
            image.bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        let text = image.info();
        let info = VmcoreInfo::parse(text.as_bytes()).unwrap();
        for ring in [Some(ring), found(&image), Ring::of_info(&image, &info)].into_iter().flatten() {
            let mut cursor = Cursor::default();
            let mut text = [0; TEXT_MAX];
            for _ in 0..1000 {
                image.reads.set(0);
                ring.only_newest(&image, &mut cursor, 16);
                match ring.step(&image, &mut cursor, &mut text) {
                    Step::Record(record) => prop_assert!(record.length <= TEXT_MAX),
                    Step::Pending => cursor.pass(),
                    Step::Gap => {}
                    Step::End => break,
                }
                prop_assert!(image.reads.get() < 20);
            }
        }
    }

    #[test]
    fn any_layout_is_safe(values in prop::collection::vec(0u64..5000, 19), count_bits in 7u32..9) {
        let mut image = Image::new(count_bits, 48);
        (0..200).for_each(|_| _ = image.write(b"some text"));
        let mut text = String::new();
        for (line, value) in image.info().lines().zip([0, 0].iter().chain(&values)) {
            match line.split_once('=') {
                Some((name, _)) if name.starts_with("OFFSET") || name.starts_with("SIZE") => {
                    text += &format!("{name}={value}\n");
                }
                _ => text += &format!("{line}\n"),
            }
        }
        let info = VmcoreInfo::parse(text.as_bytes()).unwrap();
        if let Some(ring) = Ring::of_info(&image, &info) {
            read(&image, &ring, &mut Cursor::default());
        }
    }
}
