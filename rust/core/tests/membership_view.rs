// SPDX-License-Identifier: GPL-2.0
//! What machines say of the members: bytes that are no such thing are told from those that are, which mean what they say.

#![cfg(not(loom))]

use popcorn_core::membership::view::View;
use popcorn_core::membership::view::VIEW_MAX;
use proptest::prelude::*;

/// Words as they may be, and as they may not.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        0..4_u64,
        (0..64_u32).prop_map(|bit| 1 << bit),
        (0..64_u32, -1..2_i64).prop_map(|(bit, more)| (1_u64 << bit).wrapping_add_signed(more)),
        any::<u64>(),
    ]
}

/// A ballot of this round, by a member.
fn ballot(round: u64, members: u64) -> u64 {
    (round << 8) | u64::from(members.trailing_zeros())
}

fn bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Words of a view that is one, unless one of them says otherwise.
fn words() -> impl Strategy<Value = Vec<u64>> {
    let list = (word(), 1..1_u64 << 40, 1..1_u64 << 6, 1..1_u64 << 32);
    (list, prop::array::uniform6(word())).prop_map(|((cluster, epoch, members, round), rest)| {
        let [sent, dead, hears, kernels, leaving, life] = rest;
        let promised = ballot(round, members);
        let mut words = vec![
            cluster,
            epoch,
            members,
            promised,
            promised,
            2,
            63,
            life | 1,
            sent,
            0,
            dead,
            hears,
            kernels,
            leaving,
        ];
        words.extend((0..members.count_ones()).map(|n| u64::from(n) + 1));
        words
    })
}

fn decode(words: &[u64]) -> Option<View> {
    let bytes = bytes(words);
    let view: View = View::decode(&bytes).ok()?;
    let mut again = [0; VIEW_MAX];
    let length = view.encode(&mut again).expect("it fits");
    assert_eq!(again[..length], bytes);
    Some(view)
}

proptest! {
    #[test]
    fn what_can_be_is_understood(words in words()) {
        prop_assert!(decode(&words).is_some());
    }

    #[test]
    fn nothing_else_comes_of_one_word(mut words in words(), at in 0..20_usize, other in word()) {
        if let Some(place) = words.get_mut(at) {
            *place = other;
        }
        decode(&words);
    }

    #[test]
    fn nor_of_any(words in prop::collection::vec(word(), 0..80)) {
        decode(&words);
    }

    #[test]
    fn no_ballot_and_no_epoch_is_the_last(mut words in words(), far in 0..3_usize) {
        match far {
            0 => words[3] = ballot((1 << 33) + 1, words[2]),
            1 => words[3] = ballot(u64::MAX >> 8, words[2]),
            _ => words[1] = (1 << 63) + 1,
        }
        prop_assert_eq!(decode(&words), None);
    }

    #[test]
    fn ballots_are_of_members(mut words in words(), maker in 6..256_u64) {
        words[3] = ((1 << 33) << 8) | maker;
        prop_assert_eq!(decode(&words), None);
    }

    #[test]
    fn changes_are_to_the_list(mut words in words(), gone in word()) {
        let members = words[2];
        (words[5], words[6], words[7]) = (1, gone, 0);
        let is_change = gone != 0 && gone & !members == 0 && gone != members;
        prop_assert_eq!(decode(&words).is_some(), is_change);
        (words[5], words[6], words[7]) = (2, members.trailing_zeros().into(), 1);
        prop_assert_eq!(decode(&words), None);
    }
}
