// SPDX-License-Identifier: GPL-2.0
//! Whether a peer that owes us room for responses still takes them. Numbers only; what a tick is, its user says.

/// For how long a peer has taken no response although there is one that it should.
///
/// Ticks in which the peer was heard count apart from those in which it was not. Who is heard and takes nothing does
/// not want to, or does not hear us. Who is not heard may only have lost a connection: another one takes time, and he is
/// given that once, not each time anew; or he would never have to take anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    seen: Option<u64>,
    heard: u32,
    unheard: u32,
}

impl Progress {
    /// Once a tick. `passed`: how many responses it has taken, if there is another one for it; `is_heard`: something
    /// came from it since the last tick, where it would say that it has taken one.
    pub fn tick(&mut self, passed: Option<u64>, is_heard: bool) {
        if passed.is_none() || passed != self.seen {
            *self = Self {
                seen: passed,
                ..Self::default()
            };
        } else if is_heard {
            self.heard = self.heard.saturating_add(1);
        } else {
            self.unheard = self.unheard.saturating_add(1);
        }
    }

    /// For how many ticks it has taken none.
    pub fn ticks(&self) -> u32 {
        self.heard.saturating_add(self.unheard)
    }

    /// Whether that is for too long: `heard` ticks in which it was heard, or `unheard` in which it was not. So that
    /// comes true before both together at the latest, whatever the peer does.
    pub fn is_stuck(&self, heard: u64, unheard: u64) -> bool {
        u64::from(self.heard) >= heard || u64::from(self.unheard) >= unheard
    }
}
