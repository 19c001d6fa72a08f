// SPDX-License-Identifier: GPL-2.0
//! Addresses of other machines, as people write them and as bytes: what is accepted has one form, and means the same
//! when it is read again.

use super::Target;

use popcorn_core::address::Address;
use popcorn_core::address::AddressError;
use popcorn_core::address::DEFAULT_PORT;
use popcorn_core::address::WIRE_SIZE;
use popcorn_core::wire::WireError;
use std::net::IpAddr;

pub(super) const TARGET: Target = Target {
    name: "address",
    about: "addresses of machines, as text and as bytes",
    most: 96,
    seeds,
    run,
};

const TEXTS: [&str; 10] = [
    "192.0.2.1:7411",
    "192.0.2.1",
    "[2001:db8::1]:65535",
    "2001:db8::1",
    "[::1]",
    "::ffff:192.0.2.1",
    "[fe80::1%2]:1",
    "0.0.0.0:0",
    "255.255.255.255",
    " [ff02::1]:7411\n",
];

fn seeds() -> Vec<Vec<u8>> {
    let texts = TEXTS.iter().map(|text| text.as_bytes().to_vec());
    let bytes = TEXTS.iter().filter_map(|text| {
        let address = Address::parse(text.as_bytes()).ok()?;
        Some(address.encode().to_vec())
    });
    texts.chain(bytes).collect()
}

fn run(input: &[u8]) {
    as_text(input);
    as_bytes(input);
}

fn as_text(text: &[u8]) {
    match Address::parse(text) {
        Ok(address) => {
            assert_ne!(address.port(), 0);
            let full = address.to_string();
            assert_eq!(Address::parse(full.as_bytes()), Ok(address));
            let bare = address.ip().to_string();
            let at_default = Address::new(address.ip(), DEFAULT_PORT);
            assert_eq!(Address::parse(bare.as_bytes()), Ok(at_default));
            let decoded = Address::decode(&address.encode());
            assert_eq!(decoded.ok(), Some(address).filter(Address::names_a_host));
            assert!(!text.contains(&b'%'), "a zone");
        }
        Err(AddressError::Port) => assert!(text.contains(&b'0')),
        Err(AddressError::Syntax) => {
            let text = std::str::from_utf8(text).unwrap_or("?").trim_ascii();
            assert!(text.parse::<IpAddr>().is_err(), "a good one");
        }
    }
}

/// The rules, once more and in another way.
fn is_good(bytes: &[u8; WIRE_SIZE]) -> bool {
    let [family, reserved, low, high, ip @ ..] = *bytes;
    let is_host = match family {
        4 => {
            let is_many = ip[0] & 0xf0 == 0xe0 || ip[..4] == [255; 4];
            ip[..4] != [0; 4] && !is_many && ip[4..] == [0; 12]
        }
        6 => {
            let is_mapped = ip[..12] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255];
            ip != [0; 16] && ip[0] != 0xff && !is_mapped
        }
        _ => false,
    };
    is_host && reserved == 0 && (low, high) != (0, 0)
}

fn as_bytes(bytes: &[u8]) {
    let decoded = Address::decode(bytes);
    let Ok(exact) = bytes.try_into() else {
        assert_eq!(decoded, Err(WireError::Length));
        return;
    };
    assert_eq!(decoded.is_ok(), is_good(exact), "{decoded:?}");
    if let Ok(address) = decoded {
        assert!(address.names_a_host());
        assert_eq!(address.encode(), *exact);
        assert_eq!(Address::parse(address.to_string().as_bytes()), Ok(address));
    }
}
