// SPDX-License-Identifier: GPL-2.0

//! What a state of the explored system consists of: page tables, directory, channels, threads.

use popcorn_core::directory::Access;
use popcorn_core::directory::Answer;
use popcorn_core::directory::Entry;
use popcorn_core::directory::Keep;
use popcorn_core::directory::PageState;
use popcorn_core::directory::Receipt;
use popcorn_core::ids::NodeId;
use std::hash::Hash;
use std::hash::Hasher;

pub(crate) const NODES: usize = 3;
pub(crate) const PAGES: usize = 2;
pub(crate) const ORIGIN: usize = 0;
pub(crate) const REMOTES: [usize; 2] = [1, 2];

pub(crate) fn node(index: usize) -> NodeId {
    NodeId::new(index as u64).unwrap()
}

/// How a version compares with the newest of its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Age {
    Current,
    Stale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pte {
    Invalid,
    Shared(Age),
    Exclusive(Age),
}

impl Pte {
    pub(crate) fn age(self) -> Option<Age> {
        match self {
            Pte::Invalid => None,
            Pte::Shared(age) | Pte::Exclusive(age) => Some(age),
        }
    }

    pub(crate) fn granted(access: Access, age: Age) -> Self {
        match access {
            Access::Read => Pte::Shared(age),
            Access::Write => Pte::Exclusive(age),
        }
    }

    pub(crate) fn allows(self, access: Access) -> bool {
        match access {
            Access::Read => self != Pte::Invalid,
            Access::Write => matches!(self, Pte::Exclusive(_)),
        }
    }

    pub(crate) fn state(self) -> PageState {
        match self {
            Pte::Invalid => PageState::Invalid,
            Pte::Shared(_) => PageState::Shared,
            Pte::Exclusive(_) => PageState::Exclusive,
        }
    }
}

/// What the origin has to do to its own page table for the operation that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum OriginTask {
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
pub(crate) struct Page {
    pub(crate) entry: Entry,
    pub(crate) pte: [Pte; NODES],
    /// The data in the hand of the origin's driver.
    pub(crate) held: Option<Age>,
    pub(crate) task: OriginTask,
    pub(crate) frozen: bool,
    /// A death is known, and this entry was not told yet.
    pub(crate) death_due: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Message {
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
pub(crate) type Letter = Option<(u8, Message)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Channel([Letter; 4]);

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
    pub(crate) fn push(&mut self, page: usize, message: Message) {
        let free = self.0.iter_mut().find(|letter| letter.is_none());
        *free.expect("more messages under way than the protocol allows") =
            Some((page as u8, message));
    }

    pub(crate) fn head(&self) -> Option<(usize, Message)> {
        self.0[0].map(|(page, message)| (usize::from(page), message))
    }

    pub(crate) fn pop(&mut self) {
        self.0[0] = None;
        self.0.rotate_left(1);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0[0].is_none()
    }

    pub(crate) fn letters_mut(&mut self) -> impl Iterator<Item = &mut (u8, Message)> {
        self.0.iter_mut().flatten()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Activity {
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
pub(crate) struct Thread {
    pub(crate) accesses_left: u8,
    pub(crate) activity: Activity,
}

impl Thread {
    pub(crate) fn access_over(&mut self) {
        self.accesses_left -= 1;
        self.activity = Activity::Running;
    }

    pub(crate) fn is_done(&self) -> bool {
        self.accesses_left == 0 && self.activity == Activity::Running
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Remote {
    pub(crate) alive: bool,
    pub(crate) thread: Thread,
    /// A GRANT_ACK not yet sent.
    pub(crate) receipt: Option<(u8, Receipt)>,
    pub(crate) requests_in: Channel,
    pub(crate) responses_in: Channel,
    pub(crate) requests_out: Channel,
    pub(crate) responses_out: Channel,
}

impl Remote {
    pub(crate) fn channels_mut(&mut self) -> [&mut Channel; 4] {
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
pub(crate) struct Common {
    pub(crate) thread: Thread,
    /// Some range is frozen, for a change of the layout.
    pub(crate) freezing: bool,
    pub(crate) known_dead: Option<u8>,
    pub(crate) left: Budget,
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
    pub(crate) pages: [Page; PAGES],
    pub(crate) remotes: [Remote; 2],
    pub(crate) common: Common,
}

impl State {
    pub(crate) fn remote(&mut self, index: usize) -> &mut Remote {
        &mut self.remotes[index - 1]
    }

    pub(crate) fn thread(&mut self, index: usize) -> &mut Thread {
        match index {
            ORIGIN => &mut self.common.thread,
            _ => &mut self.remote(index).thread,
        }
    }

    /// A new version of `page`: all that exists of it is stale.
    pub(crate) fn make_stale(&mut self, page: usize) {
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
    pub(crate) fn newest_exists(&self, page: usize) -> bool {
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
    pub(crate) fn grant_meets_request(&self, page: usize) -> bool {
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
    pub(crate) fn swapped(&self) -> Self {
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
}
