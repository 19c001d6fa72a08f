// SPDX-License-Identifier: GPL-2.0
//! Memory lent to a kernel that runs: whatever comes late, fails or makes no sense, nothing is at two places.

#![cfg(not(loom))]

mod plain_memory;

use plain_memory::Plain;
use popcorn_core::bootparams::Extent;
use popcorn_core::lent_memory::Account;
use popcorn_core::lent_memory::AccountError;
use popcorn_core::lent_memory::LentMemory;
use popcorn_core::lent_memory::List;
use popcorn_core::portions::Portions;
use popcorn_core::portions::SPANS_MAX;
use popcorn_core::portions::SPAN_PORTIONS;
use popcorn_core::ring::Memory;
use proptest::prelude::*;

const SIZE: u64 = 128 << 20;
const EBUSY: i32 = 16;

fn page() -> Plain {
    let page = Plain::filled(4096, 0);
    LentMemory(&page).begin();
    page
}

fn set(numbers: &[u64]) -> Portions {
    let mut portions = Portions::new(SIZE).unwrap();
    for number in numbers {
        portions.insert(Extent::new(number * SIZE, SIZE)).unwrap();
    }
    portions
}

/// The other kernel, which does what it is told.
struct Secondary {
    held: Portions,
}

impl Secondary {
    fn new() -> Self {
        Self { held: set(&[]) }
    }

    fn obey(&mut self, page: &Plain, keeps: &Portions) {
        let page = LentMemory(page);
        let list = page.list(&self.held).unwrap();
        let kept = list.to_give(&self.held).common(keeps);
        let given = list.to_give(&self.held).without(keeps);
        self.held = self.held.with(&list.to_take(&self.held)).unwrap();
        self.held = self.held.without(&given);
        page.answered(&list, &self.held, if kept.is_empty() { 0 } else { -EBUSY });
    }
}

#[test]
fn more_and_less() {
    let (memory, mut there) = (page(), Secondary::new());
    let page = LentMemory(&memory);
    assert_eq!(page.portion(), None);
    page.offer(SIZE);
    let mut account = Account::new(page.portion().unwrap()).unwrap();
    assert_eq!(account.settle(&page), None);

    account.lend(&page, &set(&[8, 9, 70])).unwrap();
    assert_eq!(account.settle(&page), None);
    there.obey(&memory, &set(&[]));
    let answer = account.settle(&page).unwrap();
    assert_eq!((answer.back, answer.errno), (set(&[]), 0));
    assert_eq!(there.held, set(&[8, 9, 70]));

    account.lend(&page, &set(&[10])).unwrap();
    there.obey(&memory, &set(&[]));
    account.settle(&page).unwrap();
    account.ask_back(&page, &set(&[9, 70, 71])).unwrap();
    there.obey(&memory, &set(&[9]));
    let answer = account.settle(&page).unwrap();
    assert_eq!((answer.back, answer.errno), (set(&[70]), EBUSY));
    assert_eq!(account.lent(), &set(&[8, 9, 10]));
    assert_eq!(there.held, set(&[8, 9, 10]));
}

#[test]
fn nothing_comes_back_before_the_last_list_is_answered() {
    let (memory, mut there) = (page(), Secondary::new());
    let page = LentMemory(&memory);
    let mut account = Account::new(SIZE).unwrap();
    account.lend(&page, &set(&[1])).unwrap();
    let late = page.list(&there.held).unwrap();

    // The primary waits no more.
    account.leave(&page);
    assert!(account.is_open());
    let refused = account.lend(&page, &set(&[2]));
    assert_eq!(refused, Err(AccountError::Open));
    let refused = account.ask_back(&page, &set(&[1]));
    assert_eq!(refused, Err(AccountError::Open));
    page.answered(&late, &set(&[]), 0);
    assert_eq!(account.settle(&page), None);
    assert_eq!(account.lent(), &set(&[1]));

    // It was not taken in, and is not any more.
    there.obey(&memory, &set(&[]));
    assert_eq!(account.settle(&page).unwrap().back, set(&[1]));
    assert_eq!(there.held, set(&[]));
}

#[test]
fn what_was_taken_in_late_stays() {
    let (memory, mut there) = (page(), Secondary::new());
    let page = LentMemory(&memory);
    let mut account = Account::new(SIZE).unwrap();
    account.lend(&page, &set(&[1, 2])).unwrap();
    there.held = set(&[2]);
    account.leave(&page);
    there.obey(&memory, &set(&[]));
    assert_eq!(account.settle(&page).unwrap().back, set(&[1]));
    assert_eq!(account.lent(), &set(&[2]));
}

#[test]
fn a_list_has_room_for_so_many() {
    let memory = page();
    let page = LentMemory(&memory);
    let mut account = Account::new(SIZE).unwrap();
    let all: Vec<u64> = (0..SPANS_MAX as u64).map(|n| n * SPAN_PORTIONS).collect();
    account.lend(&page, &set(&all)).unwrap();
    let mut there = Secondary::new();
    there.obey(&memory, &set(&[]));
    account.settle(&page).unwrap();
    assert_eq!(there.held, set(&all));
    let number = page.number();
    let refused = account.lend(&page, &set(&[SPANS_MAX as u64 * SPAN_PORTIONS]));
    assert_eq!(refused, Err(AccountError::Scattered));
    assert_eq!(page.number(), number);
    assert!(!account.is_open());
}

