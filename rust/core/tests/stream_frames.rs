// SPDX-License-Identifier: GPL-2.0
//! Frames and hellos: what is encoded comes back, whatever else comes is refused.

#![cfg(not(loom))]

use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::ids::NODE_MAX;
use popcorn_core::membership::view::Said;
use popcorn_core::membership::view::SAID_MAX;
use popcorn_core::membership::view::SAID_MIN;
use popcorn_core::membership::Membership;
use popcorn_core::stream::frame::BODY_MAX;
use popcorn_core::stream::frame::HEAD_SIZE;
use popcorn_core::stream::hello::Beat;
use popcorn_core::stream::hello::Checked;
use popcorn_core::stream::hello::Goodbye;
use popcorn_core::stream::hello::Mismatch;
use popcorn_core::stream::hello::Reason;
use popcorn_core::stream::hello::LENGTH_MAX;
use popcorn_core::stream::hello::LENGTH_MIN;
use popcorn_core::stream::meeting::Greeting;
use popcorn_core::stream::Channel;
use popcorn_core::stream::Frame;
use popcorn_core::stream::Head;
use popcorn_core::stream::Hello;
use popcorn_core::window::Introduction;
use popcorn_core::window::Lane;
use popcorn_core::wire::Wire;
use popcorn_core::wire::WireError;
use popcorn_core::wire::HEADER_SIZE;
use proptest::prelude::*;

const PROTOCOL: u64 = 0x1234;

fn frame() -> impl Strategy<Value = (Frame, u32)> {
    let message = (HEADER_SIZE as u32)..=(BODY_MAX as u32);
    prop_oneof![
        Just((Frame::Hello, Hello::SIZE as u32)),
        message
            .clone()
            .prop_map(|n| (Frame::Message(Lane::Requests), n)),
        message.prop_map(|n| (Frame::Message(Lane::Responses), n)),
        Just((Frame::Beat, Beat::SIZE as u32)),
        Just((Frame::Goodbye, Goodbye::SIZE as u32)),
        (0..=NODE_MAX).prop_map(|members| (Frame::View, (SAID_MIN + 8 * members) as u32)),
    ]
}

fn checked() -> impl Strategy<Value = Checked> {
    (
        (
            0u32..2,
            any::<u64>(),
            1u64..,
            any::<u64>(),
            any::<[u64; 2]>(),
        ),
        (any::<u64>(), any::<u64>(), any::<[u8; 32]>()),
    )
        .prop_map(
            |((channel, attempt, own, accepted, received), (cpus, memory, half))| {
                let own = Incarnation::new(own).expect("not zero");
                let mut name = [0; 64];
                name[..32].copy_from_slice(&half);
                Checked {
                    channel: Channel::new(channel).expect("one of two"),
                    attempt,
                    greeting: Greeting {
                        own,
                        accepted: Incarnation::new(accepted),
                        received,
                    },
                    introduction: Introduction {
                        node: NodeId::new(5).expect("below 64"),
                        incarnation: own,
                        protocol: PROTOCOL,
                        cpus,
                        memory,
                        name,
                    },
                }
            },
        )
}

fn node(id: u64) -> NodeId {
    NodeId::new(id).expect("below 64")
}

