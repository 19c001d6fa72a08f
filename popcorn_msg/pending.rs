// SPDX-License-Identifier: GPL-2.0
//! Calls that wait for their response.
//!
//! What travels is a slot number with a generation; the waiter itself never leaves this kernel. A
//! response that comes after its caller went away carries an old generation and is dropped.
//!
//! Lock: `slots`, a leaf.

use kernel::prelude::*;
use kernel::sync::new_spinlock;
use kernel::sync::Arc;
use kernel::sync::SpinLock;

use core::slice;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;
use popcorn_core::deadline::Deadline;
use popcorn_core::ids::NodeId;
use popcorn_core::ids::RequestId;
use popcorn_core::ids::NODE_MAX;
use popcorn_kernel::errno;
use popcorn_kernel::new_waitqueue;
use popcorn_kernel::time;
use popcorn_kernel::wait::Sleep;
use popcorn_kernel::wait::WaitQueue;

/// Calls that can be outstanding at once in one endpoint.
const SLOTS: usize = 1024;
/// Those that single calls leave to calls of several at once, which need theirs together: else they could wait for ever
/// beside those that need one each.
const SLOTS_OF_MANY: usize = NODE_MAX;

/// Somebody who waits for one response.
#[pin_data]
pub(crate) struct Waiter {
    done: AtomicBool,
    /// The result is the peer's.
    answered: AtomicBool,
    /// Its caller looks at it later than when it comes: that is noted.
    is_timed: bool,
    /// When the result came, in nanoseconds, if that is noted.
    done_ns: AtomicU64,
    #[pin]
    queue: WaitQueue,
    #[pin]
    result: SpinLock<Option<Result<KVVec<u8>>>>,
}

impl Waiter {
    fn new(is_timed: bool) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                done: AtomicBool::new(false),
                answered: AtomicBool::new(false),
                is_timed,
                done_ns: AtomicU64::new(0),
                queue <- new_waitqueue!("popcorn_msg::Waiter"),
                result <- new_spinlock!(None, "popcorn_msg::Waiter::result"),
            }),
            GFP_KERNEL,
        )
    }

    /// The first result counts: a peer may answer twice. What is left over is dropped without the lock, since it
    /// may be large, and to free that may sleep.
    fn finish(&self, result: Result<KVVec<u8>>) {
        let second = {
            let mut place = self.result.lock();
            if self.is_done() {
                Some(result)
            } else {
                *place = Some(result);
                if self.is_timed {
                    self.done_ns.store(time::now_ns(), Ordering::Relaxed);
                }
                self.done.store(true, Ordering::Release);
                None
            }
        };
        if second.is_none() {
            self.queue.wake_all();
        }
    }

    /// Whether the result is there.
    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// Whether the result is the peer's answer; if not, the peer is gone. Only once it is there.
    pub(crate) fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// When the result came, in nanoseconds; now, if that is not noted or it is yet to come.
    pub(crate) fn done_ns(&self) -> u64 {
        if self.is_timed && self.is_done() {
            self.done_ns.load(Ordering::Relaxed)
        } else {
            time::now_ns()
        }
    }

    /// Sleeps until the result is there.
    ///
    /// # Errors
    ///
    /// `EINTR`, `ETIMEDOUT`; never if it is there.
    pub(crate) fn wait(&self, sleep: Sleep, deadline: Deadline) -> Result {
        if self.is_done() {
            return Ok(());
        }
        let left_ms = deadline.left_ms(time::now_ns);
        self.queue.wait(sleep, left_ms, || self.is_done())
    }

    /// Takes the result; once.
    pub(crate) fn take(&self) -> Result<KVVec<u8>> {
        self.result.lock().take().unwrap_or(Err(EIO))
    }
}

struct Slot {
    generation: u32,
    /// Whom the call went to, and who waits. `None`: the slot is free.
    waiter: Option<(NodeId, Arc<Waiter>)>,
}

struct Slots {
    all: KVVec<Slot>,
    /// Where to look for a free one first.
    hint: usize,
    used: usize,
    /// Callers that wait for some.
    waiting: usize,
}

/// All outstanding calls of an endpoint.
#[pin_data]
pub(crate) struct Pending {
    #[pin]
    slots: SpinLock<Slots>,
    #[pin]
    room: WaitQueue,
}

/// One call; dropping it frees its slot.
pub(crate) struct Call<'a> {
    table: &'a Pending,
    node: NodeId,
    /// `None`: it has no slot yet, or somebody else frees it.
    id: Option<RequestId>,
    pub(crate) waiter: Arc<Waiter>,
}

impl Pending {
    /// An empty table, in a form that `pin_init!` takes.
    pub(crate) fn new() -> Result<impl PinInit<Self>> {
        let mut all = KVVec::with_capacity(SLOTS, GFP_KERNEL)?;
        for _ in 0..SLOTS {
            let slot = Slot {
                generation: 0,
                waiter: None,
            };
            all.push(slot, GFP_KERNEL)?;
        }
        let slots = Slots {
            all,
            hint: 0,
            used: 0,
            waiting: 0,
        };
        Ok(pin_init!(Self {
            slots <- new_spinlock!(slots, "popcorn_msg::Pending"),
            room <- new_waitqueue!("popcorn_msg::Pending::room"),
        }))
    }

