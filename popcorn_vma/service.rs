// SPDX-License-Identifier: GPL-2.0
//! The messages about layouts: see `popcorn_core::proto`. Handlers run in a worker.

use kernel::prelude::*;
use popcorn_core::ids::NodeId;
use popcorn_core::interval::Interval;
use popcorn_core::layout;
use popcorn_core::proto;
use popcorn_core::wire::Wire;
use popcorn_kernel::err_ratelimited;
use popcorn_kernel::errno;
use popcorn_kernel::mm::PAGE_SIZE;
use popcorn_msg::Handler;
use popcorn_msg::Registration;
use popcorn_msg::Request;
use popcorn_page::Role;

struct Service;

pub(crate) fn register() -> Result<Registration> {
    popcorn_msg::register(proto::LAYOUT_MESSAGES, &Service)
}

/// A remote asks about an address.
fn vma_request(request: &Request) -> Result<proto::VmaInfo> {
    let (message, _) = request.decode_prefix::<proto::VmaRequest>()?;
    let space = popcorn_page::find(message.space).ok_or(ESRCH)?;
    if space.role != Role::Origin || !space.nodes().contains(request.from()) {
        return Err(EPERM);
    }
    let user = space.mm.user().ok_or(ESRCH)?;
    // A change that begins after this has another version; one that is under way is seen.
    let version = *space.layout.lock();
    let frozen = |range| space.unfrozen_around(message.address, range).ok_or(EAGAIN);
    frozen(layout::everything().ok_or(EIO)?)?;
    let vma = user.vma(message.address as usize)?;
    let range = Interval::new(vma.start as u64, vma.end as u64).ok_or(EFAULT)?;
    let range = frozen(range)?;
    if *space.layout.lock() != version {
        return Err(EAGAIN);
    }
    Ok(proto::VmaInfo {
        start: range.start(),
        end: range.end(),
        protection: vma.protection as u64,
        version,
    })
}

/// The origin changes its layout.
fn unmap(request: &Request) -> Result {
    let (message, _) = request.decode_prefix::<proto::Unmap>()?;
    let space = popcorn_page::find(message.space).ok_or(ESRCH)?;
    if space.role != Role::Remote(request.from()) {
        return Err(EPERM);
    }
    let page = PAGE_SIZE as u64 - 1;
    if message.start >= message.end || (message.start | message.end) & page != 0 {
        return Err(errno::protocol());
    }
    let mut oldest = space.layout.lock();
    *oldest = (*oldest).max(message.version);
    if let Some(user) = space.mm.user() {
        user.unmap(message.start as usize, message.end as usize)?;
    }
    Ok(())
}

impl Handler for Service {
    fn request(&self, from: NodeId, request: Request) {
        let result = match request.kind() {
            proto::VmaRequest::TYPE => vma_request(&request).map(Some),
            proto::Unmap::TYPE => unmap(&request).map(|()| None),
            _ => Err(errno::protocol()),
        };
        // A reply that cannot be sent has nobody who waits for it.
        let _ = match result {
            Ok(Some(info)) => request.reply_with(&info, &[]),
            Ok(None) => request.reply(0, &[]),
            Err(error) => {
                if error == errno::protocol() || error == EPERM {
                    let kind = request.kind();
                    err_ratelimited!(
                        "message {:#x} of node {} refused: {:?}\n",
                        kind,
                        from,
                        error
                    );
                }
                request.reply_error(error)
            }
        };
    }
}
