// SPDX-License-Identifier: GPL-2.0
//! The two ends of a terminal in one zone.

#![cfg(not(loom))]

mod plain_memory;

use plain_memory::Plain;
use popcorn_core::ring::Memory;
use popcorn_core::terminal::AttachError;
use popcorn_core::terminal::FarEnd;
use popcorn_core::terminal::NearEnd;
use popcorn_core::terminal::WindowSize;
use popcorn_core::terminal::ZONE_SIZE;
use proptest::prelude::*;

const SIZE: WindowSize = WindowSize {
    rows: 50,
    columns: 132,
    width: 1056,
    height: 800,
};

#[test]
fn what_is_typed_is_read_and_what_is_printed_is_seen() {
    let zone = Plain::filled(ZONE_SIZE, 0xa5);
    let mut near = NearEnd::prepare(zone.clone(), SIZE).unwrap();
    // Before the other kernel looks.
    assert_eq!(near.keyboard.push(b"uname\n"), 6);
    assert!(!near.is_answered());

    let mut far = FarEnd::attach(zone).unwrap();
    far.window.answer();
    assert!(near.is_answered());
    assert_eq!(far.window.size(), SIZE);
    let mut bytes = [0; 64];
    assert_eq!(far.keyboard.pop(&mut bytes), 6);
    assert_eq!(&bytes[..6], b"uname\n");
    assert_eq!(far.screen.push(b"Linux\n"), 6);
    assert_eq!(near.screen.pop(&mut bytes), 6);
    assert_eq!(&bytes[..6], b"Linux\n");
    assert_eq!(far.keyboard.pop(&mut bytes), 0);
    assert_eq!(near.screen.pop(&mut bytes), 0);

    near.set_window_size(WindowSize::default());
    assert_eq!(far.window.size(), WindowSize::default());
    assert_eq!(near.window_size(), WindowSize::default());
}

/// Both rings full to the last byte do not touch each other or the words.
#[test]
fn rings_and_words_are_apart() {
    let zone = Plain::filled(ZONE_SIZE, 0);
    let mut near = NearEnd::prepare(zone.clone(), SIZE).unwrap();
    let mut far = FarEnd::attach(zone).unwrap();
    far.window.answer();
    assert_eq!(near.keyboard.push(&[b'k'; ZONE_SIZE]), 16 << 10);
    assert_eq!(far.screen.push(&[b's'; ZONE_SIZE]), 32 << 10);
    assert!(near.is_answered());
    assert_eq!(far.window.size(), SIZE);
    let mut bytes = vec![0; ZONE_SIZE];
    assert_eq!(far.keyboard.pop(&mut bytes), 16 << 10);
    assert!(bytes[..16 << 10].iter().all(|&b| b == b'k'));
    assert_eq!(near.screen.pop(&mut bytes), 32 << 10);
    assert!(bytes[..32 << 10].iter().all(|&b| b == b's'));
}

#[test]
fn a_new_life_sees_nothing_of_the_last() {
    let zone = Plain::filled(ZONE_SIZE, 0);
    let mut near = NearEnd::prepare(zone.clone(), SIZE).unwrap();
    let mut far = FarEnd::attach(zone.clone()).unwrap();
    far.window.answer();
    near.keyboard.push(b"rm -r");
    far.screen.push(b"old");

    let mut near = NearEnd::prepare(zone.clone(), SIZE).unwrap();
    assert!(!near.is_answered());
    assert!(!near.screen.is_pending());
    let mut far = FarEnd::attach(zone).unwrap();
    assert!(!far.keyboard.is_pending());
    assert_eq!(far.screen.push(b"new"), 3);
    let mut bytes = [0; 8];
    assert_eq!(near.screen.pop(&mut bytes), 3);
    assert_eq!(&bytes[..3], b"new");
}

#[test]
fn a_zone_of_another_version_is_left_alone() {
    let zone = Plain::filled(ZONE_SIZE, 0);
    assert_eq!(FarEnd::attach(zone.clone()).unwrap_err(), AttachError::Mark);
    NearEnd::prepare(zone.clone(), SIZE).unwrap();
    // The version is in the upper half of the mark.
    zone.store(0, zone.load(0) + (1 << 32));
    let before = zone.bytes();
    assert_eq!(FarEnd::attach(zone.clone()).unwrap_err(), AttachError::Mark);
    assert_eq!(zone.bytes(), before);

    let small = Plain::filled(ZONE_SIZE - 1, 0);
    assert!(NearEnd::prepare(small.clone(), SIZE).is_err());
    assert_eq!(FarEnd::attach(small).unwrap_err(), AttachError::Size);
}

proptest! {
    /// Whatever the zone holds, neither end goes outside of it (Plain would panic) nor gets more than a
    /// ring holds.
    #[test]
    fn ends_bear_noise(
        noise in prop::collection::vec((0usize..ZONE_SIZE / 8, any::<u64>()), 0..100),
        words in prop::collection::vec((prop::sample::select(vec![8usize, 64, 4096, 4160, 24576, 24640]), any::<u64>()), 0..20),
    ) {
        let zone = Plain::filled(ZONE_SIZE, 0);
        let mut near = NearEnd::prepare(zone.clone(), SIZE).unwrap();
        let mut far = FarEnd::attach(zone.clone()).unwrap();
        let mut bytes = vec![0; ZONE_SIZE];
        for (offset, value) in noise.into_iter().map(|(n, v)| (8 * n, v)).chain(words) {
            zone.store(offset, value);
            prop_assert!(near.screen.pop(&mut bytes) <= 32 << 10);
            prop_assert!(far.keyboard.pop(&mut bytes) <= 16 << 10);
            prop_assert!(near.keyboard.push(&bytes[..5000]) <= 5000);
            prop_assert!(far.screen.push(&bytes[..5000]) <= 5000);
            prop_assert_eq!(far.window.size(), near.window_size());
        }
    }

    #[test]
    fn a_window_size_is_one_word(raw: u64) {
        prop_assert_eq!(WindowSize::from_raw(raw).raw(), raw);
    }
}
