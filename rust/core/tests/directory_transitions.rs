// SPDX-License-Identifier: GPL-2.0

//! The transitions of one directory entry: the ordinary cases and the failures one by one, and random
//! histories over all 64 nodes against what must hold after any of them.

use popcorn_core::directory::Access;
use popcorn_core::directory::Answer;
use popcorn_core::directory::Entry;
use popcorn_core::directory::Keep;
use popcorn_core::directory::NodeSet;
use popcorn_core::directory::PageState;
use popcorn_core::directory::Receipt;
use popcorn_core::directory::Refusal;
use popcorn_core::directory::Step;
use popcorn_core::directory::Unexpected;
use popcorn_core::ids::NodeId;
use popcorn_core::ids::NODE_MAX;
use proptest::collection::btree_set;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn node(index: u64) -> NodeId {
    NodeId::new(index).unwrap()
}

fn nodes(indices: &[u64]) -> NodeSet {
    indices
        .iter()
        .fold(NodeSet::EMPTY, |set, index| set.with(node(*index)))
}

const ORIGIN: u64 = 3;

fn fresh() -> Entry {
    Entry::new(node(ORIGIN))
}

/// Takes `entry` through a whole operation in which everybody does as asked.
fn take(entry: &mut Entry, who: u64, access: Access) {
    let mut step = entry.begin(node(who), access).unwrap();
    if let Step::Gather {
        supplier,
        invalidate,
    } = step
    {
        for sharer in invalidate {
            step = entry.answer(sharer, Answer::Invalidated).unwrap();
        }
        if let Some((supplier, _)) = supplier {
            step = entry.answer(supplier, Answer::Data).unwrap();
        }
    }
    assert!(
        matches!(step, Step::Grant { to, access: granted, .. } if to == node(who) && granted == access)
    );
    assert_eq!(entry.receipt(node(who), Receipt::Mapped), Ok(Step::Done));
}

/// A page written by `writer`, then read by each of `readers`.
fn shared_by(writer: u64, readers: &[u64]) -> Entry {
    let mut entry = fresh();
    if writer != ORIGIN {
        take(&mut entry, writer, Access::Write);
    }
    for reader in readers {
        take(&mut entry, *reader, Access::Read);
    }
    entry
}

#[test]
fn a_new_page_is_the_origins_own() {
    let mut entry = fresh();
    assert!(entry.is_local());
    assert_eq!(entry.state_at(node(ORIGIN)), PageState::Exclusive);
    assert_eq!(entry.state_at(node(0)), PageState::Invalid);
    for access in [Access::Read, Access::Write] {
        assert_eq!(entry.begin(node(ORIGIN), access), Ok(Step::AlreadyGranted));
    }
    assert_eq!(entry, fresh());
}

#[test]
fn a_read_leaves_a_copy_with_the_supplier() {
    let mut entry = fresh();
    assert_eq!(
        entry.begin(node(1), Access::Read),
        Ok(Step::Gather {
            supplier: Some((node(ORIGIN), Keep::ReadCopy)),
            invalidate: NodeSet::EMPTY,
        })
    );
    assert_eq!(entry.requester(), Some((node(1), Access::Read)));
    assert_eq!(
        entry.answer(node(ORIGIN), Answer::Data),
        Ok(Step::Grant {
            to: node(1),
            access: Access::Read,
            data: true,
        })
    );
    assert!(entry.is_busy());
    assert_eq!(entry.receipt(node(1), Receipt::Mapped), Ok(Step::Done));
    assert_eq!(entry.copies(), nodes(&[1, ORIGIN]));
    assert_eq!(entry.state_at(node(1)), PageState::Shared);
    assert_eq!(entry.state_at(node(ORIGIN)), PageState::Shared);
    assert!(!entry.is_local());
}

