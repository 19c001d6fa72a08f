// SPDX-License-Identifier: GPL-2.0
//! The ring of `popcorn_core` and others behind one interface, memory for it as in the kernel, and how they stand to each
//! other.

pub mod contestants;
pub mod memory;
pub mod verdict;
