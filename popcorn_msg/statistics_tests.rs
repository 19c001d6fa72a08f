// SPDX-License-Identifier: GPL-2.0
//! KUnit: what is counted of known traffic, to the last message. A part of `tests.rs`.

use super::call_aside;
use super::check;
use super::eventually;
use super::node;
use super::two_nodes;
use super::Gate;
use super::Opens;
use super::Outcome;
use super::Puppet;
use super::TestNode;
use super::LONG_MS;
use super::OPTIONS;
use super::PROTOCOL;

use crate::endpoint::CallOptions;
use crate::endpoint::Endpoint;
use crate::ping::ECHO;
use crate::ping::ECHO_BY_WORKER;
use crate::statistics::ROWS;

use kernel::c_str;
use kernel::prelude::*;

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use popcorn_core::wire::PAYLOAD_MAX;
use popcorn_kernel::errno;
use popcorn_kernel::kthread;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::uapi::popcorn_msg_info;
use popcorn_kernel::uapi::POPCORN_MSG_OTHERS;
use popcorn_kernel::wait::Sleep;

/// What a node has counted of its peer, of one type; zeros if there is nothing.
fn counted(of: &Endpoint, peer: u64, kind: u32) -> Result<KBox<popcorn_msg_info>> {
    let mut found = KBox::new(popcorn_msg_info::default(), GFP_KERNEL)?;
    of.message_statistics(Some(node(peer)), &mut |info| {
        if info.type_ == kind {
            *found = *info;
        }
        Ok(())
    })?;
    Ok(found)
}

/// Messages to a peer that were sent again, of all types.
pub(super) fn retries(of: &Endpoint, peer: u64) -> Result<u64> {
    let mut number = 0;
    of.message_statistics(Some(node(peer)), &mut |info| {
        number += info.retries;
        Ok(())
    })?;
    Ok(number)
}

/// Calls that are answered, one-way messages: both sides count the same, and nothing else.
pub(super) fn exact() -> Outcome {
    const CALLS: u64 = 37;
    const BYTES: u64 = 100;
    let (zero, one, _memory) = two_nodes()?;
    check!(zero.message_statistics(None, &mut |_| Err(EIO)).is_ok());
    check!(zero
        .message_statistics(Some(node(0)), &mut |_| Err(EIO))
        .is_ok());
    check!(
        zero.message_statistics(Some(node(2)), &mut |_| Ok(()))
            .err()
            == Some(ENODEV)
    );

    let bytes = [7; BYTES as usize];
    for _ in 0..CALLS {
        zero.call(node(1), ECHO, &[&bytes], OPTIONS)?;
    }
    zero.ping(node(1), BYTES as usize, CALLS as u32, true)?;
    one.call(node(0), ECHO_BY_WORKER, &[&bytes], OPTIONS)?;
    let number = 2 * CALLS;
    // Who sends counts when it is done, maybe a moment after the message was received.
    let sent_bytes = (number + 1) * BYTES;
    let is_sent = |of: &Endpoint, peer: usize| {
        of.nodes()
            .is_ok_and(|nodes| nodes[peer].sent_bytes == sent_bytes)
    };
    check!(eventually(|| is_sent(&zero, 1) && is_sent(&one, 0)));
    for (of, peer, calls) in [(&zero, 1, number), (&one, 0, 0)] {
        let echo = counted(of, peer, ECHO.into())?;
        check!(echo.node == peer as u32);
        check!(echo.sent == number && echo.received == number);
        check!(echo.sent_bytes == number * BYTES && echo.received_bytes == number * BYTES);
        check!(echo.calls == calls && echo.latency.iter().sum::<u64>() == calls);
        check!(echo.latency_min_ns <= echo.latency_max_ns);
        check!(echo.latency_max_ns <= echo.latency_ns);
        check!((echo.latency_min_ns != 0) == (calls != 0));
        check!(echo.stalls == 0 && echo.stall_ns == 0 && echo.full == 0 && echo.retries == 0);
        check!(echo.lost == 0 && echo.late == 0);
        check!(echo.errors == 0 && echo.timed_out == 0 && echo.interrupted == 0);
        check!(echo.host_down == 0 && echo.failed == 0 && echo.reserved == [0; 3]);
    }
    let by_worker = counted(&one, 0, ECHO_BY_WORKER.into())?;
    check!(by_worker.calls == 1 && by_worker.sent == 1 && by_worker.received == 1);

    // They are what the list of nodes has in all.
    let nodes = zero.nodes()?;
    check!(nodes[1].sent == number + 1 && nodes[1].received == number + 1);
    check!(nodes[1].received_bytes == sent_bytes);

    // A message for which there is no service is lost there, and a request is answered with an error.
    zero.post(node(1), 0x7000, &[&bytes])?;
    check!(zero.call(node(1), 0x7001, &[], OPTIONS).is_err());
    check!(counted(&zero, 1, 0x7000)?.sent == 1 && counted(&zero, 1, 0x7000)?.lost == 0);
    let lost = counted(&one, 0, 0x7000)?;
    check!(lost.received == 1 && lost.lost == 1 && lost.sent == 0);
    check!(counted(&one, 0, 0x7001)?.lost == 1);
    let refused = counted(&zero, 1, 0x7001)?;
    check!(refused.calls == 1 && refused.errors == 1 && refused.received == 1);
    check!(refused.latency.iter().sum::<u64>() == 1);

    // What is told of it can be ended.
    let mut told = 0;
    let ended = zero.message_statistics(None, &mut |_| {
        told += 1;
        Err(EINTR)
    });
    check!(ended.err() == Some(EINTR) && told == 1);
    Ok(())
}

