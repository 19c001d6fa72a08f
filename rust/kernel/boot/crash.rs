// SPDX-License-Identifier: GPL-2.0
//! What this kernel leaves behind for whoever looks at its memory after its end.
//!
//! C headers: `include/linux/vmcore_info.h`, `arch/x86/include/asm/unwind.h`.

use crate::bindings;
use crate::current;
use popcorn_core::bootparams::Extent;
use popcorn_core::elf_core::Crash;
use popcorn_core::elf_core::REGISTERS;

/// Where this kernel's `VMCOREINFO` note is; `None` if it has none (`CONFIG_VMCORE_INFO`). Any context.
pub fn note() -> Option<Extent> {
    let mut size = 0;
    // SAFETY: writes to the variable, which lives.
    let start = unsafe { bindings::pcn_crash_note(&mut size) };
    (start != 0).then_some(Extent::new(start, size))
}

/// The processor that runs this, as a debugger will see it: its registers are those of the innermost
/// function that is no module's, if the kernel can tell. Any context, even a panic's.
pub fn here() -> Crash {
    const { assert!(REGISTERS == bindings::PCN_CRASH_REGISTERS as usize) };
    let mut registers = [0; REGISTERS];
    // SAFETY: writes as many words as are asserted above.
    unsafe { bindings::pcn_crash_registers(registers.as_mut_ptr()) };
    Crash {
        // SAFETY: reads a variable.
        cpu: unsafe { bindings::pcn_crash_cpu() },
        pid: current::pid().unsigned_abs(),
        registers,
    }
}
