// SPDX-License-Identifier: GPL-2.0
//! The status page that a secondary may have overwritten, and what is decoded of it: reports, the place of a note,
//! the state of a crash, wishes, the primary's state, a heart that beats or not.

use super::Target;
use crate::source::Source;

use popcorn_core::boot_control::PrimaryState;
use popcorn_core::boot_control::Pulse;
use popcorn_core::boot_control::Wish;
use popcorn_core::boot_status;
use popcorn_core::boot_status::Report;
use popcorn_core::boot_status::STATUS_SIZE;

pub(super) const TARGET: Target = Target {
    name: "boot_status",
    about: "the page in which another kernel tells how it fares",
    most: STATUS_SIZE + 64,
    seeds,
    run,
};

fn seeds() -> Vec<Vec<u8>> {
    let page = |report: Report| {
        let mut page = boot_status::initial().to_vec();
        let mut put = |at: usize, word: u64| page[at..at + 8].copy_from_slice(&word.to_le_bytes());
        put(boot_status::REPORT, report.raw());
        put(boot_status::ONLINE_TSC, 12345);
        put(boot_status::NOTE_START, 0x7_3000);
        put(boot_status::NOTE_SIZE, 2000);
        put(boot_status::CRASH, boot_status::crash_word(3, 4711));
        put(boot_status::CRASH_REGISTERS + 26 * 8, u64::MAX);
        page.extend([1, 2, 3, 0, 0, 200, 5]);
        page
    };
    [
        Report::None,
        Report::Online,
        Report::Panic,
        Report::PowerOff,
    ]
    .map(page)
    .to_vec()
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let mut page = [0; STATUS_SIZE];
    let given = source.take(STATUS_SIZE);
    page[..given.len()].copy_from_slice(given);
    let word = |at: usize| u64::from_le_bytes(page[at..at + 8].try_into().unwrap());

    let is_valid = page[..8] == boot_status::initial()[..8];
    assert_eq!(boot_status::is_valid(&page), is_valid);
    let expected = (is_valid && word(8) <= 5).then(|| (word(8), word(16)));
    let decoded = boot_status::decode(&page);
    assert_eq!(decoded.map(|(report, tsc)| (report.raw(), tsc)), expected);
    if let Some((report, _)) = decoded {
        assert_eq!(Report::new(report.raw()), Some(report));
        assert_eq!(report.is_final(), report.raw() >= 2);
        assert!(!report.as_str().is_empty());
    }

    let (start, size) = (word(24), word(32));
    let note = boot_status::decode_note(&page);
    let sound = start != 0 && start % 4096 == 0 && (24..=4144).contains(&size);
    assert_eq!(
        note.is_some(),
        is_valid && sound && start.checked_add(size).is_some()
    );
    assert!(note.is_none_or(|note| (note.start, note.size) == (start, size)));

    let crash = boot_status::decode_crash(&page);
    let is_known = expected.is_some_and(|(report, _)| report == 2) && word(40) >> 63 == 1;
    assert_eq!(crash.is_some(), is_known);
    if let Some(crash) = crash {
        assert_eq!(boot_status::crash_word(crash.cpu, crash.pid), word(40));
        for (n, register) in crash.registers.into_iter().enumerate() {
            assert_eq!(register, word(48 + n * 8));
        }
    }

    let number = source.word();
    assert_eq!(Wish::new(number) == Wish::PowerOff, number == 1);
    assert_eq!(
        PrimaryState::new(number) == PrimaryState::Panicked,
        number == 1
    );
    // Stands still for as long as nothing moves, whatever moves; times do not go back.
    let mut now = 0u64;
    let (mut count, mut since) = (source.word(), 0);
    let mut pulse = Pulse::new(count, now);
    while !source.is_empty() {
        now = now.saturating_add(u64::from(source.short()));
        let next = if source.flag() { count } else { source.word() };
        since = if next == count { since } else { now };
        count = next;
        assert_eq!(pulse.look(count, now), now - since);
    }
}
