// SPDX-License-Identifier: GPL-2.0
//! User tasks: finding, stopping, and making them.
//!
//! None of this takes a lock that is held across a message. [`spawn`] may sleep.

use core::ffi::c_int;
use core::ffi::c_void;
use core::ptr::NonNull;

use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::ThisModule;

use crate::attached;
use crate::bindings;

/// Bytes of a command name, with the final zero.
pub const NAME_LENGTH: usize = 16;

/// A reference to a task.
///
/// # Invariants
///
/// The pointer is valid and counted.
pub struct UserTask(NonNull<bindings::task_struct>);

// SAFETY: a task_struct may be referenced and released from any task.
unsafe impl Send for UserTask {}
// SAFETY: all that can be done through a shared reference synchronises by itself.
unsafe impl Sync for UserTask {}

impl UserTask {
    /// The current task.
    pub fn current() -> Self {
        // SAFETY: no preconditions; current is valid.
        let task = unsafe { bindings::pcn_current() };
        // SAFETY: current is valid.
        unsafe { bindings::pcn_task_get(task) };
        // INVARIANT: just counted. SAFETY: current is never null.
        Self(unsafe { NonNull::new_unchecked(task) })
    }

    /// A reference of its own to a task that the caller keeps valid; `None` for null.
    ///
    /// # Safety
    ///
    /// `task` is null or valid.
    pub(crate) unsafe fn from_borrowed(task: *mut bindings::task_struct) -> Option<Self> {
        let task = NonNull::new(task)?;
        // SAFETY: by the contract it is valid.
        unsafe { bindings::pcn_task_get(task.as_ptr()) };
        // INVARIANT: just counted.
        Some(Self(task))
    }

    /// The task with this number in the caller's pid namespace.
    pub fn find(tid: i32) -> Option<Self> {
        // SAFETY: no preconditions. INVARIANT: the C function counts.
        NonNull::new(unsafe { bindings::pcn_task_find(tid) }).map(Self)
    }

    /// Tells tasks apart while references to them exist.
    pub fn key(&self) -> u64 {
        self.0.as_ptr() as u64
    }

    /// The `index`'th thread of this task's process; `None` behind the last.
    pub fn thread(&self, index: u32) -> Option<Self> {
        // SAFETY: the pointer is valid. INVARIANT: the C function counts.
        NonNull::new(unsafe { bindings::pcn_task_next_thread(self.0.as_ptr(), index) }).map(Self)
    }

    /// Whether it is the current task.
    pub fn is_current(&self) -> bool {
        // SAFETY: no preconditions.
        unsafe { bindings::pcn_current() == self.0.as_ptr() }
    }

    /// Its number, in the caller's pid namespace.
    pub fn tid(&self) -> i32 {
        // SAFETY: the pointer is valid.
        unsafe { bindings::pcn_task_tid(self.0.as_ptr()) }
    }

    /// The number of its process, in the caller's pid namespace.
    pub fn pid(&self) -> i32 {
        // SAFETY: the pointer is valid.
        unsafe { bindings::pcn_task_tgid(self.0.as_ptr()) }
    }

    /// Its command name, zero-terminated.
    pub fn name(&self) -> [u8; NAME_LENGTH] {
        let mut name = [0; NAME_LENGTH];
        // SAFETY: the pointer is valid, the buffer has TASK_COMM_LEN bytes.
        unsafe { bindings::pcn_task_comm(self.0.as_ptr(), name.as_mut_ptr().cast()) };
        name
    }

    /// Whether the caller could attach to it with ptrace.
    pub fn may_control(&self) -> bool {
        // SAFETY: the pointer is valid.
        unsafe { bindings::pcn_task_may_control(self.0.as_ptr()) }
    }

    /// Whether the caller could read its state with ptrace.
    pub fn may_read(&self) -> bool {
        // SAFETY: the pointer is valid.
        unsafe { bindings::pcn_task_may_read(self.0.as_ptr()) }
    }

    /// Whether its state can move to another kernel.
    pub fn can_move(&self) -> bool {
        // SAFETY: the pointer is valid.
        unsafe { bindings::popcorn_task_supported(self.0.as_ptr()) }
    }

    /// Makes it pass the `user_return` hook before it next runs user code.
    pub fn notify(&self) {
        // SAFETY: the pointer is valid.
        unsafe { bindings::pcn_task_notify(self.0.as_ptr()) };
    }

    /// Ends its interruptible sleep, and whatever it sleeps in before it next runs user code, without
    /// a signal: a system call is made anew, or fails with `EINTR`, as after a stop and a continuation.
    pub fn interrupt(&self) {
        // SAFETY: the pointer is valid.
        unsafe { bindings::pcn_task_interrupt(self.0.as_ptr()) };
    }

    /// Sends it SIGKILL.
    pub fn kill(&self) {
        // SAFETY: the pointer is valid.
        unsafe { bindings::pcn_task_kill(self.0.as_ptr()) };
    }

    /// Lets its system calls come to the hook.
    pub fn watch_syscalls(&self) {
        // SAFETY: the pointer is valid.
        unsafe { bindings::popcorn_set_syscall_work(self.0.as_ptr(), true) };
    }

