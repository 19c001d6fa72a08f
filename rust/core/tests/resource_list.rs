// SPDX-License-Identifier: GPL-2.0
//! What a user writes is understood, or refused.

use popcorn_core::bootparams::Extent;
use popcorn_core::resource_list::cpus;
use popcorn_core::resource_list::memory;
use popcorn_core::resource_list::ListError;
use popcorn_core::resource_list::Memory;
use proptest::prelude::*;

fn list(text: &str) -> Result<Vec<u32>, ListError> {
    let mut out = [0; 8];
    cpus(text.as_bytes(), &mut out).map(|count| out[..count].to_vec())
}

#[test]
fn processors_are_listed_in_their_order() {
    assert_eq!(list(""), Ok(vec![]));
    assert_eq!(list(" 3 "), Ok(vec![3]));
    assert_eq!(list("2,0-1,7"), Ok(vec![2, 0, 1, 7]));
    assert_eq!(list("4294967295"), Ok(vec![u32::MAX]));
    assert_eq!(list("0-8"), Err(ListError::TooMany));
    assert_eq!(list("1,0-3"), Err(ListError::Twice));
    assert_eq!(list("4294967296"), Err(ListError::Range));
    assert_eq!(list("99999999999999999999999"), Err(ListError::Range));
    assert_eq!(list("0-4294967295"), Err(ListError::TooMany));
    for bad in [
        ",", "1,", "3-1", "-1", "1-", "a", "1;2", "0x1", "1-2-3", "1\0",
    ] {
        assert_eq!(list(bad), Err(ListError::Syntax), "{bad:?}");
    }
}

#[test]
fn memory_has_units_and_a_place() {
    assert_eq!(memory(b"256M"), Ok(Memory::Anywhere(256 << 20)));
    assert_eq!(memory(b" 1g "), Ok(Memory::Anywhere(1 << 30)));
    assert_eq!(memory(b"0"), Ok(Memory::Anywhere(0)));
    assert_eq!(
        memory(b"64K@0x70000"),
        Ok(Memory::At(Extent::new(0x70000, 0x10000)))
    );
    assert_eq!(
        memory(b"0x100000@1G"),
        Ok(Memory::At(Extent::new(1 << 30, 1 << 20)))
    );
    assert_eq!(memory(b"17179869184G"), Err(ListError::Range));
    for bad in [
        "", "M", "1T", "-1", "1M@", "@1M", "0x", "1MM", "1M@2@3", "1 M",
    ] {
        assert_eq!(memory(bad.as_bytes()), Err(ListError::Syntax), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn any_text_has_an_answer(text in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut out = [0; 4];
        if let Ok(count) = cpus(&text, &mut out) {
            prop_assert!(count <= 4);
        }
        let _ = memory(&text);
    }

    #[test]
    fn what_is_written_is_read(list in proptest::collection::hash_set(0u32..10_000, 0..16)) {
        let list: Vec<u32> = list.into_iter().collect();
        let text = list.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let mut out = [0; 16];
        let count = cpus(text.as_bytes(), &mut out).unwrap();
        prop_assert_eq!(&out[..count], &list[..]);
    }
}
