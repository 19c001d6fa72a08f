// SPDX-License-Identifier: GPL-2.0
//! A directory in configfs (`/sys/kernel/config`) in which users make and remove objects by `mkdir` and
//! `rmdir`, and use them through text files.
//!
//! C header: `include/linux/configfs.h`.
//!
//! | type | what it is |
//! |---|---|
//! | [`Subsystem`] | the directory itself |
//! | [`Group`] | what makes an object of a new name |
//! | [`Item`] | such an object; its [`Attribute`]s are the files |
//! | [`Entry`] | an item and its directory, while somebody writes to one of its files |
//! | [`Hold`] | keeps a directory from being removed |
//!
//! Locks: `mkdir` and `rmdir` call [`Group::make`] and [`Group::dropped`] with the inode lock of the
//! subsystem's directory and then `su_mutex`; both may sleep. Reading and writing calls with a read
//! lock of the item's fragment (`frag_sem`), for which `rmdir` waits with inode locks held: while a
//! file's function runs, an `rmdir` of that item stalls everybody who looks into the subsystem's
//! directory. A [`Hold`] that was taken before makes it fail instead. So whoever makes, drops or
//! serves an item must not wait for somebody who makes or removes one.
//!
//! Modules: each item and each open file keeps the module loaded, so that there are neither when its
//! exit drops the [`Subsystem`]. Before the module's `init` has succeeded nothing can be made, as there is
//! no way to remove it again if it does not.

use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering;

use kernel::error::to_result;
use kernel::ffi::c_char;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::sync::ArcBorrow;
use kernel::sync::LockClassKey;
use kernel::types::Opaque;

use crate::bindings;
use crate::bindings::config_group;
use crate::bindings::config_item;
use crate::bindings::config_item_type;
use crate::bindings::configfs_attribute;
use crate::bindings::configfs_group_operations;
use crate::bindings::configfs_item_operations;
use crate::bindings::configfs_subsystem;
use crate::errno;
use crate::module;

/// Bytes that configfs moves at once: its buffer of 4096 bytes, less a final NUL.
const BUFFER: usize = 4095;

/// Bytes of text that a file can show.
pub const SHOW_MAX: usize = BUFFER;

/// Bytes that can be stored by one write, with the newline. One less than the buffer: configfs cuts
/// longer writes to that, and what fills it may be the beginning of one.
pub const STORE_MAX: usize = BUFFER - 1;

/// How many files an item can have. configfs does not tell a function which file it is called for, so
/// that there is one function for each.
pub const ATTRIBUTES_MAX: usize = 32;

/// An object with a directory of its own.
pub trait Item: Sized + Send + Sync + 'static {
    /// The files in that directory, at most [`ATTRIBUTES_MAX`], with names that differ.
    const ATTRIBUTES: &'static [Attribute<Self>];
}

/// What the items of a [`Subsystem`] belong to.
pub trait Group: Send + Sync + 'static {
    /// What it makes.
    type Item: Item;

    /// Makes the item for a new directory; the name is not in use, and has no slash in it. No other
    /// `make` or [`dropped`](Self::dropped) of this group runs meanwhile. May sleep.
    ///
    /// # Errors
    ///
    /// They become those of `mkdir`.
    fn make(&self, name: &CStr) -> Result<Arc<Self::Item>>;

    /// The directory of `item` is gone: nobody reads or writes its files any more, nor will again.
    /// Called once for every item that was made, also when `mkdir` failed later for lack of memory.
    /// May sleep.
    fn dropped(&self, item: &Arc<Self::Item>);
}

