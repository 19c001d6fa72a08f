// SPDX-License-Identifier: GPL-2.0
//! The content of a page between one node and another.

use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::sync::UniqueArc;
use popcorn_core::proto;
use popcorn_kernel::mm::page_buffer;
use popcorn_kernel::mm::PageBuffer;
use popcorn_kernel::mm::PAGE_SIZE;
use popcorn_msg::Response;

use crate::away;

/// The content of a page on its way, shared by the message that carries it and the operation that
/// keeps it until it has arrived.
#[derive(Clone)]
pub(crate) enum Hand {
    /// It is zeros.
    Zeros,
    /// These bytes.
    Bytes(Arc<PageBuffer>),
    /// Those in the answer of its holder, where they are left.
    Answer(Arc<Fetched>),
}

impl Hand {
    /// The bytes; `None`: zeros.
    pub(crate) fn bytes(&self) -> Option<&[u8; PAGE_SIZE]> {
        match self {
            Hand::Zeros => None,
            Hand::Bytes(bytes) => Some(bytes),
            Hand::Answer(answer) => answer.0.as_ref()?.payload().last_chunk(),
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

/// Memory for a [`Hand::Bytes`].
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn hand_buffer() -> Result<UniqueArc<PageBuffer>> {
    Ok(UniqueArc::new(page_buffer()?, GFP_KERNEL)?)
}
