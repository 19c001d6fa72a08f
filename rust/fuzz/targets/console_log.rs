// SPDX-License-Identifier: GPL-2.0
//! The console log of a kernel that writes anything into its header.
//!
//! Positions never go back; a piece lies in the ring and in what is there; a header that makes no sense changes
//! nothing. A writer that keeps to the rules is read as it wrote.

use super::Target;
use crate::source::Source;

use popcorn_core::console_log::ConsoleLog;
use popcorn_core::console_log::HEADER_SIZE;

pub(super) const TARGET: Target = Target {
    name: "console_log",
    about: "the console log in another kernel's memory",
    most: 512,
    seeds,
    run,
};

/// Somewhat more than the least that is a log.
const CAPACITY: usize = 4200;

fn seeds() -> Vec<Vec<u8>> {
    let mut honest = vec![0];
    let mut any = vec![1];
    for n in 0..30u8 {
        honest.extend([n, n.wrapping_mul(91), n % 16]);
        any.extend([
            n % 6,
            b'D',
            b'B',
            b'G',
            b'C',
            n,
            n % 17,
            0,
            0,
            n * 3,
            16,
            0,
            0,
        ]);
    }
    let mut full = vec![1, 0];
    full.extend(b"DBGC\x10\x00\x00\x00\x68\x10\x00\x00");
    full.extend([1, 9, 200, 255, 255]);
    vec![honest, any, full]
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    if source.flag() {
        any_header(&mut source);
    } else {
        honest(&mut source);
    }
}

fn any_header(source: &mut Source<'_>) {
    let mut log = ConsoleLog::new(CAPACITY + HEADER_SIZE).unwrap();
    assert_eq!(log.capacity() as usize, CAPACITY);
    let mut before = log.window();
    while !source.is_empty() {
        match source.below(6) {
            0..=2 => {
                let mut header = [0; HEADER_SIZE];
                let given = source.take(HEADER_SIZE);
                header[..given.len()].copy_from_slice(given);
                match log.observe(&header) {
                    Ok(window) => assert_eq!(window, log.window()),
                    Err(_) => assert_eq!(log.window(), before),
                }
            }
            3 => {
                let position = if source.flag() {
                    before.oldest.wrapping_add(source.short().into())
                } else {
                    source.word()
                };
                let most = source.word() as usize;
                let piece = log.piece(position, most);
                let end = piece.position + piece.length as u64;
                assert!((before.oldest..=before.end).contains(&piece.position));
                assert!(piece.length <= most && piece.offset + piece.length <= CAPACITY);
                assert!(end <= before.end);
                assert!(log.kept(piece));
                // Nothing new only if there is nothing.
                assert!(piece.length > 0 || most == 0 || piece.position == before.end);
                let bytes = vec![source.byte() & 1; piece.length];
                assert!(log.settled(piece, &bytes) <= bytes.len());
            }
            4 => log.restart(),
            _ => {
                // Another zone takes its place.
                log = ConsoleLog::new(CAPACITY + HEADER_SIZE).unwrap();
                log.follow(before.end);
            }
        }
        let now = log.window();
        assert!(
            now.end >= before.end && now.oldest >= before.oldest,
            "it went back"
        );
        assert!(now.oldest <= now.end && now.end - now.oldest <= CAPACITY as u64);
        before = now;
    }
}

/// As the kernel's `persistent_ram_write()` does it, looked at before it has written a whole ring.
fn honest(source: &mut Source<'_>) {
    let mut log = ConsoleLog::new(CAPACITY + HEADER_SIZE).unwrap();
    let (mut data, mut all) = (vec![0u8; CAPACITY], Vec::new());
    let (mut start, mut size, mut position) = (0, 0, 0u64);
    while !source.is_empty() {
        let length = source.below(1024);
        let first = source.byte();
        for n in 0..length {
            let byte = b' ' + first.wrapping_add(n as u8) % 64;
            data[(start + n) % CAPACITY] = byte;
            all.push(byte);
        }
        start = (start + length) % CAPACITY;
        size = (size + length).min(CAPACITY);
        let mut header = [0; HEADER_SIZE];
        header[..4].copy_from_slice(b"DBGC");
        header[4..8].copy_from_slice(&(start as u32).to_le_bytes());
        header[8..].copy_from_slice(&(size as u32).to_le_bytes());
        let window = log.observe(&header).unwrap();
        assert_eq!(window.end, all.len() as u64);
        loop {
            let piece = log.piece(position, 700);
            assert_eq!(piece.position, position, "text was lost");
            let text = &data[piece.offset..piece.offset + piece.length];
            let from = position as usize;
            assert_eq!(text, &all[from..from + piece.length]);
            assert_eq!(log.settled(piece, text), text.len());
            position += piece.length as u64;
            if piece.length == 0 {
                break;
            }
        }
        assert_eq!(position, window.end);
    }
}
