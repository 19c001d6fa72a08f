// SPDX-License-Identifier: GPL-2.0

//! Three nodes, two pages, and a driver around the real [`Entry`]: the system that is explored.
//!
//! Node 0 is the origin, 1 and 2 are remotes. Each node has one thread with a few accesses to make;
//! each access is a read or a write of either page, in any combination: all programs at once. Between
//! the origin and each remote run four FIFO channels, requests and responses each way, so that a
//! response may overtake a request. Every message rests in its channel for any time, and a grant
//! rests any time at the remote before it is mapped, and again before the mapping is acknowledged.
//!
//! **Data.** A page's content is the version last written. Nothing depends on a version's number, only
//! on whether it is the newest, so a copy is [`Age::Current`] or [`Age::Stale`]: a write makes the
//! writer's copy current and all others, in page tables, messages and hands, stale for good.
//!
//! **Symmetry.** Pages are interchangeable (all start alike, each choice is made for either), so a
//! state and the one with the pages swapped are taken for the same; hence a page may change its number
//! in the middle of a trace. The remotes are not: the directory prefers the lower number as supplier.

use crate::explorer::FastMap;
use crate::explorer::Successor;
use crate::explorer::System;
use crate::explorer::Will;
use popcorn_core::directory::Access;
use popcorn_core::directory::Answer;
use popcorn_core::directory::Entry;
use popcorn_core::directory::Keep;
use popcorn_core::directory::PageState;
use popcorn_core::directory::Receipt;
use popcorn_core::directory::Refusal;
use popcorn_core::directory::Step;
use popcorn_core::ids::NodeId;
use std::cmp::Ordering;
use std::hash::Hash;
use std::hash::Hasher;

const NODES: usize = 3;
const PAGES: usize = 2;
const ORIGIN: usize = 0;
const REMOTES: [usize; 2] = [1, 2];

pub(crate) fn node(index: usize) -> NodeId {
    NodeId::new(index as u64).unwrap()
}

/// How a version compares with the newest of its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Age {
    Current,
    Stale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Pte {
    Invalid,
    Shared(Age),
    Exclusive(Age),
}

impl Pte {
    fn age(self) -> Option<Age> {
        match self {
            Pte::Invalid => None,
            Pte::Shared(age) | Pte::Exclusive(age) => Some(age),
        }
    }

    fn granted(access: Access, age: Age) -> Self {
        match access {
            Access::Read => Pte::Shared(age),
            Access::Write => Pte::Exclusive(age),
        }
    }

    fn allows(self, access: Access) -> bool {
        match access {
            Access::Read => self != Pte::Invalid,
            Access::Write => matches!(self, Pte::Exclusive(_)),
        }
    }

    fn state(self) -> PageState {
        match self {
            Pte::Invalid => PageState::Invalid,
            Pte::Shared(_) => PageState::Shared,
            Pte::Exclusive(_) => PageState::Exclusive,
        }
    }
}

/// What the origin has to do to its own page table for the operation that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum OriginTask {
    None,
    Supply(Keep),
    Install {
        access: Access,
        data: bool,
    },
    /// Installed; the entry does not know yet.
    Installed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Page {
    entry: Entry,
    pte: [Pte; NODES],
    /// The data in the hand of the origin's driver.
    held: Option<Age>,
    task: OriginTask,
    frozen: bool,
    /// A death is known, and this entry was not told yet.
    death_due: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Message {
    Request(Access),
    Fetch(Keep),
    Invalidate,
    Answer(Answer, Option<Age>),
    Grant(Access, Option<Age>),
    GrantedAlready,
    Retry,
    Fail,
    GrantAck(Receipt),
}

/// A message about a page, or an empty place in a channel.
type Letter = Option<(u8, Message)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Channel([Letter; 4]);

impl Hash for Channel {
    /// Most channels are empty most of the time: hash what is there, and that it ends.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        for letter in self.0.iter().flatten() {
            letter.hash(hasher);
        }
        hasher.write_u8(u8::MAX);
    }
}

impl Channel {
    fn push(&mut self, page: usize, message: Message) {
        let free = self.0.iter_mut().find(|letter| letter.is_none());
        *free.expect("more messages under way than the protocol allows") =
            Some((page as u8, message));
    }

