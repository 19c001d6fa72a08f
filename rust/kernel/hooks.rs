// SPDX-License-Identifier: GPL-2.0
//! The hooks of the patched kernel: `struct popcorn_ops`.

use core::marker::PhantomData;
use core::ptr::NonNull;

use kernel::error::to_result;
use kernel::ffi::c_int;
use kernel::ffi::c_long;
use kernel::prelude::*;
use kernel::sync::Arc;

use crate::attached;
use crate::bindings;

/// A fault on a page that another kernel holds or shares.
///
/// # Invariants
///
/// The pointer is valid for the call of the hook; the fault's lock is held until
/// [`Fault::unlock`].
pub struct Fault<'a> {
    fault: NonNull<bindings::vm_fault>,
    _call: PhantomData<&'a ()>,
}

impl Fault<'_> {
    /// The page.
    pub fn address(&self) -> usize {
        // SAFETY: by the invariant the pointer is valid.
        unsafe { bindings::pcn_fault_address(self.fault.as_ptr()) }
    }

    /// Whether it wants to write.
    pub fn is_write(&self) -> bool {
        // SAFETY: as above.
        unsafe { bindings::pcn_fault_is_write(self.fault.as_ptr()) }
    }

    /// What is attached to the address space.
    pub fn space<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        // SAFETY: a fault is handled by a user of the mm, so nothing is detached meanwhile.
        unsafe {
            attached::get(bindings::pcn_mm_pointer(bindings::pcn_fault_mm(
                self.fault.as_ptr(),
            )))
        }
    }

    /// Releases the lock of the VMA, so that it may be waited.
    ///
    /// # Errors
    ///
    /// The result of the fault if its caller does not allow that.
    pub fn unlock(self) -> core::result::Result<Unlocked, FaultResult> {
        // SAFETY: as above; the lock is held, and this consumes `self`.
        match unsafe { bindings::pcn_fault_unlock(self.fault.as_ptr()) } {
            bindings::pcn_fault_unlocked_PCN_FAULT_UNLOCKED => Ok(Unlocked(())),
            bindings::pcn_fault_unlocked_PCN_FAULT_NOWAIT => Err(FaultResult::WouldWait),
            _ => Err(FaultResult::Bus),
        }
    }
}

/// Says that the fault's lock was released.
pub struct Unlocked(());

/// What becomes of a fault.
pub enum FaultResult {
    /// The access is tried again, within the kernel.
    Retry(Unlocked),
    /// The access is tried again after the work that waits on the way to user mode.
    Completed(Unlocked),
    /// SIGBUS.
    Bus,
    /// The caller did not allow to wait; it tries another way.
    WouldWait,
}

/// What user code wanted where it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadAccess {
    /// To read.
    Read,
    /// To write.
    Write,
    /// To execute.
    Execute,
}

/// What the module does at each hook. All may sleep but [`Hooks::signal`] and [`Hooks::handler`].
pub trait Hooks: 'static {
    /// A fault.
    fn fault(fault: Fault<'_>) -> FaultResult;
    /// A bad access of user code; true: it is tried again, or the thread leaves.
    fn bad_area(address: usize, access: BadAccess) -> bool;
    /// The current task's address space is about to be copied.
    ///
    /// # Errors
    ///
    /// What fork returns.
    fn fork_begin() -> Result;
    /// It is copied.
    fn fork_end();
    /// The current thread made `child`; `thread`: in its own process.
    fn fork_child(child: crate::task::UserTask, thread: bool);
    /// The current thread, which has something attached, exits.
    fn exit_task();
    /// An address space that has something attached is torn down.
    fn exit_mm(mm: crate::mm::Mm);
    /// A system call; true: done.
    fn syscall_enter(number: u64) -> bool;
    /// The current thread, which has something attached, is about to run user code; true: it exits.
    fn user_return() -> bool;
    /// The default effect of a signal for the current thread, which has something attached; true:
    /// drop it. Under siglock.
    fn signal(signal: i32, code: i32, address: u64) -> bool;
    /// A signal handler of the current thread, which has something attached, is about to be set up.
    /// Under siglock.
    fn handler();
    /// `sched_setaffinity` with a mask; `None`: not for another kernel.
    fn set_affinity(tid: i32, mask: usize, length: usize) -> Option<Result>;
}

/// The hooks are registered as long as this exists.
pub struct Registration<H: Hooks>(PhantomData<H>);

