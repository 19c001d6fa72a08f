// SPDX-License-Identifier: GPL-2.0
//! `popcornctl kernel`: the further kernels of this machine, each a directory in configfs.
//!
//! | file | job |
//! |---|---|
//! | `directory` | the files of that directory, and the log |
//! | `resources` | processors and memory as people write them |
//! | `state` | the states that a kernel can be in |
//! | `description` | all that there is to say of one |
//! | `refusal` | what an errno means, and what to do |
//! | `core_header`, `memory_log` | what a core says of itself, and the log in it |
//! | `core_dump` | the memory of one as a file for debuggers |
//! | the others | one command or two each |

mod change;
mod core_dump;
mod core_header;
mod create;
mod description;
mod directory;
#[cfg(test)]
pub(crate) mod fake;
mod list;
mod log;
mod memory_log;
mod refusal;
pub(crate) mod resources;
mod start;
mod state;
mod stop;
mod wait;

use crate::cli::kernel::KernelCommand;
use crate::console;
use crate::device;
use crate::device::TerminalDevice;
use crate::failure::Failure;
use crate::output::Output;
use directory::Directory;

/// `kernel COMMAND`
pub(crate) fn run(command: &KernelCommand, output: &Output) -> Result<(), Failure> {
    let kernels = Directory::open()?;
    match command {
        KernelCommand::Create(args) => create::create(&kernels, args, output),
        KernelCommand::Load(args) => start::load(&kernels, args, output),
        KernelCommand::Start(args) => start::start(&kernels, args, output),
        KernelCommand::Wait(args) => wait::wait(&kernels, args, output),
        KernelCommand::Stop(args) => stop::stop(&kernels, args, output),
        KernelCommand::Kill(args) => stop::kill(&kernels, &args.name, output),
        KernelCommand::Destroy(args) => create::destroy(&kernels, args, output),
        KernelCommand::List => list::list(&kernels, output),
        KernelCommand::Show(args) => list::show(&kernels, &args.name, output),
        KernelCommand::Log(args) => log::log(&kernels, args, output),
        KernelCommand::Console(args) => {
            let terminal = TerminalDevice::open(&args.name)?;
            console::console(&terminal, &args.name, device::window_size)
        }
        KernelCommand::Core(args) => core_dump::core(&core_dump::open(&args.name)?, args, output),
        KernelCommand::Add(args) => change::add(&kernels, args, output),
        KernelCommand::Remove(args) => change::remove(&kernels, args, output),
    }
}
