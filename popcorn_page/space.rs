// SPDX-License-Identifier: GPL-2.0
//! A distributed address space, as one node sees it.

use core::sync::atomic::AtomicBool;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;

use kernel::c_str;
use kernel::new_mutex;
use kernel::new_spinlock;
use kernel::prelude::*;
use kernel::rbtree::RBTree;
use kernel::sync::Arc;
use kernel::sync::Mutex;
use kernel::sync::SpinLock;
use popcorn_core::directory::Entry;
use popcorn_core::directory::NodeSet;
use popcorn_core::directory::Step;
use popcorn_core::ids::NodeId;
use popcorn_core::interval::IntervalSet;
use popcorn_kernel::current;
use popcorn_kernel::errno;
use popcorn_kernel::global::Global;
use popcorn_kernel::mm::Mm;
use popcorn_kernel::module::Pinned;
use popcorn_kernel::new_table;
use popcorn_kernel::new_waitqueue;
use popcorn_kernel::system::random_u64;
use popcorn_kernel::table::Table;
use popcorn_kernel::wait::WaitQueue;
use popcorn_kernel::work::WorkQueue;

use crate::hand::Hand;
use crate::streams::Streams;
use crate::waiting::Granted;

/// Ranges that may be frozen at once.
pub(crate) const FROZEN_MAX: usize = 8;

/// A page that a remote touched.
pub(crate) struct Page {
    pub(crate) entry: Entry,
    /// What a grant under way carries, until its receipt.
    pub(crate) hand: Option<Hand>,
    /// Counts that for who is to get it.
    pub(crate) granted: Option<Granted>,
    /// A thread carries out the operation now; otherwise a busy entry waits for a receipt.
    pub(crate) driven: bool,
    /// That of the request which a grant under way answers: a receipt for another one is not for it.
    pub(crate) ticket: u32,
    /// Nodes that died while a thread did that, which the entry is yet to be told of: by that thread, when it
    /// carries out no more, or by who begins something else first. Empty while `driven` is false.
    pub(crate) lost: NodeSet,
}

// With its address and the node of the tree that is an object of 96 bytes; the next size is 128.
const _: () = assert!(core::mem::size_of::<Page>() <= 64);

impl Page {
    /// Tells the entry, which nobody drives any more, of the deaths that it was not told of.
    pub(crate) fn apply_losses(&mut self) -> Step {
        let lost = core::mem::take(&mut self.lost);
        self.entry.nodes_lost(lost)
    }
}

/// What the origin knows of its pages.
pub(crate) struct Directory {
    /// By address. No entry: ordinary memory of the origin.
    pub(crate) pages: RBTree<u64, Page>,
    /// Where the layout changes: requests of remotes come again later.
    pub(crate) frozen: IntervalSet<FROZEN_MAX>,
    /// Nodes whose requests are not begun any more.
    pub(crate) dead: NodeSet,
}

/// Which side of an address space a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The process was created here.
    Origin,
    /// Threads of it run here; it was created there.
    Remote(NodeId),
}

/// A distributed address space, as this node sees it.
#[pin_data]
pub struct Space {
    /// The same on all nodes.
    pub id: u64,
    /// This node's side.
    pub role: Role,
    /// This node's address space.
    pub mm: Mm,
    #[pin]
    pub(crate) directory: SpinLock<Directory>,
    /// Woken when an entry of the directory stops to be busy, or a range is unfrozen.
    #[pin]
    pub(crate) changed: WaitQueue,
    /// Origin: the nodes that have, or had, threads of it, by bit.
    nodes: AtomicU64,
    /// Its other side is gone.
    lost: AtomicBool,
    /// For popcorn_vma. Origin: the version of the layout. Remote: the oldest version that is not
    /// out of date; held while the layout here changes, outside of `mmap_lock`.
    #[pin]
    pub layout: Mutex<u64>,
    /// Remote: where its threads read or write on and on.
    pub(crate) streams: Streams,
    /// Remote: numbers its requests for pages, from anywhere on: another space with this id may have been here, of which
    /// something is still under way.
    pub(crate) tickets: AtomicU32,
    /// The module whose hooks take the space back at its end.
    _user: Pinned,
}

/// All of them on this node, by id.
#[pin_data]
pub(crate) struct Spaces {
    #[pin]
    pub(crate) table: Table<Arc<Space>>,
    next: AtomicU64,
    /// What killed threads, or partings that had to look at their time, left to be waited for.
    left: WorkQueue,
}

pub(crate) static SPACES: Global<Spaces> = Global::new();

/// Calls and receipts that killed threads may leave at once, so that all others still find places for theirs, though
/// nobody answers these: far fewer than calls can be outstanding, and than workers can wait on one of several memory nodes.
/// Who comes later cannot be killed while he waits. Others than those have half of them, and wait after that, too.
const LEFT_MAX: u32 = 128;
const WORKERS: u32 = 512;

/// How many there are. Not in [`Spaces`]: an item must not hold what owns its queue.
static LEFT: AtomicU32 = AtomicU32::new(0);

/// Some of the calls that may be left at once, which one worker waits for.
pub(crate) struct LeftPlaces(u32);

