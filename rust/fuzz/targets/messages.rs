// SPDX-License-Identifier: GPL-2.0
//! Payloads of all messages: accepted if and only if they have the right length, the same bytes again when they
//! are encoded; tails are told apart; a service sees what is as declared; numbers that stand for something stand for one
//! thing.
//!
//! An input is a type and a payload. That no type is missing here, `tests/complete.rs` looks.

use super::Target;

use popcorn_core::ids::Class;
use popcorn_core::message::Declared;
use popcorn_core::message::Empty;
use popcorn_core::message::Message;
use popcorn_core::proto;
use popcorn_core::proto::Content;
use popcorn_core::proto::FaultKind;
use popcorn_core::proto::NetChecksum;
use popcorn_core::proto::NetSegments;
use popcorn_core::proto::Outcome;
use popcorn_core::proto::Reason;
use popcorn_core::proto::Verdict;
use popcorn_core::stream::hello;
use popcorn_core::stream::Channel;
use popcorn_core::wire::Wire;
use popcorn_core::wire::WireError;
use popcorn_core::wire::PAYLOAD_MAX;
use std::any::type_name;
use std::fmt::Debug;
use std::ops::RangeInclusive;

pub(super) const TARGET: Target = Target {
    name: "messages",
    about: "payloads of all messages",
    most: 512,
    seeds,
    run,
};

/// A message type: its name, its number, its length, its check.
struct Kind {
    name: fn() -> &'static str,
    kind: u16,
    size: usize,
    /// Of what goes to a service.
    declared: Option<Declared>,
    check: fn(&[u8]),
}

/// One that goes no further than the thread that receives it.
const fn frame<T: Wire + Copy + Debug + PartialEq>() -> Kind {
    Kind {
        name: type_name::<T>,
        kind: T::TYPE,
        size: T::SIZE,
        declared: None,
        check: check::<T>,
    }
}

const fn kind<T: Message + Copy + Debug + PartialEq>() -> Kind {
    Kind {
        declared: Some(T::DECLARED),
        ..frame::<T>()
    }
}

const KINDS: [Kind; 35] = [
    kind::<Empty>(),
    kind::<proto::Echo>(),
    kind::<proto::EchoByWorker>(),
    kind::<proto::Echoed>(),
    kind::<proto::Part>(),
    kind::<proto::Stay>(),
    frame::<hello::Hello>(),
    frame::<hello::Beat>(),
    frame::<hello::Goodbye>(),
    kind::<proto::Migrate>(),
    kind::<proto::Back>(),
    kind::<proto::Syscall>(),
    kind::<proto::SyscallDone>(),
    kind::<proto::Recall>(),
    kind::<proto::Abandon>(),
    kind::<proto::SpaceExit>(),
    kind::<proto::SpaceLost>(),
    kind::<proto::VmaRequest>(),
    kind::<proto::VmaInfo>(),
    kind::<proto::Unmap>(),
    kind::<proto::PageRequest>(),
    kind::<proto::Grant>(),
    kind::<proto::Fetch>(),
    kind::<proto::PageData>(),
    kind::<proto::Invalidate>(),
    kind::<proto::Mapped>(),
    kind::<proto::NetFrame>(),
    kind::<proto::NetHello>(),
    kind::<proto::NetBye>(),
    kind::<proto::BenchBegin>(),
    kind::<proto::BenchEcho>(),
    kind::<proto::BenchEchoed>(),
    kind::<proto::BenchStream>(),
    kind::<proto::BenchEnd>(),
    kind::<proto::BenchCounted>(),
];

/// The types of the nodes themselves (`popcorn_msg`).
const OWN_TYPES: RangeInclusive<u16> = 0x0000..=0x00ff;

/// The message types that are tried, each by its name and number.
pub(super) fn types() -> Vec<(&'static str, u16)> {
    let last = |path: &'static str| path.rsplit("::").next().unwrap_or(path);
    let each = KINDS.iter().map(|kind| (last((kind.name)()), kind.kind));
    each.collect()
}

