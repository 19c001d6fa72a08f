// SPDX-License-Identifier: GPL-2.0
//! The ring of `popcorn_core` and others behind one interface, and memory for it as in the kernel.

pub mod contestants;
pub mod memory;
