// SPDX-License-Identifier: GPL-2.0
//! KUnit: two or more endpoints in one kernel, over ordinary memory. Their doorbells are real
//! interrupts, which this kernel sends to itself.
//!
//! The suite is in `suite_kunit.c`.

mod hostile;
mod members;
mod parting;
mod proxy;
#[path = "statistics_tests.rs"]
mod statistics_tests;
mod tcp;

use crate::endpoint::CallOptions;
use crate::endpoint::Called;
use crate::endpoint::Endpoint;
use crate::link::PARTS_MAX;
use crate::ping::ECHO;
use crate::ping::ECHO_BY_WORKER;
use crate::request::Request;
use crate::service::Handler;
use crate::service::NodeEvent;
use crate::settings::Settings;

use kernel::c_str;
use kernel::prelude::*;
use kernel::sync::Arc;

use core::sync::atomic::AtomicBool;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use popcorn_core::ids::Class;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::ids::RequestId;
use popcorn_core::ring::Memory;
use popcorn_core::ring::Producer;
use popcorn_core::window;
use popcorn_core::window::Lane;
use popcorn_core::window::Layout;
use popcorn_core::window::Side;
use popcorn_core::wire;
use popcorn_core::wire::PAYLOAD_MAX;
use popcorn_core::wire_message;
use popcorn_kernel::boot::processor;
use popcorn_kernel::check;
use popcorn_kernel::errno;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::kunit::eventually;
use popcorn_kernel::kunit::Failure;
use popcorn_kernel::kunit::Outcome;
use popcorn_kernel::kunit::LONG_MS;
use popcorn_kernel::kunit_cases;
use popcorn_kernel::shared_memory::SharedMemory;
use popcorn_kernel::system;
use popcorn_kernel::time;
use popcorn_kernel::uapi::POPCORN_NODE_SELF;
use popcorn_kernel::wait::Sleep;

const WINDOW: usize = 2 << 20;
const OPTIONS: CallOptions = CallOptions::killable(LONG_MS);
const PROTOCOL: u64 = 0x7e57;
/// Few, so that the test of back-pressure needs few workers.
const QUEUED: u32 = 16;

kunit_cases! {
    "popcorn_msg", "popcorn_msg/tests.rs";
    popcorn_msg_test_echo = echo;
    popcorn_msg_test_errors = errors;
    popcorn_msg_test_late_reply = late_reply;
    popcorn_msg_test_left_call = left_call;
    popcorn_msg_test_order = order;
    popcorn_msg_test_back_pressure = back_pressure;
    popcorn_msg_test_no_answer_taken = no_answer_taken;
    popcorn_msg_test_leave_and_return = leave_and_return;
    popcorn_msg_test_left_alone = left_alone;
    popcorn_msg_test_death = death;
    popcorn_msg_test_garbage = garbage;
    popcorn_msg_test_mismatch = mismatch;
    popcorn_msg_test_doorbell = doorbell;
    popcorn_msg_test_doorbell_moves = doorbell_moves;
    popcorn_msg_test_registration = registration;
    popcorn_msg_test_many_callers = many_callers;
    popcorn_msg_test_part_in_order = parting::in_order;
    popcorn_msg_test_part_refused = parting::refused;
    popcorn_msg_test_part_too_slow = parting::too_slow;
    popcorn_msg_test_part_called_off = parting::called_off;
    popcorn_msg_test_part_from_lost = parting::from_lost;
    popcorn_msg_test_part_both = parting::both;
    popcorn_msg_test_tcp_echo = tcp::echo;
    popcorn_msg_test_tcp_errors = tcp::errors;
    popcorn_msg_test_tcp_broken_connections = tcp::broken_connections;
    popcorn_msg_test_tcp_silence = tcp::silence;
    popcorn_msg_test_tcp_leaves_and_returns = tcp::leaves_and_returns;
    popcorn_msg_test_tcp_strangers = tcp::strangers;
    popcorn_msg_test_tcp_back_pressure = tcp::back_pressure;
    popcorn_msg_test_tcp_many_callers = tcp::many_callers;
    popcorn_msg_test_members_two = members::two;
    popcorn_msg_test_members_short_cut = members::short_cut;
    popcorn_msg_test_members_three = members::three;
    popcorn_msg_test_members_restart = members::restart;
    popcorn_msg_test_members_leave = members::leave;
    popcorn_msg_test_members_leave_one = members::leave_one;
    popcorn_msg_test_members_lost_goodbye = members::lost_goodbye;
    popcorn_msg_test_members_force = members::force;
    popcorn_msg_test_statistics = statistics_tests::exact;
    popcorn_msg_test_failed_calls = statistics_tests::failed_calls;
    popcorn_msg_test_stalls = statistics_tests::stalls;
    popcorn_msg_test_many_types = statistics_tests::many_types;
}

