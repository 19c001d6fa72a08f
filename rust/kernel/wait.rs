// SPDX-License-Identifier: GPL-2.0
//! Waiting for a condition, killable.
//!
//! Unlike `kernel::sync::CondVar` the condition need not be under a lock, the wait can be limited
//! to fatal signals, and the waker may be an interrupt.
//!
//! C header: `include/linux/wait.h`.

use crate::errno;
use core::pin::Pin;
use kernel::bindings;
use kernel::prelude::*;
use kernel::sync::LockClassKey;
use kernel::time::msecs_to_jiffies;
use kernel::types::Opaque;

/// What may end a wait before its condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleep {
    /// Fatal signals only. Counts as load while it sleeps.
    Killable,
    /// Any signal.
    Interruptible,
    /// Nothing: for kernel threads that wait for work. Does not count as load.
    Idle,
}

impl Sleep {
    fn state(self) -> kernel::ffi::c_int {
        let state = match self {
            Sleep::Killable => bindings::TASK_WAKEKILL | bindings::TASK_UNINTERRUPTIBLE,
            Sleep::Interruptible => bindings::TASK_INTERRUPTIBLE,
            Sleep::Idle => bindings::TASK_UNINTERRUPTIBLE | bindings::TASK_NOLOAD,
        };
        state as kernel::ffi::c_int
    }
}

/// A `wait_queue_head_t`.
#[pin_data]
#[repr(transparent)]
pub struct WaitQueue {
    #[pin]
    head: Opaque<bindings::wait_queue_head>,
}

// SAFETY: a wait queue has its own lock and may be used from any thread.
unsafe impl Send for WaitQueue {}
// SAFETY: as above.
unsafe impl Sync for WaitQueue {}

/// Creates a [`WaitQueue`] initialiser with a lock class of its own.
#[macro_export]
macro_rules! new_waitqueue {
    ($name:literal) => {
        $crate::wait::WaitQueue::new(::kernel::c_str!($name), ::kernel::static_lock_class!())
    };
}

impl WaitQueue {
    /// An empty queue. Use [`new_waitqueue!`](crate::new_waitqueue).
    pub fn new(name: &'static CStr, key: &'static LockClassKey) -> impl PinInit<Self> {
        let key: *const LockClassKey = key;
        pin_init!(Self {
            head <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is valid for writing; name and key are static; LockClassKey is a
                // transparent wrapper of the C key, which C alone writes.
                unsafe {
                    bindings::__init_waitqueue_head(slot, name.as_char_ptr(), key.cast_mut().cast())
                }
            }),
        })
    }

    /// One that C code has made.
    ///
    /// # Safety
    ///
    /// `head` is initialised, and stays where it is for `'a`.
    pub(crate) unsafe fn from_raw<'a>(head: *mut bindings::wait_queue_head) -> &'a Self {
        // SAFETY: as required of the caller; the type is a transparent wrapper, also of what others change.
        unsafe { &*head.cast() }
    }

    /// Wakes all waiters: they look at their conditions again. Any context but NMI.
    pub fn wake_all(&self) {
        self.wake(0);
    }

    /// Wakes one waiter. Any context but NMI.
    pub fn wake_one(&self) {
        self.wake(1);
    }

    fn wake(&self, count: i32) {
        // SAFETY: the head was initialised when `self` was made, and is pinned.
        unsafe {
            bindings::__wake_up(
                self.head.get(),
                bindings::TASK_NORMAL,
                count,
                core::ptr::null_mut(),
            )
        };
    }

    /// Sleeps until `condition` holds. Process context, no lock held that forbids sleeping.
    ///
    /// `condition` runs with the task already marked as sleeping: it must not sleep itself (no
    /// mutex, no allocation that may wait). Whoever makes it true wakes this queue afterwards.
    ///
    /// # Errors
    ///
    /// `EINTR`: a signal that `sleep` heeds came first. `ETIMEDOUT`: `timeout_ms` passed.
    pub fn wait(
        &self,
        sleep: Sleep,
        timeout_ms: Option<u32>,
        mut condition: impl FnMut() -> bool,
    ) -> Result {
        if condition() {
            return Ok(());
        }
        // As the C macros take it: the longest time is "for ever".
        let mut left = match timeout_ms {
            Some(ms) => msecs_to_jiffies(ms).min(isize::MAX as usize - 1) as isize,
            None => isize::MAX,
        };
        let entry = Opaque::<bindings::wait_queue_entry>::uninit();
        // SAFETY: `entry` lives, unmoved, until finish_wait() below takes it off the queue; no path
        // leaves the loop without it, and `condition` cannot unwind in the kernel.
        unsafe { bindings::init_wait_entry(entry.get(), 0) };
        let result = loop {
            // SAFETY: head and entry are initialised.
            let signal = unsafe {
                bindings::prepare_to_wait_event(self.head.get(), entry.get(), sleep.state())
            };
            if condition() {
                break Ok(());
            }
            if signal != 0 {
                break Err(EINTR);
            }
            if left == 0 {
                break Err(errno::timed_out());
            }
            // SAFETY: process context, as required of the caller.
            left = unsafe { bindings::schedule_timeout(left) };
        };
        // SAFETY: head and entry are initialised; afterwards nothing refers to `entry`.
        unsafe { bindings::finish_wait(self.head.get(), entry.get()) };
        result
    }

    /// [`WaitQueue::wait`] that only a fatal signal ends early.
    ///
    /// # Errors
    ///
    /// `EINTR`.
    pub fn wait_killable(&self, condition: impl FnMut() -> bool) -> Result {
        self.wait(Sleep::Killable, None, condition)
    }

    /// [`WaitQueue::wait`] that any signal ends early.
    ///
    /// # Errors
    ///
    /// `EINTR`.
    pub fn wait_interruptible(&self, condition: impl FnMut() -> bool) -> Result {
        self.wait(Sleep::Interruptible, None, condition)
    }

    /// [`WaitQueue::wait`] for kernel threads; whether the condition held in time.
    pub fn wait_idle(&self, timeout_ms: Option<u32>, condition: impl FnMut() -> bool) -> bool {
        self.wait(Sleep::Idle, timeout_ms, condition).is_ok()
    }

    /// Makes a queue in memory of its own.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn boxed(name: &'static CStr, key: &'static LockClassKey) -> Result<Pin<KBox<Self>>> {
        KBox::pin_init(Self::new(name, key), GFP_KERNEL)
    }
}