/// Reads a file of `T`: puts its text, with the newline, into the [`Text`]. It may sleep, and several
/// may run at once. Its error becomes that of `read`; a text that does not fit is `EMSGSIZE`.
pub type Show<T> = fn(&T, &mut Text<'_>) -> Result;

/// Takes what was written to a file of `T`: the bytes of one write, which may be none, without the
/// newline at the end. There is no NUL in it. It may sleep, and several may run at once. Its error
/// becomes that of `write`.
pub type Store<T> = fn(&Entry<'_, T>, &[u8]) -> Result;

/// A file in the directory of each `T`.
pub struct Attribute<T: 'static> {
    name: &'static CStr,
    show: Option<Show<T>>,
    store: Option<Store<T>>,
}

impl<T> Attribute<T> {
    /// A file that everybody can read.
    pub const fn read_only(name: &'static CStr, show: Show<T>) -> Self {
        Self {
            name,
            show: Some(show),
            store: None,
        }
    }

    /// A file that root can write.
    pub const fn write_only(name: &'static CStr, store: Store<T>) -> Self {
        Self {
            name,
            show: None,
            store: Some(store),
        }
    }

    /// A file that everybody can read and root can write.
    pub const fn read_write(name: &'static CStr, show: Show<T>, store: Store<T>) -> Self {
        Self {
            name,
            show: Some(show),
            store: Some(store),
        }
    }

    fn mode(&self) -> u16 {
        let read = if self.show.is_some() { 0o444 } else { 0 };
        let write = if self.store.is_some() { 0o200 } else { 0 };
        read | write
    }
}

/// The text that a file shows: at most [`SHOW_MAX`] bytes. What goes beyond is an error, for half a text
/// may mean something else.
pub struct Text<'a> {
    buffer: &'a mut [u8],
    length: usize,
    overflow: bool,
}

impl Text<'_> {
    /// Adds `bytes`, which need not be UTF-8.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if there is no room for all of them. `read` then fails, whatever follows.
    pub fn put(&mut self, bytes: &[u8]) -> Result {
        let room = self.buffer.get_mut(self.length..);
        match room.and_then(|room| room.get_mut(..bytes.len())) {
            Some(room) if !self.overflow => {
                room.copy_from_slice(bytes);
                self.length += bytes.len();
                Ok(())
            }
            _ => {
                self.overflow = true;
                Err(errno::message_size())
            }
        }
    }
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// An item whose file is being written to. It dereferences to the item.
///
/// # Invariants
///
/// `item` is in a directory of `subsystem`, whose fragment is locked for reading and not dead for as
/// long as `'a`.
pub struct Entry<'a, T> {
    value: ArcBorrow<'a, T>,
    item: NonNull<config_item>,
    subsystem: NonNull<configfs_subsystem>,
}

impl<'a, T> Entry<'a, T> {
    /// The item, for those who want a reference of their own.
    pub fn get(&self) -> ArcBorrow<'a, T> {
        self.value
    }

    /// Keeps the item's directory; several may. Does not sleep.
    ///
    /// # Errors
    ///
    /// `ENOENT` if its removal has begun already.
    pub fn hold(&self) -> Result<Hold> {
        // SAFETY: the fragment is not dead and locked, so that by the invariant the item stays
        // linked to its group, and the group to its subsystem. As both are of one subsystem, no
        // lock is taken here but configfs's own spinlock.
        to_result(unsafe {
            bindings::configfs_depend_item_unlocked(self.subsystem.as_ptr(), self.item.as_ptr())
        })?;
        // INVARIANT: just counted.
        Ok(Hold { item: self.item })
    }
}

impl<T> Deref for Entry<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// While it lives, `rmdir` of an item's directory is `EBUSY`, and so the item stays, and the module.
/// It may be kept in the item itself. Dropping it does not sleep, but is not for interrupt context.
///
/// # Invariants
///
/// One of the item's dependants is counted for it; such an item has a directory.
pub struct Hold {
    item: NonNull<config_item>,
}

// SAFETY: the count may be given back by any thread.
unsafe impl Send for Hold {}
// SAFETY: a shared reference gives nothing.
unsafe impl Sync for Hold {}

impl Drop for Hold {
    fn drop(&mut self) {
        // SAFETY: by the invariant the item has its directory, and one count is ours.
        unsafe { bindings::configfs_undepend_item(self.item.as_ptr()) };
    }
}

