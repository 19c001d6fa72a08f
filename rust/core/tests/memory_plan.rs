// SPDX-License-Identifier: GPL-2.0
//! Memory is taken only from where it is, in few pieces, and found if it is there.

use popcorn_core::bootparams::Extent;
use popcorn_core::memory_plan::find_free;
use popcorn_core::memory_plan::gather;
use popcorn_core::memory_plan::Demand;
use popcorn_core::memory_plan::Source;
use popcorn_core::memory_plan::BLOCK;
use popcorn_core::partition::PARTITION_MIN;
use popcorn_core::partition::RANGES_MAX;
use proptest::prelude::*;

/// A machine's memory in which some blocks are known to be unmovable and others turn out to be.
struct Machine {
    base: u64,
    known: Vec<bool>,
    hidden: Vec<bool>,
    taken: Vec<Extent>,
    attempts: usize,
}

impl Machine {
    fn new(base: u64, known: Vec<bool>, hidden: Vec<bool>) -> Self {
        Self {
            base,
            known,
            hidden,
            taken: Vec::new(),
            attempts: 0,
        }
    }

    fn area(&self) -> Extent {
        Extent::new(self.base, self.known.len() as u64 * BLOCK)
    }

    fn index(&self, address: u64) -> usize {
        ((address - self.base) / BLOCK) as usize
    }
}

impl Source for Machine {
    fn is_movable(&mut self, block: u64) -> bool {
        assert_eq!(block % BLOCK, 0);
        self.known[self.index(block)]
    }

    fn take(&mut self, range: Extent) -> bool {
        self.attempts += 1;
        assert_eq!((range.start | range.size) % BLOCK, 0);
        assert_ne!(range.size, 0);
        let blocks = self.index(range.start)..self.index(range.start + range.size);
        for taken in &self.taken {
            assert!(
                taken.start + taken.size <= range.start || range.start + range.size <= taken.start
            );
        }
        // What is known to be unmovable is not even tried.
        assert!(self.known[blocks.clone()].iter().all(|&known| known));
        if self.hidden[blocks].iter().any(|&hidden| hidden) {
            return false;
        }
        self.taken.push(range);
        true
    }
}

fn mostly(p: f64, n: usize) -> impl Strategy<Value = Vec<bool>> {
    proptest::collection::vec(proptest::bool::weighted(p), n)
}

proptest! {
    /// For a kernel that runs: in the pieces that it can take in.
    #[test]
    fn units_are_taken_whole(
        known in mostly(0.98, 1024),
        hidden in mostly(0.01, 1024),
        units in 1u64..12,
        ranges in 0usize..6,
        base in 8u64..4096,
    ) {
        let unit = 16 * BLOCK;
        let mut machine = Machine::new(base * BLOCK, known, hidden);
        let area = machine.area();
        let demand = Demand { total: units * unit, unit, ranges, longest: 0 };
        let result = gather(&demand, &[area], &mut machine);
        let got: u64 = machine.taken.iter().map(|range| range.size).sum();
        for range in &machine.taken {
            prop_assert_eq!((range.start | range.size) % unit, 0);
        }
        prop_assert!(machine.taken.len() <= ranges);
        prop_assert!(machine.attempts < 2000);
        prop_assert_eq!(result.is_ok(), got == demand.total);
        prop_assert_eq!(result.map_or_else(|shortage| shortage.found, |()| got), got);
    }

    #[test]
    fn what_is_taken_is_what_was_wanted(
        known in mostly(0.97, 512),
        hidden in mostly(0.02, 512),
        blocks in 1u64..400,
        base in 8u64..4096,
    ) {
        let mut machine = Machine::new(base * BLOCK, known, hidden);
        let (area, total) = (machine.area(), blocks * BLOCK);
        let result = gather(&Demand::of_kernel(total), &[area], &mut machine);
        let got: u64 = machine.taken.iter().map(|range| range.size).sum();
        let longest = machine.taken.iter().map(|range| range.size).max().unwrap_or(0);
        prop_assert!(machine.taken.len() <= RANGES_MAX);
        prop_assert!(machine.attempts < 2000);
        match result {
            Ok(()) => {
                prop_assert_eq!(got, total);
                prop_assert!(longest >= PARTITION_MIN);
            }
            Err(shortage) => {
                prop_assert_eq!(shortage.found, got);
                prop_assert_eq!(shortage.longest, longest);
                prop_assert!(got < total || longest < PARTITION_MIN);
            }
        }
    }

    #[test]
    fn one_piece_is_found_if_it_is_there(
        before in 0usize..200,
        wanted in (PARTITION_MIN / BLOCK) as usize..200,
        behind in 0usize..200,
    ) {
        let known: Vec<bool> = [vec![true; before], vec![false], vec![true; wanted], vec![false], vec![true; behind]].concat();
        let none = vec![false; known.len()];
        let mut machine = Machine::new(1 << 32, known, none);
        let area = machine.area();
        prop_assert!(gather(&Demand::of_kernel(wanted as u64 * BLOCK), &[area], &mut machine).is_ok());
        prop_assert_eq!(machine.taken.len(), 1);
    }

    #[test]
    fn free_places_are_free(
        used in proptest::collection::vec((0u64..160, 1u64..40), 0..6),
        size in 1u64..60,
    ) {
        let page = 4096;
        let used: Vec<Extent> = used.into_iter().map(|(start, n)| Extent::new(start * page, n * page)).collect();
        let areas = [Extent::new(16 * page, 60 * page), Extent::new(80 * page, 75 * page + 100)];
        let fits = |start: u64| {
            areas.iter().any(|a| start >= a.start && start + size * page <= a.start + a.size)
                && used.iter().all(|u| start + size * page <= u.start || start >= u.start + u.size)
        };
        let best = (0..160).map(|n| n * page).filter(|&start| fits(start)).max();
        prop_assert_eq!(find_free(size * page, page, &areas, &used).map(|e| e.start), best);
    }
}

