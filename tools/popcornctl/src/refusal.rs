// SPDX-License-Identifier: GPL-2.0
//! What it means when the kernel refuses something in configfs, as far as that is the same for kernels
//! (`kernel/refusal.rs`) and for nodes of other machines (`node/refusal.rs`).

use crate::failure::Words;
use nix::errno::Errno;

pub(crate) const SEE_LOG: &str = "this kernel's log (dmesg) says more";

/// What means the same whatever was asked, and of whom.
pub(crate) fn common(errno: Errno) -> Words {
    let (why, next) = match errno {
        Errno::ENOMEM => ("out of memory", "free some, and try again"),
        Errno::EINTR => ("interrupted", "try again"),
        other => (other.desc(), SEE_LOG),
    };
    (why.into(), next.into())
}

/// What is to be true of the words for any action.
#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::failure::Failure;
    use std::collections::HashSet;
    use std::fmt::Debug;

    /// Each of the errnos that are documented of an action has words of its own, and advice.
    #[track_caller]
    pub(crate) fn assert_all_explained<A: Copy + Debug>(
        documented: &[(A, &[Errno])],
        refused: impl Fn(A, Errno) -> Failure,
    ) {
        for (action, errnos) in documented {
            let mut seen = HashSet::new();
            for &errno in *errnos {
                let failure = refused(*action, errno);
                assert_eq!(failure.errno, Some(errno));
                assert!(!failure.next.is_empty());
                assert!(!failure.what.contains(errno.desc()), "{}", failure.what);
                assert!(
                    seen.insert(failure.what),
                    "{action:?} {errno} reads as another"
                );
            }
        }
    }

    /// An errno that nobody expects is named.
    #[track_caller]
    pub(crate) fn assert_names_unexpected(refused: impl Fn(Errno) -> Failure) {
        let failure = refused(Errno::ENOTTY);
        assert!(
            failure.what.contains(Errno::ENOTTY.desc()),
            "{}",
            failure.what
        );
    }
}
