// SPDX-License-Identifier: GPL-2.0
//! The task that runs. All process context unless said otherwise.
//!
//! C headers: `include/linux/sched.h`, `include/linux/sched/signal.h`.

use crate::bindings;

/// Bytes of a command name, including its end.
pub const COMM_LEN: usize = 16;

/// The thread's id in the initial pid namespace.
pub fn pid() -> i32 {
    // SAFETY: reads fields of `current`, which is always valid.
    unsafe { bindings::pcn_current_pid() }
}

/// The process's id in the initial pid namespace.
pub fn tgid() -> i32 {
    // SAFETY: reads fields of `current`, which is always valid.
    unsafe { bindings::pcn_current_tgid() }
}

/// The command name, padded with zeros.
pub fn comm() -> [u8; COMM_LEN] {
    let mut comm = [0u8; COMM_LEN];
    // SAFETY: the helper writes TASK_COMM_LEN bytes, which is COMM_LEN.
    unsafe { bindings::pcn_current_comm(comm.as_mut_ptr().cast()) };
    comm
}

/// Whether a signal is pending that will kill the task.
pub fn fatal_signal_pending() -> bool {
    // SAFETY: reads fields of `current`, which is always valid.
    unsafe { bindings::pcn_fatal_signal_pending() }
}

/// Whether any signal is pending.
pub fn signal_pending() -> bool {
    // SAFETY: reads fields of `current`, which is always valid.
    unsafe { bindings::pcn_signal_pending() }
}

/// Whether it is a kernel thread, which no signal kills.
pub fn is_kernel_thread() -> bool {
    // SAFETY: reads fields of `current`, which is always valid.
    unsafe { bindings::pcn_in_kernel_thread() }
}

/// Whether the task may administer the system (`CAP_SYS_ADMIN` in the initial user namespace).
pub fn is_admin() -> bool {
    // SAFETY: reads the credentials of `current`.
    unsafe { bindings::pcn_capable_sys_admin() }
}

/// Lets others run if it is their turn. May sleep.
pub fn cond_resched() {
    // SAFETY: no requirement but process context.
    unsafe { bindings::pcn_cond_resched() }
}

/// Whether others wait for this processor. Any context.
pub fn need_resched() -> bool {
    // SAFETY: reads a flag of `current`.
    unsafe { bindings::pcn_need_resched() }
}

/// Tells the processor that this is a spin loop. Any context.
pub fn cpu_relax() {
    core::hint::spin_loop();
}
