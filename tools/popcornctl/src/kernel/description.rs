// SPDX-License-Identifier: GPL-2.0
//! All that there is to say of a kernel, read from its files.

use super::directory::Attribute;
use super::directory::Kernels;
use super::refusal;
use super::refusal::Action;
use super::resources;
use super::resources::Cpus;
use super::resources::Device;
use super::resources::Memory;
use super::state::State;
use crate::failure::Failure;
use crate::output;
use crate::state::Named;
use nix::errno::Errno;
use serde::Serialize;
use std::collections::BTreeSet;

/// Memory by physical address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Range {
    pub(crate) start: u64,
    pub(crate) bytes: u64,
}

/// A kernel as it is printed. What there is none of is null, or an empty list.
#[derive(Debug, Serialize)]
pub(crate) struct Kernel {
    pub(crate) name: String,
    pub(crate) node: u32,
    pub(crate) state: Named<State>,
    pub(crate) cpus: Cpus,
    /// Which it may get while it runs.
    pub(crate) possible_cpus: Cpus,
    hardware_ids: Cpus,
    /// NUMA nodes of its processors; -1: none.
    numa_cpus: Vec<i32>,
    pub(crate) memory_bytes: u64,
    /// Of that it keeps so much while it runs.
    pub(crate) memory_booted_bytes: u64,
    /// In multiples of this it can be changed while it runs.
    pub(crate) memory_portion_bytes: Option<u64>,
    memory_ranges: Vec<Range>,
    /// NUMA nodes of these; -1: none.
    numa_memory: Vec<i32>,
    /// Where its low slice is.
    low_range: Option<Range>,
    /// Where it shall be, if that was said.
    low_memory: Option<Range>,
    window: Option<Range>,
    pub(crate) devices: Vec<Device>,
    kernel: Option<String>,
    initrd: Option<String>,
    command_line: Option<String>,
    machine_id: String,
    pub(crate) starts: u32,
    started_ns: Option<u64>,
    pub(crate) boot_ns: Option<u64>,
}

impl Kernel {
    /// Asks for all of it.
    ///
    /// # Errors
    ///
    /// There is no such kernel (`ENOENT`, `ENODEV`), or it cannot be understood.
    pub(crate) fn read(kernels: &impl Kernels, name: &str) -> Result<Self, Failure> {
        let read = |attribute| {
            kernels
                .read(name, attribute)
                .map_err(|errno| refusal::refused(Action::Show, name, errno))
        };
        // What concerns its memory there is only while it has some.
        let read_if = |attribute| match kernels.read(name, attribute) {
            Ok(text) => Ok(Some(text)),
            Err(Errno::ENXIO) => Ok(None),
            Err(errno) => Err(refusal::refused(Action::Show, name, errno)),
        };
        let some = |text: String| (!text.is_empty()).then_some(text);
        let time = |attribute, text: Option<String>| -> Result<Option<u64>, Failure> {
            let ns = text.map(|text| parse(attribute, &text)).transpose()?;
            Ok(ns.filter(|&ns| ns != 0))
        };

        let mut memory_ranges = read(Attribute::MemoryRanges)?
            .lines()
            .map(|line| range(Attribute::MemoryRanges, line))
            .collect::<Result<Vec<Range>, Failure>>()?;
        Ok(Self {
            name: name.into(),
            node: parse(Attribute::Node, &read(Attribute::Node)?)?,
            state: state(kernels, name)?,
            cpus: parse(Attribute::Cpus, &read(Attribute::Cpus)?)?,
            possible_cpus: parse(Attribute::PossibleCpus, &read(Attribute::PossibleCpus)?)?,
            hardware_ids: parse(Attribute::HardwareIds, &read(Attribute::HardwareIds)?)?,
            numa_cpus: nodes(Attribute::NumaCpus, &read(Attribute::NumaCpus)?)?,
            memory_bytes: parse(Attribute::Memory, &read(Attribute::Memory)?)?,
            memory_booted_bytes: parse(Attribute::MemoryBooted, &read(Attribute::MemoryBooted)?)?,
            memory_portion_bytes: Some(parse(
                Attribute::MemoryPortion,
                &read(Attribute::MemoryPortion)?,
            )?)
            .filter(|&bytes| bytes != 0),
            // The low slice comes last.
            low_range: memory_ranges.pop(),
            memory_ranges,
            numa_memory: nodes(Attribute::NumaMemory, &read(Attribute::NumaMemory)?)?,
            low_memory: low_memory(&read(Attribute::LowMemory)?)?,
            window: read_if(Attribute::Window)?
                .map(|text| range(Attribute::Window, &text))
                .transpose()?,
            devices: devices(&read(Attribute::Devices)?)?,
            kernel: some(read(Attribute::Kernel)?),
            initrd: some(read(Attribute::Initrd)?),
            command_line: some(read(Attribute::CommandLine)?),
            machine_id: read(Attribute::MachineId)?,
            starts: parse(Attribute::Starts, &read(Attribute::Starts)?)?,
            started_ns: time(Attribute::StartedNs, Some(read(Attribute::StartedNs)?))?,
            boot_ns: time(Attribute::BootNs, read_if(Attribute::BootNs)?)?,
        })
    }

