// SPDX-License-Identifier: GPL-2.0
//! Being told that this kernel is about to end: by a restart, a halt, or a panic.
//!
//! C headers: `include/linux/reboot.h`, `include/linux/panic_notifier.h`.

use super::processor;
use super::processor::LentProcessor;
use super::processor::StartPages;
use crate::bindings;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;
use kernel::error::from_err_ptr;
use kernel::ffi::c_void;
use kernel::prelude::*;
use kernel::sync::Arc;
use popcorn_core::partition::CPUS_MAX;

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By a panic.
    Panic,
    /// By a restart.
    Restart,
    /// By a halt.
    Halt,
    /// By being switched off.
    PowerOff,
}

/// Calls a closure when this kernel is about to end, after everybody else who wants to know. Dropping it
/// takes the closure back; may sleep.
///
/// # Invariants
///
/// `watch` is registered; `closure` is from `KBox::into_raw`, of the type that `free` frees, and is what
/// `watch` calls its function with.
pub struct EndWatch {
    watch: NonNull<bindings::pcn_end_watch>,
    closure: *mut c_void,
    free: unsafe fn(*mut c_void),
}

// SAFETY: the notifiers may be taken off from any thread; the closure is Send and Sync.
unsafe impl Send for EndWatch {}
// SAFETY: a shared reference gives nothing.
unsafe impl Sync for EndWatch {}

impl EndWatch {
    /// Registers `notify`. For a panic it runs in any context, even NMI, with nothing else running: it
    /// must take no lock and not sleep. It need not return. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new<F: Fn(End) + Send + Sync + 'static>(notify: F) -> Result<Self> {
        let closure: *mut c_void = KBox::into_raw(KBox::new(notify, GFP_KERNEL)?).cast();
        // SAFETY: `closure` stays until the watch is freed, and is of the type that `call` expects.
        let watch = from_err_ptr(unsafe { bindings::pcn_end_watch_new(Some(call::<F>), closure) });
        match watch.and_then(|watch| NonNull::new(watch).ok_or(ENOMEM)) {
            // INVARIANT: just registered.
            Ok(watch) => Ok(Self {
                watch,
                closure,
                free: free::<F>,
            }),
            Err(error) => {
                // SAFETY: from into_raw() above, and nobody has it.
                unsafe { free::<F>(closure) };
                Err(error)
            }
        }
    }
}

impl Drop for EndWatch {
    fn drop(&mut self) {
        // SAFETY: registered, by the invariant; the closure is not called any more afterwards, so it is
        // ours alone.
        unsafe {
            bindings::pcn_end_watch_free(self.watch.as_ptr());
            (self.free)(self.closure);
        }
    }
}

/// # Safety
///
/// `closure` is from `KBox::<F>::into_raw`, and nobody uses it any more.
unsafe fn free<F>(closure: *mut c_void) {
    // SAFETY: as required of the caller.
    drop(unsafe { KBox::<F>::from_raw(closure.cast()) });
}

/// # Safety
///
/// `closure` is from `KBox::<F>::into_raw`, and is not freed meanwhile.
unsafe extern "C" fn call<F: Fn(End)>(closure: *mut c_void, end: bindings::pcn_end) {
    let end = match end {
        bindings::pcn_end_PCN_END_PANIC => End::Panic,
        bindings::pcn_end_PCN_END_RESTART => End::Restart,
        bindings::pcn_end_PCN_END_HALT => End::Halt,
        _ => End::PowerOff,
    };
    // SAFETY: as required of the caller.
    (unsafe { &*closure.cast::<F>() })(end);
}

/// Stops the processors of another kernel when this one ends: memory and devices of the machine must not
/// be touched behind the back of what comes next.
#[derive(Clone)]
pub struct StopAtEnd(Arc<[AtomicU64; CPUS_MAX]>);

/// No processor has this id.
const NONE: u64 = u64::MAX;

impl StopAtEnd {
    /// Nothing to stop yet. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new() -> Result<Self> {
        let nobody = core::array::from_fn(|_| AtomicU64::new(NONE));
        Ok(Self(Arc::new(nobody, GFP_KERNEL)?))
    }

    /// From now on these processors, which run another kernel, are stopped at the end: at most [`CPUS_MAX`].
    /// It must be called with a processor before the kernel is told of it, and without it before it is given
    /// back. Any context.
    pub fn set<'a>(&self, processors: impl Iterator<Item = &'a LentProcessor>) {
        let ids = processors.map(|processor| processor.id().into());
        for (slot, id) in self
            .0
            .iter()
            .zip(Iterator::chain(ids, core::iter::repeat(NONE)))
        {
            slot.store(id, Ordering::Release);
        }
    }

    /// Whether there is any to stop. Any context.
    pub fn is_needed(&self) -> bool {
        self.0
            .iter()
            .any(|slot| slot.load(Ordering::Acquire) != NONE)
    }

    /// Stops them; `pages` are where they start. Any context.
    pub fn stop(&self, pages: &StartPages) {
        let mut ids = [0; CPUS_MAX];
        let mut count = 0;
        let given = self.0.iter().map(|slot| slot.swap(NONE, Ordering::AcqRel));
        // Not more than there are slots.
        for (to, id) in ids
            .iter_mut()
            .zip(given.filter_map(|id| u32::try_from(id).ok()))
        {
            *to = id;
            count += 1;
        }
        let ids = ids.get(..count).unwrap_or(&[]);
        if !ids.is_empty() {
            pages.park();
            processor::stop_all(ids);
        }
    }
}
