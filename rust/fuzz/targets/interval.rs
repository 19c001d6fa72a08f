// SPDX-License-Identifier: GPL-2.0
//! Sets of ranges, whose ends come from peers and programs, beside a set of single points.

use super::Target;
use crate::source::Source;

use popcorn_core::interval::difference;
use popcorn_core::interval::InsertError;
use popcorn_core::interval::Interval;
use popcorn_core::interval::IntervalSet;

pub(super) const TARGET: Target = Target {
    name: "interval",
    about: "ranges of addresses that are frozen or mapped",
    most: 200,
    seeds,
    run,
};

const PLACES: usize = 8;
/// Points that the model has.
const POINTS: usize = 80;

fn seeds() -> Vec<Vec<u8>> {
    let mut seed = Vec::new();
    for n in 0..16u8 {
        seed.extend([n % 4, n.wrapping_mul(29) % 60, 9]);
    }
    vec![seed, vec![3, 255, 1, 3, 191, 3, 0, 5, 5]]
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let mut set = IntervalSet::<PLACES>::new();
    let mut model = [false; POINTS];
    let mut inside: Vec<Interval> = Vec::new();
    while !source.is_empty() {
        let what = source.below(4);
        if what == 3 {
            any(source.word(), source.word(), &inside);
            continue;
        }
        let start = source.below(POINTS - 20);
        let length = source.below(20);
        let range = Interval::with_len(start as u64, length as u64);
        assert_eq!(range.is_some(), length > 0);
        let Some(range) = range else {
            continue;
        };
        let points = start..start + length;
        let is_free = model[points.clone()].iter().all(|&taken| !taken);
        match what {
            0 | 1 => {
                let expected = if !is_free {
                    Err(InsertError::Overlaps)
                } else if inside.len() == PLACES {
                    Err(InsertError::Full)
                } else {
                    inside.push(range);
                    model[points].fill(true);
                    Ok(())
                };
                assert_eq!(set.insert(range), expected);
            }
            _ => {
                // What is there, mostly.
                let at = source.below(PLACES + 2);
                let range = inside.get(at).copied().unwrap_or(range);
                let was_in = inside.iter().position(|each| *each == range);
                assert_eq!(set.remove(range), was_in.is_some());
                if let Some(at) = was_in {
                    inside.remove(at);
                    model[range.start() as usize..range.end() as usize].fill(false);
                }
            }
        }
        let mut sorted = inside.clone();
        sorted.sort();
        assert!(set.iter().eq(sorted));
        assert_eq!(
            (set.len(), set.is_empty()),
            (inside.len(), inside.is_empty())
        );
        let all = Interval::new(0, POINTS as u64).unwrap();
        let mut free = [false; POINTS];
        for gap in set.difference(all) {
            free[gap.start() as usize..gap.end() as usize].fill(true);
        }
        for (point, &taken) in model.iter().enumerate() {
            assert_eq!(set.contains(point as u64), taken);
            assert_eq!(free[point], !taken);
        }
    }
}

/// Ends of any kind, and what is there in no order.
fn any(start: u64, end: u64, others: &[Interval]) {
    let range = Interval::new(start, end);
    assert_eq!(range.is_some(), start < end);
    assert_eq!(
        Interval::with_len(start, end).is_some(),
        end > 0 && start.checked_add(end).is_some()
    );
    let Some(range) = range else {
        return;
    };
    let mut last = range.start();
    let mut count = 0;
    for gap in difference(range, others.iter().copied()) {
        assert!(gap.start() >= last && gap.end() <= range.end());
        last = gap.end();
        count += 1;
    }
    assert!(count <= others.len() + 1);
    for other in others {
        let common = range.intersection(*other);
        assert_eq!(common.is_some(), range.overlaps(*other));
        assert!(common.is_none_or(|part| range.contains(part.start())));
    }
}
