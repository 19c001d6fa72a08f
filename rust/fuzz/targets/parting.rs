// SPDX-License-Identifier: GPL-2.0
//! The doors between two nodes, of which the other asks to part, stays after all, and asks again, in any order and
//! with any numbers.
//!
//! Threads pass while neither has shut its door, and no door of the peer's stays shut longer than it said. One of its
//! partings is followed at a time; what follows one that is over changes nothing, also if its number comes again;
//! what was called off is not begun.

use super::Target;
use crate::source::Source;

use popcorn_core::parting::Doors;
use popcorn_core::parting::Refusal;
use popcorn_core::parting::Turn;

pub(super) const TARGET: Target = Target {
    name: "parting",
    about: "a node that parts and stays as it likes",
    most: 256,
    seeds,
    run,
};

fn seeds() -> Vec<Vec<u8>> {
    // Ours; theirs, followed, called off, begun again; another life of it.
    let ours = vec![0, 0, 1, 0];
    let theirs = vec![2, 1, 100, 3, 0, 1, 4, 1, 2, 1, 100, 2, 2, 100, 3, 1, 0];
    let lives = [&ours[..], &theirs, &[5], &theirs, &[6, 200], &ours].concat();
    vec![ours, theirs, lives]
}

/// The peer's parting, as it should be known.
struct Theirs {
    number: u64,
    turn: Turn,
    is_followed: bool,
    until_ms: u64,
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let mut doors = Doors::new();
    let mut now_ms = 0u64;
    let mut ours: Option<u64> = None;
    let mut numbers = vec![0];
    let mut theirs: Option<Theirs> = None;
    let mut called_off = 0;
    let mut turns: Vec<Turn> = Vec::new();
    while !source.is_empty() {
        match source.byte() % 7 {
            0 => {
                let number = doors.shut();
                assert_eq!(number.is_some(), ours.is_none());
                if let Some(number) = number {
                    assert!(!numbers.contains(&number), "a number comes twice");
                    numbers.push(number);
                    ours = Some(number);
                }
            }
            1 => {
                let number = numbers[numbers.len() - 1 - source.below(numbers.len().min(3))];
                assert_eq!(doors.open(number), ours == Some(number));
                ours = ours.filter(|ours| *ours != number);
                assert!(!doors.is_ours(number));
            }
            2 => {
                let number = source.word();
                // As the caller has it: a time to come.
                let until_ms = now_ms.saturating_add(u64::from(source.byte()));
                let asked = doors.asked(number, until_ms);
                if number <= called_off {
                    assert_eq!(asked, Err(Refusal::CalledOff));
                } else if theirs.as_ref().is_some_and(|theirs| theirs.is_followed) {
                    assert_eq!(asked, Err(Refusal::Busy));
                } else {
                    let turn = asked.unwrap();
                    assert!(!turns.contains(&turn), "two are the same");
                    turns.push(turn);
                    theirs = Some(Theirs {
                        number,
                        turn,
                        is_followed: true,
                        until_ms,
                    });
                }
            }
            3 => {
                let (back, done) = (source.below(3), source.flag());
                let Some(at) = turns.len().checked_sub(1 + back) else {
                    continue;
                };
                let is_it = theirs
                    .as_ref()
                    .is_some_and(|theirs| theirs.turn == turns[at]);
                assert_eq!(doors.is_theirs(turns[at]), is_it);
                assert_eq!(doors.followed(turns[at], done), is_it && done);
                match &mut theirs {
                    Some(theirs) if is_it && done => theirs.is_followed = false,
                    theirs if is_it => *theirs = None,
                    _ => {}
                }
            }
            4 => {
                let number = source.word();
                doors.stays(number);
                called_off = called_off.max(number);
                theirs = theirs.filter(|theirs| theirs.number > number);
            }
            5 => {
                doors.begin_life();
                (ours, theirs, called_off) = (None, None, 0);
            }
            _ => now_ms = now_ms.saturating_add(u64::from(source.byte())),
        }
        let is_shut = theirs
            .as_ref()
            .is_some_and(|theirs| now_ms < theirs.until_ms);
        assert_eq!(doors.is_open(now_ms), ours.is_none() && !is_shut);
        if let Some(number) = ours {
            assert!(doors.is_ours(number));
        }
    }
    // Whatever it has said: when its time is over, and we stay, threads pass.
    if let Some(number) = ours {
        assert!(doors.open(number));
    }
    assert!(doors.is_open(u64::MAX));
}
