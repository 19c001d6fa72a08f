// SPDX-License-Identifier: GPL-2.0
//! `popcornctl node ping`: how long a message takes there and back.

use crate::cli::node::PingArgs;
use crate::device::Popcorn;
use crate::failure::Failure;
use crate::output;
use crate::output::Output;
use crate::signals;
use crate::uapi;
use crate::uapi::Ping;
use nix::errno::Errno;
use nix::poll::poll;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SfdFlags;
use nix::sys::signalfd::SignalFd;
use serde::Serialize;
use std::os::fd::AsFd;
use std::time::Duration;
use std::time::Instant;

/// Round trips without an interval, if nothing is said.
const COUNT: u32 = 1000;

/// The result.
#[derive(Debug, PartialEq, Serialize)]
struct PingResult {
    node: u32,
    bytes: u32,
    /// Round trips that were made.
    count: u32,
    /// Those without an answer.
    lost: u32,
    poll: bool,
    mean_ns: u64,
    min_ns: u64,
    max_ns: u64,
    median_ns: u64,
    p99_ns: u64,
    stddev_ns: u64,
}

/// `node ping`
pub(crate) fn ping(device: &impl Popcorn, args: &PingArgs, output: &Output) -> Result<(), Failure> {
    let Some(interval) = args.interval else {
        let count = args.count.unwrap_or(COUNT);
        let (_, times) = device
            .ping(request(args, count))
            .map_err(|errno| ping_failure(args.node, errno))?;
        return finish(args, times, 0, output);
    };
    let interrupt = Interrupt::new().map_err(|errno| ping_failure(args.node, errno))?;
    let ask = || device.ping(request(args, 1));
    let (times, lost) = one_by_one(
        args,
        &mut || interrupt.let_in(ask),
        &mut |text| output.line(text),
        &mut |since: Instant| interrupt.wait_until(since + interval),
    )?;
    if times.is_empty() && signals::is_noted() {
        let what = format!("ping to node {}: interrupted before any answer", args.node);
        return Err(Failure::new(what, "`popcornctl node list` shows its state"));
    }
    if times.is_empty() {
        let status = Failure::refused(format!("ping to node {}", args.node), Errno::EHOSTDOWN);
        return Err(status);
    }
    finish(args, times, lost, output)
}

fn request(args: &PingArgs, count: u32) -> Ping {
    let flags = if args.poll { uapi::PING_POLL } else { 0 };
    Ping::new(args.node, args.bytes, count, flags)
}

/// One after the other by `ask`, each told by `tell`; after each it may `pause`, which says whether to go on.
/// The times of those that were answered, and how many were not.
fn one_by_one(
    args: &PingArgs,
    ask: &mut dyn FnMut() -> Result<(Ping, Vec<u64>), Errno>,
    tell: &mut dyn FnMut(&str) -> Result<(), Failure>,
    pause: &mut dyn FnMut(Instant) -> bool,
) -> Result<(Vec<u64>, u32), Failure> {
    let mut times = Vec::new();
    let mut lost = 0;
    let mut number = 0u32;
    loop {
        let begin = Instant::now();
        number = number.wrapping_add(1);
        match ask() {
            Ok((_, ns)) => {
                let ns = ns.first().copied().unwrap_or(0);
                times.push(ns);
                tell(&format!(
                    "{} bytes from node {}: seq={number} time={}",
                    args.bytes,
                    args.node,
                    output::duration(ns)
                ))?;
            }
            // It may come back; whether a signal is the end, `pause` says.
            Err(errno @ (Errno::EHOSTDOWN | Errno::ETIMEDOUT | Errno::EINTR)) => {
                lost += 1;
                tell(&format!(
                    "no answer from node {}: seq={number} ({errno})",
                    args.node
                ))?;
            }
            Err(errno) => return Err(ping_failure(args.node, errno)),
        }
        if Some(number) == args.count || !pause(begin) {
            return Ok((times, lost));
        }
    }
}

/// Ctrl-C ends the pings, not the program. It waits until it is let in, or looked for.
struct Interrupt {
    set: SigSet,
    waiting: SignalFd,
}

