// SPDX-License-Identifier: GPL-2.0
//! `kernel wait`: until a kernel is a node that takes threads.

use super::description;
use super::description::Kernel;
use super::directory::Attribute;
use super::directory::Kernels;
use super::log;
use super::refusal::refused;
use super::refusal::Action;
use super::state::State;
use crate::cli::kernel::WaitArgs;
use crate::device::Device;
use crate::device::Popcorn;
use crate::failure::Failure;
use crate::output::Output;
use crate::patience::Patience;
use crate::patience::LOOK_AGAIN;
use crate::state::Named;
use crate::uapi;
use std::time::Duration;

/// `kernel wait`
pub(crate) fn wait(
    kernels: &impl Kernels,
    args: &WaitArgs,
    output: &Output,
) -> Result<(), Failure> {
    let device = Device::open()?;
    let patience = Duration::from_secs(args.timeout);
    wait_online(kernels, &device, &args.name, patience, output)?;
    let kernel = Kernel::read(kernels, &args.name)?;
    output.result(&kernel, || kernel.line())
}

/// Waits until kernel `name` is online as a node; what it shows meanwhile goes to stderr.
pub(crate) fn wait_online(
    kernels: &impl Kernels,
    device: &impl Popcorn,
    name: &str,
    limit: Duration,
    output: &Output,
) -> Result<(), Failure> {
    let text = kernels
        .read(name, Attribute::Node)
        .map_err(|errno| refused(Action::Show, name, errno))?;
    let id: u32 = description::parse(Attribute::Node, &text)?;
    let mut patience = Patience::new(limit);
    loop {
        let state = description::state(kernels, name)?;
        if !state.is_up() {
            return Err(not_up(kernels, name, &state));
        }
        let nodes = device
            .nodes()
            .map_err(|errno| Failure::refused("listing the nodes", errno))?;
        let online = |node: &uapi::NodeInfo| node.id == id && node.state == uapi::NODE_ONLINE;
        // Before it has reported, the node may be that of its former life.
        if state.known() != Some(State::Booting) && nodes.iter().any(online) {
            return Ok(());
        }
        if patience.is_over() {
            let what = format!(
                "node {id} is not online after {} s; kernel {name} {}",
                limit.as_secs(),
                state.text()
            );
            return Err(with_console(kernels, name, what));
        }
        if let Some(seconds) = patience.say_again() {
            let last =
                log::last_line(kernels, name).map_or(String::new(), |line| format!(" | {line}"));
            output.progress(&format!(
                "{seconds} s: kernel {name} {}{last}",
                state.text()
            ));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn not_up(kernels: &impl Kernels, name: &str, state: &Named<State>) -> Failure {
    let what = format!("kernel {name} {}", state.text());
    if state.is_ended() || state.known() == Some(State::Stopped) {
        return with_console(kernels, name, what);
    }
    Failure::new(what, format!("start it: `popcornctl kernel start {name}`"))
}

/// A failure that shows how its console ends.
fn with_console(kernels: &impl Kernels, name: &str, what: String) -> Failure {
    Failure::new(
        what + &log::last_lines(kernels, name),
        format!("`popcornctl kernel log {name}` shows its whole console"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fake::FakeKernels;
    use crate::migrate::tests::FakeKernel;
    use crate::uapi::NodeInfo;

    fn online(id: u32) -> FakeKernel {
        let node = NodeInfo {
            id,
            state: uapi::NODE_ONLINE,
            ..NodeInfo::default()
        };
        FakeKernel {
            nodes: vec![node],
            ..FakeKernel::default()
        }
    }

    fn wait(kernels: &FakeKernels, device: &FakeKernel, seconds: u64) -> Result<(), Failure> {
        let patience = Duration::from_secs(seconds);
        wait_online(kernels, device, "node2", patience, &Output::new(true))
    }

    #[test]
    fn waits_for_the_node_and_not_only_for_the_boot() {
        let kernels = FakeKernels::with("node2", 2);
        kernels.set("node2", Attribute::State, "running");
        kernels.before("node2", Attribute::State, &["booting", "booting"]);
        wait(&kernels, &online(2), 60).unwrap();
        assert_eq!(kernels.read("node2", Attribute::State).unwrap(), "running");
        // another's node is not its own
        let failure = wait(&kernels, &online(1), 0).unwrap_err();
        assert!(
            failure.what.contains("not online after 0 s"),
            "{}",
            failure.what
        );
        assert!(failure.what.contains("node2 runs"), "{}", failure.what);
    }

    #[test]
    fn a_node_of_a_former_life_does_not_count() {
        let kernels = FakeKernels::with("node2", 2);
        kernels.set("node2", Attribute::State, "booting");
        let failure = wait(&kernels, &online(2), 0).unwrap_err();
        assert!(failure.what.contains("boots"), "{}", failure.what);
    }

    #[test]
    fn a_panic_ends_the_wait_and_shows_the_console() {
        let kernels = FakeKernels::with("node2", 2);
        kernels.set("node2", Attribute::State, "panicked");
        kernels.before("node2", Attribute::State, &["booting"]);
        kernels.set_log("node2", "first\nKernel panic - not syncing\n");
        let failure = wait(&kernels, &FakeKernel::default(), 60).unwrap_err();
        assert!(
            failure.what.starts_with("kernel node2 has panicked"),
            "{}",
            failure.what
        );
        assert!(
            failure.what.ends_with("| Kernel panic - not syncing"),
            "{}",
            failure.what
        );
    }

    #[test]
    fn one_that_was_not_started_is_not_waited_for() {
        let kernels = FakeKernels::with("node2", 2);
        kernels.set("node2", Attribute::State, "loaded");
        let failure = wait(&kernels, &online(2), 60).unwrap_err();
        assert!(
            failure.next.contains("kernel start node2"),
            "{}",
            failure.next
        );
    }
}
