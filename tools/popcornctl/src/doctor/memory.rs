// SPDX-License-Identifier: GPL-2.0
//! Memory that can be lent: in large pieces, and some below 640 KiB.

use super::machine::Machine;
use super::Check;
use crate::kernel::resources::Cpus;
use crate::output;
use popcorn_core::memory_plan::BLOCK;
use popcorn_core::partition::LOW_MIN;
use popcorn_core::partition::LOW_SIZE;
use popcorn_core::partition::PARTITION_MIN;

const PAGE: u64 = 4096;
/// Where low memory may lie: above what firmware and real mode keep their tables in, below the BIOS.
const LOW: std::ops::Range<u64> = 64 << 10..640 << 10;

/// How much memory is free, and in how large pieces.
pub(super) fn free(machine: &Machine) -> Check {
    const NAME: &str = "memory";
    let info = machine.text("/proc/meminfo").unwrap_or_default();
    let available = info
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok())
        .and_then(|kilobytes| kilobytes.checked_mul(1024));
    let Some(available) = available else {
        return Check::no(NAME, "how much is free cannot be seen", "mount /proc");
    };
    if available < PARTITION_MIN {
        return Check::no(
            NAME,
            format!("{} are free", output::bytes(available)),
            format!(
                "end programs: a kernel needs {} at least",
                output::bytes(PARTITION_MIN)
            ),
        );
    }
    let whole = machine
        .text("/proc/buddyinfo")
        .map_or(0, |text| in_blocks(&text));
    let finding = format!(
        "{} are free, {} of it in pieces of {} or more",
        output::bytes(available),
        output::bytes(whole),
        output::bytes(BLOCK)
    );
    if whole < PARTITION_MIN {
        // It can still be had: what lies between is moved away.
        let next = "taking it may take long or fail: echo 1 >/proc/sys/vm/compact_memory first, or reserve some at boot (memmap=SIZE$ADDRESS)";
        return Check::warning(NAME, finding, next);
    }
    Check::ok(NAME, finding)
}

/// Bytes that are free in blocks of [`BLOCK`] or more: column `i` counts blocks of `2^i` pages.
fn in_blocks(buddyinfo: &str) -> u64 {
    let blocks = |line: &str| -> Option<u64> {
        let (_, rest) = line.split_once("zone")?;
        let counts = rest.split_whitespace().skip(1);
        Some(
            counts
                .enumerate()
                .filter_map(|(order, count)| {
                    let size = PAGE.checked_shl(u32::try_from(order).ok()?)?;
                    let count: u64 = count.parse().ok()?;
                    (size >= BLOCK).then(|| count.saturating_mul(size))
                })
                .fold(0, u64::saturating_add),
        )
    };
    buddyinfo
        .lines()
        .filter_map(blocks)
        .fold(0, u64::saturating_add)
}

/// Whether memory is nearer to some processors than to others.
pub(super) fn numa(machine: &Machine) -> Check {
    const NAME: &str = "numa";
    const FOLDER: &str = "/sys/devices/system/node";
    let nodes = machine
        .text(&format!("{FOLDER}/online"))
        .and_then(|text| text.parse::<Cpus>().ok())
        .map_or(Vec::new(), |nodes| nodes.0);
    if nodes.len() < 2 {
        return Check::ok(NAME, "one node: all memory is as near");
    }
    let each = |node: &u32| {
        let cpus = machine.text(&format!("{FOLDER}/node{node}/cpulist"));
        let cpus = cpus.filter(|cpus| !cpus.is_empty());
        // "Node 0 MemFree:  1234 kB"
        let info = machine.text(&format!("{FOLDER}/node{node}/meminfo"));
        let free = info.unwrap_or_default().lines().find_map(|line| {
            let (_, rest) = line.split_once("MemFree:")?;
            rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
        });
        format!(
            "node {node} has processors {} and {} free",
            cpus.unwrap_or("none".into()),
            output::bytes(free.unwrap_or(0).saturating_mul(1024))
        )
    };
    let each: Vec<String> = nodes.iter().map(each).collect();
    Check::ok(
        NAME,
        format!(
            "{}; memory is taken from that of a kernel's first processor, if it has so much",
            each.join(", ")
        ),
    )
}

