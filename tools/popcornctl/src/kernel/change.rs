// SPDX-License-Identifier: GPL-2.0
//! `kernel add` and `kernel remove`: other processors or devices, another size of memory. A kernel that runs
//! can change its processors only.

use super::description;
use super::description::Kernel;
use super::directory::Attribute;
use super::directory::Kernels;
use super::refusal::refused;
use super::refusal::Action;
use super::resources;
use super::resources::Cpus;
use crate::cli::ChangeArgs;
use crate::failure::Failure;
use crate::output;
use crate::output::Output;
use nix::errno::Errno;
use std::fmt::Display;

/// In which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Add,
    Remove,
}

impl Way {
    /// Another list; `what` each of it is.
    fn list<T>(self, has: &[T], change: &[T], what: &str) -> Result<Vec<T>, String>
    where
        T: Copy + PartialEq + Display,
    {
        let odd = change
            .iter()
            .find(|each| has.contains(each) == (self == Self::Add));
        match (self, odd) {
            (Self::Add, None) => Ok([has, change].concat()),
            (Self::Remove, None) => {
                let kept = has.iter().filter(|each| !change.contains(each));
                Ok(kept.copied().collect())
            }
            (Self::Add, Some(each)) => Err(format!("it has {what} {each} already")),
            (Self::Remove, Some(each)) => Err(format!("it does not have {what} {each}")),
        }
    }

    /// Another size in bytes.
    fn size(self, has: u64, change: u64) -> Result<u64, String> {
        match self {
            Self::Add => has
                .checked_add(change)
                .ok_or("that is more than can be counted".into()),
            Self::Remove => has
                .checked_sub(change)
                .ok_or(format!("it has {} only", output::bytes(has))),
        }
    }
}

/// `kernel add`
pub(crate) fn add(
    kernels: &impl Kernels,
    args: &ChangeArgs,
    output: &Output,
) -> Result<(), Failure> {
    change(kernels, args, output, Way::Add)
}

/// `kernel remove`
pub(crate) fn remove(
    kernels: &impl Kernels,
    args: &ChangeArgs,
    output: &Output,
) -> Result<(), Failure> {
    change(kernels, args, output, Way::Remove)
}

fn change(
    kernels: &impl Kernels,
    args: &ChangeArgs,
    output: &Output,
    way: Way,
) -> Result<(), Failure> {
    let name = &args.name;
    let kernel = Kernel::read(kernels, name)?;
    let is_up = kernel.state.is_up();
    if is_up && args.what.cpus.is_none() {
        return Err(Failure {
            errno: Some(Errno::EBUSY),
            ..Failure::new(
                format!(
                    "kernel {name} {}, and only its processors can be changed then",
                    kernel.state.text()
                ),
                format!("`popcornctl kernel stop {name}` first"),
            )
        });
    }
    let wrong = |why| {
        Failure::new(
            format!("changing kernel {name}: {why}"),
            format!("see `popcornctl kernel show {name}`"),
        )
    };
    let set = |attribute, text: &str, action| {
        kernels
            .write(name, attribute, text)
            .map_err(|errno| refused(action, name, errno))
    };
    if let Some(cpus) = &args.what.cpus {
        let cpus = way
            .list(&kernel.cpus.0, &cpus.0, "processor")
            .map_err(wrong)?;
        let action = match is_up {
            true => Action::ChangeCpus,
            false => Action::SetCpus,
        };
        set(Attribute::Cpus, &Cpus(cpus).to_string(), action)?;
    }
    if !args.what.device.is_empty() {
        let devices = way
            .list(&kernel.devices, &args.what.device, "device")
            .map_err(wrong)?;
        let text = resources::devices_text(&devices);
        set(Attribute::Devices, &text, Action::SetDevices)?;
    }
    if let Some(size) = args.what.memory {
        let size = way.size(kernel.memory_bytes, size).map_err(wrong)?;
        kernels
            .write(name, Attribute::Memory, &size.to_string())
            .map_err(|errno| memory_failure(kernels, name, errno))?;
    }
    let kernel = Kernel::read(kernels, name)?;
    output.result(&kernel, || kernel.line())
}

