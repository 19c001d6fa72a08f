// SPDX-License-Identifier: GPL-2.0
//! `popcornctl msg`: the messages between this kernel and the others.

pub(crate) mod counters;
pub(crate) mod types;

use crate::cli::msg::StatArgs;
use crate::device::Popcorn;
use crate::failure::Failure;
use crate::output::Output;
use crate::uapi::MsgInfo;
use counters::Messages;
use std::time::Duration;

/// `msg stat`
pub(crate) fn stat(device: &impl Popcorn, args: &StatArgs, output: &Output) -> Result<(), Failure> {
    let mut before = read(device, args)?;
    let all: Vec<Messages> = before.iter().map(Messages::from).collect();
    output.result(&all, || counters::table(&all))?;
    let Some(pause) = args.watch else {
        return Ok(());
    };
    loop {
        std::thread::sleep(pause);
        let now = read(device, args)?;
        let new = difference(&now, &before);
        output.result(&new, || news(&new, pause))?;
        before = now;
    }
}

/// What the kernel has counted, of what is wanted, by node and type.
pub(crate) fn read(device: &impl Popcorn, args: &StatArgs) -> Result<Vec<MsgInfo>, Failure> {
    let mut all = device
        .messages(args.node)
        .map_err(|errno| Failure::refused("counting the messages", errno))?;
    if let Some(kind) = args.kind {
        all.retain(|info| info.kind == kind.0);
    }
    all.sort_by_key(|info| (info.node, info.kind));
    Ok(all)
}

/// What came since, of the types of which something came.
fn difference(now: &[MsgInfo], before: &[MsgInfo]) -> Vec<Messages> {
    let key = |info: &MsgInfo| (info.node, info.kind);
    now.iter()
        .map(|info| {
            let earlier = before.iter().find(|earlier| key(earlier) == key(info));
            let new = earlier.map_or(*info, |earlier| counters::since(info, earlier));
            Messages::from(&new)
        })
        .filter(|messages| !messages.is_empty())
        .collect()
}

fn news(new: &[Messages], pause: Duration) -> String {
    format!(
        "\nin {} s:\n{}",
        pause.as_secs_f64(),
        if new.is_empty() {
            "nothing\n".into()
        } else {
            counters::table(new)
        }
    )
}

#[cfg(test)]
mod tests {
    use super::counters::tests::info;
    use super::*;
    use crate::migrate::tests::FakeKernel;
    use types::Type;

    fn args(node: Option<u32>, kind: Option<u32>) -> StatArgs {
        StatArgs {
            node,
            kind: kind.map(Type),
            watch: None,
        }
    }

    #[test]
    fn what_is_wanted_in_order() {
        let kernel = FakeKernel {
            messages: vec![
                info(2, 1, &[]),
                info(1, 0x301, &[100]),
                info(1, 1, &[]),
                info(1, 0x10000, &[]),
            ],
            ..FakeKernel::default()
        };
        let keys = |node, kind| -> Vec<(u32, u32)> {
            read(&kernel, &args(node, kind))
                .unwrap()
                .iter()
                .map(|info| (info.node, info.kind))
                .collect()
        };
        assert_eq!(keys(None, None), [(1, 1), (1, 0x301), (1, 0x10000), (2, 1)]);
        assert_eq!(keys(Some(2), None), [(2, 1)]);
        assert_eq!(keys(None, Some(1)), [(1, 1), (2, 1)]);
        assert_eq!(keys(Some(3), None), []);
        stat(&kernel, &args(None, None), &Output::new(true)).unwrap();
    }

    #[test]
    fn only_news_are_told() {
        let before = [info(1, 1, &[]), info(1, 0x301, &[100])];
        let now = [
            info(1, 1, &[]),
            info(1, 0x301, &[100, 300]),
            info(2, 1, &[]),
        ];
        let new = difference(&now, &before);
        let keys: Vec<_> = new.iter().map(|new| (new.node, new.kind)).collect();
        assert_eq!(keys, [(1, 0x301), (2, 1)]);
        let second = Duration::from_secs(1);
        assert!(news(&new, second).starts_with("\nin 1 s:\nNODE"));
        assert_eq!(news(&[], second), "\nin 1 s:\nnothing\n");
    }
}
