// SPDX-License-Identifier: GPL-2.0
//! A remote learns what is mapped at an address.

use kernel::prelude::*;
use popcorn_core::proto;
use popcorn_kernel::current;
use popcorn_kernel::errno;
use popcorn_kernel::mm::PAGE_SIZE;
use popcorn_kernel::task::sleep_us;
use popcorn_page::talk;
use popcorn_page::Space;

/// Between two attempts while the layout changes, in microseconds.
const PAUSE_US: u32 = 50;

/// Maps, in the current task's address space, what the origin has at `address`. Killable.
///
/// # Errors
///
/// `EFAULT` the origin has nothing there; `EOPNOTSUPP` it cannot be spread; `EINTR`, `ENOMEM`,
/// and what a lost origin gives.
pub fn fetch(space: &Space, address: u64) -> Result {
    let user = space.mm.user().ok_or(ESRCH)?;
    let message = proto::VmaRequest {
        space: space.id,
        address: address & !(PAGE_SIZE as u64 - 1),
    };
    loop {
        let response = match talk::call(space.origin(), &message, &[]) {
            Err(error) if error == EAGAIN => {
                pause()?;
                continue;
            }
            response => response?,
        };
        let (info, _) = response.decode_prefix::<proto::VmaInfo>()?;
        if info.start > message.address || info.end <= message.address {
            return Err(errno::protocol());
        }
        let oldest = space.layout.lock();
        if info.version < *oldest {
            drop(oldest);
            pause()?;
            continue;
        }
        return user.map(
            info.start as usize,
            info.end as usize,
            info.protection as usize,
        );
    }
}

/// Before asking again.
fn pause() -> Result {
    if current::fatal_signal_pending() {
        return Err(EINTR);
    }
    sleep_us(PAUSE_US);
    Ok(())
}
