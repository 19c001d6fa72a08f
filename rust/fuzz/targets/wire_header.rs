// SPDX-License-Identifier: GPL-2.0
//! The header of a message: accepted if and only if each field is what `docs/protocol.md` allows, and then the
//! same bytes again when it is encoded.

use super::Target;

use popcorn_core::ids::Class;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::wire::Header;
use popcorn_core::wire::HEADER_SIZE;
use popcorn_core::wire::PAYLOAD_MAX;

pub(super) const TARGET: Target = Target {
    name: "wire_header",
    about: "the header of a message",
    most: HEADER_SIZE,
    seeds,
    run,
};

fn seeds() -> Vec<Vec<u8>> {
    let header = |class, request, status, length| Header {
        kind: 0x0301,
        class,
        flags: 0,
        source: NodeId::PRIMARY,
        destination: NodeId::new(63).unwrap(),
        length,
        status,
        sequence: 7,
        request,
        incarnation: Incarnation::new(0x1122_3344_5566_7788).unwrap(),
    };
    let headers = [
        header(Class::OneWay, 0, 0, 0),
        header(Class::Request, 1 << 32, 0, 24),
        header(Class::Response, u64::MAX, -4095, PAYLOAD_MAX as u32),
    ];
    headers.map(|header| header.encode().to_vec()).to_vec()
}

/// The rules, once more and in another way.
fn is_good(bytes: &[u8; HEADER_SIZE]) -> bool {
    let number = |from: usize, to: usize| {
        let bytes = bytes[from..to].iter().rev();
        bytes.fold(0u64, |sum, &byte| (sum << 8) | u64::from(byte))
    };
    let class = bytes[8];
    let request = number(32, 40);
    let status = number(20, 24) as u32 as i32;
    bytes[..4] == *b"POPC"
        && number(4, 6) == 1
        && (1..=3).contains(&class)
        && bytes[9] <= 1
        && number(10, 12) < 64
        && number(12, 14) < 64
        && number(14, 16) == 0
        && number(16, 20) <= 65_536
        && if class == 3 {
            (-4095..=0).contains(&status)
        } else {
            status == 0
        }
        && (class == 1) == (request == 0)
        && number(40, 48) != 0
        && number(48, 56) == 0
        && number(56, 64) == 0
}

fn run(input: &[u8]) {
    let mut bytes = [0; HEADER_SIZE];
    let length = input.len().min(HEADER_SIZE);
    bytes[..length].copy_from_slice(&input[..length]);
    let decoded = Header::decode(&bytes);
    assert_eq!(decoded.is_ok(), is_good(&bytes), "{decoded:?}");
    if let Ok(header) = decoded {
        assert_eq!(header.encode(), bytes);
        assert_eq!(Header::decode(&header.encode()), Ok(header));
    }
}
