// SPDX-License-Identifier: GPL-2.0
//! Rust objects behind the opaque pointers in `task_struct` and `mm_struct`.
//!
//! The patched kernel keeps one `void *` for a module in each. What is behind it must be of one
//! known type, or a hook would read one object as another. So a pointer is never stored bare: it
//! leads to a [`Slot`] that starts with the id of its type, and is read through a check of it.

use core::any::TypeId;
use core::ffi::c_void;

use kernel::alloc::Flags;
use kernel::prelude::*;
use kernel::sync::Arc;

/// What the opaque pointer leads to.
///
/// # Invariants
///
/// `type_id` is that of `T`.
#[repr(C)]
struct Slot<T> {
    type_id: TypeId,
    object: Arc<T>,
}

/// Makes an opaque pointer, which owns a reference to `object`.
pub(crate) fn into_raw<T: Send + Sync + 'static>(
    object: Arc<T>,
    flags: Flags,
) -> Result<*mut c_void> {
    // INVARIANT: the id is taken from the type itself.
    let slot = Slot {
        type_id: TypeId::of::<T>(),
        object,
    };
    Ok(KBox::into_raw(KBox::new(slot, flags)?).cast())
}

/// A further reference to the object behind `raw`; `None` if there is none, or another type's.
///
/// # Safety
///
/// `raw` is null, or came from [`into_raw`] and is not consumed by [`from_raw`] during the call.
pub(crate) unsafe fn get<T: Send + Sync + 'static>(raw: *mut c_void) -> Option<Arc<T>> {
    if raw.is_null() {
        return None;
    }
    // SAFETY: by the contract `raw` leads to a `Slot`, whose first field is the id for each `T`.
    if unsafe { *raw.cast::<TypeId>() } != TypeId::of::<T>() {
        return None;
    }
    // SAFETY: the id says that it is a `Slot<T>`, by the type's invariant.
    Some(unsafe { (*raw.cast::<Slot<T>>()).object.clone() })
}

/// Takes the object back.
///
/// # Safety
///
/// `raw` is null, or came from [`into_raw`] for the same `T` and is consumed only once.
pub(crate) unsafe fn from_raw<T: Send + Sync + 'static>(raw: *mut c_void) -> Option<Arc<T>> {
    if raw.is_null() {
        return None;
    }
    // SAFETY: by the contract it is a `KBox<Slot<T>>` that nobody else owns.
    let slot = unsafe { KBox::from_raw(raw.cast::<Slot<T>>()) };
    Some(KBox::into_inner(slot).object)
}
