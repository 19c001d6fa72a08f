// SPDX-License-Identifier: GPL-2.0
//! KUnit: a peer that means harm. It writes what it likes into the window, by the rules or against them,
//! while an honest third node talks with the same endpoint all the time.
//!
//! What must come of it: the endpoint drops that peer, and says so in one line of the log that names the
//! fault; it is told as dead once; another life of it is welcome; the honest node notices nothing; and no
//! call, request or worker is left over. What is no fault (an answer that nobody waits for) changes nothing.
//!
//! The suite is in `hostile_kunit.c`.

mod answers;
mod floods;
mod messages;
mod peer;
mod random;
mod scene;
mod window;
mod witnesses;

use popcorn_kernel::kunit_cases;

/// Node ids of a scene: who is attacked is the primary.
const HOSTILE: u64 = 1;
const HONEST: u64 = 2;
/// The log lets five lines of a place through in five seconds: if they come so far apart, none is suppressed.
const PACE_MS: u32 = 1100;
/// After so long, none that came before counts.
const RATE_LIMIT_MS: u32 = 5100;
/// Lines of one place that the log lets through in that time, at most.
const RATE_LIMIT_LINES: u64 = 5;
/// Rounds of honest traffic that prove that it goes on.
const ROUNDS: u32 = 4;

kunit_cases! {
    "popcorn_msg", "popcorn_msg/tests/hostile.rs";
    popcorn_msg_test_hostile_messages = messages::bad_messages;
    popcorn_msg_test_hostile_window = window::bad_window;
    popcorn_msg_test_hostile_answers = answers::answers_nobody_asked_for;
    popcorn_msg_test_hostile_late = answers::late_and_double_answers;
    popcorn_msg_test_hostile_storm = floods::storm;
    popcorn_msg_test_hostile_flood = floods::flood_of_unknown_messages;
    popcorn_msg_test_hostile_random = random::random_messages;
}
