// SPDX-License-Identifier: GPL-2.0
//! How long a command waits, and how it keeps people company meanwhile.

use nix::errno::Errno;
use std::sync::mpsc;
use std::time::Duration;
use std::time::Instant;

/// How often to look again whether something has happened.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How often to say that it has not.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// A wait that has begun.
#[derive(Debug)]
pub(crate) struct Patience {
    start: Instant,
    limit: Duration,
    said: Duration,
}

impl Patience {
    /// From now on, for so long.
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            start: Instant::now(),
            limit,
            said: Duration::ZERO,
        }
    }

    /// Whether that is over.
    pub(crate) fn is_over(&self) -> bool {
        self.start.elapsed() >= self.limit
    }

    /// The seconds that were waited, if it is time to say so again.
    pub(crate) fn say_again(&mut self) -> Option<u64> {
        let waited = self.start.elapsed();
        if waited < self.said + SAY_AGAIN {
            return None;
        }
        self.said = waited;
        Some(waited.as_secs())
    }
}

/// Asks again as long as the answer is `ETIMEDOUT`: the kernel gives up after a time of its own, which may be
/// shorter than `limit`, or longer.
pub(crate) fn ask_until(
    limit: Duration,
    mut ask: impl FnMut() -> Result<(), Errno> + Send + 'static,
) -> Result<(), Errno> {
    let deadline = Instant::now().checked_add(limit);
    let (sender, answers) = mpsc::channel();
    // If it outlasts us it ends with this program: the wait in the kernel is killable.
    std::thread::spawn(move || loop {
        let answer = ask();
        let again = answer == Err(Errno::ETIMEDOUT);
        if !again {
            // Nobody may be there any more to hear it.
            let _ = sender.send(answer);
            return;
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return;
        }
    });
    match answers.recv_timeout(limit) {
        Ok(answer) => answer,
        // It came to an end without an answer only if the time was over.
        Err(_) => Err(Errno::ETIMEDOUT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_something_only_after_a_while() {
        let mut patience = Patience::new(Duration::from_secs(3600));
        assert!(!patience.is_over());
        assert_eq!(patience.say_again(), None);
        patience.start = patience.start.checked_sub(SAY_AGAIN).unwrap();
        assert_eq!(patience.say_again(), Some(SAY_AGAIN.as_secs()));
        assert_eq!(patience.say_again(), None);
        assert!(Patience::new(Duration::ZERO).is_over());
    }

    #[test]
    fn only_a_time_that_is_over_is_asked_for_again() {
        let mut answers = vec![Ok(()), Err(Errno::ETIMEDOUT), Err(Errno::ETIMEDOUT)];
        let ask = move || answers.pop().unwrap_or(Err(Errno::EIO));
        assert_eq!(ask_until(Duration::from_secs(3600), ask), Ok(()));
        let limit = Duration::from_secs(3600);
        assert_eq!(ask_until(limit, || Err(Errno::ESRCH)), Err(Errno::ESRCH));
        let never = || Err(Errno::ETIMEDOUT);
        assert_eq!(ask_until(Duration::ZERO, never), Err(Errno::ETIMEDOUT));
    }
}
