// SPDX-License-Identifier: GPL-2.0
//! A workqueue of one's own, and work that runs later.
//!
//! C header: `include/linux/workqueue.h`.

use crate::bindings;
use core::ops::Deref;
use core::ptr::NonNull;
use kernel::bindings::workqueue_struct;
use kernel::c_str;
use kernel::init::InPlaceWrite;
use kernel::init::PinInit;
use kernel::prelude::*;
use kernel::static_lock_class;
use kernel::sync::LockClassKey;
use kernel::time::msecs_to_jiffies;
use kernel::types::Opaque;
use kernel::workqueue::Queue;
use kernel::workqueue::Work;
use kernel::workqueue::WorkItem;

/// An unbound workqueue; it dereferences to [`Queue`]. Dropping it waits until all its work is done.
///
/// # Invariants
///
/// `queue` is from `alloc_workqueue` and not yet destroyed.
pub struct WorkQueue {
    queue: NonNull<workqueue_struct>,
}

// SAFETY: workqueues may be used from any thread.
unsafe impl Send for WorkQueue {}
// SAFETY: as above.
unsafe impl Sync for WorkQueue {}

impl WorkQueue {
    /// A queue that runs up to `max_active` items at once (0: the kernel's default), on any
    /// processor, before ordinary tasks, and makes progress when memory is short. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(name: &CStr, max_active: u32) -> Result<Self> {
        // SAFETY: the name is a C string, which the function copies.
        let queue = unsafe {
            bindings::pcn_alloc_unbound_workqueue(name.as_char_ptr(), max_active.min(512) as i32)
        };
        // INVARIANT: just allocated.
        Ok(Self {
            queue: NonNull::new(queue).ok_or(ENOMEM)?,
        })
    }

    /// A queue that runs its items one at a time, in the order in which they were queued. May
    /// sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn ordered(name: &CStr) -> Result<Self> {
        // SAFETY: the name is a C string, which the function copies.
        let queue = unsafe { bindings::pcn_alloc_ordered_workqueue(name.as_char_ptr()) };
        // INVARIANT: just allocated.
        Ok(Self {
            queue: NonNull::new(queue).ok_or(ENOMEM)?,
        })
    }

    /// Runs `function` on the queue, in process context, soon. Any context if `flags` allow.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `function` is dropped then.
    pub fn spawn<F: FnOnce() + Send + 'static>(
        &self,
        flags: kernel::alloc::Flags,
        function: F,
    ) -> Result {
        let item = pin_init!(Once {
            work <- Once::<F>::new_work(),
            function: Some(function),
        });
        // A new item is in no queue.
        self.enqueue(KBox::pin_init(item, flags)?);
        Ok(())
    }

    /// As [`Self::spawn`].
    ///
    /// # Errors
    ///
    /// No memory; the function comes back.
    pub fn spawn_or_return<F: FnOnce() + Send + 'static>(
        &self,
        flags: kernel::alloc::Flags,
        function: F,
    ) -> core::result::Result<(), F> {
        let Ok(place) = KBox::<Once<F>>::new_uninit(flags) else {
            return Err(function);
        };
        let item = pin_init!(Once {
            work <- Once::<F>::new_work(),
            function: Some(function),
        });
        match place.write_pin_init(item) {
            Ok(item) => {
                self.enqueue(item);
                Ok(())
            }
            Err(never) => match never {},
        }
    }

    /// Waits until everything that was queued before is done. May sleep.
    pub fn flush(&self) {
        // SAFETY: valid by the invariant.
        unsafe { bindings::pcn_flush_workqueue(self.queue.as_ptr()) };
    }
}

impl Deref for WorkQueue {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        // SAFETY: valid by the invariant, as long as `self`.
        unsafe { Queue::from_raw(self.queue.as_ptr()) }
    }
}

impl Drop for WorkQueue {
    fn drop(&mut self) {
        // SAFETY: valid by the invariant; nobody can queue any more, for that needs `&self`.
        unsafe { bindings::pcn_destroy_workqueue(self.queue.as_ptr()) };
    }
}

