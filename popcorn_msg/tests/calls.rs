// SPDX-License-Identifier: GPL-2.0
//! Calls, answers and one-way messages between two nodes.

use super::multicast::Star;
use super::node;
use super::two_nodes;
use super::Events;
use super::Gate;
use super::Opens;
use super::Puppet;
use super::TestNode;
use super::OPTIONS;
use super::PROTOCOL;
use super::QUEUED;
use super::WINDOW;
use crate::endpoint::CallOptions;
use crate::endpoint::Called;
use crate::link::PARTS_MAX;
use crate::ping::ECHO;
use crate::ping::ECHO_BY_WORKER;
use crate::request::Request;
use crate::service::Handler;

use kernel::c_str;
use kernel::prelude::*;

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use popcorn_core::deadline::Deadline;
use popcorn_core::ids::Class;
use popcorn_core::ids::NodeId;
use popcorn_core::messages;
use popcorn_core::window::Layout;
use popcorn_core::wire;
use popcorn_core::wire::PAYLOAD_MAX;
use popcorn_core::wire_message;
use popcorn_kernel::check;
use popcorn_kernel::errno;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::kunit::eventually;
use popcorn_kernel::kunit::Outcome;
use popcorn_kernel::kunit::LONG_MS;
use popcorn_kernel::shared_memory::SharedMemory;
use popcorn_kernel::time;
use popcorn_kernel::uapi::POPCORN_NODE_SELF;
use popcorn_kernel::wait::Sleep;

/// Payloads of these lengths come back, both ways, at once and from a worker.
pub(super) fn come_back(zero: &TestNode, one: &TestNode, lengths: &[usize]) -> Outcome {
    for &length in lengths {
        let mut bytes = KVec::from_elem(0u8, length, GFP_KERNEL)?;
        for (n, byte) in bytes.iter_mut().enumerate() {
            *byte = (n * 31) as u8;
        }
        let (first, second) = bytes.split_at(length / 3);
        for kind in [ECHO, ECHO_BY_WORKER] {
            let response = zero.call(node(1), kind, &[first, second], OPTIONS)?;
            check!(response.payload() == &bytes[..]);
            let response = one.call(node(0), kind, &[&bytes], OPTIONS)?;
            check!(response.payload() == &bytes[..]);
        }
    }
    Ok(())
}

/// Payloads of all kinds of lengths come back, and pings.
pub(super) fn echo() -> Outcome {
    let (zero, one, _memory) = two_nodes()?;
    come_back(&zero, &one, &[0, 1, 7, 64, 4096, 65000, PAYLOAD_MAX])?;
    let ping = zero.ping(node(1), 64, 20, false)?;
    check!(ping.min_ns <= ping.max_ns && ping.max_ns <= ping.total_ns);
    zero.ping(node(1), 4096, 20, true)?;
    let nodes = zero.nodes()?;
    check!(nodes.len() == 2);
    check!(nodes[0].id == 0 && nodes[0].flags == POPCORN_NODE_SELF);
    check!(nodes[1].id == 1 && nodes[1].sent >= 54 && nodes[1].received >= 54);
    check!(nodes[1].cpus == nodes[0].cpus && nodes[1].memory == nodes[0].memory);
    Ok(())
}

