// SPDX-License-Identifier: GPL-2.0
//! Kernel threads that run a closure and are stopped by their owner.
//!
//! C header: `include/linux/kthread.h`.

use crate::bindings;
use core::ptr::NonNull;
use kernel::bindings::task_struct;
use kernel::error::from_err_ptr;
use kernel::ffi::c_int;
use kernel::ffi::c_void;
use kernel::prelude::*;

/// A kernel thread; dropping it stops the thread and waits for its end.
///
/// # Invariants
///
/// `task` is the thread, with a reference of ours. `closure` is from `KBox::into_raw` of the type
/// that `free` frees, and belongs to the thread's main function once that has begun.
pub struct Kthread {
    task: NonNull<task_struct>,
    closure: NonNull<c_void>,
    free: unsafe fn(NonNull<c_void>),
}

// SAFETY: a thread may be stopped from any other thread; the closure is `Send`.
unsafe impl Send for Kthread {}
// SAFETY: a shared reference gives only `wake` and `interrupt`, which any thread may call.
unsafe impl Sync for Kthread {}

impl Kthread {
    /// Starts a thread that runs `main`. `main` must return soon after [`should_stop`] becomes
    /// true; it may return earlier. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or `EINTR` if the caller was killed.
    pub fn spawn<F: FnOnce() + Send + 'static>(name: &CStr, main: F) -> Result<Self> {
        let closure = KBox::into_raw(KBox::new(main, GFP_KERNEL)?);
        // SAFETY: `run::<F>` takes what `closure` points to, once. The name's format is ours, the
        // name its argument.
        let task = from_err_ptr(unsafe {
            bindings::kthread_create_on_node(
                Some(run::<F>),
                closure.cast(),
                -1,
                c"%s".as_ptr().cast(),
                name.as_char_ptr(),
            )
        });
        let task = match task.and_then(|task| NonNull::new(task).ok_or(ENOMEM)) {
            Ok(task) => task,
            Err(error) => {
                // SAFETY: no thread was made, so the closure is still ours.
                drop(unsafe { KBox::from_raw(closure) });
                return Err(error);
            }
        };
        // SAFETY: a new thread sleeps until it is woken, so it is valid; the reference keeps the
        // task structure after its end.
        unsafe {
            bindings::pcn_get_task(task.as_ptr());
            kernel::bindings::wake_up_process(task.as_ptr());
        }
        // INVARIANT: reference just taken; `closure` is from `into_raw`, of type F.
        Ok(Self {
            task,
            // SAFETY: `into_raw` never gives a null pointer.
            closure: unsafe { NonNull::new_unchecked(closure.cast()) },
            free: free::<F>,
        })
    }

    /// Wakes the thread, wherever it sleeps.
    pub fn wake(&self) {
        // SAFETY: `task` is valid by the invariant.
        unsafe { kernel::bindings::wake_up_process(self.task.as_ptr()) };
    }

    /// Ends what the thread does in the kernel if that can be ended by a signal, and the thread has called
    /// [`heed_interrupts`]. Any context but NMI.
    pub fn interrupt(&self) {
        // SAFETY: `task` is valid by the invariant, also after the thread's end.
        unsafe { bindings::pcn_interrupt_kthread(self.task.as_ptr()) };
    }
}

impl Drop for Kthread {
    fn drop(&mut self) {
        let mut result = 0;
        // SAFETY: `task` is a kernel thread with a reference of ours, which this call drops.
        unsafe { bindings::pcn_stop_kthread_put(self.task.as_ptr(), &mut result) };
        if result != 0 {
            // `run` returns 0; anything else means that the thread was stopped before it began.
            // SAFETY: so the closure is still ours, and nobody else has it.
            unsafe { (self.free)(self.closure) };
        }
    }
}

/// Whether the owner of the running kernel thread wants it to end. Only in a [`Kthread`].
pub fn should_stop() -> bool {
    // SAFETY: looks at `current`; in a kernel thread by contract.
    unsafe { bindings::kthread_should_stop() }
}

/// From now on the running kernel thread can be interrupted: [`Kthread::interrupt`]. Only in a [`Kthread`].
pub fn heed_interrupts() {
    // SAFETY: changes the running task's own signals.
    unsafe { bindings::pcn_heed_interrupts() };
}

/// Takes back the interrupts that have come so far. Only in a [`Kthread`].
pub fn forget_interrupts() {
    // SAFETY: changes the running task's own signals.
    unsafe { bindings::pcn_forget_interrupts() };
}

/// Lets the running kernel thread go before ordinary tasks when it wakes: for those that do little
/// and that others wait for; or, if not `preferred`, as one of them again. Not real-time: it cannot keep the
/// processor from others.
pub fn prefer(preferred: bool) {
    // SAFETY: changes the running task's own weight.
    unsafe { bindings::pcn_prefer_current(preferred) };
}

/// # Safety
///
/// `closure` is from `KBox::<F>::into_raw` and nobody else uses it.
unsafe extern "C" fn run<F: FnOnce()>(closure: *mut c_void) -> c_int {
    // SAFETY: as required of the caller.
    let main = unsafe { KBox::<F>::from_raw(closure.cast()) };
    KBox::into_inner(main)();
    0
}

/// # Safety
///
/// As [`run`].
unsafe fn free<F>(closure: NonNull<c_void>) {
    // SAFETY: as required of the caller.
    drop(unsafe { KBox::<F>::from_raw(closure.as_ptr().cast()) });
}
