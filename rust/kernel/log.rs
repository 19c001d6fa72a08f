// SPDX-License-Identifier: GPL-2.0
//! What this kernel has logged; for tests.
//!
//! C header: `include/linux/kmsg_dump.h`.

use crate::bindings;
use kernel::prelude::*;

/// How many lines of the log hold `text`, behind the latest that holds `mark`; in all of it if none does. Any
/// context but NMI. It looks at the whole log.
pub fn lines_since(mark: &CStr, text: &CStr) -> u32 {
    // SAFETY: both are C strings, which are read during the call only.
    unsafe { bindings::pcn_log_lines_since(mark.as_char_ptr(), text.as_char_ptr()) }
}
