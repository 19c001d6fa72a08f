// SPDX-License-Identifier: GPL-2.0
//! Doors between two nodes: shut by either, open again whatever becomes of who shut them.

#![cfg(not(loom))]

mod xorshift;

use popcorn_core::parting::Doors;
use popcorn_core::parting::Refusal;
use xorshift::Xorshift;

#[test]
fn ours_is_shut_until_we_open_it() {
    let mut doors = Doors::new();
    assert!(doors.is_open(0));
    let number = doors.shut().unwrap();
    assert!(!doors.is_open(u64::MAX));
    assert!(doors.is_ours(number));
    assert_eq!(doors.shut(), None);
    assert!(!doors.open(number + 1) && doors.is_ours(number));
    assert!(doors.open(number));
    assert!(doors.is_open(0) && !doors.open(number));
    assert!(doors.shut().unwrap() > number);
}

#[test]
fn theirs_opens_by_word_failure_or_time() {
    let mut doors = Doors::new();
    let turn = doors.asked(1, 100).unwrap();
    assert!(!doors.is_open(99) && doors.is_open(100));
    assert_eq!(doors.asked(2, 200), Err(Refusal::Busy));
    assert!(doors.followed(turn, true));
    assert!(!doors.is_open(99));
    doors.stays(1);
    assert!(doors.is_open(0));

    let turn = doors.asked(2, 100).unwrap();
    assert!(!doors.followed(turn, false));
    assert!(doors.is_open(0));

    // Done, but neither left nor said to stay: the next one takes its place.
    let third = doors.asked(3, 100).unwrap();
    assert!(doors.followed(third, true));
    let fourth = doors.asked(4, 300).unwrap();
    assert!(!doors.is_open(100) && !doors.is_theirs(third) && doors.is_theirs(fourth));
}

#[test]
fn both_may_part() {
    let mut doors = Doors::new();
    let number = doors.shut().unwrap();
    doors.asked(7, 100).unwrap();
    assert!(doors.open(number));
    assert!(!doors.is_open(0));
    doors.stays(7);
    assert!(doors.is_open(0));
}

#[test]
fn what_was_called_off_before_it_came_does_not_begin() {
    let mut doors = Doors::new();
    doors.stays(5);
    assert_eq!(doors.asked(5, 100), Err(Refusal::CalledOff));
    assert_eq!(doors.asked(0, 100), Err(Refusal::CalledOff));
    assert!(doors.is_open(0));
    let sixth = doors.asked(6, 100).unwrap();
    // A late word about an earlier one.
    doors.stays(4);
    assert!(!doors.is_open(0));
    // Whoever follows it learns at its end that it was for nothing, and opens nobody else's door.
    doors.stays(6);
    let seventh = doors.asked(7, 100).unwrap();
    assert!(!doors.is_theirs(sixth) && !doors.followed(sixth, false));
    assert!(doors.is_theirs(seventh) && !doors.is_open(0));
    assert!(doors.followed(seventh, true));
}

#[test]
fn a_new_life_begins_with_open_doors() {
    let mut doors = Doors::new();
    let number = doors.shut().unwrap();
    doors.stays(9);
    let old = doors.asked(10, 100).unwrap();
    doors.begin_life();
    assert!(doors.is_open(0));
    assert!(!doors.open(number) && !doors.followed(old, true));
    // Theirs may count from 1 again; ours does not, so that nobody takes this one for the one before.
    doors.asked(1, 100).unwrap();
    assert!(doors.shut().unwrap() > number);
}

#[test]
fn who_follows_a_former_life_does_not_follow_the_present_one() {
    let mut doors = Doors::new();
    let old = doors.asked(1, 100).unwrap();
    doors.begin_life();
    let new = doors.asked(1, 200).unwrap();
    assert!(!doors.is_theirs(old) && doors.is_theirs(new));
    assert!(!doors.followed(old, false));
    assert!(doors.is_theirs(new) && !doors.is_open(199));
    assert_eq!(doors.asked(2, 300), Err(Refusal::Busy));
    assert!(doors.followed(new, true));
}

/// Whatever is said in whatever order, a door is shut only by somebody who parts, and never for longer
/// than was said.
#[test]
fn random_orders() {
    let mut numbers = Xorshift::new(0x1234_5678_9abc_def1);
    let mut random = move |below: u64| numbers.number() % below;
    for _ in 0..2000 {
        let mut doors = Doors::new();
        let mut ours = None;
        let mut called_off = 0;
        let mut latest_until = 0;
        let mut turns = Vec::new();
        for now in 0..200 {
            match random(6) {
                0 => {
                    let shut = doors.shut();
                    assert_eq!(shut.is_some(), ours.is_none());
                    ours = ours.or(shut);
                }
                1 => {
                    if let Some(number) = ours.take() {
                        assert!(doors.open(number));
                    }
                }
                2 => {
                    let (number, until) = (random(40), now + random(50));
                    match doors.asked(number, until) {
                        Ok(turn) => {
                            assert!(number > called_off);
                            turns.push((number, turn));
                            latest_until = latest_until.max(until);
                        }
                        Err(Refusal::CalledOff) => assert!(number <= called_off),
                        Err(Refusal::Busy) => assert!(number > called_off),
                    }
                }
                3 => {
                    let number = random(20);
                    doors.stays(number);
                    called_off = called_off.max(number);
                    let off = |&&(of, _): &&(u64, _)| of <= number;
                    assert!(!turns
                        .iter()
                        .filter(off)
                        .any(|&(_, turn)| doors.is_theirs(turn)));
                }
                4 => {
                    let done = random(2) == 0;
                    let back = random(3) as usize;
                    if let Some(&(_, turn)) = turns.iter().rev().nth(back) {
                        let theirs = doors.is_theirs(turn);
                        assert_eq!(doors.followed(turn, done), theirs && done);
                        assert_eq!(doors.is_theirs(turn), theirs && done);
                    }
                }
                _ => {}
            }
            if ours.is_some() {
                assert!(!doors.is_open(now));
            } else if now >= latest_until {
                assert!(doors.is_open(now));
            }
        }
    }
}
