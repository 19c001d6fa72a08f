// SPDX-License-Identifier: GPL-2.0
//! What was counted of one message type, as it is printed.

use crate::msg::types::Type;
use crate::output;
use crate::uapi::MsgInfo;
use popcorn_core::stats::histogram::bucket_begin;
use popcorn_core::stats::histogram::Snapshot;
use serde::Serialize;

/// A message type between this kernel and a node.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Messages {
    pub(crate) node: u32,
    #[serde(rename = "type")]
    pub(crate) kind: u32,
    name: Option<&'static str>,
    sent: u64,
    sent_bytes: u64,
    received: u64,
    received_bytes: u64,
    calls: u64,
    errors: u64,
    timed_out: u64,
    interrupted: u64,
    host_down: u64,
    failed: u64,
    latency: Latency,
    stalls: u64,
    stall_ns: u64,
    full: u64,
    lost: u64,
    late: u64,
    retries: u64,
}

/// How long calls took that were answered; null if there was none.
#[derive(Clone, Debug, Serialize)]
struct Latency {
    count: u64,
    mean_ns: Option<u64>,
    min_ns: Option<u64>,
    p50_ns: Option<u64>,
    p90_ns: Option<u64>,
    p99_ns: Option<u64>,
    max_ns: Option<u64>,
    /// The buckets that are not empty.
    histogram: Vec<Bucket>,
}

/// So many took so long or longer, until the next bucket.
#[derive(Clone, Debug, Serialize)]
struct Bucket {
    from_ns: u64,
    count: u64,
}

impl From<&Snapshot> for Latency {
    fn from(snapshot: &Snapshot) -> Self {
        let count = snapshot.count();
        let some = |ns| (count != 0).then_some(ns);
        Self {
            count,
            mean_ns: snapshot.mean(),
            min_ns: some(snapshot.min_ns),
            p50_ns: snapshot.percentile(500),
            p90_ns: snapshot.percentile(900),
            p99_ns: snapshot.percentile(990),
            max_ns: some(snapshot.max_ns),
            histogram: snapshot
                .buckets
                .iter()
                .enumerate()
                .filter(|(_, count)| **count != 0)
                .map(|(bucket, &count)| Bucket {
                    from_ns: bucket_begin(bucket),
                    count,
                })
                .collect(),
        }
    }
}

fn snapshot(info: &MsgInfo) -> Snapshot {
    Snapshot {
        buckets: info.latency,
        total_ns: info.latency_ns,
        min_ns: info.latency_min_ns,
        max_ns: info.latency_max_ns,
    }
}

impl From<&MsgInfo> for Messages {
    fn from(info: &MsgInfo) -> Self {
        Self {
            node: info.node,
            kind: info.kind,
            name: Type(info.kind).name(),
            sent: info.sent,
            sent_bytes: info.sent_bytes,
            received: info.received,
            received_bytes: info.received_bytes,
            calls: info.calls,
            errors: info.errors,
            timed_out: info.timed_out,
            interrupted: info.interrupted,
            host_down: info.host_down,
            failed: info.failed,
            latency: Latency::from(&snapshot(info)),
            stalls: info.stalls,
            stall_ns: info.stall_ns,
            full: info.full,
            lost: info.lost,
            late: info.late,
            retries: info.retries,
        }
    }
}

/// What came since `earlier`. A counter that went back is of a link that was made anew: then all of it is new.
pub(crate) fn since(info: &MsgInfo, earlier: &MsgInfo) -> MsgInfo {
    let mut new = *info;
    let pairs = [
        (&mut new.sent, earlier.sent),
        (&mut new.received, earlier.received),
        (&mut new.sent_bytes, earlier.sent_bytes),
        (&mut new.received_bytes, earlier.received_bytes),
        (&mut new.stalls, earlier.stalls),
        (&mut new.stall_ns, earlier.stall_ns),
        (&mut new.full, earlier.full),
        (&mut new.retries, earlier.retries),
        (&mut new.lost, earlier.lost),
        (&mut new.late, earlier.late),
        (&mut new.calls, earlier.calls),
        (&mut new.errors, earlier.errors),
        (&mut new.timed_out, earlier.timed_out),
        (&mut new.interrupted, earlier.interrupted),
        (&mut new.host_down, earlier.host_down),
        (&mut new.failed, earlier.failed),
    ];
    for (counter, before) in pairs {
        match counter.checked_sub(before) {
            Some(difference) => *counter = difference,
            None => return *info,
        }
    }
    let latency = snapshot(info).since(&snapshot(earlier));
    new.latency = latency.buckets;
    new.latency_ns = latency.total_ns;
    new.latency_min_ns = latency.min_ns;
    new.latency_max_ns = latency.max_ns;
    new
}

impl Messages {
    /// Whether there is anything to be told.
    pub(crate) fn is_empty(&self) -> bool {
        let counters = [
            self.sent,
            self.received,
            self.calls,
            self.stalls,
            self.stall_ns,
            self.full,
            self.lost,
            self.late,
            self.retries,
            self.latency.count,
            self.failures(),
        ];
        counters.iter().all(|&counter| counter == 0)
    }

    fn failures(&self) -> u64 {
        [
            self.errors,
            self.timed_out,
            self.interrupted,
            self.host_down,
            self.failed,
        ]
        .iter()
        .fold(0, |sum, &number| sum.saturating_add(number))
    }
}