fn node(id: u64) -> NodeId {
    NodeId::new(id).unwrap_or(NodeId::PRIMARY)
}

/// An endpoint that is shut down at the end of its test.
struct TestNode(Arc<Endpoint>);

impl TestNode {
    fn new(id: u64, protocol: u64, dead_ms: u32) -> Result<Self> {
        Self::with(id, protocol, dead_ms, false)
    }

    /// One that agrees with others on who is a member.
    fn member(id: u64, dead_ms: u32) -> Result<Self> {
        Self::with(id, PROTOCOL, dead_ms, true)
    }

    fn with(id: u64, protocol: u64, dead_ms: u32, agrees: bool) -> Result<Self> {
        let settings = Settings {
            protocol,
            dead_ms: Some(dead_ms),
            queued: Some(QUEUED),
            agrees,
        };
        Ok(Self(Endpoint::new(node(id), settings)?))
    }
}

impl core::ops::Deref for TestNode {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        &self.0
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.0.shut_down();
    }
}

/// Nodes 0 and 1, online, and the memory between them.
fn two_nodes() -> Result<(TestNode, TestNode, SharedMemory)> {
    let memory = SharedMemory::allocate(WINDOW)?;
    let zero = TestNode::new(0, PROTOCOL, LONG_MS)?;
    let one = TestNode::new(1, PROTOCOL, LONG_MS)?;
    zero.attach(node(1), memory.clone())?;
    one.attach(node(0), memory.clone())?;
    zero.wait_online(node(1), LONG_MS)?;
    one.wait_online(node(0), LONG_MS)?;
    Ok((zero, one, memory))
}

/// A peer of a test node that does what the test does by hand, and nothing by itself.
struct Puppet {
    header: window::Header<SharedMemory>,
    peer_header: window::Header<SharedMemory>,
    /// Of its ring of requests.
    producer: Producer<SharedMemory>,
    /// The next one that it sends, but for its sequence number.
    request: wire::Header,
    beats: u64,
    memory: SharedMemory,
}

impl Puppet {
    /// Node `id`, greater than that of `peer`, which finds it online.
    fn join(peer: &TestNode, id: u64) -> core::result::Result<Self, Failure> {
        let memory = SharedMemory::allocate(WINDOW)?;
        let layout = Layout::new(WINDOW).ok_or(EINVAL)?;
        let ring = layout.ring(Side::High, Lane::Requests);
        let incarnation = Incarnation::new(1).ok_or(EINVAL)?;
        let puppet = Self {
            header: window::Header::new(memory.clone(), Side::High),
            peer_header: window::Header::new(memory.clone(), Side::Low),
            producer: Producer::new(&memory, ring, layout.capacity()).map_err(|_| EINVAL)?,
            request: wire::Header {
                kind: 0,
                class: Class::Request,
                flags: 0,
                source: node(id),
                destination: peer.node(),
                length: 0,
                status: 0,
                sequence: 0,
                request: RequestId::new(0, 1).to_wire(),
                incarnation,
            },
            beats: 0,
            memory: memory.clone(),
        };
        peer.attach(node(id), memory)?;
        let introduction = window::Introduction {
            node: node(id),
            incarnation,
            protocol: PROTOCOL,
            cpus: 1,
            memory: 1,
            name: [0; window::NAME_LEN],
        };
        puppet.header.introduce(&introduction, None);
        check!(eventually(|| puppet.peer_header.accepts(incarnation)));
        let peer_life = Incarnation::new(puppet.peer_header.incarnation());
        puppet.header.accept(peer_life);
        peer.wait_online(node(id), LONG_MS)?;
        Ok(puppet)
    }

