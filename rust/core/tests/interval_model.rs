// SPDX-License-Identifier: GPL-2.0

//! `popcorn_core::interval` against the obvious model: one bool for each point of a small space.

use popcorn_core::interval::difference;
use popcorn_core::interval::InsertError;
use popcorn_core::interval::Interval;
use popcorn_core::interval::IntervalSet;
use proptest::collection::vec;
use proptest::prelude::*;

const SPACE: u64 = 48;
const CAPACITY: usize = 5;

fn interval() -> impl Strategy<Value = Interval> {
    (0..SPACE, 1..16_u64)
        .prop_map(|(start, len)| Interval::with_len(start, len.min(SPACE - start)).unwrap())
}

fn points(intervals: impl IntoIterator<Item = Interval>) -> Vec<bool> {
    let mut map = vec![false; SPACE as usize];
    for each in intervals {
        for point in each.start()..each.end() {
            map[point as usize] = true;
        }
    }
    map
}

#[derive(Clone, Debug)]
enum Op {
    Insert(Interval),
    /// Remove the n-th of those present, modulo their number.
    RemoveOne(usize),
    /// Remove something arbitrary, most often not present.
    Remove(Interval),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => interval().prop_map(Op::Insert),
        2 => any::<usize>().prop_map(Op::RemoveOne),
        1 => interval().prop_map(Op::Remove),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn set_behaves_like_a_list_of_disjoint_intervals(
        ops in vec(op(), 1..40),
        probe in interval(),
    ) {
        let mut set = IntervalSet::<CAPACITY>::new();
        let mut model: Vec<Interval> = Vec::new();
        for op in ops {
            match op {
                Op::Insert(range) => {
                    let taken = points(model.clone());
                    let overlaps = (range.start()..range.end()).any(|p| taken[p as usize]);
                    let expected = if overlaps {
                        Err(InsertError::Overlaps)
                    } else if model.len() == CAPACITY {
                        Err(InsertError::Full)
                    } else {
                        model.push(range);
                        model.sort();
                        Ok(())
                    };
                    prop_assert_eq!(set.insert(range), expected);
                }
                Op::RemoveOne(n) => {
                    if !model.is_empty() {
                        let range = model.remove(n % model.len());
                        prop_assert!(set.remove(range));
                    }
                }
                Op::Remove(range) => {
                    let at = model.iter().position(|each| *each == range);
                    prop_assert_eq!(set.remove(range), at.is_some());
                    if let Some(at) = at {
                        model.remove(at);
                    }
                }
            }
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), model.clone());
            prop_assert_eq!(set.len(), model.len());
            prop_assert_eq!(set.is_empty(), model.is_empty());
            let map = points(model.clone());
            for point in 0..SPACE {
                prop_assert_eq!(set.contains(point), map[point as usize]);
            }
            let touched = (probe.start()..probe.end()).any(|p| map[p as usize]);
            prop_assert_eq!(set.overlaps(probe), touched);
        }
    }

    #[test]
    fn difference_is_the_maximal_uncovered_runs(
        range in interval(),
        mut existing in vec(interval(), 0..8),
    ) {
        existing.sort();
        let covered = points(existing.clone());
        let gaps: Vec<_> = difference(range, existing).collect();
        let wanted: Vec<bool> = (0..SPACE)
            .map(|p| range.contains(p) && !covered[p as usize])
            .collect();
        prop_assert_eq!(points(gaps.clone()), wanted);
        // Maximal: between two gaps there is something, so one mmap each is the fewest possible.
        for pair in gaps.windows(2) {
            prop_assert!(pair[0].end() < pair[1].start());
        }
    }

    #[test]
    fn difference_of_unsorted_input_stays_inside_and_ends(
        range in interval(),
        existing in vec(interval(), 0..8),
    ) {
        let count = existing.len();
        let gaps: Vec<_> = difference(range, existing).collect();
        prop_assert!(gaps.len() <= count + 1);
        for gap in gaps {
            prop_assert!(range.start() <= gap.start() && gap.end() <= range.end());
        }
    }

    #[test]
    fn difference_of_a_set_is_that_of_its_intervals(
        range in interval(),
        inserts in vec(interval(), 0..8),
    ) {
        let mut set = IntervalSet::<CAPACITY>::new();
        let kept: Vec<_> = inserts
            .into_iter()
            .filter(|each| set.insert(*each).is_ok())
            .collect();
        let covered = points(kept);
        let wanted: Vec<bool> = (0..SPACE)
            .map(|p| range.contains(p) && !covered[p as usize])
            .collect();
        prop_assert_eq!(points(set.difference(range)), wanted);
    }

    #[test]
    fn pairs_agree_with_their_points(a in interval(), b in interval()) {
        let both: Vec<bool> = points([a])
            .into_iter()
            .zip(points([b]))
            .map(|(x, y)| x && y)
            .collect();
        prop_assert_eq!(a.overlaps(b), both.contains(&true));
        prop_assert_eq!(points(a.intersection(b)), both);
    }
}

#[test]
fn ends_of_the_number_line() {
    assert_eq!(Interval::new(3, 3), None);
    assert_eq!(Interval::new(4, 3), None);
    assert_eq!(Interval::with_len(u64::MAX, 1), None);
    assert_eq!(Interval::with_len(7, 0), None);
    let all = Interval::new(0, u64::MAX).unwrap();
    let top = Interval::new(u64::MAX - 1, u64::MAX).unwrap();
    assert_eq!(
        difference(all, [top]).collect::<Vec<_>>(),
        [Interval::new(0, u64::MAX - 1).unwrap()]
    );
    assert_eq!(difference(top, [all]).next(), None);
    assert!(!all.contains(u64::MAX));
}

#[test]
fn a_full_set_can_always_be_emptied() {
    let mut set = IntervalSet::<3>::new();
    let adjacent = [(2, 4), (0, 2), (4, 6)].map(|(a, b)| Interval::new(a, b).unwrap());
    for each in adjacent {
        assert_eq!(set.insert(each), Ok(()));
    }
    assert_eq!(
        set.insert(Interval::new(6, 7).unwrap()),
        Err(InsertError::Full)
    );
    for each in adjacent {
        assert!(set.remove(each));
    }
    assert!(set.is_empty());
}

#[test]
fn a_set_without_room_refuses() {
    let mut set = IntervalSet::<0>::new();
    assert_eq!(
        set.insert(Interval::new(0, 1).unwrap()),
        Err(InsertError::Full)
    );
    assert!(!set.remove(Interval::new(0, 1).unwrap()));
}
