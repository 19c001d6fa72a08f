// SPDX-License-Identifier: GPL-2.0
//! What is declared of messages: the declarations say what they say, and messages that do not fit are told apart.

#![cfg(not(loom))]
#![expect(missing_docs, reason = "the messages here are only for these tests")]

use popcorn_core::ids::Class;
use popcorn_core::message::Declared;
use popcorn_core::message::Empty;
use popcorn_core::message::Message;
use popcorn_core::message::Messages;
use popcorn_core::message::Request;
use popcorn_core::message::Unfit;
use popcorn_core::message::Urgency;
use popcorn_core::messages;
use popcorn_core::proto;
use popcorn_core::wire::Wire;
use popcorn_core::wire::PAYLOAD_MAX;
use popcorn_core::wire_message;
use proptest::prelude::*;
use std::any::TypeId;
use std::collections::BTreeSet;

const MOST: usize = 40;

wire_message! {
    pub struct Plain = 0x0710, one_way {
        a: u64,
    }
    pub struct Quick = 0x0711, one_way, urgent {}
    pub struct Done = 0x0713, request {
        a: u32,
    }
    pub struct Asked = 0x0714, request -> Answered, urgent, tail 3..=MOST {
        a: u16,
    }
    pub struct Answered = 0x0794, response, tail 0..=(MOST / 2) {
        a: u8,
    }
    /// For the codec only.
    pub struct Silent = 0x0715 {
        a: u8,
    }
}

const ALL: Messages = messages![Plain, Quick, Done, Asked];

/// Each word of a declaration has its meaning, and what is left out has its own.
#[test]
fn declarations_say_what_is_written() {
    let plain = Plain::DECLARED;
    assert_eq!((plain.name, plain.kind), ("Plain", Plain::TYPE));
    assert_eq!(plain.class, Class::OneWay);
    assert_eq!(plain.urgency, Urgency::Queued);
    assert_eq!((plain.shortest(), plain.longest()), (8, 8));
    assert_eq!(Quick::DECLARED.urgency, Urgency::Urgent);
    assert_eq!(Quick::DECLARED.longest(), 0);
    assert_eq!(Done::DECLARED.class, Class::Request);
    assert!(!Done::DECLARED.is_urgent());
    let asked = Asked::DECLARED;
    assert_eq!((asked.class, asked.is_urgent()), (Class::Request, true));
    assert_eq!((asked.shortest(), asked.longest()), (5, 2 + MOST));
    assert_eq!(Answered::DECLARED.class, Class::Response);
    assert_eq!(Answered::DECLARED.longest(), 1 + MOST / 2);
    assert_eq!(Silent::SIZE, 1);
    assert_eq!(
        TypeId::of::<<Done as Request>::Answer>(),
        TypeId::of::<Empty>()
    );
    assert_eq!(
        TypeId::of::<<Asked as Request>::Answer>(),
        TypeId::of::<Answered>()
    );
}

#[test]
fn what_does_not_fit_is_told_apart() {
    let asked = Asked::DECLARED;
    assert_eq!(asked.check(Class::Request, 5), Ok(()));
    assert_eq!(asked.check(Class::Request, 2 + MOST), Ok(()));
    assert_eq!(asked.check(Class::Request, 4), Err(Unfit::Short));
    assert_eq!(asked.check(Class::Request, 3 + MOST), Err(Unfit::Long));
    assert_eq!(asked.check(Class::OneWay, 5), Err(Unfit::Class));
    assert_eq!(asked.check(Class::Response, 5), Err(Unfit::Class));
    assert_eq!(Plain::DECLARED.check(Class::OneWay, 8), Ok(()));
    assert_eq!(Plain::DECLARED.check(Class::Request, 8), Err(Unfit::Class));
    assert_eq!(Plain::DECLARED.check(Class::OneWay, 9), Err(Unfit::Long));
}

proptest! {
    /// What a sender encodes, with a tail that is declared, is what the receiver's check lets pass; nothing else is.
    #[test]
    fn lengths_are_those_declared(class in 0u8..3, length in 0usize..=PAYLOAD_MAX + 1) {
        let class = Class::new(class + 1).expect("one of three");
        for declared in ALL.iter() {
            let range = declared.shortest()..=declared.longest();
            let fits = class == declared.class && range.contains(&length);
            prop_assert_eq!(declared.check(class, length).is_ok(), fits);
        }
    }

    /// A list finds what is in it, whatever numbers are left out.
    #[test]
    fn a_list_finds_its_own(kind: u16, kinds in prop::collection::btree_set(0u16..300, 1..20)) {
        let list: Vec<_> = kinds.iter().map(|&kind| Declared::one_way("One", kind, 0)).collect();
        let list = Messages::new(list.leak());
        for kind in (0..301).chain([kind]) {
            let found = list.get(kind).map(|declared| declared.kind);
            prop_assert_eq!(found, kinds.contains(&kind).then_some(kind));
        }
        for kind in [kind, list.first(), list.last()] {
            let spanned = (list.first()..=list.last()).contains(&kind);
            prop_assert_eq!(list.spans(kind), spanned);
        }
        prop_assert_eq!(Some(list.first()), kinds.first().copied());
        prop_assert_eq!(Some(list.last()), kinds.last().copied());
    }
}

/// The services of the system share no type and no name, and each finds its own.
#[test]
fn services_are_apart() {
    let mut kinds = BTreeSet::new();
    let mut names = BTreeSet::new();
    for service in proto::SERVICES {
        let overlapping = proto::SERVICES
            .iter()
            .filter(|each| each.overlaps(&service));
        assert_eq!(overlapping.count(), 1, "each overlaps itself only");
        for declared in service.iter() {
            assert!(kinds.insert(declared.kind), "{:#x} is twice", declared.kind);
            assert!(names.insert(declared.name), "{} is twice", declared.name);
            assert_eq!(service.get(declared.kind), Some(declared));
            // An answer's number is that of its request and this bit.
            assert_eq!(declared.kind & 0x80, 0);
        }
    }
    assert_eq!(kinds.len(), 24);
}

/// What a peer of another machine can make this one keep for a message is what its type needs.
#[test]
fn messages_are_as_long_as_they_must_be() {
    let longest = |declared: Declared| declared.longest();
    assert_eq!(longest(proto::Syscall::DECLARED), proto::Syscall::SIZE);
    assert_eq!(
        longest(proto::Migrate::DECLARED),
        proto::Migrate::SIZE + proto::FPU_MAX
    );
    assert_eq!(
        longest(proto::Grant::DECLARED),
        proto::Grant::SIZE + (proto::AHEAD_MAX + 1) * proto::PAGE_SIZE
    );
    assert_eq!(
        longest(proto::PageData::DECLARED),
        proto::PageData::SIZE + proto::PAGE_SIZE
    );
    assert_eq!(longest(proto::NetFrame::DECLARED), 32 * 1024);
    for measured in [proto::BenchEcho::DECLARED, proto::BenchStream::DECLARED] {
        assert_eq!(measured.longest(), PAYLOAD_MAX);
    }
    // As long as the answer must be.
    let answered = proto::BenchEchoed::DECLARED;
    assert_eq!(proto::BenchEcho::DECLARED.shortest(), answered.shortest());
    assert_eq!(proto::BenchEcho::DECLARED.longest(), answered.longest());
}
