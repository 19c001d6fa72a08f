// SPDX-License-Identifier: GPL-2.0
//! `kernel load` and `kernel start`.

use super::description;
use super::description::Kernel;
use super::directory::Attribute;
use super::directory::Kernels;
use super::log;
use super::refusal::refused;
use super::refusal::Action;
use super::wait::wait_online;
use crate::cli::kernel::KernelStartArgs;
use crate::cli::kernel::LoadArgs;
use crate::device::Device;
use crate::failure::Failure;
use crate::output::Output;
use nix::errno::Errno;
use std::path::Path;
use std::time::Duration;

/// `kernel load`
pub(crate) fn load(
    kernels: &impl Kernels,
    args: &LoadArgs,
    output: &Output,
) -> Result<(), Failure> {
    let name = &args.name;
    let kernel = absolute(&args.kernel)?;
    let initrd = args.initrd.as_deref().map(absolute).transpose()?;
    // It would be refused only after its settings were changed.
    if description::state(kernels, name)?.is_up() {
        return Err(refused(Action::Load, name, Errno::EBUSY));
    }
    let set = |attribute, text: &str| {
        kernels
            .write(name, attribute, text)
            .map_err(|errno| refused(Action::Set, name, errno))
    };
    set(Attribute::Kernel, &kernel)?;
    set(Attribute::Initrd, initrd.as_deref().unwrap_or(""))?;
    set(Attribute::CommandLine, &args.cmdline.join(" "))?;
    kernels
        .write(name, Attribute::Load, "1")
        .map_err(|errno| refused(Action::Load, name, errno))?;
    let kernel = Kernel::read(kernels, name)?;
    output.result(&kernel, || kernel.line())
}

/// The kernel opens it, and has another working directory.
fn absolute(path: &Path) -> Result<String, Failure> {
    let bad = |why: String| {
        Failure::new(
            format!("{}: {why}", path.display()),
            "check the path of the image",
        )
    };
    let absolute = path
        .canonicalize()
        .map_err(|error| bad(error.to_string()))?;
    if !absolute.is_file() {
        return Err(bad("this is no file".into()));
    }
    match absolute.to_str() {
        Some(text) if !text.contains('\n') => Ok(text.into()),
        _ => Err(bad("a path like this cannot be given to the kernel".into())),
    }
}

/// `kernel start`
pub(crate) fn start(
    kernels: &impl Kernels,
    args: &KernelStartArgs,
    output: &Output,
) -> Result<(), Failure> {
    let name = &args.name;
    kernels
        .write(name, Attribute::Start, "1")
        .map_err(|errno| start_failure(kernels, name, errno))?;
    if args.wait {
        let device = Device::open()?;
        wait_online(
            kernels,
            &device,
            name,
            Duration::from_secs(args.timeout),
            output,
        )?;
    }
    let kernel = Kernel::read(kernels, name)?;
    output.result(&kernel, || kernel.line())
}

fn start_failure(kernels: &impl Kernels, name: &str, errno: Errno) -> Failure {
    let failure = refused(Action::Start, name, errno);
    match errno {
        // It was there, if not for long.
        Errno::ETIMEDOUT | Errno::EIO => Failure {
            what: failure.what + &log::last_lines(kernels, name),
            ..failure
        },
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fake::FakeKernels;
    use crate::kernel::fake::Folder;

    fn load_args(kernel: &Path) -> LoadArgs {
        LoadArgs {
            name: "node1".into(),
            kernel: kernel.into(),
            initrd: None,
            cmdline: vec!["quiet".into(), "loglevel=7".into()],
        }
    }

    #[test]
    fn load_gives_absolute_paths_and_forgets_a_former_initramfs() {
        let folder = Folder::new();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(folder.path().join("bzImage"), "x").unwrap();
        let kernels = FakeKernels::with("node1", 1);
        let args = load_args(&folder.path().join("a/../bzImage"));
        load(&kernels, &args, &Output::new(true)).unwrap();
        let path = folder.path().canonicalize().unwrap().join("bzImage");
        assert_eq!(
            kernels.written(),
            [
                format!("kernel={}", path.display()),
                "initrd=".into(),
                "command_line=quiet loglevel=7".into(),
                "load=1".into()
            ]
        );
    }

    #[test]
    fn load_names_the_image_that_is_missing_and_changes_nothing() {
        let kernels = FakeKernels::with("node1", 1);
        let args = load_args(Path::new("/no/such/bzImage"));
        let failure = load(&kernels, &args, &Output::new(true)).unwrap_err();
        assert!(
            failure.what.contains("/no/such/bzImage"),
            "{}",
            failure.what
        );
        let args = load_args(Path::new("/"));
        let failure = load(&kernels, &args, &Output::new(true)).unwrap_err();
        assert!(failure.what.contains("no file"), "{}", failure.what);
        assert!(kernels.written().is_empty());
    }

    #[test]
    fn one_that_runs_keeps_its_settings() {
        let kernels = FakeKernels::with("node1", 1);
        kernels.set("node1", Attribute::State, "hung");
        let args = load_args(&std::env::current_exe().unwrap());
        let failure = load(&kernels, &args, &Output::new(true)).unwrap_err();
        assert_eq!(failure.errno, Some(Errno::EBUSY));
        assert!(kernels.written().is_empty());
    }

    #[test]
    fn a_start_that_fails_shows_the_console() {
        let kernels = FakeKernels::with("node1", 1);
        kernels.set_log("node1", "early message\n");
        kernels.refuse(Attribute::Start, Errno::EIO);
        let args = KernelStartArgs {
            name: "node1".into(),
            wait: false,
            timeout: 0,
        };
        let failure = start(&kernels, &args, &Output::new(true)).unwrap_err();
        assert!(
            failure.what.ends_with("| early message"),
            "{}",
            failure.what
        );
        kernels.refuse(Attribute::Start, Errno::ENXIO);
        let failure = start(&kernels, &args, &Output::new(true)).unwrap_err();
        assert!(!failure.what.contains("early message"), "{}", failure.what);
    }
}