    /// Lets the system calls of each thread of its process come to the hook.
    pub fn watch_process_syscalls(&self) {
        // SAFETY: the pointer is valid.
        unsafe { bindings::pcn_mm_watch_syscalls(self.0.as_ptr()) };
    }

    /// Attaches `object`: hooks will be called for the task, and find it.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it has one, `ESRCH` if it exits, `ENOMEM`.
    pub fn attach<T: Send + Sync + 'static>(&self, object: Arc<T>) -> Result {
        let raw = attached::into_raw(object, GFP_KERNEL)?;
        // SAFETY: the pointer is valid.
        let result = to_result(unsafe { bindings::popcorn_task_attach(self.0.as_ptr(), raw) });
        if result.is_err() {
            // SAFETY: it was not stored (or is taken back), so it is still ours.
            drop(unsafe { attached::from_raw::<T>(raw) });
        }
        result
    }
}

impl Clone for UserTask {
    fn clone(&self) -> Self {
        // SAFETY: the pointer is valid.
        unsafe { bindings::pcn_task_get(self.0.as_ptr()) };
        // INVARIANT: just counted.
        Self(self.0)
    }
}

impl Drop for UserTask {
    fn drop(&mut self) {
        // SAFETY: by the invariant we own one count.
        unsafe { bindings::pcn_task_put(self.0.as_ptr()) };
    }
}

/// What is attached to the current task.
pub fn attached_to_current<T: Send + Sync + 'static>() -> Option<Arc<T>> {
    // SAFETY: only current detaches what is attached to it, so not during this call.
    unsafe { attached::get(bindings::pcn_task_pointer(bindings::pcn_current())) }
}

/// Takes back what is attached to the current task: from the `exit_task` hook.
pub fn detach_from_current<T: Send + Sync + 'static>() -> Option<Arc<T>> {
    // SAFETY: the C function gives it out once; it came from `attached::into_raw` for `T`, the one
    // type that this suite attaches to tasks.
    unsafe { attached::from_raw(bindings::popcorn_task_detach(bindings::pcn_current())) }
}

/// Names the current task.
pub fn set_current_name(name: &[u8; NAME_LENGTH]) {
    let mut name = *name;
    name[NAME_LENGTH - 1] = 0;
    // SAFETY: the buffer is zero-terminated.
    unsafe { bindings::pcn_set_comm(name.as_ptr().cast()) };
}

/// The current thread, on its way to user mode, is about to leave this kernel: aborts the restartable
/// sequence that it is in. True: in another pass of that way, which begins when this one is over.
pub fn abort_rseq() -> bool {
    // SAFETY: no preconditions.
    unsafe { bindings::pcn_rseq_abort() }
}

/// The current thread leaves this kernel: its rseq area must not name a CPU of it meanwhile.
///
/// May sleep, may fault.
pub fn leave_rseq() {
    // SAFETY: no preconditions.
    unsafe { bindings::pcn_rseq_leave() };
}

/// Delivers a trap that the current thread took elsewhere.
pub fn force_signal(signal: i32, code: i32, address: u64) {
    // SAFETY: no preconditions; the caller has checked the signal.
    unsafe { bindings::pcn_force_signal(signal, code, address as usize) };
}

/// What a spawned task does first.
pub trait Body: Send + Sized + 'static {
    /// Runs in the new task; on `Ok` it goes on in user mode, on `Err` its process dies.
    fn run(self) -> Result;
}

/// Makes a task that runs user code of another kernel's: a thread of the current task's process,
/// or (from a kernel thread) the leader of a new one, whose body calls
/// [`crate::mm::create_for_current`].
///
/// # Errors
///
/// Those of fork. The body was dropped then. May sleep.
pub fn spawn<B: Body>(module: &'static ThisModule, body: KBox<B>, thread: bool) -> Result<i32> {
    extern "C" fn enter<B: Body>(arg: *mut c_void) -> c_int {
        // SAFETY: `arg` came from `into_raw` below and is consumed here only.
        let body = unsafe { KBox::from_raw(arg.cast::<B>()) };
        match KBox::into_inner(body).run() {
            Ok(()) => 0,
            Err(error) => error.to_errno(),
        }
    }

    let arg = KBox::into_raw(body);
    // SAFETY: `enter` takes what `into_raw` gave; the module is pinned by the callee.
    let pid =
        unsafe { bindings::popcorn_spawn(module.as_ptr(), Some(enter::<B>), arg.cast(), thread) };
    if pid < 0 {
        // SAFETY: no task was made, so `arg` was not consumed.
        drop(unsafe { KBox::from_raw(arg) });
        return Err(Error::from_errno(pid));
    }
    Ok(pid)
}

/// Sleeps for about `us` microseconds, at most twice that; not killable, so keep it short.
pub fn sleep_us(us: u32) {
    // SAFETY: no preconditions but process context.
    unsafe { bindings::pcn_sleep_us(us) };
}

/// Whether the current task's system call came by an entry for 32-bit programs, which any program
/// may use.
pub fn is_compat_syscall() -> bool {
    // SAFETY: no preconditions.
    unsafe { bindings::pcn_is_compat_syscall() }
}

/// Whether seccomp, ptrace or audit looks at the current task's system calls.
pub fn syscalls_are_watched() -> bool {
    // SAFETY: no preconditions.
    unsafe { bindings::pcn_syscalls_watched() }
}
