// SPDX-License-Identifier: GPL-2.0
//! What is behind the pointer in a task, and the hooks of the kernel that look at it.

use kernel::prelude::*;
use kernel::sync::Arc;
use popcorn_kernel::err_ratelimited;
use popcorn_kernel::errno;
use popcorn_kernel::hooks::BadAccess;
use popcorn_kernel::hooks::Fault;
use popcorn_kernel::hooks::FaultResult;
use popcorn_kernel::hooks::Hooks;
use popcorn_kernel::mm;
use popcorn_kernel::mm::Mm;
use popcorn_kernel::regs::CurrentRegs;
use popcorn_kernel::task;
use popcorn_kernel::task::UserTask;
use popcorn_page::Role;
use popcorn_page::Space;
use popcorn_vma::Change;

use crate::carrier::Carrier;
use crate::device;
use crate::host;
use crate::host::Host;
use crate::registry::Registry;
use crate::thread;
use crate::thread::Thread;

/// What a task is to us.
pub(crate) enum Attached {
    /// A thread of this node, at home or away.
    Origin(Arc<Thread>),
    /// It runs a thread of another node.
    Carrier(Arc<Carrier>),
    /// It leads the process that such carriers are threads of.
    Leader(Arc<Host>),
}

impl Attached {
    /// What the current task is.
    pub(crate) fn current() -> Option<Arc<Self>> {
        task::attached_to_current()
    }
}

/// A call by the entry for 32-bit programs (`int 0x80`), which 64-bit ones may use, in a distributed
/// process: its numbers are of another table, so that we would not know what it changes.
fn refuse_compat() -> bool {
    err_ratelimited!(
        "process {} is distributed and cannot make 32-bit system calls\n",
        UserTask::current().pid()
    );
    if let Ok(mut regs) = CurrentRegs::get() {
        regs.set_result(i64::from(errno::no_such_call().to_errno()));
    }
    true
}

/// See [`Hooks`].
pub(crate) struct ProcessHooks;

impl Hooks for ProcessHooks {
    fn fault(fault: Fault<'_>) -> FaultResult {
        let Some(space) = fault.space::<Space>() else {
            return FaultResult::Bus;
        };
        let write = fault.is_write();
        let report = space.fault(fault);
        match Attached::current().as_deref() {
            Some(Attached::Carrier(carrier)) => carrier.faulted(&report, write),
            Some(Attached::Origin(thread)) => thread.faulted(&report),
            _ => (),
        }
        report.result
    }

    fn bad_area(address: usize, access: BadAccess) -> bool {
        match Attached::current().as_deref() {
            Some(Attached::Carrier(carrier)) => carrier.bad_area(address, access),
            Some(Attached::Origin(thread)) => {
                thread.fault_is_real();
                false
            }
            _ => false,
        }
    }

    fn fork_begin() -> Result {
        let Some(space) = mm::attached_to_current::<Space>() else {
            return Ok(());
        };
        let change = Change::begin_copy(&space)?;
        Registry::get()?
            .copies
            .insert(UserTask::current().key(), Arc::new(change, GFP_KERNEL)?)
    }

    fn fork_end() {
        if let Ok(registry) = Registry::get() {
            drop(registry.copies.remove(UserTask::current().key()));
        }
    }

    fn fork_child(child: UserTask, _thread: bool) {
        if let Some(Attached::Origin(thread)) = Attached::current().as_deref() {
            thread.made(child);
        }
    }

    fn exit_task() {
        let Some(attached) = task::detach_from_current::<Attached>() else {
            return;
        };
        match &*attached {
            Attached::Origin(thread) => thread.exited(),
            Attached::Carrier(carrier) => carrier.exited(),
            Attached::Leader(host) => host.exited(),
        }
    }

    fn exit_mm(mm: Mm) {
        let Some(space) = mm.detach::<Space>() else {
            return;
        };
        space.forget();
        match space.role {
            Role::Origin => thread::space_ended(&space),
            Role::Remote(_) => host::space_ended(&space),
        }
    }

    fn syscall_enter(number: u64) -> bool {
        if task::is_compat_syscall() && mm::attached_to_current::<Space>().is_some() {
            return refuse_compat();
        }
        match Attached::current().as_deref() {
            Some(Attached::Carrier(carrier)) => carrier.syscall(number),
            Some(Attached::Origin(thread)) => {
                thread.syscall(number);
                false
            }
            Some(Attached::Leader(_)) => false,
            None => {
                thread::first_syscall(number);
                false
            }
        }
    }

    fn user_return() -> bool {
        match Attached::current().as_deref() {
            Some(Attached::Carrier(carrier)) => carrier.user_return(),
            Some(Attached::Origin(thread)) => {
                thread.user_return();
                false
            }
            _ => false,
        }
    }

    fn signal(signal: i32, code: i32, address: u64) -> bool {
        match Attached::current().as_deref() {
            Some(Attached::Carrier(carrier)) => carrier.signal(signal, code, address),
            _ => false,
        }
    }

    fn handler() {
        if let Some(Attached::Origin(thread)) = Attached::current().as_deref() {
            thread.handler_begins();
        }
    }

    fn set_affinity(tid: i32, mask: usize, length: usize) -> Option<Result> {
        device::set_affinity(tid, mask, length)
    }
}
