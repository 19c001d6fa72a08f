// SPDX-License-Identifier: GPL-2.0
//! Message types by name, as in docs/protocol.md.

use crate::uapi;
use popcorn_core::proto;
use popcorn_core::wire::Wire;
use std::fmt;
use std::str::FromStr;

/// The types of `popcorn_msg` itself (`popcorn_msg/ping.rs`).
const ECHO: u16 = 0x0001;
const ECHO_BY_WORKER: u16 = 0x0002;

/// All that have a name. A response has the type of its request.
const NAMES: &[(u16, &str)] = &[
    (ECHO, "Echo"),
    (ECHO_BY_WORKER, "EchoByWorker"),
    (proto::Part::TYPE, "Part"),
    (proto::Stay::TYPE, "Stay"),
    (proto::Migrate::TYPE, "Migrate"),
    (proto::Back::TYPE, "Back"),
    (proto::Syscall::TYPE, "Syscall"),
    (proto::Recall::TYPE, "Recall"),
    (proto::Abandon::TYPE, "Abandon"),
    (proto::SpaceExit::TYPE, "SpaceExit"),
    (proto::SpaceLost::TYPE, "SpaceLost"),
    (proto::VmaRequest::TYPE, "VmaRequest"),
    (proto::Unmap::TYPE, "Unmap"),
    (proto::PageRequest::TYPE, "PageRequest"),
    (proto::Fetch::TYPE, "Fetch"),
    (proto::Invalidate::TYPE, "Invalidate"),
    (proto::Mapped::TYPE, "Mapped"),
    (proto::NetFrame::TYPE, "NetFrame"),
    (proto::NetHello::TYPE, "NetHello"),
    (proto::NetBye::TYPE, "NetBye"),
    (proto::BenchBegin::TYPE, "BenchBegin"),
    (proto::BenchEcho::TYPE, "BenchEcho"),
    (proto::BenchStream::TYPE, "BenchStream"),
    (proto::BenchEnd::TYPE, "BenchEnd"),
];

/// What the kernel calls all types together for which it had no room of their own.
const OTHERS: &str = "others";

/// A message type as people and the kernel name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Type(pub(crate) u32);

impl Type {
    /// Its name, if it has one.
    pub(crate) fn name(self) -> Option<&'static str> {
        if self.0 == uapi::MSG_OTHERS {
            return Some(OTHERS);
        }
        let is_it = |(kind, _): &&(u16, &str)| u32::from(*kind) == self.0;
        NAMES.iter().find(is_it).map(|(_, name)| *name)
    }
}

impl FromStr for Type {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case(OTHERS) {
            return Ok(Self(uapi::MSG_OTHERS));
        }
        let is_it = |(_, name): &&(u16, &str)| name.eq_ignore_ascii_case(text);
        if let Some((kind, _)) = NAMES.iter().find(is_it) {
            return Ok(Self(u32::from(*kind)));
        }
        let number = match text.strip_prefix("0x") {
            Some(digits) => u16::from_str_radix(digits, 16),
            None => text.parse(),
        };
        number.map(|kind| Self(u32::from(kind))).map_err(|_| {
            let names: Vec<&str> = NAMES.iter().map(|(_, name)| *name).collect();
            format!(
                "expected a number, as 0x301, {OTHERS}, or one of {}",
                names.join(", ")
            )
        })
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == uapi::MSG_OTHERS {
            f.write_str("-")
        } else {
            write!(f, "{:#06x}", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::collections::BTreeSet;

    #[test]
    fn names_and_numbers_go_both_ways() {
        for (kind, name) in NAMES {
            let kind = Type(u32::from(*kind));
            assert_eq!(kind.name(), Some(*name));
            assert_eq!(name.parse(), Ok(kind));
            assert_eq!(name.to_lowercase().parse(), Ok(kind));
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert_eq!("others".parse(), Ok(Type(uapi::MSG_OTHERS)));
        assert_eq!("769".parse(), Ok(Type(0x301)));
        assert_eq!(Type(0x7000).name(), None);
        for wrong in ["", "0x", "0x10000", "65536", "-1", "Page"] {
            assert!(wrong.parse::<Type>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_name_and_no_number_is_there_twice() {
        let kinds: BTreeSet<_> = NAMES.iter().map(|(kind, _)| kind).collect();
        let names: BTreeSet<_> = NAMES.iter().map(|(_, name)| name).collect();
        assert_eq!((kinds.len(), names.len()), (NAMES.len(), NAMES.len()));
    }

    /// The lines "* `0x0101` **Migrate**" of the protocol's description; answers are no types of a header.
    #[test]
    fn the_names_are_those_of_the_protocol() {
        let text = include_str!("../../../../docs/protocol.md");
        let described: BTreeMap<u16, &str> = text
            .lines()
            .filter_map(|line| {
                let (number, rest) = line.strip_prefix("* `0x")?.split_once("` **")?;
                let kind = u16::from_str_radix(number, 16).ok()?;
                Some((kind, rest.split_once("**")?.0))
            })
            .filter(|(kind, _)| kind & 0x80 == 0)
            .collect();
        let known: BTreeMap<u16, &str> = NAMES
            .iter()
            .copied()
            .filter(|(kind, _)| *kind > 0xff)
            .collect();
        assert!(described.len() > 10, "the description looks different now");
        assert_eq!(known, described);
    }
}