/// A directory in `/sys/kernel/config`. Dropping it removes the directory, and may sleep.
///
/// Drop it when the module ends, and only then: there are no items at that time. With items nothing
/// can be taken from configfs, so it would stay, for good and with the module, and refuse `mkdir`.
///
/// # Invariants
///
/// It is registered; configfs owns another reference to it.
pub struct Subsystem<G: Group>(Arc<Shared<G>>);

/// The name and the class of the mutex of all subsystems: not of a generic function, of which each module has a name
/// of its own, which lockdep warns of.
#[inline(never)]
fn mutex_class() -> (&'static CStr, &'static LockClassKey) {
    (
        kernel::c_str!("popcorn configfs"),
        kernel::static_lock_class!(),
    )
}

impl<G: Group> Subsystem<G> {
    /// Makes `/sys/kernel/config/NAME`, where `group` makes the items; `module` is the caller's. May
    /// sleep.
    ///
    /// # Errors
    ///
    /// `EEXIST`: there is one of that name. `ENOMEM`.
    pub fn new(name: &'static CStr, group: Arc<G>, module: &'static ThisModule) -> Result<Self> {
        let types = KBox::new(Types::new::<G>(module)?, GFP_KERNEL)?;
        let of_group: *const config_item_type = &types.group;
        let (lock_name, lock) = mutex_class();
        let lock: *const LockClassKey = lock;
        let initialise = |slot: *mut configfs_subsystem| {
            // SAFETY: `slot` is valid for writing, zeroes are fine in all fields, and it will be
            // pinned. Name and lock class are static; the type lives as long as the slot.
            unsafe {
                slot.write_bytes(0, 1);
                bindings::config_group_init_type_name(
                    &raw mut (*slot).su_group,
                    name.as_char_ptr(),
                    of_group,
                );
                bindings::__mutex_init(
                    &raw mut (*slot).su_mutex,
                    lock_name.as_char_ptr(),
                    lock.cast_mut().cast(),
                );
            }
        };
        let shared = Arc::pin_init(
            pin_init!(Shared {
                subsystem <- Opaque::ffi_init(initialise),
                closed: AtomicBool::new(false),
                group,
                types,
                module,
            }),
            GFP_KERNEL,
        )?;
        let subsystem = shared.subsystem.get();
        // The reference that the group's item now counts as its first one; release_group() drops it.
        let _ = Arc::into_raw(shared.clone());
        // SAFETY: initialised above, and here until it is released.
        let registered = unsafe {
            if (*subsystem).su_group.cg_item.ci_name.is_null() {
                Err(ENOMEM)
            } else {
                to_result(bindings::configfs_register_subsystem(subsystem))
            }
        };
        match registered {
            // INVARIANT: just registered.
            Ok(()) => Ok(Self(shared)),
            Err(error) => {
                // SAFETY: configfs gave its references back when it failed; the first one is left.
                unsafe { bindings::config_item_put(&raw mut (*subsystem).su_group.cg_item) };
                Err(error)
            }
        }
    }
}

impl<G: Group> Drop for Subsystem<G> {
    fn drop(&mut self) {
        let subsystem = self.0.subsystem.get();
        // SAFETY: `subsystem` is initialised. Its mutex guards the list of items, in which one is
        // from the end of make_item() to just before drop_item().
        let empty = unsafe {
            bindings::mutex_lock(&raw mut (*subsystem).su_mutex);
            self.0.closed.store(true, Ordering::Relaxed);
            let items = &raw mut (*subsystem).su_group.cg_children;
            let empty = core::ptr::eq((*items).next, items);
            bindings::mutex_unlock(&raw mut (*subsystem).su_mutex);
            empty
        };
        if empty {
            // SAFETY: registered by the invariant, and not so twice; there are no items, nor will
            // there be. What configfs did with them ends before, as it has the inode's lock.
            unsafe {
                bindings::configfs_unregister_subsystem(subsystem);
                bindings::config_item_put(&raw mut (*subsystem).su_group.cg_item);
            }
        } else {
            pr_err!("a configfs subsystem cannot be removed while it has items\n");
            // configfs keeps its reference. The items keep the module until here.
            if let Ok(pinned) = module::Pinned::new(self.0.module) {
                core::mem::forget(pinned);
            }
        }
    }
}

