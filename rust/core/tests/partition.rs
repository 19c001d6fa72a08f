// SPDX-License-Identifier: GPL-2.0
//! Nothing in a secondary's memory overlaps anything else, wherever the partition is.

use popcorn_core::bootparams::Extent;
use popcorn_core::bootparams::Kernel;
use popcorn_core::bootparams::MemoryKind;
use popcorn_core::partition::Partition;
use popcorn_core::partition::PartitionError;
use popcorn_core::partition::PlaceError;
use popcorn_core::partition::LOW_MIN;
use popcorn_core::partition::PARTITION_ALIGN;
use popcorn_core::partition::PARTITION_MAX;
use popcorn_core::partition::PARTITION_MIN;
use proptest::prelude::*;

const LOW: Extent = Extent::new(0x7_0000, 0x1_0000);

/// A bzImage's header with these sizes; flag 1 is "may be above 4 GiB".
fn image(init_size: u32, alignment: u32, above_4g: bool) -> Vec<u8> {
    let mut file = vec![0; 512 * 2 + 4096];
    file[0x1f1] = 1;
    file[0x1f4..0x1f8].copy_from_slice(&(4096u32 / 16).to_le_bytes());
    file[0x1fe..0x208].copy_from_slice(b"\x55\xaa\xeb\x66HdrS\x0f\x02");
    file[0x230..0x234].copy_from_slice(&alignment.to_le_bytes());
    file[0x234] = 1;
    file[0x236] = if above_4g { 3 } else { 1 };
    file[0x260..0x264].copy_from_slice(&init_size.to_le_bytes());
    file
}

fn partitions() -> impl Strategy<Value = Partition> {
    let aligned = (
        1u64..1 << 30,
        PARTITION_MIN / PARTITION_ALIGN..=PARTITION_MAX / PARTITION_ALIGN,
    );
    (aligned, 16u64..148, 12u64..=144).prop_filter_map("valid", |((start, size), low, low_size)| {
        let memory = Extent::new(start * PARTITION_ALIGN, size * PARTITION_ALIGN);
        Partition::new(&[memory], Extent::new(low * 4096, low_size * 4096)).ok()
    })
}

fn inside(inner: Extent, outer: Extent) -> bool {
    inner.start >= outer.start && inner.end().unwrap() <= outer.end().unwrap()
}

fn apart(all: &[Extent]) -> bool {
    let mut sorted = all.to_vec();
    sorted.sort_by_key(|e| e.start);
    sorted
        .windows(2)
        .all(|two| two[0].end().unwrap() <= two[1].start)
}

proptest! {
    #[test]
    fn everything_has_its_own_place(
        partition in partitions(),
        init_size in 4096u32..48 << 20,
        initrd in 0u64..16 << 20,
        alignment in 12u32..22,
    ) {
        let file = image(init_size, 1 << alignment, true);
        let kernel = Kernel::parse(&file).unwrap();
        let mut pieces = vec![
            partition.zero_page(),
            partition.command_line(),
            partition.acpi(),
            partition.status(),
            partition.seed(),
            partition.page_tables(),
            partition.console(),
            partition.terminal(),
            partition.window(),
        ];
        for &piece in &pieces {
            prop_assert!(inside(piece, partition.shared()), "{piece:x?}");
        }
        let low = [partition.trampoline(), partition.decoy_io_apic(), partition.top_table()];
        for &piece in &low {
            prop_assert!(inside(piece, partition.low()));
        }
        prop_assert!(apart(&low));

        let map = partition.memory_map();
        let ram: Vec<Extent> = map.iter().filter(|e| e.kind == MemoryKind::Ram).map(|e| e.extent).collect();
        // The map covers exactly what the partition is.
        let covered: u64 = map.iter().map(|e| e.extent.size).sum();
        prop_assert_eq!(covered, partition.memory().size + partition.low().size);
        prop_assert!(apart(&map.iter().map(|e| e.extent).collect::<Vec<_>>()));
        for entry in map.iter() {
            prop_assert!(inside(entry.extent, partition.memory()) || inside(entry.extent, partition.low()));
        }
        // What the primary reads and writes later is not the secondary's to allocate.
        for &piece in pieces.iter().chain(&low) {
            prop_assert!(ram.iter().all(|&r| apart(&[r, piece])), "{piece:x?} is RAM");
        }
        let acpi = map.iter().find(|e| e.kind == MemoryKind::Acpi).unwrap().extent;
        prop_assert!(inside(partition.acpi(), acpi));
        prop_assert!(ram.iter().any(|r| r.start < 1 << 20 && r.size >= LOW_MIN - 3 * 4096));
        prop_assert!(ram.contains(&partition.low_ram()) && inside(partition.low_ram(), partition.low()));

        match partition.place(&kernel, initrd) {
            Ok(placement) => {
                prop_assert_eq!(placement.kernel.start % kernel.alignment(), 0);
                prop_assert!(placement.kernel.start >= partition.memory().start + (16 << 20));
                prop_assert_eq!(placement.kernel.size, kernel.init_size());
                prop_assert_eq!(placement.initrd.map_or(0, |i| i.size), initrd);
                pieces.push(placement.kernel);
                if let Some(initrd) = placement.initrd {
                    prop_assert_eq!(initrd.start % 4096, 0);
                    prop_assert!(ram.iter().any(|&r| inside(initrd, r)));
                    pieces.push(initrd);
                }
                prop_assert!(ram.iter().any(|&r| inside(placement.kernel, r)));
                prop_assert!(apart(&pieces));
            }
            // 2 MiB is the most that the alignment can cost here.
            Err(e) => {
                prop_assert_eq!(e, PlaceError::TooBig);
                prop_assert!((18 << 20) + u64::from(init_size) + initrd + 4096 > partition.memory().size);
            }
        }
    }
}

