// SPDX-License-Identifier: GPL-2.0

//! Which memory a secondary kernel gets while it runs, as the primary tells it in the status page, and what
//! it has of that.
//!
//! | bytes | word | writer |
//! |---|---|---|
//! | 896.. | bytes of a portion; 0: it can take none in | secondary |
//! | 904.. | number of the list: rises with each; 0 while it is being changed | primary |
//! | 912.. | how many spans the list has | primary |
//! | 920.. | the number of the last list that it has dealt with | secondary |
//! | 928.. | why it has not done all of that: an errno, or 0 | secondary |
//! | 960.. | the spans, 32 bytes each | |
//! | +0 | physical address | primary |
//! | +8 | portions that it shall have, a bit each | primary |
//! | +16 | portions that it shall give back, a bit each | primary |
//! | +24 | portions that it has, a bit each | secondary |
//!
//! All are 64-bit words, stored in one piece. A list names all that is lent, each time. What it shall have
//! and has not it takes in, what it shall give back it tries to; what is neither stays as it is. It
//! answers with what it has then, whatever came of it, and does nothing more by that list.
//!
//! To give memory back can take long, or for ever. So a primary that waits no more makes another list, in
//! which everything may stay as it is: then the secondary gives up what it is at, and answers that one. Until
//! it has answered the *last* list all that is lent stays so, since nobody knows what it is using; a
//! late answer to an older one counts for nothing ([`Account`]).
//!
//! Neither side trusts the other's numbers.

use crate::boot_control::HEARTBEAT;
use crate::boot_status::STATUS_SIZE;
use crate::portions::{PortionError, Portions, Span, SPANS_MAX};
use crate::ring::Memory;

const PORTION: usize = 896;
const NUMBER: usize = 904;
const COUNT: usize = 912;
const ANSWERED: usize = 920;
const ERRNO: usize = 928;
const SPANS: usize = 960;
const SPAN_SIZE: usize = 32;
const WANTED: usize = 8;
const UNWANTED: usize = 16;
const HAS: usize = 24;
const _: () = assert!(STATUS_SIZE <= PORTION && SPANS + SPANS_MAX * SPAN_SIZE <= HEARTBEAT);

/// The number of the list before the first; it is empty and counts as answered.
const FIRST: u64 = 1;

/// The words about memory in the page at the start of a memory.
pub struct LentMemory<M>(pub M);

/// A list that the secondary has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    number: u64,
    starts: [u64; SPANS_MAX],
    count: usize,
    wanted: Portions,
    unwanted: Portions,
}

impl List {
    /// The number that tells lists apart.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What it shall give back of what it has.
    pub fn to_give(&self, held: &Portions) -> Portions {
        held.common(&self.unwanted)
    }

    /// What it shall take in and has not.
    pub fn to_take(&self, held: &Portions) -> Portions {
        self.wanted.without(held)
    }
}

impl<M: Memory> LentMemory<M> {
    /// Before the secondary runs.
    pub fn begin(&self) {
        for word in [PORTION, COUNT, ERRNO] {
            self.0.store(word, 0);
        }
        self.0.store(ANSWERED, FIRST);
        self.0.store(NUMBER, FIRST);
    }

    /// The secondary can take memory in, in portions of so many bytes.
    pub fn offer(&self, size: u64) {
        self.0.store(PORTION, size);
    }

    /// Bytes of the secondary's portions; `None` if it can take none in, or says nonsense.
    pub fn portion(&self) -> Option<u64> {
        let size = self.0.load(PORTION);
        Portions::new(size).map(|_| size)
    }

    /// The number of the list, to see whether there is another.
    pub fn number(&self) -> u64 {
        self.0.load(NUMBER)
    }

    /// The list, for a secondary with portions of the size of `portions`; `None` if it is being changed, or
    /// no list.
    pub fn list(&self, portions: &Portions) -> Option<List> {
        let number = self.0.load(NUMBER);
        let count = usize::try_from(self.0.load(COUNT)).ok()?;
        let mut list = List {
            number,
            starts: [0; SPANS_MAX],
            count,
            wanted: portions.none(),
            unwanted: portions.none(),
        };
        let mut least = 0;
        for (index, to) in list.starts.get_mut(..count)?.iter_mut().enumerate() {
            let at = SPANS + index * SPAN_SIZE;
            let start = self.0.load(at);
            let (wanted, unwanted) = (self.0.load(at + WANTED), self.0.load(at + UNWANTED));
            if start < least || wanted & unwanted != 0 || !portions.is_span(start) {
                return None;
            }
            let span = |portions| Span { start, portions };
            list.wanted.insert_span(span(wanted)).ok()?;
            list.unwanted.insert_span(span(unwanted)).ok()?;
            *to = start;
            least = start + 1;
        }
        (number != 0 && self.0.load(NUMBER) == number).then_some(list)
    }

