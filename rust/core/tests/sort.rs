// SPDX-License-Identifier: GPL-2.0
//! Short lists, sorted as the standard library sorts them.

use popcorn_core::sort;
use proptest::prelude::*;

proptest! {
    #[test]
    fn as_a_stable_sort(keys in prop::collection::vec(0u8..8, 0..40)) {
        let mut items: Vec<(u8, usize)> = keys.into_iter().enumerate().map(|(i, key)| (key, i)).collect();
        let mut expected = items.clone();
        expected.sort_by_key(|item| item.0);
        sort::by_key(&mut items, |item| item.0);
        prop_assert_eq!(items, expected);
    }
}
