// SPDX-License-Identifier: GPL-2.0
//! What the KUnit tests of all modules have in common.
//!
//! A check that fails returns from its case instead of aborting it, as KUnit's own do, so that everything is
//! taken down.

use crate::time;
use kernel::alloc::AllocError;
use kernel::prelude::*;

/// Long enough for any machine: reached only by a failure.
pub const LONG_MS: u32 = 30_000;

const LOOK_AGAIN_MS: u32 = 5;

/// What went wrong.
pub enum Failure {
    /// A check, in this line of this file.
    Line(&'static str, u32),
    /// An error on the way there.
    Error(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Error(error)
    }
}

impl From<AllocError> for Failure {
    fn from(_: AllocError) -> Self {
        Failure::Error(ENOMEM)
    }
}

/// How a case ended.
pub type Outcome = core::result::Result<(), Failure>;

/// Whether a case passed; if not, the log says why. `file` is the one that names its cases.
pub fn report(file: &str, outcome: Outcome) -> bool {
    match outcome {
        Ok(()) => true,
        Err(Failure::Line(file, line)) => {
            pr_err!("{}:{}: check failed\n", file, line);
            false
        }
        Err(Failure::Error(error)) => {
            pr_err!("{}: {:?}\n", file, error);
            false
        }
    }
}

/// Looks at a condition until it holds; false only after [`LONG_MS`]. May sleep.
pub fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    for _ in 0..LONG_MS / LOOK_AGAIN_MS {
        if condition() {
            return true;
        }
        time::sleep_ms(LOOK_AGAIN_MS);
    }
    false
}

/// Returns a [`Failure`] unless the condition holds.
#[macro_export]
macro_rules! check {
    ($condition:expr) => {
        if !$condition {
            return Err($crate::kunit::Failure::Line(file!(), line!()));
        }
    };
}

/// The cases of the file of that path: functions without arguments that return an [`Outcome`], by the names that
/// the suite `$suite`, in C, calls them by.
#[macro_export]
macro_rules! kunit_cases {
    ($suite:literal, $file:literal; $($symbol:ident = $function:path;)*) => {$(
        /// Called by the suite.
        #[no_mangle]
        pub(crate) extern "C" fn $symbol(_test: *mut ::kernel::ffi::c_void) {
            let passed = $crate::kunit::report($file, $function());
            ::kernel::kunit_assert!($suite, $file, 0, passed);
        }
    )*};
}
