// SPDX-License-Identifier: GPL-2.0
//! A core of any memory: refused, or an ELF file that says where everything is, as an independent reader sees it.

use super::Target;
use crate::source::Source;

use popcorn_core::bootparams::Extent;
use popcorn_core::elf_core;
use popcorn_core::elf_core::Core;
use popcorn_core::elf_core::CoreError;
use popcorn_core::elf_core::Crash;
use popcorn_core::elf_core::Mapping;
use popcorn_core::elf_core::Place;
use popcorn_core::elf_core::HEADER_MAX;
use popcorn_core::elf_core::PROCESSORS_MAX;
use popcorn_core::elf_core::RANGES_MAX;
use popcorn_core::elf_core::REGISTERS;

pub(super) const TARGET: Target = Target {
    name: "elf_core",
    about: "cores of memory as another kernel describes it",
    most: 512,
    seeds,
    run,
};

const PAGE: u64 = 4096;

fn seeds() -> Vec<Vec<u8>> {
    let seed = |ranges: u8, crash: u8| {
        let mut seed = vec![ranges];
        for n in 0..ranges {
            // Pages between, pages.
            seed.extend([n, 0, 0, 7, 0, 0]);
        }
        seed.extend([1, 192, 0, 0, 0, 0, 0, 136, 255, 255]);
        seed.extend([1, 192, 0, 0, 0, 129, 255, 255, 255, 255, 1, 0, 0, 3, 0, 0]);
        seed.extend([1, crash, 0, 0, 9, 9, 12]);
        seed.extend(b"OSRELEASE=1\n");
        seed
    };
    vec![seed(1, 0), seed(3, 2), seed(20, 63), seed(2, 64)]
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let mut ram = Vec::new();
    let mut free = 0u64;
    for _ in 0..source.below(RANGES_MAX + 8) {
        let start = free.wrapping_add(source.multiple(PAGE));
        let range = Extent::new(start, source.multiple(PAGE));
        free = start.wrapping_add(range.size);
        ram.push(range);
    }
    let direct_map = source.flag().then(|| source.word());
    let image = source.flag().then(|| Mapping {
        address: source.word(),
        memory: Extent::new(source.multiple(PAGE), source.multiple(PAGE)),
    });
    if let Some(image) = image {
        loaded(image.memory, source.multiple(PAGE));
    }
    let crash = source.flag().then(|| Crash {
        cpu: u32::from(source.short()),
        pid: u32::from(source.short()),
        registers: [source.word(); REGISTERS],
    });
    let core = Core {
        ram: &ram,
        direct_map,
        image,
        crash,
        info: source.rest(),
    };
    let size = match core.header_size() {
        Ok(size) => size,
        Err(error) => {
            assert_eq!(core.write_header(&mut vec![0; HEADER_MAX]), Err(error));
            if error == CoreError::Count {
                assert!(ram.is_empty() || ram.len() > RANGES_MAX);
            }
            return;
        }
    };
    assert!(size % PAGE as usize == 0 && (1..=HEADER_MAX).contains(&size));
    let mut header = vec![0xa5; size];
    assert_eq!(core.write_header(&mut header[1..]), Err(CoreError::Buffer));
    assert_eq!(core.write_header(&mut header), Ok(()));
    read(&core, &header);
    places(&ram, size, free);
}

fn loaded(memory: Extent, preferred: u64) {
    if let Some(mapping) = Mapping::of_loaded(memory, preferred) {
        assert!(mapping.address.checked_add(mapping.memory.size).is_some());
        assert!(mapping.memory.size >= memory.size && mapping.memory.size % PAGE == 0);
    }
}

fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let bytes = bytes[at..at + length].iter().rev();
    bytes.fold(0, |sum, &byte| (sum << 8) | u64::from(byte))
}

/// Reads the header as a debugger does.
fn read(core: &Core<'_>, header: &[u8]) {
    assert_eq!(&header[..7], b"\x7fELF\x02\x01\x01");
    assert_eq!((number(header, 32, 8), number(header, 54, 2)), (64, 56));
    let count = number(header, 56, 2) as usize;
    let program = |n: usize| &header[64 + n * 56..64 + (n + 1) * 56];
    let field = |n: usize, at: usize| number(program(n), at, 8);
    let extra = count - 1 - core.ram.len();
    assert!(extra <= 1);
    let mut offset = header.len() as u64;
    for (n, range) in core.ram.iter().enumerate() {
        let n = n + 1;
        assert_eq!(number(program(n), 0, 4), 1);
        assert_eq!(field(n, 8), offset);
        let address = core
            .direct_map
            .map_or(0, |map| map.wrapping_add(range.start));
        assert_eq!((field(n, 16), field(n, 24)), (address, range.start));
        assert_eq!((field(n, 32), field(n, 40)), (range.size, range.size));
        offset += range.size;
    }
    if extra == 1 {
        // The image: the same bytes as those of the range that it lies in.
        let image = core.image.unwrap();
        let n = count - 1;
        assert_eq!(
            (field(n, 16), field(n, 24)),
            (image.address, image.memory.start)
        );
        let place = elf_core::locate(core.ram, header.len(), field(n, 8));
        let Some(Place::Memory(memory)) = place else {
            panic!("{place:?}");
        };
        assert!(memory.start == image.memory.start && memory.size >= image.memory.size);
    }
    // The notes.
    assert_eq!(number(program(0), 0, 4), 4);
    let mut at = field(0, 8) as usize;
    let end = at + field(0, 32) as usize;
    assert_eq!(at, 64 + count * 56);
    assert!(end <= header.len() && header[end..].iter().all(|&byte| byte == 0));
    let mut processors = 0;
    while at < end {
        let (name, size) = (
            number(header, at, 4) as usize,
            number(header, at + 4, 4) as usize,
        );
        let contents = at + 12 + name.next_multiple_of(4);
        if &header[at + 12..at + 12 + name] == b"CORE\0" {
            let crash = core.crash.unwrap();
            let is_known = header[contents..contents + size]
                .iter()
                .any(|&byte| byte != 0);
            assert!(size == 336 && (!is_known || processors == crash.cpu));
            processors += 1;
        } else {
            assert_eq!(&header[contents..contents + size], core.info);
        }
        at = contents + size.next_multiple_of(4);
    }
    assert_eq!(at, end);
    match core.crash {
        Some(crash) if crash.cpu < PROCESSORS_MAX => assert_eq!(processors, crash.cpu + 1),
        _ => assert_eq!(processors, 0),
    }
}

/// Each offset is at one place.
fn places(ram: &[Extent], size: usize, end: u64) {
    assert_eq!(elf_core::locate(ram, size, 0), Some(Place::Header(0)));
    let mut offset = size as u64;
    assert_eq!(
        elf_core::locate(ram, size, offset - 1),
        Some(Place::Header(size - 1))
    );
    for range in ram {
        let place = |at| elf_core::locate(ram, size, at);
        assert_eq!(place(offset), Some(Place::Memory(*range)));
        let last = Extent::new(range.start + range.size - 1, 1);
        offset += range.size;
        assert_eq!(place(offset - 1), Some(Place::Memory(last)));
    }
    assert_eq!(elf_core::locate(ram, size, offset), None);
    assert_eq!(elf_core::locate(ram, size, u64::MAX), None);
    assert!(end <= i64::MAX as u64);
}
