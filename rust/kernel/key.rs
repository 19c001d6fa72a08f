// SPDX-License-Identifier: GPL-2.0
//! Keys of this kernel: those that a user has put into a keyring of ours, by their serial numbers.
//!
//! C headers: `include/linux/key.h`, `include/keys/asymmetric-type.h`; C code: `helpers/key.c`.

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

/// A key that holds the public key of a certificate. It stays what it is while this is there, in a keyring or not.
/// Dropping it does not sleep.
///
/// # Invariants
///
/// `key` is from `pcn_certificate_get`, with its reference.
pub struct Certificate {
    key: NonNull<kernel::bindings::key>,
    serial: KeySerial,
}

// SAFETY: keys may be used from any thread, and this one does not change.
unsafe impl Send for Certificate {}
// SAFETY: as above.
unsafe impl Sync for Certificate {}

impl Certificate {
    /// The one in the key with that number (`keyctl padd asymmetric`). May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL`: that key holds none. `EOPNOTSUPP`: no such keys in this kernel. Else as [`KeySerial::check`].
    pub fn get(serial: KeySerial) -> Result<Self> {
        // SAFETY: no requirement.
        let key = from_err_ptr(unsafe { bindings::pcn_certificate_get(serial.get()) })?;
        // INVARIANT: it is from there.
        Ok(Self {
            key: NonNull::new(key).ok_or(EINVAL)?,
            serial,
        })
    }

    /// The one that somebody else has got; `None` if `key` is null.
    ///
    /// # Safety
    ///
    /// `key` is null, or from `pcn_certificate_get(serial)`, with its reference, which is ours from now on.
    pub(crate) unsafe fn from_raw(
        key: *mut kernel::bindings::key,
        serial: KeySerial,
    ) -> Option<Self> {
        // INVARIANT: by the requirement.
        NonNull::new(key).map(|key| Self { key, serial })
    }

    /// Its number.
    pub fn serial(&self) -> KeySerial {
        self.serial
    }

    /// Whether both are of the same public key, so that whoever has proved the one could prove the other. What else they
    /// say, as until when they are valid, does not matter.
    pub fn has_same_key(&self, other: &Self) -> bool {
        // SAFETY: both are valid by the invariant.
        unsafe { bindings::pcn_certificate_same_key(self.key.as_ptr(), other.key.as_ptr()) }
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        // SAFETY: valid by the invariant, and this is the last use.
        unsafe { bindings::pcn_certificate_put(self.key.as_ptr()) };
    }
}
