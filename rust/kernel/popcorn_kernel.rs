// SPDX-License-Identifier: GPL-2.0
//! Safe wrappers for what the `kernel` crate of Linux 6.12 lacks.
//!
//! One wrapper per C object, guards that own their lock, all `unsafe` of Popcorn's modules in
//! here. C code lives in `helpers/`; what the headers there declare is bound by bindgen and must be
//! `EXPORT_SYMBOL_GPL`, for generic and inlined code of this crate ends up in other modules. Its
//! names begin with `pcn_`, for `popcorn_` belongs to the patched kernel.

// The kernel's clippy configuration names its own oldest compiler; this project's is Debian 13's.
#![allow(clippy::incompatible_msrv)]

// The printing macros of the `kernel` crate want it.
const __LOG_PREFIX: &[u8] = b"popcorn\0";

mod attached;
#[doc(hidden)]
pub mod bindings;
pub mod boot;
pub mod bytes;
pub mod completion;
pub mod configfs;
#[cfg(CONFIG_KUNIT)]
pub mod connections;
pub mod current;
pub mod doorbell;
pub mod errno;
pub mod global;
pub mod hooks;
pub mod key;
pub mod kthread;
#[cfg(CONFIG_KUNIT)]
pub mod kunit;
#[cfg(CONFIG_KUNIT)]
pub mod log;
pub mod miscdevice;
pub mod mm;
pub mod module;
pub mod netdev;
pub mod pages;
pub mod param;
pub mod print;
pub mod regs;
pub mod shared_memory;
pub mod socket;
pub mod system;
pub mod table;
pub mod task;
pub mod time;
pub mod tls;
pub mod trace;
pub mod try_lock;
pub mod uapi;
pub mod wait;
pub mod work;