    /// In one line.
    pub(crate) fn line(&self) -> String {
        let mut line = format!(
            "kernel {} {}: node {}",
            self.name,
            self.state.text(),
            self.node
        );
        match self.cpus.0.len() {
            0 => line += ", no processor",
            1 => line += &format!(", processor {}", self.cpus),
            _ => line += &format!(", processors {}", self.cpus),
        }
        line += &format!(", {}", memory_text(self.memory_bytes));
        match self.devices.len() {
            0 => {}
            1 => line += ", 1 device",
            count => line += &format!(", {count} devices"),
        }
        line
    }

    /// All of it.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("kernel {} {}\n", self.name, self.state.text());
        let mut line = |name: &str, value: String| text += &format!("  {name:<14}{value}\n");
        let or_none = |text: String| if text.is_empty() { "none".into() } else { text };
        line("node:", self.node.to_string());
        line("processors:", or_none(self.cpus.to_string()));
        if !self.possible_cpus.0.is_empty() {
            line("  possible:", self.possible_cpus.to_string());
        }
        line("hardware ids:", or_none(self.hardware_ids.to_string()));
        line("memory:", memory_text(self.memory_bytes));
        if let Some(portion) = self.memory_portion_bytes {
            let more = self.memory_bytes.saturating_sub(self.memory_booted_bytes);
            line("  since boot:", output::bytes(more));
            line("  portions:", output::bytes(portion));
        }
        for range in &self.memory_ranges {
            line("", range_text(range));
        }
        if let Some(range) = &self.low_range {
            line("low memory:", range_text(range));
        }
        if let Some(range) = &self.low_memory {
            line("  wanted:", range_text(range));
        }
        if let Some(range) = &self.window {
            line("messages:", range_text(range));
        }
        if !self.numa_cpus.is_empty() || !self.numa_memory.is_empty() {
            line(
                "NUMA nodes:",
                format!(
                    "processors {}, memory {}",
                    or_none(nodes_text(&self.numa_cpus)),
                    or_none(nodes_text(&self.numa_memory))
                ),
            );
        }
        line("devices:", or_none(resources::devices_text(&self.devices)));
        line("kernel:", self.kernel.clone().unwrap_or("none".into()));
        line("initramfs:", self.initrd.clone().unwrap_or("none".into()));
        line(
            "command line:",
            self.command_line
                .clone()
                .unwrap_or("nothing is added".into()),
        );
        line("machine id:", self.machine_id.clone());
        line("starts:", self.starts.to_string());
        if let Some(started) = self.started_ns {
            line(
                "started:",
                format!("{} after this kernel", output::duration(started)),
            );
        }
        if let Some(boot) = self.boot_ns {
            line("boot time:", output::duration(boot));
        }
        text
    }
}

fn memory_text(bytes: u64) -> String {
    match bytes {
        0 => "no memory".into(),
        bytes => output::bytes(bytes),
    }
}

fn range_text(range: &Range) -> String {
    format!("{} at {:#x}", output::bytes(range.bytes), range.start)
}

/// Its state alone.
pub(crate) fn state(kernels: &impl Kernels, name: &str) -> Result<Named<State>, Failure> {
    kernels
        .read(name, Attribute::State)
        .map(|text| Named::new(&text))
        .map_err(|errno| refusal::refused(Action::Show, name, errno))
}

/// A file's text as a value.
pub(crate) fn parse<T: std::str::FromStr>(attribute: Attribute, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| strange(attribute, text))
}

fn strange(attribute: Attribute, text: &str) -> Failure {
    Failure::new(
        format!("{:?} in the file {} makes no sense", text, attribute.name()),
        "popcornctl and the modules are of different versions: build and install both anew",
    )
}

fn range(attribute: Attribute, text: &str) -> Result<Range, Failure> {
    let number = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    text.split_once(' ')
        .and_then(|(start, bytes)| {
            Some(Range {
                start: number(start)?,
                bytes: number(bytes)?,
            })
        })
        .ok_or_else(|| strange(attribute, text))
}

fn nodes(attribute: Attribute, text: &str) -> Result<Vec<i32>, Failure> {
    text.split(',')
        .filter(|word| !word.is_empty())
        .map(|word| parse(attribute, word))
        .collect()
}

/// Each once, in ascending order.
fn nodes_text(nodes: &[i32]) -> String {
    let all: BTreeSet<i32> = nodes.iter().copied().collect();
    let words: Vec<String> = all.iter().map(i32::to_string).collect();
    words.join(",")
}

fn devices(text: &str) -> Result<Vec<Device>, Failure> {
    resources::devices(text).map_err(|_| strange(Attribute::Devices, text))
}

