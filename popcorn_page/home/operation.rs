// SPDX-License-Identifier: GPL-2.0
//! An operation on one page: carries out what the directory decided, step by step.

use kernel::prelude::*;
use kernel::sync::Arc;
use popcorn_core::directory::Access;
use popcorn_core::directory::Answer;
use popcorn_core::directory::Entry;
use popcorn_core::directory::Keep;
use popcorn_core::directory::NodeSet;
use popcorn_core::directory::Receipt;
use popcorn_core::directory::Step;
use popcorn_core::ids::NodeId;
use popcorn_kernel::err_ratelimited;
use popcorn_kernel::errno;
use popcorn_kernel::mm::MmUser;
use popcorn_kernel::mm::Take;
use popcorn_kernel::mm::Taken;
use popcorn_kernel::task::sleep_us;

use crate::hand::Blank;
use crate::hand::Hand;
use crate::service::is_killable;
use crate::service::Invalidated;
use crate::space::later;
use crate::space::Space;
use crate::talk;
use crate::waiting::too_many;
use crate::waiting::Asked;
use crate::waiting::Granted;

/// Attempts to take a page of our own before a request for it is put off.
const TAKE_ATTEMPTS: u32 = 50;
/// Attempts, a millisecond apart, to get memory for a page that came home before it is given up.
const INSTALL_ATTEMPTS: u32 = 10_000;
/// Between two attempts, in microseconds.
pub(super) const PAUSE_US: u32 = 20;

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

/// What counts a worker that asks `holders`; `None`: there are too many. Others can be killed, and are not counted.
fn asked(holders: NodeSet) -> Option<Asked> {
    let counted = match is_killable() {
        true => NodeSet::EMPTY,
        false => holders,
    };
    Asked::begin(counted)
}

/// An operation on one page, in the hands of the thread that drives it. Between its steps, and while it waits for
/// other nodes, it keeps no address space from its end: a process that is killed ends, whoever does not answer.
pub(super) struct Operation<'a> {
    space: &'a Arc<Space>,
    address: usize,
    /// The content, once a holder gave it.
    pub(super) hand: Option<Hand>,
    /// Why our own page cannot be taken, or holders cannot be asked.
    error: Option<Error>,
    /// How long to wait for holders before a worker does, in milliseconds.
    patience_ms: u32,
    /// Of the remote's request that it answers.
    ticket: u32,
    /// Counts the page that goes to that remote.
    granted: Option<Granted>,
}

impl<'a> Operation<'a> {
    pub(super) fn new(space: &'a Arc<Space>, address: usize) -> Self {
        Self {
            space,
            address,
            hand: None,
            error: None,
            patience_ms: talk::NO_LIMIT,
            ticket: 0,
            granted: None,
        }
    }

    /// It answers the request of a remote with this ticket; `granted` counts the page for that.
    pub(super) fn for_request(self, ticket: u32, granted: Granted) -> Self {
        Self {
            ticket,
            granted: Some(granted),
            ..self
        }
    }

    /// If holders have not answered after `patience_ms`, a worker waits instead.
    pub(super) fn with_patience(self, patience_ms: u32) -> Self {
        Self {
            patience_ms,
            ..self
        }
    }

