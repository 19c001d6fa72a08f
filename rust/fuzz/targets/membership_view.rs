// SPDX-License-Identifier: GPL-2.0
//! What a machine says of the members: accepted only if it can be, and the same bytes again when it is encoded; and
//! what follows from two lists, whoever made them up. (That what honest ones say is accepted, target `membership`
//! looks.)
//!
//! An input is the length of a first view, that view, and a second one.

use super::Target;
use crate::source::Source;

use popcorn_core::directory::NodeSet;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::membership::agreement::Accepted;
use popcorn_core::membership::agreement::Ballot;
use popcorn_core::membership::agreement::Opinion;
use popcorn_core::membership::list::Change;
use popcorn_core::membership::list::List;
use popcorn_core::membership::view::Said;
use popcorn_core::membership::view::View;
use popcorn_core::membership::view::SAID_MAX;
use popcorn_core::membership::view::SAID_MIN;

pub(super) const TARGET: Target = Target {
    name: "membership_view",
    about: "views of the members, as bytes",
    most: 2 + 2 * SAID_MAX,
    seeds: pairs,
    run,
};

/// Words before the lives of the members.
const FIXED: usize = 15;

/// Views, as they travel.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let node = |id: u64| NodeId::new(id).unwrap();
    let life = |raw: u64| Incarnation::new(raw).unwrap();
    let mut lives = [None; 64];
    for (n, id) in [0, 8, 63].into_iter().enumerate() {
        lives[id] = Some(life(100 + n as u64));
    }
    let three = View {
        list: List::from_parts(77, 5, lives),
        opinion: Opinion {
            promised: Ballot::from_bits(0x308),
            accepted: Some(Accepted {
                ballot: Ballot::from_bits(0x208),
                change: Change::Remove(NodeSet::only(node(63))),
            }),
        },
        sent: 1000,
        granted: Some(990),
        dead: 20,
        hears: NodeSet::only(node(0)).with(node(8)),
        kernels: NodeSet::only(node(8)).with(node(9)),
        is_leaving: true,
        leaving: NodeSet::only(node(63)),
    };
    let joining = View {
        opinion: Opinion {
            accepted: Some(Accepted {
                ballot: Ballot::from_bits(0x208),
                change: Change::Join(node(16), life(5)),
            }),
            ..three.opinion
        },
        is_leaving: false,
        ..three
    };
    let alone = View {
        list: List::founded(9, node(8), life(101)),
        opinion: Opinion::default(),
        granted: None,
        ..joining
    };
    let candidate = View {
        list: List::EMPTY,
        ..alone
    };
    let views: [View; 4] = [three, joining, alone, candidate];
    let bytes = |view: View| {
        let mut bytes = vec![0; SAID_MAX];
        let said = Said {
            life: life(101),
            view,
        };
        let length = said.encode(&mut bytes).unwrap();
        bytes.truncate(length);
        bytes
    };
    views.map(bytes).to_vec()
}

fn pairs() -> Vec<Vec<u8>> {
    let seeds = seeds();
    let pair = |first: &Vec<u8>, second: &Vec<u8>| {
        let length = (first.len() as u16).to_le_bytes();
        [&length[..], first, second].concat()
    };
    let next = seeds.iter().cycle().skip(1);
    seeds.iter().zip(next).map(|(a, b)| pair(a, b)).collect()
}

/// The words of a view that can be, by the rules once more and in another way.
fn good(bytes: &[u8]) -> Option<Vec<u64>> {
    let words: Vec<u64> = bytes
        .chunks(8)
        .map(|chunk| chunk.try_into().map(u64::from_le_bytes))
        .collect::<Result<_, _>>()
        .ok()?;
    let (fixed, lives) = words.split_at_checked(FIXED)?;
    let [life, cluster, epoch, members, promised, ballot, kind, argument, joins, _, granted, ..] =
        *fixed
    else {
        return None;
    };
    let is_by_member = |ballot: u64| {
        let maker = ballot & 0xff;
        ballot == 0 || maker < 64 && members & (1 << maker) != 0
    };
    let has_change = match kind as u32 {
        0 => ballot == 0 && argument == 0 && joins == 0,
        1 => {
            let is_part = argument & !members == 0 && argument != members;
            ballot > 0 && argument != 0 && is_part && joins == 0
        }
        2 => ballot > 0 && argument < 64 && members & (1 << argument) == 0 && joins != 0,
        _ => false,
    };
    let flags = kind >> 32;
    let is_list = match epoch {
        0 => cluster == 0 && members == 0 && promised == 0,
        _ => epoch <= 1 << 63 && members != 0,
    };
    let is_good = life != 0
        && lives.len() == members.count_ones() as usize
        && !lives.contains(&0)
        && has_change
        && flags < 4
        && (flags >= 2 || granted == 0)
        && ballot <= promised
        && promised >> 8 <= 1 << 33
        && is_by_member(promised)
        && is_by_member(ballot)
        && is_list;
    is_good.then_some(words)
}

