// SPDX-License-Identifier: GPL-2.0
//! The window's layout and headers.

#![cfg(not(loom))]

mod plain_memory;

use plain_memory::Plain;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::ring::length;
use popcorn_core::ring::Memory;
use popcorn_core::ring::CELL;
use popcorn_core::window::Doorbell;
use popcorn_core::window::Header;
use popcorn_core::window::Introduction;
use popcorn_core::window::Lane;
use popcorn_core::window::Layout;
use popcorn_core::window::Mismatch;
use popcorn_core::window::Side;
use popcorn_core::window::State;
use popcorn_core::window::HEADER_SIZE;
use popcorn_core::window::NAME_LEN;
use popcorn_core::window::RING_MIN;
use proptest::prelude::*;

fn node(id: u64) -> NodeId {
    NodeId::new(id).expect("a node")
}

fn introduction() -> Introduction {
    let mut name = [0; NAME_LEN];
    name[..5].copy_from_slice(b"north");
    Introduction {
        node: node(3),
        incarnation: Incarnation::new(77).expect("not zero"),
        protocol: 0x1234,
        cpus: 2,
        memory: 1 << 30,
        name,
    }
}

proptest! {
    /// The parts of a window lie one behind the other, inside, whatever its size.
    #[test]
    fn parts_do_not_overlap(size in 0usize..64 << 20) {
        match Layout::new(size) {
            None => prop_assert!(size < 2 * HEADER_SIZE + 4 * length(RING_MIN)),
            Some(layout) => {
                let mut begins = vec![0, HEADER_SIZE];
                for side in [Side::Low, Side::High] {
                    for lane in [Lane::Requests, Lane::Responses] {
                        begins.push(layout.ring(side, lane));
                    }
                }
                prop_assert!(begins.is_sorted());
                prop_assert!(begins[2] >= 2 * HEADER_SIZE);
                for two in begins[2..].windows(2) {
                    prop_assert!(two[1] - two[0] >= layout.ring_length());
                }
                prop_assert!(begins[5] + layout.ring_length() <= size);
                prop_assert_eq!(layout.used(), begins[5] + layout.ring_length());
                prop_assert!(layout.capacity().is_power_of_two());
                prop_assert_eq!(layout.ring_length(), length(layout.capacity()));
                prop_assert!(begins[2..].iter().all(|begin| begin % CELL == 0));
            }
        }
    }

    /// A header of noise is never taken for one, and no word of it makes the reader fail.
    #[test]
    fn noise_is_no_header(seed in prop::collection::vec(any::<u8>(), HEADER_SIZE)) {
        let memory = Plain::new([seed, vec![0; HEADER_SIZE]].concat());
        let header = Header::new(&memory, Side::Low);
        prop_assert_eq!(header.introduction(node(3), 0x1234), Err(Mismatch::Absent));
        prop_assert_eq!(header.state(), State::Left);
        if let Some(doorbell) = header.doorbell() {
            prop_assert!((32..0xeb).contains(&doorbell.vector));
        }
    }
}

#[test]
fn introduction_comes_back() {
    let memory = Plain::filled(2 * HEADER_SIZE, 0xa5);
    let own = Header::new(&memory, Side::High);
    let bell = Doorbell {
        vector: 0x41,
        apic_id: 300,
    };
    own.introduce(&introduction(), Some(bell));
    assert_eq!(own.introduction(node(3), 0x1234), Ok(introduction()));
    assert_eq!(own.state(), State::Joined);
    assert_eq!(own.doorbell(), Some(bell));
    assert_eq!(own.incarnation(), 77);
    assert!(!own.sleeping());
    assert_eq!(own.heartbeat(), 0);
    // The other side's header was not touched.
    assert!(memory.bytes()[..HEADER_SIZE]
        .iter()
        .all(|&byte| byte == 0xa5));

    assert_eq!(own.introduction(node(2), 0x1234), Err(Mismatch::Node(3)));
    assert_eq!(
        own.introduction(node(3), 0x1235),
        Err(Mismatch::Protocol(0x1234))
    );
    memory.store(HEADER_SIZE + 8, 99);
    assert_eq!(own.introduction(node(3), 0x1234), Err(Mismatch::Abi(99)));
}

#[test]
fn acceptance_and_leaving() {
    let memory = Plain::filled(2 * HEADER_SIZE, 0);
    let own = Header::new(&memory, Side::Low);
    own.introduce(&introduction(), None);
    let peer = Incarnation::new(5).expect("not zero");
    assert!(!own.accepts(peer));
    own.accept(Some(peer));
    assert!(own.accepts(peer));
    own.set_sleeping(true);
    assert!(own.sleeping());
    own.leave();
    assert_eq!(own.state(), State::Left);
    assert!(!own.accepts(peer));
    assert_eq!(own.doorbell(), None);
}

/// A peer may not make us raise one of the processor's exceptions or Linux's own vectors.
#[test]
fn vectors_are_checked() {
    let memory = Plain::filled(2 * HEADER_SIZE, 0);
    let header = Header::new(&memory, Side::Low);
    for (vector, allowed) in [
        (0, false),
        (31, false),
        (32, true),
        (0xea, true),
        (0x80, false),
        (0xeb, false),
        (0xff, false),
    ] {
        header.set_doorbell(Some(Doorbell { vector, apic_id: 1 }));
        assert_eq!(header.doorbell().is_some(), allowed, "{vector}");
    }
}