/// Each mistake has its own errno, and nothing breaks.
pub(super) fn errors() -> Outcome {
    let (zero, _one, _memory) = two_nodes()?;
    let call = |to, kind, parts: &[&[u8]]| zero.call(node(to), kind, parts, OPTIONS).err();
    check!(call(2, ECHO, &[]) == Some(ENODEV));
    check!(call(0, ECHO, &[]) == Some(ENODEV));
    check!(call(1, 0x7000, &[]) == Some(errno::not_supported()));
    check!(call(1, 0x00ff, &[]) == Some(errno::not_supported()));
    let long = KVec::from_elem(0u8, PAYLOAD_MAX, GFP_KERNEL)?;
    check!(call(1, ECHO, &[&long, &[0]]) == Some(errno::message_size()));
    check!(call(1, ECHO, &[&[1u8] as &[u8]; PARTS_MAX + 1]) == Some(EINVAL));
    check!(zero.post(node(2), ECHO, &[]).err() == Some(ENODEV));
    check!(zero.ping(node(1), 4097, 1, false).err() == Some(EINVAL));
    check!(zero.ping(node(1), 1, 0, false).err() == Some(EINVAL));
    check!(zero.ping(node(1), 1, 100_001, false).err() == Some(EINVAL));
    // A message of an unknown type that wants no answer is dropped, the node stays.
    zero.post(node(1), 0x7000, &[b"?"])?;
    zero.call(node(1), ECHO, &[], OPTIONS)?;
    // A window too small, and a second one for the same peer.
    let small = SharedMemory::allocate(4096)?;
    check!(zero.attach(node(3), small).err() == Some(EINVAL));
    check!(zero.attach(node(0), SharedMemory::allocate(WINDOW)?).err() == Some(EINVAL));
    check!(zero.attach(node(1), SharedMemory::allocate(WINDOW)?).err() == Some(EEXIST));
    // One that nobody has joined.
    zero.attach(node(3), SharedMemory::allocate(WINDOW)?)?;
    check!(call(3, ECHO, &[]) == Some(errno::host_down()));
    zero.detach(node(3))?;
    check!(zero.detach(node(3)).err() == Some(ENODEV));
    check!(call(3, ECHO, &[]) == Some(ENODEV));
    Ok(())
}

/// A call that gave up is not confused with the next, whatever arrives late.
pub(super) fn late_reply() -> Outcome {
    static GATE: Gate = Gate::new();
    GATE.reset();
    let (zero, one, _memory) = two_nodes()?;
    let _service = one.register(requests!(0x500), &GATE)?;
    let _opens = Opens(&GATE);
    let brief = CallOptions::killable(50);
    check!(zero.call(node(1), 0x500, &[], brief).err() == Some(errno::timed_out()));
    let before = zero.nodes()?[1].received;
    GATE.open.store(true, Ordering::SeqCst);
    // The late answer has arrived and found nobody ...
    check!(eventually(|| zero
        .nodes()
        .is_ok_and(|nodes| nodes[1].received == before + 1)));
    // ... and the next calls get theirs.
    for n in 0..10u8 {
        let response = zero.call(node(1), ECHO, &[&[n]], OPTIONS)?;
        check!(response.payload() == [n]);
    }
    let response = zero.call(node(1), 0x500, &[], OPTIONS)?;
    check!(response.payload() == b"gate");
    check!(GATE.posthumous.load(Ordering::SeqCst) == 0);
    // A service that drops a request: the caller learns it.
    struct Forgets;
    impl Handler for Forgets {
        fn request(&self, _from: NodeId, _request: Request) {}
    }
    static FORGETS: Forgets = Forgets;
    let _forgets = one.register(requests!(0x501), &FORGETS)?;
    check!(zero.call(node(1), 0x501, &[], OPTIONS).err() == Some(EIO));
    // Who is killed here is nothing that a peer could say.
    struct Interrupts;
    impl Handler for Interrupts {
        fn request(&self, _from: NodeId, request: Request) {
            request.reply_error(EINTR).ok();
        }
    }
    static INTERRUPTS: Interrupts = Interrupts;
    let _interrupts = one.register(requests!(0x503), &INTERRUPTS)?;
    check!(zero.call(node(1), 0x503, &[], OPTIONS).err() == Some(EIO));
    Ok(())
}

/// Who has no time may leave the wait for an answer to somebody else, or to nobody: no slot is lost.
pub(super) fn left_call() -> Outcome {
    static GATE: Gate = Gate::new();
    GATE.reset();
    let (zero, one, _memory) = two_nodes()?;
    let _service = one.register(requests!(0x502), &GATE)?;
    let _opens = Opens(&GATE);
    let link = zero.link(node(1)).ok_or(ENODEV)?;
    let used = || link.core().pending().used();
    let leave = || zero.call_or_leave(node(1), 0x502, &[], CallOptions::killable(50));
    let Called::Left(_, to_other) = leave()? else {
        return Err(EIO.into());
    };
    let Called::Left(_, to_nobody) = leave()? else {
        return Err(EIO.into());
    };
    check!(eventually(|| GATE.begun.load(Ordering::SeqCst) == 2));
    check!(used() == 2);
    drop(to_nobody);
    check!(used() == 1);
    GATE.open.store(true, Ordering::SeqCst);
    check!(to_other.wait()?.payload() == b"gate");
    check!(eventually(|| GATE.done.load(Ordering::SeqCst) == 2));
    check!(used() == 0);
    let Called::Answered(response) = zero.call_or_leave(node(1), ECHO, &[b"now"], OPTIONS)? else {
        return Err(EIO.into());
    };
    check!(response.payload() == b"now" && used() == 0);

    // It ends with the peer.
    GATE.open.store(false, Ordering::SeqCst);
    let Called::Left(_, to_other) = leave()? else {
        return Err(EIO.into());
    };
    check!(eventually(|| GATE.begun.load(Ordering::SeqCst) == 3));
    zero.node_died(node(1))?;
    check!(to_other.wait().err() == Some(errno::host_down()));
    check!(used() == 0);
    Ok(())
}

