// SPDX-License-Identifier: GPL-2.0
//! `popcornctl`: see and move what runs on a Popcorn system of several Linux kernels.
//!
//! Nodes and threads are reached by the ioctls of `/dev/popcorn` (`uapi` has their structures, `device` the
//! calls), kernels and nodes of other machines by files in configfs (`configfs`); there is one module for each
//! object of the command line.

mod cli;
mod configfs;
mod console;
mod device;
mod doctor;
mod failure;
mod kernel;
mod machine_id;
mod migrate;
mod msg;
mod node;
mod output;
mod patience;
mod ps;
mod refusal;
mod run;
mod signals;
mod state;
mod uapi;

use clap::Parser;
use cli::msg::MsgCommand;
use cli::node::NodeCommand;
use cli::Cli;
use cli::Command;
use device::Device;
use failure::Failure;
use node::directory::Directory;
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

/// Those of other machines; without that directory there are none.
fn peers() -> Option<Directory> {
    Directory::open().ok()
}

fn dispatch(cli: &Cli, output: &Output) -> Result<(), Failure> {
    match &cli.command {
        Command::Node(NodeCommand::List) => node::list(&Device::open()?, peers().as_ref(), output),
        Command::Node(NodeCommand::Join(args)) => node::join::run(args, output),
        Command::Node(NodeCommand::Accept(args)) => node::accept::run(args, output),
        Command::Node(NodeCommand::Leave(args)) => node::leave::run(args, output),
        Command::Node(NodeCommand::Force(args)) => node::force::run(args, output),
        Command::Node(NodeCommand::Show(args)) => {
            node::show::show(&Device::open()?, peers().as_ref(), args, output)
        }
        Command::Node(NodeCommand::Ping(args)) => node::ping::ping(&Device::open()?, args, output),
        Command::Msg(MsgCommand::Stat(args)) => msg::stat(&Device::open()?, args, output),
        Command::Run(args) => run::run(&Device::open().map_err(run::before_exec)?, args),
        Command::Migrate(args) => migrate::migrate(&Device::open()?, args, output),
        Command::Ps(args) => ps::ps(&Device::open()?, args, output),
        Command::Doctor => doctor::doctor(output),
        Command::Kernel(command) => kernel::run(command, output),
    }
}
