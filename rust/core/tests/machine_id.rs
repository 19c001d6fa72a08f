// SPDX-License-Identifier: GPL-2.0
//! Ids of machines, as text and back.

use popcorn_core::machine_id::MachineId;
use proptest::prelude::*;

#[test]
fn only_ids_are_ids() {
    let parse = |text: &str| MachineId::parse(text.as_bytes());
    assert!(parse("0123456789abcdef0123456789abcdef").is_some());
    assert_eq!(
        parse("0123456789ABCDEF0123456789abcdef"),
        parse("0123456789abcdef0123456789abcdef")
    );
    for text in [
        "",
        "0",
        "00000000000000000000000000000000",
        "0123456789abcdef0123456789abcde",
        "0123456789abcdef0123456789abcdef0",
        "0123456789abcdef0123456789abcdeg",
        "01234567-89ab-cdef-0123-456789ab",
        "+123456789abcdef0123456789abcdef",
    ] {
        assert_eq!(parse(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn any_bits_make_one(bits: u128) {
        let text = MachineId::random(bits).to_string();
        prop_assert_eq!(text.len(), 32);
        prop_assert_eq!(text.as_bytes()[12], b'4');
        prop_assert!(matches!(text.as_bytes()[16], b'8' | b'9' | b'a' | b'b'));
        prop_assert_eq!(MachineId::parse(text.as_bytes()), Some(MachineId::random(bits)));
    }

    #[test]
    fn what_is_read_is_written(bits in 1u128..) {
        let text = format!("{bits:032x}");
        prop_assert_eq!(MachineId::parse(text.as_bytes()).unwrap().to_string(), text);
    }
}
