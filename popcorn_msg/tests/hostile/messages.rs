// SPDX-License-Identifier: GPL-2.0
//! Each way in which a message or a ring can be wrong, one after the other.

use super::peer::Hostile;
use super::scene::mark;
use super::scene::Scene;
use super::witnesses::Told;
use super::witnesses::TOLD;
use super::HONEST;
use super::HOSTILE;
use super::PACE_MS;
use super::RATE_LIMIT_MS;
use crate::tests::node;

use kernel::c_str;
use kernel::prelude::*;

use popcorn_core::proto::Part;
use popcorn_core::proto::Stay;
use popcorn_core::ring;
use popcorn_core::ring::Memory;
use popcorn_core::window::Lane;
use popcorn_core::window::Side;
use popcorn_core::wire;
use popcorn_core::wire::Wire;
use popcorn_kernel::check;
use popcorn_kernel::errno;
use popcorn_kernel::kunit::eventually;
use popcorn_kernel::kunit::Outcome;
use popcorn_kernel::kunit::LONG_MS;
use popcorn_kernel::time;

/// A fault, and what the log calls it.
struct Crime {
    reason: &'static CStr,
    commit: fn(&mut Hostile) -> bool,
}

const MALFORMED: &CStr = c_str!("node 1 is dropped: a header is malformed");
const OTHER_LIFE: &CStr =
    c_str!("node 1 is dropped: a message is of another life or out of sequence");
const STRAY: &CStr = c_str!("node 1 is dropped: a message is not from it or not for us");
const WRONG_RING: &CStr = c_str!("node 1 is dropped: a message is in the wrong lane");
const WRONG_LENGTH: &CStr = c_str!("node 1 is dropped: a message has a wrong length");
const TOO_SHORT: &CStr = c_str!("node 1 is dropped: a message is shorter than its header");
const SHORTER: &CStr = c_str!("node 1 is dropped: a message is shorter than declared");
const LONGER: &CStr = c_str!("node 1 is dropped: a message is longer than declared");
const OTHER_CLASS: &CStr =
    c_str!("node 1 is dropped: a message is not of the class that is declared");
const CORRUPT: &CStr = c_str!("node 1 is dropped: its ring is corrupt");

/// A crime that consists of one header with other bytes at one place.
macro_rules! header {
    ($reason:expr, $lane:expr, $at:expr, $bytes:expr) => {
        Crime {
            reason: $reason,
            commit: |hostile| {
                hostile.send($lane, &[], |header| {
                    let bytes: &[u8] = $bytes;
                    header[$at..$at + bytes.len()].copy_from_slice(bytes);
                })
            },
        }
    };
}

/// An offset in a ring, as `popcorn_core::ring` documents it.
const TAIL: usize = 0;

/// Writes the word of a ring's next run by hand.
fn put_raw(hostile: &Hostile, lane: Lane, word: u64) -> bool {
    let words = hostile.ring(Side::High, lane) + ring::HEADER_SIZE;
    let cells = (hostile.layout.capacity() / ring::CELL) as u64;
    let place = (hostile.next_run(lane) % cells) as usize;
    hostile.memory.store(words + 8 * place, word);
    true
}

/// The same, with the word of `count` records of `length` bytes.
fn put_run(hostile: &Hostile, lane: Lane, length: u32, count: u32) -> bool {
    let word = ring::word(hostile.next_run(lane), length, count);
    put_raw(hostile, lane, word)
}

/// Asks for what is declared otherwise.
fn undeclared(hostile: &mut Hostile, kind: u16, payload: &[u8]) -> bool {
    hostile.send(Lane::Requests, payload, |header| {
        header[6..8].copy_from_slice(&kind.to_le_bytes());
    })
}

