// SPDX-License-Identifier: GPL-2.0
//! The beginning and the end of a peer's life, in order and otherwise.

use super::call_aside;
use super::node;
use super::two_nodes;
use super::Events;
use super::Gate;
use super::Opens;
use super::Puppet;
use super::TestNode;
use super::OPTIONS;
use super::PROTOCOL;
use super::WINDOW;
use crate::life;
use crate::link::Link;
use crate::parts::Parts;
use crate::ping::ECHO;
use crate::request::Request;
use crate::service::Handler;
use crate::service::NodeEvent;
use crate::shm::Window;

use kernel::c_str;
use kernel::prelude::*;

use core::sync::atomic::AtomicBool;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use popcorn_core::deadline::Deadline;
use popcorn_core::ids::Class;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::ring;
use popcorn_core::ring::Memory;
use popcorn_core::window;
use popcorn_core::window::Lane;
use popcorn_core::window::Layout;
use popcorn_core::window::Side;
use popcorn_kernel::check;
use popcorn_kernel::errno;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::kunit::eventually;
use popcorn_kernel::kunit::Outcome;
use popcorn_kernel::kunit::LONG_MS;
use popcorn_kernel::shared_memory::SharedMemory;
use popcorn_kernel::time;
use popcorn_kernel::wait::Sleep;

/// A node that leaves fails the calls to it, and waits for none of its own workers; when it comes back, all is
/// as before.
pub(super) fn leave_and_return() -> Outcome {
    static GATE: Gate = Gate::new();
    static EVENTS: Events = Events::new();
    static RESULT: AtomicU32 = AtomicU32::new(0);
    static HAS_LEFT: AtomicBool = AtomicBool::new(false);
    HAS_LEFT.store(false, Ordering::SeqCst);
    GATE.reset();
    EVENTS.reset();
    let (zero, one, memory) = two_nodes()?;
    let _service = one.register(requests!(0x530), &GATE)?;
    let _opens = Opens(&GATE);
    zero.settle();
    let _events = zero.register(requests!(0x531), &EVENTS)?;
    let caller = call_aside(&zero, 0x530, &RESULT)?;
    check!(eventually(|| GATE.begun.load(Ordering::SeqCst) == 1));
    GATE.open.store(false, Ordering::SeqCst);
    let leaver = one.0.clone();
    let leaving = Kthread::spawn(c_str!("popcorn test"), move || {
        leaver.detach(node(0)).ok();
        HAS_LEFT.store(true, Ordering::SeqCst);
    })?;
    let host_down = errno::host_down().to_errno().unsigned_abs();
    check!(eventually(|| RESULT.load(Ordering::SeqCst) == host_down));
    check!(!zero.is_online(node(1)));
    check!(eventually(|| EVENTS.counts().1 == 1));
    // One with the old request runs on, as one does that waits for a third node.
    check!(eventually(|| HAS_LEFT.load(Ordering::SeqCst)));
    check!(GATE.done.load(Ordering::SeqCst) == 0);
    // When it ends, its answer reaches nobody.
    GATE.open.store(true, Ordering::SeqCst);
    drop(leaving);
    drop(caller);
    one.attach(node(0), memory)?;
    zero.wait_online(node(1), LONG_MS)?;
    one.wait_online(node(0), LONG_MS)?;
    check!(zero.call(node(1), ECHO, &[b"again"], OPTIONS)?.payload() == b"again");
    check!(one.call(node(0), ECHO, &[b"again"], OPTIONS)?.payload() == b"again");
    check!(eventually(|| EVENTS.counts() == (1, 1, 0)));
    Ok(())
}

/// Who holds on to a link that was left, as a call in its last steps does, touches its memory no more:
/// somebody else may have it.
pub(super) fn left_alone() -> Outcome {
    const PATTERN: u64 = 0x5a5a_5a5a_5a5a_5a5a;
    let zero = TestNode::new(0, PROTOCOL, LONG_MS)?;
    let puppet = Puppet::join(&zero, 1)?;
    let link = zero.link(node(1)).ok_or(ENODEV)?;
    check!(link.transport().set_polling(&link, false) && puppet.peer_header.sleeping());
    zero.detach(node(1))?;
    let memory = puppet.memory.clone();
    for offset in (0..WINDOW).step_by(8) {
        memory.store(offset, PATTERN);
    }
    for polling in [true, false] {
        check!(!link.transport().set_polling(&link, polling));
    }
    check!(link.transport().poll(&link) == 0);
    check!(!link.has_room_for_response() && link.online().is_err());
    let life = puppet.request.incarnation;
    let host_down = Some(errno::host_down());
    check!(
        link.respond(life, ECHO, 0, 1, Parts::copied(&[b"late"]))
            .err()
            == host_down
    );
    let parts: &[&[u8]] = &[b"late"];
    let sleep = Sleep::Killable;
    let sent = link.send_request(1, ECHO, Class::Request, 1, parts, sleep, Deadline::NONE);
    check!(sent.err() == host_down);
    check!((0..WINDOW)
        .step_by(8)
        .all(|offset| memory.load(offset) == PATTERN));
    // It may even look like a peer that sleeps and can be rung.
    puppet.header.set_doorbell(Some(window::Doorbell {
        vector: 0x40,
        apic_id: 0,
    }));
    puppet.header.set_sleeping(true);
    check!(link.respond(life, ECHO, 0, 1, Parts::copied(&[])).err() == host_down);
    check!(link.statistics().doorbells.get() == 0);
    Ok(())
}