/// The former memory goes before the other is taken, so that it can be part of it.
fn memory_failure(kernels: &impl Kernels, name: &str, errno: Errno) -> Failure {
    let failure = refused(Action::SetMemory, name, errno);
    let left = kernels
        .read(name, Attribute::Memory)
        .ok()
        .and_then(|text| description::parse::<u64>(Attribute::Memory, &text).ok());
    match left {
        Some(0) => Failure {
            what: failure.what + "; it has none now",
            ..failure
        },
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Change;
    use crate::kernel::fake::FakeKernels;

    fn args(cpus: Option<&str>, memory: Option<u64>) -> ChangeArgs {
        ChangeArgs {
            name: "node1".into(),
            what: Change {
                cpus: cpus.map(|text| text.parse().unwrap()),
                memory,
                device: vec![],
            },
        }
    }

    fn kernels() -> FakeKernels {
        let kernels = FakeKernels::with("node1", 1);
        kernels.set("node1", Attribute::Cpus, "2,3");
        kernels.set("node1", Attribute::Memory, "1048576");
        kernels
    }

    #[test]
    fn processors_keep_their_order() {
        let (kernels, output) = (kernels(), Output::new(true));
        add(&kernels, &args(Some("1,5"), None), &output).unwrap();
        remove(&kernels, &args(Some("3,2"), None), &output).unwrap();
        assert_eq!(kernels.written(), ["cpus=2-3,1,5", "cpus=1,5"]);
        let failure = remove(&kernels, &args(Some("7"), None), &output).unwrap_err();
        assert!(
            failure.what.contains("does not have processor 7"),
            "{}",
            failure.what
        );
        let failure = add(&kernels, &args(Some("5"), None), &output).unwrap_err();
        assert!(failure.what.contains("has processor 5"), "{}", failure.what);
    }

    #[test]
    fn devices_are_added_and_removed() {
        let (kernels, output) = (kernels(), Output::new(true));
        let args = |devices: &[&str]| ChangeArgs {
            name: "node1".into(),
            what: Change {
                cpus: None,
                memory: None,
                device: devices.iter().map(|text| text.parse().unwrap()).collect(),
            },
        };
        add(&kernels, &args(&["01:00.0", "02:00.0"]), &output).unwrap();
        remove(&kernels, &args(&["01:00.0"]), &output).unwrap();
        let failure = add(&kernels, &args(&["02:00.0"]), &output).unwrap_err();
        assert!(
            failure.what.contains("has device 0000:02:00.0 already"),
            "{}",
            failure.what
        );
        remove(&kernels, &args(&["02:00.0"]), &output).unwrap();
        assert_eq!(
            kernels.written(),
            [
                "devices=0000:01:00.0,0000:02:00.0",
                "devices=0000:02:00.0",
                "devices="
            ]
        );
    }

    #[test]
    fn memory_is_another_size() {
        let (kernels, output) = (kernels(), Output::new(true));
        add(&kernels, &args(None, Some(4096)), &output).unwrap();
        remove(&kernels, &args(None, Some(8192)), &output).unwrap();
        assert_eq!(kernels.written(), ["memory=1052672", "memory=1040384"]);
        assert!(remove(&kernels, &args(None, Some(1 << 30)), &output).is_err());
        assert!(add(&kernels, &args(None, Some(u64::MAX)), &output).is_err());
        assert_eq!(kernels.written().len(), 2);
    }

    #[test]
    fn lost_memory_is_told() {
        let kernels = kernels();
        kernels.refuse(Attribute::Memory, Errno::ENOMEM);
        let failure = memory_failure(&kernels, "node1", Errno::ENOMEM);
        assert!(!failure.what.contains("none now"), "{}", failure.what);
        let kernels = FakeKernels::with("node1", 1);
        let failure = memory_failure(&kernels, "node1", Errno::ENOMEM);
        assert!(
            failure.what.ends_with("it has none now"),
            "{}",
            failure.what
        );
    }

    #[test]
    fn one_that_runs_can_change_its_processors_only() {
        let kernels = kernels();
        kernels.set("node1", Attribute::State, "running");
        let failure = add(&kernels, &args(None, Some(4096)), &Output::new(true)).unwrap_err();
        assert_eq!(failure.errno, Some(Errno::EBUSY));
        assert!(kernels.written().is_empty());
        add(&kernels, &args(Some("1"), None), &Output::new(true)).unwrap();
        assert_eq!(kernels.written(), ["cpus=2-3,1"]);
    }
}
