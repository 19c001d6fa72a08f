// SPDX-License-Identifier: GPL-2.0
//! The base module: it holds the crates `popcorn_core` and `popcorn_kernel` for all others.
//!
//! It does nothing by itself; it exists so that the shared code is in memory once.

use kernel::prelude::*;

module! {
    type: Popcorn,
    name: "popcorn",
    author: "The Popcorn developers",
    description: "Popcorn: code that all Popcorn modules share",
    license: "GPL",
}

struct Popcorn;

impl kernel::Module for Popcorn {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        pr_info!("wire format version {}\n", popcorn_core::wire::VERSION);
        Ok(Popcorn)
    }
}

impl Drop for Popcorn {
    fn drop(&mut self) {
        // The modules that shake hands are gone; the last of them may not have returned from here.
        popcorn_kernel::tls::exit();
    }
}