#[test]
fn pieces_are_taken_where_there_is_no_whole() {
    // Every 40th block turns out to be unmovable.
    let known = vec![true; 400];
    let hidden = (0..400).map(|n| n % 40 == 17).collect();
    let mut machine = Machine::new(1 << 30, known, hidden);
    let area = machine.area();
    assert_eq!(
        gather(&Demand::of_kernel(128 * BLOCK), &[area], &mut machine),
        Ok(())
    );
    assert!(machine.taken.len() > 1);

    // There is enough, but no piece that a kernel could start in.
    let known = (0..400).map(|n| n % 30 != 0).collect();
    let mut machine = Machine::new(1 << 30, known, vec![false; 400]);
    let area = machine.area();
    let shortage = gather(&Demand::of_kernel(128 * BLOCK), &[area], &mut machine).unwrap_err();
    assert!(shortage.longest < PARTITION_MIN);
    assert!(shortage.longest > 0);
}

#[test]
fn aligned_pieces_are_found_in_what_is_not() {
    // Two whole units lie in it, and both ends are of no use.
    let unit = 64 * BLOCK;
    let mut machine = Machine::new(unit - 60 * BLOCK, vec![true; 200], vec![false; 200]);
    let area = machine.area();
    let demand = |units| Demand {
        total: units * unit,
        unit,
        ranges: 4,
        longest: 0,
    };
    let shortage = gather(&demand(3), &[area], &mut machine).unwrap_err();
    assert_eq!(shortage.found, 2 * unit);
    machine.taken.clear();
    assert_eq!(gather(&demand(2), &[area], &mut machine), Ok(()));
    assert_eq!(machine.taken, [Extent::new(unit, 2 * unit)]);
}

#[test]
fn nothing_is_found_in_nothing() {
    let mut machine = Machine::new(1 << 30, vec![], vec![]);
    assert!(gather(&Demand::of_kernel(64 * BLOCK), &[], &mut machine).is_err());
    let area = Extent::new((1 << 30) + 4096, BLOCK);
    assert!(gather(&Demand::of_kernel(64 * BLOCK), &[area], &mut machine).is_err());
    let wraps = Extent::new(u64::MAX - 4096, 8192);
    assert!(gather(&Demand::of_kernel(64 * BLOCK), &[wraps], &mut machine).is_err());
    assert_eq!(find_free(4096, 4096, &[wraps], &[]), None);
}
