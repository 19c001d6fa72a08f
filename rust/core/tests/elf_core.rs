// SPDX-License-Identifier: GPL-2.0
//! The core of another kernel, read back by a reader written from the ELF specification, and by
//! `readelf`, which must be there.

use std::fs::File;
use std::io::Write;
use std::process::Command;

use popcorn_core::bootparams::Extent;
use popcorn_core::elf_core;
use popcorn_core::elf_core::Core;
use popcorn_core::elf_core::CoreError;
use popcorn_core::elf_core::Crash;
use popcorn_core::elf_core::Mapping;
use popcorn_core::elf_core::Place;
use popcorn_core::elf_core::DIRECT_MAP;
use popcorn_core::elf_core::HEADER_MAX;
use popcorn_core::elf_core::PROCESSORS_MAX;
use popcorn_core::elf_core::RANGES_MAX;
use popcorn_core::elf_core::REGISTERS;
use proptest::prelude::*;

const PAGE: u64 = 4096;
const INFO: &[u8] = b"OSRELEASE=6.12.107\nPAGESIZE=4096\nX=1\n";
const RAM: [Extent; 3] = [
    Extent::new(0x7_3000, 0xd000),
    Extent::new(0x2080_0000, 0x1000_0000),
    Extent::new(0x1_0000_0000, 0x4000_0000),
];

fn core(ram: &[Extent]) -> Core<'_> {
    Core {
        ram,
        direct_map: Some(DIRECT_MAP),
        image: Some(Mapping {
            address: 0xffff_ffff_8100_0000,
            memory: Extent::new(0x2100_0000, 0x300_0000),
        }),
        crash: Some(crash(2)),
        info: INFO,
    }
}

fn crash(cpu: u32) -> Crash {
    let mut registers = [0; REGISTERS];
    for (i, register) in registers.iter_mut().enumerate() {
        *register = 0x0101_0101_0101_0101 * (i as u64 + 1);
    }
    Crash {
        cpu,
        pid: 4321,
        registers,
    }
}

fn header(core: &Core<'_>) -> Result<Vec<u8>, CoreError> {
    // Not zero before: the writer must not rely on it.
    let mut out = vec![0xa5; core.header_size()?];
    core.write_header(&mut out)?;
    Ok(out)
}

fn u16_at(bytes: &[u8], at: usize) -> u64 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()).into()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Program {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    physical: u64,
    size: u64,
    align: u64,
}

fn programs(header: &[u8]) -> Vec<Program> {
    // 64 bit, little endian, version 1; a core for x86-64.
    assert_eq!(&header[..7], b"\x7fELF\x02\x01\x01");
    assert_eq!(header[7..16], [0; 9]);
    assert_eq!((u16_at(header, 16), u16_at(header, 18)), (4, 62));
    assert_eq!(u32_at(header, 20), 1);
    // Entry, section headers, flags.
    assert_eq!((u64_at(header, 24), u64_at(header, 40)), (0, 0));
    assert_eq!(u32_at(header, 48), 0);
    assert_eq!((u16_at(header, 52), u16_at(header, 54)), (64, 56));
    assert_eq!((u16_at(header, 60), u16_at(header, 62)), (0, 0));
    let first = u64_at(header, 32) as usize;
    let program = |i: u64| {
        let at = first + i as usize * 56;
        let word = |n: usize| u64_at(header, at + 8 * n);
        assert_eq!(word(4), word(5), "size in file and memory");
        Program {
            kind: u32_at(header, at),
            flags: u32_at(header, at + 4),
            offset: word(1),
            address: word(2),
            physical: word(3),
            size: word(4),
            align: word(6),
        }
    };
    (0..u16_at(header, 56)).map(program).collect()
}

/// Name, type and contents.
type Note = (Vec<u8>, u32, Vec<u8>);

