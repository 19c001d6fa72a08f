// SPDX-License-Identifier: GPL-2.0
//! The origin's side: the directory decides (`popcorn_core::directory`), this carries it out.
//!
//! An operation on a page is driven by one thread at a time: the thread that faulted, or a worker
//! that got a request or a receipt. While a grant to a remote is under way nobody drives it; the
//! receipt goes on. The directory's lock is held for one step of an entry, never across a message.

use kernel::prelude::*;
use kernel::rbtree::RBTreeNode;
use kernel::sync::Arc;
use popcorn_core::directory::Access;
use popcorn_core::directory::Entry;
use popcorn_core::directory::Keep;
use popcorn_core::directory::NodeSet;
use popcorn_core::directory::Receipt;
use popcorn_core::directory::Refusal;
use popcorn_core::directory::Step;
use popcorn_core::directory::Unexpected;
use popcorn_core::ids::NodeId;
use popcorn_core::proto;
use popcorn_kernel::errno;
use popcorn_kernel::hooks::Fault;
use popcorn_kernel::hooks::FaultResult;
use popcorn_kernel::mm::MmUser;
use popcorn_msg::Request;

use crate::away::Report;
use crate::hand::Hand;
use crate::space::Directory;
use crate::space::Page;
use crate::space::Space;
use crate::waiting::too_many;
use crate::waiting::Granted;

mod operation;
mod parting;
mod recall;

pub(crate) use operation::Ended;
use operation::Operation;

impl Directory {
    /// Whether a remote must ask again. What is begun for a life that has ended might never be told so
    /// ([`Request::is_live`]).
    fn refuses(&self, request: &Request, address: usize) -> bool {
        self.frozen.contains(address as u64)
            || self.dead.contains(request.from())
            || !request.is_live()
    }
}

impl Space {
    /// A remote wants a page; its receipt will have this ticket. From a worker; may sleep, never for `mmap_lock`.
    ///
    /// # Errors
    ///
    /// `EAGAIN` to ask again; [`too_many`]: after a while; `ESRCH`: it has ended; others: the remote cannot have it.
    pub(crate) fn serve(
        self: &Arc<Self>,
        request: &Request,
        ticket: u32,
        address: usize,
        access: Access,
    ) -> Result<Ended> {
        let granted = Granted::begin(request.from()).ok_or_else(too_many)?;
        let step = self.begin(Some(request), address, access)?;
        Operation::new(self, address)
            .for_request(ticket, granted)
            .drive(step)
    }

    /// A remote that got a page reads (or writes) on: grants what lies behind it, as long as that is
    /// ours alone. From a worker.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ESRCH`: nothing was granted.
    pub(crate) fn serve_ahead(
        self: &Arc<Self>,
        request: &Request,
        ticket: u32,
        address: usize,
        access: Access,
        count: usize,
    ) -> Result<KVec<Hand>> {
        let home = popcorn_msg::this_node();
        let user = self.mm.user().ok_or(ESRCH)?;
        let mut hands = KVec::with_capacity(count, GFP_KERNEL)?;
        for index in 1..=count {
            let Some(address) = address.checked_add(index * proto::PAGE_SIZE) else {
                break;
            };
            let Some(granted) = Granted::begin_ahead(request.from()) else {
                break;
            };
            let Ok(keep) = self.begin_untouched(request, address, access) else {
                break;
            };
            let mut operation = Operation::new(self, address).for_request(ticket, granted);
            let answer = operation.take(&user, keep, 2);
            match operation.answered(home, Ok(answer)) {
                Step::Grant { to, data, .. } if to == request.from() => {
                    let hand = match operation.grant(data) {
                        Ok(hand) => hand,
                        // It is dead.
                        Err(step) => {
                            let _ = operation.drive(step);
                            break;
                        }
                    };
                    // There is room; a grant always brings its content.
                    hands.push(hand.unwrap_or(Hand::Zeros), GFP_KERNEL)?;
                }
                step => {
                    // It stays with us, which was not asked for.
                    let _ = operation.drive(step);
                    break;
                }
            }
        }
        Ok(hands)
    }

