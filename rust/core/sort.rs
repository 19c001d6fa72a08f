// SPDX-License-Identifier: GPL-2.0
//! Sorting of short lists.
//!
//! Not by `core::slice`: its sorts end in functions that do not return when an order makes no sense, of which
//! `objtool` of Linux 6.12 does not know and warns.

/// Sorts by insertion; what has the same key stays in order. For some tens of items.
pub fn by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    for end in 1..items.len() {
        for i in (1..=end).rev() {
            if key(&items[i - 1]) <= key(&items[i]) {
                break;
            }
            items.swap(i - 1, i);
        }
    }
}
