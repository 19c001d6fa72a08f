// SPDX-License-Identifier: GPL-2.0
//! What is mapped where in a distributed process.
//!
//! The origin's VMAs are the truth. A remote starts with none, and asks for the one at an address
//! when a thread first touches it (`fetch`); it maps private anonymous memory in its place, whose
//! pages come from the origin. When the origin changes what was mapped (munmap, mprotect, mremap, a
//! mapping over another, ...), the pages of the range come home and the remotes unmap it before the
//! change, and ask again after it (`change`).
//!
//! An answer to a request may be on its way while the layout changes: layouts have versions, and a
//! remote drops an answer that is older than the last change it was told of.
//!
//! Lock order: `Space::layout` (a mutex), then `mmap_lock`. Neither is held across a message.

use kernel::prelude::*;

mod change;
mod fetch;
mod service;

pub use change::Change;
pub use fetch::fetch;

module! {
    type: PopcornVma,
    name: "popcorn_vma",
    author: "The Popcorn developers",
    description: "Popcorn: address space layout between kernels",
    license: "GPL",
}

struct PopcornVma {
    _service: popcorn_msg::Registration,
}

impl kernel::Module for PopcornVma {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self {
            _service: service::register()?,
        })
    }
}
