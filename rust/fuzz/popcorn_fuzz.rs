// SPDX-License-Identifier: GPL-2.0
//! Bad input to all of `popcorn_core` that reads what others wrote: another kernel, firmware, a
//! file, a user. That nothing is left out, `tests/complete.rs` looks.
//!
//! A *target* ([`targets`]) takes any bytes, gives them to the code under test, and panics if something does not
//! hold that must hold for whatever comes. The [`engine`] makes inputs: out of good ones, which the encoders make,
//! and, if the program was built for that ([`coverage`]), out of those that got somewhere new.
//!
//! `scripts/fuzz` tries millions of inputs; `cargo test` a few thousand for each target.

pub mod coverage;
pub mod engine;
pub mod hex;
pub mod memory;
pub mod mutate;
pub mod random;
pub mod source;
pub mod targets;
