// SPDX-License-Identifier: GPL-2.0
//! One coherent address space for the threads of a process, wherever they run.
//!
//! Page by page: many readers or one writer. The process's origin keeps the directory
//! (`popcorn_core::directory`, which documents the protocol) and is the *home* of each page; other
//! nodes hold copies. See `space.rs` for the object, `home.rs` for the origin's side, `away.rs` for
//! the side of a remote, `service.rs` for the messages, `hand.rs` for what they carry.
//!
//! Lock order: below the spinlock of a space's directory there are a leaf of `popcorn_msg` and what
//! `docs/locking.md` says of it. Nothing in this module waits for a message while it holds a lock.

use kernel::prelude::*;
use popcorn_kernel::global::Guard;

mod away;
mod hand;
mod home;
mod service;
mod space;
mod streams;
pub mod talk;
mod waiting;

pub use away::Report;
pub use space::find;
pub use space::is_made_by;
pub use space::Role;
pub use space::Space;

module! {
    type: PopcornPage,
    name: "popcorn_page",
    author: "The Popcorn developers",
    description: "Popcorn: coherent pages between kernels",
    license: "GPL",
}

// Fields drop in order: no message comes any more when the table of spaces goes.
struct PopcornPage {
    _service: popcorn_msg::Registration,
    _spaces: Guard<space::Spaces>,
}

impl kernel::Module for PopcornPage {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let spaces = space::SPACES.init(space::Spaces::new()?)?;
        Ok(Self {
            _service: service::register()?,
            _spaces: spaces,
        })
    }
}
