// SPDX-License-Identifier: GPL-2.0
//! `kernel stop` and `kernel kill`: the end in order, and the other one.

use super::description::Kernel;
use super::directory::Attribute;
use super::directory::Kernels;
use super::refusal::refused;
use super::refusal::Action;
use crate::cli::kernel::StopArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::patience;
use nix::errno::Errno;
use std::time::Duration;

/// `kernel stop`
pub(crate) fn stop(
    kernels: &(impl Kernels + Clone + Send + 'static),
    args: &StopArgs,
    output: &Output,
) -> Result<(), Failure> {
    let how = if args.force { "force" } else { "1" };
    ask_to_stop(kernels, &args.name, how, Duration::from_secs(args.timeout))
        .map_err(|errno| refused(Action::Stop, &args.name, errno))?;
    tell(kernels, &args.name, output)
}

fn ask_to_stop(
    kernels: &(impl Kernels + Clone + Send + 'static),
    name: &str,
    how: &'static str,
    limit: Duration,
) -> Result<(), Errno> {
    let (kernels, name) = (kernels.clone(), name.to_owned());
    patience::ask_until(limit, move || kernels.write(&name, Attribute::Stop, how))
}

/// `kernel kill`
pub(crate) fn kill(kernels: &impl Kernels, name: &str, output: &Output) -> Result<(), Failure> {
    kernels
        .write(name, Attribute::Kill, "1")
        .map_err(|errno| refused(Action::Kill, name, errno))?;
    tell(kernels, name, output)
}

fn tell(kernels: &impl Kernels, name: &str, output: &Output) -> Result<(), Failure> {
    let kernel = Kernel::read(kernels, name)?;
    output.result(&kernel, || kernel.line())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fake::FakeKernels;

    #[test]
    fn stop_asks_again_while_it_has_patience() {
        let kernels = FakeKernels::with("node1", 1);
        kernels.refuse_times(Attribute::Stop, Errno::ETIMEDOUT, 2);
        ask_to_stop(&kernels, "node1", "1", Duration::from_secs(3600)).unwrap();
        assert_eq!(kernels.written(), ["stop=1"; 3]);
    }

    #[test]
    fn by_force_it_does_not_wait_for_what_is_there() {
        let kernels = FakeKernels::with("node1", 1);
        ask_to_stop(&kernels, "node1", "force", Duration::from_secs(3600)).unwrap();
        assert_eq!(kernels.written(), ["stop=force"]);
    }

    #[test]
    fn stop_gives_up_in_the_end() {
        let kernels = FakeKernels::with("node1", 1);
        kernels.refuse(Attribute::Stop, Errno::ETIMEDOUT);
        let args = StopArgs {
            name: "node1".into(),
            timeout: 0,
            force: false,
        };
        let failure = stop(&kernels, &args, &Output::new(true)).unwrap_err();
        assert_eq!(failure.errno, Some(Errno::ETIMEDOUT));
        assert!(
            failure.next.contains("kernel kill node1"),
            "{}",
            failure.next
        );
    }

    #[test]
    fn one_that_does_not_run_can_be_neither_stopped_nor_killed() {
        let kernels = FakeKernels::with("node1", 1);
        kernels.refuse(Attribute::Stop, Errno::ESRCH);
        kernels.refuse(Attribute::Kill, Errno::ESRCH);
        let args = StopArgs {
            name: "node1".into(),
            timeout: 60,
            force: false,
        };
        for failure in [
            stop(&kernels, &args, &Output::new(true)).unwrap_err(),
            kill(&kernels, "node1", &Output::new(true)).unwrap_err(),
        ] {
            assert!(failure.what.contains("does not run"), "{}", failure.what);
        }
    }
}
