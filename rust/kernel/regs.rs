// SPDX-License-Identifier: GPL-2.0
//! The state of a thread in user mode, as it travels.
//!
//! Wraps `popcorn_regs_*` and `popcorn_fpu_*` of the patched kernel. Values from a peer are checked
//! there as ptrace checks a debugger's.

use core::ptr::NonNull;

use kernel::error::to_result;
use kernel::prelude::*;
use popcorn_core::proto::FPU_MAX;
use popcorn_core::proto::REGS;
use popcorn_core::syscall;

use crate::bindings;
use crate::errno;

const _: () = assert!(core::mem::size_of::<bindings::popcorn_regs>() == REGS * 8);

/// General registers, in the order of `struct popcorn_regs`.
#[derive(Clone, Copy)]
pub struct UserRegs(pub [u64; REGS]);

mod index {
    pub(super) const R10: usize = 7;
    pub(super) const R9: usize = 8;
    pub(super) const R8: usize = 9;
    pub(super) const AX: usize = 10;
    pub(super) const DX: usize = 12;
    pub(super) const SI: usize = 13;
    pub(super) const DI: usize = 14;
    pub(super) const ORIG_AX: usize = 15;
    pub(super) const IP: usize = 16;
    pub(super) const SP: usize = 18;
}

/// Bytes of a `syscall` instruction.
const SYSCALL_LENGTH: u64 = 2;
/// `orig_ax` of a thread that is not in a system call.
const NO_SYSCALL: u64 = u64::MAX;

impl UserRegs {
    /// As if the thread were not in a system call. One that is to be restarted is about to be.
    pub fn outside_syscall(mut self) -> Self {
        let number = self.0[index::ORIG_AX];
        let result = self.0[index::AX] as i64;
        if number != NO_SYSCALL && syscall::wants_restart(result) {
            return self.before_syscall(syscall::restart(number, result));
        }
        self.0[index::ORIG_AX] = NO_SYSCALL;
        self
    }

    /// As before the instruction that made system call `number`.
    pub fn before_syscall(mut self, number: u64) -> Self {
        self.0[index::IP] = self.0[index::IP].wrapping_sub(SYSCALL_LENGTH);
        self.0[index::AX] = number;
        self.0[index::ORIG_AX] = NO_SYSCALL;
        self
    }

    /// The number of the system call that it is in front of, see [`Self::before_syscall`].
    pub fn next_syscall(&self) -> u64 {
        self.0[index::AX]
    }

    /// Instruction and stack pointer of a thread that has entered the system call in front of which
    /// it had these registers.
    pub fn in_syscall(&self) -> (u64, u64) {
        (self.0[index::IP].wrapping_add(SYSCALL_LENGTH), self.stack())
    }

    /// The address of the next instruction.
    pub fn instruction(&self) -> u64 {
        self.0[index::IP]
    }

    /// The stack pointer.
    pub fn stack(&self) -> u64 {
        self.0[index::SP]
    }

    /// The arguments of a system call.
    pub fn arguments(&self) -> [u64; 6] {
        [
            self.0[index::DI],
            self.0[index::SI],
            self.0[index::DX],
            self.0[index::R10],
            self.0[index::R8],
            self.0[index::R9],
        ]
    }
}

/// The user registers of the current task, on its kernel stack.
///
/// # Invariants
///
/// The pointer is `task_pt_regs(current)`; the type is not `Send`.
pub struct CurrentRegs(NonNull<bindings::pt_regs>);

impl CurrentRegs {
    /// Those of the current task, which is a user task.
    ///
    /// # Errors
    ///
    /// `EINVAL` in a kernel thread.
    pub fn get() -> Result<Self> {
        // SAFETY: no preconditions.
        if unsafe { bindings::pcn_current_mm() }.is_null() {
            return Err(EINVAL);
        }
        // SAFETY: no preconditions.
        let regs = unsafe { bindings::pcn_current_regs() };
        // INVARIANT: as the type wants it.
        Ok(Self(NonNull::new(regs).ok_or(EINVAL)?))
    }

    /// Reads them.
    pub fn read(&self) -> UserRegs {
        let mut regs = bindings::popcorn_regs::default();
        // SAFETY: by the invariant the pointer is that of current.
        unsafe { bindings::popcorn_regs_get(&mut regs, self.0.as_ptr()) };
        // SAFETY: both are plain arrays of u64 of the same size, as asserted above.
        UserRegs(unsafe { core::mem::transmute::<bindings::popcorn_regs, [u64; REGS]>(regs) })
    }

    /// Sets them.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an address that user mode cannot have; nothing was changed.
    pub fn write(&mut self, regs: &UserRegs) -> Result {
        // SAFETY: both are plain arrays of u64 of the same size, as asserted above.
        let regs = unsafe { core::mem::transmute::<[u64; REGS], bindings::popcorn_regs>(regs.0) };
        // SAFETY: by the invariant the pointer is that of current.
        to_result(unsafe { bindings::popcorn_regs_set(self.0.as_ptr(), &regs) })
    }

    /// Sets the result of the system call that the task is in.
    pub fn set_result(&mut self, result: i64) {
        // SAFETY: by the invariant it is valid, and nobody else accesses current's registers.
        unsafe { (*self.0.as_ptr()).ax = result as _ };
    }

    /// Runs system call `number` of the current task, with these registers as arguments.
    ///
    /// May sleep, may change the registers; the result is also in them.
    pub fn run_syscall(&mut self, number: u32) -> i64 {
        // SAFETY: by the invariant the pointer is `task_pt_regs(current)`.
        unsafe { bindings::popcorn_run_syscall(self.0.as_ptr(), number) as i64 }
    }
}

/// The extended state (FPU, SSE, AVX, ...) of a thread.
pub struct Fpu(KVec<u8>);

impl Fpu {
    /// That of the current task.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` on a CPU without XSAVE or with more state than a message carries, `ENOMEM`.
    pub fn of_current() -> Result<Self> {
        // SAFETY: no preconditions.
        let size = unsafe { bindings::popcorn_fpu_size() };
        if size == 0 || size > FPU_MAX {
            return Err(errno::not_supported());
        }
        let mut bytes = KVec::with_capacity(size, GFP_KERNEL)?;
        bytes.extend_with(size, 0, GFP_KERNEL)?;
        // SAFETY: the buffer has `size` bytes.
        to_result(unsafe { bindings::popcorn_fpu_get(bytes.as_mut_ptr().cast(), size) })?;
        Ok(Self(bytes))
    }

    /// As bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Sets the extended state of the current task from bytes of a peer.
///
/// # Errors
///
/// `EINVAL` for a size or state that this CPU does not have.
pub fn set_fpu(bytes: &[u8]) -> Result {
    // SAFETY: the slice is valid for its length.
    to_result(unsafe { bindings::popcorn_fpu_set(bytes.as_ptr().cast(), bytes.len()) })
}
