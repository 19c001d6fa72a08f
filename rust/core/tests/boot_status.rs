// SPDX-License-Identifier: GPL-2.0
//! The status page, of which the secondary may have made anything.

use popcorn_core::boot_status;
use popcorn_core::boot_status::Report;
use popcorn_core::boot_status::ONLINE_TSC;
use popcorn_core::boot_status::REPORT;
use popcorn_core::boot_status::STATUS_SIZE;
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

proptest! {
    #[test]
    fn only_known_reports_of_a_whole_page_count(page: [u8; STATUS_SIZE], raw: u64) {
        prop_assert!(boot_status::is_valid(&boot_status::initial()));
        if boot_status::decode(&page).is_some() {
            prop_assert!(boot_status::is_valid(&page));
        }
        let mut page = boot_status::initial();
        page[REPORT..REPORT + 8].copy_from_slice(&raw.to_le_bytes());
        prop_assert_eq!(boot_status::decode(&page).map(|d| d.0.raw()), (raw <= 5).then_some(raw));
    }
}