/// A call has one deadline: each of its steps ends with it, whichever waits, and none waits when it is over; but
/// what can be had at once is had.
pub(super) fn one_deadline() -> Outcome {
    let (zero, _one, _memory) = two_nodes()?;
    let timed_out = Some(errno::timed_out());
    let over = Deadline::after(0, time::now_ns);
    let brief = CallOptions::killable(50);

    // No room for a call.
    let pending = zero.core().pending();
    let mut calls = KVec::new();
    let full = loop {
        match pending.begin(node(1), Sleep::Killable, over) {
            Ok(call) => calls.push(call, GFP_KERNEL)?,
            Err(error) => break error,
        }
    };
    check!(Some(full) == timed_out && calls.len() == pending.used() && calls.len() > 1);
    check!(zero.call(node(1), ECHO, &[], brief).err() == timed_out);

    // No answer, and then one.
    let call = calls.first().ok_or(EINVAL)?;
    check!(call.waiter.wait(Sleep::Killable, over).err() == timed_out);
    pending.fail(node(1));
    check!(call.waiter.wait(Sleep::Killable, over).is_ok());
    drop(calls);
    check!(pending.used() == 0);
    zero.call(node(1), ECHO, &[], OPTIONS)?;

    // No room in the ring.
    let two = TestNode::new(2, PROTOCOL, LONG_MS)?;
    let _puppet = Puppet::join(&two, 3)?;
    let link = two.link(node(3)).ok_or(ENODEV)?;
    let big = KVec::from_elem(0u8, 60_000, GFP_KERNEL)?;
    let session = link.online()?;
    let sleep = Sleep::Killable;
    let send = || link.send_request(session, ECHO, Class::OneWay, 0, &[&big], sleep, over);
    let mut sent = 0;
    let full = loop {
        match send() {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        check!(sent < 100);
    };
    check!(Some(full) == timed_out && sent > 0);
    check!(two.call(node(3), ECHO, &[&big], brief).err() == timed_out);
    check!(two.core().pending().used() == 0);
    Ok(())
}

wire_message! {
    /// A number, to check order.
    pub struct Number = 0x510, one_way, urgent, tail 0..=9000 {
        /// The number.
        value: u32,
    }
}

/// One-way messages to an urgent service arrive all, once, in order.
pub(super) fn order() -> Outcome {
    struct InOrder {
        next: AtomicU32,
        wrong: AtomicU32,
    }
    impl Handler for InOrder {
        fn request(&self, _from: NodeId, _request: Request) {
            self.wrong.fetch_add(1, Ordering::SeqCst);
        }

        fn urgent(&self, from: NodeId, request: Request) -> Option<Request> {
            let expected = self.next.fetch_add(1, Ordering::SeqCst);
            let value = request.decode::<Number>().map(|number| number.value);
            if value != Ok(expected) || from != NodeId::PRIMARY || request.wants_reply() {
                self.wrong.fetch_add(1, Ordering::SeqCst);
            }
            None
        }
    }
    static IN_ORDER: InOrder = InOrder {
        next: AtomicU32::new(0),
        wrong: AtomicU32::new(0),
    };
    IN_ORDER.next.store(0, Ordering::SeqCst);
    IN_ORDER.wrong.store(0, Ordering::SeqCst);
    const NUMBERS: u32 = 5000;
    let (zero, one, _memory) = two_nodes()?;
    let _service = one.register(messages![Number], &IN_ORDER)?;
    for value in 0..NUMBERS {
        zero.post_typed(node(1), &Number { value }, &[])?;
    }
    check!(eventually(
        || IN_ORDER.next.load(Ordering::SeqCst) == NUMBERS
    ));
    check!(IN_ORDER.wrong.load(Ordering::SeqCst) == 0);
    Ok(())
}

/// A service that does not get on: its peer's ring fills, answers still pass, nothing is lost.
pub(super) fn back_pressure() -> Outcome {
    static GATE: Gate = Gate::new();
    GATE.reset();
    const MESSAGES: u32 = QUEUED + 50;
    let (zero, one, _memory) = two_nodes()?;
    let _service = one.register(one_ways!(0x520), &GATE)?;
    let _opens = Opens(&GATE);
    for _ in 0..MESSAGES {
        zero.post(node(1), 0x520, &[&[0; 64]])?;
    }
    check!(eventually(|| GATE.begun.load(Ordering::SeqCst) == QUEUED));
    // The ring is left alone: what lies in it waits.
    let brief = CallOptions::killable(50);
    check!(zero.call(node(1), ECHO, &[], brief).err() == Some(errno::timed_out()));
    check!(GATE.begun.load(Ordering::SeqCst) == QUEUED);
    // Responses to the busy node do not wait.
    one.call(node(0), ECHO, &[b"through"], OPTIONS)?;
    // When the ring is full, a sender that must not sleep is told so.
    let big = KVec::from_elem(0u8, 60_000, GFP_KERNEL)?;
    let mut posted = 0;
    let full = loop {
        match zero.try_post(node(1), 0x520, &[&big]) {
            Ok(()) => posted += 1,
            Err(error) => break error,
        }
        check!(posted < 100);
    };
    check!(full == EAGAIN && posted > 0);
    GATE.open.store(true, Ordering::SeqCst);
    check!(eventually(
        || GATE.done.load(Ordering::SeqCst) == MESSAGES + posted
    ));
    zero.call(node(1), ECHO, &[], OPTIONS)?;
    Ok(())
}

/// Requests of several peers that wait for others, more of them than there are workers: what they may wait for finds one.
pub(super) fn waiting_requests() -> Outcome {
    struct Waits(Gate);
    impl Handler for Waits {
        fn request(&self, from: NodeId, request: Request) {
            self.0.request(from, request);
        }

        fn waits(&self, _kind: u16) -> bool {
            true
        }
    }
    static WAITS: Waits = Waits(Gate::new());
    // One place for others at each ring.
    const EACH: u32 = QUEUED - 1;
    WAITS.0.reset();
    let star = Star::new()?;
    let _service = star.zero.register(one_ways!(0x520), &WAITS)?;
    let _opens = Opens(&WAITS.0);
    for other in &star.others {
        for _ in 0..EACH {
            other.post(node(0), 0x520, &[])?;
        }
    }
    let begun = || WAITS.0.begun.load(Ordering::SeqCst);
    // As many as there are workers.
    check!(eventually(|| begun() == 2 * QUEUED));
    for other in &star.others {
        let answer = other.call(node(0), ECHO_BY_WORKER, &[b"served"], OPTIONS)?;
        check!(answer.payload() == b"served");
    }
    check!(begun() == 2 * QUEUED);
    WAITS.0.open.store(true, Ordering::SeqCst);
    let done = || WAITS.0.done.load(Ordering::SeqCst);
    check!(eventually(|| done() == 3 * EACH));
    Ok(())
}

/// A peer that takes no answers: errors for unknown types occupy so many workers and no more, and it
/// does not stay, though its heart beats.
pub(super) fn no_answer_taken() -> Outcome {
    static EVENTS: Events = Events::new();
    let layout = Layout::new(WINDOW).ok_or(EINVAL)?;
    let data = layout.capacity();
    // Each a header alone, which fills a cell.
    let fit = (data / wire::HEADER_SIZE) as u32;

    // Nobody is dropped for long: a full ring of answers, the workers, a full ring of requests.
    let zero = TestNode::new(0, PROTOCOL, 10 * LONG_MS)?;
    let mut puppet = Puppet::join(&zero, 1)?;
    let taken = fit + QUEUED;
    for _ in 0..taken + fit {
        check!(eventually(|| puppet.ask(0x7000)));
    }
    let received = || zero.nodes().map_or(0, |nodes| nodes[1].received);
    check!(eventually(|| received() == u64::from(taken)));
    // It looks at least at each of its ticks, and leaves the rest alone.
    let beats = puppet.peer_header.heartbeat();
    check!(eventually(|| puppet.peer_header.heartbeat() > beats + 3));
    check!(received() == u64::from(taken) && !puppet.ask(0x7000));
    check!(zero.is_online(node(1)));

    EVENTS.reset();
    let two = TestNode::new(2, PROTOCOL, 3000)?;
    let _events = two.register(requests!(0x525), &EVENTS)?;
    let mut puppet = Puppet::join(&two, 3)?;
    for _ in 0..fit + 1 {
        check!(eventually(|| puppet.ask(0x7000)));
    }
    check!(eventually(|| {
        puppet.beat();
        EVENTS.counts() == (1, 0, 1)
    }));
    Ok(())
}

/// Services do not overlap, and can be replaced.
pub(super) fn registration() -> Outcome {
    static GATE: Gate = Gate::new();
    static OTHER: Gate = Gate::new();
    GATE.reset();
    OTHER.reset();
    let _opens = (Opens(&GATE), Opens(&OTHER));
    let (zero, one, _memory) = two_nodes()?;
    let first = one.register(requests!(0x560, 0x56f), &GATE)?;
    check!(one.register(requests!(0x56f, 0x570), &OTHER).err() == Some(EEXIST));
    check!(one.register(requests!(ECHO), &OTHER).err() == Some(EEXIST));
    // What lies between two of a service is nobody else's, and nothing.
    check!(one.register(requests!(0x565), &OTHER).err() == Some(EEXIST));
    check!(zero.call(node(1), 0x565, &[], OPTIONS).err() == Some(errno::not_supported()));
    let second = one.register(requests!(0x570), &OTHER)?;
    GATE.open.store(true, Ordering::SeqCst);
    OTHER.open.store(true, Ordering::SeqCst);
    zero.call(node(1), 0x56f, &[], OPTIONS)?;
    zero.call(node(1), 0x570, &[], OPTIONS)?;
    check!(GATE.done.load(Ordering::SeqCst) == 1 && OTHER.done.load(Ordering::SeqCst) == 1);
    drop(first);
    check!(zero.call(node(1), 0x560, &[], OPTIONS).err() == Some(errno::not_supported()));
    let _first = one.register(requests!(0x560), &OTHER)?;
    zero.call(node(1), 0x560, &[], OPTIONS)?;
    check!(OTHER.done.load(Ordering::SeqCst) == 2);
    drop(second);
    Ok(())
}

/// Many callers at once, in both directions, sleeping and polling: each gets its own answer.
pub(super) fn many_callers() -> Outcome {
    static WRONG: AtomicU32 = AtomicU32::new(0);
    static DONE: AtomicU32 = AtomicU32::new(0);
    const THREADS: u32 = 8;
    const CALLS: u32 = 100;
    WRONG.store(0, Ordering::SeqCst);
    DONE.store(0, Ordering::SeqCst);
    let (zero, one, _memory) = two_nodes()?;
    let mut threads = KVec::new();
    for thread in 0..THREADS {
        let (from, to) = match thread % 2 {
            0 => (zero.0.clone(), node(1)),
            _ => (one.0.clone(), node(0)),
        };
        let options = CallOptions {
            poll_us: Some(if thread < 4 { 200 } else { 0 }),
            ..OPTIONS
        };
        let main = move || {
            for call in 0..CALLS {
                let bytes = ((u64::from(thread) << 32) | u64::from(call)).to_le_bytes();
                let kind = if call % 2 == 0 { ECHO } else { ECHO_BY_WORKER };
                match from.call(to, kind, &[&bytes], options) {
                    Ok(response) if response.payload() == bytes => {}
                    _ => {
                        WRONG.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
            DONE.fetch_add(1, Ordering::SeqCst);
        };
        threads.push(Kthread::spawn(c_str!("popcorn test"), main)?, GFP_KERNEL)?;
    }
    check!(eventually(|| DONE.load(Ordering::SeqCst) == THREADS));
    drop(threads);
    check!(WRONG.load(Ordering::SeqCst) == 0);
    Ok(())
}
