// SPDX-License-Identifier: GPL-2.0
//! Lies in the words of the window.

use super::scene::mark;
use super::scene::Scene;
use super::scene::MARK;
use super::witnesses::Told;
use super::witnesses::TOLD;
use super::HONEST;
use super::HOSTILE;
use super::PACE_MS;
use super::RATE_LIMIT_MS;
use crate::tests::node;

use kernel::c_str;
use kernel::prelude::*;

use popcorn_core::ring::Memory;
use popcorn_core::window;
use popcorn_kernel::check;
use popcorn_kernel::kunit::Outcome;
use popcorn_kernel::kunit::LONG_MS;
use popcorn_kernel::log;
use popcorn_kernel::time;

/// Lies in the words of the window, and lives that begin and end against the rules.
pub(super) fn bad_window() -> Outcome {
    /// Offsets in a header, as `popcorn_core::window` and `docs/protocol.md` have them.
    const INCARNATION: usize = 32;
    const ACCEPTED: usize = 40;
    const STATE: usize = 48;
    let own = window::HEADER_SIZE;
    let mut scene = Scene::new(LONG_MS)?;
    time::sleep_ms(RATE_LIMIT_MS);
    // Another life, or other words about ours, without leaving: it is dead.
    for (word, value) in [
        (INCARNATION, 0),
        (INCARNATION, 77),
        (ACCEPTED, 0),
        (ACCEPTED, 5),
    ] {
        mark();
        let before = scene.deaths();
        scene.hostile.memory.store(own + word, value);
        check!(scene
            .hostile
            .until(|_| Told::get(&TOLD.dead, HOSTILE) > before));
        check!(scene.deaths() == before + 1);
        check!(log::lines_since(MARK, c_str!("node 1 is d")) == 1);
        check!(scene.honest_goes_on());
        scene.hostile.join()?;
        time::sleep_ms(PACE_MS);
    }
    // Any state but "joined" is "left".
    for value in [0, 2, u64::MAX] {
        mark();
        let before = Told::get(&TOLD.left, HOSTILE);
        scene.hostile.memory.store(own + STATE, value);
        check!(scene
            .hostile
            .until(|_| Told::get(&TOLD.left, HOSTILE) > before));
        check!(log::lines_since(MARK, c_str!("node 1 has left")) == 1);
        scene.hostile.join()?;
        time::sleep_ms(PACE_MS);
    }
    // A doorbell that must not be rung is none.
    for vector in [0u64, 2, 0x80, 0xeb, 0xff, 0x100] {
        let word = (1 << 63) | (vector << 32);
        scene.hostile.memory.store(own + 256, word);
        scene.hostile.own.set_sleeping(true);
        let link = scene.victim.link(node(HOSTILE)).ok_or(ENODEV)?;
        check!(scene.victim.try_post(node(HOSTILE), 0x7000, &[]).is_ok());
        check!(link.statistics().doorbells.get() == 0);
    }
    // In the name of another node: a mismatch, said once, and then it may come as itself.
    time::sleep_ms(RATE_LIMIT_MS);
    mark();
    scene.hostile.own.leave();
    check!(scene
        .hostile
        .until(|this| !this.victim.is_online(node(HOSTILE))));
    let introduction = window::Introduction {
        node: node(HONEST),
        ..scene.hostile.introduction()
    };
    scene.hostile.own.introduce(&introduction, None);
    let mismatch = c_str!("node 1 does not match this one");
    check!(scene
        .hostile
        .until(|_| log::lines_since(MARK, mismatch) > 0));
    for _ in 0..20 {
        scene.hostile.nudge();
        time::sleep_ms(10);
    }
    check!(log::lines_since(MARK, mismatch) == 1);
    check!(!scene.victim.is_online(node(HOSTILE)));
    check!(scene.honest_goes_on());
    scene.hostile.join()?;
    scene.end()
}
