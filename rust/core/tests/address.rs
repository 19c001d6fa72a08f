// SPDX-License-Identifier: GPL-2.0
//! Addresses: what a user writes or a peer sends is understood, or refused.

use popcorn_core::address::Address;
use popcorn_core::address::AddressError;
use popcorn_core::address::DEFAULT_PORT;
use popcorn_core::address::WIRE_SIZE;
use popcorn_core::wire::WireError;
use proptest::prelude::*;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

fn parse(text: &str) -> Result<String, AddressError> {
    Address::parse(text.as_bytes()).map(|address| address.to_string())
}

#[test]
fn text_is_read() {
    for (text, meant) in [
        ("1.2.3.4:7777", "1.2.3.4:7777"),
        ("1.2.3.4", "1.2.3.4:7411"),
        (" 1.2.3.4:1\n", "1.2.3.4:1"),
        ("0.0.0.0", "0.0.0.0:7411"),
        ("[::1]:7777", "[::1]:7777"),
        ("[::1]", "[::1]:7411"),
        ("::1", "[::1]:7411"),
        ("::", "[::]:7411"),
        ("[2001:DB8::0:1]:65535", "[2001:db8::1]:65535"),
        ("[::ffff:1.2.3.4]:7777", "1.2.3.4:7777"),
        ("::ffff:1.2.3.4", "1.2.3.4:7411"),
    ] {
        assert_eq!(parse(text).as_deref(), Ok(meant), "{text:?}");
    }
}

#[test]
fn junk_is_refused() {
    for text in [
        "",
        " ",
        ":",
        ":7777",
        "host:7777",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "01.2.3.4",
        "1.2.3.4:",
        "1.2.3.4:65536",
        "1.2.3.4:-1",
        "1.2.3.4:7777x",
        "1.2.3.4 :7777",
        "1.2.3.4:0x10",
        "1.2.3.4,7777",
        "[1.2.3.4]:7777",
        "[1.2.3.4]",
        "[]",
        "[]:1",
        "[::1",
        "::1]",
        "[::1]:",
        "[::1]7777",
        "[[::1]]",
        "[fe80::1%1]:7777",
        "[::1%0]:7777",
        "fe80::1%eth0",
        ":::",
        "1:2:3:4:5:6:7:8:9",
        "1.2.3.4\0",
        "\u{661}.2.3.4",
    ] {
        assert_eq!(parse(text), Err(AddressError::Syntax), "{text:?}");
    }
    assert_eq!(parse("1.2.3.4:0"), Err(AddressError::Port));
    assert_eq!(parse("[::1]:0"), Err(AddressError::Port));
    assert_eq!(Address::parse(b"1.2.3.4\xff"), Err(AddressError::Syntax));
}

#[test]
fn an_address_that_travels_names_one_host() {
    let decode = |text: &str| Address::decode(&Address::parse(text.as_bytes()).unwrap().encode());
    for text in ["127.0.0.1", "10.0.0.255:1", "::1", "fd00::1"] {
        assert_eq!(decode(text), Ok(Address::parse(text.as_bytes()).unwrap()));
    }
    for text in ["0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "ff02::1"] {
        assert_eq!(decode(text), Err(WireError::Field("address")), "{text}");
    }
    let no_port = Address::loopback(0);
    assert_eq!(
        Address::decode(&no_port.encode()),
        Err(WireError::Field("address"))
    );
    assert!(!Address::any(DEFAULT_PORT).names_a_host());
    assert_eq!(Address::loopback(9).to_string(), "127.0.0.1:9");
}

#[test]
fn bytes_have_one_form() {
    let good = Address::parse(b"1.2.3.4:258").unwrap().encode();
    assert_eq!(
        good,
        [4, 0, 2, 1, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    );
    let with = |at: usize, byte: u8| {
        let mut bytes = good;
        bytes[at] = byte;
        Address::decode(&bytes)
    };
    assert_eq!(with(0, 5), Err(WireError::Field("address family")));
    assert_eq!(with(1, 1), Err(WireError::Field("address form")));
    for at in 8..WIRE_SIZE {
        assert_eq!(with(at, 1), Err(WireError::Field("address form")));
    }
    // The same host in the other family's form.
    let mapped = Ipv4Addr::new(1, 2, 3, 4).to_ipv6_mapped();
    let mut bytes = good;
    bytes[0] = 6;
    bytes[4..].copy_from_slice(&mapped.octets());
    assert_eq!(
        Address::decode(&bytes),
        Err(WireError::Field("address form"))
    );
}

fn address() -> impl Strategy<Value = Address> {
    let ip = prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from(bits))),
        any::<u32>().prop_map(|bits| IpAddr::V6(Ipv4Addr::from(bits).to_ipv6_mapped())),
        // Few bits, so that there are runs of zeros.
        any::<u16>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from(u128::from(bits)))),
    ];
    (ip, 1u16..).prop_map(|(ip, port)| Address::new(ip, port))
}

proptest! {
    #[test]
    fn text_comes_back(address in address()) {
        let text = address.to_string();
        prop_assert_eq!(Address::parse(text.as_bytes()), Ok(address));
        // Without the port it is the same host at the default one.
        let host = text.rsplit_once(':').unwrap().0;
        let default = Address::new(address.ip(), DEFAULT_PORT);
        prop_assert_eq!(Address::parse(host.as_bytes()), Ok(default));
        // Nothing that is cut off means the same; some of it means another host.
        for end in 0..text.len() {
            prop_assert_ne!(Address::parse(&text.as_bytes()[..end]), Ok(address));
        }
    }

    #[test]
    fn bytes_come_back(address in address()) {
        let bytes = address.encode();
        match Address::decode(&bytes) {
            Ok(same) => prop_assert_eq!(same, address),
            Err(_) => prop_assert!(!address.names_a_host()),
        }
        for end in 0..bytes.len() {
            prop_assert_eq!(Address::decode(&bytes[..end]), Err(WireError::Length));
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        prop_assert_eq!(Address::decode(&longer), Err(WireError::Length));
        let (octets, is_ipv6) = address.octets();
        prop_assert_eq!(Address::from_octets(octets, is_ipv6, address.port()), address);
    }

    #[test]
    fn any_bytes_have_an_answer(bytes in prop::array::uniform20(any::<u8>()), family in 3u8..8) {
        let mut bytes = bytes;
        bytes[0] = family;
        bytes[1] &= 1;
        if let Ok(address) = Address::decode(&bytes) {
            prop_assert_eq!(address.encode(), bytes);
        }
    }

    #[test]
    fn any_text_has_an_answer(text in "[0-9a-f:.%\\[\\] ]{0,48}") {
        if let Ok(address) = Address::parse(text.as_bytes()) {
            prop_assert!(address.port() != 0);
            prop_assert_eq!(Address::parse(address.to_string().as_bytes()), Ok(address));
        }
    }

    #[test]
    fn any_junk_has_an_answer(text in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Address::parse(&text);
    }
}