#[test]
fn bad_memory_is_refused() {
    let good = Extent::new(0x2000_0000, PARTITION_MIN);
    assert!(Partition::new(&[good], LOW).is_ok());
    let refused = |memory, low| Partition::new(&[memory], low).unwrap_err();
    assert_eq!(
        refused(Extent::new(0x2000_1000, PARTITION_MIN), LOW),
        PartitionError::Address
    );
    assert_eq!(
        refused(Extent::new(0, PARTITION_MIN), LOW),
        PartitionError::Address
    );
    assert_eq!(
        refused(Extent::new(1 << 52, PARTITION_MIN), LOW),
        PartitionError::Address
    );
    assert_eq!(
        refused(
            Extent::new(0u64.wrapping_sub(PARTITION_MIN), PARTITION_MIN),
            LOW
        ),
        PartitionError::Address
    );
    assert_eq!(
        refused(Extent::new(0x2000_0000, PARTITION_MIN + 1), LOW),
        PartitionError::Address
    );
    assert_eq!(
        refused(
            Extent::new(0x2000_0000, PARTITION_MIN - PARTITION_ALIGN),
            LOW
        ),
        PartitionError::Size
    );
    assert_eq!(
        refused(
            Extent::new(0x2000_0000, PARTITION_MAX + PARTITION_ALIGN),
            LOW
        ),
        PartitionError::Size
    );
    assert_eq!(
        refused(Extent::new(0x2000_0000, 0), LOW),
        PartitionError::Address
    );
    for low in [
        Extent::new(0x7_0800, 0x1_0000),
        Extent::new(0x7_0000, LOW_MIN - 4096),
        Extent::new(0x7_0000, LOW_MIN + 1),
        Extent::new(0xf000, 0x1_0000),
        Extent::new(0x9_8000, 0x1_0000),
        Extent::new(u64::MAX - 0xfff, 0x1_0000),
        Extent::new(0, 0),
    ] {
        assert_eq!(refused(good, low), PartitionError::Low, "{low:x?}");
    }
}

#[test]
fn further_ranges_are_ram_and_nothing_else() {
    let first = Extent::new(0x4000_0000, PARTITION_MIN);
    let (below, above) = (
        Extent::new(0x1000_0000, PARTITION_ALIGN),
        Extent::new(0x1_0000_0000, 5 * PARTITION_ALIGN),
    );
    let partition = Partition::new(&[first, above, below], LOW).unwrap();
    let map = partition.memory_map();
    assert!(map
        .windows(2)
        .all(|two| two[0].extent.end().unwrap() <= two[1].extent.start));
    for range in [below, above] {
        let entry = map.iter().find(|e| e.extent == range).unwrap();
        assert_eq!(entry.kind, MemoryKind::Ram);
    }
    assert_eq!(map.len(), 8);
    assert_eq!(partition.memory(), first);

    let overlapping = [
        first,
        Extent::new(first.start + PARTITION_MIN - PARTITION_ALIGN, PARTITION_MIN),
    ];
    assert_eq!(
        Partition::new(&overlapping, LOW),
        Err(PartitionError::Address)
    );
    assert_eq!(
        Partition::new(&[first, Extent::new(0x1000_1000, PARTITION_ALIGN)], LOW),
        Err(PartitionError::Address)
    );
    assert_eq!(Partition::new(&[], LOW), Err(PartitionError::Size));
    let many: Vec<Extent> = (0..17)
        .map(|i| Extent::new((1 + i) << 30, PARTITION_MIN))
        .collect();
    assert_eq!(Partition::new(&many, LOW), Err(PartitionError::Count));
    assert!(Partition::new(&many[..16], LOW).is_ok());
}

#[test]
fn a_kernel_that_does_not_fit_is_refused() {
    let small = Partition::new(&[Extent::new(0x2000_0000, PARTITION_MIN)], LOW).unwrap();
    let place = |partition: &Partition, file: &[u8], initrd| {
        partition.place(&Kernel::parse(file).unwrap(), initrd)
    };
    let file = image(48 << 20, 1 << 21, false);
    assert!(place(&small, &file, 0).is_ok());
    assert_eq!(place(&small, &file, 1), Err(PlaceError::TooBig));
    assert_eq!(place(&small, &file, u64::MAX), Err(PlaceError::TooBig));
    assert_eq!(
        place(&small, &image((48 << 20) + 1, 1 << 21, false), 0),
        Err(PlaceError::TooBig)
    );
    assert_eq!(
        place(&small, &image(4096, 1 << 30, false), 0),
        Err(PlaceError::TooBig)
    );

    let high = Partition::new(&[Extent::new(1 << 32, PARTITION_MIN)], LOW).unwrap();
    assert_eq!(place(&high, &file, 0), Err(PlaceError::Above4G));
    assert!(place(&high, &image(48 << 20, 1 << 21, true), 0).is_ok());
}
