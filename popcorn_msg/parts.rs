// SPDX-License-Identifier: GPL-2.0
//! The parts of a payload that is to be sent, and whose memory they are in.

use crate::link::length_of;

use kernel::sync::Arc;

use popcorn_kernel::pages::PageBuffer;

/// A part of what follows the fields of an answer.
#[derive(Clone, Copy)]
pub enum Part<'a> {
    /// Bytes. Whoever keeps the message copies them.
    Bytes(&'a [u8]),
    /// All of a buffer, which nobody writes to any more, since it is shared. Whoever keeps the message keeps that
    /// instead, until the peer has acknowledged it, and the network takes it from there.
    Pages(&'a Arc<PageBuffer>),
}

impl<'a> Part<'a> {
    pub(crate) fn bytes(self) -> &'a [u8] {
        match self {
            Part::Bytes(bytes) => bytes,
            Part::Pages(pages) => pages,
        }
    }

    pub(crate) fn owner(self) -> Option<&'a Arc<PageBuffer>> {
        match self {
            Part::Bytes(_) => None,
            Part::Pages(pages) => Some(pages),
        }
    }
}

/// All of a payload.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    slices: &'a [&'a [u8]],
    owners: &'a [Option<&'a Arc<PageBuffer>>],
}

impl<'a> Parts<'a> {
    /// Slices that are copied by whoever keeps them.
    pub(crate) fn copied(slices: &'a [&'a [u8]]) -> Self {
        Self {
            slices,
            owners: &[],
        }
    }

    /// Slices, the last of which are all of these buffers, if they are of one.
    pub(crate) fn owned(slices: &'a [&'a [u8]], owners: &'a [Option<&'a Arc<PageBuffer>>]) -> Self {
        Self { slices, owners }
    }

    pub(crate) fn slices(self) -> &'a [&'a [u8]] {
        self.slices
    }

    /// Bytes of all.
    pub(crate) fn length(self) -> usize {
        length_of(self.slices)
    }

    /// Each, with the buffer that it is all of.
    pub(crate) fn iter(
        self,
    ) -> impl Iterator<Item = (&'a [u8], Option<&'a Arc<PageBuffer>>)> + Clone {
        let Self { slices, owners } = self;
        let first = slices.len().saturating_sub(owners.len());
        slices.iter().enumerate().map(move |(index, &slice)| {
            let index = index.checked_sub(first);
            let owner = index.and_then(|index| owners.get(index).copied().flatten());
            // What is kept is what was meant, whoever has put the two together.
            (
                slice,
                owner.filter(|owner| core::ptr::eq(&owner[..], slice)),
            )
        })
    }
}
