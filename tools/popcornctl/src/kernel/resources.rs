// SPDX-License-Identifier: GPL-2.0
//! Processors, memory and devices as people write them: read by the very code that the kernel reads them with.

use popcorn_core::partition::CPUS_MAX;
use popcorn_core::pci::Address;
use popcorn_core::resource_list;
use popcorn_core::resource_list::ListError;
use serde::Serialize;
use serde::Serializer;
use std::fmt;
use std::str::FromStr;

fn why(error: ListError) -> &'static str {
    match error {
        ListError::Syntax => "not written as it must be",
        ListError::Range => "a number is too large",
        ListError::Twice => "something is listed twice",
        ListError::TooMany => "too many are listed",
    }
}

/// Processors, in the order in which a kernel counts them: it boots on the first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Cpus(pub(crate) Vec<u32>);

impl FromStr for Cpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut list = [0; CPUS_MAX];
        let count = resource_list::cpus(text.as_bytes(), &mut list)
            .map_err(|error| format!("{}; write processors as in 1-3,7", why(error)))?;
        Ok(Self(list[..count].to_vec()))
    }
}

impl fmt::Display for Cpus {
    /// With ranges, where one follows the other.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        let mut between = "";
        while let Some(&first) = rest.first() {
            let run = (0..)
                .zip(rest)
                .take_while(|(i, &cpu)| first.checked_add(*i) == Some(cpu))
                .count();
            match run {
                1 => write!(f, "{between}{first}")?,
                _ => write!(f, "{between}{first}-{}", rest[run - 1])?,
            }
            rest = &rest[run..];
            between = ",";
        }
        Ok(())
    }
}

/// Memory to be had: so much, or just that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// As it was written.
    pub(crate) text: String,
    /// Bytes.
    pub(crate) bytes: u64,
    /// Where, if that was said.
    pub(crate) start: Option<u64>,
}

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let memory = resource_list::memory(text.as_bytes()).map_err(|error| {
            format!(
                "{}; write memory as in 512M, 2G or 1G@0x40000000",
                why(error)
            )
        })?;
        let (bytes, start) = match memory {
            resource_list::Memory::Anywhere(bytes) => (bytes, None),
            resource_list::Memory::At(extent) => (extent.size, Some(extent.start)),
        };
        let text = text.trim().to_owned();
        Ok(Self { text, bytes, start })
    }
}

/// A PCI device, by its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Device(Address);

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // lspci leaves out the segment where there is but one.
        let parsed = Address::parse(text.as_bytes())
            .or_else(|| Address::parse(format!("0000:{text}").as_bytes()));
        parsed
            .map(Self)
            .ok_or("write a device as lspci does, as in 0000:01:00.0".into())
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Device {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Devices as the kernel lists them.
pub(crate) fn devices(text: &str) -> Result<Vec<Device>, String> {
    let words = text.split(',').filter(|_| !text.is_empty());
    words.map(str::parse).collect()
}

/// The same list as text.
pub(crate) fn devices_text(devices: &[Device]) -> String {
    let devices: Vec<String> = devices.iter().map(Device::to_string).collect();
    devices.join(",")
}

/// Memory whose place matters not.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    match text.parse()? {
        Memory { start: Some(_), .. } => Err("give a size alone, as in 512M".into()),
        Memory { bytes: 0, .. } => Err("give more than nothing".into()),
        memory => Ok(memory.bytes),
    }
}

/// Memory at a certain place.
pub(crate) fn place(text: &str) -> Result<Memory, String> {
    match text.parse()? {
        Memory { start: None, .. } => Err("give the address, too, as in 64K@0x70000".into()),
        memory => Ok(memory),
    }
}

/// A name that can be a kernel's: it is its host name, and that of a directory.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if text.is_empty() || text.starts_with('-') || !text.bytes().all(good) {
        return Err("a kernel's name is made of letters, digits, '-' and '_'".into());
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_read_and_shown_alike() {
        for (text, list, shown) in [
            ("1", vec![1], "1"),
            ("1-3,7", vec![1, 2, 3, 7], "1-3,7"),
            ("7,1,2", vec![7, 1, 2], "7,1-2"),
            ("3,2,1", vec![3, 2, 1], "3,2,1"),
            ("", vec![], ""),
        ] {
            let cpus: Cpus = text.parse().unwrap();
            assert_eq!(cpus.0, list);
            assert_eq!(cpus.to_string(), shown);
        }
        assert_eq!(Cpus(vec![u32::MAX]).to_string(), "4294967295");
        for wrong in ["1,1", "3-1", "a", "1;2", "0-64"] {
            assert!(wrong.parse::<Cpus>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn memory_may_have_a_place() {
        let memory: Memory = "1G@0x40000000".parse().unwrap();
        assert_eq!((memory.bytes, memory.start), (1 << 30, Some(1 << 30)));
        assert_eq!("512M".parse::<Memory>().unwrap().start, None);
        assert_eq!(size("2M"), Ok(2 << 20));
        assert!(size("2M@0x1000000").is_err() && size("0").is_err() && size("much").is_err());
        assert_eq!(place("64K@0x70000").unwrap().start, Some(0x70000));
        assert!(place("64K").is_err());
    }

    #[test]
    fn devices_are_named_as_lspci_does() {
        let device: Device = "01:00.0".parse().unwrap();
        assert_eq!(device.to_string(), "0000:01:00.0");
        assert_eq!("0000:01:00.0".parse(), Ok(device));
        assert_eq!(
            "ffff:fe:1f.7".parse::<Device>().unwrap().to_string(),
            "ffff:fe:1f.7"
        );
        for wrong in [
            "",
            "1:0.0",
            "01:00",
            "01:20.0",
            "01:00.8",
            "0000:0000:01:00.0",
            "xx:00.0",
        ] {
            assert!(wrong.parse::<Device>().is_err(), "{wrong}");
        }
        assert_eq!(devices(""), Ok(vec![]));
        let two = devices("0000:01:00.0,0001:02:00.0").unwrap();
        assert_eq!(devices_text(&two), "0000:01:00.0,0001:02:00.0");
        assert!(devices("0000:01:00.0,").is_err());
    }

    #[test]
    fn a_name_is_never_a_path() {
        assert_eq!(name("node_1-a").unwrap(), "node_1-a");
        for wrong in ["", ".", "..", "../cgroup", "a/b", "-a", "a b", "ä"] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }
}