#[test]
fn a_write_takes_the_page_from_everybody() {
    let mut entry = shared_by(5, &[1, 2]);
    assert_eq!(
        entry.begin(node(9), Access::Write),
        Ok(Step::Gather {
            supplier: Some((node(1), Keep::Nothing)),
            invalidate: nodes(&[2, 5]),
        })
    );
    assert_eq!(entry.answer(node(5), Answer::Invalidated), Ok(Step::Wait));
    assert_eq!(entry.answer(node(1), Answer::Data), Ok(Step::Wait));
    assert_eq!(
        entry.answer(node(2), Answer::Invalidated),
        Ok(Step::Grant {
            to: node(9),
            access: Access::Write,
            data: true,
        })
    );
    assert_eq!(entry.receipt(node(9), Receipt::Mapped), Ok(Step::Done));
    assert_eq!(entry.copies(), nodes(&[9]));
    assert_eq!(entry.state_at(node(9)), PageState::Exclusive);
}

#[test]
fn an_upgrade_sends_no_data_but_the_origins_copy_is_kept_in_hand() {
    let mut entry = shared_by(ORIGIN, &[1, 2]);
    assert_eq!(
        entry.begin(node(2), Access::Write),
        Ok(Step::Gather {
            supplier: Some((node(ORIGIN), Keep::Nothing)),
            invalidate: nodes(&[1]),
        })
    );
    assert_eq!(entry.answer(node(ORIGIN), Answer::Data), Ok(Step::Wait));
    assert_eq!(
        entry.answer(node(1), Answer::Invalidated),
        Ok(Step::Grant {
            to: node(2),
            access: Access::Write,
            data: false,
        })
    );
}

#[test]
fn an_upgrade_without_the_origin_asks_for_no_data() {
    let mut entry = shared_by(1, &[2]);
    assert_eq!(
        entry.begin(node(2), Access::Write),
        Ok(Step::Gather {
            supplier: None,
            invalidate: nodes(&[1]),
        })
    );
}

#[test]
fn the_last_sharer_is_upgraded_at_once() {
    let mut entry = shared_by(1, &[2]);
    assert_eq!(entry.node_lost(node(1)), Step::Wait);
    assert_eq!(
        entry.begin(node(2), Access::Write),
        Ok(Step::Grant {
            to: node(2),
            access: Access::Write,
            data: false,
        })
    );
}

#[test]
fn the_origin_is_asked_before_others() {
    for writer in [1, 5] {
        let mut entry = shared_by(writer, &[ORIGIN]);
        let step = entry.begin(node(9), Access::Read).unwrap();
        assert!(
            matches!(step, Step::Gather { supplier: Some((from, _)), .. } if from == node(ORIGIN))
        );
    }
}

#[test]
fn a_busy_page_refuses_everybody() {
    let mut entry = fresh();
    let _ = entry.begin(node(1), Access::Read).unwrap();
    for who in [1, 2, ORIGIN] {
        assert_eq!(entry.begin(node(who), Access::Read), Err(Refusal::Busy));
    }
    assert_eq!(entry.begin_recall(), Err(Refusal::Busy));
    let _ = entry.answer(node(ORIGIN), Answer::Data).unwrap();
    assert_eq!(entry.begin(node(2), Access::Read), Err(Refusal::Busy));
}

#[test]
fn recall_brings_the_page_home() {
    for mut entry in [
        shared_by(1, &[]),
        shared_by(1, &[2, 9]),
        shared_by(ORIGIN, &[1]),
    ] {
        let mut step = entry.begin_recall().unwrap();
        if let Step::Gather {
            supplier,
            invalidate,
        } = step
        {
            for sharer in invalidate {
                step = entry.answer(sharer, Answer::Invalidated).unwrap();
            }
            if let Some((from, _)) = supplier {
                step = entry.answer(from, Answer::Data).unwrap();
            }
        }
        assert!(matches!(step, Step::Grant { to, .. } if to == node(ORIGIN)));
        assert_eq!(entry.receipt(node(ORIGIN), Receipt::Mapped), Ok(Step::Done));
        assert!(entry.is_local());
        assert_eq!(entry, fresh());
    }
}

#[test]
fn memory_that_the_origin_cannot_supply_is_an_error_but_not_lost() {
    let mut entry = fresh();
    let _ = entry.begin(node(1), Access::Write).unwrap();
    assert_eq!(
        entry.answer(node(ORIGIN), Answer::Missing),
        Ok(Step::Fail { to: node(1) })
    );
    assert_eq!(entry, fresh());
}