/// Whether there is memory in which processors can start.
pub(super) fn low(machine: &Machine) -> Check {
    const NAME: &str = "low memory";
    const RESERVE: &str = "see what the firmware leaves below 640 KiB (/proc/iomem)";
    let map = machine.text("/proc/iomem").unwrap_or_default();
    let ranges: Vec<(u64, u64, &str)> = map.lines().filter_map(range).collect();
    if ranges.iter().all(|&(_, end, _)| end <= 1) {
        return Check::no(
            NAME,
            "it cannot be seen",
            "run this as root, with /proc mounted",
        );
    }
    let room: Vec<u64> = ranges
        .iter()
        .filter(|(_, _, name)| *name == "System RAM")
        .filter_map(|&(start, end, _)| end.min(LOW.end).checked_sub(start.max(LOW.start)))
        .filter(|&bytes| bytes > 0)
        .collect();
    let all = room.iter().sum();
    let kernels: u64 = room.iter().map(|bytes| bytes / LOW_SIZE).sum();
    match kernels {
        0 if room.iter().any(|&bytes| bytes >= LOW_MIN) => Check::warning(
            NAME,
            format!("{} below 640 KiB, in one piece hardly enough", output::bytes(all)),
            "choose a place with `kernel create --low-memory`, reserved at boot (memmap=SIZE$ADDRESS)",
        ),
        0 => Check::no(
            NAME,
            format!("only {} below 640 KiB", output::bytes(all)),
            RESERVE,
        ),
        kernels => Check::ok(
            NAME,
            format!(
                "{} below 640 KiB, for up to {kernels} kernels",
                output::bytes(all)
            ),
        ),
    }
}

/// A line of `/proc/iomem`: start, end (behind it), name.
fn range(line: &str) -> Option<(u64, u64, &str)> {
    let (place, name) = line.trim().split_once(" : ")?;
    let (start, last) = place.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(start)?, number(last)?.checked_add(1)?, name))
}

#[cfg(test)]
mod tests {
    use super::super::machine::fake;
    use super::super::Verdict;
    use super::*;

    #[test]
    fn the_nodes_of_a_numa_machine_are_told() {
        let folder = fake::good();
        let machine = Machine::at(folder.path());
        assert!(numa(&machine).finding.starts_with("one node"));
        const NODES: &str = "sys/devices/system/node";
        fake::write(&folder, &format!("{NODES}/online"), "0,2\n");
        fake::write(&folder, &format!("{NODES}/node0/cpulist"), "0-3\n");
        let info = "Node 0 MemTotal:  4000 kB\nNode 0 MemFree:   2048 kB\n";
        fake::write(&folder, &format!("{NODES}/node0/meminfo"), info);
        fake::write(&folder, &format!("{NODES}/node2/cpulist"), "\n");
        let check = numa(&machine);
        assert_eq!(check.verdict, Verdict::Ok);
        let finding = check.finding;
        let said = "node 0 has processors 0-3 and 2.0 MiB free, node 2 has processors none and ";
        assert!(finding.starts_with(said), "{finding}");
    }

    #[test]
    fn only_large_pieces_count_as_such() {
        assert_eq!(in_blocks("Node 0, zone Normal 9 9 9 9 9 9 9 9 9 0 0"), 0);
        assert_eq!(
            in_blocks(
                "Node 0, zone DMA 0 0 0 0 0 0 0 0 0 1 3\nNode 1, zone Normal 0 0 0 0 0 0 0 0 0 2 0"
            ),
            (2 + 3 * 4 + 2 * 2) << 20
        );
        assert_eq!(in_blocks("nonsense\nNode 0, zone\n"), 0);
    }

    #[test]
    fn little_is_no_and_scattered_is_a_warning() {
        let folder = fake::good();
        let machine = Machine::at(folder.path());
        fake::write(
            &folder,
            "proc/buddyinfo",
            "Node 0, zone Normal 900 0 0 0 0 0 0 0 0 0 7\n",
        );
        let check = free(&machine);
        assert_eq!(check.verdict, Verdict::Warning);
        assert!(
            check.finding.contains("28.0 MiB of it"),
            "{}",
            check.finding
        );
        fake::write(&folder, "proc/meminfo", "MemAvailable:   60000 kB\n");
        assert_eq!(free(&machine).verdict, Verdict::No);
        fake::write(&folder, "proc/meminfo", "MemFree:   60000000 kB\n");
        assert_eq!(free(&machine).verdict, Verdict::No);
    }

    #[test]
    fn low_memory_lies_between_64_and_640_kilobytes() {
        let folder = fake::good();
        let machine = Machine::at(folder.path());
        // 0x10000 to 0x9fc00 are eight and a bit.
        assert!(low(&machine).finding.ends_with("up to 8 kernels"));
        for (map, verdict) in [
            ("00001000-0001ffff : System RAM", Verdict::Ok),
            ("00001000-0001bfff : System RAM", Verdict::Warning),
            ("00001000-0001afff : System RAM", Verdict::No),
            ("00001000-0009ffff : Reserved", Verdict::No),
            ("00100000-7fffffff : System RAM", Verdict::No),
            // What others than root see.
            ("00000000-00000000 : System RAM", Verdict::No),
        ] {
            fake::write(&folder, "proc/iomem", map);
            assert_eq!(low(&machine).verdict, verdict, "{map}");
        }
        assert!(low(&machine).next.contains("root"));
    }
}
