// SPDX-License-Identifier: GPL-2.0
//! The codec: what is encoded comes back, whatever else comes is refused or bears re-encoding.

#![cfg(not(loom))]
#![expect(missing_docs, reason = "the messages here are only for these tests")]

use popcorn_core::ids::Class;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::wire::Header;
use popcorn_core::wire::Wire;
use popcorn_core::wire::WireError;
use popcorn_core::wire::HEADER_SIZE;
use popcorn_core::wire::PAYLOAD_MAX;
use popcorn_core::wire_message;
use proptest::prelude::*;

wire_message! {
    /// Every kind of field.
    pub struct Everything = 0x0701 {
        a: u8,
        b: u16,
        c: u32,
        d: u64,
        e: i32,
        f: i64,
        g: [u8; 5],
        h: [u64; 3],
    }
    /// Nothing at all.
    pub struct Nothing = 0x0702 {}
}

fn header() -> impl Strategy<Value = Header> {
    (
        (any::<u16>(), 0u8..3, 0u8..2, 0u64..64, 0u64..64),
        (
            0..=PAYLOAD_MAX as u32,
            0i32..=4095,
            any::<u64>(),
            1u64..,
            1u64..,
        ),
    )
        .prop_map(|((kind, class, flags, source, destination), rest)| {
            let (length, errno, sequence, request, incarnation) = rest;
            let class = Class::new(class + 1).expect("one of three");
            Header {
                kind,
                class,
                flags,
                source: NodeId::new(source).expect("below 64"),
                destination: NodeId::new(destination).expect("below 64"),
                length,
                status: if class == Class::Response { -errno } else { 0 },
                sequence,
                request: if class == Class::OneWay { 0 } else { request },
                incarnation: Incarnation::new(incarnation).expect("not zero"),
            }
        })
}

proptest! {
    #[test]
    fn header_comes_back(header in header()) {
        prop_assert_eq!(Header::decode(&header.encode()), Ok(header));
    }

    /// A valid header with a few bytes changed is refused, or is another valid header.
    #[test]
    fn changed_header_is_refused_or_valid(
        header in header(),
        changes in prop::collection::vec((0..HEADER_SIZE, any::<u8>()), 1..4),
    ) {
        let mut bytes = header.encode();
        for (at, value) in changes {
            bytes[at] = value;
        }
        if let Ok(decoded) = Header::decode(&bytes) {
            prop_assert_eq!(decoded.encode(), bytes);
            prop_assert!(decoded.length as usize <= PAYLOAD_MAX);
            prop_assert!((-4095..=0).contains(&decoded.status));
        }
    }

    #[test]
    fn noise_is_no_header(bytes in prop::array::uniform32(any::<[u8; 2]>())) {
        let bytes: Vec<u8> = bytes.concat();
        let bytes: [u8; HEADER_SIZE] = bytes.try_into().expect("64 bytes");
        prop_assume!(bytes[0..4] != *b"POPC");
        prop_assert_eq!(Header::decode(&bytes), Err(WireError::Magic));
    }

    #[test]
    fn message_comes_back(
        a: u8, b: u16, c: u32, d: u64, e: i32, f: i64, g: [u8; 5], h: [u64; 3],
        tail in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let message = Everything { a, b, c, d, e, f, g, h };
        let mut bytes = [0; Everything::SIZE + 8];
        prop_assert_eq!(message.encode(&mut bytes), Ok(Everything::SIZE));
        let bytes = &bytes[..Everything::SIZE];
        prop_assert_eq!(Everything::decode(bytes), Ok(message));
        let with_tail = [bytes, &tail[..]].concat();
        let (fixed, rest) = Everything::decode_prefix(&with_tail).expect("long enough");
        prop_assert_eq!(fixed, message);
        prop_assert_eq!(rest, &tail[..]);
        if !tail.is_empty() {
            prop_assert_eq!(Everything::decode(&with_tail), Err(WireError::Length));
        }
    }

    #[test]
    fn other_lengths_are_refused(length in 0usize..200) {
        let bytes = vec![0; length];
        prop_assert_eq!(Everything::decode(&bytes).is_ok(), length == Everything::SIZE);
        prop_assert_eq!(Everything::decode_prefix(&bytes).is_ok(), length >= Everything::SIZE);
        prop_assert_eq!(Nothing::decode(&bytes).is_ok(), length == 0);
        let mut out = vec![0; length];
        let message = Everything { a: 0, b: 0, c: 0, d: 0, e: 0, f: 0, g: [0; 5], h: [0; 3] };
        prop_assert_eq!(message.encode(&mut out).is_ok(), length >= Everything::SIZE);
    }
}

