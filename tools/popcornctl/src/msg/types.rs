// SPDX-License-Identifier: GPL-2.0
//! Message types by name, as in docs/protocol.md.

use crate::uapi;
use popcorn_core::proto;
use std::fmt;
use std::str::FromStr;

/// All that are declared, which have a name. A response has the type of its request.
fn named() -> impl Iterator<Item = (u16, &'static str)> {
    let declared = proto::SERVICES
        .into_iter()
        .flat_map(|service| service.iter());
    declared.map(|each| (each.kind, each.name))
}

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
        let is_it = |(kind, _): &(u16, &str)| u32::from(*kind) == self.0;
        named().find(is_it).map(|(_, name)| name)
    }
}

impl FromStr for Type {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case(OTHERS) {
            return Ok(Self(uapi::MSG_OTHERS));
        }
        let is_it = |(_, name): &(u16, &str)| name.eq_ignore_ascii_case(text);
        if let Some((kind, _)) = named().find(is_it) {
            return Ok(Self(u32::from(kind)));
        }
        let number = match text.strip_prefix("0x") {
            Some(digits) => u16::from_str_radix(digits, 16),
            None => text.parse(),
        };
        number.map(|kind| Self(u32::from(kind))).map_err(|_| {
            let names: Vec<&str> = named().map(|(_, name)| name).collect();
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
    use popcorn_core::ids::Class;
    use std::collections::BTreeMap;

    #[test]
    fn names_and_numbers_go_both_ways() {
        for (kind, name) in named() {
            let kind = Type(u32::from(kind));
            assert_eq!(kind.name(), Some(name));
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

    /// The lines "* `0x0101` **Migrate**, ... one-way: ..." of the protocol's description, and the rows of its table;
    /// answers are no types of a header.
    #[test]
    fn what_is_declared_is_what_the_protocol_describes() {
        let text = include_str!("../../../../docs/protocol.md");
        let in_list = |line: &'static str| line.strip_prefix("* `0x")?.split_once("` **");
        let in_table = |line: &'static str| line.strip_prefix("| 0x")?.split_once(" | **");
        let described: BTreeMap<u16, (&str, bool)> = text
            .lines()
            .filter_map(|line| {
                let (number, rest) = in_list(line).or_else(|| in_table(line))?;
                let kind = u16::from_str_radix(number, 16).ok()?;
                let (name, meaning) = rest.split_once("**")?;
                let says = |class| meaning.find(class).unwrap_or(usize::MAX);
                Some((kind, (name, says("request") < says("one-way"))))
            })
            .filter(|(kind, _)| kind & 0x80 == 0)
            .collect();
        let declared: BTreeMap<u16, (&str, bool)> = proto::SERVICES
            .into_iter()
            .flat_map(|service| service.iter())
            .map(|each| (each.kind, (each.name, each.class == Class::Request)))
            .collect();
        assert!(described.len() > 10, "the description looks different now");
        assert_eq!(declared, described);
    }
}
