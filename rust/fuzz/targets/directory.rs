// SPDX-License-Identifier: GPL-2.0
//! One entry of the page directory, whose nodes answer what they like, when they like, or die.
//!
//! The driver is honest: it says only what peers said, and does at home what the steps say. Whatever the peers do:
//! one writer, or readers, never both; what nobody waits for changes nothing; only holders are asked, once
//! each; data is granted only if the origin has it in hand; and when all peers are dead, nothing is busy any more.

use super::Target;
use crate::source::Source;

use popcorn_core::directory::Access;
use popcorn_core::directory::Answer;
use popcorn_core::directory::Entry;
use popcorn_core::directory::NodeSet;
use popcorn_core::directory::PageState;
use popcorn_core::directory::Receipt;
use popcorn_core::directory::Refusal;
use popcorn_core::directory::Step;
use popcorn_core::ids::NodeId;

pub(super) const TARGET: Target = Target {
    name: "directory",
    about: "an entry of the page directory, with peers that answer anything",
    most: 512,
    seeds,
    run,
};

/// Few, so that they meet; the last ones are at the other end.
const NODES: [u64; 6] = [0, 1, 2, 3, 62, 63];
const ACCESSES: [Access; 2] = [Access::Read, Access::Write];
const ANSWERS: [Answer; 4] = [
    Answer::Data,
    Answer::Invalidated,
    Answer::Missing,
    Answer::Declined,
];
const RECEIPTS: [Receipt; 3] = [Receipt::Mapped, Receipt::Refused, Receipt::Missing];

fn seeds() -> Vec<Vec<u8>> {
    // Begin, answers of all, receipts of all; once more with other nodes.
    let seed = |origin: u8, access: u8| {
        let mut seed = vec![origin];
        for who in 0..6u8 {
            seed.extend([0, who, access]);
            for from in 0..6 {
                seed.extend([1, from, 0, 1, from, 1]);
            }
            seed.extend([2, who, 0]);
        }
        seed
    };
    vec![seed(0, 0), seed(0, 1), seed(3, 0), seed(5, 1)]
}

/// What the driver knows besides the entry.
struct Driver {
    entry: Entry,
    origin: NodeId,
    /// Asked, and neither answered nor dead.
    asked: NodeSet,
    /// To whom a grant is under way.
    granted: Option<(NodeId, Access)>,
    /// The data is in hand.
    held: bool,
}

impl Driver {
    /// Carries a step out, and looks whether it is allowed.
    fn take(&mut self, step: Step) {
        match step {
            Step::AlreadyGranted => assert!(!self.entry.is_busy()),
            Step::Gather {
                supplier,
                invalidate,
            } => {
                assert!(self.entry.is_busy() && self.asked.is_empty());
                let requester = self.entry.requester().unwrap().0;
                self.asked = invalidate;
                if let Some((node, _)) = supplier {
                    assert!(!invalidate.contains(node));
                    self.asked = self.asked.with(node);
                }
                assert!(!self.asked.is_empty() && !self.asked.contains(requester));
                for node in self.asked {
                    assert!(self.entry.copies().contains(node), "it has nothing to give");
                }
            }
            Step::Grant { to, access, data } => {
                assert!(self.entry.is_busy() && self.asked.is_empty() && self.granted.is_none());
                let has_copy = self.entry.copies().contains(to);
                assert_eq!(data, !has_copy);
                assert!(!data || self.held, "data from nowhere");
                if access == Access::Write {
                    assert!(self.entry.copies().without(to).is_empty(), "two writers");
                }
                self.granted = Some((to, access));
            }
            Step::Wait => {}
            Step::Done | Step::Retry { .. } | Step::Fail { .. } => {
                assert!(!self.entry.is_busy() && self.asked.is_empty());
                self.granted = None;
                self.held = false;
            }
        }
        self.check();
    }

    /// What always holds.
    fn check(&self) {
        let entry = &self.entry;
        let states = NodeId::all().map(|node| entry.state_at(node));
        let (mut writers, mut readers) = (0, 0);
        for state in states {
            writers += u32::from(state == PageState::Exclusive);
            readers += u32::from(state == PageState::Shared);
        }
        assert!(writers == 0 || writers == 1 && readers == 0);
        assert_eq!(writers + readers, entry.copies().len());
        assert_eq!(entry.is_busy(), entry.requester().is_some());
        assert_eq!(
            entry.is_lost(),
            !entry.is_busy() && entry.copies().is_empty()
        );
        let is_home = entry.state_at(self.origin) == PageState::Exclusive;
        assert_eq!(entry.is_local(), !entry.is_busy() && is_home);
        if entry.is_busy() {
            assert!(
                !self.asked.is_empty() || self.granted.is_some(),
                "nobody is waited for"
            );
        } else {
            assert!(self.asked.is_empty() && self.granted.is_none());
        }
    }

