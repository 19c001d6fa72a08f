// SPDX-License-Identifier: GPL-2.0
//! Memory for what must not be lost.

use popcorn_kernel::time;

/// Between two tries.
const PAUSE_MS: u32 = 1;
/// How many there are: all of them take no longer than half the time after which a node that is silent counts as dead.
const TRIES: u32 = 1000;

/// Tries until it succeeds, for about a second. `attempt` gets `thing`, and if it fails for want of memory, gives it back.
/// May sleep.
///
/// # Errors
///
/// There was no memory all the time; `thing` comes back.
pub(crate) fn patiently<T, R>(
    mut thing: T,
    mut attempt: impl FnMut(T) -> core::result::Result<R, T>,
) -> core::result::Result<R, T> {
    for _ in 1..TRIES {
        match attempt(thing) {
            Ok(result) => return Ok(result),
            Err(back) => thing = back,
        }
        time::sleep_ms(PAUSE_MS);
    }
    attempt(thing)
}