/// What C needs to know about an item and its group.
struct Types {
    item: config_item_type,
    group: config_item_type,
    // The item's type leads to what these own.
    _pointers: KVec<*mut configfs_attribute>,
    _attributes: KVec<configfs_attribute>,
}

impl Types {
    fn new<G: Group>(module: &'static ThisModule) -> Result<Self> {
        let () = Functions::<G>::FIT;
        let mut attributes = KVec::new();
        let functions = Functions::<G>::SHOW.into_iter().zip(Functions::<G>::STORE);
        for (attribute, (show, store)) in G::Item::ATTRIBUTES.iter().zip(functions) {
            let c = configfs_attribute {
                ca_name: attribute.name.as_char_ptr(),
                ca_owner: module.as_ptr(),
                ca_mode: attribute.mode(),
                show: attribute.show.and(Some(show)),
                store: attribute.store.and(Some(store)),
            };
            attributes.push(c, GFP_KERNEL)?;
        }
        let mut pointers = KVec::with_capacity(attributes.len() + 1, GFP_KERNEL)?;
        for attribute in attributes.iter_mut() {
            pointers.push(core::ptr::from_mut(attribute), GFP_KERNEL)?;
        }
        pointers.push(core::ptr::null_mut(), GFP_KERNEL)?;
        // configfs reads all of these and never writes.
        let item = config_item_type {
            ct_owner: module.as_ptr(),
            ct_item_ops: core::ptr::from_ref(&Functions::<G>::ITEM).cast_mut(),
            ct_group_ops: core::ptr::null_mut(),
            ct_attrs: pointers.as_mut_ptr(),
            ct_bin_attrs: core::ptr::null_mut(),
        };
        let group = config_item_type {
            ct_owner: module.as_ptr(),
            ct_item_ops: core::ptr::from_ref(&Functions::<G>::GROUP_AS_ITEM).cast_mut(),
            ct_group_ops: core::ptr::from_ref(&Functions::<G>::GROUP).cast_mut(),
            ct_attrs: core::ptr::null_mut(),
            ct_bin_attrs: core::ptr::null_mut(),
        };
        Ok(Self {
            item,
            group,
            _pointers: pointers,
            _attributes: attributes,
        })
    }
}

/// A subsystem as C knows it, and what belongs to it. Each item has a reference.
///
/// # Invariants
///
/// `subsystem` is initialised; its group's type is `types.group`. `closed` is written with its mutex
/// held.
#[pin_data]
struct Shared<G: Group> {
    #[pin]
    subsystem: Opaque<configfs_subsystem>,
    closed: AtomicBool,
    group: Arc<G>,
    types: KBox<Types>,
    module: &'static ThisModule,
}

// SAFETY: the C objects are used by configfs from any thread, under its locks; the types are not
// written any more. `G` is Send and Sync.
unsafe impl<G: Group> Send for Shared<G> {}
// SAFETY: as above.
unsafe impl<G: Group> Sync for Shared<G> {}

impl<G: Group> Shared<G> {
    /// # Safety
    ///
    /// `group` is the group of the subsystem in a `Self`, which is not released for as long as `'a`.
    unsafe fn of<'a>(group: *mut config_group) -> ArcBorrow<'a, Self> {
        // SAFETY: as required of the caller; Opaque is transparent. It is in an `Arc`, as there is
        // no other way to make one, and a reference to it exists until the release.
        unsafe {
            let subsystem = kernel::container_of!(group, configfs_subsystem, su_group);
            ArcBorrow::from_raw(kernel::container_of!(subsystem, Self, subsystem))
        }
    }