impl Interrupt {
    fn new() -> Result<Self, Errno> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGINT);
        set.thread_block()?;
        signals::note(Signal::SIGINT)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let waiting = SignalFd::with_flags(&set, flags)?;
        Ok(Self { set, waiting })
    }

    /// What `ask` says; it ends with `EINTR` when Ctrl-C comes. One that comes just before it sleeps does not end it, but
    /// the next one does.
    fn let_in<T>(&self, ask: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
        self.set.thread_unblock()?;
        let answer = if signals::is_noted() {
            Err(Errno::EINTR)
        } else {
            ask()
        };
        self.set.thread_block()?;
        answer
    }

    /// False: it came before then.
    fn wait_until(&self, then: Instant) -> bool {
        loop {
            if signals::is_noted() {
                return false;
            }
            let rest = then.saturating_duration_since(Instant::now());
            // At least once, also if the time is over; no shorter than what is left.
            let ms = rest.as_millis()
                + u128::from(rest > Duration::from_millis(rest.as_millis() as u64));
            let timeout = PollTimeout::try_from(ms.min(60_000) as i32).unwrap_or(PollTimeout::ZERO);
            let mut fds = [PollFd::new(self.waiting.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, timeout) {
                Ok(0) if rest <= Duration::from_secs(60) => return true,
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) | Err(_) => return false,
            }
        }
    }
}

fn finish(args: &PingArgs, times: Vec<u64>, lost: u32, output: &Output) -> Result<(), Failure> {
    let result = PingResult::new(args, times, lost);
    output.result(&result, || result.text())
}

impl PingResult {
    fn new(args: &PingArgs, mut times: Vec<u64>, lost: u32) -> Self {
        times.sort_unstable();
        let count = times.len();
        let at = |rank: usize| times.get(rank.saturating_sub(1)).copied().unwrap_or(0);
        let mean = times.iter().map(|&ns| ns as f64).sum::<f64>() / count.max(1) as f64;
        let variance = times
            .iter()
            .map(|&ns| (ns as f64 - mean).powi(2))
            .sum::<f64>()
            / count.max(1) as f64;
        let middle = at(count.div_ceil(2));
        Self {
            node: args.node,
            bytes: args.bytes,
            count: count as u32,
            lost,
            poll: args.poll,
            mean_ns: mean as u64,
            min_ns: at(1),
            max_ns: at(count),
            median_ns: if count % 2 == 0 {
                middle.midpoint(at(count / 2 + 1))
            } else {
                middle
            },
            p99_ns: at((count * 99).div_ceil(100)),
            stddev_ns: variance.sqrt() as u64,
        }
    }

    fn text(&self) -> String {
        let lost = match self.lost {
            0 => String::new(),
            lost => format!(", {lost} without an answer"),
        };
        format!(
            "node {}: {} round trips of {} bytes{lost}\n\
             min/avg/median/p99/max/stddev = {} / {} / {} / {} / {} / {}",
            self.node,
            self.count,
            self.bytes,
            output::duration(self.min_ns),
            output::duration(self.mean_ns),
            output::duration(self.median_ns),
            output::duration(self.p99_ns),
            output::duration(self.max_ns),
            output::duration(self.stddev_ns),
        )
    }
}

