// SPDX-License-Identifier: GPL-2.0
//! What it means when the kernel refuses something, and what to do then.

use crate::failure::Failure;
use crate::failure::Words;
use crate::refusal;
use crate::refusal::SEE_LOG;
use nix::errno::Errno;

/// What was asked of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Create,
    SetCpus,
    /// Of one that runs.
    ChangeCpus,
    SetPossibleCpus,
    SetMemory,
    /// Of one that runs: more.
    AddMemory,
    /// Of one that runs: less.
    RemoveMemory,
    SetLowMemory,
    SetDevices,
    /// To note a path or command line.
    Set,
    Load,
    Start,
    Stop,
    Kill,
    Destroy,
    Show,
    List,
    Log,
    Core,
}

impl Action {
    fn doing(self, name: &str) -> String {
        match self {
            Self::Create => format!("creating kernel {name}"),
            Self::SetCpus => format!("giving kernel {name} its processors"),
            Self::ChangeCpus => format!("changing the processors of kernel {name}, which runs"),
            Self::SetPossibleCpus => {
                format!("choosing what processors kernel {name} may get later")
            }
            Self::SetMemory => format!("giving kernel {name} its memory"),
            Self::AddMemory => format!("giving kernel {name}, which runs, more memory"),
            Self::RemoveMemory => format!("taking memory from kernel {name}, which runs"),
            Self::SetLowMemory => format!("choosing the low memory of kernel {name}"),
            Self::SetDevices => format!("giving kernel {name} its devices"),
            Self::Set | Self::Load => format!("loading kernel {name}"),
            Self::Start => format!("starting kernel {name}"),
            Self::Stop => format!("stopping kernel {name}"),
            Self::Kill => format!("killing kernel {name}"),
            Self::Destroy => format!("destroying kernel {name}"),
            Self::Show => format!("looking at kernel {name}"),
            Self::List => "listing the kernels".into(),
            Self::Log => format!("reading the console of kernel {name}"),
            Self::Core => format!("saving the core of kernel {name}"),
        }
    }
}

/// The kernel refused `action` on the kernel `name`.
pub(crate) fn refused(action: Action, name: &str, errno: Errno) -> Failure {
    let words = special(action, name, errno).unwrap_or_else(|| common(name, errno));
    Failure::explained(&action.doing(name), errno, words)
}