    /// A thread of the origin faulted.
    pub(crate) fn fault_at_home(self: &Arc<Self>, fault: Fault<'_>) -> Report {
        let address = fault.address();
        let access = if fault.is_write() {
            Access::Write
        } else {
            Access::Read
        };
        // Once the lock is released the fault can only be tried again, so look first.
        let lost = self
            .directory
            .lock()
            .pages
            .get(&(address as u64))
            .is_some_and(|page| page.entry.is_lost());
        if lost {
            return Report::new(FaultResult::Bus);
        }
        let unlocked = match fault.unlock() {
            Ok(unlocked) => unlocked,
            Err(result) => return Report::new(result),
        };
        // An error is found again by the access that is tried again.
        let brought = self.bring_home(address, access).unwrap_or(false);
        Report {
            pages: u64::from(brought),
            ..Report::new(FaultResult::Retry(unlocked))
        }
    }

    /// Makes a page accessible here. Whether data came.
    fn bring_home(self: &Arc<Self>, address: usize, access: Access) -> Result<bool> {
        let is_ours = {
            let user = self.mm.user().ok_or(ESRCH)?;
            self.lift(&user, address)
        };
        if is_ours {
            return Ok(false);
        }
        let step = match self.begin(None, address, access) {
            Err(error) if error == EAGAIN => return self.wait_idle(address).map(|()| false),
            step => step?,
        };
        let fetches = matches!(
            step,
            Step::Gather {
                supplier: Some(_),
                ..
            }
        );
        match Operation::new(self, address).drive(step)? {
            Ended::Done => Ok(fetches),
            _ => Ok(false),
        }
    }

    /// If a page is wholly ours: home since it was looked up, or protected without need. Then the
    /// protection that is left over is lifted, under the directory's lock, so that nobody can begin
    /// to share the page meanwhile. Whether it is ours.
    fn lift(&self, user: &MmUser<'_>, address: usize) -> bool {
        let directory = self.directory.lock();
        let shared = directory
            .pages
            .get(&(address as u64))
            .is_some_and(|page| !page.entry.is_local());
        if !shared && user.upgrade(address) == Err(ENOENT) {
            // If a marker is there nobody has the page. What is busy is found by the next access.
            let _ = user.poison(address);
        }
        !shared
    }

    /// Waits until no operation runs on a page; killable.
    fn wait_idle(&self, address: usize) -> Result {
        self.changed.wait_killable(|| {
            self.directory
                .lock()
                .pages
                .get(&(address as u64))
                .is_none_or(|page| !page.entry.is_busy())
        })
    }

    /// Begins an operation for whom the request is of; without one for us, who need nothing for a page that is in
    /// no entry.
    fn begin(&self, request: Option<&Request>, address: usize, access: Access) -> Result<Step> {
        let node = request.map_or(popcorn_msg::this_node(), Request::from);
        let key = address as u64;
        let mut spare = None;
        loop {
            let mut directory = self.directory.lock();
            if request.is_some_and(|request| directory.refuses(request, address)) {
                return Err(EAGAIN);
            }
            if let Some(page) = directory.pages.get_mut(&key) {
                if !page.entry.is_busy() {
                    // Of an idle page that is all there is to be done.
                    let _ = page.apply_losses();
                }
                return match page.entry.begin(node, access) {
                    Ok(step) => {
                        page.driven = step != Step::AlreadyGranted;
                        Ok(step)
                    }
                    Err(Refusal::Busy) => Err(EAGAIN),
                    Err(Refusal::Lost) => Err(EFAULT),
                };
            }
            if request.is_none() {
                return Err(EAGAIN);
            }
            match spare.take() {
                Some(node) => {
                    let replaced = directory.pages.insert(node);
                    drop(directory);
                    drop(replaced);
                }
                None => {
                    drop(directory);
                    let page = Page {
                        entry: Entry::new(popcorn_msg::this_node()),
                        hand: None,
                        granted: None,
                        driven: false,
                        ticket: 0,
                        lost: NodeSet::EMPTY,
                    };
                    spare = Some(RBTreeNode::new(key, page, GFP_KERNEL)?);
                }
            }
        }
    }

