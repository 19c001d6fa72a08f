// SPDX-License-Identifier: GPL-2.0
//! What Popcorn decides without a kernel: wire format, ring, directory, intervals, tables.
//!
//! The same source is built by Kbuild into `popcorn.ko` and by cargo for tests, model checks and
//! benches. It allocates nothing, knows no kernel type, and holds no `unsafe`.

#![cfg_attr(not(CONFIG_RUST), no_std)]
#![deny(unsafe_code)]

pub mod acpi;
pub mod adaptive_poll;
pub mod address;
pub mod affinity;
pub mod aml;
pub mod boot_command_line;
pub mod boot_control;
pub mod boot_status;
pub mod bootparams;
pub mod byte_ring;
pub mod circle;
pub mod console_log;
pub mod deadline;
pub mod directory;
pub mod elf_core;
pub mod fifo;
pub mod identity_map;
pub mod ids;
pub mod interval;
pub mod layout;
pub mod lent_cpus;
pub mod lent_memory;
pub mod machine_id;
pub mod membership;
pub mod memory_plan;
pub mod message;
pub mod net_frame;
pub mod net_route;
pub mod panic_watch;
pub mod parting;
pub mod partition;
pub mod pci;
pub mod portions;
pub mod printk_log;
pub mod progress;
pub mod proto;
pub mod resource_list;
pub mod ring;
pub mod sort;
pub mod stats;
pub mod strangers;
pub mod stream;
pub mod syscall;
pub mod terminal;
pub mod vmcoreinfo;
pub mod window;
pub mod wire;