/// What means something else than usual.
fn special(action: Action, name: &str, errno: Errno) -> Option<Words> {
    let (why, next) = match (action, errno) {
        (Action::Create, Errno::EEXIST) => (
            "there is one of that name",
            format!("choose another, or `popcornctl kernel destroy {name}` first"),
        ),
        (Action::Create, Errno::ENOSPC) => (
            "there are as many as there can be",
            "destroy one that is not used".into(),
        ),
        (Action::Create, Errno::EINVAL | Errno::ENAMETOOLONG) => (
            "a name must be one for a host",
            "use at most 63 letters, digits, '-' and '_'".into(),
        ),
        (Action::ChangeCpus, Errno::EINVAL) => (
            "it may not get one of them, or would lose the one that it booted on",
            format!("while it runs it can only get its possible processors, which `popcornctl kernel show {name}` lists and `kernel create --possible-cpus` chooses"),
        ),
        (Action::ChangeCpus, Errno::ETIMEDOUT) => (
            "it did not answer",
            format!("its kernel must run the module popcorn_boot; see `popcornctl kernel log {name}`"),
        ),
        (Action::SetCpus | Action::ChangeCpus | Action::SetPossibleCpus, Errno::EPERM) => (
            "not permitted, or one of them is the processor that the machine booted on",
            "run this as root (it needs CAP_SYS_BOOT) and choose others; `popcornctl doctor` lists them".into(),
        ),
        (Action::ChangeCpus, Errno::EBUSY) => (
            "another command is at work on it, or a processor cannot go offline, here or there",
            format!("try again, or choose other processors; {SEE_LOG}, and `popcornctl kernel log {name}`"),
        ),
        (Action::SetCpus, Errno::EBUSY) => (
            "it runs, or another command is at work on it, or a processor cannot go offline",
            format!("stop it (`popcornctl kernel stop {name}`), or choose other processors; {SEE_LOG}"),
        ),
        (Action::SetCpus | Action::ChangeCpus | Action::SetPossibleCpus, Errno::ENODEV) => (
            "there is no such processor, or another kernel has it",
            "see `lscpu -e` and `popcornctl kernel list`".into(),
        ),
        (Action::SetCpus | Action::ChangeCpus | Action::SetPossibleCpus, Errno::EOPNOTSUPP) => (
            "another kernel could not use one of them: its hardware id is above 254",
            "choose others; `popcornctl doctor` tells why".into(),
        ),
        (
            Action::SetCpus | Action::SetPossibleCpus,
            Errno::EINVAL | Errno::ERANGE | Errno::E2BIG,
        ) => (
            "the list of processors cannot be",
            format!("write it as in 1-3,7; {SEE_LOG}"),
        ),
        (Action::SetMemory, Errno::EINVAL | Errno::ERANGE) => (
            "a size or address that cannot be",
            format!("give a multiple of 2M, from 64M to 256G; {SEE_LOG}"),
        ),
        (Action::SetMemory, Errno::ENXIO) => (
            "this memory was not reserved when the machine booted",
            "leave out the address, or boot with memmap=SIZE$ADDRESS".into(),
        ),
        (Action::SetMemory, Errno::EBUSY) => (
            "it runs, or another command is at work on it, or somebody uses that memory",
            format!("stop it (`popcornctl kernel stop {name}`), or choose other memory; {SEE_LOG}"),
        ),
        (Action::SetMemory, Errno::ENOMEM) => (
            "so much cannot be had: too little is free, or it is too scattered",
            "ask for less, end programs, or try again (echo 1 >/proc/sys/vm/compact_memory)".into(),
        ),
        (Action::SetMemory, Errno::ENOSPC) => (
            "there is no memory below 640 KiB that this kernel does not use",
            "boot with memmap=64K$448K and give --low-memory 64K@0x70000".into(),
        ),
        (Action::AddMemory | Action::RemoveMemory, Errno::EINVAL | Errno::ERANGE) => (
            "a size that cannot be while it runs",
            format!("`popcornctl kernel show {name}` tells in what portions its memory changes; it keeps what it has booted with; {SEE_LOG}"),
        ),
        (Action::AddMemory | Action::RemoveMemory, Errno::EOPNOTSUPP) => (
            "it takes no memory in, or gives none back, while it runs",
            format!("its kernel must have CONFIG_MEMORY_HOTPLUG and CONFIG_MEMORY_HOTREMOVE, and have loaded the module popcorn_boot; else `popcornctl kernel stop {name}` first"),
        ),
        (Action::AddMemory, Errno::ENOMEM) => (
            "so much cannot be had in whole portions, here or there: too little is free, or it is too scattered",
            format!("ask for less, end programs, or try again (echo 1 >/proc/sys/vm/compact_memory); {SEE_LOG}, and `popcornctl kernel log {name}`"),
        ),
        (Action::RemoveMemory, Errno::EBUSY) => (
            "it cannot do without so much, or another command is at work on it",
            format!("end programs there, or take less; {SEE_LOG}, and `popcornctl kernel log {name}` what stays"),
        ),
        (Action::AddMemory | Action::RemoveMemory, Errno::ETIMEDOUT) => (
            "it did not answer; what it may be using stays its own",
            format!("see `popcornctl kernel show {name}` and `popcornctl kernel log {name}`; try again"),
        ),
        (Action::AddMemory | Action::RemoveMemory, Errno::ESRCH) => (
            "it has ended meanwhile",
            format!("see `popcornctl kernel show {name}`"),
        ),
        (Action::SetLowMemory, Errno::EINVAL) => (
            "it must have a size and an address",
            "write it as in 64K@0x70000".into(),
        ),
        (Action::SetDevices, Errno::ENODEV) => (
            "there is no such device",
            "see `lspci -D`".into(),
        ),
        (Action::SetDevices, Errno::EOPNOTSUPP) => (
            "a device that cannot be lent",
            format!("it must be alone behind a PCI Express port, signal by messages (MSI) that no IOMMU remaps, and know a reset; {SEE_LOG}"),
        ),
        (Action::SetDevices, Errno::EBUSY) => (
            "it runs, or another command is at work on it, or a device is in use",
            format!("stop it (`popcornctl kernel stop {name}`); unmount the device's file systems, take its network interface down, end its virtual functions; {SEE_LOG}"),
        ),
        (Action::SetDevices, Errno::EINVAL | Errno::E2BIG) => (
            "a list of devices that cannot be",
            "name each once, as in 0000:01:00.0, and at most 16".into(),
        ),
        (Action::SetDevices, Errno::EIO) => (
            "a device cannot be reset, so nobody else may have it",
            SEE_LOG.into(),
        ),
        (Action::Load | Action::Start, Errno::ENXIO) => (
            "it has no processor, no memory, or no kernel file",
            format!("see `popcornctl kernel show {name}`; `kernel add` gives it the first two, `kernel load` the third"),
        ),
        (Action::Load | Action::Start, Errno::ENOENT | Errno::EACCES | Errno::ENOTDIR) => (
            "the file of its kernel or initramfs cannot be read, or the kernel is gone",
            format!("check both paths with `popcornctl kernel show {name}`"),
        ),
        (Action::Load | Action::Start, Errno::ENOEXEC) => (
            "the kernel file is no bzImage that can be started so",
            "give the bzImage of a 64-bit relocatable kernel".into(),
        ),
        (Action::Load | Action::Start, Errno::EFBIG) => (
            "kernel and initramfs do not fit its memory",
            "give it more, or use smaller images".into(),
        ),
        (Action::Load | Action::Start, Errno::EINVAL) => (
            "an empty file, or a command line that would let it take this kernel's devices",
            format!("leave out what concerns devices, memory and ACPI; {SEE_LOG}"),
        ),
        (Action::Load | Action::Start | Action::Set, Errno::ENAMETOOLONG | Errno::E2BIG) => (
            "the command line or a path is too long",
            "shorten it".into(),
        ),
        (Action::Start, Errno::ETIMEDOUT) => (
            "its processor did not enter the kernel",
            SEE_LOG.into(),
        ),
        (Action::Start, Errno::EIO) => (
            "it did not survive its first instructions",
            format!("is it a kernel for this processor? {SEE_LOG}"),
        ),
        (Action::Load | Action::Start, Errno::ENODEV) => (
            "it is gone, or the frequency of the time-stamp counter is not known",
            "see `popcornctl kernel list` and `popcornctl doctor`".into(),
        ),
        (Action::Stop, Errno::ETIMEDOUT) => (
            "something does not come home from there (see `popcornctl ps`), or it has not shut down yet",
            format!("wait, or `popcornctl kernel kill {name}`; `popcornctl kernel log {name}` shows what it does"),
        ),
        (Action::Stop | Action::Kill, Errno::ESRCH) => (
            "it does not run",
            format!("see `popcornctl kernel show {name}`"),
        ),
        (Action::Destroy, Errno::EBUSY) => (
            "it runs, or another command is at work on it",
            format!("`popcornctl kernel stop {name}` first, or destroy it with --force"),
        ),
        (Action::Log, Errno::EIO) => (
            "it has destroyed the page that its log is in",
            "kill it and start it anew".into(),
        ),
        (Action::Log, Errno::ENXIO) => (
            "it has no memory, so no log",
            format!("give it some: `popcornctl kernel add {name} --memory SIZE`"),
        ),
        (Action::Core, Errno::ESRCH) => (
            "it was never started",
            format!("`popcornctl kernel show {name}` tells what it has"),
        ),
        (Action::Core, Errno::ENXIO) => (
            "it has no memory, or lost it meanwhile",
            "a core can be had until the memory is changed, or the kernel started again or destroyed".into(),
        ),
        (Action::Core, Errno::ESTALE) => (
            "it was started again meanwhile",
            "ask again: the memory is that of the new start".into(),
        ),
        _ => return None,
    };
    Some((why.into(), next))
}

