// SPDX-License-Identifier: GPL-2.0
//! Addresses of devices as a user writes them, and the firmware's table of configuration windows.

use super::Target;

use popcorn_core::pci;
use popcorn_core::pci::Address;

pub(super) const TARGET: Target = Target {
    name: "pci",
    about: "addresses of devices, the table of configuration windows",
    most: 128,
    seeds,
    run,
};

fn seeds() -> Vec<Vec<u8>> {
    let mut table = b"MCFG".to_vec();
    table.resize(44, 0);
    for (address, segment, first, last) in [(0xb000_0000u64, 0u16, 0u8, 255u8), (0, 1, 0, 3)] {
        table.extend(address.to_le_bytes());
        table.extend(segment.to_le_bytes());
        table.extend([first, last, 0, 0, 0, 0]);
    }
    let addresses = [
        &b"0000:01:00.0"[..],
        b"FFFF:ff:1f.7",
        b"0000:00:20.0",
        b"0:1:2.3",
    ];
    let with_bus = |bytes: &[u8]| [&[3, 0, 0][..], bytes].concat();
    let mut seeds: Vec<_> = addresses.into_iter().map(with_bus).collect();
    seeds.push(with_bus(&table));
    seeds
}

fn run(input: &[u8]) {
    let Some((&[bus, low, high], bytes)) = input.split_first_chunk() else {
        return;
    };
    if let Some(address) = Address::parse(bytes) {
        let lower: Vec<u8> = bytes.iter().map(u8::to_ascii_lowercase).collect();
        assert_eq!(address.to_string().into_bytes(), lower);
        assert!(address.device < 32 && address.function < 8);
        let start = (u64::from(address.bus) << 20) | (u64::from(address.device_function()) << 12);
        assert_eq!(address.registers(0).map(|range| range.start), Some(start));
        assert_eq!(address.registers(u64::MAX).is_some(), start == 0);
    } else {
        // Each address that there is can be written so.
        let at = Address {
            segment: u16::from_le_bytes([low, high]),
            bus,
            device: low & 31,
            function: high & 7,
        };
        assert_eq!(Address::parse(at.to_string().as_bytes()), Some(at));
    }

    let segment = u16::from_le_bytes([low, high]);
    let found = pci::configuration_window(bytes, segment, bus);
    let mut expected = None;
    if bytes.starts_with(b"MCFG") && bytes.len() >= 44 {
        let mut at = 44;
        while at + 16 <= bytes.len() {
            let entry = &bytes[at..at + 16];
            let address = u64::from_le_bytes(entry[..8].try_into().unwrap());
            let is_it = entry[8] == low && entry[9] == high && entry[10] <= bus && bus <= entry[11];
            if is_it && address != 0 {
                expected = Some(address);
                break;
            }
            at += 16;
        }
    }
    assert_eq!(found, expected);
}