    /// The secondary has dealt with `list`, has `held`, and was kept from doing all of it by `errno`.
    pub fn answered(&self, list: &List, held: &Portions, errno: i32) {
        for (index, start) in list.starts.iter().take(list.count).enumerate() {
            let at = SPANS + index * SPAN_SIZE;
            self.0.store(at + HAS, held.of_span(*start));
        }
        self.0.store(ERRNO, errno.unsigned_abs().into());
        self.0.store(ANSWERED, list.number);
    }

    fn store(&self, number: u64, all: &Portions, wanted: &Portions, unwanted: &Portions) {
        self.0.store(NUMBER, 0);
        for (index, span) in all.spans().iter().enumerate() {
            let at = SPANS + index * SPAN_SIZE;
            self.0.store(at, span.start);
            self.0.store(at + WANTED, wanted.of_span(span.start));
            self.0.store(at + UNWANTED, unwanted.of_span(span.start));
        }
        self.0.store(COUNT, all.spans().len() as u64);
        self.0.store(NUMBER, number);
    }
}

/// Why nothing can be asked of a secondary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountError {
    /// It has not answered what was asked before.
    Open,
    /// More spans than a list has room for.
    Scattered,
}

/// What came of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was lent and is not in use there: it is lent no more.
    pub back: Portions,
    /// Why not all was done; 0 if all was.
    pub errno: i32,
}

/// What the primary has lent to a secondary that runs.
///
/// What is in it the secondary may be using. It leaves only by [`Account::settle`].
#[derive(Clone, Copy, Debug)]
pub struct Account {
    lent: Portions,
    number: u64,
    open: bool,
}

impl Account {
    /// With a secondary that was started ([`LentMemory::begin`]) and has portions of `size` bytes. `None` if
    /// there are no such.
    pub fn new(size: u64) -> Option<Self> {
        Some(Self {
            lent: Portions::new(size)?,
            number: FIRST,
            open: false,
        })
    }

    /// All that it may be using.
    pub fn lent(&self) -> &Portions {
        &self.lent
    }

    /// Tells the secondary that it shall have `more` besides what it has.
    ///
    /// # Errors
    ///
    /// See [`AccountError`]: then it is told nothing.
    pub fn lend<M: Memory>(
        &mut self,
        page: &LentMemory<M>,
        more: &Portions,
    ) -> Result<(), AccountError> {
        self.check()?;
        let all = self.lent.with(more);
        self.lent = all.map_err(|_: PortionError| AccountError::Scattered)?;
        let lent = self.lent;
        self.post(page, &lent, &lent.none());
        Ok(())
    }

    /// Tells it that it shall give back `some` of what is lent.
    ///
    /// # Errors
    ///
    /// [`AccountError::Open`]: then it is told nothing.
    pub fn ask_back<M: Memory>(
        &mut self,
        page: &LentMemory<M>,
        some: &Portions,
    ) -> Result<(), AccountError> {
        self.check()?;
        let unwanted = self.lent.common(some);
        self.post(page, &self.lent.without(&unwanted), &unwanted);
        Ok(())
    }

    /// Tells it that everything may stay as it is, whether it has answered or not.
    pub fn leave<M: Memory>(&mut self, page: &LentMemory<M>) {
        let none = self.lent.none();
        self.post(page, &none, &none);
    }

    /// Looks for the answer; `None` if there is none yet, or nothing was asked.
    pub fn settle<M: Memory>(&mut self, page: &LentMemory<M>) -> Option<Answer> {
        if !self.open || page.0.load(ANSWERED) != self.number {
            return None;
        }
        let mut has = self.lent.none();
        for (index, span) in self.lent.spans().iter().enumerate() {
            let at = SPANS + index * SPAN_SIZE;
            let portions = page.0.load(at + HAS) & span.portions;
            let start = span.start;
            // Not more spans than are lent.
            let _ = has.insert_span(Span { start, portions });
        }
        let back = self.lent.without(&has);
        self.lent = has;
        self.open = false;
        Some(Answer {
            back,
            errno: page.0.load(ERRNO).min(4095) as i32,
        })
    }

    /// Whether something was asked and not answered.
    pub fn is_open(&self) -> bool {
        self.open
    }

    fn check(&self) -> Result<(), AccountError> {
        match self.open {
            true => Err(AccountError::Open),
            false => Ok(()),
        }
    }

    fn post<M: Memory>(&mut self, page: &LentMemory<M>, wanted: &Portions, unwanted: &Portions) {
        // Not by what the page says: the secondary can write there.
        self.number += 1;
        self.open = true;
        page.store(self.number, &self.lent, wanted, unwanted);
    }
}