#[test]
fn a_supplier_without_the_page_loses_it() {
    let mut entry = shared_by(1, &[]);
    let _ = entry.begin(node(2), Access::Read).unwrap();
    assert_eq!(
        entry.answer(node(1), Answer::Missing),
        Ok(Step::Fail { to: node(2) })
    );
    assert!(entry.is_lost());
    assert_eq!(entry.begin(node(2), Access::Read), Err(Refusal::Lost));
    assert_eq!(entry.begin_recall(), Err(Refusal::Lost));
}

#[test]
fn a_reader_tries_the_next_supplier() {
    let mut entry = shared_by(1, &[2]);
    let _ = entry.begin(node(9), Access::Read).unwrap();
    assert_eq!(
        entry.answer(node(1), Answer::Missing),
        Ok(Step::Retry { to: node(9) })
    );
    assert_eq!(entry.copies(), nodes(&[2]));
    take(&mut entry, 9, Access::Read);
}

#[test]
fn a_declined_request_ends_in_retry_and_changes_nothing() {
    let mut entry = fresh();
    let _ = entry.begin(node(1), Access::Write).unwrap();
    assert_eq!(
        entry.answer(node(ORIGIN), Answer::Declined),
        Ok(Step::Retry { to: node(1) })
    );
    assert_eq!(entry, fresh());
}

#[test]
fn a_sharer_that_declines_prevents_a_writer() {
    let mut entry = shared_by(1, &[2]);
    let _ = entry.begin(node(9), Access::Write).unwrap();
    assert_eq!(entry.answer(node(1), Answer::Data), Ok(Step::Wait));
    assert_eq!(
        entry.answer(node(2), Answer::Declined),
        Ok(Step::Retry { to: node(9) })
    );
    assert_eq!(entry.copies(), nodes(&[2]));
    assert_eq!(entry.state_at(node(2)), PageState::Shared);
}

#[test]
fn a_refused_page_comes_home() {
    let mut entry = shared_by(1, &[]);
    let _ = entry.begin(node(2), Access::Write).unwrap();
    let _ = entry.answer(node(1), Answer::Data).unwrap();
    let home = Step::Grant {
        to: node(ORIGIN),
        access: Access::Write,
        data: true,
    };
    assert_eq!(entry.receipt(node(2), Receipt::Refused), Ok(home));
    // The origin has no memory just now: it must try again, the data is all there is.
    assert_eq!(entry.receipt(node(ORIGIN), Receipt::Refused), Ok(home));
    assert_eq!(entry.receipt(node(ORIGIN), Receipt::Mapped), Ok(Step::Done));
    assert!(entry.is_local());
}

#[test]
fn a_page_that_the_origin_cannot_keep_is_lost() {
    let mut entry = shared_by(1, &[]);
    let _ = entry.begin_recall().unwrap();
    let _ = entry.answer(node(1), Answer::Data).unwrap();
    assert_eq!(
        entry.receipt(node(ORIGIN), Receipt::Missing),
        Ok(Step::Done)
    );
    assert!(entry.is_lost());
}

#[test]
fn a_refused_upgrade_leaves_the_read_copy() {
    let mut entry = shared_by(ORIGIN, &[1]);
    let _ = entry.begin(node(1), Access::Write).unwrap();
    let _ = entry.answer(node(ORIGIN), Answer::Data).unwrap();
    assert_eq!(entry.receipt(node(1), Receipt::Refused), Ok(Step::Done));
    assert_eq!(entry.copies(), nodes(&[1]));
    assert_eq!(entry.state_at(node(1)), PageState::Shared);
}

#[test]
fn an_upgrade_of_a_copy_that_vanished_falls_back_on_the_origins() {
    let mut entry = shared_by(ORIGIN, &[1]);
    let _ = entry.begin(node(1), Access::Write).unwrap();
    let _ = entry.answer(node(ORIGIN), Answer::Data).unwrap();
    let step = entry.receipt(node(1), Receipt::Missing).unwrap();
    assert!(matches!(step, Step::Grant { to, data: true, .. } if to == node(ORIGIN)));
}

