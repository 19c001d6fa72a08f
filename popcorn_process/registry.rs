// SPDX-License-Identifier: GPL-2.0
//! All threads, carriers and hosts on this node.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;

use kernel::new_spinlock;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::sync::SpinLock;
use popcorn_kernel::new_table;
use popcorn_kernel::system::random_u64;
use popcorn_kernel::table::Table;
use popcorn_vma::Change;

use crate::carrier::Carrier;
use crate::host::Host;
use crate::thread::Thread;
use crate::REGISTRY;

/// The tables.
#[pin_data]
pub(crate) struct Registry {
    /// Origin threads by their id.
    #[pin]
    pub(crate) threads: Table<Arc<Thread>>,
    /// Origin threads by their task (`UserTask::key`).
    #[pin]
    pub(crate) by_task: Table<Arc<Thread>>,
    /// Carriers by the id of their thread.
    #[pin]
    pub(crate) carriers: Table<Arc<Carrier>>,
    /// Hosts by the id of their space.
    #[pin]
    pub(crate) hosts: Table<Arc<Host>>,
    /// Address spaces that are being copied, by the task that does.
    #[pin]
    pub(crate) copies: Table<Arc<Change>>,
    /// Spaces that ended, maybe before a thread of theirs arrived.
    #[pin]
    pub(crate) ended: Recent,
    /// Threads that ended while away, maybe before they arrived.
    #[pin]
    pub(crate) abandoned: Recent,
    next_thread: AtomicU64,
}

/// How many ids are remembered: more than can be on their way at once.
const RECENT: usize = 256;

/// The latest few ids of things that are gone.
#[pin_data]
pub(crate) struct Recent {
    #[pin]
    ids: SpinLock<[u64; RECENT]>,
}

impl Recent {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            ids <- new_spinlock!([0; RECENT], "popcorn recent"),
        })
    }

    /// Notes one.
    pub(crate) fn insert(&self, id: u64) {
        let mut ids = self.ids.lock();
        ids.rotate_right(1);
        if let Some(first) = ids.first_mut() {
            *first = id;
        }
    }

    /// Whether it is noted.
    pub(crate) fn contains(&self, id: u64) -> bool {
        self.ids.lock().contains(&id)
    }
}

/// Bits of a thread's id below those of its origin.
const ID_SHIFT: u32 = 48;

impl Registry {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            threads <- new_table!("popcorn threads"),
            by_task <- new_table!("popcorn tasks"),
            carriers <- new_table!("popcorn carriers"),
            hosts <- new_table!("popcorn hosts"),
            copies <- new_table!("popcorn copies"),
            ended <- Recent::new(),
            abandoned <- Recent::new(),
            // Not from 1 again when the module is: remotes remember what ended.
            next_thread: AtomicU64::new(random_u64() >> (64 - ID_SHIFT + 1)),
        })
    }

    /// The one registry.
    ///
    /// # Errors
    ///
    /// `ENODEV` while the module is loaded or unloaded.
    pub(crate) fn get() -> Result<Arc<Self>> {
        REGISTRY.get().ok_or(ENODEV)
    }

    /// An id that no thread of any node has had.
    pub(crate) fn new_thread_id(&self) -> u64 {
        let home = u64::from(popcorn_msg::this_node().get());
        (home << ID_SHIFT) | self.next_thread.fetch_add(1, Ordering::Relaxed)
    }
}
