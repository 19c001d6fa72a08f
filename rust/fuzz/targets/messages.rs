// SPDX-License-Identifier: GPL-2.0
//! Payloads of all messages: accepted if and only if they have the right length, the same bytes again when they
//! are encoded; tails are told apart; numbers that stand for something stand for one thing.
//!
//! An input is a type and a payload.

use super::Target;

use popcorn_core::proto;
use popcorn_core::proto::Content;
use popcorn_core::proto::FaultKind;
use popcorn_core::proto::Outcome;
use popcorn_core::proto::Reason;
use popcorn_core::proto::Verdict;
use popcorn_core::wire::Wire;
use popcorn_core::wire::WireError;
use std::fmt::Debug;

pub(super) const TARGET: Target = Target {
    name: "messages",
    about: "payloads of all messages of threads, layouts, pages",
    most: 512,
    seeds,
    run,
};

/// A message type: its number, its length, its check.
struct Kind {
    kind: u16,
    size: usize,
    check: fn(&[u8]),
}

const fn kind<T: Wire + Copy + Debug + PartialEq>() -> Kind {
    Kind {
        kind: T::TYPE,
        size: T::SIZE,
        check: check::<T>,
    }
}

const KINDS: [Kind; 17] = [
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
];

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
            let short = message.encode(&mut out[..T::SIZE - 1]);
            assert_eq!(short, Err(WireError::Length));
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

fn run(input: &[u8]) {
    let Some((kind, payload)) = input.split_first_chunk() else {
        return;
    };
    let kind = u16::from_le_bytes(*kind);
    let services = [proto::THREAD_TYPES, proto::LAYOUT_TYPES, proto::PAGE_TYPES];
    for each in &KINDS {
        assert_eq!(
            services.iter().filter(|s| s.contains(&each.kind)).count(),
            1
        );
        if each.kind == kind {
            (each.check)(payload);
        }
    }
    let Some(number) = payload.first_chunk() else {
        return;
    };
    let number = u32::from_le_bytes(*number);
    let is_same = |same: Option<u32>, count| match same {
        Some(same) => same == number && number < count,
        None => number >= count,
    };
    assert!(is_same(Reason::new(number).map(|value| value as u32), 5));
    assert!(is_same(Verdict::new(number).map(|value| value as u32), 4));
    assert!(is_same(Content::new(number).map(|value| value as u32), 3));
    assert!(is_same(Outcome::new(number).map(|value| value as u32), 3));
    assert!(is_same(FaultKind::new(number).map(|value| value as u32), 3));
}
