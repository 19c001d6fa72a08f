// SPDX-License-Identifier: GPL-2.0
//! The states of a kernel, as its file `state` names them.

use crate::state::Known;
use crate::state::Named;

/// What a kernel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    Loaded,
    Booting,
    Running,
    Hung,
    Faulted,
    Panicked,
    Restarted,
    Halted,
    Off,
    Garbled,
    Stopped,
}

impl Known for State {
    const ALL: &'static [(&'static str, Self)] = &[
        ("empty", Self::Empty),
        ("loaded", Self::Loaded),
        ("booting", Self::Booting),
        ("running", Self::Running),
        ("hung", Self::Hung),
        ("faulted", Self::Faulted),
        ("panicked", Self::Panicked),
        ("restarted", Self::Restarted),
        ("halted", Self::Halted),
        ("off", Self::Off),
        ("garbled", Self::Garbled),
        ("stopped", Self::Stopped),
    ];

    /// What it does, as the end of "kernel NAME ...".
    fn text(self) -> &'static str {
        match self {
            Self::Empty => "has nothing loaded",
            Self::Loaded => "is loaded and was not started",
            Self::Booting => "has not reported yet: it boots, or does not have popcorn_boot",
            Self::Running => "runs",
            Self::Hung => "shows no sign of life",
            Self::Faulted => "did not survive its first instructions",
            Self::Panicked => "has panicked",
            Self::Restarted => "was told to restart, and has ended",
            Self::Halted => "was told to halt, and has ended",
            Self::Off => "has shut down",
            Self::Garbled => "has destroyed the page in which it reports",
            Self::Stopped => "is stopped",
        }
    }
}

impl Named<State> {
    /// It was started, and has not ended as far as is known.
    pub(crate) fn is_up(&self) -> bool {
        matches!(
            self.known(),
            Some(State::Booting | State::Running | State::Hung)
        )
    }

    /// It has ended by itself, and was not stopped since.
    pub(crate) fn is_ended(&self) -> bool {
        matches!(
            self.known(),
            Some(
                State::Faulted
                    | State::Panicked
                    | State::Restarted
                    | State::Halted
                    | State::Off
                    | State::Garbled
            )
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::assert_names_are_kept;

    #[test]
    fn every_state_keeps_its_name() {
        assert_names_are_kept::<State>();
        for (name, state) in State::ALL {
            let state = Named::Known(*state);
            assert!(!(state.is_up() && state.is_ended()), "{name}");
        }
        let other = Named::<State>::new("levitating");
        assert!(!other.is_up() && !other.is_ended());
    }
}