const CRIMES: &[Crime] = &[
    // Garbage.
    Crime {
        reason: MALFORMED,
        commit: |hostile| hostile.put(Lane::Requests, &[&[0xa5; 300]]),
    },
    Crime {
        reason: MALFORMED,
        commit: |hostile| hostile.put(Lane::Responses, &[&[0; wire::HEADER_SIZE]]),
    },
    header!(MALFORMED, Lane::Requests, 0, b"popc"),
    header!(MALFORMED, Lane::Requests, 4, &[2, 0]),
    header!(MALFORMED, Lane::Requests, 8, &[0]),
    header!(MALFORMED, Lane::Requests, 9, &[0x80]),
    header!(MALFORMED, Lane::Requests, 14, &[0, 1]),
    header!(MALFORMED, Lane::Responses, 63, &[1]),
    // Truncated: less than a header, or than the header says.
    Crime {
        reason: TOO_SHORT,
        commit: |hostile| {
            let header = hostile.header(Lane::Requests).encode();
            hostile.put(Lane::Requests, &[&header[..wire::HEADER_SIZE - 1]])
        },
    },
    header!(WRONG_LENGTH, Lane::Requests, 16, &[1, 0, 0, 0]),
    Crime {
        reason: WRONG_LENGTH,
        commit: |hostile| {
            // More than the header says.
            let header = hostile.header(Lane::Responses).encode();
            hostile.put(Lane::Responses, &[&header, &[0; 5000]])
        },
    },
    // Huge.
    header!(MALFORMED, Lane::Requests, 16, &u32::MAX.to_le_bytes()),
    Crime {
        reason: CORRUPT,
        commit: |hostile| put_run(hostile, Lane::Requests, ring::RECORD_MAX as u32 + 1, 1),
    },
    Crime {
        reason: CORRUPT,
        commit: |hostile| put_raw(hostile, Lane::Responses, u64::MAX),
    },
    // A run of nothing, of no records, of more than there can be, and another one than the next.
    Crime {
        reason: CORRUPT,
        commit: |hostile| put_run(hostile, Lane::Requests, 0, 1),
    },
    Crime {
        reason: CORRUPT,
        commit: |hostile| put_run(hostile, Lane::Responses, 64, 0),
    },
    Crime {
        reason: CORRUPT,
        commit: |hostile| put_run(hostile, Lane::Requests, ring::RECORD_MAX as u32, 2047),
    },
    Crime {
        reason: CORRUPT,
        commit: |hostile| {
            let word = ring::word(hostile.next_run(Lane::Requests) + 1, 64, 1);
            put_raw(hostile, Lane::Requests, word)
        },
    },
    // Replayed, lost, and late by a life.
    Crime {
        reason: OTHER_LIFE,
        commit: |hostile| {
            let message = hostile.header(Lane::Requests).encode();
            hostile.put(Lane::Requests, &[&message]) && hostile.put(Lane::Requests, &[&message])
        },
    },
    header!(OTHER_LIFE, Lane::Requests, 24, &[1]),
    Crime {
        reason: OTHER_LIFE,
        commit: |hostile| {
            let old = hostile.life.get() - 1;
            hostile.send(Lane::Requests, b"late", |header| {
                header[40..48].copy_from_slice(&old.to_le_bytes());
            })
        },
    },
    // In the name of another node, for another one, and from one that cannot be.
    header!(STRAY, Lane::Requests, 10, &[HONEST as u8, 0]),
    header!(STRAY, Lane::Responses, 12, &[HONEST as u8, 0]),
    header!(MALFORMED, Lane::Requests, 10, &[64, 0]),
    // Contradictory: ring and class, class and request id, class and status.
    header!(WRONG_RING, Lane::Requests, 8, &[3]),
    header!(WRONG_RING, Lane::Responses, 8, &[2]),
    header!(MALFORMED, Lane::Requests, 8, &[1]),
    header!(MALFORMED, Lane::Requests, 32, &[0; 8]),
    header!(MALFORMED, Lane::Requests, 20, &(-5i32).to_le_bytes()),
    header!(MALFORMED, Lane::Responses, 20, &5i32.to_le_bytes()),
    header!(MALFORMED, Lane::Responses, 20, &(-4096i32).to_le_bytes()),
    // Not as declared.
    Crime {
        reason: SHORTER,
        commit: |hostile| undeclared(hostile, Part::TYPE, &[0; Part::SIZE - 1]),
    },
    Crime {
        reason: LONGER,
        commit: |hostile| undeclared(hostile, Part::TYPE, &[0; Part::SIZE + 1]),
    },
    Crime {
        reason: OTHER_CLASS,
        commit: |hostile| undeclared(hostile, Stay::TYPE, &[0; Stay::SIZE]),
    },
    // The index of a ring that the victim fills: found out when that sends.
    Crime {
        reason: c_str!("node 1 is dropped: its index of our ring is corrupt"),
        commit: |hostile| {
            let base = hostile.ring(Side::Low, Lane::Requests);
            hostile.memory.store(base + TAIL, 1 << 40);
            let Ok(big) = KVec::from_elem(0u8, 60_000, GFP_KERNEL) else {
                return false;
            };
            // It looks at that index only when it knows of no room.
            (0..8).any(|_| {
                let sent = hostile.victim.try_post(node(HOSTILE), 0x7000, &[&big]);
                sent.err() == Some(errno::host_down())
            })
        },
    },
];

/// Each way in which a message can be wrong: dropped, one line, and nobody else notices.
pub(super) fn bad_messages() -> Outcome {
    let mut scene = Scene::new(LONG_MS)?;
    // What others have logged does not suppress what is to come.
    time::sleep_ms(RATE_LIMIT_MS);
    for (number, crime) in CRIMES.iter().enumerate() {
        mark();
        let before = scene.deaths();
        let done = (crime.commit)(&mut scene.hostile) && scene.is_dropped(before, crime.reason);
        if !done {
            pr_err!("hostile: crime {} of this list\n", number);
        }
        check!(done);
        check!(scene.honest_goes_on());
        scene.hostile.join()?;
        time::sleep_ms(PACE_MS);
    }
    let lives = CRIMES.len() as u32 + 1;
    check!(eventually(|| Told::get(&TOLD.online, HOSTILE) == lives));
    scene.end()
}