#[test]
fn an_owner_that_dies_takes_the_page_along() {
    let mut entry = shared_by(1, &[]);
    assert_eq!(entry.node_lost(node(1)), Step::Wait);
    assert!(entry.is_lost());
    assert_eq!(entry.begin(node(ORIGIN), Access::Read), Err(Refusal::Lost));
}

#[test]
fn a_sharer_that_dies_does_not() {
    let mut entry = shared_by(1, &[2]);
    assert_eq!(entry.node_lost(node(1)), Step::Wait);
    assert_eq!(entry.copies(), nodes(&[2]));
}

#[test]
fn a_supplier_that_dies_fails_the_request() {
    let mut entry = shared_by(1, &[]);
    let _ = entry.begin(node(2), Access::Read).unwrap();
    assert_eq!(entry.node_lost(node(1)), Step::Fail { to: node(2) });
    assert!(entry.is_lost());
}

#[test]
fn a_sharer_that_dies_needs_no_answer() {
    let mut entry = shared_by(ORIGIN, &[1]);
    let _ = entry.begin(node(2), Access::Write).unwrap();
    assert_eq!(entry.answer(node(ORIGIN), Answer::Data), Ok(Step::Wait));
    let step = entry.node_lost(node(1));
    assert!(matches!(step, Step::Grant { to, .. } if to == node(2)));
    assert_eq!(entry.answer(node(1), Answer::Invalidated), Err(Unexpected));
}

#[test]
fn a_requester_that_dies_before_its_grant_sends_the_page_home() {
    let mut entry = shared_by(1, &[]);
    let _ = entry.begin(node(2), Access::Write).unwrap();
    assert_eq!(entry.node_lost(node(2)), Step::Wait);
    let step = entry.answer(node(1), Answer::Data).unwrap();
    assert!(matches!(step, Step::Grant { to, data: true, .. } if to == node(ORIGIN)));
    assert_eq!(entry.receipt(node(ORIGIN), Receipt::Mapped), Ok(Step::Done));
    assert!(entry.is_local());
}

#[test]
fn a_writer_that_dies_before_its_acknowledgement_loses_the_page() {
    // It may have written, and told others: the old data must not come back.
    let mut entry = shared_by(1, &[]);
    let _ = entry.begin(node(2), Access::Write).unwrap();
    let _ = entry.answer(node(1), Answer::Data).unwrap();
    assert_eq!(entry.node_lost(node(2)), Step::Done);
    assert!(entry.is_lost());
}

#[test]
fn a_reader_that_dies_before_its_acknowledgement_loses_nothing() {
    let mut entry = shared_by(1, &[]);
    let _ = entry.begin(node(2), Access::Read).unwrap();
    let _ = entry.answer(node(1), Answer::Data).unwrap();
    assert_eq!(entry.node_lost(node(1)), Step::Wait);
    let step = entry.node_lost(node(2));
    assert!(matches!(step, Step::Grant { to, data: true, .. } if to == node(ORIGIN)));
}

#[test]
fn what_is_in_hand_for_a_dead_reader_replaces_the_copy_of_another_that_died() {
    // In this order of their numbers, and in the other.
    for (owner, reader) in [(1, 2), (2, 1)] {
        let mut entry = shared_by(owner, &[]);
        let _ = entry.begin(node(reader), Access::Read).unwrap();
        let _ = entry.answer(node(owner), Answer::Data).unwrap();
        let step = entry.nodes_lost(nodes(&[owner, reader]));
        assert!(matches!(step, Step::Grant { to, data: true, .. } if to == node(ORIGIN)));
        assert_eq!(entry.receipt(node(ORIGIN), Receipt::Mapped), Ok(Step::Done));
        assert!(entry.is_local());
    }
}

#[test]
fn the_origin_is_never_lost() {
    let mut entry = fresh();
    assert_eq!(entry.node_lost(node(ORIGIN)), Step::Wait);
    assert_eq!(entry, fresh());
}

