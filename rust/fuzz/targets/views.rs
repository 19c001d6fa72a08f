// SPDX-License-Identifier: GPL-2.0
//! What machines say of the members among each other, one of which may lie: whatever a machine was told, what it says
//! itself is accepted by others, and it goes on.

use super::membership_view;
use super::Target;
use crate::source::Source;

use popcorn_core::directory::NodeSet;
use popcorn_core::ids::NodeId;
use popcorn_core::ids::NODE_MAX;
use popcorn_core::membership::machine::Machine;
use popcorn_core::membership::view::Said;
use popcorn_core::membership::view::SAID_MAX;
use std::cell::Cell;

pub(super) const TARGET: Target = Target {
    name: "views",
    about: "what machines say of who is a member",
    most: SAID_MAX,
    seeds,
    run,
};

/// The fewest ticks.
const SILENCE: u64 = 8;
const MACHINES: u64 = 4;
/// Times that each says something to each: an input shall not take long.
const ROUNDS: u32 = 24;

fn seeds() -> Vec<Vec<u8>> {
    let machine = machine(0);
    let said = machine.says(node(1), machine.life()).unwrap();
    vec![encode(&said), vec![0x11; 200], (0..=255).collect()]
}

fn node(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

thread_local!(static LAST: Cell<u64> = const { Cell::new(0) });

/// These need not be random: each life has to differ from those before it.
fn number() -> u64 {
    LAST.set(LAST.get() + 1);
    LAST.get()
}

fn machine(id: u64) -> Machine {
    let mut machine = Machine::new(
        node(id),
        100,
        SILENCE,
        number,
        [None; NODE_MAX],
        [None; NODE_MAX],
    );
    (0..MACHINES)
        .filter(|other| *other != id)
        .for_each(|other| machine.link(100, node(other), true));
    machine
}

fn encode(said: &Said) -> Vec<u8> {
    let mut bytes = [0; SAID_MAX];
    let length = said.encode(&mut bytes).unwrap();
    bytes[..length].to_vec()
}

fn run(input: &[u8]) {
    LAST.set(0);
    let mut source = Source::new(input);
    let mut machines: Vec<Machine> = (0..MACHINES).map(machine).collect();
    let mut now = 100;
    for _ in 0..ROUNDS {
        if source.is_empty() {
            return;
        }
        let kind = source.byte();
        if kind & 3 == 0 {
            now += 1 + u64::from(kind >> 2);
            for machine in &mut machines {
                machine.tick(now, SILENCE);
                machine.conclude(now);
            }
        }
        // All say what is so, but some of it may be changed.
        let lies = source.below(4);
        let liar = source.below(MACHINES as usize);
        for from in 0..machines.len() {
            for to in (0..machines.len()).filter(|to| *to != from) {
                let life = machines[from].life();
                let Some(said) = machines[from].says(node(to as u64), life) else {
                    continue;
                };
                let mut bytes = encode(&said);
                membership_view::check(&bytes);
                assert_eq!(Said::decode(&bytes), Ok(said), "an honest machine");
                for _ in 0..if from == liar { lies } else { 0 } {
                    let at = 8 * source.below(bytes.len() / 8);
                    bytes[at..at + 8].copy_from_slice(&source.word().to_le_bytes());
                }
                let Ok(said) = Said::decode(&bytes) else {
                    machines[to].disconnected(now, node(from as u64));
                    continue;
                };
                if machines[to].hear(now, node(from as u64), &said).is_err() {
                    machines[to].disconnected(now, node(from as u64));
                }
                machines[to].conclude(now);
                let status = machines[to].status(now);
                assert!(status.epoch == 0 || status.members != NodeSet::EMPTY);
            }
        }
    }
}
