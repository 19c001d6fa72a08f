// SPDX-License-Identifier: GPL-2.0
//! Where a system call of a remote thread runs.
//!
//! Nearly all run at home: in the origin thread's context, by the kernel's own code, with the
//! registers of the remote thread. The exceptions are a short list, and this is it (x86-64).

/// Where a system call runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In place: it concerns only the CPU.
    Remote,
    /// At home, while the thread waits.
    Home,
    /// At home, and the thread with it: it needs or changes the thread's registers, or ends it.
    Return,
}

const SCHED_YIELD: u64 = 24;

const RT_SIGRETURN: u64 = 15;
const CLONE: u64 = 56;
const FORK: u64 = 57;
const VFORK: u64 = 58;
const EXECVE: u64 = 59;
const EXIT: u64 = 60;
const MODIFY_LDT: u64 = 154;
const ARCH_PRCTL: u64 = 158;
const IOPL: u64 = 172;
const IOPERM: u64 = 173;
const EXIT_GROUP: u64 = 231;
const EXECVEAT: u64 = 322;
const RSEQ: u64 = 334;
const RESTART_SYSCALL: u64 = 219;
const CLONE3: u64 = 435;
const MAP_SHADOW_STACK: u64 = 453;

/// Where system call `number` of a remote thread runs.
pub const fn place(number: u64) -> Place {
    match number {
        SCHED_YIELD => Place::Remote,
        RT_SIGRETURN | CLONE | FORK | VFORK | EXECVE | EXIT | MODIFY_LDT | ARCH_PRCTL | IOPL
        | IOPERM | EXIT_GROUP | EXECVEAT | RSEQ | CLONE3 | MAP_SHADOW_STACK => Place::Return,
        _ => Place::Home,
    }
}

/// Whether it replaces the address space.
pub const fn is_exec(number: u64) -> bool {
    matches!(number, EXECVE | EXECVEAT)
}

/// Whether it ends a signal handler.
pub const fn is_signal_return(number: u64) -> bool {
    number == RT_SIGRETURN
}

/// Whether this result means that the kernel wants to restart the call, after it has looked at
/// signals: `ERESTARTSYS`, `ERESTARTNOINTR`, `ERESTARTNOHAND` or `ERESTART_RESTARTBLOCK`.
pub const fn wants_restart(result: i64) -> bool {
    matches!(result, -512 | -513 | -514 | -516)
}

/// The call that restarts system call `number`, which had this [`wants_restart`] result.
pub const fn restart(number: u64, result: i64) -> u64 {
    const ERESTART_RESTARTBLOCK: i64 = -516;
    if result == ERESTART_RESTARTBLOCK {
        RESTART_SYSCALL
    } else {
        number
    }
}
