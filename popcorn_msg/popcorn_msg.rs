// SPDX-License-Identifier: GPL-2.0
//! Messages between nodes, and who the nodes are.

use kernel::prelude::*;

module! {
    type: PopcornMsg,
    name: "popcorn_msg",
    author: "The Popcorn developers",
    description: "Popcorn: messages between nodes",
    license: "GPL",
}

struct PopcornMsg;

impl kernel::Module for PopcornMsg {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(PopcornMsg)
    }
}