    fn beat(&mut self) {
        self.beats += 1;
        self.header.set_heartbeat(self.beats);
    }

    /// Sends a request without a payload; false: there is no room.
    fn ask(&mut self, kind: u16) -> bool {
        self.beat();
        self.request.kind = kind;
        let pushed = self.producer.push(&[&self.request.encode()]).is_ok();
        if pushed {
            self.producer.publish();
            self.request.sequence += 1;
        }
        pushed
    }
}

/// Payloads of these lengths come back, both ways, at once and from a worker.
fn come_back(zero: &TestNode, one: &TestNode, lengths: &[usize]) -> Outcome {
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
fn echo() -> Outcome {
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
fn errors() -> Outcome {
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

/// Answers only when the gate is open; counts.
struct Gate {
    open: AtomicBool,
    begun: AtomicU32,
    done: AtomicU32,
    /// Those of them whose sender's life was over when the gate opened.
    posthumous: AtomicU32,
}

impl Gate {
    const fn new() -> Self {
        Self {
            open: AtomicBool::new(false),
            begun: AtomicU32::new(0),
            done: AtomicU32::new(0),
            posthumous: AtomicU32::new(0),
        }
    }

    fn reset(&self) {
        self.open.store(false, Ordering::SeqCst);
        self.begun.store(0, Ordering::SeqCst);
        self.done.store(0, Ordering::SeqCst);
        self.posthumous.store(0, Ordering::SeqCst);
    }
}

impl Handler for Gate {
    fn request(&self, _from: NodeId, request: Request) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        // Not often: there may be hundreds of these.
        while !self.open.load(Ordering::SeqCst) {
            time::sleep_ms(100);
        }
        if !request.is_live() {
            self.posthumous.fetch_add(1, Ordering::SeqCst);
        }
        self.done.fetch_add(1, Ordering::SeqCst);
        request.reply(0, &[b"gate"]).ok();
    }
}

/// Opens a gate at the end of a test, also of one that fails, so that its workers end.
struct Opens(&'static Gate);

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.open.store(true, Ordering::SeqCst);
    }
}

/// A call that gave up is not confused with the next, whatever arrives late.
fn late_reply() -> Outcome {
    static GATE: Gate = Gate::new();
    GATE.reset();
    let (zero, one, _memory) = two_nodes()?;
    let _service = one.register(0x500..=0x500, &GATE)?;
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
    let _forgets = one.register(0x501..=0x501, &FORGETS)?;
    check!(zero.call(node(1), 0x501, &[], OPTIONS).err() == Some(EIO));
    Ok(())
}

/// Who has no time may leave the wait for an answer to somebody else, or to nobody: no slot is lost.
fn left_call() -> Outcome {
    static GATE: Gate = Gate::new();
    GATE.reset();
    let (zero, one, _memory) = two_nodes()?;
    let _service = one.register(0x502..=0x502, &GATE)?;
    let _opens = Opens(&GATE);
    let link = zero.link(node(1)).ok_or(ENODEV)?;
    let used = || link.core().pending().used();
    let leave = || zero.call_or_leave(node(1), 0x502, &[], CallOptions::killable(50));
    let Called::Left(to_other) = leave()? else {
        return Err(EIO.into());
    };
    let Called::Left(to_nobody) = leave()? else {
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
    let Called::Left(to_other) = leave()? else {
        return Err(EIO.into());
    };
    check!(eventually(|| GATE.begun.load(Ordering::SeqCst) == 3));
    zero.node_died(node(1))?;
    check!(to_other.wait().err() == Some(errno::host_down()));
    check!(used() == 0);
    Ok(())
}

wire_message! {
    /// A number, to check order.
    pub struct Number = 0x510 {
        /// The number.
        value: u32,
    }
}

/// One-way messages to an urgent service arrive all, once, in order.
fn order() -> Outcome {
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
    let _service = one.register(0x510..=0x510, &IN_ORDER)?;
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
fn back_pressure() -> Outcome {
    static GATE: Gate = Gate::new();
    GATE.reset();
    const MESSAGES: u32 = QUEUED + 50;
    let (zero, one, _memory) = two_nodes()?;
    let _service = one.register(0x520..=0x520, &GATE)?;
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

/// A peer that takes no answers: errors for unknown types occupy so many workers and no more, and it
/// does not stay, though its heart beats.
fn no_answer_taken() -> Outcome {
    static EVENTS: Events = Events::new();
    let layout = Layout::new(WINDOW).ok_or(EINVAL)?;
    let data = layout.capacity();
    // Each a header alone, which fills a cell, and one cell stays free.
    let fit = (data / wire::HEADER_SIZE) as u32 - 1;

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
    let two = TestNode::new(2, PROTOCOL, 2000)?;
    let _events = two.register(0x525..=0x525, &EVENTS)?;
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

/// Counts what happens to nodes.
struct Events {
    online: AtomicU32,
    left: AtomicU32,
    dead: AtomicU32,
}

impl Events {
    const fn new() -> Self {
        Self {
            online: AtomicU32::new(0),
            left: AtomicU32::new(0),
            dead: AtomicU32::new(0),
        }
    }

    fn counts(&self) -> (u32, u32, u32) {
        let get = |counter: &AtomicU32| counter.load(Ordering::SeqCst);
        (get(&self.online), get(&self.left), get(&self.dead))
    }

    fn reset(&self) {
        for counter in [&self.online, &self.left, &self.dead] {
            counter.store(0, Ordering::SeqCst);
        }
    }
}

impl Handler for Events {
    fn request(&self, _from: NodeId, _request: Request) {}

    fn node_event(&self, _node: NodeId, event: NodeEvent) {
        let counter = match event {
            NodeEvent::Online => &self.online,
            NodeEvent::Left => &self.left,
            NodeEvent::Dead => &self.dead,
        };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

/// A call to `peer` in a thread of its own, and how it ended (0 while it has not).
fn call_aside(from: &TestNode, kind: u16, result: &'static AtomicU32) -> Result<Kthread> {
    let endpoint = from.0.clone();
    result.store(0, Ordering::SeqCst);
    Kthread::spawn(c_str!("popcorn test"), move || {
        let ended = match endpoint.call(node(1), kind, &[], OPTIONS) {
            Ok(_) => 1,
            Err(error) => error.to_errno().unsigned_abs(),
        };
        result.store(ended, Ordering::SeqCst);
    })
}

/// A node that leaves fails the calls to it, and waits for none of its own workers; when it comes back, all is
/// as before.
fn leave_and_return() -> Outcome {
    static GATE: Gate = Gate::new();
    static EVENTS: Events = Events::new();
    static RESULT: AtomicU32 = AtomicU32::new(0);
    static HAS_LEFT: AtomicBool = AtomicBool::new(false);
    HAS_LEFT.store(false, Ordering::SeqCst);
    GATE.reset();
    EVENTS.reset();
    let (zero, one, memory) = two_nodes()?;
    let _service = one.register(0x530..=0x530, &GATE)?;
    let _opens = Opens(&GATE);
    zero.settle();
    let _events = zero.register(0x531..=0x531, &EVENTS)?;
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
fn left_alone() -> Outcome {
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
    check!(!link.has_room_for_response() && link.transport().responses_passed().is_none());
    let life = puppet.request.incarnation;
    let host_down = Some(errno::host_down());
    check!(link.respond(life, ECHO, 0, 1, &[b"late"]).err() == host_down);
    let parts: &[&[u8]] = &[b"late"];
    let sent = link.send_request(ECHO, Class::Request, 1, parts, Sleep::Killable, LONG_MS);
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
    check!(link.respond(life, ECHO, 0, 1, &[]).err() == host_down);
    check!(link.statistics().doorbells.get() == 0);
    Ok(())
}

/// A node that is said to be dead: its calls fail, its services are told; as it is not really
/// dead, the two find each other again in a new life.
fn death() -> Outcome {
    static GATE: Gate = Gate::new();
    static EVENTS: Events = Events::new();
    static RESULT: AtomicU32 = AtomicU32::new(0);
    GATE.reset();
    EVENTS.reset();
    let (zero, one, _memory) = two_nodes()?;
    let _service = one.register(0x540..=0x540, &GATE)?;
    let _opens = Opens(&GATE);
    zero.settle();
    let _events = zero.register(0x541..=0x541, &EVENTS)?;
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
    let third = TestNode::new(2, PROTOCOL, 300)?;
    let _events_there = third.register(0x541..=0x541, &EVENTS)?;
    EVENTS.reset();
    let _silent = Puppet::join(&third, 3)?;
    check!(eventually(|| EVENTS.counts() == (1, 0, 1)));
    check!(third.call(node(3), ECHO, &[], OPTIONS).err() == Some(errno::host_down()));
    Ok(())
}

/// A peer that writes anything into the window is dropped; nothing else happens.
fn garbage() -> Outcome {
    static EVENTS: Events = Events::new();
    let layout = Layout::new(WINDOW).ok_or(EINVAL)?;
    for case in 0..4 {
        EVENTS.reset();
        let (zero, _one, memory) = two_nodes()?;
        zero.settle();
        let _events = zero.register(0x550..=0x550, &EVENTS)?;
        let ring = layout.ring(Side::High, Lane::Requests);
        let first_word = ring + popcorn_core::ring::HEADER_SIZE;
        match case {
            // More records than there can be.
            0 => memory.store(first_word, 64 | (u64::from(u32::MAX) << 32)),
            // A record that is longer than one can be.
            1 => memory.store(first_word, u64::from(u32::MAX) | (1 << 32)),
            // A record that is not a message.
            2 => memory.store(first_word, 64 | (1 << 32)),
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
fn mismatch() -> Outcome {
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

/// A node that sleeps is woken by an interrupt.
fn doorbell() -> Outcome {
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
fn doorbell_moves() -> Outcome {
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

/// Services do not overlap, and can be replaced.
fn registration() -> Outcome {
    static GATE: Gate = Gate::new();
    static OTHER: Gate = Gate::new();
    GATE.reset();
    OTHER.reset();
    let _opens = (Opens(&GATE), Opens(&OTHER));
    let (zero, one, _memory) = two_nodes()?;
    let first = one.register(0x560..=0x56f, &GATE)?;
    check!(one.register(0x56f..=0x570, &OTHER).err() == Some(EEXIST));
    check!(one.register(0x0..=0x0, &OTHER).err() == Some(EEXIST));
    #[allow(clippy::reversed_empty_ranges)]
    let empty = one.register(0x571..=0x570, &OTHER).err();
    check!(empty == Some(EINVAL));
    let second = one.register(0x570..=0x570, &OTHER)?;
    GATE.open.store(true, Ordering::SeqCst);
    OTHER.open.store(true, Ordering::SeqCst);
    zero.call(node(1), 0x56f, &[], OPTIONS)?;
    zero.call(node(1), 0x570, &[], OPTIONS)?;
    check!(GATE.done.load(Ordering::SeqCst) == 1 && OTHER.done.load(Ordering::SeqCst) == 1);
    drop(first);
    check!(zero.call(node(1), 0x560, &[], OPTIONS).err() == Some(errno::not_supported()));
    let _first = one.register(0x560..=0x560, &OTHER)?;
    zero.call(node(1), 0x560, &[], OPTIONS)?;
    check!(OTHER.done.load(Ordering::SeqCst) == 2);
    drop(second);
    Ok(())
}

/// Many callers at once, in both directions, sleeping and polling: each gets its own answer.
fn many_callers() -> Outcome {
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
