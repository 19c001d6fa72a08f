// SPDX-License-Identifier: GPL-2.0
//! A panic is known by its line, however the line comes.

use popcorn_core::panic_watch::is_panic;
use popcorn_core::panic_watch::PanicWatch;
use proptest::prelude::*;

const PANIC: &[u8] = b"[    0.123456] Kernel panic - not syncing: VFS: Unable to mount root fs\n";

#[test]
fn messages_of_a_panic() {
    for message in [
        "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100",
        "Kernel panic - not syncing",
        "---[ end Kernel panic - not syncing: Attempted to kill init! ]---",
    ] {
        assert!(is_panic(message.as_bytes()), "{message}");
    }
    for message in [
        "",
        "Kernel panic",
        "kernel panic - not syncing: x",
        "popcorn: Kernel panic - not syncing",
        " Kernel panic - not syncing",
        "---[ end trace 0000000000000000 ]---",
        "Rebooting in 5 seconds.. Kernel panic - not syncing",
    ] {
        assert!(!is_panic(message.as_bytes()), "{message}");
    }
}

#[test]
fn what_a_console_puts_in_front_does_not_matter() {
    for line in [
        "Kernel panic - not syncing: x\n",
        "[    0.000000] Kernel panic - not syncing: x\n",
        "[12345.678901][   T123] Kernel panic - not syncing: x\n",
        "[    0.000000][    C0] ---[ end Kernel panic - not syncing: x ]---\n",
    ] {
        assert!(PanicWatch::new().feed(line.as_bytes()), "{line}");
    }
    for line in [
        "[    0.000000] popcorn: Kernel panic - not syncing: x\n",
        "[    0.000000][ T1][ x] Kernel panic - not syncing: x\n",
        "[ Kernel panic - not syncing: x\n",
        "[    0.000000] Kernel panic - not syncing: x",
    ] {
        assert!(!PanicWatch::new().feed(line.as_bytes()), "{line}");
    }
}

#[test]
fn a_line_that_was_not_seen_from_its_start_does_not_count() {
    let mut watch = PanicWatch::new();
    watch.feed(b"[    0.000000] a line with");
    watch.skip();
    assert!(!watch.feed(b"Kernel panic - not syncing: the rest of some text\n"));
    assert!(watch.feed(PANIC), "the next one does");
}

proptest! {
    #[test]
    fn in_any_pieces_and_between_any_lines(
        before in prop::collection::vec("[^\n\\[K-]{0,200}\n", 0..20),
        after in ".{0,300}",
        pieces in prop::collection::vec(1usize..90, 1..20),
    ) {
        let mut text = before.concat().into_bytes();
        let clean = text.len();
        text.extend_from_slice(PANIC);
        let end = text.len();
        text.extend_from_slice(after.as_bytes());
        let mut watch = PanicWatch::new();
        let mut at = 0;
        for size in pieces.iter().cycle() {
            let to = (at + size).min(text.len());
            let seen = watch.feed(&text[at..to]);
            prop_assert!(!seen || to > clean, "not before it came");
            prop_assert!(seen || to < end, "and once it has come, for good");
            at = to;
            if at == text.len() {
                break;
            }
        }
        prop_assert!(watch.feed(b""));
    }
}