/// An item that runs a function. Of [`Queue::try_spawn`]'s the lock class would have another name in each module,
/// of which lockdep warns.
#[pin_data]
struct Once<F> {
    #[pin]
    work: Work<Once<F>>,
    function: Option<F>,
}

kernel::impl_has_work! {
    impl{F} HasWork<Self> for Once<F> { self.work }
}

/// The name and the class of all items: not of a generic function, so of this module alone.
#[inline(never)]
fn once_class() -> (&'static CStr, &'static LockClassKey) {
    (
        c_str!("popcorn_kernel::WorkQueue::spawn"),
        static_lock_class!(),
    )
}

impl<F: FnOnce() + Send + 'static> Once<F> {
    fn new_work() -> impl PinInit<Work<Self>> {
        let (name, class) = once_class();
        Work::new(name, class)
    }

    fn function(self: Pin<&mut Self>) -> &mut Option<F> {
        // SAFETY: `function` is not structurally pinned.
        unsafe { &mut self.get_unchecked_mut().function }
    }
}

impl<F: FnOnce() + Send + 'static> WorkItem for Once<F> {
    type Pointer = Pin<KBox<Self>>;

    fn run(mut this: Pin<KBox<Self>>) {
        if let Some(function) = this.as_mut().function().take() {
            function();
        }
    }
}

/// What a [`DelayedWork`] does.
pub trait Late: Send + Sync + 'static {
    /// Runs in process context, some time after it was scheduled.
    fn run(&self);
}

/// Something to do a while later, never twice at once. Dropping it cancels it and waits for its end.
#[pin_data(PinnedDrop)]
pub struct DelayedWork<T: Late> {
    #[pin]
    work: Opaque<kernel::bindings::delayed_work>,
    late: T,
}

// SAFETY: the work item is used through functions that any thread may call; T is Send and Sync.
unsafe impl<T: Late> Send for DelayedWork<T> {}
// SAFETY: as above.
unsafe impl<T: Late> Sync for DelayedWork<T> {}

/// Creates a [`DelayedWork`](crate::work::DelayedWork) initialiser with a lock class of its own.
#[macro_export]
macro_rules! new_delayed_work {
    ($name:literal, $late:expr) => {
        $crate::work::DelayedWork::new(
            $late,
            ::kernel::c_str!($name),
            ::kernel::static_lock_class!(),
        )
    };
}

impl<T: Late> DelayedWork<T> {
    /// Not scheduled. Use [`new_delayed_work!`](crate::new_delayed_work).
    pub fn new(late: T, name: &'static CStr, key: &'static LockClassKey) -> impl PinInit<Self> {
        let key: *const LockClassKey = key;
        pin_init!(Self {
            work <- Opaque::ffi_init(|slot: *mut kernel::bindings::delayed_work| {
                // SAFETY: `slot` is valid for writing and will be pinned; name and key are static.
                unsafe {
                    bindings::pcn_init_delayed_work(
                        slot,
                        Some(Self::run),
                        name.as_char_ptr(),
                        key.cast_mut().cast(),
                    )
                }
            }),
            late,
        })
    }

    /// Runs it in `delay_ms`, on one of the kernel's own queues; instead of when it was scheduled for,
    /// if it was, which is the result. Any context.
    pub fn schedule(&self, delay_ms: u32) -> bool {
        // SAFETY: the work is initialised, and lives until its drop has cancelled it.
        unsafe { bindings::pcn_schedule_delayed_work(self.work.get(), msecs_to_jiffies(delay_ms)) }
    }

    /// # Safety
    ///
    /// `work` is the `work` in the `work` field of a live `Self`.
    unsafe extern "C" fn run(work: *mut kernel::bindings::work_struct) {
        // SAFETY: as required of the caller; Opaque is transparent, and `work` is delayed_work's
        // first member or at its offset.
        let this = unsafe {
            let delayed = kernel::container_of!(work, kernel::bindings::delayed_work, work);
            &*kernel::container_of!(delayed, Self, work)
        };
        this.late.run();
    }
}

#[pinned_drop]
impl<T: Late> PinnedDrop for DelayedWork<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: initialised.
        unsafe { bindings::pcn_cancel_delayed_work_sync(self.work.get()) };
    }
}