/// The bytes on the wire are what the documentation says, on every machine.
#[test]
fn bytes_are_those_of_the_document() {
    assert_eq!(Everything::SIZE, 1 + 2 + 4 + 8 + 4 + 8 + 5 + 24);
    let mut bytes = [0; Everything::SIZE];
    let message = Everything {
        a: 1,
        b: 0x0302,
        c: 0x0706_0504,
        d: 0x0f0e_0d0c_0b0a_0908,
        e: -2,
        f: -3,
        g: *b"abcde",
        h: [1, 2, u64::MAX],
    };
    message.encode(&mut bytes).expect("room");
    assert_eq!(
        bytes[..15],
        core::array::from_fn::<u8, 15, _>(|i| i as u8 + 1)
    );
    assert_eq!(bytes[15..19], [0xfe, 0xff, 0xff, 0xff]);
    assert_eq!(&bytes[27..32], b"abcde");
    let header = Header {
        kind: 0x0301,
        class: Class::Request,
        flags: 1,
        source: NodeId::PRIMARY,
        destination: NodeId::new(1).expect("a node"),
        length: 16,
        status: 0,
        sequence: 9,
        request: 0x0000_0002_0000_0001,
        incarnation: Incarnation::new(5).expect("not zero"),
    };
    let bytes = header.encode();
    assert_eq!(&bytes[0..4], b"POPC");
    assert_eq!(bytes[4..10], [1, 0, 0x01, 0x03, 2, 1]);
    assert_eq!(bytes[10..14], [0, 0, 1, 0]);
    assert_eq!(bytes[16..20], [16, 0, 0, 0]);
    assert_eq!(bytes[24], 9);
    assert_eq!(bytes[32..40], [1, 0, 0, 0, 2, 0, 0, 0]);
    assert_eq!(bytes[40], 5);
    assert!(bytes[48..].iter().all(|&b| b == 0));
}

/// Each way in which a header can be wrong has its own answer.
#[test]
fn each_field_is_checked() {
    let good = Header {
        kind: 1,
        class: Class::Response,
        flags: 0,
        source: NodeId::PRIMARY,
        destination: NodeId::PRIMARY,
        length: 0,
        status: -5,
        sequence: 0,
        request: 1,
        incarnation: Incarnation::new(1).expect("not zero"),
    }
    .encode();
    assert!(Header::decode(&good).is_ok());
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = good;
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        Header::decode(&changed)
    };
    assert_eq!(with(0, b"X"), Err(WireError::Magic));
    assert_eq!(with(4, &[2]), Err(WireError::Version(2)));
    assert_eq!(with(8, &[0]), Err(WireError::Field("class")));
    assert_eq!(with(8, &[4]), Err(WireError::Field("class")));
    assert_eq!(with(9, &[2]), Err(WireError::Field("flags")));
    assert_eq!(with(10, &[64]), Err(WireError::Field("source")));
    assert_eq!(with(13, &[1]), Err(WireError::Field("destination")));
    assert_eq!(with(14, &[1]), Err(WireError::Field("reserved")));
    assert_eq!(with(63, &[1]), Err(WireError::Field("reserved")));
    assert_eq!(with(16, &u32::MAX.to_le_bytes()), Err(WireError::Length));
    assert_eq!(
        with(20, &1i32.to_le_bytes()),
        Err(WireError::Field("status"))
    );
    assert_eq!(
        with(20, &(-4096i32).to_le_bytes()),
        Err(WireError::Field("status"))
    );
    assert_eq!(with(32, &[0]), Err(WireError::Field("request")));
    assert_eq!(with(40, &[0]), Err(WireError::Field("incarnation")));
    // A status or a request id where none belongs.
    assert_eq!(with(8, &[2]), Err(WireError::Field("status")));
    assert_eq!(with(8, &[1]), Err(WireError::Field("request")));
}