    /// As [`Self::begin`], for a page that no remote has touched: only we have to give it.
    fn begin_untouched(&self, request: &Request, address: usize, access: Access) -> Result<Keep> {
        let mut entry = Entry::new(popcorn_msg::this_node());
        let Ok(Step::Gather {
            supplier: Some((_, keep)),
            ..
        }) = entry.begin(request.from(), access)
        else {
            return Err(EIO);
        };
        let key = address as u64;
        let page = Page {
            entry,
            hand: None,
            granted: None,
            driven: true,
            ticket: 0,
            lost: NodeSet::EMPTY,
        };
        let spare = RBTreeNode::new(key, page, GFP_KERNEL)?;
        let mut directory = self.directory.lock();
        if directory.refuses(request, address) || directory.pages.get(&key).is_some() {
            drop(directory);
            drop(spare);
            return Err(EAGAIN);
        }
        let replaced = directory.pages.insert(spare);
        drop(directory);
        drop(replaced);
        Ok(keep)
    }

    /// A remote says what became of a grant; of one to an earlier life of it that is nothing any more. From a worker.
    ///
    /// # Errors
    ///
    /// `EPROTO` if it had none with this ticket.
    pub(crate) fn receipt(
        self: &Arc<Self>,
        request: &Request,
        ticket: u32,
        address: usize,
        receipt: Receipt,
    ) -> Result {
        let (step, hand) = {
            let mut directory = self.directory.lock();
            if !request.is_live() {
                return Ok(());
            }
            let Some(page) = directory.pages.get_mut(&(address as u64)) else {
                drop(directory);
                // The directory ends with the memory.
                return match self.mm.user() {
                    Some(_) => Err(errno::protocol()),
                    None => Ok(()),
                };
            };
            if page.driven || page.ticket != ticket {
                return Err(errno::protocol());
            }
            let step = page
                .entry
                .receipt(request.from(), receipt)
                .map_err(|Unexpected| errno::protocol())?;
            page.driven = true;
            page.granted = None;
            (step, page.hand.take())
        };
        self.finish_step(address, step, hand);
        Ok(())
    }

    fn finish_step(self: &Arc<Self>, address: usize, step: Step, hand: Option<Hand>) {
        let mut operation = Operation::new(self, address);
        operation.hand = hand;
        // What could be done was done; nobody waits for an answer.
        let _ = operation.drive(step);
    }

    /// A node died: what it held is lost, what it was to answer is answered. From a worker; waits for no
    /// message, since nobody hears of another death meanwhile. Who drives an operation may wait for yet
    /// another node: he does this for his page when he is done ([`Page::lost`]), and nobody begins anything
    /// else with that page before. Thus the node may ask again as soon as this has returned.
    pub fn node_lost(self: &Arc<Self>, node: NodeId) {
        {
            let mut directory = self.directory.lock();
            directory.dead = directory.dead.with(node);
        }
        if self.mm.user().is_none() {
            return;
        }
        let mut from = 0;
        while let Some(key) = self.next_page(from, u64::MAX) {
            from = key + 1;
            let next = {
                let mut directory = self.directory.lock();
                match directory.pages.get_mut(&key) {
                    Some(page) if page.driven => {
                        page.lost = page.lost.with(node);
                        None
                    }
                    Some(page) => {
                        let step = page.entry.node_lost(node);
                        page.driven = step != Step::Wait;
                        let hand = if page.driven {
                            page.granted = None;
                            page.hand.take()
                        } else {
                            None
                        };
                        Some((step, hand))
                    }
                    None => None,
                }
            };
            match next {
                Some((step, hand)) if step != Step::Wait => {
                    self.finish_step(key as usize, step, hand)
                }
                _ => self.changed.wake_all(),
            }
        }
    }

    /// A node is there again, and nothing of its former life is left to be done: it may ask.
    pub(crate) fn node_returned(&self, node: NodeId) {
        let mut directory = self.directory.lock();
        directory.dead = directory.dead.without(node);
    }

    fn next_page(&self, from: u64, end: u64) -> Option<u64> {
        let mut directory = self.directory.lock();
        let cursor = directory.pages.cursor_lower_bound(&from)?;
        let key = *cursor.current().0;
        (key < end).then_some(key)
    }
}
