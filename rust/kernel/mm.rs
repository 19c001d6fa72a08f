// SPDX-License-Identifier: GPL-2.0
//! Address spaces: `struct mm_struct`, and the pages of one that is spread over several kernels.
//!
//! Wraps `linux/popcorn.h` of the patched kernel (see `mm/popcorn.c` there for the states of a
//! page). Lock order: nothing here is called with a spinlock held; [`MmUser::install`],
//! [`MmUser::map`] and [`MmUser::unmap`] take `mmap_lock`, the rest only tries to.

use core::ptr::NonNull;

use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::Arc;

use crate::attached;
use crate::bindings;
use crate::hooks::BadAccess;

pub use popcorn_core::proto::PAGE_SIZE;

/// A reference to an address space, which may have no users any more (`mmgrab`).
///
/// # Invariants
///
/// The pointer is valid, and counted in `mm_count`.
pub struct Mm(NonNull<bindings::mm_struct>);

// SAFETY: an mm_struct may be referenced and released from any task.
unsafe impl Send for Mm {}
// SAFETY: all that can be done through a shared reference synchronises by itself.
unsafe impl Sync for Mm {}

impl Mm {
    /// That of the current task; `None` for a kernel thread.
    pub fn current() -> Option<Self> {
        // SAFETY: no preconditions; current's mm cannot go away while current runs here.
        let mm = NonNull::new(unsafe { bindings::pcn_current_mm() })?;
        // SAFETY: see above, it is valid.
        unsafe { bindings::pcn_mm_grab(mm.as_ptr()) };
        // INVARIANT: just counted.
        Some(Self(mm))
    }

    /// A reference of its own to an mm that the caller keeps valid; `None` for null.
    ///
    /// # Safety
    ///
    /// `mm` is null or valid.
    pub(crate) unsafe fn from_borrowed(mm: *mut bindings::mm_struct) -> Option<Self> {
        let mm = NonNull::new(mm)?;
        // SAFETY: by the contract it is valid.
        unsafe { bindings::pcn_mm_grab(mm.as_ptr()) };
        // INVARIANT: just counted.
        Some(Self(mm))
    }

    /// Whether it is the current task's.
    pub fn is_current(&self) -> bool {
        // SAFETY: no preconditions.
        unsafe { bindings::pcn_current_mm() == self.0.as_ptr() }
    }

    /// Its address, to tell address spaces apart.
    pub fn address(&self) -> usize {
        self.0.as_ptr() as usize
    }

    /// Keeps it from being torn down; `None` if that has begun.
    pub fn user(&self) -> Option<MmUser<'_>> {
        // SAFETY: by the invariant the pointer is valid.
        let counted = unsafe { bindings::pcn_mm_get_users(self.0.as_ptr()) };
        // INVARIANT: made, and so dropped, only if it was counted.
        counted.then(|| MmUser(self))
    }

    /// Takes back what [`MmUser::attach`] attached.
    ///
    /// Called once, when no hook looks at it any more: from `exit_mm`. May sleep.
    pub fn detach<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        // SAFETY: the pointer is valid; what is attached came from `attached::into_raw` for `T`,
        // and the C function gives it out only once.
        unsafe { attached::from_raw(bindings::popcorn_mm_detach(self.0.as_ptr())) }
    }
}

impl Drop for Mm {
    fn drop(&mut self) {
        // SAFETY: by the invariant we own one count.
        unsafe { bindings::pcn_mm_drop(self.0.as_ptr()) };
    }
}

/// What is attached to the address space of the current task.
pub fn attached_to_current<T: Send + Sync + 'static>() -> Option<Arc<T>> {
    // SAFETY: no preconditions.
    let mm = unsafe { bindings::pcn_current_mm() };
    if mm.is_null() {
        return None;
    }
    // SAFETY: current uses its mm, so it is not torn down and nothing is detached meanwhile.
    unsafe { attached::get(bindings::pcn_mm_pointer(mm)) }
}

/// What is left of a page that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// The page, write-protected.
    Share,
    /// A marker: an access comes to the fault hook.
    Mark,
    /// Nothing: for address spaces where every hole is another kernel's page.
    Drop,
}

/// What was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The content is in the buffer.
    Bytes,
    /// The content is zeros; the buffer was not touched.
    Zeros,
    /// There was no page.
    Nothing,
}

