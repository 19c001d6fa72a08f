// SPDX-License-Identifier: GPL-2.0
//! Threads that move between kernels.
//!
//! Home-run semantics: a thread that moves leaves its *origin thread* behind, asleep in the kernel.
//! On the remote a *carrier* runs its user instructions, nothing else. What needs the process's
//! identity runs at home, in the origin thread, by the kernel's own code: each system call, and,
//! with the thread itself brought home for it, signal delivery, fork, exec and exit.
//!
//! | file | what |
//! |---|---|
//! | `thread.rs` | the origin thread: what is known of it, and where it shall be |
//! | `thread/at_home.rs` | its hooks, its errand, when it goes |
//! | `thread/away.rs` | leaving, waiting while it is away, coming home |
//! | `parting.rs`, `thread/parting.rs` | all come home from a node that is to be left |
//! | `carrier.rs` | the carrier: arriving, system calls, faults, leaving |
//! | `host.rs` | the process on the remote that the carriers are threads of |
//! | `guests.rs` | how many of both there may be |
//! | `attached.rs` | what is behind the pointer in a task, and the hooks that look at it |
//! | `service.rs` | messages |
//! | `device.rs` | `/dev/popcorn` |
//!
//! Lock order: siglock, then `Carrier::state`. `Thread::state` and the tables are leaves. No lock is
//! held across a message, and nothing here waits but killable, except for room for the last that a thread has to say
//! (`talk::post_last`).

use kernel::prelude::*;
use popcorn_kernel::global::Global;
use popcorn_kernel::global::Guard;
use popcorn_kernel::hooks;
use popcorn_kernel::miscdevice;

mod attached;
mod carrier;
mod device;
mod guests;
mod host;
mod parting;
mod registry;
mod service;
mod thread;

module! {
    type: PopcornProcess,
    name: "popcorn_process",
    author: "The Popcorn developers",
    description: "Popcorn: threads that move between kernels",
    license: "GPL",
}

pub(crate) static REGISTRY: Global<registry::Registry> = Global::new();

/// This module, to be pinned by what lives in it.
pub(crate) fn this_module() -> &'static ThisModule {
    &THIS_MODULE
}

// Fields drop in order: users, then hooks and messages, then what they look at.
struct PopcornProcess {
    _device: Pin<KBox<miscdevice::Registration<device::Device>>>,
    _service: popcorn_msg::Registration,
    _hooks: hooks::Registration<attached::ProcessHooks>,
    _registry: Guard<registry::Registry>,
}

impl kernel::Module for PopcornProcess {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let registry = REGISTRY.init(registry::Registry::new())?;
        let hooks = hooks::Registration::new()?;
        let service = service::register()?;
        let device = KBox::pin_init(
            miscdevice::Registration::register(kernel::c_str!("popcorn"), 0o666, module),
            GFP_KERNEL,
        )?;
        Ok(Self {
            _device: device,
            _service: service,
            _hooks: hooks,
            _registry: registry,
        })
    }
}