    fn begin(&mut self, node: NodeId, access: Access) {
        let before = self.entry;
        match self.entry.begin(node, access) {
            Ok(step) => {
                assert!(!before.is_busy() && !before.is_lost());
                let state = before.state_at(node);
                let enough = match access {
                    Access::Read => state != PageState::Invalid,
                    Access::Write => state == PageState::Exclusive,
                };
                assert_eq!(step == Step::AlreadyGranted, enough);
                self.take(step);
            }
            Err(refusal) => {
                assert_eq!(self.entry, before);
                let expected = if before.is_busy() {
                    Refusal::Busy
                } else {
                    Refusal::Lost
                };
                assert!(refusal == expected && (before.is_busy() || before.is_lost()));
            }
        }
    }

    fn answer(&mut self, from: NodeId, answer: Answer) {
        let before = self.entry;
        match self.entry.answer(from, answer) {
            Ok(step) => {
                assert!(self.asked.contains(from), "nobody asked it");
                self.asked = self.asked.without(from);
                self.held |= answer == Answer::Data;
                self.take(step);
            }
            Err(_) => assert_eq!(self.entry, before),
        }
    }

    fn receipt(&mut self, by: NodeId, receipt: Receipt) {
        let before = self.entry;
        match self.entry.receipt(by, receipt) {
            Ok(step) => {
                let granted = self.granted.take();
                assert_eq!(
                    granted.map(|(to, _)| to),
                    Some(by),
                    "nobody granted it anything"
                );
                if receipt == Receipt::Mapped {
                    assert_eq!(step, Step::Done);
                    let state = match granted {
                        Some((_, Access::Write)) => PageState::Exclusive,
                        _ => PageState::Shared,
                    };
                    assert_eq!(self.entry.state_at(by), state);
                }
                if receipt == Receipt::Missing && by == self.origin {
                    self.held = false;
                }
                self.take(step);
            }
            Err(_) => {
                assert_eq!(self.entry, before);
                assert_ne!(self.granted.map(|(to, _)| to), Some(by));
            }
        }
    }

    fn lose(&mut self, node: NodeId) {
        let before = self.entry;
        let was_granted = self.granted.is_some_and(|(to, _)| to == node);
        let step = self.entry.node_lost(node);
        if node == self.origin {
            assert_eq!((step, self.entry), (Step::Wait, before));
            return;
        }
        assert_eq!(self.entry.state_at(node), PageState::Invalid);
        self.asked = self.asked.without(node);
        if was_granted {
            self.granted = None;
        }
        self.take(step);
    }
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let nodes = NODES.map(|id| NodeId::new(id).unwrap());
    let origin = nodes[source.below(nodes.len())];
    let mut driver = Driver {
        entry: Entry::new(origin),
        origin,
        asked: NodeSet::EMPTY,
        granted: None,
        held: false,
    };
    driver.check();
    while !source.is_empty() {
        let what = source.byte();
        let node = nodes[source.below(nodes.len())];
        let how = source.below(4);
        match what % 8 {
            0 => driver.begin(node, ACCESSES[how % 2]),
            1 | 2 => driver.answer(node, ANSWERS[how]),
            3 => driver.receipt(node, RECEIPTS[how % 3]),
            4 => driver.lose(node),
            5 => driver.begin(origin, Access::Write),
            // What is waited for, so that it goes on.
            6 => {
                if let Some(from) = driver.asked.first() {
                    driver.answer(from, ANSWERS[how]);
                }
            }
            _ => {
                if let Some((to, _)) = driver.granted {
                    driver.receipt(to, RECEIPTS[how % 3]);
                }
            }
        }
    }
    // All peers die, and the origin does what is left to it: then nothing is waited for.
    for node in nodes {
        driver.lose(node);
    }
    if driver.asked.contains(origin) {
        driver.answer(origin, Answer::Declined);
    }
    if driver.granted.is_some() {
        driver.receipt(origin, Receipt::Mapped);
    }
    assert!(!driver.entry.is_busy());
    assert!(driver.entry.is_lost() || driver.entry.is_local() || driver.entry.copies().len() == 1);
}
