// SPDX-License-Identifier: GPL-2.0
//! `kernel create` and `kernel destroy`: the beginning and the end of a kernel's directory.

use super::description;
use super::description::Kernel;
use super::directory::Attribute;
use super::directory::Kernels;
use super::refusal::refused;
use super::refusal::Action;
use super::resources;
use crate::cli::kernel::CreateArgs;
use crate::cli::kernel::DestroyArgs;
use crate::failure::Failure;
use crate::machine_id;
use crate::output::Output;
use nix::errno::Errno;
use popcorn_core::machine_id::MachineId;
use serde::Serialize;

/// `kernel create`
pub(crate) fn create(
    kernels: &impl Kernels,
    args: &CreateArgs,
    output: &Output,
) -> Result<(), Failure> {
    let name = &args.name;
    kernels
        .make(name)
        .map_err(|errno| refused(Action::Create, name, errno))?;
    let machine_id = machine_id::of_this_machine().map(|id| machine_id::of_kernel(&id, name));
    let made = equip(kernels, args, machine_id).and_then(|()| Kernel::read(kernels, name));
    let kernel = made.inspect_err(|_| {
        // Nothing half made stays; if that fails, too, the first failure is the one to tell.
        let _ = kernels.remove(name);
    })?;
    output.result(&kernel, || kernel.line())
}

/// Gives it all that it is to have. Processors come first: memory is taken near them. Without a
/// `machine_id` it has a random one, which goes with it.
fn equip(
    kernels: &impl Kernels,
    args: &CreateArgs,
    machine_id: Option<MachineId>,
) -> Result<(), Failure> {
    let name = &args.name;
    let set = |attribute, text: &str, action| {
        kernels
            .write(name, attribute, text)
            .map_err(|errno| refused(action, name, errno))
    };
    set(Attribute::Cpus, &args.cpus.to_string(), Action::SetCpus)?;
    if let Some(cpus) = &args.possible_cpus {
        set(
            Attribute::PossibleCpus,
            &cpus.to_string(),
            Action::SetPossibleCpus,
        )?;
    }
    if let Some(low) = &args.low_memory {
        set(Attribute::LowMemory, &low.text, Action::SetLowMemory)?;
    }
    set(Attribute::Memory, &args.memory.text, Action::SetMemory)?;
    if let Some(id) = machine_id {
        set(Attribute::MachineId, &id.to_string(), Action::Set)?;
    }
    if args.device.is_empty() {
        return Ok(());
    }
    let devices = resources::devices_text(&args.device);
    set(Attribute::Devices, &devices, Action::SetDevices)
}

/// The result of `kernel destroy`.
#[derive(Debug, Serialize)]
struct Destroyed<'a> {
    destroyed: &'a str,
}

/// `kernel destroy`
pub(crate) fn destroy(
    kernels: &impl Kernels,
    args: &DestroyArgs,
    output: &Output,
) -> Result<(), Failure> {
    let name = &args.name;
    // One that has ended by itself still has its directory held, but nothing to lose.
    let state = description::state(kernels, name)?;
    if args.force && state.is_up() || state.is_ended() {
        match kernels.write(name, Attribute::Kill, "1") {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(refused(Action::Kill, name, errno)),
        }
    }
    kernels
        .remove(name)
        .map_err(|errno| refused(Action::Destroy, name, errno))?;
    output.result(&Destroyed { destroyed: name }, || {
        format!("kernel {name} is no more; all that it had is back")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fake::FakeKernels;

    fn args(low_memory: Option<&str>) -> CreateArgs {
        CreateArgs {
            name: "node1".into(),
            cpus: "1-2".parse().unwrap(),
            memory: "512M".parse().unwrap(),
            low_memory: low_memory.map(|text| text.parse().unwrap()),
            device: vec![],
            possible_cpus: None,
        }
    }

    #[test]
    fn processors_come_before_memory() {
        let kernels = FakeKernels::with("node1", 1);
        equip(&kernels, &args(Some("64K@0x70000")), None).unwrap();
        assert_eq!(
            kernels.written(),
            ["cpus=1-2", "low_memory=64K@0x70000", "memory=512M"]
        );
    }

    #[test]
    fn it_gets_an_id_of_its_own() {
        let kernels = FakeKernels::with("node1", 1);
        let id = "0123456789abcdef0123456789abcdef";
        equip(&kernels, &args(None), MachineId::parse(id.as_bytes())).unwrap();
        assert_eq!(kernels.written().last(), Some(&format!("machine_id={id}")));
    }

    #[test]
    fn devices_come_last_and_only_if_there_are_any() {
        let kernels = FakeKernels::with("node1", 1);
        let args = CreateArgs {
            device: vec!["01:00.0".parse().unwrap(), "02:00.0".parse().unwrap()],
            possible_cpus: Some("3".parse().unwrap()),
            ..args(None)
        };
        equip(&kernels, &args, None).unwrap();
        assert_eq!(
            kernels.written(),
            [
                "cpus=1-2",
                "possible_cpus=3",
                "memory=512M",
                "devices=0000:01:00.0,0000:02:00.0"
            ]
        );
        let kernels = FakeKernels::default();
        kernels.refuse(Attribute::Devices, Errno::EOPNOTSUPP);
        let failure = create(&kernels, &args, &Output::new(true)).unwrap_err();
        assert!(failure.what.contains("cannot be lent"), "{}", failure.what);
        assert!(kernels.names().unwrap().is_empty());
    }

    #[test]
    fn nothing_half_made_stays() {
        let kernels = FakeKernels::default();
        kernels.refuse(Attribute::Memory, Errno::ENOMEM);
        let failure = create(&kernels, &args(None), &Output::new(true)).unwrap_err();
        assert!(failure.what.contains("scattered"), "{}", failure.what);
        assert!(kernels.names().unwrap().is_empty());
        // One that was there before is not touched.
        let kernels = FakeKernels::with("node1", 1);
        let failure = create(&kernels, &args(None), &Output::new(true)).unwrap_err();
        assert_eq!(failure.errno, Some(Errno::EEXIST));
        assert_eq!(kernels.names().unwrap(), ["node1"]);
        assert!(kernels.written().is_empty());
    }

    #[test]
    fn one_that_runs_is_destroyed_by_force_only() {
        let kernels = FakeKernels::with("node1", 1);
        kernels.set("node1", Attribute::State, "running");
        let mut args = DestroyArgs {
            name: "node1".into(),
            force: false,
        };
        let failure = destroy(&kernels, &args, &Output::new(true)).unwrap_err();
        assert_eq!(failure.errno, Some(Errno::EBUSY));
        assert!(failure.next.contains("--force"), "{}", failure.next);
        args.force = true;
        destroy(&kernels, &args, &Output::new(true)).unwrap();
        assert_eq!(kernels.written(), ["kill=1"]);
        assert!(kernels.names().unwrap().is_empty());
    }

    #[test]
    fn one_that_has_ended_needs_no_force() {
        let kernels = FakeKernels::with("node1", 1);
        kernels.set("node1", Attribute::State, "off");
        let args = DestroyArgs {
            name: "node1".into(),
            force: false,
        };
        destroy(&kernels, &args, &Output::new(true)).unwrap();
        assert!(kernels.names().unwrap().is_empty());
    }
}
