// SPDX-License-Identifier: GPL-2.0
//! `popcornctl kernel`: the second kernel of this machine.

use crate::cli::KillArgs;
use crate::cli::LogArgs;
use crate::cli::StartArgs;
use crate::device::Boot;
use crate::device::Device;
use crate::device::Popcorn;
use crate::failure::Failure;
use crate::output;
use crate::output::Output;
use crate::uapi;
use crate::uapi::BootKill;
use crate::uapi::BootStatus;
use nix::errno::Errno;
use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

/// How often to look whether it is online, or has written more.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Lines of its console that a failure shows.
const LAST_LINES: usize = 15;

/// `popcorn_boot_status.state`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Empty,
    Loaded,
    Running,
    Stopped,
    Unknown,
}

impl State {
    fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::Empty,
            1 => Self::Loaded,
            2 => Self::Running,
            3 => Self::Stopped,
            _ => Self::Unknown,
        }
    }
}

/// `popcorn_boot_status.report`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Report {
    Silent,
    Online,
    Panic,
    Restart,
    Halt,
    PowerOff,
    Garbled,
    Unknown,
}

impl Report {
    fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::Silent,
            1 => Self::Online,
            2 => Self::Panic,
            3 => Self::Restart,
            4 => Self::Halt,
            5 => Self::PowerOff,
            255 => Self::Garbled,
            _ => Self::Unknown,
        }
    }

    /// What it says, as the end of "the second kernel ...".
    fn text(self) -> &'static str {
        match self {
            Self::Silent => "has said nothing yet",
            Self::Online => "has booted",
            Self::Panic => "has panicked",
            Self::Restart => "was told to restart, and stopped",
            Self::Halt => "was told to halt",
            Self::PowerOff => "was told to switch off",
            Self::Garbled => "has destroyed the page in which it reports",
            Self::Unknown => "says what this popcornctl does not know",
        }
    }

    /// True if it will not come online any more.
    fn is_end(self) -> bool {
        !matches!(self, Self::Silent | Self::Online)
    }
}

/// The status as it is printed.
#[derive(Debug, Serialize)]
struct Status {
    state: State,
    report: Report,
    node: u32,
    cpu: Option<u32>,
    hardware_id: Option<u32>,
    starts: u32,
    memory_base: u64,
    memory_bytes: u64,
    window_base: u64,
    window_bytes: u64,
    started_ns: Option<u64>,
    boot_ns: Option<u64>,
}

impl From<&BootStatus> for Status {
    fn from(raw: &BootStatus) -> Self {
        let lent = |value: u32| (value != uapi::BOOT_NO_CPU).then_some(value);
        let time = |ns: u64| (ns != 0).then_some(ns);
        Self {
            state: State::from_raw(raw.state),
            report: Report::from_raw(raw.report),
            node: raw.node,
            cpu: lent(raw.cpu),
            hardware_id: lent(raw.hardware_id),
            starts: raw.starts,
            memory_base: raw.memory_base,
            memory_bytes: raw.memory_size,
            window_base: raw.window_base,
            window_bytes: raw.window_size,
            started_ns: time(raw.started_ns),
            boot_ns: time(raw.boot_ns),
        }
    }
}

fn status_text(status: &Status) -> String {
    let state = match status.state {
        State::Empty => "none was started yet",
        State::Loaded => "loaded; its processor has not entered it",
        State::Running => "running",
        State::Stopped => "stopped",
        State::Unknown => "in a state that this popcornctl does not know",
    };
    let cpu = status.cpu.map_or("none".into(), |cpu| cpu.to_string());
    let mut text = format!("second kernel: {state}");
    if status.state != State::Empty {
        text += &format!("; it {}", status.report.text());
    }
    text += &format!("\n  node:      {}\n  processor: {cpu}\n", status.node);
    text += &format!(
        "  memory:    {} at {:#x}, of which {} message window\n  starts:    {}\n",
        output::bytes(status.memory_bytes),
        status.memory_base,
        output::bytes(status.window_bytes),
        status.starts
    );
    if let Some(boot_ns) = status.boot_ns {
        text += &format!("  boot time: {}\n", output::duration(boot_ns));
    }
    text
}

