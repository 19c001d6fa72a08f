// SPDX-License-Identifier: GPL-2.0
//! References to a module, which keep it loaded.

use kernel::prelude::*;
use kernel::ThisModule;

use crate::bindings;

/// A module is not unloaded while this exists. For objects that the kernel leads back to the
/// module's code, such as what is attached to a task.
///
/// # Invariants
///
/// One count of the module is owned.
pub struct Pinned(&'static ThisModule);

impl Pinned {
    /// Keeps `module` loaded.
    ///
    /// # Errors
    ///
    /// `ENODEV` if it is being unloaded.
    pub fn new(module: &'static ThisModule) -> Result<Self> {
        // SAFETY: a `ThisModule` is valid.
        if !unsafe { bindings::pcn_module_get(module.as_ptr()) } {
            return Err(ENODEV);
        }
        // INVARIANT: just counted.
        Ok(Self(module))
    }
}

/// Whether the `init` of `module` has succeeded and its end not begun. Any context.
pub fn is_live(module: &'static ThisModule) -> bool {
    // SAFETY: a `ThisModule` is valid.
    unsafe { bindings::pcn_module_is_live(module.as_ptr()) }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: by the invariant we own one count.
        unsafe { bindings::pcn_module_put(self.0.as_ptr()) };
    }
}