proptest! {
    #[test]
    fn heads_come_back((frame, length) in frame(), acknowledged in any::<[u64; 2]>()) {
        let head = Head { frame, length, acknowledged };
        prop_assert_eq!(Head::decode(&head.encode()), Ok(head));
    }

    #[test]
    fn what_is_accepted_bears_encoding((frame, length) in frame(), at in 0..HEAD_SIZE, value: u8) {
        let mut bytes = Head { frame, length, acknowledged: [1, 2] }.encode();
        bytes[at] = value;
        if let Ok(head) = Head::decode(&bytes) {
            prop_assert_eq!(head.encode(), bytes);
        }
    }

    #[test]
    fn noise_is_refused(bytes: [u8; HEAD_SIZE]) {
        prop_assert!(Head::decode(&bytes).is_err());
    }

    #[test]
    fn lengths_are_bounded((frame, _) in frame(), length: u32) {
        let head = Head { frame, length, acknowledged: [0; 2] };
        let right = match frame {
            Frame::Hello => (LENGTH_MIN..=LENGTH_MAX).contains(&(length as usize)),
            Frame::Beat => length as usize == Beat::SIZE,
            Frame::Goodbye => length as usize == Goodbye::SIZE,
            Frame::View => (SAID_MIN..=SAID_MAX).contains(&(length as usize)) && length % 8 == 0,
            Frame::Message(_) => (HEADER_SIZE..=BODY_MAX).contains(&(length as usize)),
        };
        prop_assert_eq!(Head::decode(&head.encode()).is_ok(), right);
    }

    #[test]
    fn hellos_come_back(checked in checked()) {
        let hello = Hello::of(&checked, node(3));
        let mut bytes = [0; Hello::SIZE];
        hello.encode(&mut bytes).expect("it fits");
        let back = Hello::read(&bytes).expect("the same length");
        prop_assert_eq!(back.check(node(3), PROTOCOL), Ok(checked));
    }

    /// Of whatever length they are.
    #[test]
    fn hellos_of_other_versions_say_so(checked in checked(), length in 0usize..600, other in 1u32..) {
        let hello = Hello::of(&checked, node(3));
        let version = hello.version ^ other;
        let mut bytes = vec![0xa5; 600];
        Hello { version, ..hello }.encode(&mut bytes).expect("it fits");
        let read = Hello::read(&bytes[..length]);
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&length) {
            prop_assert_eq!(read, Err(WireError::Length));
            return Ok(());
        }
        let read = read.expect("a version");
        prop_assert_eq!(read.check(node(3), PROTOCOL), Err(Mismatch::Version(version)));
        hello.encode(&mut bytes).expect("it fits");
        prop_assert_eq!(Hello::read(&bytes[..length]).is_ok(), length == Hello::SIZE);
    }

    #[test]
    fn hellos_of_others_are_refused(checked in checked(), value in 1u64..) {
        let hello = Hello::of(&checked, node(3));
        prop_assert_eq!(hello.check(node(4), PROTOCOL), Err(Mismatch::Node(3)));
        prop_assert_eq!(hello.check(node(3), PROTOCOL ^ value), Err(Mismatch::Protocol(PROTOCOL)));
        let other = Hello { version: hello.version ^ 1, ..hello };
        prop_assert_eq!(other.check(node(3), PROTOCOL), Err(Mismatch::Version(hello.version ^ 1)));
        let other = Hello { magic: hello.magic ^ value, ..hello };
        prop_assert_eq!(other.check(node(3), PROTOCOL), Err(Mismatch::Magic));
        let other = Hello { source: 3, ..hello };
        prop_assert_eq!(other.check(node(3), PROTOCOL), Err(Mismatch::Node(3)));
        let other = Hello { source: 64, ..hello };
        prop_assert_eq!(other.check(node(3), PROTOCOL), Err(Mismatch::Node(64)));
        let other = Hello { incarnation: 0, ..hello };
        prop_assert_eq!(other.check(node(3), PROTOCOL), Err(Mismatch::Field("incarnation")));
        let other = Hello { channel: 2, ..hello };
        prop_assert_eq!(other.check(node(3), PROTOCOL), Err(Mismatch::Field("channel")));
    }
}

#[test]
fn reasons_come_back() {
    for reason in [Reason::Left, Reason::Refused, Reason::Fault] {
        assert_eq!(Reason::new(reason.get()), Some(reason));
    }
    assert_eq!(Reason::new(0), None);
    assert_eq!(Reason::new(4), None);
}

#[test]
fn what_is_said_comes_back() {
    let life = Incarnation::new(7).expect("not zero");
    let membership: Membership = Membership::new(node(3), life, Some(5), 100, 20);
    let said = Said {
        life,
        view: membership.view(node(4)),
    };
    let mut bytes = [0; SAID_MAX];
    let length = said.encode(&mut bytes).expect("it fits");
    assert_eq!(length, SAID_MIN + 8);
    assert_eq!(Said::decode(&bytes[..length]), Ok(said));
    assert!(Said::<NODE_MAX>::decode(&bytes[..length - 8]).is_err());
    bytes[..8].fill(0);
    assert!(Said::<NODE_MAX>::decode(&bytes[..length]).is_err());
    assert!(said.encode(&mut bytes[..length - 1]).is_none());
}
