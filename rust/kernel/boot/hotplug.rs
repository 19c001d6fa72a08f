// SPDX-License-Identifier: GPL-2.0
//! Memory that this kernel is given while it runs, and gives back: the side of one that was started by another.
//!
//! It comes in *portions*, the memory blocks of Linux's memory hot-plug, and is used for what can be moved,
//! so that it can be given back.
//!
//! Lock order: takes the locks of device, CPU and memory hot-plug; no lock that one of their callbacks takes
//! may be held. While memory is given back, CPUs cannot come or go.
//!
//! C header: `include/linux/memory_hotplug.h`; C side: `helpers/hotplug.c`.

use crate::bindings;
use crate::errno;
use kernel::error::to_result;
use kernel::prelude::*;
use popcorn_core::bootparams::Extent;
use popcorn_core::portions::Portions;

/// The empty set of this kernel's portions; `None` if it can take no memory in (`CONFIG_MEMORY_HOTPLUG`). May
/// sleep.
pub fn portions() -> Option<Portions> {
    // SAFETY: asks for a number.
    Portions::new(unsafe { bindings::pcn_hotplug_portion() })
}

/// Takes in one portion, which nobody else uses. May sleep.
///
/// # Errors
///
/// `EINVAL`: no portion. `EOPNOTSUPP`: this kernel cannot, or was told not to use memory that comes. `ERANGE`:
/// it cannot reach that address. `EEXIST`: it has it already, or a device is there. `ENOMEM`: too little is free
/// for the records about it.
pub fn take_in(portion: Extent) -> Result {
    check(portion)?;
    // SAFETY: a portion of this kernel's, aligned, that does not wrap. What this kernel has, or has seen a
    // device in, is refused; all other memory of the machine is the primary's to give, for which this is called.
    to_result(unsafe { bindings::pcn_hotplug_add(portion.start, portion.size) })
}

/// Gives back one portion, such as [`take_in`] has taken. What is there moves elsewhere. May sleep, and for
/// ever if something there is in use, unless the thread is interrupted.
///
/// # Errors
///
/// `EINVAL`: no portion. `ENODEV`: it has no memory there. `EOPNOTSUPP`: this kernel cannot
/// (`CONFIG_MEMORY_HOTREMOVE`). `EBUSY`: something there cannot be moved, not in time, or has no room elsewhere.
/// `ENOMEM`. It has it as before then.
pub fn give_back(portion: Extent) -> Result {
    check(portion)?;
    // SAFETY: a portion of this kernel's, aligned, that does not wrap. It goes only if nothing there is in use.
    match to_result(unsafe { bindings::pcn_hotplug_remove(portion.start, portion.size) }) {
        Err(e) if e == EINTR => Err(EBUSY),
        other => other,
    }
}

/// Whether it is one portion of this kernel's.
fn check(portion: Extent) -> Result {
    match portions().map(|portions| portions.is_portion(portion)) {
        Some(true) => Ok(()),
        Some(false) => Err(EINVAL),
        None => Err(errno::not_supported()),
    }
}
