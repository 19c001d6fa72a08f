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
use popcorn_core::directory::Answer;
use popcorn_core::directory::Entry;
use popcorn_core::directory::Keep;
use popcorn_core::directory::NodeSet;
use popcorn_core::directory::Receipt;
use popcorn_core::directory::Refusal;
use popcorn_core::directory::Step;
use popcorn_core::directory::Unexpected;
use popcorn_core::ids::NodeId;
use popcorn_core::interval::Interval;
use popcorn_core::proto;
use popcorn_kernel::current;
use popcorn_kernel::err_ratelimited;
use popcorn_kernel::errno;
use popcorn_kernel::hooks::Fault;
use popcorn_kernel::hooks::FaultResult;
use popcorn_kernel::mm::MmUser;
use popcorn_kernel::mm::Take;
use popcorn_kernel::mm::Taken;
use popcorn_kernel::task::sleep_us;

use crate::away::Report;
use crate::space::hand_buffer;
use crate::space::Directory;
use crate::space::Hand;
use crate::space::Page;
use crate::space::Space;

/// Attempts to take a page of our own before a request for it is put off.
const TAKE_ATTEMPTS: u32 = 50;
/// Attempts, a millisecond apart, to get memory for a page that came home before it is given up.
const INSTALL_ATTEMPTS: u32 = 10_000;
/// Between two attempts, in microseconds.
const PAUSE_US: u32 = 20;

/// How an operation ended, for this thread.
pub(crate) enum Ended {
    /// The page is as wanted, here.
    Done,
    /// The requester holds enough already.
    AlreadyGranted,
    /// Send this to the requester; its receipt ends the operation.
    Grant {
        /// Shared or exclusive.
        access: Access,
        /// What goes along, if anything does.
        hand: Option<Hand>,
    },
}

impl Directory {
    fn refuses(&self, node: NodeId, address: usize) -> bool {
        self.frozen.contains(address as u64) || self.dead.contains(node)
    }
}

impl Space {
    /// A remote wants a page. From a worker; may sleep, never for `mmap_lock`.
    ///
    /// # Errors
    ///
    /// `EAGAIN` to ask again; others: the remote cannot have it.
    pub(crate) fn serve(
        self: &Arc<Self>,
        node: NodeId,
        address: usize,
        access: Access,
    ) -> Result<Ended> {
        let user = self.mm.user().ok_or(ESRCH)?;
        let step = self.begin(node, address, access, true)?;
        Operation::new(self, &user, address).drive(step)
    }

