// SPDX-License-Identifier: GPL-2.0
//! Counting: the histogram beside exact sorting, the table beside a map.

use popcorn_core::stats::histogram::bucket_begin;
use popcorn_core::stats::histogram::bucket_of;
use popcorn_core::stats::histogram::Histogram;
use popcorn_core::stats::histogram::Snapshot;
use popcorn_core::stats::histogram::BUCKETS;
use popcorn_core::stats::histogram::LONG_NS;
use popcorn_core::stats::row::Outcome;
use popcorn_core::stats::row::Row;
use popcorn_core::stats::table::Table;
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

fn histogram(times: &[u64]) -> Histogram {
    let histogram = Histogram::new();
    for &ns in times {
        histogram.record(ns);
    }
    histogram
}

/// What the module promises.
fn error_bound(ns: u64) -> u64 {
    (ns / 16).max(8)
}

/// Times as they occur, and such as do not.
fn times() -> impl Strategy<Value = Vec<u64>> {
    let time = prop_oneof![
        4 => 0..100_000u64,
        4 => (0..36u32, any::<u64>()).prop_map(|(bits, n)| n >> (63 - bits)),
        1 => LONG_NS - 10..LONG_NS + 10,
        1 => any::<u64>().prop_map(|n| n >> 8),
    ];
    prop::collection::vec(time, 1..300)
}

#[test]
fn buckets_follow_each_other_without_gaps() {
    assert_eq!(bucket_begin(0), 0);
    for bucket in 1..BUCKETS {
        let begin = bucket_begin(bucket);
        assert!(begin > bucket_begin(bucket - 1));
        assert_eq!(bucket_of(begin), bucket);
        assert_eq!(bucket_of(begin - 1), bucket - 1);
        // As the header for users says.
        let formula = if bucket < 16 {
            16 * bucket as u64
        } else {
            (8 + bucket as u64 % 8) << (bucket / 8 + 3)
        };
        assert_eq!(begin, formula);
    }
    assert_eq!(bucket_begin(BUCKETS - 1), LONG_NS);
    for long in [LONG_NS, LONG_NS * 2, u64::MAX] {
        assert_eq!(bucket_of(long), BUCKETS - 1);
    }
    assert_eq!(bucket_begin(usize::MAX), LONG_NS);
}

#[test]
fn nothing_has_no_percentile() {
    let snapshot = Histogram::new().snapshot();
    assert_eq!(snapshot, Snapshot::default());
    assert_eq!(snapshot.percentile(500), None);
    assert_eq!(snapshot.mean(), None);
    assert_eq!(snapshot.count(), 0);
}

#[test]
fn extremes_are_exact() {
    let snapshot = histogram(&[1234, 77, 1_000_000]).snapshot();
    assert_eq!(snapshot.percentile(1000), Some(1_000_000));
    assert_eq!((snapshot.min_ns, snapshot.max_ns), (77, 1_000_000));
    assert_eq!(snapshot.total_ns, 1_001_311);
    let same = histogram(&[5000; 9]).snapshot();
    for per_mille in [0, 1, 500, 990, 1000, u32::MAX] {
        assert_eq!(same.percentile(per_mille), Some(5000));
    }
    assert_eq!(same.mean(), Some(5000));
}

/// Values that no histogram has, as a kernel of another build or a race may give.
#[test]
fn nonsense_is_borne() {
    let snapshot = Snapshot {
        buckets: [u64::MAX; BUCKETS],
        total_ns: u64::MAX,
        min_ns: u64::MAX,
        max_ns: 0,
    };
    for per_mille in [0, 500, 1000] {
        snapshot.percentile(per_mille);
    }
    let mut sum = snapshot.clone();
    sum.merge(&snapshot);
    snapshot.since(&sum);
    sum.since(&snapshot);
}

