// SPDX-License-Identifier: GPL-2.0
//! `popcornctl ps`: the threads of this kernel's processes that have migrated.

use crate::cli::program::PsArgs;
use crate::device::Popcorn;
use crate::failure::Failure;
use crate::output;
use crate::output::Output;
use crate::uapi;
use crate::uapi::ThreadInfo;
use serde::Serialize;

/// A thread as it is printed.
#[derive(Debug, Serialize)]
struct Thread {
    pid: i32,
    tid: i32,
    comm: String,
    node: u32,
    away: bool,
    out: u64,
    back: u64,
    bounces: u64,
    syscalls: u64,
    pages_out: u64,
    pages_back: u64,
    grants: u64,
    out_ns_first: u64,
    out_ns_last: u64,
    back_ns_last: u64,
}

impl From<&ThreadInfo> for Thread {
    fn from(info: &ThreadInfo) -> Self {
        Self {
            pid: info.pid,
            tid: info.tid,
            comm: uapi::name(&info.comm),
            node: info.node,
            away: info.flags & uapi::THREAD_AWAY != 0,
            out: info.out,
            back: info.back,
            bounces: info.bounces,
            syscalls: info.syscalls,
            pages_out: info.pages_out,
            pages_back: info.pages_back,
            grants: info.grants,
            out_ns_first: info.out_ns_first,
            out_ns_last: info.out_ns_last,
            back_ns_last: info.back_ns_last,
        }
    }
}

/// `ps`
pub(crate) fn ps(device: &impl Popcorn, args: &PsArgs, output: &Output) -> Result<(), Failure> {
    let infos = device
        .threads(args.pid.unwrap_or(0))
        .map_err(|errno| Failure::refused("listing the migrated threads", errno))?;
    let threads: Vec<Thread> = infos.iter().map(Thread::from).collect();
    output.result(&threads, || threads_table(&threads))
}

fn threads_table(threads: &[Thread]) -> String {
    let rows: Vec<Vec<String>> = threads
        .iter()
        .map(|thread| {
            vec![
                thread.pid.to_string(),
                thread.tid.to_string(),
                thread.node.to_string(),
                if thread.away { "away" } else { "home" }.into(),
                thread.out.to_string(),
                thread.back.to_string(),
                thread.bounces.to_string(),
                thread.syscalls.to_string(),
                thread.pages_out.to_string(),
                thread.pages_back.to_string(),
                thread.grants.to_string(),
                output::duration(thread.out_ns_first),
                output::duration(thread.out_ns_last),
                output::duration(thread.back_ns_last),
                thread.comm.clone(),
            ]
        })
        .collect();
    output::table(
        &[
            "PID",
            "TID",
            "NODE",
            "<WHERE",
            "OUT",
            "BACK",
            "BOUNCES",
            "SYSCALLS",
            "PAGES-OUT",
            "PAGES-BACK",
            "GRANTS",
            "FIRST-OUT",
            "LAST-OUT",
            "LAST-BACK",
            "<COMMAND",
        ],
        &rows,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Thread {
        let mut comm = [0; uapi::NAME_LEN];
        comm[..4].copy_from_slice(b"spin");
        Thread::from(&ThreadInfo {
            pid: 10,
            tid: 11,
            node: 1,
            flags: uapi::THREAD_AWAY,
            out: 2,
            back: 1,
            pages_out: 300,
            out_ns_first: 1_500_000,
            comm,
            ..ThreadInfo::default()
        })
    }

    #[test]
    fn json_has_every_counter() {
        let value = serde_json::to_value(sample()).unwrap();
        assert_eq!(value.as_object().unwrap().len(), 15);
        assert_eq!(value["away"], true);
        assert_eq!(value["comm"], "spin");
        assert_eq!(value["pages_out"], 300);
        assert_eq!(value["out_ns_first"], 1_500_000);
    }

    #[test]
    fn table_has_a_line_for_each() {
        let text = threads_table(&[sample(), sample()]);
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains("away") && text.contains("1.5 ms") && text.ends_with("spin\n"));
    }

    #[test]
    fn nothing_is_an_empty_list() {
        assert_eq!(threads_table(&[]).lines().count(), 1);
    }
}
