// SPDX-License-Identifier: GPL-2.0
//! The text in which a kernel describes itself, of which it may have made anything.

use popcorn_core::bootparams::Extent;
use popcorn_core::elf_core::Mapping;
use popcorn_core::vmcoreinfo;
use popcorn_core::vmcoreinfo::VmcoreInfo;
use popcorn_core::vmcoreinfo::NOTE_HEAD;
use popcorn_core::vmcoreinfo::RELEASE_MAX;
use popcorn_core::vmcoreinfo::TEXT_MAX;
use proptest::prelude::*;

/// As a kernel loaded 0x10000000 above its preferred address writes it.
const TEXT: &[u8] = b"OSRELEASE=6.12.107\n\
BUILD-ID=0123456789abcdef0123456789abcdef01234567\n\
PAGESIZE=4096\n\
SYMBOL(init_uts_ns)=ffffffff82213c80\n\
OFFSET(uts_namespace.name)=4\n\
SYMBOL(_stext)=ffffffff81000070\n\
NUMBER(VALUE)=-3\n\
NUMBER(phys_base)=268435456\n\
KERNELOFFSET=0\n\
NUMBER(KERNEL_IMAGE_SIZE)=536870912\n";

fn info() -> VmcoreInfo<'static> {
    VmcoreInfo::parse(TEXT).unwrap()
}

fn head(name_size: u32, text_size: u32, kind: u32, name: &[u8]) -> [u8; NOTE_HEAD] {
    let mut head = [0; NOTE_HEAD];
    head[..4].copy_from_slice(&name_size.to_le_bytes());
    head[4..8].copy_from_slice(&text_size.to_le_bytes());
    head[8..12].copy_from_slice(&kind.to_le_bytes());
    head[12..12 + name.len()].copy_from_slice(name);
    head
}

#[test]
fn a_note_is_known_by_its_head() {
    let name = b"VMCOREINFO\0";
    let length = |n, t, k, name: &[u8]| vmcoreinfo::text_length(&head(n, t, k, name));
    assert_eq!(length(11, 1000, 0, name), Some(1000));
    assert_eq!(length(11, 4096, 0, name), Some(TEXT_MAX));
    assert_eq!(length(11, 4097, 0, name), None);
    assert_eq!(length(11, u32::MAX, 0, name), None);
    assert_eq!(length(11, 0, 0, name), None);
    assert_eq!(length(10, 1000, 0, name), None);
    assert_eq!(length(11, 1000, 1, name), None);
    assert_eq!(length(11, 1000, 0, b"VMCOREINFOX"), None);
    assert_eq!(length(11, 1000, 0, b"VMCOREINF\0"), None);
}

#[test]
fn values_are_found_by_kind_and_name() {
    let info = info();
    assert_eq!(info.release(), Some("6.12.107"));
    assert_eq!(info.symbol("init_uts_ns"), Some(0xffff_ffff_8221_3c80));
    assert_eq!(info.symbol("init_uts"), None);
    assert_eq!(info.symbol("uts_namespace.name"), None);
    assert_eq!(info.offset("uts_namespace.name"), Some(4));
    assert_eq!(info.number("VALUE"), Some(-3));
    assert_eq!(info.image_offset(), Some(0));
    assert_eq!(info.text().as_bytes(), TEXT);
}

#[test]
fn the_image_is_where_phys_base_says() {
    let info = info();
    assert_eq!(info.physical(0xffff_ffff_8100_0000), Some(0x1100_0000));
    assert_eq!(info.physical(0xffff_ffff_7fff_ffff), None);
    assert_eq!(info.physical(0xffff_ffff_c000_0000), None);
    assert_eq!(
        info.image_start(),
        Some((0xffff_ffff_8100_0000, 0x1100_0000))
    );
    assert_eq!(info.image_size_max(), Some(0x1f00_0000));
    assert_eq!(
        info.release_address(),
        Some(0x1000_0000 + 0x0221_3c80 + 4 + 130)
    );

    let ram = [
        Extent::new(0x1000, 0x1000),
        Extent::new(0x1080_0000, 0x0800_0000),
    ];
    let mapped = |start, size| {
        Some(Mapping {
            address: 0xffff_ffff_8100_0000,
            memory: Extent::new(start, size),
        })
    };
    assert_eq!(
        Mapping::of_info(&info, &ram),
        mapped(0x1100_0000, 0x0780_0000)
    );
    let large = [Extent::new(0x1000_0000, 1 << 40)];
    assert_eq!(
        Mapping::of_info(&info, &large),
        mapped(0x1100_0000, 0x1f00_0000)
    );
    assert_eq!(Mapping::of_info(&info, &ram[..1]), None);
    assert_eq!(
        Mapping::of_info(&info, &[Extent::new(0x1100_1000, 0x1000)]),
        None
    );
}

