// SPDX-License-Identifier: GPL-2.0
//! Kernel images from user space: refused, or what the header says of them is so; then the zero page and the places
//! in a partition that are made of it are sound, too.
//!
//! An input is some numbers and changes to the first bytes of a good image.

use super::Target;
use crate::source::Source;

use popcorn_core::bootparams::BootParams;
use popcorn_core::bootparams::Extent;
use popcorn_core::bootparams::Kernel;
use popcorn_core::bootparams::MapError;
use popcorn_core::bootparams::MemoryEntry;
use popcorn_core::bootparams::MemoryKind;
use popcorn_core::bootparams::MEMORY_MAP_MAX;
use popcorn_core::bootparams::ZERO_PAGE_SIZE;
use popcorn_core::partition::Partition;

pub(super) const TARGET: Target = Target {
    name: "bootparams",
    about: "kernel images, and the zero page that is made of one",
    most: 1400,
    seeds,
    run,
};

const CODE: usize = 0x400;
const SETUP: usize = 4 * 512;
/// Of the file, an input has these bytes: the header.
const HEADER: core::ops::Range<usize> = 0x1f1..0x290;

fn image() -> Vec<u8> {
    let mut file = vec![0; SETUP + CODE];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x1f1, &[3]);
    put(0x1f4, &(CODE as u32 / 16).to_le_bytes());
    put(0x1fe, &[0x55, 0xaa, 0xeb, 0x66]);
    put(0x202, b"HdrS\x0f\x02");
    put(0x230, &0x20_0000u32.to_le_bytes());
    put(0x234, &[1]);
    put(0x236, &[3, 0]);
    put(0x238, &2047u32.to_le_bytes());
    put(0x258, &0x100_0000u64.to_le_bytes());
    put(0x260, &0x8000u32.to_le_bytes());
    file
}

fn seeds() -> Vec<Vec<u8>> {
    let seed = |cut: u16, entries: u8| {
        let mut seed = cut.to_le_bytes().to_vec();
        seed.extend(&image()[HEADER]);
        seed.extend([32, 0, 0, 1, 0, 0, 64, 0, 0, 7, 0, 0]);
        seed.push(entries);
        for n in 0..entries {
            seed.extend([1, 0, 0, n, 0, 0, n]);
        }
        seed
    };
    vec![seed(0, 3), seed(0, 128), seed(100, 1)]
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let cut = usize::from(source.short());
    let mut file = image();
    let header = source.take(HEADER.len());
    file[HEADER.start..HEADER.start + header.len()].copy_from_slice(header);
    file.truncate(file.len().saturating_sub(cut));
    let Ok(kernel) = Kernel::parse(&file) else {
        return;
    };
    let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    assert_eq!(&file[0x202..0x206], b"HdrS");
    assert!(u16::from_le_bytes([file[0x206], file[0x207]]) >= 0x20c);
    assert!(file[0x234] != 0 && file[0x236] & 1 != 0);
    let sectors = if file[0x1f1] == 0 {
        4
    } else {
        usize::from(file[0x1f1])
    };
    let start = (sectors + 1) * 512;
    let length = number(0x1f4) as usize * 16;
    assert_eq!(kernel.code(), &file[start..start + length]);
    assert!(length > 0x200 && length as u64 <= kernel.init_size());
    assert_eq!(kernel.init_size(), number(0x260).into());
    assert_eq!(kernel.alignment(), number(0x230).into());
    assert!(kernel.alignment().is_power_of_two() && kernel.alignment() >= 4096);
    assert_eq!(kernel.command_line_max(), number(0x238) as usize);
    place(&kernel, &mut source);
    zero_page(&kernel, &file, &mut source);
}

fn place(kernel: &Kernel<'_>, source: &mut Source<'_>) {
    const UNIT: u64 = 2 << 20;
    let memory = Extent::new(source.multiple(UNIT), source.multiple(UNIT));
    let initrd_size = source.multiple(4096);
    let low = Extent::new(64 << 10, 64 << 10);
    let Ok(partition) = Partition::new(&[memory], low) else {
        return;
    };
    let Ok(placement) = partition.place(kernel, initrd_size) else {
        return;
    };
    let end = memory.start + memory.size;
    assert!(kernel.loadable_above_4g() || end <= 1 << 32);
    let code = placement.kernel;
    assert!(code.start % kernel.alignment() == 0 && code.size == kernel.init_size());
    assert!(code.start >= memory.start + partition.shared().size);
    assert!(code.start + code.size <= end);
    assert_eq!(placement.initrd.is_some(), initrd_size > 0);
    if let Some(initrd) = placement.initrd {
        assert_eq!(initrd.size, initrd_size);
        assert!(initrd.start >= code.start + code.size && initrd.start + initrd_size <= end);
    }
}

fn zero_page(kernel: &Kernel<'_>, file: &[u8], source: &mut Source<'_>) {
    let rsdp = source.multiple(16);
    let mut map = Vec::new();
    let mut free = 0u64;
    for _ in 0..source.below(MEMORY_MAP_MAX + 4) {
        let start = free.wrapping_add(source.multiple(4096));
        let extent = Extent::new(start, source.multiple(4096));
        free = start.wrapping_add(extent.size);
        let kind = [MemoryKind::Ram, MemoryKind::Reserved, MemoryKind::Acpi][source.below(3)];
        map.push(MemoryEntry { extent, kind });
    }
    let params = BootParams {
        command_line: 0x1_2345_6000,
        initrd: Some(Extent::new(0x9_8765_4000, 0x1_0000_0001)),
        rsdp,
        seed: Some(0x7777_0000),
        memory_map: &map,
    };
    let mut page = [0xa5; ZERO_PAGE_SIZE];
    let mut ends = 0u64;
    let is_ascending = map.iter().all(|entry| {
        let good = entry.extent.size > 0 && entry.extent.start >= ends;
        ends = entry.extent.end().unwrap_or(0);
        good && ends != 0
    });
    let expected = if !(2..=MEMORY_MAP_MAX).contains(&map.len()) {
        Err(MapError::Entries)
    } else if !is_ascending {
        Err(MapError::Order)
    } else {
        Ok(())
    };
    assert_eq!(params.write(kernel, &mut page), expected);
    if expected.is_err() {
        return;
    }
    let number = |at: usize| u64::from_le_bytes(page[at..at + 8].try_into().unwrap());
    let half = |at: usize| u64::from(number(at) as u32);
    assert_eq!((number(0x70), number(0x250)), (rsdp, 0x7777_0000));
    assert_eq!(half(0x228) | (half(0xc8) << 32), 0x1_2345_6000);
    assert_eq!(half(0x218) | (half(0xc0) << 32), 0x9_8765_4000);
    assert_eq!(half(0x21c) | (half(0xc4) << 32), 0x1_0000_0001);
    // The screen is described by nothing.
    assert!(page[..0x70].iter().all(|&byte| byte == 0));
    // What says how the image was made is as it was.
    assert_eq!(page[0x230..0x240], file[0x230..0x240]);
    assert_eq!(usize::from(page[0x1e8]), map.len());
    for (n, entry) in map.iter().enumerate() {
        let at = 0x2d0 + n * 20;
        assert_eq!(
            (number(at), number(at + 8)),
            (entry.extent.start, entry.extent.size)
        );
        assert_eq!(half(at + 16), entry.kind as u64);
    }
}