/// A VMA whose pages can be spread.
#[derive(Clone, Copy, Debug)]
pub struct Vma {
    /// First byte.
    pub start: usize,
    /// First byte behind it.
    pub end: usize,
    /// `PROT_*`.
    pub protection: usize,
}

/// An address space that is not torn down while this exists.
///
/// # Invariants
///
/// One count of `mm_users` is owned.
pub struct MmUser<'a>(&'a Mm);

impl MmUser<'_> {
    fn as_ptr(&self) -> *mut bindings::mm_struct {
        self.0 .0.as_ptr()
    }

    /// Spreads the address space: from now on faults on shared and missing pages come to the hook,
    /// which finds `object` in it. `missing`: the pages live elsewhere.
    ///
    /// # Errors
    ///
    /// `EBUSY` if something is attached, `EOPNOTSUPP` if the process uses userfaultfd, `EINTR`
    /// when killed, `ENOMEM`. Takes `mmap_lock` for writing.
    pub fn attach<T: Send + Sync + 'static>(&self, object: Arc<T>, missing: bool) -> Result {
        let raw = attached::into_raw(object, GFP_KERNEL)?;
        // SAFETY: we are a user of the mm.
        let result = to_result(unsafe { bindings::popcorn_mm_attach(self.as_ptr(), raw, missing) });
        if result.is_err() {
            // SAFETY: it was not stored, so it is still ours.
            drop(unsafe { attached::from_raw::<T>(raw) });
        }
        result
    }

    /// Gives a page away, or the right to write it; see [`Take`].
    ///
    /// # Errors
    ///
    /// `EAGAIN` if it is not mapped now ([`MmUser::fault_in`]) or a lock is busy; `EFAULT` no VMA;
    /// `EBUSY` pinned for DMA; `EOPNOTSUPP` no ordinary private memory. May sleep.
    pub fn take(
        &self,
        address: usize,
        take: Take,
        to: Option<&mut [u8; PAGE_SIZE]>,
    ) -> Result<Taken> {
        let take = match take {
            Take::Share => bindings::popcorn_take_POPCORN_TAKE_SHARE,
            Take::Mark => bindings::popcorn_take_POPCORN_TAKE_MARK,
            Take::Drop => bindings::popcorn_take_POPCORN_TAKE_DROP,
        };
        let to = to.map_or(core::ptr::null_mut(), |page| page.as_mut_ptr());
        // SAFETY: we are a user of the mm, and `to` is null or a whole page.
        let ret = unsafe { bindings::popcorn_page_take(self.as_ptr(), address, take, to.cast()) };
        to_result(ret)?;
        Ok(match ret as u32 {
            bindings::POPCORN_ZERO => Taken::Zeros,
            bindings::POPCORN_NONE => Taken::Nothing,
            _ => Taken::Bytes,
        })
    }

    /// Makes a page present, so that it can be taken.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if a lock is busy, `EFAULT` if there is nothing to read, `EOPNOTSUPP`, `ENOMEM`.
    pub fn fault_in(&self, address: usize) -> Result {
        // SAFETY: we are a user of the mm.
        to_result(unsafe { bindings::popcorn_page_fault_in(self.as_ptr(), address) })
    }

    /// Maps a page with this content; `None` is zeros. Takes `mmap_lock` for reading.
    ///
    /// # Errors
    ///
    /// `EEXIST` if something else is mapped there, `EAGAIN`, `EFAULT` no VMA or beyond the end of
    /// the file, `EOPNOTSUPP`, `ENOMEM`.
    pub fn install(
        &self,
        address: usize,
        content: Option<&[u8; PAGE_SIZE]>,
        writable: bool,
    ) -> Result {
        let from = content.map_or(core::ptr::null(), |page| page.as_ptr());
        // SAFETY: we are a user of the mm, and `from` is null or a whole page.
        to_result(unsafe {
            bindings::popcorn_page_install(self.as_ptr(), address, from.cast(), writable)
        })
    }

    /// A shared page has become exclusive. Takes no lock that it would have to wait for.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if a lock is busy, `ENOENT` if there is no page, `EFAULT` no VMA.
    pub fn upgrade(&self, address: usize) -> Result {
        // SAFETY: we are a user of the mm.
        to_result(unsafe { bindings::popcorn_page_upgrade(self.as_ptr(), address) })
    }

    /// The only copy of a page is lost: where its marker is, an access becomes SIGBUS. Takes no lock
    /// that it would have to wait for.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if a lock is busy, `EFAULT` no VMA.
    pub fn poison(&self, address: usize) -> Result {
        // SAFETY: we are a user of the mm.
        to_result(unsafe { bindings::popcorn_page_poison(self.as_ptr(), address) })
    }

    /// The VMA at `address`.
    ///
    /// # Errors
    ///
    /// `EFAULT` none; `EOPNOTSUPP` its pages cannot be spread; `EAGAIN` the lock is busy.
    pub fn vma(&self, address: usize) -> Result<Vma> {
        let mut info = bindings::pcn_vma_info::default();
        // SAFETY: we are a user of the mm, `info` is ours.
        to_result(unsafe { bindings::pcn_mm_lookup(self.as_ptr(), address, &mut info) })?;
        Ok(Vma {
            start: info.start,
            end: info.end,
            protection: info.prot,
        })
    }

    /// Maps private anonymous memory where [start, end) is free. In a task of this address space
    /// or in a kernel thread. Takes `mmap_lock`.
    ///
    /// # Errors
    ///
    /// Those of mmap, and `EINTR` when killed.
    pub fn map(&self, start: usize, end: usize, protection: usize) -> Result {
        // SAFETY: we are a user of the mm.
        to_result(unsafe { bindings::pcn_mm_map(self.as_ptr(), start, end, protection) })
    }

    /// Unmaps [start, end). In a task of this address space or in a kernel thread.
    ///
    /// # Errors
    ///
    /// Those of munmap.
    pub fn unmap(&self, start: usize, end: usize) -> Result {
        // SAFETY: we are a user of the mm.
        to_result(unsafe { bindings::pcn_mm_unmap(self.as_ptr(), start, end) })
    }

    /// The end of the heap.
    pub fn brk(&self) -> usize {
        // SAFETY: we are a user of the mm.
        unsafe { bindings::pcn_mm_brk(self.as_ptr()) }
    }

    /// Where the vDSO reads time from: user and physical address.
    pub fn clock_page(&self) -> Option<(u64, u64)> {
        let mut address = 0;
        let mut physical = 0;
        // SAFETY: we are a user of the mm, the results are ours.
        to_result(unsafe {
            bindings::popcorn_clock_page(self.as_ptr(), &mut address, &mut physical)
        })
        .ok()?;
        Some((address as u64, physical))
    }

    /// Maps another kernel's clock page, for reading.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an address that cannot be, `EEXIST`, `ENOMEM`, `EINTR`.
    pub fn map_clock(&self, address: u64, physical: u64) -> Result {
        // SAFETY: we are a user of the mm.
        to_result(unsafe { bindings::popcorn_map_clock(self.as_ptr(), address as usize, physical) })
    }
}

