// SPDX-License-Identifier: GPL-2.0
//! What a kernel has, exchanged for what it shall have: processors, devices.

use kernel::prelude::*;
use popcorn_core::pci::Address;
use popcorn_kernel::boot::pci::LentDevice;
use popcorn_kernel::boot::processor::LentProcessor;

/// Something of this kernel's that another one can have. Dropping it gives it back.
pub(super) trait Lent: Sized {
    /// What it is named by.
    type Key: Copy + PartialEq + core::fmt::Display;

    /// Its name.
    fn key(&self) -> Self::Key;

    /// Takes it from this kernel. May sleep.
    fn take(key: Self::Key) -> Result<Self>;
}

impl Lent for LentProcessor {
    type Key = u32;

    fn key(&self) -> u32 {
        self.cpu()
    }

    fn take(cpu: u32) -> Result<Self> {
        LentProcessor::take(cpu)
    }
}

impl Lent for LentDevice {
    type Key = Address;

    fn key(&self) -> Address {
        self.address()
    }

    fn take(address: Address) -> Result<Self> {
        LentDevice::take(address)
    }
}

/// An exchange of which only the part is done that can fail. Dropping it undoes that.
pub(super) struct Exchange<T: Lent> {
    /// What was not there before.
    taken: KVec<Option<T>>,
    /// Room for all that there shall be.
    all: KVec<T>,
    /// Room for all that there was.
    former: KVec<Option<T>>,
}

impl<T: Lent> Exchange<T> {
    /// Takes all of `wanted` that `had` does not hold. Nothing is listed twice. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and those of [`Lent::take`].
    pub(super) fn begin(had: &[T], wanted: &[T::Key]) -> Result<Self> {
        let mut this = Self {
            taken: KVec::with_capacity(wanted.len(), GFP_KERNEL)?,
            // It may have to hold both: see `keep_all`.
            all: KVec::with_capacity(wanted.len() + had.len(), GFP_KERNEL)?,
            former: KVec::with_capacity(had.len(), GFP_KERNEL)?,
        };
        for &key in wanted {
            if !had.iter().any(|each| each.key() == key) {
                let one =
                    T::take(key).inspect_err(|e| pr_err!("cannot take {}: {:?}\n", key, e))?;
                this.taken.push(Some(one), GFP_KERNEL)?;
            }
        }
        Ok(this)
    }

    /// What was taken.
    pub(super) fn taken(&self) -> impl Iterator<Item = &T> {
        self.taken.iter().flatten()
    }

    /// Leaves in `had` what is `wanted`, in that order. The rest is given back when what is returned is
    /// dropped.
    pub(super) fn finish(mut self, had: &mut KVec<T>, wanted: &[T::Key]) -> KVec<Option<T>> {
        for one in core::mem::take(had) {
            // There is room, here and below.
            let _ = self.former.push(Some(one), GFP_KERNEL);
        }
        for &key in wanted {
            let mut both = Iterator::chain(self.former.iter_mut(), &mut self.taken);
            let is_it = |each: &&mut Option<T>| each.as_ref().is_some_and(|each| each.key() == key);
            if let Some(one) = both.find(is_it).and_then(Option::take) {
                let _ = self.all.push(one, GFP_KERNEL);
            }
        }
        *had = self.all;
        self.former
    }

    /// Leaves in `had` what was there and what was taken.
    pub(super) fn keep_all(mut self, had: &mut KVec<T>) {
        let taken = self.taken.into_iter().flatten();
        for one in Iterator::chain(core::mem::take(had).into_iter(), taken) {
            let _ = self.all.push(one, GFP_KERNEL);
        }
        *had = self.all;
    }
}