    /// One of several calls, to `node`, that is not registered yet. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn prepare(&self, node: NodeId) -> Result<Call<'_>> {
        self.unregistered(node, true)
    }

    fn unregistered(&self, node: NodeId, is_timed: bool) -> Result<Call<'_>> {
        Ok(Call {
            table: self,
            node,
            id: None,
            waiter: Waiter::new(is_timed)?,
        })
    }

    /// Registers a call to `node`. May sleep: when all slots are taken it waits for one.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINTR`, `ETIMEDOUT`: there was none.
    pub(crate) fn begin(&self, node: NodeId, sleep: Sleep, deadline: Deadline) -> Result<Call<'_>> {
        let mut call = self.unregistered(node, false)?;
        self.begin_all(slice::from_mut(&mut call), sleep, deadline)?;
        Ok(call)
    }

    /// Registers calls that were [prepared](Self::prepare), far fewer than there are slots: all at once, so that
    /// nobody who has some waits for others. May sleep: when there are not enough slots it waits for them.
    ///
    /// # Errors
    ///
    /// `EINTR`, `ETIMEDOUT`: there were not enough, and none is registered.
    pub(crate) fn begin_all<'a>(
        &'a self,
        calls: &mut [impl AsMut<Call<'a>>],
        sleep: Sleep,
        deadline: Deadline,
    ) -> Result {
        let free = match calls.len() {
            1 => 1 + SLOTS_OF_MANY,
            number => number,
        };
        loop {
            {
                let mut slots = self.slots.lock();
                if slots.free() >= free {
                    for call in calls.iter_mut() {
                        let call = call.as_mut();
                        call.id = slots.take(call.node, &call.waiter);
                    }
                    return Ok(());
                }
                slots.waiting += 1;
            }
            // Others may take what becomes free: all such waits together end with the deadline.
            let left_ms = deadline.left_ms(time::now_ns);
            let is_room = || self.slots.lock().free() >= free;
            let waited = self.room.wait(sleep, left_ms, is_room);
            self.slots.lock().waiting -= 1;
            waited?;
        }
    }

    /// Gives a response to whoever waits for it; whether there was somebody.
    pub(crate) fn finish(&self, from: NodeId, id: u64, result: Result<KVVec<u8>>) -> bool {
        let id = RequestId::from_wire(id);
        let waiter = self.slots.lock().find(from, id);
        match waiter {
            Some(waiter) => {
                // Seen by who sees that it is done.
                waiter.answered.store(true, Ordering::Relaxed);
                waiter.finish(result);
                true
            }
            None => false,
        }
    }

    /// Frees the slot of a call.
    pub(crate) fn end(&self, id: RequestId) {
        let (waiter, is_awaited) = {
            let mut slots = self.slots.lock();
            slots.used -= 1;
            let slot = slots.all.get_mut(id.slot());
            let waiter = slot.and_then(|slot| slot.waiter.take());
            (waiter, slots.waiting != 0)
        };
        drop(waiter);
        if is_awaited {
            // Each looks whether there are enough for it.
            self.room.wake_all();
        }
    }

    /// How many calls are outstanding.
    #[cfg(CONFIG_KUNIT)]
    pub(crate) fn used(&self) -> usize {
        self.slots.lock().used
    }

    /// Ends all calls to a node with an error.
    pub(crate) fn fail(&self, node: NodeId) {
        for slot in 0..SLOTS {
            // One at a time: the lock is not held for long, and never while waking.
            let waiter = match self.slots.lock().all.get_mut(slot) {
                Some(Slot {
                    waiter: Some((to, waiter)),
                    ..
                }) if *to == node => waiter.clone(),
                _ => continue,
            };
            if !waiter.is_done() {
                waiter.finish(Err(errno::host_down()));
            }
        }
    }
}

impl Slots {
    fn free(&self) -> usize {
        self.all.len() - self.used
    }

    fn take(&mut self, node: NodeId, waiter: &Arc<Waiter>) -> Option<RequestId> {
        let count = self.all.len();
        for step in 0..count {
            let index = (self.hint + step) % count;
            let slot = self.all.get_mut(index)?;
            if slot.waiter.is_none() {
                slot.generation = RequestId::next_generation(slot.generation);
                slot.waiter = Some((node, waiter.clone()));
                let id = RequestId::new(index as u32, slot.generation);
                self.hint = index + 1;
                self.used += 1;
                return Some(id);
            }
        }
        None
    }

    fn find(&self, from: NodeId, id: RequestId) -> Option<Arc<Waiter>> {
        let slot = self.all.get(id.slot())?;
        match &slot.waiter {
            Some((node, waiter)) if *node == from && slot.generation == id.generation() => {
                Some(waiter.clone())
            }
            _ => None,
        }
    }
}

impl<'a> AsMut<Call<'a>> for Call<'a> {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

impl Call<'_> {
    /// The id that travels; [`RequestId::NONE`] before it is registered.
    pub(crate) fn id(&self) -> u64 {
        self.id.map_or(RequestId::NONE, RequestId::to_wire)
    }

    /// Leaves it to somebody else, who ends it by [`Pending::end`]. `None`: it is not registered.
    pub(crate) fn leave(mut self) -> Option<(RequestId, Arc<Waiter>)> {
        let id = self.id.take()?;
        Some((id, self.waiter.clone()))
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.table.end(id);
        }
    }
}