fn seeds() -> Vec<Vec<u8>> {
    let seed = |kind: &Kind| {
        let mut seed = kind.kind.to_le_bytes().to_vec();
        seed.extend((0..kind.size).map(|n| n as u8));
        seed
    };
    KINDS.iter().map(seed).collect()
}

fn check<T: Wire + Copy + Debug + PartialEq>(payload: &[u8]) {
    let mut out = [0xa5; 600];
    match T::decode(payload) {
        Ok(message) => {
            assert_eq!(payload.len(), T::SIZE);
            assert_eq!(message.encode(&mut out), Ok(T::SIZE));
            assert_eq!(&out[..T::SIZE], payload);
            assert!(out[T::SIZE..].iter().all(|&byte| byte == 0xa5));
            if let Some(less) = T::SIZE.checked_sub(1) {
                assert_eq!(message.encode(&mut out[..less]), Err(WireError::Length));
            }
        }
        Err(error) => assert!(error == WireError::Length && payload.len() != T::SIZE),
    }
    match T::decode_prefix(payload) {
        Ok((message, tail)) => {
            assert_eq!(payload.len(), T::SIZE + tail.len());
            assert_eq!(tail, &payload[T::SIZE..]);
            assert_eq!(T::decode(&payload[..T::SIZE]), Ok(message));
        }
        Err(error) => assert!(error == WireError::Length && payload.len() < T::SIZE),
    }
}

/// Its service sees a message if both class and length are as declared; the fixed part is there then.
fn as_declared(kind: &Kind, declared: &Declared, length: usize) {
    assert_eq!(declared.kind, kind.kind);
    assert!(kind.size <= declared.shortest() && declared.longest() <= PAYLOAD_MAX);
    let fits = (declared.shortest()..=declared.longest()).contains(&length);
    assert_eq!(declared.check_length(length).is_ok(), fits);
    for class in [Class::OneWay, Class::Request, Class::Response] {
        let is_seen = declared.check(class, length).is_ok();
        assert_eq!(is_seen, fits && class == declared.class);
        assert!(!is_seen || length >= kind.size);
    }
}

fn run(input: &[u8]) {
    let Some((kind, payload)) = input.split_first_chunk() else {
        return;
    };
    let kind = u16::from_le_bytes(*kind);
    let services = [
        OWN_TYPES,
        proto::THREAD_TYPES,
        proto::LAYOUT_TYPES,
        proto::PAGE_TYPES,
        proto::NET_TYPES,
        proto::BENCH_TYPES,
    ];
    for each in &KINDS {
        assert_eq!(
            services.iter().filter(|s| s.contains(&each.kind)).count(),
            1
        );
        if each.kind == kind {
            (each.check)(payload);
            if let Some(declared) = &each.declared {
                as_declared(each, declared, payload.len());
            }
        }
    }
    let Some(number) = payload.first_chunk() else {
        return;
    };
    let number = u32::from_le_bytes(*number);
    let is_one_of = |same: Option<u32>, numbers: RangeInclusive<u32>| match same {
        Some(same) => same == number && numbers.contains(&number),
        None => !numbers.contains(&number),
    };
    let is_same = |same, count: u32| is_one_of(same, 0..=count - 1);
    assert!(is_same(Reason::new(number).map(|value| value as u32), 5));
    assert!(is_same(Verdict::new(number).map(|value| value as u32), 4));
    assert!(is_same(Content::new(number).map(|value| value as u32), 3));
    assert!(is_same(Outcome::new(number).map(|value| value as u32), 4));
    assert!(is_same(FaultKind::new(number).map(|value| value as u32), 3));
    assert!(is_same(
        NetChecksum::new(number).map(|value| value as u32),
        3
    ));
    assert!(is_same(
        NetSegments::new(number).map(|value| value as u32),
        4
    ));
    assert!(is_same(Channel::new(number).map(Channel::get), 2));
    let goodbye = hello::Reason::new(number).map(hello::Reason::get);
    assert!(is_one_of(goodbye, 1..=3));
}
