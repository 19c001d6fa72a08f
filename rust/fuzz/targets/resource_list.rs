// SPDX-License-Identifier: GPL-2.0
//! Processors and memory as a user lists them: a list that is accepted can be written in full and is the same then.

use super::Target;
use crate::source::Source;

use popcorn_core::bootparams::Extent;
use popcorn_core::resource_list;
use popcorn_core::resource_list::ListError;
use popcorn_core::resource_list::Memory;

pub(super) const TARGET: Target = Target {
    name: "resource_list",
    about: "processors and memory as a user lists them",
    most: 128,
    seeds,
    run,
};

fn seeds() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 11] = [
        b"1-3,7",
        b"0-50,63",
        b" 0 , 4294967295\n",
        b"0-4294967295",
        b"3-1",
        b"1,1",
        b"512M",
        b"0x10k@0xffffffffffffffff",
        b"1G@0x40000000",
        b"18446744073709551615",
        b"17179869184G",
    ];
    let with_room = |text: &&[u8]| [&[64][..], text].concat();
    texts.iter().map(with_room).collect()
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let room = usize::from(source.byte() % 65);
    let text = source.rest();
    let mut out = vec![u32::MAX; room];
    match resource_list::cpus(text, &mut out) {
        Ok(count) => {
            let cpus = &out[..count];
            for (n, cpu) in cpus.iter().enumerate() {
                assert!(!cpus[..n].contains(cpu));
            }
            assert!(out[count..].iter().all(|&cpu| cpu == u32::MAX));
            let full: Vec<String> = cpus.iter().map(u32::to_string).collect();
            let mut again = vec![0; count];
            assert_eq!(
                resource_list::cpus(full.join(",").as_bytes(), &mut again),
                Ok(count)
            );
            assert_eq!(again, cpus);
        }
        Err(error) => {
            let is_digit = |byte: &u8| byte.is_ascii_digit();
            match error {
                ListError::TooMany => assert!(text.iter().filter(|b| is_digit(b)).count() > 0),
                ListError::Range => assert!(text.iter().filter(|b| is_digit(b)).count() >= 10),
                ListError::Twice => assert!(room > 0),
                ListError::Syntax => assert!(!text.is_empty()),
            }
        }
    }
    if let Ok(memory) = resource_list::memory(text) {
        let full = match memory {
            Memory::Anywhere(size) => size.to_string(),
            Memory::At(Extent { start, size }) => format!("{size:#x}@{start}"),
        };
        assert_eq!(resource_list::memory(full.as_bytes()), Ok(memory));
        assert_eq!(text.contains(&b'@'), matches!(memory, Memory::At(_)));
    }
}