#[test]
fn the_loader_knows_it_as_well() {
    let loaded = |size, preferred| Mapping::of_loaded(Extent::new(0x1100_0000, size), preferred);
    assert_eq!(
        loaded(0x12_3456, 0x100_0000),
        Some(Mapping {
            address: 0xffff_ffff_8100_0000,
            memory: Extent::new(0x1100_0000, 0x12_4000),
        })
    );
    assert_eq!(loaded(0x1000, (1 << 30) - 0xfff), None);
    assert_eq!(loaded(0x1000, u64::MAX), None);
    assert_eq!(loaded(u64::MAX, 0), None);
}

#[test]
fn the_release_is_compared_to_its_end() {
    let mut bytes = [0; RELEASE_MAX];
    bytes[..8].copy_from_slice(b"6.12.107");
    assert!(info().is_release(&bytes));
    bytes[8] = b'1';
    assert!(!info().is_release(&bytes));
    assert!(!info().is_release(&[0; RELEASE_MAX]));
}

#[test]
fn what_no_kernel_writes_is_refused() {
    assert!(VmcoreInfo::parse(b"").is_none());
    assert!(VmcoreInfo::parse(b"\n").is_none());
    assert!(VmcoreInfo::parse(b"PAGESIZE=4096\n").is_none());
    assert!(VmcoreInfo::parse(b"OSRELEASE=\n").is_none());
    assert!(VmcoreInfo::parse(b"OSRELEASE=6\n").is_some());
    assert!(VmcoreInfo::parse(b"OSRELEASE=6\nno value\n").is_none());
    assert!(VmcoreInfo::parse(b"OSRELEASE=6\n=3\n").is_none());
    assert!(VmcoreInfo::parse(b"OSRELEASE=6\n\nX=3\n").is_none());
    assert!(VmcoreInfo::parse(b"OSRELEASE=6\nX=\x1b[2J\n").is_none());
    assert!(VmcoreInfo::parse(b"OSRELEASE=6\nX=\xc3\xa4\n").is_none());
    assert!(VmcoreInfo::parse(b"OSRELEASE=6\nX=1\0\n").is_none());
    assert!(VmcoreInfo::parse(b"OSRELEASE=6\nrest \x01").is_none());
    let long = format!("OSRELEASE={}\n", "6".repeat(64));
    assert!(VmcoreInfo::parse(long.as_bytes()).is_some());
    let long = format!("OSRELEASE={}\n", "6".repeat(65));
    assert!(VmcoreInfo::parse(long.as_bytes()).is_none());
    let long = format!("OSRELEASE=6\nX={}\n", "x".repeat(TEXT_MAX));
    assert!(VmcoreInfo::parse(long.as_bytes()).is_none());
}

#[test]
fn a_last_line_that_is_cut_off_is_left_out() {
    let info = VmcoreInfo::parse(b"OSRELEASE=6\nA=1\nNUMBER(b").unwrap();
    assert_eq!(info.text(), "OSRELEASE=6\nA=1\n");
}

proptest! {
    #[test]
    fn any_text_is_survived(text in prop::collection::vec(any::<u8>(), 0..200), address: u64) {
        if let Some(info) = VmcoreInfo::parse(&text) {
            prop_assert!(info.release().is_some());
            info.physical(address);
        }
    }

    #[test]
    fn any_values_are_survived(
        symbols in prop::collection::vec(any::<u64>(), 2),
        base: i64,
        size: i64,
        offset: u64,
        ram in any::<(u64, u64)>(),
    ) {
        let text = format!(
            "OSRELEASE=6\nSYMBOL(init_uts_ns)={:x}\nSYMBOL(_stext)={:x}\nNUMBER(phys_base)={base}\n\
             NUMBER(KERNEL_IMAGE_SIZE)={size}\nOFFSET(uts_namespace.name)={offset}\n",
            symbols[0], symbols[1]
        );
        let info = VmcoreInfo::parse(text.as_bytes()).unwrap();
        info.release_address();
        let ram = [Extent::new(ram.0, ram.1)];
        if let Some(mapping) = Mapping::of_info(&info, &ram) {
            let (end, ram_end) = (mapping.memory.end().unwrap(), ram[0].end().unwrap());
            prop_assert!(mapping.memory.start >= ram[0].start && end <= ram_end);
        }
    }
}
