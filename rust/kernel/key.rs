// SPDX-License-Identifier: GPL-2.0
//! Keys of this kernel: those that a user has put into a keyring of ours, by their serial numbers.
//!
//! C header: `include/linux/key.h`; C code: `helpers/key.c`.

use crate::bindings;
use core::fmt;
use core::num::NonZeroI32;
use core::ptr::NonNull;
use kernel::error::from_err_ptr;
use kernel::error::to_result;
use kernel::prelude::*;

/// The serial number of a key, by which `keyctl` and `tlshd` name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeySerial(NonZeroI32);

impl KeySerial {
    /// The key with this number; `None` if no key can have it. There need not be one.
    pub const fn new(serial: i32) -> Option<Self> {
        match NonZeroI32::new(serial) {
            Some(serial) if serial.get() > 0 => Some(Self(serial)),
            _ => None,
        }
    }

    /// The number.
    pub const fn get(self) -> i32 {
        self.0.get()
    }

    /// Whether it can be used. It may be gone at once. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOKEY`: there is none. `EKEYREVOKED`, `EKEYEXPIRED`: not any more. `EOPNOTSUPP`: no keys in this kernel.
    pub fn check(self) -> Result {
        // SAFETY: no requirement.
        to_result(unsafe { bindings::pcn_key_check(self.get()) })
    }
}

impl fmt::Display for KeySerial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A keyring of ours, that root can find by its name and put keys into. Dropping it revokes it: keys that are nowhere
/// else go. Dropping may sleep.
///
/// # Invariants
///
/// `key` is from `pcn_keyring_new`, with its reference.
pub struct Keyring {
    key: NonNull<kernel::bindings::key>,
}

// SAFETY: keys may be used from any thread.
unsafe impl Send for Keyring {}
// SAFETY: as above.
unsafe impl Sync for Keyring {}

impl Keyring {
    /// An empty one; a name with a dot in front, as `.popcorn`, cannot be taken by a user. May sleep.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: no keys in this kernel. `ENOMEM`.
    pub fn new(name: &CStr) -> Result<Self> {
        // SAFETY: the name is a C string, which is copied.
        let key = from_err_ptr(unsafe { bindings::pcn_keyring_new(name.as_char_ptr()) })?;
        // INVARIANT: just made.
        Ok(Self {
            key: NonNull::new(key).ok_or(ENOMEM)?,
        })
    }

    /// Its serial number.
    pub fn serial(&self) -> i32 {
        // SAFETY: valid by the invariant.
        unsafe { bindings::pcn_keyring_serial(self.key.as_ptr()) }
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        // SAFETY: valid by the invariant, and this is the last use.
        unsafe { bindings::pcn_keyring_free(self.key.as_ptr()) };
    }
}