/// A line for each.
pub(crate) fn table(all: &[Messages]) -> String {
    let time = |ns: Option<u64>| output::duration(ns.unwrap_or(0));
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|one| {
            vec![
                one.node.to_string(),
                Type(one.kind).to_string(),
                one.name.unwrap_or("?").into(),
                one.sent.to_string(),
                output::bytes(one.sent_bytes),
                one.received.to_string(),
                output::bytes(one.received_bytes),
                one.calls.to_string(),
                one.failures().to_string(),
                time(one.latency.p50_ns),
                time(one.latency.p99_ns),
                time(one.latency.max_ns),
                one.stalls.to_string(),
                output::duration(one.stall_ns),
                one.full.to_string(),
                one.lost.saturating_add(one.late).to_string(),
                one.retries.to_string(),
            ]
        })
        .collect();
    output::table(
        &[
            "NODE", "TYPE", "<NAME", "SENT", "BYTES", "RECEIVED", "BYTES", "CALLS", "FAILED",
            "P50", "P99", "MAX", "STALLS", "STALLED", "FULL", "DROPS", "RETRIES",
        ],
        &rows,
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use popcorn_core::stats::histogram::Histogram;

    /// Calls that took these times, and a one-way message that was lost.
    pub(crate) fn info(node: u32, kind: u32, times: &[u64]) -> MsgInfo {
        let histogram = Histogram::new();
        for &ns in times {
            histogram.record(ns);
        }
        let snapshot = histogram.snapshot();
        let calls = times.len() as u64;
        MsgInfo {
            node,
            kind,
            sent: calls + 1,
            sent_bytes: 64 * calls,
            received: calls,
            received_bytes: 4096 * calls,
            calls,
            errors: 1,
            lost: 1,
            latency: snapshot.buckets,
            latency_ns: snapshot.total_ns,
            latency_min_ns: snapshot.min_ns,
            latency_max_ns: snapshot.max_ns,
            ..MsgInfo::default()
        }
    }

    #[test]
    fn json_has_counters_and_percentiles() {
        let times: Vec<u64> = (1..=100).map(|n| n * 1000).collect();
        let value = serde_json::to_value(Messages::from(&info(1, 0x301, &times))).unwrap();
        assert_eq!(value.as_object().unwrap().len(), 20);
        assert_eq!(value["name"], "PageRequest");
        assert_eq!(value["type"], 0x301);
        let latency = &value["latency"];
        assert_eq!(latency["count"], 100);
        assert_eq!(
            (&latency["min_ns"], &latency["max_ns"]),
            (&1000.into(), &100_000.into())
        );
        assert_eq!(latency["mean_ns"], 50_500);
        let near = |name: &str, exact: u64| {
            let told = latency[name].as_u64().unwrap();
            assert!(told.abs_diff(exact) <= exact / 16, "{name}: {told}");
        };
        near("p50_ns", 50_000);
        near("p90_ns", 90_000);
        near("p99_ns", 99_000);
        let counts: u64 = latency["histogram"]
            .as_array()
            .unwrap()
            .iter()
            .map(|bucket| bucket["count"].as_u64().unwrap())
            .sum();
        assert_eq!(counts, 100);
    }

    #[test]
    fn no_calls_are_no_times() {
        let value = serde_json::to_value(Messages::from(&info(1, 0x7000, &[]))).unwrap();
        assert!(value["latency"]["p50_ns"].is_null() && value["latency"]["max_ns"].is_null());
        assert!(value["name"].is_null());
        assert!(Messages::from(&MsgInfo::default()).is_empty());
        assert!(!Messages::from(&info(1, 1, &[])).is_empty());
    }

    #[test]
    fn a_table_for_people() {
        let text = table(&[
            Messages::from(&info(1, 0x301, &[1500; 3])),
            Messages::from(&info(2, 0x10000, &[])),
            Messages::from(&info(3, 0x7000, &[])),
        ]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(
            lines[1].contains("0x0301  PageRequest") && lines[1].contains("1.5 us"),
            "{text}"
        );
        assert!(lines[2].contains("others"), "{text}");
        assert!(lines[3].contains("0x7000  ?"), "{text}");
    }

    #[test]
    fn what_came_to_nothing_is_in_the_table() {
        let info = MsgInfo {
            stalls: 11,
            stall_ns: 12_000,
            full: 13,
            lost: 14,
            late: 100,
            retries: 15,
            ..info(1, 0x301, &[])
        };
        let text = table(&[Messages::from(&info)]);
        let [head, row] = [0, 1].map(|n| text.lines().nth(n).unwrap());
        let last = |line: &str, words: usize| -> Vec<String> {
            let mut last: Vec<_> = line.split_whitespace().rev().take(words).collect();
            last.reverse();
            last.into_iter().map(String::from).collect()
        };
        let names = ["STALLS", "STALLED", "FULL", "DROPS", "RETRIES"];
        assert_eq!(last(head, 5), names, "{text}");
        // A time is a number and its unit.
        assert_eq!(
            last(row, 6),
            ["11", "12.0", "us", "13", "114", "15"],
            "{text}"
        );
    }

    #[test]
    fn differences() {
        let before = info(1, 0x301, &[1000, 2000]);
        let after = info(1, 0x301, &[1000, 2000, 50_000]);
        let new = since(&after, &before);
        assert_eq!((new.sent, new.calls, new.lost, new.errors), (1, 1, 0, 0));
        let messages = Messages::from(&new);
        assert_eq!(messages.latency.count, 1);
        assert_eq!(messages.latency.max_ns, Some(50_000));
        assert!(Messages::from(&since(&after, &after)).is_empty());
        // The link was made anew.
        assert_eq!(since(&before, &after).sent, before.sent);
    }
}