    fn head(&self) -> Option<(usize, Message)> {
        self.0[0].map(|(page, message)| (usize::from(page), message))
    }

    fn pop(&mut self) {
        self.0[0] = None;
        self.0.rotate_left(1);
    }

    fn is_empty(&self) -> bool {
        self.0[0].is_none()
    }

    fn letters_mut(&mut self) -> impl Iterator<Item = &mut (u8, Message)> {
        self.0.iter_mut().flatten()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Activity {
    /// Free to choose its next access.
    Running,
    /// Bound to try this access again.
    Retrying(u8, Access),
    /// Asleep until its request is answered (at the origin: until its operation ends).
    Waiting(u8, Access),
    /// A grant has arrived, not yet mapped.
    Granted(u8, Access, Option<Age>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Thread {
    accesses_left: u8,
    activity: Activity,
}

impl Thread {
    fn access_over(&mut self) {
        self.accesses_left -= 1;
        self.activity = Activity::Running;
    }

    fn is_done(&self) -> bool {
        self.accesses_left == 0 && self.activity == Activity::Running
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Remote {
    alive: bool,
    thread: Thread,
    /// A GRANT_ACK not yet sent.
    receipt: Option<(u8, Receipt)>,
    requests_in: Channel,
    responses_in: Channel,
    requests_out: Channel,
    responses_out: Channel,
}

impl Remote {
    fn channels_mut(&mut self) -> [&mut Channel; 4] {
        [
            &mut self.requests_in,
            &mut self.responses_in,
            &mut self.requests_out,
            &mut self.responses_out,
        ]
    }
}

/// What belongs to no page and no remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Common {
    thread: Thread,
    /// Some range is frozen, for a change of the layout.
    freezing: bool,
    known_dead: Option<u8>,
    left: Budget,
}

/// How often each thing that need not happen may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// A remote dies, either one.
    pub(crate) deaths: u8,
    /// The layout of either page or both changes at the origin.
    pub(crate) freezes: u8,
    /// A holder declines FETCH or INVALIDATE.
    pub(crate) declines: u8,
    /// A requester refuses a grant.
    pub(crate) refusals: u8,
    /// A remote asks for what it has.
    pub(crate) needless: u8,
}

/// A rule of the protocol that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    None,
    /// The operation ends when GRANT is sent.
    NoGrantAck,
    /// One sharer is not told when another node gets write access.
    SkipOneInvalidate,
    /// The supplier of a read copy stays writable.
    NoDowngrade,
    /// What comes home after a refused grant is dropped.
    DropHomecoming,
    /// A frozen range is not brought home before its layout changes.
    NoRecall,
    /// Requests wait at the origin for a busy page, and holders answer for a page only when their own
    /// request for it is answered.
    WaitInsteadOfRetry,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    /// Accesses of the thread at each node.
    pub(crate) accesses: [u8; NODES],
    pub(crate) budget: Budget,
    /// GRANT_ACK travels with the responses; otherwise with the requests.
    pub(crate) ack_among_responses: bool,
    pub(crate) mutation: Mutation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pages: [Page; PAGES],
    remotes: [Remote; 2],
    common: Common,
}

/// A step, for the trace.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "the fields are read by Debug only")]
pub(crate) enum Label {
    Access {
        node: usize,
        page: usize,
        access: Access,
    },
    Ask {
        node: usize,
        page: usize,
        access: Access,
    },
    ToOrigin {
        from: usize,
        page: usize,
        what: &'static str,
    },
    ToRemote {
        to: usize,
        page: usize,
        what: &'static str,
    },
    OriginSupplies {
        page: usize,
    },
    OriginInstalls {
        page: usize,
    },
    OriginCompletes {
        page: usize,
    },
    Map {
        node: usize,
        page: usize,
    },
    SendReceipt {
        node: usize,
    },
    Declines {
        node: usize,
        page: usize,
    },
    Refuses {
        node: usize,
        page: usize,
    },
    Dies {
        node: usize,
    },
    DeathNoticed,
    DeathApplied {
        page: usize,
    },
    Freeze {
        pages: u8,
    },
    Recall {
        page: usize,
    },
    ChangeLayoutAndThaw,
}

type Checked<T = ()> = Result<T, String>;

impl State {
    fn remote(&mut self, index: usize) -> &mut Remote {
        &mut self.remotes[index - 1]
    }

    fn thread(&mut self, index: usize) -> &mut Thread {
        match index {
            ORIGIN => &mut self.common.thread,
            _ => &mut self.remote(index).thread,
        }
    }

    /// A new version of `page`: all that exists of it is stale.
    fn make_stale(&mut self, page: usize) {
        let here = &mut self.pages[page];
        for pte in &mut here.pte {
            *pte = match *pte {
                Pte::Invalid => Pte::Invalid,
                Pte::Shared(_) => Pte::Shared(Age::Stale),
                Pte::Exclusive(_) => Pte::Exclusive(Age::Stale),
            };
        }
        here.held = here.held.map(|_| Age::Stale);
        for remote in &mut self.remotes {
            for channel in remote.channels_mut() {
                for (about, message) in channel.letters_mut() {
                    if usize::from(*about) == page {
                        if let Message::Answer(_, age) | Message::Grant(_, age) = message {
                            *age = age.map(|_| Age::Stale);
                        }
                    }
                }
            }
            if let Activity::Granted(about, _, age) = &mut remote.thread.activity {
                if usize::from(*about) == page {
                    *age = age.map(|_| Age::Stale);
                }
            }
        }
    }

    /// Whether the newest version of `page` exists anywhere on a living node or under way to one.
    fn newest_exists(&self, page: usize) -> bool {
        let current = Some(Age::Current);
        let here = &self.pages[page];
        here.held == current
            || here.pte.iter().any(|pte| pte.age() == current)
            || self.remotes.iter().any(|remote| {
                let granted = matches!(remote.thread.activity,
                    Activity::Granted(about, _, age) if usize::from(about) == page && age == current);
                let mut copy = *remote;
                granted
                    || copy.channels_mut().into_iter().any(|channel| {
                        channel.letters_mut().any(|(about, message)| {
                            usize::from(*about) == page
                                && matches!(message,
                                    Message::Answer(_, age) | Message::Grant(_, age) if *age == current)
                        })
                    })
            })
    }

    /// Whether a remote is asked for `page` while a grant of it has not been mapped yet.
    fn grant_meets_request(&self, page: usize) -> bool {
        self.remotes.iter().any(|remote| {
            let mut copy = *remote;
            let arrived = matches!(remote.thread.activity,
                Activity::Granted(about, ..) if usize::from(about) == page);
            let mut sent = copy.responses_in.letters_mut();
            let granted = arrived
                || sent.any(|(about, message)| {
                    usize::from(*about) == page && matches!(message, Message::Grant(..))
                });
            let mut asked = copy.requests_in.letters_mut();
            granted && asked.any(|(about, _)| usize::from(*about) == page)
        })
    }

    /// The same with the two pages exchanged.
    fn swapped(&self) -> Self {
        let mut swapped = *self;
        swapped.pages.swap(0, 1);
        for remote in &mut swapped.remotes {
            for channel in remote.channels_mut() {
                for (page, _) in channel.letters_mut() {
                    *page ^= 1;
                }
            }
            if let Some((page, _)) = &mut remote.receipt {
                *page ^= 1;
            }
        }
        for index in 0..NODES {
            match &mut swapped.thread(index).activity {
                Activity::Running => {}
                Activity::Retrying(page, _)
                | Activity::Waiting(page, _)
                | Activity::Granted(page, _, _) => *page ^= 1,
            }
        }
        swapped
    }

    /// The driver of the origin carries out what the directory decided.
    fn run(&mut self, page: usize, step: Step, config: &Config) -> Checked {
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

    fn operation_over(&mut self, page: usize, failed: bool) {
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
    fn ask(&mut self, to: usize, page: usize, message: Message) {
        if self.remote(to).alive {
            self.remote(to).requests_in.push(page, message);
        }
    }

    /// Sends a response to a remote.
    fn reply(&mut self, to: usize, page: usize, message: Message) {
        if self.remote(to).alive {
            self.remote(to).responses_in.push(page, message);
        }
    }

    /// The thread of node `index` touches `page`, as its page table allows.
    fn touch(&mut self, index: usize, page: usize, access: Access) -> Checked {
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
    fn fault(&mut self, index: usize, page: usize, access: Access, config: &Config) -> Checked {
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
    fn arrive_at_origin(
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
    fn answer_origin(&mut self, at: usize, page: usize, message: Message, config: &Config) {
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
    fn wake_remote(&mut self, at: usize, message: Message) -> Checked {
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
    fn map(&mut self, at: usize, page: usize, access: Access, data: Option<Age>) {
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
    fn supply(&mut self, page: usize, keep: Keep, config: &Config) -> Checked {
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

    fn install(&mut self, page: usize, access: Access, data: bool, config: &Config) -> Checked {
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

    fn origin_receipt(&mut self, page: usize, receipt: Receipt, config: &Config) -> Checked {
        self.pages[page].task = OriginTask::None;
        let step = self.pages[page].entry.receipt(node(ORIGIN), receipt);
        self.run(page, step.map_err(|_| "no grant to the origin")?, config)
    }

    fn die(&mut self, index: usize) {
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

    fn notice_death(&mut self, index: usize) {
        self.common.known_dead = Some(index as u8);
        self.remote(index).requests_out = Channel::default();
        self.remote(index).responses_out = Channel::default();
        for page in &mut self.pages {
            page.death_due = true;
        }
    }

    /// Everything frozen is home: the native call gives the range new content, and the range thaws.
    fn change_layout(&mut self) -> Checked {
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

/// Component of a [`Key`], numbered in order of appearance.
struct Interned<T> {
    numbers: FastMap<T, u32>,
    values: Vec<T>,
}

impl<T: Copy + Eq + Hash> Interned<T> {
    fn new() -> Self {
        Self {
            numbers: FastMap::default(),
            values: Vec::new(),
        }
    }

    fn number(&mut self, value: &T) -> u32 {
        *self.numbers.entry(*value).or_insert_with(|| {
            self.values.push(*value);
            self.values.len() as u32 - 1
        })
    }

    fn value(&self, number: u32) -> T {
        self.values[number as usize]
    }
}

/// The numbers of a state's components: pages, remotes, common.
pub(crate) type Key = [u32; 5];

/// The system to be explored.
pub(crate) struct Model {
    config: Config,
    pages: Interned<Page>,
    remotes: Interned<Remote>,
    commons: Interned<Common>,
}

impl Model {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            pages: Interned::new(),
            remotes: Interned::new(),
            commons: Interned::new(),
        }
    }

    fn key(&mut self, pages: [u32; PAGES], state: &State) -> Key {
        [
            pages[0],
            pages[1],
            self.remotes.number(&state.remotes[0]),
            self.remotes.number(&state.remotes[1]),
            self.commons.number(&state.common),
        ]
    }

    fn check_page(&self, state: &State, page: usize) -> Checked {
        let here = &state.pages[page];
        let mapped = here.pte.iter().filter(|pte| **pte != Pte::Invalid).count();
        let writable = here.pte.iter().any(|pte| pte.allows(Access::Write));
        if writable && mapped > 1 {
            return Err("a writer beside another copy".into());
        }
        if here.pte.iter().any(|pte| pte.age() == Some(Age::Stale)) {
            return Err("an old version is mapped".into());
        }
        let somebody_died = state.remotes.iter().any(|remote| !remote.alive);
        let busy = here.entry.is_busy();
        if here.entry.is_lost() && !somebody_died {
            return Err("a page is lost though no node died".into());
        }
        if here.entry.is_lost() && mapped > 0 {
            return Err("a page is given up though a node has it".into());
        }
        // After a death the origin may need some steps to find out that the page is lost.
        let inquest =
            somebody_died && (busy || here.death_due || state.common.known_dead.is_none());
        if !state.newest_exists(page) && !here.entry.is_lost() && !inquest {
            return Err("the newest version is nowhere".into());
        }
        // Without GRANT_ACK the directory is meant to run ahead; what comes of it is to be shown.
        let no_ack = self.config.mutation == Mutation::NoGrantAck;
        if !no_ack && state.grant_meets_request(page) {
            return Err("FETCH or INVALIDATE meets a grant under way".into());
        }
        if !busy && !no_ack {
            if here.held.is_some() || here.task != OriginTask::None {
                return Err("an operation left something behind".into());
            }
            for index in 0..NODES {
                let dead = index != ORIGIN && !state.remotes[index - 1].alive;
                if !dead && here.entry.state_at(node(index)) != here.pte[index].state() {
                    return Err("directory and page table disagree".into());
                }
            }
        }
        Ok(())
    }
}

/// Collects the steps out of one state.
struct Steps<'a> {
    from: &'a State,
    out: &'a mut Vec<Successor<State, Label>>,
}

impl Steps<'_> {
    fn add(&mut self, will: Will, label: Label, change: impl FnOnce(&mut State) -> Checked) {
        let mut next = *self.from;
        let result = change(&mut next).map(|()| next);
        self.out.push(Successor {
            label,
            will,
            result,
        });
    }
}

impl Model {
    /// Steps of the thread at `index`.
    fn thread_steps(&self, state: &State, index: usize, steps: &mut Steps<'_>) {
        let config = &self.config;
        let mut copy = *state;
        let thread = *copy.thread(index);
        let bound = match thread.activity {
            Activity::Running if thread.accesses_left > 0 => None,
            Activity::Retrying(page, access) => Some((usize::from(page), access)),
            Activity::Granted(page, access, data) => {
                let page = usize::from(page);
                let label = Label::Map { node: index, page };
                steps.add(Will::Own, label, |next| {
                    next.map(index, page, access, data);
                    Ok(())
                });
                if state.common.left.refusals > 0 {
                    let label = Label::Refuses { node: index, page };
                    steps.add(Will::Adversary, label, |next| {
                        next.common.left.refusals -= 1;
                        next.remote(index).receipt = Some((page as u8, Receipt::Refused));
                        next.thread(index).activity = Activity::Retrying(page as u8, access);
                        Ok(())
                    });
                }
                return;
            }
            _ => return,
        };
        let owes_receipt = index != ORIGIN && state.remotes[index - 1].receipt.is_some();
        for page in 0..PAGES {
            for access in [Access::Read, Access::Write] {
                if bound.is_some_and(|bound| bound != (page, access)) {
                    continue;
                }
                let here = &state.pages[page];
                let allowed = here.pte[index].allows(access);
                if allowed {
                    let label = Label::Access {
                        node: index,
                        page,
                        access,
                    };
                    steps.add(Will::Own, label, |next| next.touch(index, page, access));
                }
                // A thread at the origin sleeps while the entry is busy or the range is frozen: it
                // has no step. A remote fault ends by sending the receipt.
                let asleep = index == ORIGIN && (here.entry.is_busy() || here.frozen);
                if asleep || owes_receipt {
                    continue;
                }
                let label = Label::Ask {
                    node: index,
                    page,
                    access,
                };
                if !allowed {
                    steps.add(Will::Own, label, |next| {
                        next.fault(index, page, access, config)
                    });
                } else if index != ORIGIN && state.common.left.needless > 0 {
                    steps.add(Will::Adversary, label, |next| {
                        next.common.left.needless -= 1;
                        next.fault(index, page, access, config)
                    });
                }
            }
        }
    }

    /// Steps of a remote other than its thread's, and of the channels between it and the origin.
    fn remote_steps(&self, state: &State, index: usize, steps: &mut Steps<'_>) {
        let config = &self.config;
        let remote = &state.remotes[index - 1];
        let may_wait = config.mutation == Mutation::WaitInsteadOfRetry;

        if let Some((page, message)) = remote.requests_out.head() {
            let waits = may_wait
                && matches!(message, Message::Request(_))
                && (state.pages[page].entry.is_busy() || state.pages[page].frozen);
            if !waits {
                let label = Label::ToOrigin {
                    from: index,
                    page,
                    what: "request",
                };
                steps.add(Will::Own, label, |next| {
                    next.remote(index).requests_out.pop();
                    next.arrive_at_origin(index, page, message, config)
                });
            }
        }
        if let Some((page, message)) = remote.responses_out.head() {
            let label = Label::ToOrigin {
                from: index,
                page,
                what: "response",
            };
            steps.add(Will::Own, label, |next| {
                next.remote(index).responses_out.pop();
                next.arrive_at_origin(index, page, message, config)
            });
        }
        if !remote.alive {
            if state.common.known_dead.is_none() {
                steps.add(Will::Own, Label::DeathNoticed, |next| {
                    next.notice_death(index);
                    Ok(())
                });
            }
            return;
        }
        if state.common.left.deaths > 0 {
            steps.add(Will::Adversary, Label::Dies { node: index }, |next| {
                next.common.left.deaths -= 1;
                next.die(index);
                Ok(())
            });
        }
        if let Some((page, message)) = remote.requests_in.head() {
            let waits = may_wait
                && matches!(remote.thread.activity,
                    Activity::Waiting(about, _) if usize::from(about) == page);
            if !waits {
                let label = Label::ToRemote {
                    to: index,
                    page,
                    what: "request",
                };
                steps.add(Will::Own, label, |next| {
                    next.remote(index).requests_in.pop();
                    next.answer_origin(index, page, message, config);
                    Ok(())
                });
            }
            if state.common.left.declines > 0 {
                let label = Label::Declines { node: index, page };
                steps.add(Will::Adversary, label, |next| {
                    next.common.left.declines -= 1;
                    next.remote(index).requests_in.pop();
                    let declined = Message::Answer(Answer::Declined, None);
                    next.remote(index).responses_out.push(page, declined);
                    Ok(())
                });
            }
        }
        if let Some((page, message)) = remote.responses_in.head() {
            let label = Label::ToRemote {
                to: index,
                page,
                what: "response",
            };
            steps.add(Will::Own, label, |next| {
                next.remote(index).responses_in.pop();
                next.wake_remote(index, message)
            });
        }
        if let Some((page, receipt)) = remote.receipt {
            steps.add(Will::Own, Label::SendReceipt { node: index }, |next| {
                let remote = next.remote(index);
                remote.receipt = None;
                let channel = if config.ack_among_responses {
                    &mut remote.responses_out
                } else {
                    &mut remote.requests_out
                };
                channel.push(usize::from(page), Message::GrantAck(receipt));
                Ok(())
            });
        }
    }

    /// Steps of the origin's driver on one page.
    fn origin_steps(&self, state: &State, page: usize, steps: &mut Steps<'_>) {
        let config = &self.config;
        let here = &state.pages[page];
        match here.task {
            OriginTask::None => {}
            OriginTask::Supply(keep) => {
                steps.add(Will::Own, Label::OriginSupplies { page }, |next| {
                    next.supply(page, keep, config)
                });
                if state.common.left.declines > 0 {
                    let label = Label::Declines { node: ORIGIN, page };
                    steps.add(Will::Adversary, label, |next| {
                        next.common.left.declines -= 1;
                        let here = &mut next.pages[page];
                        here.task = OriginTask::None;
                        let step = here.entry.answer(node(ORIGIN), Answer::Declined);
                        next.run(page, step.map_err(|_| "the origin was not asked")?, config)
                    });
                }
            }
            OriginTask::Install { access, data } => {
                steps.add(Will::Own, Label::OriginInstalls { page }, |next| {
                    next.install(page, access, data, config)
                });
                if state.common.left.refusals > 0 {
                    let label = Label::Refuses { node: ORIGIN, page };
                    steps.add(Will::Adversary, label, |next| {
                        next.common.left.refusals -= 1;
                        next.origin_receipt(page, Receipt::Refused, config)
                    });
                }
            }
            OriginTask::Installed => {
                steps.add(Will::Own, Label::OriginCompletes { page }, |next| {
                    next.origin_receipt(page, Receipt::Mapped, config)
                });
            }
        }
        if here.death_due {
            steps.add(Will::Own, Label::DeathApplied { page }, |next| {
                next.pages[page].death_due = false;
                let dead = next.common.known_dead.ok_or("nobody died")?;
                let step = next.pages[page].entry.node_lost(node(usize::from(dead)));
                next.run(page, step, config)
            });
        }
        let entry = &here.entry;
        let to_recall = !entry.is_busy() && !entry.is_local() && !entry.is_lost();
        if here.frozen && to_recall && config.mutation != Mutation::NoRecall {
            steps.add(Will::Own, Label::Recall { page }, |next| {
                let step = next.pages[page].entry.begin_recall();
                next.run(page, step.map_err(|_| "recall refused")?, config)
            });
        }
    }

    /// Steps of the thread at the origin that changes the layout.
    fn layout_steps(&self, state: &State, steps: &mut Steps<'_>) {
        if state.common.freezing {
            let no_recall = self.config.mutation == Mutation::NoRecall;
            let ready = state.pages.iter().filter(|page| page.frozen).all(|page| {
                page.entry.is_local()
                    || page.entry.is_lost()
                    || (no_recall && !page.entry.is_busy())
            });
            if ready {
                steps.add(Will::Own, Label::ChangeLayoutAndThaw, State::change_layout);
            }
        } else if state.common.left.freezes > 0 {
            for pages in 1..1 << PAGES {
                steps.add(Will::Adversary, Label::Freeze { pages }, |next| {
                    next.common.left.freezes -= 1;
                    next.common.freezing = true;
                    for page in 0..PAGES {
                        next.pages[page].frozen = pages >> page & 1 == 1;
                    }
                    Ok(())
                });
            }
        }
    }
}

impl System for Model {
    type State = State;
    type Label = Label;
    type Key = Key;

    fn initial(&self) -> State {
        let thread = |index: usize| Thread {
            accesses_left: self.config.accesses[index],
            activity: Activity::Running,
        };
        let page = Page {
            entry: Entry::new(node(ORIGIN)),
            pte: [Pte::Exclusive(Age::Current), Pte::Invalid, Pte::Invalid],
            held: None,
            task: OriginTask::None,
            frozen: false,
            death_due: false,
        };
        let remote = |index| Remote {
            alive: true,
            thread: thread(index),
            receipt: None,
            requests_in: Channel::default(),
            responses_in: Channel::default(),
            requests_out: Channel::default(),
            responses_out: Channel::default(),
        };
        State {
            pages: [page; PAGES],
            remotes: REMOTES.map(remote),
            common: Common {
                thread: thread(ORIGIN),
                freezing: false,
                known_dead: None,
                left: self.config.budget,
            },
        }
    }

    fn pack(&mut self, state: &State) -> Key {
        let [a, b] = state.pages.map(|page| self.pages.number(&page));
        // Of a state and its mirror image the one with the lower page in front stands for both.
        match a.cmp(&b) {
            Ordering::Less => self.key([a, b], state),
            Ordering::Greater => self.key([b, a], &state.swapped()),
            Ordering::Equal => {
                let one = self.key([a, b], state);
                one.min(self.key([a, b], &state.swapped()))
            }
        }
    }

    fn unpack(&self, key: Key) -> State {
        State {
            pages: [self.pages.value(key[0]), self.pages.value(key[1])],
            remotes: [self.remotes.value(key[2]), self.remotes.value(key[3])],
            common: self.commons.value(key[4]),
        }
    }

    fn successors(&self, state: &State, out: &mut Vec<Successor<State, Label>>) {
        let mut steps = Steps { from: state, out };
        for index in 0..NODES {
            self.thread_steps(state, index, &mut steps);
        }
        for index in REMOTES {
            self.remote_steps(state, index, &mut steps);
        }
        for page in 0..PAGES {
            self.origin_steps(state, page, &mut steps);
        }
        self.layout_steps(state, &mut steps);
    }

    fn check(&self, state: &State) -> Checked {
        (0..PAGES).try_for_each(|page| self.check_page(state, page))
    }

    fn is_goal(&self, state: &State) -> bool {
        let remotes_done = state.remotes.iter().all(|remote| {
            remote.thread.is_done()
                && remote.receipt.is_none()
                && remote.requests_in.is_empty()
                && remote.responses_in.is_empty()
                && remote.requests_out.is_empty()
                && remote.responses_out.is_empty()
        });
        remotes_done
            && state.common.thread.is_done()
            && !state.common.freezing
            && state
                .pages
                .iter()
                .all(|page| !page.entry.is_busy() && !page.death_due)
    }
}