fn notes(mut bytes: &[u8]) -> Vec<Note> {
    let mut notes = Vec::new();
    while !bytes.is_empty() {
        let (name, length) = (u32_at(bytes, 0) as usize, u32_at(bytes, 4) as usize);
        let contents = 12 + name.next_multiple_of(4);
        notes.push((
            bytes[12..12 + name].to_vec(),
            u32_at(bytes, 8),
            bytes[contents..contents + length].to_vec(),
        ));
        bytes = &bytes[contents + length.next_multiple_of(4)..];
    }
    notes
}

/// The memory behind `offset` of the file, as `locate` tells it.
fn physical(ram: &[Extent], header: usize, offset: u64) -> u64 {
    match elf_core::locate(ram, header, offset) {
        Some(Place::Memory(extent)) => extent.start,
        other => panic!("{offset:#x} is {other:?}"),
    }
}

#[test]
fn the_layout_is_that_of_a_core() {
    let header = header(&core(&RAM)).unwrap();
    assert_eq!(header.len(), 4096);
    let programs = programs(&header);
    let load = |offset, address, physical, size| Program {
        kind: 1,
        flags: 7,
        offset,
        address,
        physical,
        size,
        align: 0,
    };
    let direct = |physical: u64| 0xffff_8880_0000_0000 + physical;
    assert_eq!(programs[0].kind, 4);
    assert_eq!(
        programs[1..],
        [
            load(0x1000, direct(0x7_3000), 0x7_3000, 0xd000),
            load(0xe000, direct(0x2080_0000), 0x2080_0000, 0x1000_0000),
            load(
                0x1000_e000,
                direct(0x1_0000_0000),
                0x1_0000_0000,
                0x4000_0000
            ),
            // The image: the same bytes of the file as the second range's.
            load(
                0x1000 + 0xd000 + 0x80_0000,
                0xffff_ffff_8100_0000,
                0x2100_0000,
                0x300_0000
            ),
        ]
    );
}

#[test]
fn the_notes_tell_processors_and_the_kernel() {
    let core = core(&RAM);
    let header = header(&core).unwrap();
    let at = programs(&header)[0];
    let notes = notes(&header[at.offset as usize..][..at.size as usize]);
    assert_eq!(notes.len(), 4);
    for (cpu, (name, kind, status)) in notes[..3].iter().enumerate() {
        assert_eq!((&name[..], *kind, status.len()), (&b"CORE\0"[..], 1, 336));
        if cpu < 2 {
            assert_eq!(status[..], [0; 336]);
            continue;
        }
        assert_eq!(u32_at(status, 32), 4321);
        for i in 0..REGISTERS {
            let expected = core.crash.unwrap().registers[i];
            assert_eq!(u64_at(status, 112 + 8 * i), expected, "register {i}");
        }
        let all_else = status[..32].iter().chain(&status[36..112]);
        assert!(all_else.chain(&status[328..]).all(|&byte| byte == 0));
    }
    assert_eq!(notes[3], (b"VMCOREINFO\0".to_vec(), 0, INFO.to_vec()));
}

#[test]
fn what_is_not_known_is_left_out() {
    let bare = Core {
        direct_map: None,
        image: None,
        crash: None,
        info: b"",
        ..core(&RAM)
    };
    let programs_of = |core: &Core<'_>| programs(&header(core).unwrap());
    let programs = programs_of(&bare);
    assert_eq!(programs.len(), 1 + RAM.len());
    assert_eq!((programs[0].kind, programs[0].size), (4, 0));
    assert!(programs[1..].iter().all(|p| p.address == 0));

    // An image that is in no range, or in two, or not of whole pages, or mapped behind the last address.
    for (address, start, size) in [
        (0xffff_ffff_8100_0000, 0x2000_0000, 0x1000),
        (0xffff_ffff_8100_0000, 0x307f_f000, 0x2000),
        (0xffff_ffff_8100_0000, 0x2100_0000, 0x123),
        (0xffff_ffff_8100_0008, 0x2100_0000, 0x1000),
        (0xffff_ffff_8100_0000, 0x2100_0000, 0),
        (0xffff_ffff_8100_0000, u64::MAX - 0xfff, 0x2000),
        (0xffff_ffff_ffff_f000, 0x2100_0000, 0x2000),
    ] {
        let memory = Extent::new(start, size);
        let core = Core {
            image: Some(Mapping { address, memory }),
            ..core(&RAM)
        };
        assert_eq!(programs_of(&core).len(), 1 + RAM.len(), "{memory:x?}");
    }

    // A processor with a number that cannot be.
    let core = Core {
        crash: Some(crash(PROCESSORS_MAX)),
        ..core(&RAM)
    };
    let header = header(&core).unwrap();
    let at = programs_of(&core)[0];
    assert_eq!(
        notes(&header[at.offset as usize..][..at.size as usize]).len(),
        1
    );
}

