// SPDX-License-Identifier: GPL-2.0
//! Doorbells: interrupts that this kernel sends to itself.

use super::node;
use super::two_nodes;
use super::OPTIONS;
use crate::ping::ECHO;

use kernel::prelude::*;

use popcorn_core::window;
use popcorn_core::window::Side;
use popcorn_kernel::boot::processor;
use popcorn_kernel::check;
use popcorn_kernel::kunit::eventually;
use popcorn_kernel::kunit::Outcome;
use popcorn_kernel::shared_memory::SharedMemory;
use popcorn_kernel::system;

/// A node that sleeps is woken by an interrupt.
pub(super) fn doorbell() -> Outcome {
    let (zero, one, memory) = two_nodes()?;
    let asleep = popcorn_core::window::Header::new(memory, Side::High);
    let rung = || zero.nodes().map_or(0, |nodes| nodes[1].doorbells);
    check!(eventually(|| asleep.doorbell().is_some()));
    for _ in 0..5 {
        check!(eventually(|| asleep.sleeping()));
        let before = rung();
        zero.call(node(1), ECHO, &[], OPTIONS)?;
        check!(rung() > before);
    }
    one.call(node(0), ECHO, &[], OPTIONS)?;
    Ok(())
}

/// Brings processors online again at the end of a test, also of one that fails.
struct Online<'a>(&'a [u32]);

impl Drop for Online<'_> {
    fn drop(&mut self) {
        processor::set_online(self.0).ok();
    }
}

/// When the processor of a doorbell is offline, peers have been told another one already: it may be
/// another kernel's at once.
pub(super) fn doorbell_moves() -> Outcome {
    const PAIRS: usize = 2;
    let boot = processor::boot_processor_id();
    let mut ids = KVec::new();
    ids.push(boot, GFP_KERNEL)?;
    for cpu in 1..system::cpu_numbers() {
        if let Ok(id) = processor::hardware_id(cpu) {
            ids.push(id, GFP_KERNEL)?;
        }
    }
    check!(ids.len() > 1);
    for _ in 0..3 {
        // Linux puts a new interrupt where there are the fewest, and does not move it back later.
        let mut pairs = KVec::new();
        let mut headers = KVec::new();
        for _ in 0..PAIRS {
            let pair = two_nodes()?;
            for side in [Side::Low, Side::High] {
                headers.push(window::Header::new(pair.2.clone(), side), GFP_KERNEL)?;
            }
            pairs.push(pair, GFP_KERNEL)?;
        }
        let place = |header: &window::Header<SharedMemory>| header.doorbell().map(|at| at.apic_id);
        check!(eventually(|| headers.iter().all(|h| place(h).is_some())));
        check!(headers.iter().any(|header| place(header) != Some(boot)));

        let _online = Online(&ids);
        processor::set_online(&[boot])?;
        check!(headers.iter().all(|header| place(header) == Some(boot)));
        for (zero, one, _) in &pairs {
            zero.call(node(1), ECHO, &[], OPTIONS)?;
            one.call(node(0), ECHO, &[], OPTIONS)?;
        }
        let asleep = headers.get(1).ok_or(EINVAL)?;
        let rung = || pairs[0].0.nodes().map_or(0, |nodes| nodes[1].doorbells);
        check!(eventually(|| asleep.sleeping()));
        let before = rung();
        pairs[0].0.call(node(1), ECHO, &[], OPTIONS)?;
        check!(rung() > before);
        processor::set_online(&ids)?;
    }
    Ok(())
}
