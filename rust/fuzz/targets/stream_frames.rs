// SPDX-License-Identifier: GPL-2.0
//! What comes on a connection, as it comes: heads, and behind each what it announces: hellos, messages, heartbeats,
//! goodbyes, views.
//!
//! A head is accepted if and only if each field is what `docs/protocol.md` allows; it never announces more than the
//! longest message. A hello is that of a node that can be talked to if and only if all that the two must agree on is
//! right, and then says what it says. All that is accepted is encoded to the same bytes again.

use super::membership_view;
use super::Target;
use crate::source::Source;

use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::stream::frame::BODY_MAX;
use popcorn_core::stream::frame::HEAD_SIZE;
use popcorn_core::stream::hello::Beat;
use popcorn_core::stream::hello::Checked;
use popcorn_core::stream::hello::Goodbye;
use popcorn_core::stream::hello::Mismatch;
use popcorn_core::stream::hello::MAGIC;
use popcorn_core::stream::meeting::Greeting;
use popcorn_core::stream::Channel;
use popcorn_core::stream::Frame;
use popcorn_core::stream::Head;
use popcorn_core::stream::Hello;
use popcorn_core::stream::VERSION;
use popcorn_core::window::Introduction;
use popcorn_core::window::Lane;
use popcorn_core::wire;
use popcorn_core::wire::Wire;
use popcorn_core::wire::HEADER_SIZE;
use std::fmt::Debug;

pub(super) const TARGET: Target = Target {
    name: "stream_frames",
    about: "frames and hellos on a connection",
    most: 2048,
    seeds,
    run,
};

const PROTOCOL: u64 = 0x1234_5678_9abc_def0;
const OWN: u64 = 5;

