// SPDX-License-Identifier: GPL-2.0
//! The side of a remote: asks the origin for pages, and gives them back when told to.

use core::sync::atomic::Ordering;

use kernel::prelude::*;
use kernel::sync::Arc;
use popcorn_core::ids::NodeId;
use popcorn_core::proto;
use popcorn_core::proto::Content;
use popcorn_core::proto::Outcome;
use popcorn_kernel::errno;
use popcorn_kernel::hooks::Fault;
use popcorn_kernel::hooks::FaultResult;
use popcorn_kernel::mm::MmUser;
use popcorn_kernel::mm::Take;
use popcorn_kernel::mm::Taken;
use popcorn_kernel::mm::PAGE_SIZE;
use popcorn_kernel::pages::PageBuffer;
use popcorn_kernel::task::sleep_us;
use popcorn_msg::Called;
use popcorn_msg::Outstanding;

use crate::hand::Blank;
use crate::space::later;
use crate::space::LeftPlaces;
use crate::space::Role;
use crate::space::Space;
use crate::talk;

/// Attempts to take a page that is swapped out or locked before the origin is put off.
const TAKE_ATTEMPTS: u32 = 200;
/// Between two attempts, in microseconds.
const PAUSE_US: u32 = 20;

/// What a fault did, for the thread's statistics and for what it does next.
pub struct Report {
    /// For the kernel.
    pub result: FaultResult,
    /// Pages of data that came to this node.
    pub pages: u64,
    /// Answers without data.
    pub grants: u64,
    /// The access cannot be served on this node, only at home: the page, and why.
    pub unservable: Option<(u64, Error)>,
}

impl Report {
    pub(crate) fn new(result: FaultResult) -> Self {
        Self {
            result,
            pages: 0,
            grants: 0,
            unservable: None,
        }
    }
}

impl Space {
    /// A fault in this space, of a thread on this node.
    pub fn fault(self: &Arc<Self>, fault: Fault<'_>) -> Report {
        match self.role {
            Role::Origin => self.fault_at_home(fault),
            Role::Remote(origin) => self.fault_away(origin, fault),
        }
    }

    fn fault_away(self: &Arc<Self>, origin: NodeId, fault: Fault<'_>) -> Report {
        let address = fault.address();
        let write = fault.is_write();
        let unlocked = match fault.unlock() {
            Ok(unlocked) => unlocked,
            Err(result) => return Report::new(result),
        };
        match self.request(origin, address, write) {
            Ok(brought) => Report {
                pages: brought,
                grants: u64::from(brought == 0),
                ..Report::new(FaultResult::Retry(unlocked))
            },
            Err(error) if error == EAGAIN => {
                sleep_us(PAUSE_US);
                // By way of user mode: the thread may be wanted at home meanwhile.
                Report::new(FaultResult::Completed(unlocked))
            }
            Err(error) => Report {
                unservable: Some((address as u64, error)),
                ..Report::new(FaultResult::Completed(unlocked))
            },
        }
    }

    /// Asks for a page and maps it, and what comes with it. How many pages of data came.
    fn request(self: &Arc<Self>, origin: NodeId, address: usize, write: bool) -> Result<u64> {
        let user = self.mm.user().ok_or(ESRCH)?;
        let ahead = self.streams.ahead(address);
        let message = proto::PageRequest {
            space: self.id,
            address: address as u64,
            write: u16::from(write),
            ahead: ahead as u16,
            ticket: self.tickets.fetch_add(1, Ordering::Relaxed),
        };
        let answered = match talk::call_or_leave(origin, &message, true, talk::NO_LIMIT) {
            Ok(Called::Answered(response)) => Ok(response),
            Ok(Called::Left(error, outstanding)) => {
                self.leave(origin, Some(outstanding), unread(&message));
                Err(error)
            }
            Err(error) => Err(error),
        };
        let granted = match &answered {
            Ok(response) => response.decode_prefix::<proto::Grant>(),
            Err(error) => Err(*error),
        };
        let (grant, bytes) = match granted {
            Ok(granted) => granted,
            Err(error) => {
                if may_hide_grant(error) {
                    self.acknowledge(origin, unread(&message))?;
                }
                return Err(error);
            }
        };
        let exclusive = grant.exclusive != 0;
        let mut pages = Pages(bytes);
        if grant.acknowledge == 0 {
            // We hold enough: another thread has got it, and mapped it as it shall be.
            return Ok(0);
        }
        let first = pages.next(grant.content);
        let result = first.and_then(|first| map(&user, address, first, exclusive));
        let outcome = match result {
            Ok(()) => Outcome::Mapped,
            Err(error) if error == ENOENT => Outcome::Missing,
            Err(_) => Outcome::Refused,
        };
        let mut came = u64::from(matches!(first, Ok(Some(Some(_)))));
        let mut mapped = 0;
        let granted = (grant.ahead as usize).min(ahead);
        for (index, kind) in grant.contents.iter().take(granted).enumerate() {
            let at = address + (index + 1) * PAGE_SIZE;
            // What is not to be understood or has no place is refused, and goes back.
            let Ok(content @ Some(bytes)) = pages.next(u32::from(*kind)) else {
                break;
            };
            if map(&user, at, content, exclusive).is_ok() {
                mapped |= 1 << index;
                came += u64::from(bytes.is_some());
            }
        }
        self.streams.granted(address, granted, ahead);
        let receipt = proto::Mapped {
            space: self.id,
            address: address as u64,
            outcome: outcome as u32,
            ahead: grant.ahead,
            mapped,
            ticket: message.ticket,
        };
        self.acknowledge(origin, receipt)?;
        match result {
            Ok(()) => Ok(came),
            // What another attempt will not change.
            Err(error) if error == ENOMEM || error == errno::protocol() => Err(error),
            Err(_) => Err(EAGAIN),
        }
    }

