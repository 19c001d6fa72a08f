// SPDX-License-Identifier: GPL-2.0
//! Who lets threads pass between two nodes, of which one is about to leave.
//!
//! A node that leaves in order *parts* first: no thread goes to the other side any more, from
//! neither, and all come home. A link has two doors for that, one for each side's wish; threads pass
//! while both are open. Our own is shut by whoever leaves, and opened by the same. The peer's is shut
//! by its request, and opened when it says that it stays, or by itself when the time is over that it
//! gave: a node that was killed in the middle keeps nobody out for ever.
//!
//! Requests and what calls them off may overtake each other: the peer numbers its partings upwards,
//! and one that was called off before it came is not begun. Nothing here sleeps; the caller holds a
//! lock around each call (a spinlock is enough), and brings the time, in milliseconds from any start.

/// Why the peer's request is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// An earlier one is being followed.
    Busy,
    /// It was called off meanwhile.
    CalledOff,
}

/// What one request to part is followed by; no two are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn(u64);

/// The peer's parting.
#[derive(Clone, Copy, Debug)]
struct Theirs {
    number: u64,
    /// Of whoever follows it here: other lives of the peer count from 1 again.
    turn: Turn,
    /// Our side is being brought home for it.
    running: bool,
    until_ms: u64,
}

/// The doors between this node and a peer.
#[derive(Debug)]
pub struct Doors {
    /// The number of our latest parting; never starts anew.
    latest: u64,
    ours: Option<u64>,
    theirs: Option<Theirs>,
    /// Of the peer's requests that were followed; never starts anew.
    turns: u64,
    /// The highest number that the peer has called off in this life.
    called_off: u64,
}

impl Doors {
    /// Open.
    pub const fn new() -> Self {
        Self {
            latest: 0,
            ours: None,
            theirs: None,
            turns: 0,
            called_off: 0,
        }
    }

    /// The two begin a new life together: what was is over.
    pub fn begin_life(&mut self) {
        self.ours = None;
        self.theirs = None;
        self.called_off = 0;
    }

    /// Whether threads may pass, in both directions.
    pub fn is_open(&self, now_ms: u64) -> bool {
        let theirs = self.theirs.is_none_or(|theirs| now_ms >= theirs.until_ms);
        self.ours.is_none() && theirs
    }

    /// We part: the number of this parting. `None`: we do so already.
    pub fn shut(&mut self) -> Option<u64> {
        if self.ours.is_some() {
            return None;
        }
        // 0 is never one: that is where the peer's account begins.
        self.latest = self.latest.wrapping_add(1).max(1);
        self.ours = Some(self.latest);
        self.ours
    }

    /// We stay after all. Whether that parting was not over yet: then the peer is to be told.
    pub fn open(&mut self, number: u64) -> bool {
        let is_ours = self.is_ours(number);
        if is_ours {
            self.ours = None;
        }
        is_ours
    }

    /// Whether our parting of this number goes on.
    pub fn is_ours(&self, number: u64) -> bool {
        self.ours == Some(number)
    }

    /// The peer parts, and needs no longer than until then. If this succeeds, [`Doors::followed`]
    /// follows, with the result.
    ///
    /// # Errors
    ///
    /// See [`Refusal`].
    pub fn asked(&mut self, number: u64, until_ms: u64) -> Result<Turn, Refusal> {
        if number <= self.called_off {
            return Err(Refusal::CalledOff);
        }
        if self.theirs.is_some_and(|theirs| theirs.running) {
            return Err(Refusal::Busy);
        }
        self.turns = self.turns.wrapping_add(1);
        let turn = Turn(self.turns);
        self.theirs = Some(Theirs {
            number,
            turn,
            running: true,
            until_ms,
        });
        Ok(turn)
    }

    /// Whether the parting of the peer that is followed in this turn goes on.
    pub fn is_theirs(&self, turn: Turn) -> bool {
        self.theirs.is_some_and(|theirs| theirs.turn == turn)
    }

    /// All of ours are home (`done`), or that did not succeed, and the door is open again. Whether
    /// the parting goes on: done, and not called off.
    pub fn followed(&mut self, turn: Turn, done: bool) -> bool {
        match &mut self.theirs {
            Some(theirs) if theirs.turn == turn => {
                theirs.running = false;
                if !done {
                    self.theirs = None;
                }
                done
            }
            _ => false,
        }
    }

    /// The peer stays after all: that parting, and all before it, are called off.
    pub fn stays(&mut self, number: u64) {
        self.called_off = self.called_off.max(number);
        if self.theirs.is_some_and(|theirs| theirs.number <= number) {
            self.theirs = None;
        }
    }
}

impl Default for Doors {
    fn default() -> Self {
        Self::new()
    }
}
