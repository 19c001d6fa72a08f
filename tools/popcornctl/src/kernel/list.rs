// SPDX-License-Identifier: GPL-2.0
//! `kernel list` and `kernel show`.

use super::description::Kernel;
use super::directory::Kernels;
use super::refusal::refused;
use super::refusal::Action;
use crate::failure::Failure;
use crate::output;
use crate::output::Output;
use nix::errno::Errno;

/// `kernel list`
pub(crate) fn list(kernels: &impl Kernels, output: &Output) -> Result<(), Failure> {
    let all = read_all(kernels)?;
    output.result(&all, || table(&all))
}

fn read_all(kernels: &impl Kernels) -> Result<Vec<Kernel>, Failure> {
    let names = kernels
        .names()
        .map_err(|errno| refused(Action::List, "", errno))?;
    let mut all = Vec::new();
    for name in names {
        match Kernel::read(kernels, &name) {
            Ok(kernel) => all.push(kernel),
            // It went meanwhile.
            Err(failure) if matches!(failure.errno, Some(Errno::ENOENT | Errno::ENODEV)) => {}
            Err(failure) => return Err(failure),
        }
    }
    all.sort_by_key(|kernel| kernel.node);
    Ok(all)
}

fn table(kernels: &[Kernel]) -> String {
    let rows: Vec<Vec<String>> = kernels
        .iter()
        .map(|kernel| {
            vec![
                kernel.name.clone(),
                kernel.node.to_string(),
                kernel.state.to_string(),
                kernel.cpus.to_string(),
                output::bytes(kernel.memory_bytes),
                kernel.starts.to_string(),
                output::duration(kernel.boot_ns.unwrap_or(0)),
            ]
        })
        .collect();
    output::table(
        &[
            "<NAME", "NODE", "<STATE", "<CPUS", "MEMORY", "STARTS", "BOOT",
        ],
        &rows,
    )
}

/// `kernel show`
pub(crate) fn show(kernels: &impl Kernels, name: &str, output: &Output) -> Result<(), Failure> {
    let kernel = Kernel::read(kernels, name)?;
    output.result(&kernel, || kernel.text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::directory::Attribute;
    use crate::kernel::fake::FakeKernels;

    #[test]
    fn lists_in_the_order_of_nodes() {
        let kernels = FakeKernels::with("database", 2);
        kernels.add("web", 1);
        kernels.set("web", Attribute::Cpus, "1,2");
        kernels.set("web", Attribute::State, "running");
        let text = table(&read_all(&kernels).unwrap());
        assert_eq!(
            text,
            "NAME      NODE  STATE    CPUS  MEMORY  STARTS  BOOT\n\
             web          1  running  1-2      0 B       0     -\n\
             database     2  empty             0 B       0     -\n"
        );
    }

    #[test]
    fn one_that_goes_meanwhile_is_left_out() {
        let kernels = FakeKernels::with("node1", 1);
        kernels.refuse(Attribute::State, Errno::ENODEV);
        assert!(read_all(&kernels).unwrap().is_empty());
        kernels.refuse(Attribute::State, Errno::EIO);
        assert_eq!(read_all(&kernels).unwrap_err().errno, Some(Errno::EIO));
    }
}