#[derive(Clone, Debug)]
enum Event {
    Begin(u64, Access),
    Answer(u64, Answer),
    Receipt(u64, Receipt),
    /// As the entry expects: from one that it waits for, picked by the number.
    Fitting(usize, bool),
    Lost(u64),
}

fn event() -> impl Strategy<Value = Event> {
    // Few nodes, so that they meet, but the highest numbers, too.
    let any_node = || prop_oneof![0..5_u64, 62..64_u64];
    let access = prop_oneof![Just(Access::Read), Just(Access::Write)];
    let answer = prop_oneof![
        Just(Answer::Data),
        Just(Answer::Invalidated),
        Just(Answer::Missing),
        Just(Answer::Declined),
    ];
    let receipt = prop_oneof![
        Just(Receipt::Mapped),
        Just(Receipt::Refused),
        Just(Receipt::Missing),
    ];
    prop_oneof![
        6 => (any_node(), access).prop_map(|(who, access)| Event::Begin(who, access)),
        2 => (any_node(), answer).prop_map(|(who, answer)| Event::Answer(who, answer)),
        2 => (any_node(), receipt).prop_map(|(who, receipt)| Event::Receipt(who, receipt)),
        14 => (any::<usize>(), prop::bool::weighted(0.9))
            .prop_map(|(n, well)| Event::Fitting(n, well)),
        1 => any_node().prop_map(Event::Lost),
    ]
}

/// What the driver knows from the steps alone.
#[derive(Default)]
struct Driver {
    supplier: Option<NodeId>,
    asked: NodeSet,
    granted: Option<(NodeId, Access)>,
    held: bool,
}

impl Driver {
    fn is_waiting(&self) -> bool {
        !self.asked.is_empty() || self.granted.is_some()
    }