fn low_memory(text: &str) -> Result<Option<Range>, Failure> {
    if text == "any" {
        return Ok(None);
    }
    match parse(Attribute::LowMemory, text)? {
        Memory {
            bytes,
            start: Some(start),
            ..
        } => Ok(Some(Range { start, bytes })),
        Memory { start: None, .. } => Err(strange(Attribute::LowMemory, text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fake::FakeKernels;

    #[test]
    fn one_without_anything_has_nulls() {
        let kernels = FakeKernels::with("node1", 1);
        let kernel = Kernel::read(&kernels, "node1").unwrap();
        let value = serde_json::to_value(&kernel).unwrap();
        assert_eq!(value["state"], "empty");
        assert_eq!(value["cpus"], serde_json::json!([]));
        assert_eq!(value["memory_bytes"], 0);
        assert_eq!(value["memory_ranges"], serde_json::json!([]));
        assert_eq!(value["numa_memory"], serde_json::json!([]));
        assert_eq!(value["devices"], serde_json::json!([]));
        assert_eq!(value["memory_booted_bytes"], 0);
        for none in [
            "memory_portion_bytes",
            "low_range",
            "low_memory",
            "window",
            "kernel",
            "started_ns",
            "boot_ns",
        ] {
            assert_eq!(value[none], serde_json::Value::Null, "{none}");
        }
        assert!(
            kernel.text().contains("processors:   none"),
            "{}",
            kernel.text()
        );
        assert!(
            kernel.line().ends_with("node 1, no processor, no memory"),
            "{}",
            kernel.line()
        );
    }

    #[test]
    fn one_with_everything_has_it_all() {
        let kernels = FakeKernels::with("node1", 1);
        for (attribute, text) in [
            (Attribute::State, "running"),
            (Attribute::Cpus, "2,3"),
            (Attribute::PossibleCpus, "5,7"),
            (Attribute::HardwareIds, "4,6"),
            (Attribute::NumaCpus, "1,1"),
            (Attribute::NumaMemory, "1,0"),
            (Attribute::Memory, "1073741824"),
            (
                Attribute::MemoryRanges,
                "0x40000000 0x30000000\n0x100000000 0x10000000\n0x70000 0x10000",
            ),
            (Attribute::MemoryBooted, "805306368"),
            (Attribute::MemoryPortion, "134217728"),
            (Attribute::LowMemory, "65536@0x70000"),
            (Attribute::Window, "0x40400000 0x400000"),
            (Attribute::Devices, "0000:01:00.0,0000:02:00.0"),
            (Attribute::Kernel, "/boot/my kernel"),
            (Attribute::Starts, "3"),
            (Attribute::BootNs, "1500000000"),
        ] {
            kernels.set("node1", attribute, text);
        }
        let kernel = Kernel::read(&kernels, "node1").unwrap();
        let value = serde_json::to_value(&kernel).unwrap();
        assert_eq!(value["cpus"], serde_json::json!([2, 3]));
        assert_eq!(value["possible_cpus"], serde_json::json!([5, 7]));
        assert_eq!(value["hardware_ids"], serde_json::json!([4, 6]));
        assert_eq!(value["memory_ranges"].as_array().unwrap().len(), 2);
        assert_eq!(value["memory_ranges"][1]["start"], 1u64 << 32);
        assert_eq!(value["numa_memory"], serde_json::json!([1, 0]));
        assert_eq!(value["memory_booted_bytes"], 768u64 << 20);
        assert_eq!(value["memory_portion_bytes"], 128u64 << 20);
        assert_eq!(value["low_range"], value["low_memory"]);
        assert_eq!(value["low_range"]["bytes"], 65536);
        assert_eq!(value["window"]["start"], 0x40400000);
        assert_eq!(
            value["devices"],
            serde_json::json!(["0000:01:00.0", "0000:02:00.0"])
        );
        assert_eq!(value["kernel"], "/boot/my kernel");
        assert_eq!(value["boot_ns"], 1_500_000_000u64);
        let text = kernel.text();
        assert!(text.contains("processors:   2-3\n"), "{text}");
        assert!(text.contains("768.0 MiB at 0x40000000\n"), "{text}");
        assert!(
            text.contains("NUMA nodes:   processors 1, memory 0,1\n"),
            "{text}"
        );
        assert!(text.contains("since boot: 256.0 MiB\n"), "{text}");
        assert!(text.contains("portions:   128.0 MiB\n"), "{text}");
        assert!(text.contains("boot time:    1.50 s\n"), "{text}");
        assert!(
            text.contains("devices:      0000:01:00.0,0000:02:00.0\n"),
            "{text}"
        );
        assert!(kernel.line().ends_with(", 2 devices"), "{}", kernel.line());
    }

    #[test]
    fn what_makes_no_sense_is_said_and_not_guessed() {
        let kernels = FakeKernels::with("node1", 1);
        kernels.set("node1", Attribute::Window, "4096");
        let failure = Kernel::read(&kernels, "node1").unwrap_err();
        assert!(failure.what.contains("window"), "{}", failure.what);
        let failure = Kernel::read(&kernels, "node2").unwrap_err();
        assert_eq!(failure.errno, Some(Errno::ENOENT));
    }
}