impl Vma {
    /// Whether an access is allowed there.
    pub fn allows(&self, access: BadAccess) -> bool {
        // The numbers of PROT_READ, PROT_WRITE and PROT_EXEC are ABI.
        let bit = match access {
            BadAccess::Read => 1,
            BadAccess::Write => 2,
            BadAccess::Execute => 4,
        };
        self.protection & bit != 0
    }
}

impl Drop for MmUser<'_> {
    fn drop(&mut self) {
        // SAFETY: by the invariant we own one count.
        unsafe { bindings::pcn_mm_put_users(self.as_ptr()) };
    }
}

/// Whether a physical address is in what this kernel counts as its memory: in what it has given to another kernel, too. Not
/// from interrupts.
pub fn is_memory(physical: u64) -> bool {
    // SAFETY: no preconditions; any number is answered.
    unsafe { bindings::page_is_ram(physical as usize / PAGE_SIZE) != 0 }
}

/// Faults one byte of the current task's memory in, as its own code would; also grows its stack. The
/// content stays as it is.
///
/// # Errors
///
/// `EFAULT`. May sleep.
pub fn touch(address: usize, write: bool) -> Result {
    // SAFETY: no preconditions; any address is answered.
    to_result(unsafe { bindings::pcn_mm_touch(address, write) })
}

/// Gives the current task, which [`crate::task::spawn`] made, an empty address space.
///
/// # Errors
///
/// `EINVAL` if it has one or is a kernel thread, `ENOMEM`.
pub fn create_for_current() -> Result {
    // SAFETY: no preconditions; the C function checks the task.
    to_result(unsafe { bindings::popcorn_mm_create() })
}