#[test]
fn bad_ranges_are_refused() {
    let refused = |ram: &[Extent]| core(ram).header_size().unwrap_err();
    assert_eq!(refused(&[]), CoreError::Count);
    let many: Vec<_> = (0..=RANGES_MAX as u64)
        .map(|i| Extent::new(i * 2 * PAGE, PAGE))
        .collect();
    assert_eq!(refused(&many), CoreError::Count);
    assert!(core(&many[1..]).header_size().is_ok());
    for (start, size) in [
        (0x1000, 0),
        (0x1001, 0x1000),
        (0x1000, 0x1001),
        (u64::MAX - 0xfff, 0x1000),
        (u64::MAX - 0x1fff, 0x1000),
        (0, i64::MAX as u64 & !0xfff),
    ] {
        assert_eq!(refused(&[Extent::new(start, size)]), CoreError::Range);
    }
    let overlap = [Extent::new(0x1000, 0x2000), Extent::new(0x2000, 0x1000)];
    assert_eq!(refused(&overlap), CoreError::Range);
    let text = [b'x'; 4097];
    let long = Core {
        info: &text,
        ..core(&RAM)
    };
    assert_eq!(long.header_size(), Err(CoreError::Info));
    assert_eq!(
        core(&RAM).write_header(&mut [0; 4095]),
        Err(CoreError::Buffer)
    );
    assert_eq!(
        core(&RAM).write_header(&mut [0; 4097]),
        Err(CoreError::Buffer)
    );
}

#[test]
fn the_largest_header_is_bounded() {
    let many: Vec<_> = (0..RANGES_MAX as u64)
        .map(|i| Extent::new(i * 2 * PAGE, PAGE))
        .collect();
    let text = [b'x'; 4096];
    let largest = Core {
        image: Some(Mapping {
            address: 0xffff_ffff_8100_0000,
            memory: many[3],
        }),
        crash: Some(crash(PROCESSORS_MAX - 1)),
        info: &text,
        ..core(&many)
    };
    assert_eq!(header(&largest).unwrap().len(), HEADER_MAX);
}