/// A peer that does not accept this side, though it was accepted: it may have met this life before, and given it up, while
/// this side stood still. So this side begins another one.
pub(super) fn never_accepted() -> Outcome {
    let memory = SharedMemory::allocate(WINDOW)?;
    let zero = TestNode::new(0, PROTOCOL, 4000)?;
    let header = window::Header::new(memory.clone(), Side::High);
    let peer_header = window::Header::new(memory.clone(), Side::Low);
    zero.attach(node(1), memory)?;
    let incarnation = Incarnation::new(1).ok_or(EINVAL)?;
    let introduction = window::Introduction {
        node: node(1),
        incarnation,
        protocol: PROTOCOL,
        cpus: 1,
        memory: 1,
        name: [0; window::NAME_LEN],
    };
    header.introduce(&introduction, None);
    check!(eventually(|| peer_header.accepts(incarnation)));
    let former = peer_header.incarnation();
    // None while it clears the rings: what it has accepted is of its former life until then.
    check!(eventually(
        || ![0, former].contains(&peer_header.incarnation())
    ));
    // That one is accepted.
    check!(eventually(|| peer_header.accepts(incarnation)));
    header.accept(Incarnation::new(peer_header.incarnation()));
    zero.wait_online(node(1), LONG_MS)?;
    Ok(())
}

/// A node that is said to be dead: its calls fail, its services are told; as it is not really
/// dead, the two find each other again in a new life.
pub(super) fn death() -> Outcome {
    static GATE: Gate = Gate::new();
    static EVENTS: Events = Events::new();
    static RESULT: AtomicU32 = AtomicU32::new(0);
    GATE.reset();
    EVENTS.reset();
    let (zero, one, _memory) = two_nodes()?;
    let _service = one.register(requests!(0x540), &GATE)?;
    let _opens = Opens(&GATE);
    zero.settle();
    let _events = zero.register(requests!(0x541), &EVENTS)?;
    let caller = call_aside(&zero, 0x540, &RESULT)?;
    check!(eventually(|| GATE.begun.load(Ordering::SeqCst) == 1));
    zero.node_died(node(1))?;
    let host_down = errno::host_down().to_errno().unsigned_abs();
    check!(eventually(|| RESULT.load(Ordering::SeqCst) == host_down));
    drop(caller);
    check!(eventually(|| EVENTS.counts().2 == 1));
    check!(eventually(|| EVENTS.counts().0 == 1));
    // The answer that belongs to the old life is not sent into the new one.
    GATE.open.store(true, Ordering::SeqCst);
    check!(eventually(|| zero
        .call(node(1), ECHO, &[b"new"], OPTIONS)
        .is_ok()));
    check!(eventually(|| GATE.done.load(Ordering::SeqCst) == 1));
    check!(GATE.posthumous.load(Ordering::SeqCst) == 1);
    check!(zero.node_died(node(5)).err() == Some(ENODEV));

    // No heartbeat: a node that joined by hand and then does nothing.
    let third = TestNode::new(2, PROTOCOL, 3000)?;
    let _events_there = third.register(requests!(0x541), &EVENTS)?;
    EVENTS.reset();
    let _silent = Puppet::join(&third, 3)?;
    check!(eventually(|| EVENTS.counts() == (1, 0, 1)));
    check!(third.call(node(3), ECHO, &[], OPTIONS).err() == Some(errno::host_down()));
    Ok(())
}

/// A node that is back is not online before all services have dealt with its end.
pub(super) fn told_first() -> Outcome {
    struct Slow {
        gate: Gate,
    }
    impl Handler for Slow {
        fn request(&self, _from: NodeId, _request: Request) {}

        fn node_event(&self, _node: NodeId, event: NodeEvent) {
            if event == NodeEvent::Dead {
                self.gate.pass();
            }
        }
    }
    static SLOW: Slow = Slow { gate: Gate::new() };
    SLOW.gate.reset();
    let (zero, one, _memory) = two_nodes()?;
    let _service = zero.register(requests!(0x543), &SLOW)?;
    let _opens = Opens(&SLOW.gate);
    zero.node_died(node(1))?;
    check!(eventually(|| SLOW.gate.begun.load(Ordering::SeqCst) == 1));
    // Much longer than it takes it to come back.
    for _ in 0..50 {
        check!(!zero.is_online(node(1)));
        time::sleep_ms(10);
    }
    SLOW.gate.open.store(true, Ordering::SeqCst);
    zero.wait_online(node(1), LONG_MS)?;
    one.wait_online(node(0), LONG_MS)?;
    check!(zero.call(node(1), ECHO, &[b"back"], OPTIONS)?.payload() == b"back");
    Ok(())
}

