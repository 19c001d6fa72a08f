// SPDX-License-Identifier: GPL-2.0
//! What Popcorn decides without a kernel: wire format, ring, directory, intervals, tables.
//!
//! The same source is built by Kbuild into `popcorn.ko` and by cargo for tests, model checks and
//! benches. It allocates nothing, knows no kernel type, and holds no `unsafe`.

#![cfg_attr(not(CONFIG_RUST), no_std)]
#![deny(unsafe_code)]

pub mod acpi;
pub mod affinity;
pub mod boot_command_line;
pub mod boot_status;
pub mod bootparams;
pub mod console_log;
pub mod directory;
pub mod identity_map;
pub mod ids;
pub mod interval;
pub mod layout;
pub mod partition;
pub mod proto;
pub mod ring;
pub mod syscall;
pub mod window;
pub mod wire;