impl LeftPlaces {
    /// For so many calls; `None`: there would be more than may be.
    pub(crate) fn find(number: u32) -> Option<Self> {
        let most = match current::fatal_signal_pending() {
            true => LEFT_MAX,
            false => LEFT_MAX / 2,
        };
        let more = |count: u32| count.checked_add(number).filter(|all| *all <= most);
        LEFT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()
            .map(|_| Self(number))
    }
}

impl Drop for LeftPlaces {
    fn drop(&mut self) {
        LEFT.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Does in a worker what another thread has left; if there is no memory for that, here. May sleep.
pub(crate) fn later(work: impl FnOnce() + Send + 'static) {
    let Some(spaces) = SPACES.get() else {
        // Not while there are spaces.
        return work();
    };
    if let Err(work) = spaces.left.spawn_or_return(GFP_KERNEL, work) {
        work();
    }
}

/// Bits of an id below those of its origin.
const ID_SHIFT: u32 = 48;

impl Spaces {
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<impl PinInit<Self>> {
        let left = WorkQueue::new(c_str!("popcorn_page"), WORKERS)?;
        Ok(pin_init!(Self {
            table <- new_table!("popcorn spaces"),
            // Not from 1 again when the module is: remotes remember what ended.
            next: AtomicU64::new(random_u64() >> (64 - ID_SHIFT + 1)),
            left,
        }))
    }
}

/// Whether `origin` can have made the space with this id.
pub fn is_made_by(id: u64, origin: NodeId) -> bool {
    id >> ID_SHIFT == u64::from(origin.get())
}

/// The space with this id, if this node has a side of it.
pub fn find(id: u64) -> Option<Arc<Space>> {
    SPACES.get()?.table.get(id)
}

impl Space {
    fn new(id: u64, role: Role, mm: Mm, user: Pinned) -> Result<Arc<Self>> {
        let space = Arc::pin_init(
            pin_init!(Self {
                id,
                role,
                mm,
                directory <- new_spinlock!(Directory {
                    pages: RBTree::new(),
                    frozen: IntervalSet::new(),
                    dead: NodeSet::EMPTY,
                }, "popcorn directory"),
                changed <- new_waitqueue!("popcorn page"),
                nodes: AtomicU64::new(0),
                lost: AtomicBool::new(false),
                layout <- new_mutex!(1, "popcorn layout"),
                streams: Streams::new(),
                tickets: AtomicU32::new(random_u64() as u32),
                _user: user,
            }),
            GFP_KERNEL,
        )?;
        SPACES
            .get()
            .ok_or(ENODEV)?
            .table
            .insert(id, space.clone())?;
        let attached = match space.mm.user() {
            Some(user) => user.attach(space.clone(), role != Role::Origin),
            None => Err(ESRCH),
        };
        if let Err(error) = attached {
            space.forget();
            return Err(error);
        }
        Ok(space)
    }

    /// Makes the current process distributed. `user` is the module that has registered the hooks.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it is (another thread was faster), `EOPNOTSUPP` if it uses userfaultfd,
    /// `ENOMEM`, `EINTR`.
    pub fn new_origin(user: Pinned) -> Result<Arc<Self>> {
        let spaces = SPACES.get().ok_or(ENODEV)?;
        let home = u64::from(popcorn_msg::this_node().get());
        let id = (home << ID_SHIFT) | spaces.next.fetch_add(1, Ordering::Relaxed);
        Self::new(id, Role::Origin, Mm::current().ok_or(EINVAL)?, user)
    }

    /// Makes the current task's address space this node's side of space `id`.
    ///
    /// # Errors
    ///
    /// `EEXIST` if there is one, `EPROTO` if `origin` cannot have made that id, `ENOMEM`.
    pub fn new_remote(id: u64, origin: NodeId, user: Pinned) -> Result<Arc<Self>> {
        if !is_made_by(id, origin) || origin == popcorn_msg::this_node() {
            return Err(errno::protocol());
        }
        Self::new(id, Role::Remote(origin), Mm::current().ok_or(EINVAL)?, user)
    }

    /// Takes the space out of the table: no message reaches it any more. Nobody has a use for its directory then, but
    /// who waits for a holder may keep the space for long. May sleep.
    pub fn forget(&self) {
        if let Some(spaces) = SPACES.get() {
            drop(spaces.table.remove(self.id));
        }
        let pages = {
            let mut directory = self.directory.lock();
            // Hardly anything begins any more: what does finds no memory, and ends.
            directory.dead = NodeSet::from_bits(u64::MAX);
            core::mem::replace(&mut directory.pages, RBTree::new())
        };
        drop(pages);
    }

    /// The node that keeps the directory.
    pub fn origin(&self) -> NodeId {
        match self.role {
            Role::Origin => popcorn_msg::this_node(),
            Role::Remote(origin) => origin,
        }
    }

    /// Notes that `node` has threads of it. Whether that is new.
    pub fn add_node(&self, node: NodeId) -> bool {
        let bit = NodeSet::only(node).bits();
        self.nodes.fetch_or(bit, Ordering::AcqRel) & bit == 0
    }

    /// The nodes that have, or had, threads of it.
    pub fn nodes(&self) -> NodeSet {
        NodeSet::from_bits(self.nodes.load(Ordering::Acquire))
    }

    /// Notes that the other side, or what it held, is gone. Whether that is new.
    pub fn set_lost(&self) -> bool {
        let new = !self.lost.swap(true, Ordering::AcqRel);
        self.changed.wake_all();
        new
    }

    /// Whether the other side is gone.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}