/// Services that are behind hear all that became of a peer, in order; until then it counts as untold.
pub(super) fn all_told() -> Outcome {
    /// Notes a digit for each event, behind the gate.
    struct Notes {
        gate: Gate,
        seen: AtomicU32,
    }
    impl Handler for Notes {
        fn request(&self, _from: NodeId, _request: Request) {}

        fn node_event(&self, _node: NodeId, event: NodeEvent) {
            self.gate.pass();
            let digit = match event {
                NodeEvent::Online => 1,
                NodeEvent::Left => 2,
                NodeEvent::Dead => 3,
            };
            let seen = self.seen.load(Ordering::SeqCst);
            self.seen.store(10 * seen + digit, Ordering::SeqCst);
        }
    }
    static NOTES: Notes = Notes {
        gate: Gate::new(),
        seen: AtomicU32::new(0),
    };
    NOTES.gate.reset();
    NOTES.seen.store(0, Ordering::SeqCst);
    let zero = TestNode::new(0, PROTOCOL, LONG_MS)?;
    let _service = zero.register(requests!(0x544), &NOTES)?;
    let _opens = Opens(&NOTES.gate);

    // A link whose peer's lives are made by hand.
    let window = Window::new(node(0), node(1), SharedMemory::allocate(WINDOW)?)?;
    let link = Link::new(zero.core().clone(), node(1), window)?;
    let life = life::new_life();
    let live = |event| {
        life::begin(&link, life);
        life::close(&link, event);
        life::end(&link, life, event);
    };
    check!(life::may_begin(&link) && life::is_told(&link));
    live(NodeEvent::Dead);
    check!(eventually(|| NOTES.gate.begun.load(Ordering::SeqCst) == 1));
    check!(life::may_begin(&link) && !life::is_told(&link));
    live(NodeEvent::Left);
    // Four wait: no other life may begin.
    check!(!life::may_begin(&link) && !life::is_told(&link));
    check!(NOTES.seen.load(Ordering::SeqCst) == 0);
    NOTES.gate.open.store(true, Ordering::SeqCst);
    check!(eventually(|| life::is_told(&link)));
    check!(NOTES.seen.load(Ordering::SeqCst) == 1312);
    // Nothing is told twice, and what comes later is told, too.
    check!(life::may_begin(&link));
    live(NodeEvent::Dead);
    zero.settle();
    check!(life::is_told(&link) && NOTES.seen.load(Ordering::SeqCst) == 131_213);
    Ok(())
}

/// A peer that writes anything into the window is dropped; nothing else happens.
pub(super) fn garbage() -> Outcome {
    static EVENTS: Events = Events::new();
    let layout = Layout::new(WINDOW).ok_or(EINVAL)?;
    for case in 0..4 {
        EVENTS.reset();
        let (zero, _one, memory) = two_nodes()?;
        zero.settle();
        let _events = zero.register(requests!(0x550), &EVENTS)?;
        let first_word = layout.ring(Side::High, Lane::Requests) + ring::HEADER_SIZE;
        match case {
            // More records than there can be.
            0 => memory.store(first_word, ring::word(0, ring::RECORD_MAX as u32, 2047)),
            // A record that is longer than one can be.
            1 => memory.store(first_word, ring::word(0, ring::RECORD_MAX as u32 + 1, 1)),
            // A record that is not a message.
            2 => memory.store(first_word, ring::word(0, 64, 1)),
            // The consumer's index of a ring that zero writes.
            _ => {
                let big = KVec::from_elem(0u8, 60_000, GFP_KERNEL)?;
                // The honest consumer may put it right before zero looks at it: until it does.
                check!(eventually(|| {
                    memory.store(layout.ring(Side::Low, Lane::Requests), 1 << 40);
                    zero.post(node(1), 0x7000, &[&big]).ok();
                    EVENTS.counts().2 >= 1
                }));
            }
        }
        // Its thread looks at the latest when it next counts its heartbeat.
        check!(eventually(|| EVENTS.counts().2 >= 1));
        // The peer is honest after all, so it comes back.
        check!(eventually(|| zero
            .call(node(1), ECHO, &[b"back"], OPTIONS)
            .is_ok()));
    }
    Ok(())
}

/// Nodes of different builds stay offline and say so.
pub(super) fn mismatch() -> Outcome {
    let memory = SharedMemory::allocate(WINDOW)?;
    let zero = TestNode::new(0, PROTOCOL, LONG_MS)?;
    let one = TestNode::new(1, PROTOCOL + 1, LONG_MS)?;
    zero.attach(node(1), memory.clone())?;
    one.attach(node(0), memory.clone())?;
    let call = |from: &TestNode, to| from.call(node(to), ECHO, &[], OPTIONS).err();
    check!(eventually(|| call(&zero, 1) == Some(errno::protocol())));
    check!(eventually(|| call(&one, 0) == Some(errno::protocol())));
    // One of the right build takes its place.
    one.detach(node(0))?;
    let other = TestNode::new(1, PROTOCOL, LONG_MS)?;
    other.attach(node(0), memory)?;
    zero.wait_online(node(1), LONG_MS)?;
    zero.call(node(1), ECHO, &[], OPTIONS)?;
    Ok(())
}
