// SPDX-License-Identifier: GPL-2.0
//! A bounded queue against one without bounds.

#![cfg(not(loom))]

use popcorn_core::fifo::Fifo;
use proptest::prelude::*;
use std::collections::VecDeque;

const N: usize = 5;

proptest! {
    #[test]
    fn as_a_queue_is(steps in prop::collection::vec(prop::option::weighted(0.6, any::<u16>()), 0..100)) {
        let mut fifo = Fifo::<Box<u16>, N>::new();
        let mut model = VecDeque::new();
        for step in steps {
            match step {
                Some(value) if model.len() == N => {
                    prop_assert!(fifo.is_full());
                    prop_assert_eq!(fifo.push(Box::new(value)), Err(Box::new(value)));
                }
                Some(value) => {
                    prop_assert_eq!(fifo.push(Box::new(value)), Ok(()));
                    model.push_back(Box::new(value));
                }
                None => prop_assert_eq!(fifo.pop(), model.pop_front()),
            }
            prop_assert_eq!(fifo.len(), model.len());
            prop_assert_eq!(fifo.is_empty(), model.is_empty());
            prop_assert_eq!(fifo.is_full(), model.len() == N);
            prop_assert_eq!(fifo.front_mut(), model.front_mut());
        }
    }
}
