// SPDX-License-Identifier: GPL-2.0
//! Too many requests, and too many messages that nobody knows.

use super::scene::mark;
use super::scene::Scene;
use super::scene::MARK;
use super::witnesses::Told;
use super::witnesses::TOLD;
use super::witnesses::TRAFFIC;
use super::HOSTILE;
use super::RATE_LIMIT_LINES;
use super::RATE_LIMIT_MS;
use super::ROUNDS;
use crate::ping::ECHO;
use crate::ping::ECHO_BY_WORKER;
use crate::tests::node;

use kernel::c_str;
use kernel::prelude::*;

use core::sync::atomic::Ordering;
use popcorn_core::ids::Class;
use popcorn_core::window::Lane;
use popcorn_kernel::check;
use popcorn_kernel::kunit::eventually;
use popcorn_kernel::kunit::Outcome;
use popcorn_kernel::kunit::LONG_MS;
use popcorn_kernel::log;
use popcorn_kernel::time;

/// Requests without end from one who takes no answers: it occupies so many workers and no more, others are served
/// meanwhile, and it does not stay.
pub(super) fn storm() -> Outcome {
    const DEAD_MS: u32 = 4000;
    time::sleep_ms(RATE_LIMIT_MS);
    let mut scene = Scene::new(DEAD_MS)?;
    mark();
    let begin = TRAFFIC.rounds.load(Ordering::SeqCst);
    let payload = KVec::from_elem(0x5au8, 8192, GFP_KERNEL)?;
    let link = scene.victim.link(node(HOSTILE)).ok_or(ENODEV)?;
    let queued_max = link.core().settings().queued_max();
    let mut is_bounded = true;
    check!(scene.hostile.until(|this| {
        for number in 0..64 {
            let kind = [ECHO, ECHO_BY_WORKER, 0x7000][number % 3];
            this.send(Lane::Requests, &payload, |header| {
                header[6..8].copy_from_slice(&kind.to_le_bytes());
            });
        }
        // One that is being taken when the limit is reached may come on top.
        is_bounded &= link.queued.load(Ordering::Relaxed) <= queued_max + 1;
        Told::get(&TOLD.dead, HOSTILE) > 0
    }));
    check!(is_bounded);
    check!(scene.is_dropped(0, c_str!("node 1 is dropped: it took no response for ")));
    check!(TRAFFIC.rounds.load(Ordering::SeqCst).wrapping_sub(begin) >= ROUNDS);
    check!(scene.honest_goes_on());
    drop(link);
    // Another life is served as if nothing had been.
    scene.hostile.join()?;
    check!(scene.honest_goes_on());
    scene.end()
}

/// Messages that nobody knows and that want no answer: lost, and the log is not flooded.
pub(super) fn flood_of_unknown_messages() -> Outcome {
    const MESSAGES: u64 = 2000;
    let mut scene = Scene::new(LONG_MS)?;
    mark();
    let begin = time::now_ms();
    let before = scene.received();
    for number in 0..MESSAGES {
        check!(scene.hostile.until(|this| {
            this.send(Lane::Requests, b"?", |header| {
                header[6..8].copy_from_slice(&(0x7000 + number as u16 % 16).to_le_bytes());
                header[8] = Class::OneWay.get();
                header[32..40].fill(0);
            })
        }));
    }
    check!(scene.hostile.until(|_| true));
    check!(eventually(|| scene.received() == before + MESSAGES));
    let intervals = 2 + time::now_ms().wrapping_sub(begin) / u64::from(RATE_LIMIT_MS);
    let lines = log::lines_since(MARK, c_str!("from node 1 is lost"));
    check!(lines > 0 && u64::from(lines) <= RATE_LIMIT_LINES * (intervals + 1));
    check!(scene.is_untouched() && scene.honest_goes_on());
    scene.end()
}
