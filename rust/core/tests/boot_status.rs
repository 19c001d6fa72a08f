// SPDX-License-Identifier: GPL-2.0
//! The status page, of which the secondary may have made anything.

use popcorn_core::boot_status;
use popcorn_core::boot_status::Report;
use popcorn_core::boot_status::CRASH;
use popcorn_core::boot_status::CRASH_REGISTERS;
use popcorn_core::boot_status::NOTE_SIZE;
use popcorn_core::boot_status::NOTE_START;
use popcorn_core::boot_status::ONLINE_TSC;
use popcorn_core::boot_status::REPORT;
use popcorn_core::boot_status::STATUS_SIZE;
use popcorn_core::bootparams::Extent;
use proptest::prelude::*;

#[test]
fn reports_travel() {
    for report in [
        Report::None,
        Report::Online,
        Report::Panic,
        Report::Restart,
        Report::Halt,
        Report::PowerOff,
    ] {
        let mut page = boot_status::initial();
        page[REPORT..REPORT + 8].copy_from_slice(&report.raw().to_le_bytes());
        page[ONLINE_TSC..ONLINE_TSC + 8].copy_from_slice(&77u64.to_le_bytes());
        assert_eq!(boot_status::decode(&page), Some((report, 77)));
        assert_eq!(report.is_final(), report.raw() >= 2);
    }
    assert_eq!(
        boot_status::decode(&boot_status::initial()),
        Some((Report::None, 0))
    );
}

fn put(page: &mut [u8; STATUS_SIZE], at: usize, word: u64) {
    page[at..at + 8].copy_from_slice(&word.to_le_bytes());
}

#[test]
fn the_note_is_where_a_note_can_be() {
    let decoded = |start, size| {
        let mut page = boot_status::initial();
        put(&mut page, NOTE_START, start);
        put(&mut page, NOTE_SIZE, size);
        boot_status::decode_note(&page)
    };
    assert_eq!(decoded(0, 0), None);
    let note = Extent::new(0x2345_6000, 4132);
    assert_eq!(decoded(note.start, note.size), Some(note));
    for (start, size) in [
        (0, 4132),
        (0x2345_6010, 4132),
        (0x2345_6000, 23),
        (0x2345_6000, 8192),
        (0x2345_6000, u64::MAX),
        (u64::MAX - 0xfff, 4132),
    ] {
        assert_eq!(decoded(start, size), None, "{start:#x} {size}");
    }
}

#[test]
fn registers_count_after_a_panic_only() {
    let mut page = boot_status::initial();
    for i in 0..27 {
        put(&mut page, CRASH_REGISTERS + 8 * i as usize, 1000 + i);
    }
    put(&mut page, REPORT, Report::Panic.raw());
    assert_eq!(boot_status::decode_crash(&page), None);
    put(&mut page, CRASH, boot_status::crash_word(3, 77));
    let crash = boot_status::decode_crash(&page).unwrap();
    assert_eq!((crash.cpu, crash.pid), (3, 77));
    assert!(crash.registers.iter().copied().eq(1000..1027));
    put(&mut page, CRASH, boot_status::crash_word(0, 0));
    assert!(boot_status::decode_crash(&page).is_some());
    for report in [Report::None, Report::Online, Report::Halt] {
        put(&mut page, REPORT, report.raw());
        assert_eq!(boot_status::decode_crash(&page), None);
    }
}

proptest! {
    #[test]
    fn only_known_reports_of_a_whole_page_count(page: [u8; STATUS_SIZE], raw: u64) {
        prop_assert!(boot_status::is_valid(&boot_status::initial()));
        let decoded = boot_status::decode(&page).is_some()
            || boot_status::decode_note(&page).is_some()
            || boot_status::decode_crash(&page).is_some();
        prop_assert!(!decoded || boot_status::is_valid(&page));
        let mut page = boot_status::initial();
        page[REPORT..REPORT + 8].copy_from_slice(&raw.to_le_bytes());
        prop_assert_eq!(boot_status::decode(&page).map(|d| d.0.raw()), (raw <= 5).then_some(raw));
    }
}