/// What means the same whatever was asked.
fn common(name: &str, errno: Errno) -> Words {
    let (why, next): (&str, &str) = match errno {
        Errno::ENOENT | Errno::ENODEV => (
            "there is no such kernel",
            "`popcornctl kernel list` shows those that there are",
        ),
        Errno::EPERM | Errno::EACCES => {
            ("not permitted", "run this as root (it needs CAP_SYS_BOOT)")
        }
        Errno::EBUSY => {
            let next =
                format!("try again; if it runs, stop it first (`popcornctl kernel stop {name}`)");
            return ("it runs, or another command is at work on it".into(), next);
        }
        other => return refusal::common(other),
    };
    (why.into(), next.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::tests::assert_all_explained;
    use crate::refusal::tests::assert_names_unexpected;

    /// The errors that `docs/uapi.md` lists.
    const DOCUMENTED: &[(Action, &[Errno])] = &[
        (
            Action::Create,
            &[Errno::EEXIST, Errno::ENOSPC, Errno::EINVAL, Errno::EPERM],
        ),
        (
            Action::SetCpus,
            &[
                Errno::EPERM,
                Errno::EBUSY,
                Errno::ENODEV,
                Errno::EINVAL,
                Errno::EOPNOTSUPP,
            ],
        ),
        (
            Action::ChangeCpus,
            &[
                Errno::EINVAL,
                Errno::ETIMEDOUT,
                Errno::EPERM,
                Errno::EBUSY,
                Errno::ENODEV,
                Errno::EOPNOTSUPP,
                Errno::ENOMEM,
                Errno::EINTR,
            ],
        ),
        (
            Action::SetPossibleCpus,
            &[
                Errno::EPERM,
                Errno::EBUSY,
                Errno::ENODEV,
                Errno::EINVAL,
                Errno::EOPNOTSUPP,
            ],
        ),
        (
            Action::SetMemory,
            &[
                Errno::EINVAL,
                Errno::ENXIO,
                Errno::EBUSY,
                Errno::ENOMEM,
                Errno::ENOSPC,
                Errno::EINTR,
            ],
        ),
        (
            Action::AddMemory,
            &[
                Errno::EINVAL,
                Errno::EOPNOTSUPP,
                Errno::ENOMEM,
                Errno::EBUSY,
                Errno::ETIMEDOUT,
                Errno::ESRCH,
                Errno::EPERM,
                Errno::EINTR,
            ],
        ),
        (
            Action::RemoveMemory,
            &[
                Errno::EINVAL,
                Errno::EOPNOTSUPP,
                Errno::EBUSY,
                Errno::ETIMEDOUT,
                Errno::ESRCH,
                Errno::EPERM,
                Errno::EINTR,
            ],
        ),
        (
            Action::SetDevices,
            &[
                Errno::ENODEV,
                Errno::EOPNOTSUPP,
                Errno::EBUSY,
                Errno::EINVAL,
                Errno::EIO,
                Errno::EPERM,
                Errno::ENOMEM,
            ],
        ),
        (
            Action::Start,
            &[
                Errno::ENXIO,
                Errno::ENOENT,
                Errno::ENOEXEC,
                Errno::EFBIG,
                Errno::EINVAL,
                Errno::ENAMETOOLONG,
                Errno::ETIMEDOUT,
                Errno::EIO,
                Errno::ENODEV,
                Errno::EBUSY,
                Errno::ENOMEM,
            ],
        ),
        (
            Action::Stop,
            &[Errno::ESRCH, Errno::ETIMEDOUT, Errno::EBUSY],
        ),
        (Action::Kill, &[Errno::ESRCH, Errno::EBUSY, Errno::EPERM]),
        (Action::Destroy, &[Errno::EBUSY, Errno::ENOENT]),
        (Action::Log, &[Errno::EIO, Errno::ENXIO, Errno::ENOENT]),
        (
            Action::Core,
            &[
                Errno::ESRCH,
                Errno::ENXIO,
                Errno::ESTALE,
                Errno::ENOENT,
                Errno::EPERM,
                Errno::ENOMEM,
            ],
        ),
    ];

    #[test]
    fn every_documented_errno_has_its_own_words_and_advice() {
        assert_all_explained(DOCUMENTED, |action, errno| refused(action, "node1", errno));
    }

    #[test]
    fn one_that_runs_is_told_how_it_may_get_more() {
        let failure = refused(Action::ChangeCpus, "node1", Errno::EINVAL);
        assert!(failure.next.contains("--possible-cpus"), "{}", failure.next);
    }

    #[test]
    fn an_unexpected_errno_is_named() {
        assert_names_unexpected(|errno| refused(Action::Kill, "node1", errno));
    }
}
