// SPDX-License-Identifier: GPL-2.0
//! Whether the peer takes its responses, on each channel by itself: those of the one need not be taken for those of the
//! other to be, and one connection may be lost while the other is not. Each that is under way counts, also if there is room
//! for more: who asked for it may be one that nothing else ends but this peer's death.
//!
//! The urgent channel's thread looks at both, in its ticks, except while the peer is missing: then the members decide.

use super::connecting::ATTEMPT_MAX_MS;
use crate::life::TICK_MS;
use crate::tcp::Tcp;

use popcorn_core::progress::Progress;
use popcorn_core::stream::Channel;

/// For a connection to be made anew.
const ATTEMPT_TICKS: u64 = ATTEMPT_MAX_MS.div_ceil(TICK_MS);

/// What is known of one channel.
#[derive(Default)]
struct Taken {
    progress: Progress,
    heard: u32,
}

/// See the module.
#[derive(Default)]
pub(super) struct Taking([Taken; 2]);

impl Taking {
    /// Once a tick. For how many the peer has taken no response, if that is too many; `limit`: after so many a
    /// connection on which nothing comes is given up, by either side.
    ///
    /// Who is heard may not hear us: he finds that out, and has as long again to take some on the connection that he
    /// makes then. Who is not heard has the time of an attempt to connect, beyond `limit`.
    pub(super) fn tick(&mut self, tcp: &Tcp, limit: u64) -> Option<u32> {
        let mut stuck = None;
        for channel in Channel::ALL {
            let taken = &mut self.0[channel.index()];
            let heard = tcp.end(channel).heard();
            let is_heard = core::mem::replace(&mut taken.heard, heard) != heard;
            let passed = tcp.end(channel).responses_under_way();
            taken.progress.tick(passed, is_heard);
            if taken.progress.is_stuck(2 * limit, limit + ATTEMPT_TICKS) {
                stuck = Some(taken.progress.ticks());
            }
        }
        stuck
    }
}