    /// A remote that got a page reads (or writes) on: grants what lies behind it, as long as that is
    /// ours alone. From a worker.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ESRCH`: nothing was granted.
    pub(crate) fn serve_ahead(
        self: &Arc<Self>,
        node: NodeId,
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
            let Ok(keep) = self.begin_untouched(node, address, access) else {
                break;
            };
            let mut operation = Operation::new(self, &user, address);
            let answer = operation.take(keep, 2);
            match operation.answered(home, Ok(answer)) {
                Step::Grant {
                    to, access, data, ..
                } if to == node => {
                    let Ended::Grant { hand, .. } = operation.grant(access, data) else {
                        break;
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
        if lost || self.is_lost() && fault.is_missing() {
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
        let user = self.mm.user().ok_or(ESRCH)?;
        let home = popcorn_msg::this_node();
        if self.lift(&user, address) {
            return Ok(false);
        }
        let step = match self.begin(home, address, access, false) {
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
        match Operation::new(self, &user, address).drive(step)? {
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
            self.is_lost()
                || self
                    .directory
                    .lock()
                    .pages
                    .get(&(address as u64))
                    .map_or(true, |page| !page.entry.is_busy())
        })
    }

    fn begin(&self, node: NodeId, address: usize, access: Access, create: bool) -> Result<Step> {
        let key = address as u64;
        let mut spare = None;
        loop {
            let mut directory = self.directory.lock();
            let remote = node != popcorn_msg::this_node();
            if remote && directory.refuses(node, address) {
                return Err(EAGAIN);
            }
            if let Some(page) = directory.pages.get_mut(&key) {
                return match page.entry.begin(node, access) {
                    Ok(step) => {
                        page.driven = step != Step::AlreadyGranted;
                        Ok(step)
                    }
                    Err(Refusal::Busy) => Err(EAGAIN),
                    Err(Refusal::Lost) => Err(EFAULT),
                };
            }
            if !create {
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
                        driven: false,
                    };
                    spare = Some(RBTreeNode::new(key, page, GFP_KERNEL)?);
                }
            }
        }
    }

    /// As [`Self::begin`], for a page that no remote has touched: only we have to give it.
    fn begin_untouched(&self, node: NodeId, address: usize, access: Access) -> Result<Keep> {
        let mut entry = Entry::new(popcorn_msg::this_node());
        let Ok(Step::Gather {
            supplier: Some((_, keep)),
            ..
        }) = entry.begin(node, access)
        else {
            return Err(EIO);
        };
        let key = address as u64;
        let page = Page {
            entry,
            hand: None,
            driven: true,
        };
        let spare = RBTreeNode::new(key, page, GFP_KERNEL)?;
        let mut directory = self.directory.lock();
        if directory.refuses(node, address) || directory.pages.get(&key).is_some() {
            drop(directory);
            drop(spare);
            return Err(EAGAIN);
        }
        let replaced = directory.pages.insert(spare);
        drop(directory);
        drop(replaced);
        Ok(keep)
    }

    /// A remote says what became of a grant. From a worker.
    ///
    /// # Errors
    ///
    /// `EPROTO` if it had none.
    pub(crate) fn receipt(
        self: &Arc<Self>,
        node: NodeId,
        address: usize,
        receipt: Receipt,
    ) -> Result {
        let Some(user) = self.mm.user() else {
            return Ok(());
        };
        let (step, hand) = {
            let mut directory = self.directory.lock();
            let page = directory
                .pages
                .get_mut(&(address as u64))
                .ok_or(errno::protocol())?;
            if page.driven {
                return Err(errno::protocol());
            }
            let step = page
                .entry
                .receipt(node, receipt)
                .map_err(|Unexpected| errno::protocol())?;
            page.driven = true;
            (step, page.hand.take())
        };
        self.finish_step(&user, address, step, hand);
        Ok(())
    }

    fn finish_step(
        self: &Arc<Self>,
        user: &MmUser<'_>,
        address: usize,
        step: Step,
        hand: Option<Hand>,
    ) {
        let mut operation = Operation::new(self, user, address);
        operation.hand = hand;
        // What could be done was done; nobody waits for an answer.
        let _ = operation.drive(step);
    }

    /// A node died: what it held is lost, what it was to answer is answered. From a worker.
    pub fn node_lost(self: &Arc<Self>, node: NodeId) {
        {
            let mut directory = self.directory.lock();
            directory.dead = directory.dead.with(node);
        }
        let Some(user) = self.mm.user() else {
            return;
        };
        let mut from = 0;
        while let Some(key) = self.next_page(from, u64::MAX) {
            from = key + 1;
            let address = key as usize;
            // Whoever drives an operation learns of the death by its own message.
            let _ = self.changed.wait_killable(|| {
                self.directory
                    .lock()
                    .pages
                    .get(&key)
                    .map_or(true, |page| !page.driven)
            });
            let next = {
                let mut directory = self.directory.lock();
                match directory.pages.get_mut(&key) {
                    Some(page) if page.driven => {
                        // Somebody was faster.
                        from = key;
                        continue;
                    }
                    Some(page) => {
                        let step = page.entry.node_lost(node);
                        page.driven = step != Step::Wait;
                        let hand = if page.driven { page.hand.take() } else { None };
                        Some((step, hand))
                    }
                    None => None,
                }
            };
            match next {
                Some((step, hand)) if step != Step::Wait => {
                    self.finish_step(&user, address, step, hand)
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

    /// From now on requests of remotes for pages in `ranges`, which do not overlap, come again later.
    /// Waits, killable, while an overlapping range is frozen; and takes all at once, so that nobody
    /// waits for one while holding the other.
    ///
    /// # Errors
    ///
    /// `EINTR`.
    pub fn freeze(&self, ranges: [Option<Interval>; 2]) -> Result {
        self.changed.wait_killable(|| {
            let frozen = &mut self.directory.lock().frozen;
            for (index, range) in ranges.iter().enumerate() {
                let Some(range) = range else { continue };
                if frozen.insert(*range).is_err() {
                    for range in ranges[..index].iter().flatten() {
                        frozen.remove(*range);
                    }
                    return false;
                }
            }
            true
        })
    }

    /// The part of `range` around `address` that is not frozen; `None` if `address` is.
    pub fn unfrozen_around(&self, address: u64, range: Interval) -> Option<Interval> {
        self.directory
            .lock()
            .frozen
            .difference(range)
            .find(|part| part.contains(address))
    }

    /// Undoes [`Space::freeze`].
    pub fn unfreeze(&self, range: Interval) {
        self.directory.lock().frozen.remove(range);
        self.changed.wake_all();
    }

    /// Brings every page of a frozen range home: afterwards they are ordinary memory.
    ///
    /// # Errors
    ///
    /// `EINTR` when killed. May sleep; the caller holds no lock.
    pub fn recall(self: &Arc<Self>, range: Interval) -> Result {
        let user = self.mm.user().ok_or(ESRCH)?;
        let mut from = range.start() & !(proto::PAGE_SIZE as u64 - 1);
        while let Some(key) = self.next_page(from, range.end()) {
            if current::fatal_signal_pending() {
                return Err(EINTR);
            }
            let begun = {
                let mut directory = self.directory.lock();
                directory.pages.get_mut(&key).map(|page| {
                    let begun = page.entry.begin_recall();
                    page.driven |= matches!(begun, Ok(step) if step != Step::AlreadyGranted);
                    begun
                })
            };
            match begun {
                None => from = key + 1,
                Some(Err(Refusal::Busy)) => self.wait_idle(key as usize)?,
                Some(Err(Refusal::Lost)) if user.poison(key as usize) == Err(EAGAIN) => {
                    sleep_us(PAUSE_US);
                }
                Some(Err(Refusal::Lost)) | Some(Ok(Step::AlreadyGranted)) => {
                    self.drop_page(key);
                    from = key + 1;
                }
                Some(Ok(step)) => {
                    // A refusal (a pinned page, say) is tried again until it succeeds.
                    if Operation::new(self, &user, key as usize)
                        .drive(step)
                        .is_err()
                    {
                        sleep_us(PAUSE_US);
                    }
                }
            }
        }
        Ok(())
    }

    fn drop_page(&self, key: u64) {
        let node = self.directory.lock().pages.remove_node(&key);
        drop(node);
    }
}

/// An operation on one page, in the hands of the thread that drives it.
struct Operation<'a> {
    space: &'a Arc<Space>,
    user: &'a MmUser<'a>,
    address: usize,
    /// The content, once a holder gave it.
    hand: Option<Hand>,
    /// Why our own page cannot be taken.
    error: Option<Error>,
}

impl<'a> Operation<'a> {
    fn new(space: &'a Arc<Space>, user: &'a MmUser<'a>, address: usize) -> Self {
        Self {
            space,
            user,
            address,
            hand: None,
            error: None,
        }
    }

    /// Carries out one step after the other until the operation ends or a receipt is awaited.
    fn drive(mut self, mut step: Step) -> Result<Ended> {
        let home = popcorn_msg::this_node();
        loop {
            step = match step {
                Step::AlreadyGranted => return Ok(Ended::AlreadyGranted),
                Step::Gather {
                    supplier,
                    invalidate,
                } => self.gather(supplier, invalidate),
                Step::Grant { to, access, data } if to == home => self.install(access, data),
                Step::Grant { access, data, .. } => return Ok(self.grant(access, data)),
                Step::Done => {
                    self.finish();
                    return Ok(Ended::Done);
                }
                Step::Retry { .. } => {
                    self.finish();
                    // What our own memory refuses for good is an error; all else is tried again.
                    return Err(match self.error {
                        Some(error) if error == errno::not_supported() || error == EBUSY => error,
                        _ => EAGAIN,
                    });
                }
                Step::Fail { .. } => {
                    self.finish();
                    return Err(self.error.unwrap_or(EFAULT));
                }
                // Each answer that is outstanding was given by gather(); this cannot be.
                Step::Wait => {
                    err_ratelimited!("operation on page {:#x} has no end\n", self.address);
                    self.finish();
                    return Err(EIO);
                }
            }
        }
    }

    /// Advances the entry; the page exists, since its entry is busy.
    fn advance(&self, step: impl FnOnce(&mut Entry) -> Step) -> Step {
        let mut directory = self.space.directory.lock();
        match directory.pages.get_mut(&(self.address as u64)) {
            Some(page) => step(&mut page.entry),
            None => Step::Done,
        }
    }

    fn answered(&self, from: NodeId, answer: Result<Answer>) -> Step {
        let answer = match answer {
            // It died, or the process did there: the event comes to other pages, this one is told
            // here. So is what a peer does with a page whose answers make no sense.
            Err(error)
                if error == errno::host_down()
                    || error == errno::shutdown()
                    || error == errno::protocol()
                    || error == ESRCH
                    || error == EPERM =>
            {
                return self.advance(|entry| entry.node_lost(from));
            }
            // It still has what it had: there was no memory for the question, say.
            Err(_) => {
                sleep_us(PAUSE_US);
                Answer::Declined
            }
            Ok(answer) => answer,
        };
        self.advance(|entry| entry.answer(from, answer).unwrap_or(Step::Wait))
    }

    fn gather(&mut self, supplier: Option<(NodeId, Keep)>, invalidate: NodeSet) -> Step {
        let mut step = Step::Wait;
        for node in invalidate {
            let answer = self.space.invalidate_at(node, self.address);
            step = self.answered(node, answer);
        }
        if let Some((node, keep)) = supplier {
            let answer = if node == popcorn_msg::this_node() {
                Ok(self.take(keep, TAKE_ATTEMPTS))
            } else {
                match self.space.fetch_from(node, self.address, keep) {
                    Ok(Some(hand)) => {
                        self.hand = Some(hand);
                        Ok(Answer::Data)
                    }
                    Ok(None) => Ok(Answer::Missing),
                    Err(error) => Err(error),
                }
            };
            step = self.answered(node, answer);
        }
        step
    }

    /// Takes the origin's own page.
    fn take(&mut self, keep: Keep, attempts: u32) -> Answer {
        let take = match keep {
            Keep::ReadCopy => Take::Share,
            Keep::Nothing => Take::Mark,
        };
        // All memory before the page leaves us.
        let result = hand_buffer().and_then(|mut buffer| {
            for _ in 0..attempts {
                match self.user.take(self.address, take, Some(&mut **buffer)) {
                    Err(error) if error == EAGAIN => match self.user.fault_in(self.address) {
                        Err(error) if error == EAGAIN => sleep_us(PAUSE_US),
                        result => result?,
                    },
                    Ok(Taken::Bytes) => return Ok(Hand::Bytes(buffer.into())),
                    Ok(Taken::Zeros) => return Ok(Hand::Zeros),
                    // A marker, though the directory says that we have it: a lost page.
                    Ok(Taken::Nothing) => return Err(ENOENT),
                    Err(error) => return Err(error),
                }
            }
            Err(EAGAIN)
        });
        match result {
            Ok(hand) => {
                self.hand = Some(hand);
                Answer::Data
            }
            Err(error) => {
                self.error = Some(error);
                if error == EFAULT || error == ENOENT {
                    Answer::Missing
                } else {
                    Answer::Declined
                }
            }
        }
    }

    /// The page comes home: maps it here.
    fn install(&mut self, access: Access, data: bool) -> Step {
        let writable = access == Access::Write;
        let mut attempts = 0;
        let receipt = loop {
            let result = match (&self.hand, data) {
                (Some(Hand::Bytes(bytes)), true) => {
                    self.user.install(self.address, Some(&***bytes), writable)
                }
                (Some(Hand::Zeros), true) => self.user.install(self.address, None, writable),
                (None, true) => Err(ENOENT),
                (_, false) => self.user.upgrade(self.address),
            };
            match result {
                Ok(()) => break Receipt::Mapped,
                Err(error) if error == EEXIST => {
                    // A layout that changed behind our back; what is there is the process's.
                    err_ratelimited!("page {:#x} that came home is there already\n", self.address);
                    break Receipt::Mapped;
                }
                Err(error) if error == EAGAIN => sleep_us(PAUSE_US),
                Err(error) if error == ENOMEM && attempts < INSTALL_ATTEMPTS => {
                    attempts += 1;
                    sleep_us(PAUSE_US * 50);
                }
                // Unmapped meanwhile: nobody will miss it.
                Err(_) => break Receipt::Missing,
            }
        };
        let home = popcorn_msg::this_node();
        self.advance(|entry| entry.receipt(home, receipt).unwrap_or(Step::Wait))
    }

    /// The page goes to a remote; it stays in hand until the receipt.
    fn grant(&mut self, access: Access, data: bool) -> Ended {
        let hand = self.hand.take();
        let mut directory = self.space.directory.lock();
        if let Some(page) = directory.pages.get_mut(&(self.address as u64)) {
            page.hand = hand.clone();
            page.driven = false;
        }
        drop(directory);
        // The death of the requester may be what comes next.
        self.space.changed.wake_all();
        Ended::Grant {
            access,
            hand: if data { hand } else { None },
        }
    }

    /// The operation is over: a page that is wholly ours again needs no entry.
    fn finish(&mut self) {
        let key = self.address as u64;
        let node = {
            let mut directory = self.space.directory.lock();
            let local = directory.pages.get_mut(&key).map(|page| {
                // Once idle it may be in other hands already.
                page.driven &= page.entry.is_busy();
                page.entry.is_local()
            });
            if local == Some(true) {
                directory.pages.remove_node(&key)
            } else {
                None
            }
        };
        drop(node);
        self.space.changed.wake_all();
    }
}