    /// Carries out one step after the other until the operation ends or a receipt is awaited.
    ///
    /// # Errors
    ///
    /// `EINTR`: killed, or out of patience, and a worker goes on. `ESRCH`: the address space has ended, and its pages
    /// with it; nobody looks at the entry any more. Others: the operation has ended without a grant.
    pub(super) fn drive(mut self, mut step: Step) -> Result<Ended> {
        let home = popcorn_msg::this_node();
        loop {
            step = match step {
                Step::AlreadyGranted => return Ok(Ended::AlreadyGranted),
                Step::Gather {
                    supplier,
                    invalidate,
                } => self.gather(supplier, invalidate)?,
                Step::Grant { to, access, data } if to == home => self.install(access, data)?,
                Step::Grant { access, data, .. } => match self.grant(data) {
                    Ok(hand) => return Ok(Ended::Grant { access, hand }),
                    Err(step) => step,
                },
                Step::Done => {
                    self.finish();
                    return Ok(Ended::Done);
                }
                Step::Retry { .. } => {
                    self.finish();
                    // What our own memory refuses for good is an error; all else is tried again, some of it later.
                    let said = [errno::not_supported(), EBUSY, too_many()];
                    let error = self.error.filter(|error| said.contains(error));
                    return Err(error.unwrap_or(EAGAIN));
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

    /// Advances the entry; the page exists, since its entry is busy, or the space has ended.
    fn advance(&self, step: impl FnOnce(&mut Entry) -> Step) -> Step {
        let mut directory = self.space.directory.lock();
        match directory.pages.get_mut(&(self.address as u64)) {
            Some(page) => step(&mut page.entry),
            None => Step::Done,
        }
    }

    pub(super) fn answered(&self, from: NodeId, answer: Result<Answer>) -> Step {
        let answer = match answer {
            // The event comes to other pages, this one is told here.
            Err(error) if talk::is_gone(error) => {
                return self.advance(|entry| entry.node_lost(from));
            }
            Err(_) => {
                sleep_us(PAUSE_US);
                Answer::Declined
            }
            Ok(answer) => answer,
        };
        self.advance(|entry| entry.answer(from, answer).unwrap_or(Step::Wait))
    }

    /// What sharers answer to the question to drop their copies.
    fn invalidated(&self, invalidated: &Invalidated) -> Step {
        let mut step = Step::Wait;
        for (node, answer) in invalidated.answers() {
            // Only after the last the entry says what is next.
            step = self.answered(node, answer);
        }
        step
    }

    /// Asks the holders: first all that drop their copies, at once, then who supplies the page.
    ///
    /// # Errors
    ///
    /// `EINTR`: killed, or out of patience, and a worker goes on. `ESRCH`: the address space has ended.
    fn gather(&mut self, supplier: Option<(NodeId, Keep)>, invalidate: NodeSet) -> Result<Step> {
        let home = popcorn_msg::this_node();
        let all = supplier.map_or(invalidate, |(node, _)| invalidate.with(node));
        let Some(_asked) = asked(all.without(home)) else {
            return Ok(self.decline(all));
        };
        let mut step = Step::Wait;
        if !invalidate.is_empty() {
            let asked = self
                .space
                .invalidate_at(invalidate, self.address, self.patience_ms);
            match asked {
                Ok(invalidated) => step = self.invalidated(&invalidated),
                Err(left) => {
                    let wait = move || left.wait();
                    self.leave(wait, move |operation, invalidated| {
                        let step = operation.invalidated(&invalidated);
                        match supplier {
                            Some(_) => Step::Gather {
                                supplier,
                                invalidate: NodeSet::EMPTY,
                            },
                            None => step,
                        }
                    });
                    return Err(EINTR);
                }
            }
        }
        if let Some((node, keep)) = supplier {
            let answer = if node == home {
                let user = self.space.mm.user().ok_or(ESRCH)?;
                Ok(self.take(&user, keep, TAKE_ATTEMPTS))
            } else {
                let asked = self
                    .space
                    .fetch_from(node, self.address, keep, self.patience_ms);
                match asked {
                    Ok((answer, hand)) => {
                        self.hand = hand;
                        answer
                    }
                    Err(left) => {
                        let wait = move || left.wait();
                        self.leave(wait, move |operation, (answer, hand)| {
                            operation.hand = hand;
                            operation.answered(node, answer)
                        });
                        return Err(EINTR);
                    }
                }
            };
            step = self.answered(node, answer);
        }
        Ok(step)
    }

    /// Asks nobody, since too many wait for one of the holders: all have what they had.
    fn decline(&mut self, holders: NodeSet) -> Step {
        self.error = Some(too_many());
        sleep_us(PAUSE_US);
        let mut step = Step::Wait;
        for node in holders {
            let declined = |entry: &mut Entry| entry.answer(node, Answer::Declined);
            // Only after the last the entry says what is next.
            step = self.advance(|entry| declined(entry).unwrap_or(Step::Wait));
        }
        step
    }

    /// The thread does not wait for holders any more, being killed or out of patience: a worker waits instead (`wait`),
    /// tells the entry what it got (`tell`), and sees the operation through.
    fn leave<T>(
        &self,
        wait: impl FnOnce() -> T + Send + 'static,
        tell: impl FnOnce(&mut Operation<'_>, T) -> Step + Send + 'static,
    ) {
        let space = self.space.clone();
        let address = self.address;
        later(move || {
            let answers = wait();
            // Without users the pages are gone, and nobody looks at the directory.
            if space.mm.user().is_none() {
                return;
            }
            let mut operation = Operation::new(&space, address);
            let step = tell(&mut operation, answers);
            // Nobody waits for its result.
            let _ = operation.drive(step);
        });
    }

    /// Takes the origin's own page.
    pub(super) fn take(&mut self, user: &MmUser<'_>, keep: Keep, attempts: u32) -> Answer {
        let take = match keep {
            Keep::ReadCopy => Take::Share,
            Keep::Nothing => Take::Mark,
        };
        // All memory before the page leaves us.
        let result = Blank::new().and_then(|mut buffer| {
            for _ in 0..attempts {
                match user.take(self.address, take, Some(buffer.page()?)) {
                    Err(error) if error == EAGAIN => match user.fault_in(self.address) {
                        Err(error) if error == EAGAIN => sleep_us(PAUSE_US),
                        result => result?,
                    },
                    Ok(Taken::Bytes) => return Ok(Hand::Bytes(buffer.into_pages())),
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
    ///
    /// # Errors
    ///
    /// `ESRCH`: the address space has ended.
    fn install(&mut self, access: Access, data: bool) -> Result<Step> {
        let user = self.space.mm.user().ok_or(ESRCH)?;
        let writable = access == Access::Write;
        let mut attempts = 0;
        let receipt = loop {
            let result = match (&self.hand, data) {
                (Some(hand), true) => user.install(self.address, hand.bytes(), writable),
                (None, true) => Err(ENOENT),
                (_, false) => user.upgrade(self.address),
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
        Ok(self.advance(|entry| entry.receipt(home, receipt).unwrap_or(Step::Wait)))
    }

    /// The page goes to a remote; it stays in hand until the receipt. What goes along, if anything does.
    ///
    /// # Errors
    ///
    /// That node died meanwhile: what to do instead.
    pub(super) fn grant(&mut self, data: bool) -> core::result::Result<Option<Hand>, Step> {
        let hand = self.hand.take();
        let mut step = Step::Wait;
        {
            let mut directory = self.space.directory.lock();
            if let Some(page) = directory.pages.get_mut(&(self.address as u64)) {
                step = page.apply_losses();
                page.driven = step != Step::Wait;
                if !page.driven {
                    page.hand = hand.clone();
                    if hand.is_some() {
                        page.granted = self.granted.take();
                    }
                    page.ticket = self.ticket;
                }
            }
        }
        if step != Step::Wait {
            self.hand = hand;
            return Err(step);
        }
        // The death of the requester may be what comes next.
        self.space.changed.wake_all();
        Ok(if data { hand } else { None })
    }

    /// The operation is over: a page that is wholly ours again needs no entry.
    fn finish(&mut self) {
        let key = self.address as u64;
        let node = {
            let mut directory = self.space.directory.lock();
            let local = directory.pages.get_mut(&key).map(|page| {
                // Once idle it may be in other hands already.
                page.driven &= page.entry.is_busy();
                if !page.entry.is_busy() {
                    // Of an idle page that is all there is to be done.
                    let _ = page.apply_losses();
                }
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