fn ping_failure(node: u32, errno: Errno) -> Failure {
    let what = format!("ping to node {node}");
    if errno == Errno::EPERM {
        return Failure {
            next: "run this as root (it needs CAP_SYS_ADMIN)".into(),
            ..Failure::refused(what, errno)
        };
    }
    Failure::refused(what, errno)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::tests::FakeKernel;
    use std::cell::RefCell;

    fn args(count: Option<u32>) -> PingArgs {
        PingArgs {
            node: 1,
            bytes: 64,
            count,
            interval: None,
            poll: false,
        }
    }

    /// One ping.
    fn once(kernel: &FakeKernel) -> Result<(Ping, Vec<u64>), Errno> {
        kernel.ping(request(&args(None), 1))
    }

    fn kernel(pings: &[Result<u64, Errno>]) -> FakeKernel {
        FakeKernel {
            pings: RefCell::new(pings.to_vec()),
            ..FakeKernel::default()
        }
    }

    #[test]
    fn figures() {
        let result = PingResult::new(&args(None), vec![400, 100, 300, 200], 2);
        assert_eq!((result.count, result.lost), (4, 2));
        assert_eq!(
            (result.min_ns, result.max_ns, result.mean_ns),
            (100, 400, 250)
        );
        assert_eq!((result.median_ns, result.p99_ns), (250, 400));
        assert_eq!(result.stddev_ns, 111);
        let odd = PingResult::new(&args(None), vec![5, 1, 900], 0);
        assert_eq!(odd.median_ns, 5);
        let text = result.text();
        assert!(
            text.contains("4 round trips of 64 bytes, 2 without an answer"),
            "{text}"
        );
        assert!(
            text.contains("= 100 ns / 250 ns / 250 ns / 400 ns / 400 ns / 111 ns"),
            "{text}"
        );
        let value = serde_json::to_value(&odd).unwrap();
        assert_eq!(value.as_object().unwrap().len(), 11);
    }

    #[test]
    fn all_at_once_is_one_request() {
        let kernel = kernel(&[Ok(1000), Ok(2000), Ok(3000)]);
        ping(&kernel, &args(Some(3)), &Output::new(true)).unwrap();
        let failure = ping(&kernel, &args(Some(1)), &Output::new(true)).unwrap_err();
        assert_eq!(failure.errno, Some(Errno::EHOSTDOWN));
    }

    #[test]
    fn one_by_one_bears_losses_until_it_is_told_to_end() {
        let kernel = kernel(&[Ok(1000), Err(Errno::EHOSTDOWN), Ok(3000), Err(Errno::EINTR)]);
        let mut lines = Vec::new();
        let mut pauses = 0;
        let (times, lost) = one_by_one(
            &args(None),
            &mut || once(&kernel),
            &mut |line| {
                lines.push(line.to_owned());
                Ok(())
            },
            &mut |_| {
                pauses += 1;
                pauses < 4
            },
        )
        .unwrap();
        assert_eq!((times, lost), (vec![1000, 3000], 2));
        assert_eq!(lines[0], "64 bytes from node 1: seq=1 time=1.0 us");
        assert!(
            lines[1].contains("seq=2") && lines[1].contains("EHOSTDOWN"),
            "{}",
            lines[1]
        );
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn one_by_one_counts_and_gives_up_on_other_errors() {
        let told = &mut |_: &str| Ok(());
        let willing = kernel(&[Ok(1), Ok(2), Ok(3)]);
        let (times, _) =
            one_by_one(&args(Some(2)), &mut || once(&willing), told, &mut |_| true).unwrap();
        assert_eq!(times, [1, 2]);
        let unwilling = kernel(&[Ok(1), Err(Errno::EPERM)]);
        let failure =
            one_by_one(&args(None), &mut || once(&unwilling), told, &mut |_| true).unwrap_err();
        assert!(failure.next.contains("CAP_SYS_ADMIN"));
    }

    #[test]
    fn an_interval_ends_and_ctrl_c_ends_it_and_pings() {
        let interrupt = Interrupt::new().unwrap();
        let begin = Instant::now();
        assert!(interrupt.wait_until(begin + Duration::from_millis(20)));
        assert!(begin.elapsed() >= Duration::from_millis(20));
        assert_eq!(interrupt.let_in(|| Ok(1)), Ok(1));
        let long = Instant::now() + Duration::from_secs(3600);
        // In this thread only: others may not have it blocked.
        nix::sys::signal::raise(Signal::SIGINT).unwrap();
        assert!(!interrupt.wait_until(long));
        // It is let in first, so nobody is asked.
        let asked: Result<(), Errno> = interrupt.let_in(|| panic!("asked"));
        assert_eq!(asked, Err(Errno::EINTR));
        assert!(signals::is_noted() && !interrupt.wait_until(long));
    }

    #[test]
    fn ping_without_privilege_speaks_of_root() {
        assert!(ping_failure(1, Errno::EPERM).next.contains("CAP_SYS_ADMIN"));
        assert!(ping_failure(1, Errno::ENODEV).next.contains("node list"));
    }
}
