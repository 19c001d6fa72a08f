// SPDX-License-Identifier: GPL-2.0
//! `kernel add` and `kernel remove`: other processors or devices, another size of memory. A kernel that runs
//! can change its processors and its memory.

use super::description;
use super::description::Kernel;
use super::directory::Attribute;
use super::directory::Kernels;
use super::refusal::refused;
use super::refusal::Action;
use super::resources;
use super::resources::Cpus;
use crate::cli::kernel::ChangeArgs;
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
    if is_up && !args.what.device.is_empty() {
        return Err(Failure {
            errno: Some(Errno::EBUSY),
            ..Failure::new(
                format!(
                    "kernel {name} {}, and its devices cannot be changed then",
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
    if let Some(change) = args.what.memory {
        let size = way.size(kernel.memory_bytes, change).map_err(wrong)?;
        let action = match (is_up, way) {
            (false, _) => Action::SetMemory,
            (true, Way::Add) => Action::AddMemory,
            (true, Way::Remove) => Action::RemoveMemory,
        };
        if is_up {
            check_portions(&kernel, change, size).map_err(wrong)?;
        }
        kernels
            .write(name, Attribute::Memory, &size.to_string())
            .map_err(|errno| memory_failure(kernels, &kernel, action, errno))?;
    }
    let kernel = Kernel::read(kernels, name)?;
    output.result(&kernel, || kernel.line())
}

/// What can be said beforehand of another size for a kernel that runs.
fn check_portions(kernel: &Kernel, change: u64, size: u64) -> Result<(), String> {
    let booted = kernel.memory_booted_bytes;
    if size < booted {
        return Err(format!(
            "it has booted with {} and keeps that while it runs",
            output::bytes(booted)
        ));
    }
    match kernel.memory_portion_bytes {
        Some(portion) if change % portion != 0 => Err(format!(
            "while it runs its memory changes by multiples of {}",
            output::bytes(portion)
        )),
        _ => Ok(()),
    }
}

/// Of one that does not run the former memory goes before the other is taken, so that it can be part of it; one
/// that runs may have got, or given back, some of what was asked for.
fn memory_failure(
    kernels: &impl Kernels,
    before: &Kernel,
    action: Action,
    errno: Errno,
) -> Failure {
    let name = &before.name;
    let failure = refused(action, name, errno);
    let left = kernels
        .read(name, Attribute::Memory)
        .ok()
        .and_then(|text| description::parse::<u64>(Attribute::Memory, &text).ok());
    let now = match left {
        Some(0) => "; it has none now".into(),
        Some(bytes) if bytes != before.memory_bytes => {
            format!("; it has {} now", output::bytes(bytes))
        }
        _ => return failure,
    };
    Failure {
        what: failure.what + &now,
        ..failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::kernel::Change;
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
        let before = Kernel::read(&kernels, "node1").unwrap();
        let failure = |action| memory_failure(&kernels, &before, action, Errno::ENOMEM).what;
        let what = failure(Action::SetMemory);
        assert!(!what.contains("now"), "{what}");
        kernels.set("node1", Attribute::Memory, "524288");
        let what = failure(Action::AddMemory);
        assert!(what.ends_with("; it has 512.0 KiB now"), "{what}");
        kernels.set("node1", Attribute::Memory, "0");
        let what = failure(Action::SetMemory);
        assert!(what.ends_with("it has none now"), "{what}");
    }

    /// One that has booted with 256 MiB and got as much since.
    fn one_that_runs() -> FakeKernels {
        let kernels = kernels();
        for (attribute, text) in [
            (Attribute::State, "running"),
            (Attribute::Memory, "536870912"),
            (Attribute::MemoryBooted, "268435456"),
            (Attribute::MemoryPortion, "134217728"),
        ] {
            kernels.set("node1", attribute, text);
        }
        kernels
    }

    #[test]
    fn one_that_runs_changes_processors_and_memory() {
        let (kernels, output) = (one_that_runs(), Output::new(true));
        let device = ChangeArgs {
            what: Change {
                cpus: None,
                memory: None,
                device: vec!["01:00.0".parse().unwrap()],
            },
            ..args(None, None)
        };
        let failure = add(&kernels, &device, &output).unwrap_err();
        assert_eq!(failure.errno, Some(Errno::EBUSY));
        assert!(kernels.written().is_empty());
        add(&kernels, &args(Some("1"), None), &output).unwrap();
        add(&kernels, &args(None, Some(128 << 20)), &output).unwrap();
        remove(&kernels, &args(None, Some(256 << 20)), &output).unwrap();
        assert_eq!(
            kernels.written(),
            ["cpus=2-3,1", "memory=671088640", "memory=268435456"]
        );
    }

    #[test]
    fn one_that_runs_changes_in_portions_and_keeps_what_it_booted_with() {
        let (kernels, output) = (one_that_runs(), Output::new(true));
        let odd = args(None, Some(64 << 20));
        for failure in [
            add(&kernels, &odd, &output).unwrap_err(),
            remove(&kernels, &odd, &output).unwrap_err(),
        ] {
            assert!(failure.what.contains("128.0 MiB"), "{}", failure.what);
        }
        let failure = remove(&kernels, &args(None, Some(384 << 20)), &output).unwrap_err();
        assert!(
            failure.what.contains("booted with 256.0 MiB"),
            "{}",
            failure.what
        );
        assert!(kernels.written().is_empty());
    }

    #[test]
    fn what_it_refuses_itself_is_explained() {
        let (kernels, output) = (one_that_runs(), Output::new(true));
        kernels.set("node1", Attribute::MemoryPortion, "0");
        kernels.refuse_writes(Attribute::Memory, Errno::EOPNOTSUPP);
        let failure = add(&kernels, &args(None, Some(64 << 20)), &output).unwrap_err();
        assert_eq!(kernels.written(), ["memory=603979776"]);
        assert!(
            failure.next.contains("CONFIG_MEMORY_HOTPLUG"),
            "{}",
            failure.next
        );
        kernels.refuse_writes(Attribute::Memory, Errno::EBUSY);
        let failure = remove(&kernels, &args(None, Some(128 << 20)), &output).unwrap_err();
        assert!(
            failure.what.contains("cannot do without"),
            "{}",
            failure.what
        );
        assert_eq!(failure.errno, Some(Errno::EBUSY));
    }
}
