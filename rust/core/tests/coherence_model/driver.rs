// SPDX-License-Identifier: GPL-2.0

//! The driver around the directory, at the origin and at the remotes: what each event does to a state.
//!
//! This is the smallest driver that follows the protocol; the kernel's does the same with real page
//! tables, messages and sleeping threads.

use crate::state::*;
use popcorn_core::directory::Access;
use popcorn_core::directory::Answer;
use popcorn_core::directory::Entry;
use popcorn_core::directory::Keep;
use popcorn_core::directory::Receipt;
use popcorn_core::directory::Refusal;
use popcorn_core::directory::Step;

/// An error says what the driver met that must not be.
pub(crate) type Checked<T = ()> = Result<T, String>;

impl State {
    /// The driver of the origin carries out what the directory decided.
    pub(crate) fn run(&mut self, page: usize, step: Step, config: &Config) -> Checked {
        match step {
            Step::Wait => {}
            Step::AlreadyGranted => return Err("AlreadyGranted in mid-operation".into()),
            Step::Gather {
                supplier,
                invalidate,
            } => {
                match supplier {
                    Some((from, keep)) if from.index() == ORIGIN => {
                        self.pages[page].task = OriginTask::Supply(keep);
                    }
                    Some((from, keep)) => self.ask(from.index(), page, Message::Fetch(keep)),
                    None => {}
                }
                let mut skip = config.mutation == Mutation::SkipOneInvalidate;
                for sharer in invalidate {
                    if sharer.index() == ORIGIN {
                        return Err("the origin's copy would be dropped, not taken in hand".into());
                    }
                    if std::mem::take(&mut skip) {
                        let step = self.pages[page].entry.answer(sharer, Answer::Invalidated);
                        let step = step.map_err(|_| "answer not expected")?;
                        self.run(page, step, config)?;
                    } else {
                        self.ask(sharer.index(), page, Message::Invalidate);
                    }
                }
            }
            Step::Grant { to, access, data } => {
                let held = self.pages[page].held;
                if data && held.is_none() {
                    return Err("a grant of data which the origin does not have in hand".into());
                }
                if to.index() == ORIGIN {
                    self.pages[page].task = OriginTask::Install { access, data };
                } else {
                    let data = if data { held } else { None };
                    self.reply(to.index(), page, Message::Grant(access, data));
                    if config.mutation == Mutation::NoGrantAck {
                        let step = self.pages[page].entry.receipt(to, Receipt::Mapped);
                        let step = step.map_err(|_| "receipt not expected")?;
                        self.run(page, step, config)?;
                    }
                }
            }
            Step::Done => self.operation_over(page, false),
            Step::Retry { to } => {
                self.operation_over(page, false);
                if to.index() != ORIGIN {
                    self.reply(to.index(), page, Message::Retry);
                }
            }
            Step::Fail { to } => {
                self.operation_over(page, to.index() == ORIGIN);
                if to.index() != ORIGIN {
                    self.reply(to.index(), page, Message::Fail);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn operation_over(&mut self, page: usize, failed: bool) {
        self.pages[page].held = None;
        self.pages[page].task = OriginTask::None;
        let thread = &mut self.common.thread;
        if let Activity::Waiting(about, access) = thread.activity {
            if usize::from(about) == page {
                if failed {
                    thread.access_over();
                } else {
                    thread.activity = Activity::Retrying(about, access);
                }
            }
        }
    }

    /// Sends a request to a remote. What is sent to the dead vanishes.
    pub(crate) fn ask(&mut self, to: usize, page: usize, message: Message) {
        if self.remote(to).alive {
            self.remote(to).requests_in.push(page, message);
        }
    }

    /// Sends a response to a remote.
    pub(crate) fn reply(&mut self, to: usize, page: usize, message: Message) {
        if self.remote(to).alive {
            self.remote(to).responses_in.push(page, message);
        }
    }

    /// The thread of node `index` touches `page`, as its page table allows.
    pub(crate) fn touch(&mut self, index: usize, page: usize, access: Access) -> Checked {
        if self.pages[page].pte[index].age() == Some(Age::Stale) {
            return Err("an access finds an old version".into());
        }
        if access == Access::Write {
            self.make_stale(page);
            self.pages[page].pte[index] = Pte::Exclusive(Age::Current);
        }
        self.thread(index).access_over();
        Ok(())
    }

    /// The thread of node `index` has faulted.
    pub(crate) fn fault(
        &mut self,
        index: usize,
        page: usize,
        access: Access,
        config: &Config,
    ) -> Checked {
        self.thread(index).activity = Activity::Waiting(page as u8, access);
        if index != ORIGIN {
            let request = Message::Request(access);
            self.remote(index).requests_out.push(page, request);
            return Ok(());
        }
        match self.pages[page].entry.begin(node(ORIGIN), access) {
            Ok(Step::AlreadyGranted) => Err("the origin's PTE lags behind the directory".into()),
            Ok(step) => self.run(page, step, config),
            Err(Refusal::Lost) => {
                self.common.thread.access_over();
                Ok(())
            }
            Err(Refusal::Busy) => Err("the origin's thread did not wait".into()),
        }
    }

    /// The origin takes a message out of a channel from `from`.
    pub(crate) fn arrive_at_origin(
        &mut self,
        from: usize,
        page: usize,
        message: Message,
        config: &Config,
    ) -> Checked {
        let entry = &mut self.pages[page].entry;
        let step = match message {
            Message::Request(_) if self.pages[page].frozen => {
                self.reply(from, page, Message::Retry);
                return Ok(());
            }
            Message::Request(access) => match entry.begin(node(from), access) {
                Ok(Step::AlreadyGranted) => {
                    self.reply(from, page, Message::GrantedAlready);
                    return Ok(());
                }
                Ok(step) => step,
                Err(Refusal::Busy) => {
                    self.reply(from, page, Message::Retry);
                    return Ok(());
                }
                Err(Refusal::Lost) => {
                    self.reply(from, page, Message::Fail);
                    return Ok(());
                }
            },
            Message::Answer(answer, age) => {
                let step = entry.answer(node(from), answer);
                if age.is_some() {
                    self.pages[page].held = age;
                }
                step.map_err(|_| "an answer that is not expected")?
            }
            Message::GrantAck(_) if config.mutation == Mutation::NoGrantAck => return Ok(()),
            Message::GrantAck(receipt) => entry
                .receipt(node(from), receipt)
                .map_err(|_| "a receipt that is not expected")?,
            _ => return Err("a message that remotes do not send".into()),
        };
        self.run(page, step, config)
    }

    /// The receive context of a remote answers a request of the origin, or declines it.
    pub(crate) fn answer_origin(
        &mut self,
        at: usize,
        page: usize,
        message: Message,
        config: &Config,
    ) {
        let pte = &mut self.pages[page].pte[at];
        let (answer, age) = match (message, pte.age()) {
            (Message::Fetch(_), None) => (Answer::Missing, None),
            (Message::Fetch(Keep::ReadCopy), Some(age)) => {
                if config.mutation != Mutation::NoDowngrade {
                    *pte = Pte::Shared(age);
                }
                (Answer::Data, Some(age))
            }
            (Message::Fetch(Keep::Nothing), age) => {
                *pte = Pte::Invalid;
                (Answer::Data, age)
            }
            _ => {
                *pte = Pte::Invalid;
                (Answer::Invalidated, None)
            }
        };
        let message = Message::Answer(answer, age);
        self.remote(at).responses_out.push(page, message);
    }

    /// A response reaches the thread of a remote.
    pub(crate) fn wake_remote(&mut self, at: usize, message: Message) -> Checked {
        let thread = self.thread(at);
        let Activity::Waiting(about, access) = thread.activity else {
            return Err("a response that nobody waits for".into());
        };
        match message {
            Message::Grant(access, data) => {
                thread.activity = Activity::Granted(about, access, data);
            }
            Message::GrantedAlready | Message::Retry => {
                thread.activity = Activity::Retrying(about, access);
            }
            Message::Fail => thread.access_over(),
            _ => return Err("a response that the origin does not send".into()),
        }
        Ok(())
    }

    /// A remote maps what it was granted.
    pub(crate) fn map(&mut self, at: usize, page: usize, access: Access, data: Option<Age>) {
        let pte = &mut self.pages[page].pte[at];
        let receipt = match data.or(pte.age()) {
            Some(age) => {
                *pte = Pte::granted(access, age);
                Receipt::Mapped
            }
            None => Receipt::Missing,
        };
        self.remote(at).receipt = Some((page as u8, receipt));
        self.thread(at).activity = Activity::Retrying(page as u8, access);
    }

    /// The origin does its own part of Gather.
    pub(crate) fn supply(&mut self, page: usize, keep: Keep, config: &Config) -> Checked {
        let here = &mut self.pages[page];
        here.task = OriginTask::None;
        let age = here.pte[ORIGIN]
            .age()
            .ok_or("the origin has no page to supply")?;
        here.pte[ORIGIN] = match keep {
            Keep::ReadCopy => Pte::Shared(age),
            Keep::Nothing => Pte::Invalid,
        };
        here.held = Some(age);
        let step = here.entry.answer(node(ORIGIN), Answer::Data);
        self.run(page, step.map_err(|_| "the origin was not asked")?, config)
    }

    pub(crate) fn install(
        &mut self,
        page: usize,
        access: Access,
        data: bool,
        config: &Config,
    ) -> Checked {
        let here = &mut self.pages[page];
        if here.held.is_some() && config.mutation == Mutation::DropHomecoming {
            here.held = None;
            let step = here.entry.receipt(node(ORIGIN), Receipt::Missing);
            return self.run(page, step.map_err(|_| "no grant to the origin")?, config);
        }
        let age = if data {
            here.held
        } else {
            here.pte[ORIGIN].age()
        };
        let age = age.ok_or("nothing to install at the origin")?;
        here.pte[ORIGIN] = Pte::granted(access, age);
        here.task = OriginTask::Installed;
        Ok(())
    }

    pub(crate) fn origin_receipt(
        &mut self,
        page: usize,
        receipt: Receipt,
        config: &Config,
    ) -> Checked {
        self.pages[page].task = OriginTask::None;
        let step = self.pages[page].entry.receipt(node(ORIGIN), receipt);
        self.run(page, step.map_err(|_| "no grant to the origin")?, config)
    }

    pub(crate) fn die(&mut self, index: usize) {
        for page in &mut self.pages {
            page.pte[index] = Pte::Invalid;
        }
        let remote = self.remote(index);
        remote.alive = false;
        remote.thread = Thread {
            accesses_left: 0,
            activity: Activity::Running,
        };
        remote.receipt = None;
        remote.requests_in = Channel::default();
        remote.responses_in = Channel::default();
    }

    pub(crate) fn notice_death(&mut self, index: usize) {
        self.common.known_dead = Some(index as u8);
        self.remote(index).requests_out = Channel::default();
        self.remote(index).responses_out = Channel::default();
        for page in &mut self.pages {
            page.death_due = true;
        }
    }

    /// Everything frozen is home: the native call gives the range new content, and the range thaws.
    pub(crate) fn change_layout(&mut self) -> Checked {
        for page in 0..PAGES {
            if !self.pages[page].frozen {
                continue;
            }
            if REMOTES
                .iter()
                .any(|at| self.pages[page].pte[*at] != Pte::Invalid)
            {
                return Err("a remote has a page of a range whose layout changes".into());
            }
            self.make_stale(page);
            let here = &mut self.pages[page];
            here.pte[ORIGIN] = Pte::Exclusive(Age::Current);
            here.entry = Entry::new(node(ORIGIN));
            here.frozen = false;
        }
        self.common.freezing = false;
        Ok(())
    }
}