    /// Tells the origin what became of a grant.
    fn acknowledge(self: &Arc<Self>, origin: NodeId, receipt: proto::Mapped) -> Result {
        let posted = talk::post(origin, &receipt, &[]);
        if posted == Err(EINTR) {
            self.leave(origin, None, receipt);
        }
        posted
    }

    /// The thread is killed, and all of its process that is here with it, of which the origin hears. But if it looked
    /// at another process, as a debugger does, that goes on: a worker gives the receipt, after the answer if that is
    /// yet to come.
    fn leave(
        self: &Arc<Self>,
        origin: NodeId,
        answer: Option<Outstanding>,
        receipt: proto::Mapped,
    ) {
        if self.mm.is_current() {
            return;
        }
        let places = LeftPlaces::find(1);
        let is_left = places.is_some();
        let space = self.clone();
        let work = move || {
            let _places = places;
            // As long as there is one the queue stays that this is done from.
            let _space = space;
            // Nobody maps what the answer may have brought.
            match answer.map(Outstanding::wait) {
                Some(Err(error)) if !may_hide_grant(error) => (),
                // If this fails, the origin is gone.
                _ => drop(talk::post_last(origin, &receipt)),
            }
        };
        if is_left {
            later(work);
        } else {
            work();
        }
    }

    /// The origin wants a page; `None`: it is not here. From a worker.
    ///
    /// # Errors
    ///
    /// `EAGAIN` to be asked again.
    pub(crate) fn give(&self, address: usize, keep: bool) -> Result<Option<Given>> {
        let take = if keep { Take::Share } else { Take::Drop };
        let mut buffer = Blank::new()?;
        let taken = self.take_away(address, take, Some(buffer.page()?))?;
        Ok(match taken {
            Taken::Bytes => Some(Given::Bytes(buffer.into_pages())),
            Taken::Zeros => Some(Given::Zeros),
            Taken::Nothing => None,
        })
    }

    /// The origin takes a copy back. From a worker.
    ///
    /// # Errors
    ///
    /// `EAGAIN` to be asked again.
    pub(crate) fn drop_copy(&self, address: usize) -> Result {
        self.take_away(address, Take::Drop, None).map(|_| ())
    }

    fn take_away(
        &self,
        address: usize,
        take: Take,
        mut buffer: Option<&mut [u8; PAGE_SIZE]>,
    ) -> Result<Taken> {
        let Some(user) = self.mm.user() else {
            // The address space is being torn down, and its pages with it.
            return Ok(Taken::Nothing);
        };
        for _ in 0..TAKE_ATTEMPTS {
            match user.take(address, take, buffer.as_deref_mut()) {
                // Busy, or swapped out.
                Err(error) if error == EAGAIN => {
                    if user.fault_in(address).is_err() {
                        sleep_us(PAUSE_US);
                    }
                }
                Err(error) if error == EFAULT => return Ok(Taken::Nothing),
                Err(_) => return Err(EAGAIN),
                taken => return taken,
            }
        }
        Err(EAGAIN)
    }
}

/// What [`Space::give`] gives.
pub(crate) enum Given {
    /// Zeros.
    Zeros,
    /// These bytes, a page.
    Bytes(Arc<PageBuffer>),
}

/// The pages that follow a message, one after the other.
struct Pages<'a>(&'a [u8]);

impl<'a> Pages<'a> {
    /// The next one, of which the peer said `kind`.
    fn next(&mut self, kind: u32) -> Result<Option<Option<&'a [u8; PAGE_SIZE]>>> {
        let length = if kind == Content::Bytes as u32 {
            PAGE_SIZE
        } else {
            0
        };
        let page = self.0.get(..length).ok_or(errno::protocol())?;
        self.0 = self.0.get(length..).unwrap_or(&[]);
        content(kind, page)
    }
}

/// Checks what a peer says of a page: `None` nothing comes, `Some(None)` zeros.
pub(crate) fn content(kind: u32, bytes: &[u8]) -> Result<Option<Option<&[u8; PAGE_SIZE]>>> {
    match (Content::new(kind), bytes.len()) {
        (Some(Content::Nothing), 0) => Ok(None),
        (Some(Content::Zeros), 0) => Ok(Some(None)),
        (Some(Content::Bytes), PAGE_SIZE) => {
            Ok(Some(Some(bytes.try_into().map_err(|_| errno::protocol())?)))
        }
        _ => Err(errno::protocol()),
    }
}

/// Whether a grant may have been under way though this is what came of the question for it: the origin could not send
/// the answer (`EIO`), or it makes no sense. After any other error there is none; for who is killed see
/// [`Space::leave`].
fn may_hide_grant(error: Error) -> bool {
    [EIO, errno::protocol()].contains(&error)
}

/// The receipt of whatever was granted in an answer that nobody can read: the pages would be busy for ever.
fn unread(request: &proto::PageRequest) -> proto::Mapped {
    proto::Mapped {
        space: request.space,
        address: request.address,
        outcome: Outcome::Unread as u32,
        ahead: u32::from(request.ahead),
        mapped: 0,
        ticket: request.ticket,
    }
}

fn map(
    user: &MmUser<'_>,
    address: usize,
    content: Option<Option<&[u8; PAGE_SIZE]>>,
    exclusive: bool,
) -> Result {
    loop {
        let result = match content {
            Some(bytes) => user.install(address, bytes, exclusive),
            None => user.upgrade(address),
        };
        match result {
            Err(error) if error == EAGAIN => sleep_us(PAUSE_US),
            result => return result,
        }
    }
}
