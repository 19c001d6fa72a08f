// SPDX-License-Identifier: GPL-2.0
//! `popcornctl`: see and move what runs on a Popcorn system of several Linux kernels.
//!
//! Everything goes through the ioctls of `/dev/popcorn` and `/dev/popcorn_boot`; see `uapi` for their
//! structures, `device` for the calls, and one module for each object of the command line.

mod cli;
mod device;
mod failure;
mod kernel;
mod migrate;
mod node;
mod output;
mod ps;
mod run;
mod uapi;

use clap::Parser;
use cli::Cli;
use cli::Command;
use cli::KernelCommand;
use cli::NodeCommand;
use device::BootDevice;
use device::Device;
use failure::Failure;
use output::Output;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.json);
    match dispatch(&cli, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.status)
        }
    }
}

fn dispatch(cli: &Cli, output: &Output) -> Result<(), Failure> {
    match &cli.command {
        Command::Node(NodeCommand::List) => node::list(&Device::open()?, output),
        Command::Node(NodeCommand::Ping(args)) => node::ping(&Device::open()?, args, output),
        Command::Run(args) => run::run(&Device::open().map_err(run::before_exec)?, args),
        Command::Migrate(args) => migrate::migrate(&Device::open()?, args, output),
        Command::Ps(args) => ps::ps(&Device::open()?, args, output),
        Command::Kernel(command) => {
            let boot = BootDevice::open()?;
            match command {
                KernelCommand::Start(args) => kernel::start(&boot, args, output),
                KernelCommand::Kill(args) => kernel::kill(&boot, args, output),
                KernelCommand::Status => kernel::status(&boot, output),
                KernelCommand::Log(args) => kernel::log(&boot, args, output),
            }
        }
    }
}