#[test]
fn readelf_understands_it() {
    let core = core(&RAM);
    let bytes = header(&core).unwrap();
    let folder = std::env::temp_dir().join(format!("popcorn-elf-core-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("core");
    let mut file = File::create(&path).unwrap();
    file.write_all(&bytes).unwrap();
    let memory: u64 = RAM.iter().map(|range| range.size).sum();
    file.set_len(bytes.len() as u64 + memory).unwrap();

    let run = Command::new("readelf")
        .args(["--all", "--wide"])
        .arg(&path)
        .env("LC_ALL", "C")
        .output()
        .expect("readelf, of the package binutils, is needed");
    std::fs::remove_dir_all(&folder).unwrap();
    let text = String::from_utf8(run.stdout).unwrap();
    let complaints = String::from_utf8(run.stderr).unwrap();
    assert!(
        run.status.success() && complaints.is_empty(),
        "{complaints}"
    );
    for expected in [
        "ELF64",
        "CORE (Core file)",
        "Advanced Micro Devices X86-64",
        "Number of program headers:         5",
        "0x80e000 0xffffffff81000000 0x0000000021000000 0x3000000 0x3000000 RWE 0",
        "0x001000 0xffff888000073000 0x0000000000073000 0x00d000 0x00d000 RWE 0",
        "0x00e000 0xffff888020800000 0x0000000020800000 0x10000000 0x10000000 RWE 0",
        "0x1000e000 0xffff888100000000 0x0000000100000000 0x40000000 0x40000000 RWE 0",
        "NT_PRSTATUS",
        "VMCOREINFO",
    ] {
        assert!(text.contains(expected), "no {expected} in:\n{text}");
    }
    assert_eq!(text.matches("NT_PRSTATUS").count(), 3, "{text}");
}

/// Ascending ranges of whole pages with gaps.
fn ranges() -> impl Strategy<Value = Vec<Extent>> {
    prop::collection::vec((0u64..100, 1u64..100), 1..20).prop_map(|parts| {
        let mut free_from = 0;
        let range = |(gap, pages)| {
            let range = Extent::new(free_from + gap * PAGE, pages * PAGE);
            free_from = range.start + range.size;
            range
        };
        parts.into_iter().map(range).collect()
    })
}

proptest! {
    #[test]
    fn every_offset_is_one_place(
        ram in ranges(),
        image in (0u64..4000, 1u64..40),
        cpu in 0u32..80,
        info in prop::collection::vec(b'a'..=b'z', 0..4097),
        steps in prop::collection::vec(any::<u64>(), 20),
    ) {
        let core = Core {
            image: Some(Mapping {
                address: 0xffff_ffff_8100_0000,
                memory: Extent::new(image.0 * PAGE, image.1 * PAGE),
            }),
            crash: Some(crash(cpu)),
            info: &info,
            ..core(&ram)
        };
        let header = header(&core).unwrap();
        prop_assert!(header.len() <= HEADER_MAX && header.len() % 4096 == 0);
        let programs = programs(&header);

        // The notes are behind the program headers and in the header.
        let (first, note) = (64 + 56 * programs.len() as u64, programs[0]);
        prop_assert!(note.offset == first && note.offset + note.size <= header.len() as u64);
        let expected = usize::from(!info.is_empty()) + if cpu < PROCESSORS_MAX { cpu as usize + 1 } else { 0 };
        prop_assert_eq!(notes(&header[note.offset as usize..][..note.size as usize]).len(), expected);

        // What a program header says of physical addresses is what is read there.
        for program in &programs[1..] {
            prop_assert_eq!(program.offset % PAGE, program.address % PAGE);
            for step in steps.iter().map(|s| s % program.size).chain([0, program.size - 1]) {
                let at = physical(&ram, header.len(), program.offset + step);
                prop_assert_eq!(at, program.physical + step);
            }
        }
        // All ranges are there, in their order, and nothing behind them.
        let loads = &programs[1..=ram.len()];
        for (load, range) in loads.iter().zip(&ram) {
            prop_assert_eq!((load.physical, load.size), (range.start, range.size));
            prop_assert_eq!(load.address, DIRECT_MAP + range.start);
        }
        let end = header.len() as u64 + ram.iter().map(|range| range.size).sum::<u64>();
        prop_assert_eq!(elf_core::locate(&ram, header.len(), end), None);
        prop_assert_eq!(elf_core::locate(&ram, header.len(), u64::MAX), None);
        prop_assert_eq!(elf_core::locate(&ram, header.len(), 7), Some(Place::Header(7)));
        // Reading on from anywhere ends with the range.
        for step in steps {
            let offset = header.len() as u64 + step % (end - header.len() as u64);
            match elf_core::locate(&ram, header.len(), offset) {
                Some(Place::Memory(rest)) => {
                    let inside = |range: &Extent| range.start <= rest.start && rest.end() == range.end();
                    prop_assert!(ram.iter().any(inside));
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