fn get_status(boot: &impl Boot) -> Result<Status, Failure> {
    boot.status()
        .map(|raw| Status::from(&raw))
        .map_err(|errno| Failure::refused("asking for the second kernel's status", errno))
}

/// `kernel status`
pub(crate) fn status(boot: &impl Boot, output: &Output) -> Result<(), Failure> {
    let status = get_status(boot)?;
    output.result(&status, || status_text(&status))
}

fn open_image(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| {
        Failure::new(
            format!("{}: {error}", path.display()),
            "check the path of the image",
        )
    })
}

/// `kernel start`
pub(crate) fn start(boot: &impl Boot, args: &StartArgs, output: &Output) -> Result<(), Failure> {
    let kernel = open_image(&args.kernel)?;
    let initrd = args.initrd.as_deref().map(open_image).transpose()?;
    // What the last one wrote is not this one's: read over it.
    let _ = read_all(boot);
    boot.start(args.cpu, &kernel, initrd.as_ref(), &args.cmdline.join(" "))
        .map_err(|errno| start_failure(args, errno))?;
    if args.wait {
        let device = Device::open()?;
        wait_online(boot, &device, Duration::from_secs(args.timeout))?;
    }
    let status = get_status(boot)?;
    output.result(&status, || status_text(&status))
}

fn start_failure(args: &StartArgs, errno: Errno) -> Failure {
    let cpu = args.cpu;
    let (why, next) = match errno {
        Errno::EPERM => (
            format!("not permitted, or processor {cpu} is the one that the machine booted on"),
            "run this as root (it needs CAP_SYS_BOOT) and choose another processor",
        ),
        Errno::EBUSY => (
            format!("one runs already, or processor {cpu} cannot go offline"),
            "see `popcornctl kernel status`; `popcornctl kernel kill` stops the one that runs",
        ),
        Errno::ENODEV => (format!("there is no processor {cpu}"), "see `lscpu -e`"),
        Errno::ENOEXEC => (
            format!(
                "{} is not a bzImage that can be started so",
                args.kernel.display()
            ),
            "give the bzImage of a 64-bit relocatable kernel",
        ),
        Errno::EFBIG => (
            "kernel and initramfs do not fit its memory".into(),
            "reserve more for it when the machine boots, or use smaller images",
        ),
        Errno::EINVAL => (
            "the command line would let it take this kernel's devices".into(),
            "leave out what concerns devices and ACPI",
        ),
        Errno::ENAMETOOLONG => ("the command line is too long".into(), "shorten --cmdline"),
        Errno::ETIMEDOUT => (
            format!("processor {cpu} did not report in"),
            "see this kernel's log and `popcornctl kernel log`",
        ),
        other => return Failure::refused("starting the second kernel", other),
    };
    Failure {
        errno: Some(errno),
        ..Failure::new(format!("starting the second kernel: {why}"), next)
    }
}

