// SPDX-License-Identifier: GPL-2.0
//! A second kernel on a processor and memory of this machine.
//!
//! In the primary (`memory_base=`, `memory_size=`) this module plays the second kernel's firmware and
//! boot loader, keeps its console log readable, and can stop it at any time. In the second kernel
//! (`status=`) it reports to the primary, and keeps a restart or panic there from taking the machine
//! along.
//!
//! | file | job |
//! |---|---|
//! | `partition.rs` | which state the second kernel is in, and what may follow |
//! | `loader.rs` | what lies in its memory when it starts |
//! | `console.rs` | its console log |
//! | `peer.rs` | its message window, and the news of its death |
//! | `device.rs` | `/dev/popcorn_boot` |
//! | `secondary.rs` | the second kernel's side |
//! | `x86/` | processors: reset, start, the first instructions |
//!
//! Lock order: `Partition::inner`, `Console::log`; neither is held while another function of the kernel
//! may sleep for long, nor under any lock of the kernel's.

mod console;
mod device;
mod loader;
mod partition;
mod peer;
mod secondary;

use crate::device::Device;
use crate::partition::Partition;
use crate::secondary::Secondary;
use kernel::prelude::*;
use kernel::sync::Arc;
use popcorn_core::bootparams::Extent;
use popcorn_kernel::param;

module! {
    type: PopcornBoot,
    name: "popcorn_boot",
    author: "The Popcorn developers",
    description: "Popcorn: a second kernel on this machine",
    license: "GPL",
}

/// What the module is here.
enum PopcornBoot {
    /// It starts another kernel. No file of the device is open any more when this is dropped.
    Primary {
        _device: Device,
        partition: Arc<Partition>,
    },
    /// It is in a kernel that was started.
    Secondary { _secondary: Secondary },
}

impl kernel::Module for PopcornBoot {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let memory = Extent::new(
            param!(pcn_boot_memory_base: u64),
            param!(pcn_boot_memory_size: u64),
        );
        let low = Extent::new(param!(pcn_boot_low: u64), param!(pcn_boot_low_size: u64));
        let status = param!(pcn_boot_status: u64);

        match (memory.size, status) {
            (0, 0) => {
                pr_err!("give memory_base= and memory_size= (primary) or status= (secondary)\n");
                Err(EINVAL)
            }
            (0, status) => Ok(Self::Secondary {
                _secondary: Secondary::new(status, module)?,
            }),
            (_, 0) => {
                let partition = Partition::new(memory, low, module)?;
                Ok(Self::Primary {
                    _device: Device::new(partition.clone(), module)?,
                    partition,
                })
            }
            _ => {
                pr_err!("a kernel is primary (memory_size=) or secondary (status=), not both\n");
                Err(EINVAL)
            }
        }
    }
}

impl Drop for PopcornBoot {
    fn drop(&mut self) {
        if let Self::Primary { partition, .. } = self {
            partition.close();
        }
    }
}
