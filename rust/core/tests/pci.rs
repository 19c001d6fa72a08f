// SPDX-License-Identifier: GPL-2.0
//! Addresses of PCI devices, and where their registers are.

use popcorn_core::bootparams::Extent;
use popcorn_core::pci;
use popcorn_core::pci::Address;
use proptest::prelude::*;

fn mcfg(entries: &[(u64, u16, u8, u8)]) -> Vec<u8> {
    let mut table = b"MCFG".to_vec();
    table.resize(44, 0xee);
    for &(address, segment, first, last) in entries {
        table.extend(address.to_le_bytes());
        table.extend(segment.to_le_bytes());
        table.extend([first, last, 0, 0, 0, 0]);
    }
    table
}

#[test]
fn addresses_are_as_the_kernel_writes_them() {
    let address = Address {
        segment: 0x10ab,
        bus: 0xc3,
        device: 0x1f,
        function: 7,
    };
    assert_eq!(address.to_string(), "10ab:c3:1f.7");
    assert_eq!(Address::parse(b"10ab:c3:1f.7"), Some(address));
    assert_eq!(Address::parse(b"10AB:C3:1F.7"), Some(address));
    assert_eq!(address.device_function(), 0xff);
    let start = 0xb000_0000 + (0xc3 << 20) + (0xff << 12);
    assert_eq!(
        address.registers(0xb000_0000),
        Some(Extent::new(start, 4096))
    );
    assert_eq!(address.registers(u64::MAX - 0xfffff), None);
}

#[test]
fn what_is_no_address_is_none() {
    for text in [
        &b""[..],
        b"01:00.0",
        b"0000:01:00",
        b"0000:01:00.0\n",
        b"0000:01:00.8",
        b"0000:01:20.0",
        b"0000:0g:00.0",
        b"0000:+1:00.0",
        b"0000-01:00.0",
        b"00000:1:00.0",
    ] {
        assert_eq!(Address::parse(text), None, "{text:?}");
    }
}

#[test]
fn windows_are_looked_up() {
    let table = mcfg(&[
        (0xb000_0000, 0, 0, 0x7f),
        (0, 0, 0x80, 0x8f),
        (0x20_0000_0000, 0, 0x80, 0xff),
        (0xe000_0000, 1, 0x10, 0x10),
    ]);
    for (segment, bus, window) in [
        (0, 0, Some(0xb000_0000)),
        (0, 0x7f, Some(0xb000_0000)),
        (0, 0x80, Some(0x20_0000_0000)),
        (0, 0xff, Some(0x20_0000_0000)),
        (1, 0x0f, None),
        (1, 0x10, Some(0xe000_0000)),
        (1, 0x11, None),
        (2, 0, None),
    ] {
        assert_eq!(pci::configuration_window(&table, segment, bus), window);
    }
    // An entry that is cut off does not count.
    let cut = &table[..table.len() - 1];
    assert_eq!(pci::configuration_window(cut, 1, 0x10), None);
    let mut other = table;
    other[0] = b'X';
    assert_eq!(pci::configuration_window(&other, 0, 0), None);
}

proptest! {
    #[test]
    fn every_address_comes_back(segment: u16, bus: u8, device in 0u8..32, function in 0u8..8) {
        let address = Address { segment, bus, device, function };
        prop_assert_eq!(Address::parse(address.to_string().as_bytes()), Some(address));
    }

    #[test]
    fn any_bytes_are_no_harm(text in prop::collection::vec(any::<u8>(), 0..100), segment: u16, bus: u8) {
        if let Some(address) = Address::parse(&text) {
            prop_assert_eq!(address.to_string().into_bytes(), text.to_ascii_lowercase());
        }
        pci::configuration_window(&text, segment, bus);
    }
}
