// SPDX-License-Identifier: GPL-2.0
//! The page tables, walked as a processor would.

use popcorn_core::bootparams::Extent;
use popcorn_core::identity_map;
use popcorn_core::identity_map::MapError;
use popcorn_core::identity_map::TABLE_SIZE;
use popcorn_core::partition::PARTITION_MAX;
use proptest::prelude::*;

const TOP_PHYS: u64 = 0x7_2000;
const TABLES_PHYS: u64 = 0x2001_0000;
const PAGE_2M: u64 = 1 << 21;

fn entry(top: &[u8], tables: &[u8], table: u64, index: u64) -> u64 {
    let (bytes, base) = if table == TOP_PHYS {
        (top, TOP_PHYS)
    } else {
        (tables, TABLES_PHYS)
    };
    let at = usize::try_from(table - base).unwrap() + index as usize * 8;
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// What address `at` is translated to.
fn walk(top: &[u8], tables: &[u8], at: u64) -> Option<u64> {
    let mut table = TOP_PHYS;
    for shift in [39, 30, 21] {
        let entry = entry(top, tables, table, (at >> shift) & 511);
        if entry & 1 == 0 {
            assert_eq!(entry, 0);
            return None;
        }
        assert_eq!(entry & 2, 2, "writable");
        if shift == 21 {
            assert_eq!(entry & 0x80, 0x80, "large");
            return Some((entry & !(PAGE_2M - 1)) | (at & (PAGE_2M - 1)));
        }
        assert_eq!(entry & 0xffc, 0);
        table = entry & !0xfff;
    }
    unreachable!()
}

fn build(memory: Extent, room: usize) -> Result<(Box<[u8; TABLE_SIZE]>, Vec<u8>), MapError> {
    let mut top = Box::new([0xff; TABLE_SIZE]);
    let mut tables = vec![0xff; room];
    identity_map::build(&mut top, &mut tables, TABLES_PHYS, memory)?;
    Ok((top, tables))
}

proptest! {
    #[test]
    fn exactly_the_memory_is_mapped(
        start in 1u64..1 << 20,
        size in 1u64..1 << 12,
        probes in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 20),
    ) {
        let memory = Extent::new(start * PAGE_2M, size * PAGE_2M);
        let (top, tables) = build(memory, 64 * TABLE_SIZE).unwrap();
        let end = memory.start + memory.size;
        for at in [0, PAGE_2M - 1, memory.start, end - 1] {
            prop_assert_eq!(walk(&top[..], &tables, at), Some(at));
        }
        prop_assert_eq!(walk(&top[..], &tables, end), None);
        if start > 1 {
            prop_assert_eq!(walk(&top[..], &tables, memory.start - 1), None);
        }
        for (inside, anywhere) in probes {
            let at = memory.start + inside.index((size * PAGE_2M) as usize) as u64;
            prop_assert_eq!(walk(&top[..], &tables, at), Some(at));
            let at = anywhere & ((1 << 47) - 1);
            let mapped = at < PAGE_2M || (at >= memory.start && at < end);
            prop_assert_eq!(walk(&top[..], &tables, at), mapped.then_some(at));
        }
    }
}

#[test]
fn the_largest_partition_fits_the_loaders_zone() {
    use popcorn_core::partition::Partition;
    for start in [
        PAGE_2M,
        (1 << 30) - PAGE_2M,
        (1 << 39) - PAGE_2M,
        (1 << 46) - PAGE_2M,
    ] {
        let memory = Extent::new(start, PARTITION_MAX);
        let partition = Partition::new(&[memory], Extent::new(0x7_0000, 0x1_0000)).unwrap();
        assert!(
            build(memory, partition.page_tables().size as usize).is_ok(),
            "{start:#x}"
        );
    }
}

#[test]
fn bad_requests_are_refused() {
    let memory = Extent::new(PAGE_2M, PAGE_2M);
    assert!(build(memory, 2 * TABLE_SIZE).is_ok());
    assert_eq!(build(memory, TABLE_SIZE).unwrap_err(), MapError::Tables);
    for memory in [
        Extent::new(4096, PAGE_2M),
        Extent::new(PAGE_2M, 4096),
        Extent::new(PAGE_2M, 0),
        Extent::new(1 << 47, PAGE_2M),
        Extent::new(0u64.wrapping_sub(PAGE_2M), PAGE_2M),
    ] {
        assert_eq!(
            build(memory, 8 * TABLE_SIZE).unwrap_err(),
            MapError::Memory,
            "{memory:x?}"
        );
    }
    let mut top = [0; TABLE_SIZE];
    assert_eq!(
        identity_map::build(&mut top, &mut [0; 8192], 0x100, memory),
        Err(MapError::Tables)
    );
}
