// SPDX-License-Identifier: GPL-2.0
//! What went wrong, and what to do next.

use nix::errno::Errno;

/// What an errno means, and what to do then.
pub(crate) type Words = (String, String);

/// A failure of a command: it ends the program.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What happened.
    pub(crate) what: String,
    /// What the kernel answered, if it was that.
    pub(crate) errno: Option<Errno>,
    /// What to do now; empty if there is nothing to be said.
    pub(crate) next: String,
    /// Exit status.
    pub(crate) status: u8,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            errno: None,
            next: next.into(),
            status: 1,
        }
    }

    /// The kernel refused `what`, for the reasons that all calls on nodes and threads share.
    pub(crate) fn refused(what: impl Into<String>, errno: Errno) -> Self {
        Self::explained(&what.into(), errno, explain(errno))
    }

    /// The kernel refused `what`; `words` are those for that errno.
    pub(crate) fn explained(what: &str, errno: Errno, words: Words) -> Self {
        let (why, next) = words;
        Self {
            what: format!("{what}: {why}"),
            errno: Some(errno),
            next,
            status: 1,
        }
    }

    /// A device could not be opened.
    pub(crate) fn open_device(path: &str, error: &std::io::Error) -> Self {
        let module = if path.ends_with("_boot") {
            "popcorn_boot"
        } else {
            "popcorn_process"
        };
        let errno = error.raw_os_error().map(Errno::from_raw);
        let (why, next) = match errno {
            Some(Errno::ENOENT | Errno::ENXIO | Errno::ENODEV) => (
                "there is no such device".into(),
                format!(
                    "load the modules (modprobe {module}); the kernel must carry Popcorn's patches"
                ),
            ),
            Some(Errno::EACCES | Errno::EPERM) => (
                "you may not open it".into(),
                format!("run this as root, or give your user access to {path}"),
            ),
            _ => (
                error.to_string(),
                format!("see the kernel's log for {module}"),
            ),
        };
        Self {
            what: format!("{path}: {why}"),
            errno,
            next,
            status: 1,
        }
    }

    /// The same with another exit status.
    pub(crate) fn with_status(self, status: u8) -> Self {
        Self { status, ..self }
    }
}

/// Meaning and remedy of an errno of `/dev/popcorn`.
fn explain(errno: Errno) -> Words {
    let (why, next) = match errno {
        Errno::ENODEV => (
            "no such node",
            "`popcornctl node list` shows the nodes that there are",
        ),
        Errno::EHOSTDOWN => (
            "the node is not online",
            "start it (`popcornctl kernel start`) or wait for it; `popcornctl node list` shows its state",
        ),
        Errno::EALREADY => ("it runs there already", "nothing need be done"),
        Errno::ESRCH => (
            "no such process or thread",
            "it may have ended; look with `ps`",
        ),
        Errno::EPERM => (
            "not permitted",
            "it needs the rights that ptrace needs: be its owner (and it must not be set-uid), or root",
        ),
        Errno::EOPNOTSUPP => (
            "this kind of process cannot move",
            "32-bit programs, kernel threads and users of userfaultfd stay where they are",
        ),
        Errno::ENOMEM => (
            "out of memory",
            "it stays where it is; free some memory on both nodes",
        ),
        Errno::EINTR => ("interrupted", "it stays where it is; try again"),
        Errno::EIO => (
            "the message to the node failed",
            "see the kernel's log on both nodes",
        ),
        Errno::ENOTTY | Errno::E2BIG => (
            "this kernel does not know the call",
            "popcornctl and the modules are of different versions: build and install both anew",
        ),
        other => return (other.desc().into(), "see the kernel's log".into()),
    };
    (why.into(), next.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_errno_has_its_own_advice() {
        let documented = [
            Errno::ENODEV,
            Errno::EHOSTDOWN,
            Errno::EALREADY,
            Errno::ESRCH,
            Errno::EPERM,
            Errno::EOPNOTSUPP,
            Errno::ENOMEM,
            Errno::EINTR,
            Errno::EIO,
            Errno::ENOTTY,
        ];
        let mut seen = std::collections::HashSet::new();
        for errno in documented {
            let failure = Failure::refused("moving it", errno);
            assert!(failure.what.starts_with("moving it: "));
            assert_eq!(failure.errno, Some(errno));
            assert!(!failure.next.is_empty());
            assert!(
                seen.insert(failure.next),
                "{errno} has the advice of another"
            );
        }
    }

    #[test]
    fn permission_for_the_device_is_not_a_missing_module() {
        let error = std::io::Error::from_raw_os_error(Errno::EACCES as i32);
        let failure = Failure::open_device("/dev/popcorn", &error);
        assert!(failure.next.contains("root") && !failure.next.contains("modprobe"));
        let error = std::io::Error::from_raw_os_error(Errno::ENOENT as i32);
        let failure = Failure::open_device("/dev/popcorn_boot", &error);
        assert!(failure.next.contains("modprobe popcorn_boot"));
    }
}
