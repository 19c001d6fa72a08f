// SPDX-License-Identifier: GPL-2.0
//! What bindgen makes of `bindings_helper.h`. For the rest of this crate only, and for its macros.

#![allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused_imports
)]

include!("bindings_generated.rs");