/// Waits until the second kernel is a node that takes threads.
fn wait_online(boot: &impl Boot, device: &impl Popcorn, patience: Duration) -> Result<(), Failure> {
    let start = Instant::now();
    loop {
        let status = get_status(boot)?;
        if status.state == State::Stopped || status.report.is_end() {
            return Err(with_console(
                boot,
                format!("the second kernel {}", status.report.text()),
            ));
        }
        let nodes = device
            .nodes()
            .map_err(|errno| Failure::refused("listing the nodes", errno))?;
        let online =
            |node: &uapi::NodeInfo| node.id == status.node && node.state == uapi::NODE_ONLINE;
        if nodes.iter().any(online) {
            return Ok(());
        }
        if start.elapsed() >= patience {
            let what = format!(
                "node {} is not online after {} s; the second kernel {}",
                status.node,
                patience.as_secs(),
                status.report.text()
            );
            return Err(with_console(boot, what));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// A failure that shows how its console ends.
fn with_console(boot: &impl Boot, what: String) -> Failure {
    let text = read_all(boot).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
    let mut what = what;
    for line in last {
        what += &format!("\n  | {line}");
    }
    Failure::new(what, "`popcornctl kernel log` shows its whole console")
}

fn read_all(boot: &impl Boot) -> Result<Vec<u8>, Errno> {
    let mut text = Vec::new();
    let mut buffer = [0; 16384];
    loop {
        match boot.read_log(&mut buffer) {
            Ok(0) => return Ok(text),
            Ok(length) => text.extend_from_slice(&buffer[..length]),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// `kernel kill`
pub(crate) fn kill(boot: &impl Boot, args: &KillArgs, output: &Output) -> Result<(), Failure> {
    let flags = if args.release {
        uapi::BOOT_KILL_RELEASE
    } else {
        0
    };
    boot.kill(BootKill::new(flags)).map_err(kill_failure)?;
    let status = get_status(boot)?;
    output.result(&status, || status_text(&status))
}

fn kill_failure(errno: Errno) -> Failure {
    let (why, next) = match errno {
        Errno::ESRCH => ("none was started", "see `popcornctl kernel status`"),
        Errno::EBUSY => ("it is being started or killed", "try again"),
        Errno::EPERM => ("not permitted", "run this as root (it needs CAP_SYS_BOOT)"),
        other => return Failure::refused("stopping the second kernel", other),
    };
    Failure {
        errno: Some(errno),
        ..Failure::new(format!("stopping the second kernel: {why}"), next)
    }
}

/// The result of `kernel log`.
#[derive(Debug, Serialize)]
struct Log {
    text: String,
}

fn log_failure(errno: Errno) -> Failure {
    if errno == Errno::EIO {
        let what = "the second kernel has destroyed the page that its log is in";
        return Failure {
            errno: Some(errno),
            ..Failure::new(what, "kill it and start it anew")
        };
    }
    Failure::refused("reading the second kernel's console", errno)
}

/// `kernel log`
pub(crate) fn log(boot: &impl Boot, args: &LogArgs, output: &Output) -> Result<(), Failure> {
    if !args.follow {
        let text = read_all(boot).map_err(log_failure)?;
        let log = Log {
            text: String::from_utf8_lossy(&text).into_owned(),
        };
        return output.result(&log, || log.text.clone());
    }
    // A stream has no end that JSON could wait for: it is always text.
    let mut stdout = std::io::stdout().lock();
    loop {
        // The state first: what was written before it stopped is read after.
        let stopped = get_status(boot)?.state == State::Stopped;
        let text = read_all(boot).map_err(log_failure)?;
        stdout
            .write_all(&text)
            .and_then(|()| stdout.flush())
            .map_err(|error| Failure::new(format!("writing the log: {error}"), ""))?;
        if stopped {
            return Ok(());
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::tests::FakeKernel;
    use crate::uapi::NodeInfo;
    use std::cell::RefCell;

    /// A second kernel that goes through given states.
    #[derive(Default)]
    struct FakeBoot {
        /// Answers of successive calls; the last is repeated.
        states: RefCell<Vec<(u32, u32)>>,
        log: RefCell<Vec<u8>>,
    }

    impl Boot for FakeBoot {
        fn start(
            &self,
            _cpu: u32,
            _kernel: &File,
            _initrd: Option<&File>,
            _cmdline: &str,
        ) -> Result<(), Errno> {
            Err(Errno::EBUSY)
        }

        fn kill(&self, _request: BootKill) -> Result<(), Errno> {
            Err(Errno::ESRCH)
        }

        fn status(&self) -> Result<BootStatus, Errno> {
            let mut states = self.states.borrow_mut();
            let (state, report) = if states.len() > 1 {
                states.remove(0)
            } else {
                states[0]
            };
            Ok(BootStatus {
                state,
                report,
                node: 1,
                cpu: 1,
                ..BootStatus::new()
            })
        }

        fn read_log(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
            let mut log = self.log.borrow_mut();
            let length = log.len().min(buffer.len());
            buffer[..length].copy_from_slice(&log[..length]);
            log.drain(..length);
            Ok(length)
        }
    }

    fn online() -> FakeKernel {
        let node = NodeInfo {
            id: 1,
            state: uapi::NODE_ONLINE,
            ..NodeInfo::default()
        };
        FakeKernel {
            nodes: vec![node],
            ..FakeKernel::default()
        }
    }

    #[test]
    fn waits_for_the_node_and_not_only_for_the_boot() {
        let boot = FakeBoot {
            states: RefCell::new(vec![(2, 0), (2, 1)]),
            ..FakeBoot::default()
        };
        wait_online(&boot, &online(), Duration::from_secs(60)).unwrap();
        let offline = FakeKernel::default();
        let failure = wait_online(&boot, &offline, Duration::ZERO).unwrap_err();
        assert!(
            failure.what.contains("not online after 0 s"),
            "{}",
            failure.what
        );
        assert!(failure.what.contains("has booted"), "{}", failure.what);
    }

    #[test]
    fn a_panic_ends_the_wait_and_shows_the_console() {
        let boot = FakeBoot {
            states: RefCell::new(vec![(2, 0), (3, 2)]),
            log: RefCell::new(b"first\nKernel panic - not syncing\n".to_vec()),
        };
        let failure =
            wait_online(&boot, &FakeKernel::default(), Duration::from_secs(60)).unwrap_err();
        assert!(
            failure.what.starts_with("the second kernel has panicked"),
            "{}",
            failure.what
        );
        assert!(
            failure.what.ends_with("| Kernel panic - not syncing"),
            "{}",
            failure.what
        );
    }

    #[test]
    fn status_as_json() {
        let raw = BootStatus {
            state: 2,
            report: 1,
            cpu: uapi::BOOT_NO_CPU,
            node: 1,
            boot_ns: 5,
            ..BootStatus::new()
        };
        let value = serde_json::to_value(Status::from(&raw)).unwrap();
        assert_eq!(value["state"], "running");
        assert_eq!(value["report"], "online");
        assert_eq!(value["cpu"], serde_json::Value::Null);
        assert_eq!(value["started_ns"], serde_json::Value::Null);
        assert_eq!(value["boot_ns"], 5);
        let raw = BootStatus {
            state: 9,
            report: 99,
            ..BootStatus::new()
        };
        let value = serde_json::to_value(Status::from(&raw)).unwrap();
        assert_eq!(
            (&value["state"], &value["report"]),
            (&"unknown".into(), &"unknown".into())
        );
    }

    #[test]
    fn start_says_what_is_wrong_with_the_image() {
        let boot = FakeBoot::default();
        let args = StartArgs {
            kernel: "/no/such/bzImage".into(),
            initrd: None,
            cpu: 1,
            cmdline: vec![],
            wait: false,
            timeout: 0,
        };
        let failure = start(&boot, &args, &Output::new(true)).unwrap_err();
        assert!(
            failure.what.contains("/no/such/bzImage"),
            "{}",
            failure.what
        );
        for errno in [
            Errno::EPERM,
            Errno::EBUSY,
            Errno::ENOEXEC,
            Errno::EFBIG,
            Errno::ETIMEDOUT,
        ] {
            assert_eq!(start_failure(&args, errno).errno, Some(errno));
        }
        let failure = kill(&boot, &KillArgs { release: true }, &Output::new(true)).unwrap_err();
        assert!(
            failure.what.contains("none was started"),
            "{}",
            failure.what
        );
    }
}
