// SPDX-License-Identifier: GPL-2.0
//! `popcornctl migrate`: move a process or a thread that runs, and need not know of it.

use crate::cli::program::MigrateArgs;
use crate::cli::program::NodeChoice;
use crate::device::Popcorn;
use crate::failure::Failure;
use crate::output::Output;
use crate::uapi;
use crate::uapi::Migrate;
use crate::uapi::ThreadInfo;
use nix::errno::Errno;
use serde::Serialize;
use std::time::Duration;
use std::time::Instant;

/// How often to look whether a thread has arrived.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The result of `migrate`.
#[derive(Debug, Serialize)]
struct Moved {
    pid: Option<i32>,
    tid: Option<i32>,
    node: String,
    /// False: the request is recorded; it moves when it next leaves the kernel.
    arrived: bool,
}

/// `migrate`
pub(crate) fn migrate(
    device: &impl Popcorn,
    args: &MigrateArgs,
    output: &Output,
) -> Result<(), Failure> {
    // clap guarantees that it is one of them
    let (tid, flags, noun) = match (args.target.pid, args.target.tid) {
        (Some(pid), _) => (pid, uapi::MIGRATE_PROCESS, "process"),
        (None, Some(tid)) => (tid, 0, "thread"),
        (None, None) => return Err(Failure::new("no target", "give --pid or --tid")),
    };
    let what = format!("moving {noun} {tid} to node {}", args.node);
    device
        .migrate(Migrate::new(args.node.to_raw(), tid, flags))
        .map_err(|errno| Failure::refused(what.clone(), errno))?;
    if args.wait {
        wait(
            device,
            tid,
            args.node,
            Duration::from_secs(args.timeout),
            &what,
        )?;
    }
    let moved = Moved {
        pid: args.target.pid,
        tid: args.target.tid,
        node: args.node.to_string(),
        arrived: args.wait,
    };
    output.result(&moved, || {
        if args.wait {
            format!("{noun} {tid} runs on node {}", args.node)
        } else {
            format!(
                "{noun} {tid} moves to node {} when it next leaves the kernel",
                args.node
            )
        }
    })
}

