// SPDX-License-Identifier: GPL-2.0
//! Further kernels on processors and memory of this machine.
//!
//! In the primary this module plays the other kernels' firmware and boot loader, keeps their console logs
//! readable, and can stop them at any time. In a kernel that was started so (`status=`) it reports to the
//! primary, and keeps a restart or panic there from taking the machine along.
//!
//! | file | job |
//! |---|---|
//! | `registry.rs` | which kernels there are |
//! | `attributes.rs` | the directory in configfs that users work with |
//! | `partition.rs` | which state a kernel is in, and what may follow |
//! | `memory.rs` | its memory, and what the two kernels share in it |
//! | `grown.rs` | memory that it got while it ran |
//! | `loader.rs` | what lies in its memory when it starts |
//! | `console.rs` | its console log |
//! | `core_file.rs` | its memory as a core |
//! | `terminal.rs` | its terminal |
//! | `early.rs` | its panic, before it has reported |
//! | `peer.rs` | its message window, and the news of its death |
//! | `device.rs` | `/dev/popcorn_boot` |
//! | `secondary.rs`, `secondary/` | the other kernel's side: how it ends, its terminal, memory that it gets |
//! | `x86/` | processors: reset, start, the first instructions |
//!
//! Lock order: those of configfs, `Registry::kernels`, `Partition::inner`, `Console::log`, `Terminal::inner`,
//! `Grown::inner`; the last five are held while no other function of the kernel sleeps for long, and under no lock of the kernel's but
//! those of configfs.

mod attributes;
mod console;
mod core_file;
mod device;
mod early;
mod grown;
mod loader;
mod memory;
mod partition;
mod peer;
mod registry;
mod secondary;
mod terminal;

use crate::device::Device;
use crate::registry::Registry;
use crate::registry::REGISTRY;
use crate::secondary::Secondary;
use kernel::c_str;
use kernel::prelude::*;
use popcorn_kernel::boot::suspend::SuspendWatch;
use popcorn_kernel::configfs::Subsystem;
use popcorn_kernel::global::Guard;
use popcorn_kernel::param;

module! {
    type: PopcornBoot,
    name: "popcorn_boot",
    author: "The Popcorn developers",
    description: "Popcorn: further kernels on this machine",
    license: "GPL",
}

/// What the module is here.
enum PopcornBoot {
    /// It starts other kernels. When this is dropped there are none any more, and no open file: both hold
    /// the module. Fields drop in order.
    Primary {
        _directory: Subsystem<Registry>,
        _device: Device,
        _registry: Guard<Registry>,
        _suspend: SuspendWatch,
    },
    /// It is in a kernel that was started.
    Secondary {
        _secondary: Secondary,
        _suspend: SuspendWatch,
    },
}

impl kernel::Module for PopcornBoot {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let suspend = SuspendWatch::new()?;
        match param!(pcn_boot_status: u64) {
            0 => {
                let registry = Registry::new()?;
                Ok(Self::Primary {
                    _registry: REGISTRY.set(registry.clone())?,
                    _device: Device::new(module)?,
                    _directory: Subsystem::new(c_str!("popcorn_boot"), registry, module)?,
                    _suspend: suspend,
                })
            }
            status => Ok(Self::Secondary {
                _secondary: Secondary::new(status, param!(pcn_boot_terminal: u64), module)?,
                _suspend: suspend,
            }),
        }
    }
}