proptest! {
    #[test]
    fn percentiles_are_near_those_of_sorting(mut times in times(), per_mille in 0..=1000u32) {
        let snapshot = histogram(&times).snapshot();
        times.sort_unstable();
        let rank = (times.len() * per_mille as usize).div_ceil(1000).max(1);
        let exact = times[rank - 1];
        let told = snapshot.percentile(per_mille).unwrap();
        if exact < LONG_NS {
            prop_assert!(told.abs_diff(exact) <= error_bound(exact), "{told} for {exact}");
        } else {
            prop_assert_eq!(told, *times.last().unwrap());
        }
        prop_assert!((times[0]..=*times.last().unwrap()).contains(&told));
    }

    #[test]
    fn a_snapshot_has_everything(times in times()) {
        let histogram = histogram(&times);
        let snapshot = histogram.snapshot();
        let sum = times.iter().copied().fold(0, u64::wrapping_add);
        prop_assert_eq!(snapshot.count(), times.len() as u64);
        prop_assert_eq!(histogram.count(), times.len() as u64);
        prop_assert_eq!(snapshot.total_ns, sum);
        prop_assert_eq!(snapshot.min_ns, *times.iter().min().unwrap());
        prop_assert_eq!(snapshot.max_ns, *times.iter().max().unwrap());
    }

    #[test]
    fn percentiles_do_not_go_down(times in times()) {
        let snapshot = histogram(&times).snapshot();
        let all: Vec<_> = (0..=1000).map(|n| snapshot.percentile(n)).collect();
        prop_assert!(all.is_sorted());
    }

    #[test]
    fn merged_is_recorded_together(one in times(), two in times()) {
        let mut merged = Snapshot::default();
        merged.merge(&histogram(&one).snapshot());
        merged.merge(&Snapshot::default());
        merged.merge(&histogram(&two).snapshot());
        let together = [one, two].concat();
        prop_assert_eq!(merged, histogram(&together).snapshot());
    }

    #[test]
    fn the_difference_is_what_came_since(before in times(), since in times()) {
        let all = histogram(&before);
        let earlier = all.snapshot();
        for &ns in &since {
            all.record(ns);
        }
        let got = all.snapshot().since(&earlier);
        let alone = histogram(&since).snapshot();
        prop_assert_eq!(got.buckets, alone.buckets);
        let sum = since.iter().copied().fold(0, u64::wrapping_add);
        if before.iter().chain(&since).try_fold(0u64, |sum, &ns| sum.checked_add(ns)).is_some() {
            prop_assert_eq!(got.total_ns, sum);
        }
        for (told, exact) in [(got.min_ns, alone.min_ns), (got.max_ns, alone.max_ns)] {
            if exact < LONG_NS {
                // Within the bucket, which is twice as wide as the error of its middle.
                prop_assert!(told.abs_diff(exact) <= 2 * error_bound(exact) + 2, "{told} for {exact}");
            }
        }
        prop_assert!(got.min_ns <= alone.min_ns && got.max_ns >= alone.max_ns);
        let none = all.snapshot().since(&all.snapshot());
        prop_assert_eq!(none, Snapshot::default());
    }

    #[test]
    fn a_type_keeps_its_row(kinds in prop::collection::vec(any::<u16>(), 0..200)) {
        let rows: Vec<AtomicU64> = (0..16).map(|_| AtomicU64::new(0)).collect();
        let table: Table<Vec<AtomicU64>, Box<AtomicU64>, 16> = Table::new(rows, Box::new(AtomicU64::new(0)));
        let mut model: HashMap<u16, u64> = HashMap::new();
        let mut overflow = 0;
        for &kind in &kinds {
            table.row(kind).fetch_add(1, Ordering::Relaxed);
            if model.contains_key(&kind) || model.len() < 16 {
                *model.entry(kind).or_insert(0) += 1;
            } else {
                overflow += 1;
            }
        }
        let got: HashMap<u16, u64> = table
            .rows()
            .map(|(kind, row)| (kind, row.load(Ordering::Relaxed)))
            .collect();
        prop_assert_eq!(got, model);
        prop_assert_eq!(table.overflow().load(Ordering::Relaxed), overflow);
    }
}

#[test]
fn all_types_that_there_can_be() {
    let rows: Vec<AtomicU64> = (0..64).map(|_| AtomicU64::new(0)).collect();
    let table: Table<Vec<AtomicU64>, Box<AtomicU64>, 64> =
        Table::new(rows, Box::new(AtomicU64::new(0)));
    for kind in 0..=u16::MAX {
        table.row(kind).fetch_add(1, Ordering::Relaxed);
    }
    assert_eq!(table.rows().count(), 64);
    assert!(table.rows().any(|(kind, _)| kind == 0));
    assert_eq!(table.overflow().load(Ordering::Relaxed), 65536 - 64);
}

#[test]
fn fewer_rows_are_fewer_places() {
    for number in [0, 1, 3] {
        let rows: Vec<AtomicU64> = (0..number).map(|_| AtomicU64::new(0)).collect();
        let table: Table<Vec<AtomicU64>, Box<AtomicU64>, 8> =
            Table::new(rows, Box::new(AtomicU64::new(0)));
        for kind in 0..8 {
            table.row(kind).fetch_add(1, Ordering::Relaxed);
        }
        assert_eq!(table.rows().count(), number);
        assert_eq!(table.overflow().load(Ordering::Relaxed), 8 - number as u64);
    }
}

/// Those who send and those who receive do not share cache lines.
#[test]
fn groups_have_their_own_lines() {
    assert_eq!(std::mem::align_of::<Row>(), 128);
    let row = Row::new();
    let line =
        |counter: &popcorn_core::stats::row::Counter| std::ptr::from_ref(counter) as usize / 128;
    let lines = [
        line(&row.sent.messages),
        line(&row.received.messages),
        line(&row.calls.begun),
        std::ptr::from_ref(&row.latency) as usize / 128,
    ];
    for (n, one) in lines.iter().enumerate() {
        assert!(lines.iter().skip(n + 1).all(|other| other != one));
    }
    assert_eq!(line(&row.sent.messages), line(&row.sent.retries));
}

#[test]
fn calls_by_how_they_end() {
    let row = Row::new();
    assert!(!row.is_used());
    let all = [
        Outcome::Answered,
        Outcome::Error,
        Outcome::TimedOut,
        Outcome::Interrupted,
        Outcome::HostDown,
        Outcome::Failed,
    ];
    for (n, outcome) in all.into_iter().enumerate() {
        row.calls.begun.add(1);
        row.count_end(outcome, 100 + n as u64);
    }
    assert!(row.is_used());
    let calls = &row.calls;
    for counter in [
        &calls.errors,
        &calls.timed_out,
        &calls.interrupted,
        &calls.host_down,
        &calls.failed,
    ] {
        assert_eq!(counter.get(), 1);
    }
    // An answer is an answer, also if it is an error.
    let latency = row.latency.snapshot();
    assert_eq!((latency.count(), latency.total_ns), (2, 201));
}
