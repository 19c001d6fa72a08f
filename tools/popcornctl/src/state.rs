// SPDX-License-Identifier: GPL-2.0
//! A state as a file of the kernel names it: one that this program knows, or one that it does not.

use serde::Serialize;
use serde::Serializer;
use std::fmt;

/// The states that there are of a kind of thing.
pub(crate) trait Known: Copy + PartialEq + 'static {
    /// All of them, with their names.
    const ALL: &'static [(&'static str, Self)];

    /// As the end of a sentence about the thing.
    fn text(self) -> &'static str;
}

/// What a file named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named<S> {
    Known(S),
    /// One that this program does not know.
    Other(String),
}

impl<S: Known> Named<S> {
    pub(crate) fn new(name: &str) -> Self {
        S::ALL.iter().find(|(known, _)| *known == name).map_or_else(
            || Self::Other(name.into()),
            |(_, state)| Self::Known(*state),
        )
    }

    /// If this program knows it.
    pub(crate) fn known(&self) -> Option<S> {
        match self {
            Self::Known(state) => Some(*state),
            Self::Other(_) => None,
        }
    }

    /// As the end of a sentence about the thing.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Known(state) => state.text().into(),
            Self::Other(name) => format!("is {name}, which this popcornctl does not know"),
        }
    }
}

impl<S: Known> fmt::Display for Named<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Known(state) => S::ALL
                .iter()
                .find(|(_, known)| known == state)
                .map_or("", |(name, _)| name),
            Self::Other(name) => name,
        })
    }
}

impl<S: Known> Serialize for Named<S> {
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::fmt::Debug;

    /// Each state has a name, and keeps it, and so does one that this program does not know.
    #[track_caller]
    pub(crate) fn assert_names_are_kept<S: Known + Debug>() {
        for (name, state) in S::ALL {
            assert_eq!(Named::new(name), Named::Known(*state));
            assert_eq!(Named::Known(*state).to_string(), *name);
        }
        let other = Named::<S>::new("levitating");
        assert_eq!(other.known(), None);
        assert_eq!(serde_json::to_value(&other).unwrap(), "levitating");
        assert!(other.text().contains("levitating"));
    }
}
