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

use crate::driver::Checked;
use crate::explorer::FastMap;
use crate::explorer::Near;
use crate::explorer::Successor;
use crate::explorer::System;
use crate::state::*;
use crate::steps::Label;
use crate::steps::Steps;
use popcorn_core::directory::Access;
use popcorn_core::directory::Entry;
use std::cmp::Ordering;
use std::hash::Hash;

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
    pub(crate) config: Config,
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

    /// The number of a page, known already if it is as it was.
    fn page_number(&mut self, state: &State, near: &Near<Self>, page: usize) -> u32 {
        match near {
            Some((key, from)) if from.pages[page] == state.pages[page] => key[page],
            _ => self.pages.number(&state.pages[page]),
        }
    }

    fn remote_number(&mut self, state: &State, near: &Near<Self>, index: usize) -> u32 {
        match near {
            Some((key, from)) if from.remotes[index] == state.remotes[index] => key[PAGES + index],
            _ => self.remotes.number(&state.remotes[index]),
        }
    }

    fn key(&mut self, pages: [u32; PAGES], state: &State, near: &Near<Self>) -> Key {
        let common = match near {
            Some((key, from)) if from.common == state.common => key[4],
            _ => self.commons.number(&state.common),
        };
        [
            pages[0],
            pages[1],
            self.remote_number(state, near, 0),
            self.remote_number(state, near, 1),
            common,
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

    fn pack(&mut self, state: &State, near: Near<Self>) -> Key {
        let a = self.page_number(state, &near, 0);
        let b = self.page_number(state, &near, 1);
        // Of a state and its mirror image the one with the lower page in front stands for both.
        match a.cmp(&b) {
            Ordering::Less => self.key([a, b], state, &near),
            Ordering::Greater => self.key([b, a], &state.swapped(), &near),
            Ordering::Equal => {
                let one = self.key([a, b], state, &near);
                one.min(self.key([a, b], &state.swapped(), &near))
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
