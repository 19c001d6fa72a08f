// SPDX-License-Identifier: GPL-2.0
//! The console log, against a writer that does what the kernel's `persistent_ram_write` does.

use popcorn_core::console_log::ConsoleLog;
use popcorn_core::console_log::Corrupt;
use popcorn_core::console_log::HEADER_SIZE;
use proptest::prelude::*;

const CAPACITY: usize = 9000;

/// The other kernel: moves its words first, then stores the text.
struct Writer {
    start: usize,
    size: usize,
    data: Vec<u8>,
}

impl Writer {
    fn new() -> Self {
        Self {
            start: 0,
            size: 0,
            data: vec![0; CAPACITY],
        }
    }

    fn header(&self) -> [u8; HEADER_SIZE] {
        let mut header = [0; HEADER_SIZE];
        header[..4].copy_from_slice(b"DBGC");
        header[4..8].copy_from_slice(&(self.start as u32).to_le_bytes());
        header[8..].copy_from_slice(&(self.size as u32).to_le_bytes());
        header
    }

    /// Writes `text`; `look` sees the header after each of the steps.
    fn write(&mut self, text: &[u8], mut look: impl FnMut(&[u8; HEADER_SIZE])) {
        self.size = (self.size + text.len()).min(CAPACITY);
        look(&self.header());
        let at = self.start;
        self.start = (self.start + text.len()) % CAPACITY;
        look(&self.header());
        for (i, &byte) in text.iter().enumerate() {
            self.data[(at + i) % CAPACITY] = byte;
        }
    }
}

fn read(log: &mut ConsoleLog, writer: &Writer, position: &mut u64, most: usize) -> Vec<u8> {
    log.observe(&writer.header()).unwrap();
    let piece = log.piece(*position, most);
    assert!(piece.offset + piece.length <= CAPACITY);
    assert!(log.kept(piece));
    *position = piece.position + piece.length as u64;
    writer.data[piece.offset..piece.offset + piece.length].to_vec()
}

#[test]
fn positions_go_on_in_another_zone() {
    let mut writer = Writer::new();
    let mut log = new();
    writer.write(&[b'a'; 700], |_| {});
    let mut position = 0;
    assert_eq!(read(&mut log, &writer, &mut position, 400), [b'a'; 400]);
    let end = log.window().end;
    assert_eq!(end, 700);

    // One has not read all when the zone is replaced, and one has.
    let mut ready = end;
    let mut log = new();
    log.follow(end);
    let mut writer = Writer::new();
    assert_eq!(read(&mut log, &writer, &mut position, 400), []);
    assert_eq!((position, log.window().oldest), (end, end));
    writer.write(b"anew", |_| {});
    assert_eq!(read(&mut log, &writer, &mut position, 400), b"anew");
    assert_eq!(read(&mut log, &writer, &mut ready, 400), b"anew");
    let mut first = 0;
    assert_eq!(read(&mut log, &writer, &mut first, 400), b"anew");
    log.restart();
    assert_eq!(log.window().end, end + 4);
}

fn new() -> ConsoleLog {
    ConsoleLog::new(CAPACITY + HEADER_SIZE).unwrap()
}

/// The `i`th byte ever written.
fn byte(i: u64) -> u8 {
    (i % 251) as u8 + 1
}

fn text(from: u64, length: usize) -> Vec<u8> {
    (from..from + length as u64).map(byte).collect()
}

proptest! {
    #[test]
    fn a_reader_that_keeps_up_misses_nothing(
        steps in prop::collection::vec((1usize..2048, prop::bool::ANY), 1..60),
        most in 1usize..4000,
    ) {
        let (mut writer, mut log) = (Writer::new(), new());
        let (mut written, mut position, mut seen) = (0, 0, Vec::new());
        let mut read_at = 0;
        for (length, look_often) in steps {
            writer.write(&text(written, length), |header| {
                if look_often {
                    log.observe(header).unwrap();
                }
            });
            written += length as u64;
            // Keeping up: read before the ring could have turned.
            if written - read_at > 4000 {
                loop {
                    let got = read(&mut log, &writer, &mut position, most);
                    if got.is_empty() {
                        break;
                    }
                    seen.extend(got);
                }
                read_at = written;
            }
        }
        loop {
            let got = read(&mut log, &writer, &mut position, most);
            if got.is_empty() {
                break;
            }
            seen.extend(got);
        }
        prop_assert_eq!(seen, text(0, written as usize));
        prop_assert_eq!(position, written);
    }

    #[test]
    fn a_late_reader_gets_the_last_text(lengths in prop::collection::vec(1usize..2048, 1..40)) {
        let (mut writer, mut log) = (Writer::new(), new());
        let mut written = 0;
        for length in lengths {
            writer.write(&text(written, length), |_| ());
            written += length as u64;
        }
        let (mut position, mut seen) = (0, Vec::new());
        loop {
            let got = read(&mut log, &writer, &mut position, 700);
            if got.is_empty() {
                break;
            }
            seen.extend(got);
        }
        let expected = text(written - seen.len() as u64, seen.len());
        prop_assert_eq!(&seen, &expected);
        // Everything that is there, but for the margin near the end of the first turn.
        let kept = (written as usize).min(CAPACITY);
        let margin = if written as usize > CAPACITY && writer.start >= CAPACITY - 4096 { CAPACITY - writer.start } else { 0 };
        prop_assert_eq!(seen.len(), kept - margin);
    }

    #[test]
    fn a_broken_writer_cannot_lead_out_of_the_ring(
        headers in prop::collection::vec((prop_oneof![Just(*b"DBGC"), any::<[u8; 4]>()], prop_oneof![0..CAPACITY as u32 + 2, any::<u32>()], prop_oneof![Just(CAPACITY as u32), any::<u32>()]), 1..50),
        position: u64,
        most: usize,
    ) {
        let mut log = new();
        let mut last_end = 0;
        for (signature, start, size) in headers {
            let mut header = [0; HEADER_SIZE];
            header[..4].copy_from_slice(&signature);
            header[4..8].copy_from_slice(&start.to_le_bytes());
            header[8..].copy_from_slice(&size.to_le_bytes());
            if let Ok(window) = log.observe(&header) {
                prop_assert!(window.end >= last_end, "positions never go back");
                prop_assert!(window.end - window.oldest <= CAPACITY as u64);
                last_end = window.end;
            }
            let piece = log.piece(position, most);
            prop_assert!(piece.offset + piece.length <= CAPACITY);
        }
    }
}

