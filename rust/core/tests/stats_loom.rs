// SPDX-License-Identifier: GPL-2.0
//! The table of message types under a model checker: whoever comes at once, and in whatever order
//! the memory model allows, a type has one row and no row has two types.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --test stats_loom`

#![cfg(loom)]

use loom::sync::atomic::AtomicU32;
use loom::sync::atomic::Ordering;
use loom::sync::Arc;
use loom::thread;
use popcorn_core::stats::table::Key;
use popcorn_core::stats::table::Table;

#[derive(Default)]
struct Model(AtomicU32);

impl Key for Model {
    fn load(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn claim(&self, value: u32) -> u32 {
        match self
            .0
            .compare_exchange(0, value, Ordering::Relaxed, Ordering::Relaxed)
        {
            Ok(_) => value,
            Err(now) => now,
        }
    }
}

type Rows = Table<Vec<AtomicU32>, Box<AtomicU32>, 2, Model>;

fn table() -> Arc<Rows> {
    let rows = (0..2).map(|_| AtomicU32::new(0)).collect();
    Arc::new(Table::new(rows, Box::new(AtomicU32::new(0))))
}

/// Counts one message of each type, in this order.
fn count(table: &Rows, kinds: &[u16]) {
    for &kind in kinds {
        table.row(kind).fetch_add(1, Ordering::Relaxed);
    }
}

/// A table in which two threads at once have counted, one message of each of these types.
fn counted_by_two(kinds: [[u16; 2]; 2]) -> Arc<Rows> {
    let table = table();
    let others = kinds.map(|kinds| {
        let table = table.clone();
        thread::spawn(move || count(&table, &kinds))
    });
    for other in others {
        other.join().expect("no panic");
    }
    table
}

fn read(table: &Rows) -> (Vec<(u16, u32)>, u32) {
    let load = |row: &AtomicU32| row.load(Ordering::Relaxed);
    let mut rows: Vec<_> = table.rows().map(|(kind, row)| (kind, load(row))).collect();
    rows.sort_unstable();
    (rows, load(table.overflow()))
}

/// Two threads, two types that fight for the same places: nothing is counted twice or elsewhere.
#[test]
fn a_type_has_one_row() {
    loom::model(|| {
        let table = counted_by_two([[1, 2], [2, 1]]);
        assert_eq!(read(&table), (vec![(1, 2), (2, 2)], 0));
    });
}

/// More types than places: who comes last shares the overflow row, whoever that is.
#[test]
fn what_has_no_place_overflows() {
    loom::model(|| {
        let table = counted_by_two([[1, 2], [3, 1]]);
        let (rows, overflow) = read(&table);
        assert_eq!(rows.len(), 2);
        let counted: u32 = rows.iter().map(|(_, number)| number).sum();
        assert_eq!(counted + overflow, 4);
        for (kind, number) in rows {
            assert_eq!(number, if kind == 1 { 2 } else { 1 });
        }
    });
}
