// SPDX-License-Identifier: GPL-2.0
//! bzImage headers, good and bad, and the zero page.

use popcorn_core::bootparams::seed_head;
use popcorn_core::bootparams::BootParams;
use popcorn_core::bootparams::Extent;
use popcorn_core::bootparams::ImageError;
use popcorn_core::bootparams::Kernel;
use popcorn_core::bootparams::MapError;
use popcorn_core::bootparams::MemoryEntry;
use popcorn_core::bootparams::MemoryKind;
use popcorn_core::bootparams::MEMORY_MAP_MAX;
use popcorn_core::bootparams::SEED_HEAD;
use popcorn_core::bootparams::ZERO_PAGE_SIZE;
use proptest::prelude::*;

const SECTORS: usize = 3;
const CODE: usize = 0x1000;
const INIT_SIZE: u32 = 0x8000;

/// A minimal valid image, laid out by hand from the protocol's documentation.
fn image() -> Vec<u8> {
    let mut file = vec![0; (SECTORS + 1) * 512 + CODE];
    file[0x1f1] = SECTORS as u8;
    put(&mut file, 0x1f4, &(CODE as u32 / 16).to_le_bytes());
    put(&mut file, 0x1fe, &[0x55, 0xaa, 0xeb, 0x66]);
    put(&mut file, 0x202, b"HdrS\x0f\x02");
    put(&mut file, 0x230, &0x20_0000u32.to_le_bytes());
    file[0x234] = 1;
    put(&mut file, 0x236, &0b11u16.to_le_bytes());
    put(&mut file, 0x238, &2047u32.to_le_bytes());
    put(&mut file, 0x258, &0x100_0000u64.to_le_bytes());
    put(&mut file, 0x260, &INIT_SIZE.to_le_bytes());
    file[(SECTORS + 1) * 512..].fill(0xcc);
    file
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

const MAP: [MemoryEntry; 2] = [
    MemoryEntry {
        extent: Extent::new(0x7_0000, 0x1_0000),
        kind: MemoryKind::Ram,
    },
    MemoryEntry {
        extent: Extent::new(0x2000_0000, 0x1000_0000),
        kind: MemoryKind::Reserved,
    },
];

#[test]
fn a_good_image_is_understood() {
    let file = image();
    let kernel = Kernel::parse(&file).unwrap();
    assert_eq!(kernel.code(), vec![0xcc; CODE]);
    assert_eq!(kernel.init_size(), u64::from(INIT_SIZE));
    assert_eq!(kernel.alignment(), 0x20_0000);
    assert_eq!(kernel.command_line_max(), 2047);
    assert!(kernel.loadable_above_4g());
    assert_eq!(kernel.preferred_address(), 0x100_0000);
}

#[test]
fn a_signature_behind_the_code_is_left_out() {
    let mut file = image();
    file.extend_from_slice(&[0x30; 700]);
    assert_eq!(Kernel::parse(&file).unwrap().code().len(), CODE);
}

#[test]
fn each_fault_has_its_error() {
    let broken = |at: usize, value: &[u8]| {
        let mut file = image();
        put(&mut file, at, value);
        Kernel::parse(&file).unwrap_err()
    };
    assert_eq!(broken(0x1fe, &[0]), ImageError::NotBzImage);
    assert_eq!(broken(0x202, b"hdrs"), ImageError::NotBzImage);
    assert_eq!(broken(0x206, &[0x0b, 0x02]), ImageError::TooOld);
    assert_eq!(broken(0x236, &[0, 0]), ImageError::No64BitEntry);
    assert_eq!(broken(0x234, &[0]), ImageError::NotRelocatable);
    assert_eq!(broken(0x201, &[0x10]), ImageError::BadHeader);
    assert_eq!(broken(0x201, &[0xff]), ImageError::BadHeader);
    assert_eq!(
        broken(0x230, &[1, 0x10, 0, 0]),
        ImageError::BadHeader,
        "alignment no power of two"
    );
    assert_eq!(broken(0x230, &[0, 0, 0, 0]), ImageError::BadHeader);
    assert_eq!(
        broken(0x260, &[0, 0, 0, 0]),
        ImageError::BadHeader,
        "larger than its memory"
    );
    assert_eq!(
        broken(0x1f4, &[0, 0, 0, 0]),
        ImageError::BadHeader,
        "no code"
    );
    assert_eq!(broken(0x1f4, &[0xff; 4]), ImageError::Truncated);
    assert_eq!(broken(0x1f1, &[0xff]), ImageError::Truncated);
    assert_eq!(Kernel::parse(b"").unwrap_err(), ImageError::Truncated);
    assert_eq!(
        Kernel::parse(&[0; 4096]).unwrap_err(),
        ImageError::NotBzImage
    );
}

proptest! {
    #[test]
    fn every_truncation_is_found(cut in 1usize..=(SECTORS + 1) * 512 + CODE) {
        let file = image();
        prop_assert_eq!(Kernel::parse(&file[..file.len() - cut]).unwrap_err(), ImageError::Truncated);
    }

    #[test]
    fn any_header_is_safe(
        header in prop::collection::vec(any::<u8>(), 0x1f1..0x300),
        at in prop::collection::vec((0x1f1usize..0x270, any::<u8>()), 0..6),
        random: bool,
    ) {
        let mut file = image();
        if random {
            put(&mut file, 0, &header);
            put(&mut file, 0x1fe, &[0x55, 0xaa]);
            put(&mut file, 0x202, b"HdrS\x0f\x02");
        }
        for (at, byte) in at {
            file[at] = byte;
        }
        if let Ok(kernel) = Kernel::parse(&file) {
            prop_assert!(kernel.code().len() as u64 <= kernel.init_size());
            prop_assert!(kernel.alignment().is_power_of_two());
            let mut page = [0; ZERO_PAGE_SIZE];
            let params = BootParams { command_line: 1, initrd: None, rsdp: 1, seed: None, memory_map: &MAP };
            prop_assert!(params.write(&kernel, &mut page).is_ok());
        }
    }

    #[test]
    fn the_zero_page_holds_what_was_asked(
        command_line: u64,
        rsdp: u64,
        initrd in prop::option::of((any::<u64>(), any::<u64>())),
        seed: Option<u64>,
        sizes in prop::collection::vec((0u64..1 << 40, 1u64..1 << 40, 1u32..4), 2..=MEMORY_MAP_MAX),
    ) {
        let file = image();
        let kernel = Kernel::parse(&file).unwrap();
        let mut at = 0;
        let map: Vec<MemoryEntry> = sizes
            .iter()
            .map(|&(gap, size, kind)| {
                let extent = Extent::new(at + gap, size);
                at += gap + size;
                let kind = [MemoryKind::Ram, MemoryKind::Reserved, MemoryKind::Acpi][kind as usize - 1];
                MemoryEntry { extent, kind }
            })
            .collect();
        let mut page = [0xff; ZERO_PAGE_SIZE];
        BootParams { command_line, initrd: initrd.map(|(a, s)| Extent::new(a, s)), rsdp, seed, memory_map: &map }
            .write(&kernel, &mut page)
            .unwrap();

        let split = |low, high| u64::from(u32_at(&page, low)) | (u64::from(u32_at(&page, high)) << 32);
        prop_assert_eq!(split(0x228, 0x0c8), command_line);
        prop_assert_eq!(split(0x218, 0x0c0), initrd.map_or(0, |i| i.0));
        prop_assert_eq!(split(0x21c, 0x0c4), initrd.map_or(0, |i| i.1));
        prop_assert_eq!(u64_at(&page, 0x070), rsdp);
        prop_assert_eq!(u64_at(&page, 0x250), seed.unwrap_or(0));
        prop_assert_eq!(page[0x210], 0xff);
        prop_assert_eq!(page[0x211] & 1, 1);
        prop_assert_eq!(usize::from(page[0x1e8]), map.len());
        for (i, entry) in map.iter().enumerate() {
            let at = 0x2d0 + 20 * i;
            prop_assert_eq!(u64_at(&page, at), entry.extent.start);
            prop_assert_eq!(u64_at(&page, at + 8), entry.extent.size);
            prop_assert_eq!(u32_at(&page, at + 16), entry.kind as u32);
        }
        // The screen's description, and all else that nobody set.
        prop_assert!(page[..0x40].iter().all(|&b| b == 0));
        prop_assert_eq!(page[0x1ef], 0, "the sentinel says that the page was cleared");
        prop_assert!(page[0x2d0 + 20 * map.len()..].iter().all(|&b| b == 0));
        // The header is the image's own.
        prop_assert_eq!(u32_at(&page, 0x260), INIT_SIZE);
        prop_assert_eq!(&page[0x202..0x206], b"HdrS");
    }
}

#[test]
fn a_seed_is_the_last_of_the_further_data() {
    let bytes: Vec<u8> = seed_head(64)
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    assert_eq!(bytes.len(), SEED_HEAD);
    assert_eq!(u64_at(&bytes, 0), 0, "next");
    assert_eq!(
        (u32_at(&bytes, 8), u32_at(&bytes, 12)),
        (9, 64),
        "kind, length"
    );
}

#[test]
fn bad_memory_maps_are_refused() {
    let file = image();
    let kernel = Kernel::parse(&file).unwrap();
    let write = |map: &[MemoryEntry]| {
        let params = BootParams {
            command_line: 0,
            initrd: None,
            rsdp: 0,
            seed: None,
            memory_map: map,
        };
        params.write(&kernel, &mut [0; ZERO_PAGE_SIZE])
    };
    let ram = |start, size| MemoryEntry {
        extent: Extent::new(start, size),
        kind: MemoryKind::Ram,
    };
    assert_eq!(write(&MAP), Ok(()));
    assert_eq!(write(&MAP[..1]), Err(MapError::Entries));
    let many: Vec<_> = (0..MEMORY_MAP_MAX as u64 + 1).map(|i| ram(i, 1)).collect();
    assert_eq!(write(&many), Err(MapError::Entries));
    assert_eq!(write(&[ram(0, 2), ram(1, 2)]), Err(MapError::Order));
    assert_eq!(write(&[ram(0, 2), ram(2, 0)]), Err(MapError::Order));
    assert_eq!(write(&[ram(0, 2), ram(u64::MAX, 2)]), Err(MapError::Order));
}