fn node(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

fn life(raw: u64) -> Incarnation {
    Incarnation::new(raw).unwrap()
}

fn hello(channel: Channel, accepted: Option<Incarnation>, received: [u64; 2]) -> Vec<u8> {
    let checked = Checked {
        channel,
        attempt: 7,
        greeting: Greeting {
            own: life(77),
            accepted,
            received,
        },
        introduction: Introduction {
            node: node(8),
            incarnation: life(77),
            protocol: PROTOCOL,
            cpus: 2,
            memory: 1 << 31,
            name: [b'm'; 64],
        },
    };
    let mut body = vec![0; Hello::SIZE];
    Hello::of(&checked, node(OWN)).encode(&mut body).unwrap();
    framed(Frame::Hello, &body)
}

fn framed(frame: Frame, body: &[u8]) -> Vec<u8> {
    let head = Head {
        frame,
        length: body.len() as u32,
        acknowledged: [3, u64::MAX],
    };
    [&head.encode()[..], body].concat()
}

fn seeds() -> Vec<Vec<u8>> {
    let message = wire::Header {
        kind: 0x0301,
        class: popcorn_core::ids::Class::Request,
        flags: 0,
        source: node(8),
        destination: node(OWN),
        length: 24,
        status: 0,
        sequence: 0,
        request: 1 << 32,
        incarnation: life(77),
    };
    let message = [&message.encode()[..], &[9; 24]].concat();
    let views = membership_view::seeds();
    let mut seeds = vec![
        [
            hello(Channel::Urgent, None, [0; 2]),
            framed(Frame::Beat, &1u64.to_le_bytes()),
            framed(Frame::Message(Lane::Requests), &message),
            framed(Frame::Message(Lane::Responses), &message),
            framed(Frame::Goodbye, &[2, 0, 0, 0, 0, 0, 0, 0]),
        ]
        .concat(),
        hello(Channel::Bulk, Some(life(3)), [7, 1000]),
        // Of a later version, which is longer.
        framed(
            Frame::Hello,
            &[&MAGIC.to_le_bytes()[..], &[9, 0, 0, 0], &[7; 200]].concat(),
        ),
    ];
    seeds.extend(views.iter().map(|view| framed(Frame::View, view)));
    seeds
}

/// The number in these bytes.
fn number(bytes: &[u8], from: usize, to: usize) -> u64 {
    let bytes = bytes[from..to].iter().rev();
    bytes.fold(0, |sum, &byte| (sum << 8) | u64::from(byte))
}

/// The rules for a head, once more and in another way.
fn is_good(head: &[u8; HEAD_SIZE]) -> bool {
    let length = number(head, 8, 12);
    let lengths = match (head[4], head[5]) {
        (1, 0) => 12..=512,
        (2, 0 | 1) => 64..=65_600,
        (3 | 4, 0) => 8..=8,
        (5, 0) if length % 8 == 0 => 120..=632,
        _ => return false,
    };
    head[..4] == *b"PCNS"
        && lengths.contains(&length)
        && number(head, 6, 8) == 0
        && number(head, 12, 16) == 0
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    while let Ok(bytes) = source.take(HEAD_SIZE).try_into() {
        let head = Head::decode(bytes);
        assert_eq!(head.is_ok(), is_good(bytes), "{head:?}");
        let Ok(head) = head else {
            return;
        };
        assert_eq!(head.encode(), *bytes);
        assert_eq!(
            head.acknowledged,
            [number(bytes, 16, 24), number(bytes, 24, 32)]
        );
        let length = head.length as usize;
        assert!(length <= BODY_MAX);
        let body = source.take(length);
        if body.len() == length {
            look_into(head.frame, body);
        }
    }
}

/// The length of `body` is one that the head may announce; so it has the form of what it is.
fn look_into(frame: Frame, body: &[u8]) {
    match frame {
        Frame::Hello if number(body, 8, 12) == u64::from(VERSION) && body.len() == Hello::SIZE => {
            assert_eq!(Hello::read(body), Ok(same(body)));
            check_hello(&same(body), body);
        }
        Frame::Hello => check_other(body),
        Frame::Message(_) => {
            let header = body[..HEADER_SIZE].try_into().unwrap();
            if let Ok(decoded) = wire::Header::decode(header) {
                assert_eq!(decoded.encode(), *header);
            }
        }
        Frame::Beat => assert_eq!(same::<Beat>(body).count, number(body, 0, 8)),
        Frame::Goodbye => assert_eq!(u64::from(same::<Goodbye>(body).reason), number(body, 0, 4)),
        Frame::View => membership_view::check(body),
    }
}

/// Decodes it, and looks whether it is encoded to the same.
fn same<T: Wire + Debug>(body: &[u8]) -> T {
    let decoded = T::decode(body).unwrap();
    let mut again = vec![0; body.len()];
    assert_eq!(decoded.encode(&mut again), Ok(body.len()));
    assert_eq!(again, body);
    decoded
}

/// A hello of another version, or of none.
fn check_other(body: &[u8]) {
    let version = number(body, 8, 12) as u32;
    let Ok(hello) = Hello::read(body) else {
        assert_eq!(version, VERSION, "of that version we cannot know");
        return;
    };
    assert_ne!(version, VERSION, "it has another length");
    let expected = if number(body, 0, 8) == MAGIC {
        Mismatch::Version(version)
    } else {
        Mismatch::Magic
    };
    assert_eq!(hello.check(node(OWN), PROTOCOL), Err(expected));
}

fn check_hello(hello: &Hello, bytes: &[u8]) {
    let word = |from: usize| number(bytes, from, from + 8);
    let half = |from: usize| number(bytes, from, from + 4) as u32;
    let found = hello.check(node(OWN), PROTOCOL);
    let (source, destination) = (half(24), half(28));
    let expected = if word(0) != MAGIC {
        Err(Mismatch::Magic)
    } else if half(8) != VERSION {
        Err(Mismatch::Version(half(8)))
    } else if word(16) != PROTOCOL {
        Err(Mismatch::Protocol(word(16)))
    } else if source >= 64 || u64::from(source) == OWN {
        Err(Mismatch::Node(source))
    } else if u64::from(destination) != OWN {
        Err(Mismatch::Node(destination))
    } else if word(32) == 0 {
        Err(Mismatch::Field("incarnation"))
    } else if half(12) > 1 {
        Err(Mismatch::Field("channel"))
    } else {
        Ok(())
    };
    assert_eq!(found.map(|_| ()), expected);
    let Ok(checked) = found else {
        return;
    };
    assert_eq!(Hello::of(&checked, node(OWN)), *hello);
    assert_eq!(checked.channel.index(), half(12) as usize);
    let greeting = checked.greeting;
    assert_eq!(greeting.own.get(), word(32));
    assert_eq!(greeting.accepted.map_or(0, Incarnation::get), word(40));
    assert_eq!(checked.attempt, word(48));
    assert_eq!(greeting.received, [word(56), word(64)]);
    let introduction = checked.introduction;
    assert_eq!(introduction.incarnation, greeting.own);
    assert_eq!(u32::from(introduction.node.get()), source);
    assert_eq!(
        (introduction.cpus, introduction.memory),
        (word(72), word(80))
    );
    assert_eq!(introduction.name, bytes[88..152]);
}