#[test]
fn nonsense_is_no_list() {
    let sane = || {
        let memory = page();
        let mut account = Account::new(SIZE).unwrap();
        let both = set(&[1, SPAN_PORTIONS]);
        account.lend(&LentMemory(&memory), &both).unwrap();
        memory
    };
    assert!(LentMemory(&sane()).list(&set(&[])).is_some());
    for (offset, value) in [
        (904, 0),
        (912, SPANS_MAX as u64 + 1),
        (912, u64::MAX),
        // No span's address; beyond all addresses; not ascending.
        (960, SIZE),
        (992, u64::MAX - SIZE * SPAN_PORTIONS + 1),
        (992, 0),
        // It shall have a portion and give it back.
        (976, 2),
    ] {
        let memory = sane();
        memory.store(offset, value);
        let list = LentMemory(&memory).list(&set(&[]));
        assert_eq!(list, None, "{offset} {value:#x}");
    }
}

/// What happens next.
#[derive(Clone, Debug)]
enum Event {
    Lend(Vec<u64>),
    AskBack(Vec<u64>),
    Leave,
    Settle,
    /// The secondary reads the list.
    Read,
    /// It does one thing of what it has read.
    Take(usize),
    Give(usize),
    /// It answers what it has read.
    Answer,
}

fn event() -> impl Strategy<Value = Event> {
    let some = || prop::collection::vec(0u64..140, 1..6);
    prop_oneof![
        1 => some().prop_map(Event::Lend),
        1 => some().prop_map(Event::AskBack),
        1 => Just(Event::Leave),
        3 => Just(Event::Settle),
        3 => Just(Event::Read),
        4 => (0usize..8).prop_map(Event::Take),
        4 => (0usize..8).prop_map(Event::Give),
        3 => Just(Event::Answer),
    ]
}

fn nth(portions: &Portions, n: usize) -> Option<Portions> {
    let extent = portions.each().nth(n)?;
    let mut one = portions.none();
    one.insert(extent).unwrap();
    Some(one)
}

proptest! {
    /// The two take their steps in any order, and each may read, stop or answer at any time.
    #[test]
    fn no_portion_is_at_two_places(events in prop::collection::vec(event(), 0..200)) {
        let memory = page();
        let page = LentMemory(&memory);
        let mut account = Account::new(SIZE).unwrap();
        let mut held = set(&[]);
        let mut read: Option<List> = None;
        let mut done = page.number();
        for event in events {
            match event {
                Event::Lend(numbers) => {
                    let _ = account.lend(&page, &set(&numbers));
                }
                Event::AskBack(numbers) => {
                    let _ = account.ask_back(&page, &set(&numbers));
                }
                Event::Leave => account.leave(&page),
                Event::Settle => {
                    let before = *account.lent();
                    if let Some(answer) = account.settle(&page) {
                        prop_assert_eq!(before.without(&answer.back), *account.lent());
                        prop_assert_eq!(*account.lent(), held);
                    }
                }
                Event::Read => read = page.list(&held).filter(|list| list.number() != done),
                Event::Take(n) => {
                    let wanted = read.and_then(|list| nth(&list.to_take(&held), n));
                    if let Some(one) = wanted {
                        held = held.with(&one).unwrap();
                    }
                }
                Event::Give(n) => {
                    let unwanted = read.and_then(|list| nth(&list.to_give(&held), n));
                    if let Some(one) = unwanted {
                        held = held.without(&one);
                    }
                }
                Event::Answer => {
                    if let Some(list) = read.take() {
                        page.answered(&list, &held, 0);
                        done = list.number();
                    }
                }
            }
            prop_assert!(held.without(account.lent()).is_empty(), "in use, and not lent");
        }
    }

    /// The secondary may write anything at any time.
    #[test]
    fn a_garbled_page_gives_back_no_more_than_was_lent(
        bytes in prop::collection::vec(any::<u8>(), 4096),
        words in prop::collection::vec((112usize..256, any::<u64>()), 0..40),
        numbers in prop::collection::vec(0u64..140, 0..20),
        answered: bool,
    ) {
        let memory = Plain::new(bytes);
        let page = LentMemory(&memory);
        page.portion().map(Portions::new);
        page.list(&set(&[]));
        let mut account = Account::new(SIZE).unwrap();
        account.lend(&page, &set(&numbers)).unwrap();
        for (word, value) in words {
            memory.store(word * 8, value);
        }
        if answered {
            memory.store(920, 2);
        }
        page.list(&set(&[]));
        let lent = *account.lent();
        let settled = account.settle(&page);
        prop_assert!(!answered || settled.is_some());
        if let Some(answer) = settled {
            prop_assert!(answer.back.without(&lent).is_empty());
            prop_assert!((0..=4095).contains(&answer.errno));
            prop_assert_eq!(lent.without(&answer.back), *account.lent());
        }
    }
}