impl<H: Hooks> Registration<H> {
    const OPS: bindings::popcorn_ops = bindings::popcorn_ops {
        // Every object that lets a hook be called holds a reference to the module.
        owner: core::ptr::null_mut(),
        fault: Some(Self::fault),
        bad_area: Some(Self::bad_area),
        fork_begin: Some(Self::fork_begin),
        fork_end: Some(Self::fork_end),
        fork_child: Some(Self::fork_child),
        exit_task: Some(Self::exit_task),
        exit_mm: Some(Self::exit_mm),
        syscall_enter: Some(Self::syscall_enter),
        user_return: Some(Self::user_return),
        signal: Some(Self::signal),
        handler: Some(Self::handler),
        setaffinity: Some(Self::set_affinity),
    };

    /// Registers `H`.
    ///
    /// # Errors
    ///
    /// `EBUSY` if another module's hooks are registered.
    pub fn new() -> Result<Self> {
        // SAFETY: the table is a constant, promoted to a static.
        to_result(unsafe { bindings::popcorn_register(&Self::OPS) })?;
        Ok(Self(PhantomData))
    }

    extern "C" fn fault(vmf: *mut bindings::vm_fault, _reason: usize) -> bindings::vm_fault_t {
        let Some(vmf) = NonNull::new(vmf) else {
            return bindings::vm_fault_reason_VM_FAULT_SIGBUS;
        };
        // INVARIANT: the kernel calls with a valid fault, its lock held.
        let fault = Fault {
            fault: vmf,
            _call: PhantomData,
        };
        match H::fault(fault) {
            FaultResult::Retry(Unlocked(())) | FaultResult::WouldWait => {
                bindings::vm_fault_reason_VM_FAULT_RETRY
            }
            FaultResult::Completed(Unlocked(())) => bindings::vm_fault_reason_VM_FAULT_COMPLETED,
            FaultResult::Bus => bindings::vm_fault_reason_VM_FAULT_SIGBUS,
        }
    }

    extern "C" fn bad_area(_regs: *mut bindings::pt_regs, code: usize, address: usize) -> bool {
        /// Bits of a page fault's error code (x86): a write, an instruction fetch.
        const PF_WRITE: usize = 1 << 1;
        const PF_INSTRUCTION: usize = 1 << 4;
        let access = if code & PF_INSTRUCTION != 0 {
            BadAccess::Execute
        } else if code & PF_WRITE != 0 {
            BadAccess::Write
        } else {
            BadAccess::Read
        };
        H::bad_area(address, access)
    }

    extern "C" fn fork_begin(_mm: *mut bindings::mm_struct) -> c_int {
        match H::fork_begin() {
            Ok(()) => 0,
            Err(error) => error.to_errno(),
        }
    }

    extern "C" fn fork_end(_mm: *mut bindings::mm_struct) {
        H::fork_end();
    }

    extern "C" fn fork_child(child: *mut bindings::task_struct, flags: u64) {
        // SAFETY: the child is valid for the call.
        if let Some(child) = unsafe { crate::task::UserTask::from_borrowed(child) } {
            H::fork_child(child, flags & u64::from(bindings::CLONE_THREAD) != 0);
        }
    }

    extern "C" fn exit_task(_task: *mut bindings::task_struct) {
        H::exit_task();
    }

    extern "C" fn exit_mm(mm: *mut bindings::mm_struct) {
        // SAFETY: the mm is valid for the call: its last user holds a count.
        if let Some(mm) = unsafe { crate::mm::Mm::from_borrowed(mm) } {
            H::exit_mm(mm);
        }
    }

    extern "C" fn syscall_enter(_regs: *mut bindings::pt_regs, number: c_long) -> bool {
        H::syscall_enter(number as u64)
    }

    extern "C" fn user_return(_regs: *mut bindings::pt_regs) -> bool {
        H::user_return()
    }

    extern "C" fn signal(signal: c_int, info: *const bindings::kernel_siginfo) -> bool {
        // SAFETY: the kernel calls with a valid siginfo.
        let (code, address) = unsafe {
            (
                bindings::pcn_siginfo_code(info),
                bindings::pcn_siginfo_addr(info) as u64,
            )
        };
        H::signal(signal, code, address)
    }

    extern "C" fn handler() {
        H::handler();
    }

    extern "C" fn set_affinity(tid: i32, mask: *const usize, length: u32) -> c_long {
        match H::set_affinity(tid, mask as usize, length as usize) {
            None => -(kernel::bindings::ENOSYS as c_long),
            Some(Ok(())) => 0,
            Some(Err(error)) => error.to_errno() as c_long,
        }
    }
}

impl<H: Hooks> Drop for Registration<H> {
    fn drop(&mut self) {
        // SAFETY: it is the table that was registered.
        unsafe { bindings::popcorn_unregister(&Self::OPS) };
    }
}