    /// Makes an item and its C half. With the subsystem's mutex held, in `mkdir`.
    fn make(this: ArcBorrow<'_, Self>, name: &CStr) -> Result<NonNull<config_item>> {
        if this.closed.load(Ordering::Relaxed) || !module::is_live(this.module) {
            return Err(ENODEV);
        }
        let node = KBox::<Node<G>>::new_uninit(GFP_KERNEL)?;
        let value = this.group.make(name)?;
        let node = KBox::into_raw(node.write(Node {
            item: Opaque::uninit(),
            value,
            shared: this.into(),
        }));
        // SAFETY: `node` was made just above and stays where it is until its release. Zeroes are fine in
        // all fields of the item; its type lives as long as the node's reference to `Shared`.
        let (node, item, name) = unsafe {
            let item = (*node).item.get();
            item.write_bytes(0, 1);
            bindings::config_item_init_type_name(item, name.as_char_ptr(), &this.types.item);
            (&*node, NonNull::new_unchecked(item), (*item).ci_name)
        };
        if name.is_null() {
            // There was no memory for it.
            this.group.dropped(&node.value);
            // SAFETY: nobody else knows the item; this is its only reference.
            unsafe { bindings::config_item_put(item.as_ptr()) };
            return Err(ENOMEM);
        }
        Ok(item)
    }
}

/// An item with what C knows of it; its count of references is in there.
///
/// # Invariants
///
/// It is from `KBox::into_raw`, and `item` is initialised.
struct Node<G: Group> {
    item: Opaque<config_item>,
    value: Arc<G::Item>,
    shared: Arc<Shared<G>>,
}

impl<G: Group> Node<G> {
    /// # Safety
    ///
    /// `item` is in a `Self`, which is not released for as long as `'a`.
    unsafe fn of<'a>(item: *mut config_item) -> &'a Self {
        // SAFETY: as required of the caller; Opaque is transparent.
        unsafe { &*kernel::container_of!(item, Self, item) }
    }
}

type CShow = unsafe extern "C" fn(*mut config_item, *mut c_char) -> isize;
type CStore = unsafe extern "C" fn(*mut config_item, *const c_char, usize) -> isize;

/// `[function::<G, 0>, function::<G, 1>, ...]`, [`ATTRIBUTES_MAX`] of them.
macro_rules! for_each_attribute {
    ($function:ident) => {
        for_each_attribute!($function:
            0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31)
    };
    ($function:ident: $($n:literal)*) => { [$($function::<G, $n>),*] };
}

/// What configfs calls.
struct Functions<G: Group>(PhantomData<G>);

impl<G: Group> Functions<G> {
    const SHOW: [CShow; ATTRIBUTES_MAX] = for_each_attribute!(show);
    const STORE: [CStore; ATTRIBUTES_MAX] = for_each_attribute!(store);

    /// More attributes than there are functions for do not compile.
    const FIT: () = assert!(<G::Item as Item>::ATTRIBUTES.len() <= ATTRIBUTES_MAX);

    const ITEM: configfs_item_operations = configfs_item_operations {
        release: Some(release_item::<G>),
        allow_link: None,
        drop_link: None,
    };
    const GROUP_AS_ITEM: configfs_item_operations = configfs_item_operations {
        release: Some(release_group::<G>),
        allow_link: None,
        drop_link: None,
    };
    const GROUP: configfs_group_operations = configfs_group_operations {
        make_item: Some(make_item::<G>),
        make_group: None,
        disconnect_notify: None,
        drop_item: Some(drop_item::<G>),
        is_visible: None,
        is_bin_visible: None,
    };
}

/// # Safety
///
/// Called by configfs, in `mkdir` in the directory of a `Shared<G>`.
unsafe extern "C" fn make_item<G: Group>(
    group: *mut config_group,
    name: *const c_char,
) -> *mut config_item {
    // SAFETY: configfs holds a reference to the group, and a lock by which it stays registered.
    let shared = unsafe { Shared::<G>::of(group) };
    // SAFETY: a string of the caller's, for this call.
    match Shared::make(shared, unsafe { CStr::from_char_ptr(name) }) {
        Ok(item) => item.as_ptr(),
        Err(error) => error.to_ptr(),
    }
}

