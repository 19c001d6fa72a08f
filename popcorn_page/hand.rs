// SPDX-License-Identifier: GPL-2.0
//! The content of a page between one node and another.

use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::sync::UniqueArc;
use popcorn_core::proto;
use popcorn_kernel::mm::PAGE_SIZE;
use popcorn_kernel::pages::PageBuffer;
use popcorn_msg::Part;
use popcorn_msg::Response;

use crate::away;

/// The content of a page on its way, shared by the message that carries it, until the other machine has acknowledged
/// that, and the operation that keeps it until it has arrived.
#[derive(Clone)]
pub(crate) enum Hand {
    /// It is zeros.
    Zeros,
    /// These bytes, a page.
    Bytes(Arc<PageBuffer>),
    /// Those in the answer of its holder, where they are left.
    Answer(Arc<Fetched>),
}

impl Hand {
    /// The bytes; `None`: zeros.
    pub(crate) fn bytes(&self) -> Option<&[u8; PAGE_SIZE]> {
        match self {
            Hand::Zeros => None,
            Hand::Bytes(bytes) => bytes.first_chunk(),
            Hand::Answer(answer) => answer.0.as_ref()?.payload().last_chunk(),
        }
    }

    /// As what is sent.
    pub(crate) fn part(&self) -> Part<'_> {
        match self {
            Hand::Bytes(bytes) => Part::Pages(bytes),
            _ => Part::Bytes(self.bytes().map_or(&[], |bytes| &bytes[..])),
        }
    }
}

/// The answer of a holder.
///
/// # Invariants
///
/// In a [`Hand`] it is there, and ends with a page.
pub(crate) struct Fetched(Option<Response>);

impl Fetched {
    /// Room for one.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn room() -> Result<UniqueArc<Self>> {
        Ok(UniqueArc::new(Self(None), GFP_KERNEL)?)
    }

    /// The page that came with `response`, if one did.
    ///
    /// # Errors
    ///
    /// `EPROTO`: the answer makes no sense.
    pub(crate) fn hand(mut room: UniqueArc<Self>, response: Response) -> Result<Option<Hand>> {
        let (data, bytes) = response.decode_prefix::<proto::PageData>()?;
        let has_bytes = match away::content(data.content, bytes)? {
            None => return Ok(None),
            Some(content) => content.is_some(),
        };
        if !has_bytes {
            return Ok(Some(Hand::Zeros));
        }
        // INVARIANT: a page is what the rest of the answer was just found to be.
        room.0 = Some(response);
        Ok(Some(Hand::Answer(room.into())))
    }
}

/// Memory for a page that is taken out of its process: in such that the network can send it from there.
pub(crate) struct Blank(UniqueArc<PageBuffer>);

impl Blank {
    /// Zeros.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        let pages = PageBuffer::new(PAGE_SIZE)?;
        Ok(Self(UniqueArc::new(pages, GFP_KERNEL)?))
    }

    /// The page, to write it.
    ///
    /// # Errors
    ///
    /// `EBUSY`: somebody else has it, which nobody can.
    pub(crate) fn page(&mut self) -> Result<&mut [u8; PAGE_SIZE]> {
        let bytes = self.0.writable().ok_or(EBUSY)?;
        bytes.first_chunk_mut().ok_or(EBUSY)
    }

    /// It is written.
    pub(crate) fn into_pages(self) -> Arc<PageBuffer> {
        self.0.into()
    }
}