/// Every way in which a call can fail has its own counter; they stay when the peer dies.
pub(super) fn failed_calls() -> Outcome {
    static GATE: Gate = Gate::new();
    static RESULT: AtomicU32 = AtomicU32::new(0);
    const KIND: u16 = 0x580;
    GATE.reset();
    let (zero, one, _memory) = two_nodes()?;
    let _service = one.register(requests!(KIND), &GATE)?;
    let _opens = Opens(&GATE);

    let long = KVec::from_elem(0u8, PAYLOAD_MAX + 1, GFP_KERNEL)?;
    check!(zero.call(node(1), KIND, &[&long], OPTIONS).is_err());
    check!(counted(&zero, 1, KIND.into())?.failed == 1);

    let brief = CallOptions::killable(50);
    check!(zero.call(node(1), KIND, &[], brief).err() == Some(errno::timed_out()));
    check!(counted(&zero, 1, KIND.into())?.timed_out == 1);
    // The answer comes when nobody waits any more.
    check!(eventually(|| GATE.begun.load(Ordering::SeqCst) == 1));
    GATE.open.store(true, Ordering::SeqCst);
    check!(eventually(
        || counted(&zero, 1, KIND.into()).is_ok_and(|counted| counted.late == 1)
    ));
    GATE.reset();

    // A signal.
    RESULT.store(0, Ordering::SeqCst);
    let endpoint = zero.0.clone();
    let caller = Kthread::spawn(c_str!("popcorn test"), move || {
        kthread::heed_interrupts();
        let options = CallOptions {
            sleep: Sleep::Interruptible,
            ..OPTIONS
        };
        let ended = match endpoint.call(node(1), KIND, &[], options) {
            Ok(_) => 1,
            Err(error) => error.to_errno().unsigned_abs(),
        };
        RESULT.store(ended, Ordering::SeqCst);
    })?;
    check!(eventually(|| GATE.begun.load(Ordering::SeqCst) == 1));
    caller.interrupt();
    check!(eventually(
        || RESULT.load(Ordering::SeqCst) == EINTR.to_errno().unsigned_abs()
    ));
    drop(caller);
    check!(counted(&zero, 1, KIND.into())?.interrupted == 1);

    // A death.
    let caller = call_aside(&zero, KIND, &RESULT)?;
    check!(eventually(|| GATE.begun.load(Ordering::SeqCst) == 2));
    zero.node_died(node(1))?;
    let host_down = errno::host_down().to_errno().unsigned_abs();
    check!(eventually(|| RESULT.load(Ordering::SeqCst) == host_down));
    drop(caller);
    GATE.open.store(true, Ordering::SeqCst);
    let after = counted(&zero, 1, KIND.into())?;
    check!(after.host_down == 1 && after.calls == 4 && after.sent == 3);
    check!(after.failed == 1 && after.timed_out == 1 && after.interrupted == 1);
    check!(after.errors == 0 && after.latency.iter().sum::<u64>() == 0);

    // The next life goes on counting.
    check!(eventually(|| zero
        .call(node(1), KIND, &[], OPTIONS)
        .is_ok()));
    let again = counted(&zero, 1, KIND.into())?;
    check!(again.latency.iter().sum::<u64>() == 1 && again.failed == 1);
    check!(again.calls >= 5 && again.sent >= 4);
    Ok(())
}

/// A peer that takes nothing: who waits for room, and for how long, and who does not.
pub(super) fn stalls() -> Outcome {
    const KIND: u16 = 0x590;
    const WAIT_MS: u32 = 60;
    let zero = TestNode::new(0, PROTOCOL, LONG_MS)?;
    let _puppet = Puppet::join(&zero, 1)?;
    let big = KVec::from_elem(0u8, 60_000, GFP_KERNEL)?;
    let mut posted = 0;
    while zero.try_post(node(1), KIND, &[&big]).is_ok() {
        posted += 1;
        check!(posted < 100);
    }
    let full = counted(&zero, 1, KIND.into())?;
    check!(full.full == 1 && full.sent == posted && full.stalls == 0);
    let brief = CallOptions::killable(WAIT_MS);
    let ended = zero.call(node(1), KIND, &[&big], brief);
    check!(ended.err() == Some(errno::timed_out()));
    let stalled = counted(&zero, 1, KIND.into())?;
    // How long is not said: the call's time counts from before.
    check!(stalled.stalls == 1 && stalled.stall_ns != 0);
    check!(stalled.calls == 1 && stalled.timed_out == 1);
    check!(stalled.full == 1 && stalled.sent == posted && stalled.sent_bytes == posted * 60_000);
    Ok(())
}

/// More types than there are rows: the rest is counted together, and nothing is lost.
pub(super) fn many_types() -> Outcome {
    const TYPES: u16 = ROWS as u16 + 20;
    let (zero, one, _memory) = two_nodes()?;
    for _ in 0..2 {
        for kind in 0..TYPES {
            zero.post(node(1), 0x7000 + kind, &[b"?"])?;
        }
    }
    let all = 2 * u64::from(TYPES);
    check!(eventually(|| one
        .nodes()
        .is_ok_and(|nodes| nodes[0].received == all)));
    for (of, peer) in [(&zero, 1), (&one, 0)] {
        let (mut rows, mut others, mut number) = (0, 0, 0);
        of.message_statistics(Some(node(peer)), &mut |info| {
            let messages = info.sent + info.received;
            number += messages;
            if info.type_ == POPCORN_MSG_OTHERS {
                others += messages;
            } else {
                rows += 1;
            }
            Ok(())
        })?;
        check!(number == all && rows == ROWS && others == 2 * (TYPES as u64 - ROWS as u64));
    }
    check!(eventually(
        || counted(&one, 0, POPCORN_MSG_OTHERS).is_ok_and(|others| others.lost == 40)
    ));
    Ok(())
}
