// SPDX-License-Identifier: GPL-2.0
//! What a kernel tells of itself: only whole lines of printable text with keys are accepted, among them a release;
//! values are those of the first line with their key; addresses do not wrap.

use super::Target;

use popcorn_core::bootparams::Extent;
use popcorn_core::elf_core::Mapping;
use popcorn_core::printk_log::Layout;
use popcorn_core::vmcoreinfo;
use popcorn_core::vmcoreinfo::VmcoreInfo;
use popcorn_core::vmcoreinfo::IMAGE_MAP;
use popcorn_core::vmcoreinfo::IMAGE_MAP_MAX;
use popcorn_core::vmcoreinfo::NOTE_HEAD;
use popcorn_core::vmcoreinfo::RELEASE_MAX;
use popcorn_core::vmcoreinfo::TEXT_MAX;

pub(super) const TARGET: Target = Target {
    name: "vmcoreinfo",
    about: "what another kernel tells of itself",
    most: TEXT_MAX + 64,
    seeds,
    run,
};

const TEXT: &[u8] = b"OSRELEASE=6.12.107\n\
BUILD-ID=0123456789abcdef\n\
SYMBOL(init_uts_ns)=ffffffff82213c80\n\
OFFSET(uts_namespace.name)=4\n\
SYMBOL(_stext)=ffffffff81000070\n\
NUMBER(phys_base)=268435456\n\
KERNELOFFSET=1000000\n\
NUMBER(KERNEL_IMAGE_SIZE)=536870912\n\
SIZE(prb_desc)=24\n\
cut off he";

fn seeds() -> Vec<Vec<u8>> {
    let mut long = TEXT.to_vec();
    long.resize(TEXT_MAX, b'x');
    let mut head = 11u32.to_le_bytes().to_vec();
    head.extend(TEXT.len().to_le_bytes());
    head.extend(vmcoreinfo::NOTE_NAME);
    head.resize(NOTE_HEAD, 0);
    vec![
        TEXT.to_vec(),
        long,
        b"OSRELEASE=1\n".to_vec(),
        [&head, TEXT].concat(),
    ]
}

fn run(input: &[u8]) {
    if let Some(head) = input.first_chunk() {
        if let Some(length) = vmcoreinfo::text_length(head) {
            assert!((1..=TEXT_MAX).contains(&length));
            assert_eq!(&head[12..23], vmcoreinfo::NOTE_NAME);
        }
    }
    let is_text = |text: &[u8]| text.iter().all(|byte| (0x20..0x7f).contains(byte));
    let Some(info) = VmcoreInfo::parse(input) else {
        return;
    };
    let text = info.text();
    assert!(input.len() <= TEXT_MAX && input.starts_with(text.as_bytes()) && text.ends_with('\n'));
    assert!(is_text(&input[text.len()..]));
    for line in text.lines() {
        assert!(is_text(line.as_bytes()) && line.find('=') > Some(0));
    }
    let release = info.release().unwrap();
    assert!((1..RELEASE_MAX).contains(&release.len()));
    assert_eq!(first(text, "OSRELEASE="), Some(release));
    // What was accepted is accepted again, and tells the same.
    assert_eq!(VmcoreInfo::parse(text.as_bytes()).unwrap().text(), text);

    let hex = |key| u64::from_str_radix(first(text, key)?, 16).ok();
    assert_eq!(info.symbol("_stext"), hex("SYMBOL(_stext)="));
    assert_eq!(info.image_offset(), hex("KERNELOFFSET="));
    let decimal = |key| first(text, key)?.parse().ok();
    assert_eq!(info.number("phys_base"), decimal("NUMBER(phys_base)="));
    let mut memory = [0; RELEASE_MAX];
    memory[..release.len()].copy_from_slice(release.as_bytes());
    assert!(info.is_release(&memory));
    memory[release.len()] = b'!';
    assert!(!info.is_release(&memory));
    for at in [0, IMAGE_MAP - 1, IMAGE_MAP, IMAGE_MAP + IMAGE_MAP_MAX - 1] {
        let offset = at.checked_sub(IMAGE_MAP);
        let base = info.number("phys_base");
        let expected = offset.and_then(|offset| offset.checked_add_signed(base?));
        assert_eq!(info.physical(at), expected);
    }
    for at in [IMAGE_MAP + IMAGE_MAP_MAX, u64::MAX] {
        assert_eq!(info.physical(at), None);
    }
    info.release_address();
    Layout::of_info(&info);
    image(&info);
}

/// The value of the first line with a key.
fn first<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key))
}

fn image(info: &VmcoreInfo<'_>) {
    let Some((address, physical)) = info.image_start() else {
        return;
    };
    assert!(address % 4096 == 0 && (IMAGE_MAP..IMAGE_MAP + IMAGE_MAP_MAX).contains(&address));
    assert_eq!(info.physical(address), Some(physical));
    if let Some(size) = info.image_size_max() {
        assert!(size <= IMAGE_MAP_MAX - (address - IMAGE_MAP));
    }
    let ram = [
        Extent::new(0x1_0000, 0x9_0000),
        Extent::new(1 << 28, 1 << 28),
    ];
    if let Some(mapping) = Mapping::of_info(info, &ram) {
        let memory = mapping.memory;
        let end = memory.end().unwrap();
        assert_eq!((mapping.address, memory.start), (address, physical));
        let lies_in = |range: &Extent| range.start <= memory.start && Some(end) <= range.end();
        assert!(ram.iter().any(lies_in));
    }
}
