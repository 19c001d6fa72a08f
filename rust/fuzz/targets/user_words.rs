// SPDX-License-Identifier: GPL-2.0
//! Numbers that programs pass to system calls, and short texts of users: masks of processors, ranges that a call
//! changes, machine ids.

use super::Target;
use crate::source::Source;

use popcorn_core::affinity;
use popcorn_core::affinity::Target as Goal;
use popcorn_core::affinity::CPUS_PER_NODE;
use popcorn_core::affinity::MASK_MAX;
use popcorn_core::ids::NodeId;
use popcorn_core::layout;
use popcorn_core::machine_id::MachineId;
use popcorn_core::syscall;

pub(super) const TARGET: Target = Target {
    name: "user_words",
    about: "arguments of system calls, masks of processors, machine ids",
    most: 256,
    seeds,
    run,
};

/// The end of all user addresses.
const END: u64 = 1 << 56;

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    // The last one is pkey_mprotect, 329.
    for number in [9, 10, 11, 12, 25, 28, 30, 216, 73] {
        // A call at pages 3 and 5, of 2 pages each, with all flags.
        let mut seed = vec![0, number, u8::from(number == 73)];
        for argument in [3u8, 2, 2, 0, 5, 0] {
            seed.extend([argument, 0, 0]);
        }
        seed.extend([40, 0, 0, 3, 63]);
        seeds.push(seed);
    }
    let mut mask = vec![1, 3, 64, 0];
    mask.extend([0; 20]);
    mask[12] = 0xff;
    seeds.push(mask);
    seeds.push([&[2][..], b"0123456789abcdefFEDCBA9876543210"].concat());
    seeds
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    match source.byte() % 3 {
        0 => call(&mut source),
        1 => mask(&mut source),
        _ => machine_id(source.rest()),
    }
}

fn call(source: &mut Source<'_>) {
    let number = u64::from(source.short());
    let arguments = [(); 6].map(|()| source.multiple(4096));
    let brk = source.multiple(4096);
    let mut arguments = arguments;
    // Flags, in the place where a call has them.
    let at = source.below(6);
    arguments[at] |= source.word() & 0xffff;
    let ranges = layout::affected(number, &arguments, brk);
    let mut count = 0;
    for range in ranges.into_iter().flatten() {
        assert!(range.start() < range.end() && range.end() <= END);
        assert!((range.start() | range.end()) % 4096 == 0);
        count += 1;
    }
    if let [Some(one), Some(other)] = ranges {
        assert!(!one.overlaps(other), "both cannot be frozen");
    }
    let [start, length, ..] = arguments;
    let fits = start.checked_add(length).is_some_and(|end| end < END);
    // What is unmapped or changed in place is wholly covered.
    if [10, 11].contains(&number) && fits && length > 0 {
        let range = ranges[0].unwrap();
        assert!(count == 1 && range.start() <= start && start + length <= range.end());
        assert!(range.end() - range.start() < length + 2 * 4096);
    }
    let result = source.word() as i64;
    if syscall::wants_restart(result) {
        assert!((-516..=-512).contains(&result) && result != -515);
        assert!([number, 219].contains(&syscall::restart(number, result)));
    }
    assert!(!syscall::is_exec(number) || syscall::place(number) == syscall::Place::Return);
}

fn mask(source: &mut Source<'_>) {
    let own = NodeId::new(u64::from(source.byte() % 64)).unwrap();
    let own_cpus = usize::from(source.short() % 1200);
    let mask = source.rest();
    let target = affinity::target(mask, own, own_cpus);
    let ours = own_cpus.max(CPUS_PER_NODE);
    if ours >= 8 * MASK_MAX {
        assert_eq!(target, Goal::Local);
        return;
    }
    let is_set = |cpu: usize| mask[cpu / 8] & (1 << (cpu % 8)) != 0;
    let all: Vec<usize> = (0..8 * mask.len().min(MASK_MAX))
        .filter(|&cpu| is_set(cpu))
        .collect();
    let is_local = all.iter().any(|&cpu| cpu < ours);
    let mut others: Vec<usize> = all
        .iter()
        .filter(|&&cpu| cpu >= ours)
        .map(|cpu| cpu / 64 - 1)
        .collect();
    others.dedup();
    let expected = match (is_local, &others[..]) {
        (true, []) => Goal::Local,
        (true, _) => Goal::Stay,
        (false, [node]) if *node == own.index() => Goal::Stay,
        (false, [node]) => NodeId::new(*node as u64).map_or(Goal::Unclear, Goal::Node),
        (false, _) => Goal::Unclear,
    };
    assert_eq!(target, expected);
}

fn machine_id(text: &[u8]) {
    let is_hex = text.len() == 32 && text.iter().all(u8::is_ascii_hexdigit);
    let is_good = is_hex && text.iter().any(|&digit| digit != b'0');
    let id = MachineId::parse(text);
    assert_eq!(id.is_some(), is_good);
    if let Some(id) = id {
        assert_eq!(id.to_string().into_bytes(), text.to_ascii_lowercase());
    }
}
