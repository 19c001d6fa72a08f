// SPDX-License-Identifier: GPL-2.0
//! The window's header of the other side, of which that may have made anything, also while it is read.
//!
//! An introduction is accepted if and only if its words are right; it then says what they say. A doorbell is never
//! one of the processor's exceptions or Linux's own. What one side writes the other reads; the rings of any
//! window lie beside each other, and in it.

use super::Target;
use crate::memory::Access;
use crate::memory::Hostile;
use crate::source::Source;

use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::ring;
use popcorn_core::window::Doorbell;
use popcorn_core::window::Header;
use popcorn_core::window::Introduction;
use popcorn_core::window::Lane;
use popcorn_core::window::Layout;
use popcorn_core::window::Mismatch;
use popcorn_core::window::Side;
use popcorn_core::window::State;
use popcorn_core::window::ABI_VERSION;
use popcorn_core::window::HEADER_SIZE;
use popcorn_core::window::MAGIC;
use popcorn_core::window::NAME_LEN;

pub(super) const TARGET: Target = Target {
    name: "window",
    about: "the other side's words in a window",
    most: 1024,
    seeds,
    run,
};

const PROTOCOL: u64 = 0x1234_5678_9abc_def0;
const PEER: u64 = 5;
/// As far as a header is in use.
const USED: usize = 520;

fn introduction() -> Introduction {
    Introduction {
        node: NodeId::new(PEER).unwrap(),
        incarnation: Incarnation::new(0xdead_beef).unwrap(),
        protocol: PROTOCOL,
        cpus: 3,
        memory: 1 << 30,
        name: [b'n'; NAME_LEN],
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let memory = Hostile::new(vec![0; 2 * HEADER_SIZE], Source::new(&[]), &[]);
    let header = Header::new(memory.clone(), Side::Low);
    let seed = || {
        let mut seed = memory.bytes()[..USED].to_vec();
        // The size of a window, and who writes meanwhile.
        seed.extend([0x55, 0, 0x41, 0, 7, 9, 1, 2, 3, 70, 1, 80, 255, 3]);
        seed
    };
    let bell = Doorbell {
        vector: 0x41,
        apic_id: 3,
    };
    header.introduce(&introduction(), Some(bell));
    header.accept(Incarnation::new(77));
    let joined = seed();
    header.leave();
    vec![joined, seed()]
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let mut bytes = vec![0; 2 * HEADER_SIZE];
    let given = source.take(USED);
    bytes[..given.len()].copy_from_slice(given);
    layout(&mut source);
    doorbell(source.short(), source.short());
    let quiet = Hostile::new(bytes.clone(), Source::new(&[]), &[]);
    as_it_is(&quiet);
    let hot = [0, 8, 16, 24, 32, 40, 48, 256];
    let loud = Hostile::new(bytes, source, &hot);
    while_it_changes(&loud);
}

fn allowed(bell: Option<Doorbell>) -> bool {
    bell.is_none_or(|bell| (32..0xeb).contains(&bell.vector) && bell.vector != 0x80)
}

/// Reads words that stay as they are.
fn as_it_is(memory: &Hostile<'_>) {
    let word = |offset| memory.peek(offset);
    let header = Header::new(memory.clone(), Side::Low);
    let expected = if word(0) != MAGIC {
        Err(Mismatch::Absent)
    } else if word(8) != ABI_VERSION {
        Err(Mismatch::Abi(word(8)))
    } else if word(16) != PROTOCOL {
        Err(Mismatch::Protocol(word(16)))
    } else if word(24) != PEER || word(32) == 0 {
        Err(Mismatch::Node(word(24)))
    } else {
        let mut name = [0; NAME_LEN];
        name.copy_from_slice(&memory.bytes()[128..128 + NAME_LEN]);
        Ok(Introduction {
            incarnation: Incarnation::new(word(32)).unwrap(),
            cpus: word(56),
            memory: word(64),
            name,
            ..introduction()
        })
    };
    let peer = NodeId::new(PEER).unwrap();
    assert_eq!(header.introduction(peer, PROTOCOL), expected);
    let is_joined = word(0) == MAGIC && word(48) == 1;
    assert_eq!(header.state() == State::Joined, is_joined);
    assert_eq!(
        header.incarnation(),
        if word(0) == MAGIC { word(32) } else { 0 }
    );
    assert_eq!(header.heartbeat(), word(384));
    assert_eq!(header.sleeping(), word(512) != 0);
    if let Some(life) = Incarnation::new(word(40)) {
        assert!(header.accepts(life));
    }
    let bell = header.doorbell();
    assert!(allowed(bell));
    assert!(memory
        .accesses()
        .iter()
        .all(|access| matches!(access, Access::Load(..) | Access::Read(..))));

    // What was accepted can be said again, and is the same.
    if let Ok(introduction) = expected {
        let other = Hostile::new(vec![0xa5; 2 * HEADER_SIZE], Source::new(&[]), &[]);
        let copy = Header::new(other.clone(), Side::High);
        copy.introduce(&introduction, bell);
        assert_eq!(copy.introduction(peer, PROTOCOL), Ok(introduction));
        assert_eq!((copy.doorbell(), copy.state()), (bell, State::Joined));
        // And not a byte of the other side's.
        assert!(other.bytes()[..HEADER_SIZE]
            .iter()
            .all(|&byte| byte == 0xa5));
        copy.leave();
        assert_eq!((copy.state(), copy.doorbell()), (State::Left, None));
    }
}

/// Reads words that change under its hands: what comes of it is still a possible introduction.
fn while_it_changes(memory: &Hostile<'_>) {
    let header = Header::new(memory.clone(), Side::Low);
    let peer = NodeId::new(PEER).unwrap();
    for _ in 0..8 {
        if let Ok(introduction) = header.introduction(peer, PROTOCOL) {
            assert_eq!((introduction.node, introduction.protocol), (peer, PROTOCOL));
        }
        assert!(allowed(header.doorbell()));
        assert!(memory.accesses().len() <= 12);
    }
}

/// Any vector, with the mark that there is one and without, and anything beside it.
fn doorbell(vector: u16, other: u16) {
    let memory = Hostile::new(vec![0; 2 * HEADER_SIZE], Source::new(&[]), &[]);
    let header = Header::new(memory.clone(), Side::Low);
    // Mostly one that there can be.
    let vector = u64::from(if other % 4 == 0 {
        vector
    } else {
        vector & 0xff
    });
    for present in [0, 1 << 63] {
        memory.poke(256, present | (vector << 32) | u64::from(other));
        let expected = Doorbell {
            vector: vector as u8,
            apic_id: other.into(),
        };
        let is_good = present != 0 && vector <= 0xff && allowed(Some(expected));
        assert_eq!(header.doorbell(), is_good.then_some(expected));
    }
}

/// A window of any size.
fn layout(source: &mut Source<'_>) {
    let size = source.word() as usize;
    let Some(layout) = Layout::new(size) else {
        assert!(size < 2 * HEADER_SIZE + 4 * ring::length(4 * ring::RECORD_MAX));
        return;
    };
    let length = layout.ring_length();
    let capacity = layout.capacity();
    assert_eq!(length, ring::length(capacity));
    assert!(capacity.is_power_of_two() && capacity <= ring::CAPACITY_MAX);
    let mut free = 2 * HEADER_SIZE;
    for side in [Side::Low, Side::High] {
        for lane in [Lane::Requests, Lane::Responses] {
            assert_eq!((layout.ring(side, lane), free % ring::CELL), (free, 0));
            free += length;
        }
    }
    assert!(free == layout.used() && free <= size);
}
