// SPDX-License-Identifier: GPL-2.0
//! Answers of which some lies in pages: they come whole and in order, and between machines nobody copies what need not
//! be.

use super::node;
use super::statistics_tests::retries;
use super::tcp;
use super::two_nodes;
use super::TestNode;
use super::LONG_MS;
use super::OPTIONS;
use crate::parts::Part;
use crate::request::Request;
use crate::service::Handler;
use crate::tcp::Copied;

use kernel::prelude::*;
use kernel::sync::Arc;

use core::sync::atomic::Ordering;
use popcorn_core::ids::NodeId;
use popcorn_core::messages;
use popcorn_core::stream::Channel;
use popcorn_core::wire::Wire;
use popcorn_core::wire_message;
use popcorn_kernel::check;
use popcorn_kernel::kunit::Outcome;
use popcorn_kernel::pages::PageBuffer;

wire_message! {
    /// Asks for an answer.
    pub struct Ask = 0x5e0, request -> Given {
        /// Which of [`ANSWERS`].
        which: u32,
    }

    /// It, in the tail.
    pub struct Given = 0x5e1, response, tail 0..=65_000 {
        /// As asked.
        which: u32,
    }
}

/// Of an answer, so many bytes.
#[derive(Clone, Copy)]
enum Piece {
    Bytes(usize),
    Pages(usize),
}

use Piece::Bytes;
use Piece::Pages;

const PAGE: usize = 4096;
/// The first is one page.
const ANSWERS: [&[Piece]; 9] = [
    &[Pages(PAGE)],
    &[Pages(PAGE); 15],
    &[
        Bytes(100),
        Pages(2 * PAGE),
        Bytes(PAGE),
        Pages(PAGE),
        Bytes(3),
    ],
    &[Bytes(3000)],
    &[Bytes(2 * PAGE), Pages(PAGE)],
    &[Bytes(0), Pages(PAGE), Bytes(0), Bytes(7), Bytes(8000)],
    &[Bytes(10)],
    &[Bytes(60_000)],
    &[],
];
/// The parts that one may have, without the fields.
const PIECES_MAX: usize = 17;

fn length(which: usize) -> usize {
    ANSWERS[which]
        .iter()
        .map(|piece| match piece {
            Bytes(length) | Pages(length) => *length,
        })
        .sum()
}

/// What is at a place of an answer.
fn byte(which: usize, at: usize) -> u8 {
    (at * 31 + at / 251 + which) as u8
}

/// Gives them.
struct Gives;

impl Handler for Gives {
    fn request(&self, _from: NodeId, request: Request) {
        // What fails is answered when it is dropped.
        give(request).ok();
    }
}

fn give(request: Request) -> Result {
    let Ask { which } = request.decode()?;
    let pieces = ANSWERS.get(which as usize).ok_or(EINVAL)?;
    let mut bytes = KVVec::with_capacity(length(which as usize), GFP_KERNEL)?;
    for at in 0..length(which as usize) {
        bytes.push(byte(which as usize, at), GFP_KERNEL)?;
    }
    let mut buffers = KVec::new();
    let mut rest = &bytes[..];
    for piece in *pieces {
        match piece {
            Bytes(length) => rest = rest.get(*length..).ok_or(EINVAL)?,
            Pages(length) => {
                let (page, behind) = rest.split_at_checked(*length).ok_or(EINVAL)?;
                let mut buffer = PageBuffer::new(*length)?;
                buffer.writable().ok_or(EBUSY)?.copy_from_slice(page);
                buffers.push(Arc::new(buffer, GFP_KERNEL)?, GFP_KERNEL)?;
                rest = behind;
            }
        }
    }
    let mut parts = [Part::Bytes(&[]); PIECES_MAX];
    let mut at = 0;
    let mut pages = buffers.iter();
    for (part, piece) in parts.iter_mut().zip(*pieces) {
        match piece {
            Bytes(length) => {
                *part = Part::Bytes(bytes.get(at..at + length).ok_or(EINVAL)?);
                at += length;
            }
            Pages(length) => {
                *part = Part::Pages(pages.next().ok_or(EINVAL)?);
                at += length;
            }
        }
    }
    request.reply_with_pages(&Given { which }, &parts[..pieces.len()])
}

/// Asks node 1 for one, and looks at it.
fn ask(zero: &TestNode, which: usize) -> Outcome {
    let request = Ask {
        which: which as u32,
    };
    let response = zero.request(node(1), &request, &[], OPTIONS)?;
    let (given, tail) = response.decode_prefix::<Given>()?;
    check!(given.which as usize == which && tail.len() == length(which));
    let mut bytes = tail.iter().enumerate();
    check!(bytes.all(|(at, &found)| found == byte(which, at)));
    Ok(())
}

/// What is copied on the way from `of` to `peer`, or back, of what is long.
fn copied(of: &TestNode, peer: u64) -> Result<Copied> {
    let link = of.link(node(peer)).ok_or(ENODEV)?;
    Ok(link.transport().copied(Channel::Bulk))
}

/// In shared memory they are as others.
pub(super) fn in_shared_memory() -> Outcome {
    let (zero, one, _memory) = two_nodes()?;
    let _service = one.register(messages![Ask], &Gives)?;
    for which in 0..ANSWERS.len() {
        ask(&zero, which)?;
    }
    Ok(())
}

/// A page goes out as it is, and is received to its place, from the first on; so do many in one answer.
pub(super) fn without_a_copy() -> Outcome {
    const ROUNDS: u64 = 40;
    let (zero, one, _proxy) = tcp::two_nodes(9, LONG_MS)?;
    let _service = one.register(messages![Ask], &Gives)?;
    let mut bytes = 0;
    for which in [0, 1] {
        for _ in 0..ROUNDS {
            ask(&zero, which)?;
        }
        bytes += ROUNDS * length(which) as u64;
    }
    let fields = 2 * ROUNDS * Given::SIZE as u64;
    let sent = copied(&one, 0)?;
    check!(sent.kept == bytes && sent.copied == fields);
    let received = copied(&zero, 1)?;
    check!(received.placed == bytes + fields && received.read_ahead == 0);
    // Nobody has sent anything else that is long.
    check!(sent.placed == 0 && received.kept == 0 && received.copied == 0);

    // Among short ones some is copied, but not the second long one in a row; and all is right.
    for which in Iterator::chain(0..ANSWERS.len(), (0..ANSWERS.len()).rev()) {
        ask(&zero, which)?;
        ask(&zero, 0)?;
        let before = copied(&zero, 1)?;
        ask(&zero, 0)?;
        let after = copied(&zero, 1)?;
        check!(after.read_ahead == before.read_ahead);
        check!(after.placed == before.placed + (length(0) + Given::SIZE) as u64);
    }
    check!(retries(&one, 0)? == 0);
    Ok(())
}

/// The connections break in the middle of answers: what comes is what was given, from the same pages.
pub(super) fn again() -> Outcome {
    const CUTS: u32 = 20;
    let (zero, one, proxy) = tcp::two_nodes(10, LONG_MS)?;
    let _service = one.register(messages![Ask], &Gives)?;
    let faults = &proxy.faults;
    for cut in 0..CUTS {
        // At odd places of frames, each time another.
        let after = 1 + u64::from(cut) * 3701 % 9973;
        faults.cut_after.store(after, Ordering::SeqCst);
        for which in 0..ANSWERS.len() {
            ask(&zero, which)?;
        }
    }
    check!(faults.cuts.load(Ordering::SeqCst) == CUTS);
    check!(retries(&one, 0)? != 0);
    Ok(())
}