    fn follow(&mut self, step: Step, before: &Entry, entry: &Entry) -> Result<(), TestCaseError> {
        match step {
            Step::Wait => {}
            Step::AlreadyGranted => prop_assert_eq!(before, entry),
            Step::Gather {
                supplier,
                invalidate,
            } => {
                let (requester, access) = entry.requester().unwrap();
                self.supplier = supplier.map(|(from, _)| from);
                self.asked = self
                    .supplier
                    .map_or(invalidate, |from| invalidate.with(from));
                prop_assert!(!self.asked.is_empty());
                prop_assert!(!self.asked.contains(requester));
                prop_assert!(self
                    .asked
                    .into_iter()
                    .all(|each| before.copies().contains(each)));
                prop_assert!(self.supplier.is_none_or(|from| !invalidate.contains(from)));
                if access == Access::Read {
                    prop_assert!(invalidate.is_empty() && supplier.is_some());
                } else {
                    // Nobody but the requester is left out.
                    prop_assert_eq!(self.asked, before.copies().without(requester));
                }
            }
            Step::Grant { to, access, data } => {
                prop_assert!(self.asked.is_empty());
                prop_assert!(!data || self.held);
                prop_assert!(data || entry.copies().contains(to));
                if access == Access::Write {
                    prop_assert!(entry.copies().without(to).is_empty());
                }
                self.granted = Some((to, access));
            }
            Step::Done | Step::Retry { .. } | Step::Fail { .. } => {
                prop_assert!(!entry.is_busy());
                *self = Self::default();
            }
        }
        prop_assert_eq!(entry.is_busy(), self.is_waiting());
        if !entry.is_busy() {
            prop_assert_eq!(entry.copies().is_empty(), entry.is_lost());
        }
        let exclusive = entry
            .copies()
            .into_iter()
            .filter(|each| entry.state_at(*each) == PageState::Exclusive);
        prop_assert!(exclusive.count() == 0 || entry.copies().len() == 1);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn any_history_keeps_the_invariants(events in vec(event(), 1..60)) {
        let mut entry = fresh();
        let mut driver = Driver::default();
        let mut dead = NodeSet::EMPTY;
        for event in events {
            let before = entry;
            let (who, result) = match event {
                Event::Begin(who, _) if dead.contains(node(who)) => continue,
                Event::Begin(who, access) => match entry.begin(node(who), access) {
                    Ok(step) => (who, Ok(step)),
                    Err(refusal) => {
                        prop_assert_eq!(before, entry);
                        prop_assert_eq!(refusal == Refusal::Busy, driver.is_waiting());
                        prop_assert_eq!(refusal == Refusal::Lost, entry.is_lost());
                        continue;
                    }
                },
                Event::Lost(who) => {
                    if who != ORIGIN {
                        dead = dead.with(node(who));
                        driver.asked = driver.asked.without(node(who));
                        driver.granted = driver.granted.filter(|(to, _)| *to != node(who));
                    }
                    let step = entry.node_lost(node(who));
                    prop_assert!(who == ORIGIN || !entry.copies().contains(node(who)));
                    (who, Ok(step))
                }
                Event::Answer(who, answer) => {
                    let fits = driver.asked.contains(node(who))
                        && match answer {
                            Answer::Data | Answer::Missing => driver.supplier == Some(node(who)),
                            Answer::Invalidated => driver.supplier != Some(node(who)),
                            Answer::Declined => true,
                        };
                    let result = entry.answer(node(who), answer);
                    prop_assert_eq!(result.is_ok(), fits);
                    if fits {
                        driver.asked = driver.asked.without(node(who));
                        driver.held |= answer == Answer::Data;
                    }
                    (who, result)
                }
                Event::Receipt(who, receipt) => {
                    let grant = driver.granted.filter(|(to, _)| *to == node(who));
                    let result = entry.receipt(node(who), receipt);
                    prop_assert_eq!(result.is_ok(), grant.is_some());
                    if let Some((_, access)) = grant {
                        driver.granted = None;
                        if receipt == Receipt::Mapped {
                            let writes = access == Access::Write;
                            let state = entry.state_at(node(who));
                            prop_assert_eq!(state == PageState::Exclusive, writes);
                            prop_assert!(state != PageState::Invalid);
                        }
                    }
                    (who, result)
                }
                Event::Fitting(n, well) => {
                    let count = driver.asked.len() as usize;
                    if let Some((to, _)) = driver.granted {
                        driver.granted = None;
                        let receipt = if well { Receipt::Mapped } else { Receipt::Refused };
                        (u64::from(to.get()), entry.receipt(to, receipt))
                    } else if let Some(from) = driver.asked.into_iter().nth(n % count.max(1)) {
                        driver.asked = driver.asked.without(from);
                        let answer = match (well, driver.supplier == Some(from)) {
                            (false, _) => Answer::Declined,
                            (true, true) => Answer::Data,
                            (true, false) => Answer::Invalidated,
                        };
                        driver.held |= answer == Answer::Data;
                        (u64::from(from.get()), entry.answer(from, answer))
                    } else {
                        continue;
                    }
                }
            };
            match result {
                Ok(step) => driver.follow(step, &before, &entry)?,
                Err(Unexpected) => prop_assert_eq!(before, entry, "changed by node {}", who),
            }
        }
    }

    /// Whatever has happened: once everybody does as asked, the page ends up where it is wanted,
    /// or it is lost for good.
    #[test]
    fn any_history_can_be_finished(events in vec(event(), 0..40), who in 10..20_u64) {
        let mut entry = fresh();
        let mut dead = NodeSet::EMPTY;
        let mut driver = Driver::default();
        for event in events {
            let step = match event {
                Event::Begin(who, access) if !dead.contains(node(who)) => {
                    entry.begin(node(who), access).ok()
                }
                Event::Answer(who, answer) => entry.answer(node(who), answer).ok(),
                Event::Receipt(who, receipt) => entry.receipt(node(who), receipt).ok(),
                Event::Lost(who) => {
                    dead = dead.with(node(who));
                    Some(entry.node_lost(node(who)))
                }
                _ => None,
            };
            if let Some(Step::Gather { supplier, .. }) = step {
                driver.supplier = supplier.map(|(from, _)| from);
            }
        }
        // Finish what runs: each node gives the one answer that fits it, in any phase.
        for index in 0..NODE_MAX as u64 {
            for answer in [Answer::Data, Answer::Invalidated] {
                let _ = entry.answer(node(index), answer);
            }
        }
        for index in 0..NODE_MAX as u64 {
            let _ = entry.receipt(node(index), Receipt::Mapped);
        }
        prop_assert!(!entry.is_busy());
        if !entry.is_lost() {
            take(&mut entry, who, Access::Write);
            prop_assert_eq!(entry.copies(), NodeSet::only(node(who)));
        }
    }

    /// To tell an entry of deaths when its operation has got its answers comes to the same as to tell it in the
    /// midst of that: if a dead node is asked meanwhile, it or its next life has nothing to give.
    #[test]
    fn a_death_may_be_told_late(
        owner in 0..6_u64,
        readers in btree_set(0..6_u64, 0..4),
        who in 0..6_u64,
        write in any::<bool>(),
        died in btree_set((0..6_u64).prop_filter("the origin lives", |each| *each != ORIGIN), 1..4),
        answers in vec(0..3_usize, NODE_MAX),
    ) {
        let readers: Vec<u64> = readers.into_iter().filter(|each| *each != owner).collect();
        let before = shared_by(owner, &readers);
        let died: Vec<u64> = died.into_iter().collect();
        let dead = nodes(&died);
        let access = if write { Access::Write } else { Access::Read };
        let mut late = before;
        let Ok(Step::Gather { supplier, invalidate }) = late.begin(node(who), access) else {
            return Ok(());
        };
        let mut early = late;
        let mut early_step = early.nodes_lost(dead);
        let mut late_step = Step::Wait;
        let asked = invalidate.into_iter().map(|each| (each, false));
        for (from, supplies) in asked.chain(supplier.map(|(from, _)| (from, true))) {
            let answer = match (answers[from.index()], supplies) {
                (0, _) if !dead.contains(from) => Answer::Declined,
                (_, true) if dead.contains(from) => Answer::Missing,
                (_, true) => Answer::Data,
                (_, false) => Answer::Invalidated,
            };
            late_step = match answers[from.index()] {
                // Its death is told by the question that fails.
                1 if dead.contains(from) => late.node_lost(from),
                _ => late.answer(from, answer).unwrap(),
            };
            if !dead.contains(from) {
                early_step = early.answer(from, answer).unwrap();
            }
        }
        if late.is_busy() {
            // It goes on to a grant; of a writer's that is not sent yet the page is given up all the same.
            let is_writer_dead = write && dead.contains(node(who));
            let next = late.nodes_lost(dead);
            late_step = if next == Step::Wait { late_step } else { next };
            if is_writer_dead {
                prop_assert!(late.copies().is_empty() && !late.is_busy());
                return Ok(());
            }
        } else {
            prop_assert_eq!(late.nodes_lost(dead), Step::Wait);
        }
        prop_assert_eq!(late.copies(), early.copies());
        prop_assert_eq!(late.is_busy(), early.is_busy());
        prop_assert_eq!(late.is_lost(), early.is_lost());
        if late.is_busy() {
            prop_assert_eq!(late_step, early_step);
        }
        prop_assert!(dead.into_iter().all(|each| !late.copies().contains(each)));
    }

    #[test]
    fn node_set_is_a_set(
        a in btree_set(0..NODE_MAX as u64, 0..12),
        change in 0..NODE_MAX as u64,
    ) {
        let set = nodes(&a.iter().copied().collect::<Vec<_>>());
        let list = |set: NodeSet| -> BTreeSet<u64> {
            set.into_iter().map(|each| u64::from(each.get())).collect()
        };
        prop_assert_eq!(list(set), a.clone());
        prop_assert_eq!(set.len() as usize, a.len());
        prop_assert_eq!(set.is_empty(), a.is_empty());
        prop_assert_eq!(set.first().map(|n| u64::from(n.get())), a.first().copied());
        prop_assert_eq!(set.contains(node(change)), a.contains(&change));
        let mut more = a.clone();
        more.insert(change);
        prop_assert_eq!(list(set.with(node(change))), more);
        let mut less = a;
        less.remove(&change);
        prop_assert_eq!(list(set.without(node(change))), less);
        prop_assert_eq!(NodeSet::from_bits(set.bits()), set);
    }
}
