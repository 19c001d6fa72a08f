// SPDX-License-Identifier: GPL-2.0
//! The states of a kernel, as its file `state` names them.

use serde::Serialize;
use serde::Serializer;
use std::fmt;

/// What a kernel does.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// One that this program does not know.
    Other(String),
}

impl State {
    const ALL: [(&'static str, Self); 12] = [
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

    pub(crate) fn new(text: &str) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|(name, _)| *name == text)
            .map_or_else(|| Self::Other(text.into()), |(_, state)| state)
    }

    /// What it does, as the end of "kernel NAME ...".
    pub(crate) fn text(&self) -> String {
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
            Self::Other(text) => return format!("is {text}, which this popcornctl does not know"),
        }
        .into()
    }

    /// It was started, and has not ended as far as is known.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self, Self::Booting | Self::Running | Self::Hung)
    }

    /// It has ended by itself, and was not stopped since.
    pub(crate) fn is_ended(&self) -> bool {
        matches!(
            self,
            Self::Faulted
                | Self::Panicked
                | Self::Restarted
                | Self::Halted
                | Self::Off
                | Self::Garbled
        )
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Other(text) => text,
            known => {
                let mut all = Self::ALL.iter();
                all.find(|(_, state)| state == known)
                    .map_or("", |(name, _)| name)
            }
        };
        f.pad(name)
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_keeps_its_name() {
        for (name, state) in State::ALL {
            assert_eq!(State::new(name), state);
            assert_eq!(state.to_string(), name);
            assert!(!(state.is_up() && state.is_ended()), "{name}");
        }
        let other = State::new("levitating");
        assert_eq!(serde_json::to_value(&other).unwrap(), "levitating");
        assert!(!other.is_up() && !other.is_ended());
        assert!(other.text().contains("levitating"));
    }
}
