// SPDX-License-Identifier: GPL-2.0
//! Answers that nobody asked for, that nobody waits for any more, or that come twice.

use super::scene::mark;
use super::scene::Scene;
use super::HONEST;
use super::HOSTILE;
use crate::endpoint::CallOptions;
use crate::tests::node;
use crate::tests::Gate;
use crate::tests::Opens;
use crate::tests::OPTIONS;

use kernel::c_str;
use kernel::prelude::*;

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use popcorn_core::ids::Class;
use popcorn_core::ids::RequestId;
use popcorn_core::window::Lane;
use popcorn_kernel::check;
use popcorn_kernel::errno;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::kunit::eventually;
use popcorn_kernel::kunit::Outcome;
use popcorn_kernel::kunit::LONG_MS;

/// Answers to no request, to requests of others, to slots that there are not: nobody gets them.
pub(super) fn answers_nobody_asked_for() -> Outcome {
    static GATE: Gate = Gate::new();
    static RESULT: AtomicU32 = AtomicU32::new(0);
    const GENERATIONS: u32 = 200;
    GATE.reset();
    RESULT.store(0, Ordering::SeqCst);
    let mut scene = Scene::new(LONG_MS)?;
    let service = scene.honest.register(requests!(0x5c0), &GATE)?;
    let opens = Opens(&GATE);
    mark();
    // A call to the honest node that waits, with an id that can be guessed.
    let victim = scene.victim.0.clone();
    let caller = Kthread::spawn(c_str!("popcorn test"), move || {
        let result = match victim.call(node(HONEST), 0x5c0, &[], OPTIONS) {
            Ok(response) if response.payload() == b"gate" => 1,
            _ => 2,
        };
        RESULT.store(result, Ordering::SeqCst);
    })?;
    check!(eventually(|| GATE.begun.load(Ordering::SeqCst) == 1));
    let before = scene.received();
    let mut sent = 0;
    for slot in [0, 1, 2, 3, 1023, 1024, 0x7fff_ffff, u32::MAX] {
        for generation in 0..GENERATIONS {
            let id = RequestId::new(slot, generation).to_wire();
            if id == RequestId::NONE {
                continue;
            }
            check!(scene.hostile.until(|this| {
                this.send(Lane::Responses, b"forged", |header| {
                    header[32..40].copy_from_slice(&id.to_le_bytes());
                })
            }));
            sent += 1;
        }
    }
    check!(scene.hostile.until(|_| true));
    check!(eventually(|| scene.received() == before + sent));
    check!(RESULT.load(Ordering::SeqCst) == 0);
    check!(scene.is_untouched() && scene.honest_goes_on());
    drop(opens);
    check!(eventually(|| RESULT.load(Ordering::SeqCst) != 0));
    drop(caller);
    check!(RESULT.load(Ordering::SeqCst) == 1);
    drop(service);
    scene.end()
}

/// An answer that comes when its caller has gone, and two to one request that contradict each other.
pub(super) fn late_and_double_answers() -> Outcome {
    static RESULT: AtomicU32 = AtomicU32::new(0);
    const GONE: u32 = 1;
    const FIRST: u32 = 2;
    const OTHER: u32 = 3;
    let mut scene = Scene::new(LONG_MS)?;
    mark();
    for (options, expected) in [(CallOptions::killable(50), GONE), (OPTIONS, FIRST)] {
        RESULT.store(0, Ordering::SeqCst);
        let victim = scene.victim.0.clone();
        let caller = Kthread::spawn(c_str!("popcorn test"), move || {
            let result = match victim.call(node(HOSTILE), 0x5d0, &[], options) {
                Ok(response) if response.payload() == b"first" => FIRST,
                Err(error) if error == errno::timed_out() => GONE,
                _ => OTHER,
            };
            RESULT.store(result, Ordering::SeqCst);
        })?;
        let mut request = None;
        check!(scene.hostile.until(|this| {
            request = this.take_request();
            request.is_some()
        }));
        let request = request.ok_or(EIO)?;
        check!(request.kind == 0x5d0 && request.class == Class::Request);
        if expected == GONE {
            check!(eventually(|| RESULT.load(Ordering::SeqCst) != 0));
        }
        let before = scene.received();
        check!(scene.hostile.answer(&request, b"first"));
        check!(scene.hostile.answer(&request, b"second"));
        check!(scene.hostile.answer(&request, &[0; 4096]));
        check!(eventually(|| RESULT.load(Ordering::SeqCst) != 0));
        drop(caller);
        check!(RESULT.load(Ordering::SeqCst) == expected);
        check!(scene.hostile.until(|_| true));
        check!(eventually(|| scene.received() == before + 3));
    }
    check!(scene.is_untouched() && scene.honest_goes_on());
    scene.end()
}