/// # Safety
///
/// Called by configfs, with an item of make_item() of that group, whose first reference it drops.
unsafe extern "C" fn drop_item<G: Group>(_group: *mut config_group, item: *mut config_item) {
    // SAFETY: the caller has a reference to the item beyond the first one.
    let node = unsafe { Node::<G>::of(item) };
    node.shared.group.dropped(&node.value);
    // SAFETY: the first reference is ours to drop.
    unsafe { bindings::config_item_put(item) };
}

/// # Safety
///
/// Called by configfs when there is no reference to an item of make_item() any more.
unsafe extern "C" fn release_item<G: Group>(item: *mut config_item) {
    // SAFETY: by the invariant the node is from `KBox::into_raw`. The caller does not look at the
    // item any more: it is in no group.
    drop(unsafe { KBox::from_raw(kernel::container_of!(item, Node<G>, item).cast_mut()) });
}

/// # Safety
///
/// Called by configfs when there is no reference to the group of a `Shared<G>` any more.
unsafe extern "C" fn release_group<G: Group>(item: *mut config_item) {
    // SAFETY: Subsystem::new() gave a reference away for this call; the item is its group's. The
    // caller does not look at it any more: it is in no group.
    drop(unsafe {
        let group = kernel::container_of!(item, config_group, cg_item);
        Arc::from_raw(Shared::<G>::of(group.cast_mut()).deref())
    });
}

/// # Safety
///
/// Called by configfs to read attribute `N` of an item of make_item(), with its fragment locked, into a
/// page.
unsafe extern "C" fn show<G: Group, const N: usize>(
    item: *mut config_item,
    page: *mut c_char,
) -> isize {
    let Some(show) = G::Item::ATTRIBUTES.get(N).and_then(|this| this.show) else {
        return EIO.to_errno() as isize;
    };
    // SAFETY: an item is not released while it has a file.
    let node = unsafe { Node::<G>::of(item) };
    // SAFETY: for this call the page, which has more bytes than that, is ours.
    let (buffer, end) = unsafe { core::slice::from_raw_parts_mut(page.cast::<u8>(), BUFFER + 1) }
        .split_at_mut(BUFFER);
    let mut text = Text {
        buffer,
        length: 0,
        overflow: false,
    };
    let result = show(&node.value, &mut text);
    if text.overflow {
        return errno::message_size().to_errno() as isize;
    }
    if let Err(error) = result {
        return error.to_errno() as isize;
    }
    let length = text.length;
    end.fill(0);
    if let Some(byte) = buffer.get_mut(length) {
        *byte = 0;
    }
    length as isize
}

/// # Safety
///
/// Called by configfs with `count` bytes that were written to attribute `N` of an item of make_item(),
/// with its fragment locked.
unsafe extern "C" fn store<G: Group, const N: usize>(
    item: *mut config_item,
    page: *const c_char,
    count: usize,
) -> isize {
    let Some(store) = G::Item::ATTRIBUTES.get(N).and_then(|this| this.store) else {
        return EIO.to_errno() as isize;
    };
    // SAFETY: an item is not released while it has a file.
    let node = unsafe { Node::<G>::of(item) };
    if count > STORE_MAX {
        return errno::message_size().to_errno() as isize;
    }
    // SAFETY: for this call the bytes are valid and nobody writes them.
    let bytes = unsafe { core::slice::from_raw_parts(page.cast::<u8>(), count) };
    if bytes.contains(&0) {
        return EINVAL.to_errno() as isize;
    }
    // INVARIANT: the caller has the fragment locked, and it is not dead; the item is in the group of
    // the node's subsystem.
    let entry = Entry {
        value: node.value.as_arc_borrow(),
        // SAFETY: items have addresses.
        item: unsafe { NonNull::new_unchecked(item) },
        // SAFETY: as above.
        subsystem: unsafe { NonNull::new_unchecked(node.shared.subsystem.get()) },
    };
    match store(&entry, bytes.strip_suffix(b"\n").unwrap_or(bytes)) {
        Ok(()) => count as isize,
        Err(error) => error.to_errno() as isize,
    }
}