/// Looks whether these bytes are taken for what they are.
pub(super) fn check(bytes: &[u8]) {
    let good = good(bytes);
    let decoded = Said::<64>::decode(bytes);
    assert_eq!(decoded.is_ok(), good.is_some(), "{decoded:?}");
    // In a system of few, whoever names others is not understood.
    let few = Said::<4>::decode(bytes);
    let has_few = good.as_ref().is_some_and(|words| words[3] < 16);
    assert!(few.is_err() || has_few && decoded.is_ok());
    let (Ok(said), Some(words)) = (decoded, good) else {
        return;
    };
    assert!((SAID_MIN..=SAID_MAX).contains(&bytes.len()));
    let mut again = [0xa5; SAID_MAX + 8];
    assert_eq!(said.encode(&mut again), Some(bytes.len()));
    assert_eq!(&again[..bytes.len()], bytes);
    assert!(again[bytes.len()..].iter().all(|byte| *byte == 0xa5));
    assert_eq!(said.encode(&mut again[..bytes.len() - 1]), None);

    let view = &said.view;
    assert_eq!(said.life.get(), words[0]);
    assert_eq!(
        (view.list.cluster(), view.list.epoch()),
        (words[1], words[2])
    );
    assert_eq!(view.list.members().bits(), words[3]);
    let lives = view.list.members().into_iter();
    let lives = lives.map(|node| view.list.life(node).map_or(0, Incarnation::get));
    assert!(lives.eq(words[FIXED..].iter().copied()));
    assert_eq!(view.opinion.promised.bits(), words[4]);
    assert_eq!((view.sent, view.dead), (words[9], words[11]));
    assert_eq!(view.granted, (words[6] >> 33 != 0).then_some(words[10]));
    assert_eq!(view.is_leaving, (words[6] >> 32) & 1 != 0);
    let sets = [view.hears, view.kernels, view.leaving].map(NodeSet::bits);
    assert_eq!(sets, words[12..15]);
    if let Ok(few) = few {
        assert_eq!(few.encode(&mut again), Some(bytes.len()));
        assert_eq!(&again[..bytes.len()], bytes);
    }
    next_list(&said);
}

/// What the change that it tells of makes of its list.
fn next_list(said: &Said) {
    let list = &said.view.list;
    let Some(Accepted { change, .. }) = said.view.opinion.accepted else {
        return;
    };
    let members = list.members().bits();
    let next = list.after(change);
    let expected = match change {
        Change::Remove(gone) => {
            let rest = members & !gone.bits();
            (gone.bits() & !members == 0 && rest != 0).then_some(rest)
        }
        Change::Join(node, _) => {
            (!list.members().contains(node)).then(|| members | (1 << node.get()))
        }
    };
    let expected = expected.filter(|_| list.epoch() != u64::MAX);
    assert_eq!(next.map(|next| next.members().bits()), expected);
    let Some(next) = next else {
        return;
    };
    assert!(list.epoch() == 0 || next.supersedes(list) && !list.supersedes(&next));
    for node in next.members() {
        let joined = match change {
            Change::Join(who, life) if who == node => Some(life),
            _ => list.life(node),
        };
        assert_eq!(next.life(node), joined);
    }
}

/// What holds of any two lists, and of any part of one.
fn compare(first: &List, second: &List, part: u64) {
    let one_way = (first.supersedes(second), second.supersedes(first));
    assert_ne!(one_way, (true, true), "each gives way to the other");
    let is_decided = first.cluster() == second.cluster() && first.epoch().min(second.epoch()) != 0;
    if is_decided && first != second {
        assert!(one_way.0 || one_way.1, "both serve");
    } else {
        assert!(first != second || one_way == (false, false));
    }
    let here = NodeSet::from_bits(part);
    let elsewhere = NodeSet::from_bits(!part);
    if first.epoch() != 0 {
        let (here, elsewhere) = (first.is_majority(here), first.is_majority(elsewhere));
        assert!(here != elsewhere, "both sides or none");
    }
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let length = usize::from(source.short()).min(SAID_MAX + 8);
    let (first, second) = (source.take(length), source.rest());
    check(first);
    check(second);
    if let (Ok(first), Ok(second)) = (Said::decode(first), Said::decode(second)) {
        let part = second.view.hears.bits();
        compare(&first.view.list, &second.view.list, part);
    }
}