fn wait(
    device: &impl Popcorn,
    tid: i32,
    node: NodeChoice,
    patience: Duration,
    what: &str,
) -> Result<(), Failure> {
    let start = Instant::now();
    loop {
        let threads = device
            .threads(0)
            .map_err(|errno| Failure::refused("listing the migrated threads", errno))?;
        if is_there(&threads, tid, node) {
            return Ok(());
        }
        if !std::path::Path::new(&format!("/proc/{tid}")).exists() {
            return Err(Failure::refused(what, Errno::ESRCH));
        }
        if start.elapsed() >= patience {
            return Err(Failure::new(
                format!("{what}: it is not there after {} s", patience.as_secs()),
                "it moves when it next leaves the kernel: does it sleep? (`popcornctl ps`)",
            ));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// A thread that is not listed has never left home.
fn is_there(threads: &[ThreadInfo], tid: i32, node: NodeChoice) -> bool {
    let listed = threads.iter().find(|thread| thread.tid == tid);
    let away = listed.is_some_and(|thread| thread.flags & uapi::THREAD_AWAY != 0);
    match node {
        NodeChoice::Home => !away,
        NodeChoice::Id(id) => listed.is_some_and(|thread| thread.node == id),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cli::program::Target;
    use crate::uapi::MsgInfo;
    use crate::uapi::NodeInfo;
    use crate::uapi::Ping;
    use std::cell::RefCell;

    /// A kernel that remembers what it was asked, and answers as it was told.
    #[derive(Debug, Default)]
    pub(crate) struct FakeKernel {
        pub(crate) asked: RefCell<Vec<Migrate>>,
        pub(crate) refuse: Option<Errno>,
        /// Answers of successive calls of `threads`; the last is repeated.
        pub(crate) threads: RefCell<Vec<Vec<ThreadInfo>>>,
        pub(crate) nodes: Vec<NodeInfo>,
        /// Answers of successive pings, of one round trip each; then there are no more.
        pub(crate) pings: RefCell<Vec<Result<u64, Errno>>>,
        pub(crate) messages: Vec<MsgInfo>,
    }

    impl Popcorn for FakeKernel {
        fn migrate(&self, request: Migrate) -> Result<(), Errno> {
            self.asked.borrow_mut().push(request);
            self.refuse.map_or(Ok(()), Err)
        }

        fn nodes(&self) -> Result<Vec<NodeInfo>, Errno> {
            Ok(self.nodes.clone())
        }

        fn threads(&self, _pid: i32) -> Result<Vec<ThreadInfo>, Errno> {
            let mut answers = self.threads.borrow_mut();
            match answers.len() {
                0 => Ok(Vec::new()),
                1 => Ok(answers[0].clone()),
                _ => Ok(answers.remove(0)),
            }
        }

        fn ping(&self, request: Ping) -> Result<(Ping, Vec<u64>), Errno> {
            let mut pings = self.pings.borrow_mut();
            let mut samples = Vec::new();
            for _ in 0..request.count {
                if pings.is_empty() {
                    return Err(Errno::EHOSTDOWN);
                }
                samples.push(pings.remove(0)?);
            }
            Ok((request, samples))
        }

        fn messages(&self, node: Option<u32>) -> Result<Vec<MsgInfo>, Errno> {
            let wanted = |info: &&MsgInfo| node.is_none_or(|node| info.node == node);
            Ok(self.messages.iter().filter(wanted).copied().collect())
        }
    }

    fn thread(tid: i32, node: u32, flags: u32) -> ThreadInfo {
        ThreadInfo {
            pid: tid,
            tid,
            node,
            flags,
            ..ThreadInfo::default()
        }
    }

    fn args(pid: Option<i32>, tid: Option<i32>, node: NodeChoice, wait: bool) -> MigrateArgs {
        MigrateArgs {
            target: Target { pid, tid },
            node,
            wait,
            timeout: 0,
        }
    }

    #[test]
    fn a_pid_is_all_its_threads() {
        let kernel = FakeKernel::default();
        let output = Output::new(true);
        migrate(
            &kernel,
            &args(Some(7), None, NodeChoice::Id(1), false),
            &output,
        )
        .unwrap();
        migrate(
            &kernel,
            &args(None, Some(8), NodeChoice::Home, false),
            &output,
        )
        .unwrap();
        let asked = kernel.asked.borrow();
        assert_eq!(
            (asked[0].tid, asked[0].node, asked[0].flags),
            (7, 1, uapi::MIGRATE_PROCESS)
        );
        assert_eq!((asked[1].tid, asked[1].node, asked[1].flags), (8, -1, 0));
    }

    #[test]
    fn waits_for_arrival() {
        let me = std::process::id() as i32;
        let kernel = FakeKernel {
            threads: RefCell::new(vec![
                vec![],
                vec![thread(me, 0, 0), thread(me + 1, 1, uapi::THREAD_AWAY)],
                vec![thread(me, 1, uapi::THREAD_AWAY)],
            ]),
            ..FakeKernel::default()
        };
        wait(
            &kernel,
            me,
            NodeChoice::Id(1),
            Duration::from_secs(60),
            "moving",
        )
        .unwrap();
        assert_eq!(kernel.threads.borrow().len(), 1);
    }

    #[test]
    fn gives_up_in_the_end() {
        let me = std::process::id() as i32;
        let kernel = FakeKernel::default();
        let target = args(None, Some(me), NodeChoice::Id(1), true);
        let failure = migrate(&kernel, &target, &Output::new(true)).unwrap_err();
        assert!(
            failure.what.contains("not there after 0 s"),
            "{}",
            failure.what
        );
    }

    #[test]
    fn home_is_where_no_one_is_away() {
        assert!(is_there(&[], 5, NodeChoice::Home));
        assert!(!is_there(&[], 5, NodeChoice::Id(1)));
        assert!(!is_there(
            &[thread(5, 1, uapi::THREAD_AWAY)],
            5,
            NodeChoice::Home
        ));
        assert!(is_there(&[thread(5, 2, 0)], 5, NodeChoice::Home));
    }
}