#[test]
fn corrupt_headers_are_named() {
    let header = |signature: &[u8; 4], start: u32, size: u32| {
        let mut header = [0; HEADER_SIZE];
        header[..4].copy_from_slice(signature);
        header[4..8].copy_from_slice(&start.to_le_bytes());
        header[8..].copy_from_slice(&size.to_le_bytes());
        new().observe(&header).map(|w| w.end)
    };
    let capacity = CAPACITY as u32;
    assert_eq!(header(b"\0\0\0\0", 7, 7), Ok(0), "not yet initialised");
    assert_eq!(header(b"DBGC", 7, 7), Ok(7));
    assert_eq!(header(b"DBGC", 7, 9), Ok(7), "in the middle of a write");
    assert_eq!(header(b"DBGC", 7, capacity), Ok(7 + u64::from(capacity)));
    assert_eq!(header(b"dbgc", 7, 7), Err(Corrupt));
    assert_eq!(header(b"DBGC", 9, 7), Err(Corrupt));
    assert_eq!(header(b"DBGC", capacity, capacity), Err(Corrupt));
    assert_eq!(header(b"DBGC", 7, capacity + 1), Err(Corrupt));
}

#[test]
fn positions_go_on_over_a_restart() {
    let (mut writer, mut log) = (Writer::new(), new());
    let mut position = 0;
    writer.write(b"first", |_| ());
    assert_eq!(read(&mut log, &writer, &mut position, 99), b"first");
    log.restart();
    let mut writer = Writer::new();
    assert_eq!(read(&mut log, &writer, &mut position, 99), b"");
    writer.write(b"second", |_| ());
    assert_eq!(read(&mut log, &writer, &mut position, 99), b"second");
    let mut from_start = 0;
    assert_eq!(
        read(&mut log, &writer, &mut from_start, 99),
        b"second",
        "the old text is gone"
    );
}

#[test]
fn text_overwritten_during_the_copy_is_noticed() {
    let (mut writer, mut log) = (Writer::new(), new());
    writer.write(&text(0, 100), |_| ());
    log.observe(&writer.header()).unwrap();
    let piece = log.piece(0, 50);
    for _ in 0..5 {
        writer.write(&text(0, 1800), |_| ());
        log.observe(&writer.header()).unwrap();
    }
    assert!(!log.kept(piece));
}

#[test]
fn zones_without_room_are_refused() {
    for size in [0, HEADER_SIZE, 4096] {
        assert!(ConsoleLog::new(size).is_none());
    }
    assert!(ConsoleLog::new(1 << 20).is_some());
}

#[test]
fn text_that_is_not_stored_yet_is_not_read() {
    let mut log = new();
    let mut writer = Writer::new();
    writer.write(b"stored", |_| ());
    writer.write(b"not yet", |_| ());
    writer.data[6..].fill(0);
    log.observe(&writer.header()).unwrap();
    let piece = log.piece(0, 100);
    let bytes = &writer.data[..piece.length];
    assert_eq!(piece.length, 13);
    assert_eq!(log.settled(piece, bytes), 6);
    // A hole that stays is a broken writer's, and must not end the log.
    writer.write(&text(0, 1800), |_| ());
    writer.write(&text(0, 1800), |_| ());
    writer.write(&text(0, 1800), |_| ());
    log.observe(&writer.header()).unwrap();
    let piece = log.piece(0, 100);
    assert_eq!(log.settled(piece, &writer.data[..100]), 100);
}
