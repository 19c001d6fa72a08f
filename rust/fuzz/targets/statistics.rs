// SPDX-License-Identifier: GPL-2.0
//! What is counted of messages whose types and times a peer chooses: each counts once, in one row, which is its
//! type's own while there are rows; percentiles lie among what was counted.

use super::Target;
use crate::source::Source;

use popcorn_core::stats::histogram::bucket_begin;
use popcorn_core::stats::histogram::bucket_of;
use popcorn_core::stats::histogram::BUCKETS;
use popcorn_core::stats::row::Outcome;
use popcorn_core::stats::row::Row;
use popcorn_core::stats::table::Table;
use std::collections::HashMap;

pub(super) const TARGET: Target = Target {
    name: "statistics",
    about: "counting messages of any type",
    most: 256,
    seeds,
    run,
};

/// Places, and rows for fewer of them.
const PLACES: usize = 8;
const ROWS: usize = 7;

fn seeds() -> Vec<Vec<u8>> {
    let kinds = [1u16, 0x0101, 0x0301, 0x0381, 0x0401, 0xffff, 0, 8, 9];
    let seed = |kind: u16, n: usize| {
        let [low, high] = kind.to_le_bytes();
        [low, high, 200, n as u8, n as u8 * 7]
    };
    let all: Vec<u8> = kinds
        .iter()
        .enumerate()
        .flat_map(|(n, kind)| seed(*kind, n))
        .collect();
    vec![all.clone(), [&all[..], &all].concat()]
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let rows: Box<[Row]> = (0..ROWS).map(|_| Row::new()).collect();
    let table: Table<_, _, PLACES> = Table::new(rows, Box::new(Row::new()));
    // By type: messages, bytes; and those of types that came when all rows were taken.
    let mut own: HashMap<u16, (u64, u64)> = HashMap::new();
    let mut others = (0u64, 0u64);
    let mut times: Vec<u64> = Vec::new();
    let last = Row::new();
    while !source.is_empty() {
        let kind = source.short();
        let bytes = u64::from(source.short());
        table.row(kind).count_received(bytes);
        let has_row = own.contains_key(&kind) || own.len() < ROWS;
        let count = if has_row {
            own.entry(kind).or_default()
        } else {
            &mut others
        };
        *count = (count.0 + 1, count.1 + bytes);

        // A peer decides how long an answer takes.
        let ns = source.word();
        last.count_end(Outcome::Answered, ns);
        times.push(ns);
        let bucket = bucket_of(ns);
        assert!(bucket < BUCKETS && bucket_begin(bucket) <= ns);
        assert!(bucket + 1 == BUCKETS || ns < bucket_begin(bucket + 1));
    }
    let counted = |row: &Row| (row.received.messages.get(), row.received.bytes.get());
    let found: Vec<_> = table.rows().collect();
    assert_eq!(found.len(), own.len());
    for (kind, row) in found {
        assert_eq!(own.get(&kind), Some(&counted(row)));
        assert!(row.is_used());
    }
    assert_eq!(counted(table.overflow()), others);

    let snapshot = last.latency.snapshot();
    assert_eq!(snapshot.count(), times.len() as u64);
    times.sort_unstable();
    let mut before = 0;
    for per_mille in [0, 1, 500, 990, 999, 1000, u32::MAX] {
        let found = snapshot.percentile(per_mille);
        assert_eq!(found.is_some(), !times.is_empty());
        if let (Some(found), [first, .., last] | [first @ last]) = (found, &times[..]) {
            assert!((*first..=*last).contains(&found) && found >= before);
            before = found;
        }
    }
    if let Some(longest) = times.last() {
        assert_eq!(snapshot.percentile(1000), Some(*longest));
    }
}
