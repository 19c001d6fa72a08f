// SPDX-License-Identifier: GPL-2.0
//! Messages and words of the window as they come by chance.

use super::scene::Scene;
use super::witnesses::Told;
use super::witnesses::TOLD;
use super::witnesses::TRAFFIC;
use super::HOSTILE;
use crate::tests::node;

use kernel::prelude::*;

use core::sync::atomic::Ordering;
use popcorn_core::ring;
use popcorn_core::ring::Memory;
use popcorn_core::window::Lane;
use popcorn_core::window::Side;
use popcorn_core::wire;
use popcorn_kernel::check;
use popcorn_kernel::kunit::Outcome;
use popcorn_kernel::kunit::LONG_MS;

/// Good messages with some bytes changed, records of any length, words of the window: whatever comes of each,
/// the node is online again after it, is told as dead as often as it was dropped, and nobody else notices.
pub(super) fn random_messages() -> Outcome {
    const MESSAGES: u32 = 300;
    let mut scene = Scene::new(LONG_MS)?;
    let mut state = 0x706f_7063_6f72_6e21u64;
    let mut random = move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    };
    for _ in 0..MESSAGES {
        let (deaths, taken) = (scene.deaths(), scene.received());
        let lane = [Lane::Requests, Lane::Responses][random() as usize % 2];
        let length = random() as usize % 200;
        let payload = KVec::from_elem(random() as u8, length, GFP_KERNEL)?;
        let changes = random() % 4;
        let (at, byte) = (random() as usize % wire::HEADER_SIZE, random() as u8);
        let cut = random() as usize % wire::HEADER_SIZE;
        let record = random() % 8;
        let sent = match record {
            // Less than a header, or no header at all.
            0 => {
                let header = scene.hostile.header(lane).encode();
                scene.hostile.put(lane, &[&header[..cut.max(1)], &payload])
            }
            // Any word of a run, wherever the victim looks.
            1 => {
                let words = scene.hostile.ring(Side::High, lane) + ring::HEADER_SIZE;
                // With its number, mostly: what has another is no run.
                let number = scene.hostile.next_run(lane);
                let (length, count) = (random() as u32 % (1 << 17), random() as u32 % 2048);
                let word = match random() % 4 {
                    0 => random() << (random() % 48),
                    1 => ring::word(number, length % 200, count % 4),
                    _ => ring::word(number, length, count >> (random() % 11)),
                };
                for cell in 0..scene.hostile.layout.capacity() / ring::CELL {
                    scene.hostile.memory.store(words + 8 * cell, word);
                }
                true
            }
            _ => scene.hostile.send(lane, &payload, |header| {
                if changes != 0 {
                    header[at] = byte;
                }
                if changes == 3 {
                    header[cut] ^= byte;
                }
            }),
        };
        check!(sent);
        // It is taken, or is the last that this life has sent. A word that says nothing is neither.
        scene.hostile.nudge();
        let is_same = record == 1;
        let mut looks = 0;
        check!(scene.hostile.until(|this| {
            looks += 1;
            let link = this.victim.link(node(HOSTILE));
            let received = link.map_or(0, |link| link.statistics().totals().received);
            Told::get(&TOLD.dead, HOSTILE) > deaths || received > taken || is_same && looks > 40
        }));
        check!(scene.deaths() <= deaths + 1);
        if scene.deaths() > deaths {
            scene.hostile.join()?;
        } else if is_same {
            // It happens to be good, or was not yet looked at: a new life, by the rules.
            scene.hostile.own.leave();
            check!(scene
                .hostile
                .until(|this| !this.victim.is_online(node(HOSTILE))));
            // It may have been dropped meanwhile: that is to be told before the next message.
            scene.victim.settle();
            scene.hostile.join()?;
        }
        check!(TRAFFIC.wrong.load(Ordering::SeqCst) == 0);
    }
    check!(scene.honest_goes_on());
    scene.end()
}
