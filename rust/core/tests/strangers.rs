// SPDX-License-Identifier: GPL-2.0
//! Who has to go when another one comes.

#![cfg(not(loom))]

mod xorshift;

use core::net::IpAddr;
use core::net::Ipv4Addr;
use popcorn_core::strangers::Strangers;
use xorshift::Xorshift;

const ROOM: usize = 16;

fn host(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, number))
}

#[test]
fn there_is_room_for_so_many() {
    let mut strangers = Strangers::<ROOM>::new();
    for number in 0..ROOM as u64 {
        assert_eq!(strangers.enter(host(1)), (number, false));
    }
    assert!((0..ROOM as u64).all(|number| strangers.is_here(number)));
    assert_eq!(strangers.enter(host(1)), (ROOM as u64, true));
    assert!(!strangers.is_here(0) && strangers.is_here(1));
    strangers.leave(5);
    assert!(!strangers.is_here(5));
    assert_eq!(strangers.enter(host(1)), (ROOM as u64 + 1, false));
    // Who was put out takes no other's place with him.
    strangers.leave(0);
    assert_eq!(strangers.enter(host(1)), (ROOM as u64 + 2, true));
    assert!(!strangers.is_here(1));
}

#[test]
fn silent_ones_do_not_keep_out_who_comes_from_the_same_host() {
    let mut strangers = Strangers::<ROOM>::new();
    for _ in 0..ROOM {
        strangers.enter(host(1));
    }
    let (honest, _) = strangers.enter(host(1));
    for _ in 1..ROOM {
        strangers.enter(host(1));
        assert!(strangers.is_here(honest));
    }
    strangers.enter(host(1));
    assert!(!strangers.is_here(honest));
}

#[test]
fn a_flood_from_another_host_puts_nobody_out() {
    let mut strangers = Strangers::<ROOM>::new();
    let (first, _) = strangers.enter(host(2));
    let (second, _) = strangers.enter(host(2));
    for _ in 0..1000 {
        strangers.enter(host(1));
        assert!(strangers.is_here(first) && strangers.is_here(second));
    }
    let (third, _) = strangers.enter(host(3));
    for _ in 0..1000 {
        strangers.enter(host(1));
        assert!(strangers.is_here(third));
    }
}

#[test]
fn of_hosts_alike_the_oldest_goes() {
    let mut strangers = Strangers::<ROOM>::new();
    for number in 0..ROOM as u8 {
        strangers.enter(host(number));
    }
    for number in 0..ROOM as u8 {
        strangers.enter(host(100 + number));
        assert!(!strangers.is_here(number.into()));
    }
}

/// Beside a list of all that are here.
#[test]
fn as_a_list_would_have_it() {
    let mut random = Xorshift::new(0x1357_9bdf);
    let mut strangers = Strangers::<4>::new();
    let mut here: Vec<(u64, u8)> = Vec::new();
    for _ in 0..20_000 {
        let from = (random.number() % 5) as u8;
        if random.number() % 3 == 0 && !here.is_empty() {
            let (number, _) = here.remove(random.number() as usize % here.len());
            strangers.leave(number);
        } else {
            let (number, puts_out) = strangers.enter(host(from));
            assert_eq!(puts_out, here.len() == 4);
            here.push((number, from));
            if puts_out {
                let many = |host| here.iter().filter(|one| one.1 == host).count();
                let most = here.iter().map(|one| many(one.1)).max();
                // In the order in which they came. The newest is no older than anybody.
                let place = here.iter().position(|one| Some(many(one.1)) == most);
                let (gone, _) = here.remove(place.unwrap());
                assert!(!strangers.is_here(gone));
            }
        }
        assert!(here.iter().all(|one| strangers.is_here(one.0)));
        // And nobody else: the last few numbers are all that may be.
        assert!(here.len() <= 4);
    }
}
