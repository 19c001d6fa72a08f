// SPDX-License-Identifier: GPL-2.0
//! Module parameters. 6.12's `module!` has none, so a module declares them in a C file of its own
//! (`module_param_named`, the variables not static) and reads them with [`param!`](crate::param!).
//!
//! C header: `include/linux/moduleparam.h`.

/// Reads the module parameter whose C variable is named, with its type there: `param!(x_shm: u64)`
/// for `u64 x_shm;`. The type must be that of the C variable and an integer or `bool`.
#[macro_export]
macro_rules! param {
    ($variable:ident : $ty:ty) => {{
        extern "C" {
            static $variable: $ty;
        }
        // SAFETY: the C file of the same module defines the variable with this type; sysfs may
        // write it meanwhile, hence the volatile read of one word.
        unsafe { ::core::ptr::read_volatile(&raw const $variable) }
    }};
}
